"""Turns weights that the authors of a method published into a checkpoint of this project."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifting.errors import ConfigError, OutputError
from lifting.experiment.build import build_module
from lifting.experiment.checkpoint import SUFFIX, AtomicCheckpointIO, load_weights
from lifting.experiment.config import ExperimentConfig
from lifting.methods.conversion import Convert, Converted
from lifting.methods.discovery import method_packages

IMPORTER = "checkpoint"


def convert(config: ExperimentConfig, files: Sequence[Path], output: Path) -> Converted:
    """Write published weights as a checkpoint that an experiment's test reads.

    Args:
        config: The experiment whose network the weights are for.
        files: As many as the method's importer asks for, in its order.
        output: The checkpoint to write.

    Returns:
        What was written, and what the files held beside it.

    Raises:
        ConfigError: The method has no importer, or another number of files is needed.
        MissingDataError: A file is absent.
        CheckpointError: A file is unsafe, damaged, or does not fit the experiment's network.
        OutputError: The checkpoint cannot be written.
    """
    method = str(config.method["name"])
    names, importer = _importer(method)
    if len(files) != len(names):
        raise ConfigError(
            f"expected {len(names)} files for '{method}' ({', then '.join(names)}), got "
            f"{len(files)}; name them in that order"
        )
    _check_output(output)
    module = build_module(config)
    converted = importer(files, module.config, module.settings)
    load_weights(module, {"state_dict": converted.state}, files[0])
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, output)
    return converted


def _importer(method: str) -> tuple[tuple[str, ...], Convert]:
    """What the files of a method hold, and what reads them."""
    packages = method_packages()
    able = [name for name, package in packages.items() if _has_importer(package)]
    if method in able:
        module = importlib.import_module(f"{packages[method]}.{IMPORTER}")
        return module.FILES, module.convert
    raise ConfigError(
        f"expected a method whose published weights can be imported, got '{method}'; known: "
        f"{', '.join(sorted(able))}"
    )


def _has_importer(package: str) -> bool:
    return importlib.util.find_spec(f"{package}.{IMPORTER}") is not None


def _check_output(output: Path) -> None:
    if output.suffix != SUFFIX:
        raise OutputError(
            f"expected a checkpoint's name ending in {SUFFIX}, got {output}; change --output"
        )
