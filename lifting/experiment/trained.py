"""Trained weights and the data they are for: what a checkpoint claims, judged before it is used.

A checkpoint says which joints, rate, window and normalisation its network was trained with. Data
of other joints or rates are converted, and it is said; what cannot be converted is refused.

Weights that the authors of a method published become a checkpoint of this project.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifting.data.datamodule import STAGE_SPLITS, PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError, OutputError
from lifting.experiment.build import build_data, build_module
from lifting.experiment.checkpoint import (
    load_weights,
    read_checkpoint,
)
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.claims import Claims, check_wishes, claims_of, with_weights
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import weights_hash
from lifting.experiment.folder import (
    BEST,
    CHECKPOINTS,
    SUFFIX,
    run_of_checkpoint,
)
from lifting.experiment.load import to_run
from lifting.experiment.record import INITIALISED
from lifting.methods.base import LiftingModule
from lifting.methods.conversion import Convert, Converted
from lifting.methods.discovery import method_packages

log = logging.getLogger(__name__)

IMPORTER = "checkpoint"
INITIAL = f"init{SUFFIX}"
"""In a run's checkpoints: the trained weights that its training starts from."""


def claim(config: ExperimentConfig, data: PoseDataModule) -> dict[str, Any]:
    """What a checkpoint of a training has to say, as plain values.

    Args:
        config: The experiment; only sections in use are kept.
        data: Its data.
    """
    return {
        "fps": data.fps,
        "frames": config.data.frames,
        "dataset": config.data.name,
        "protocol": config.protocol,
        "experiment": to_run(config),
        "data": learnt_from(data),
    }


def learnt_from(data: PoseDataModule) -> dict[str, str]:
    """Fingerprint of each split that decides about a training."""
    found = data.fingerprints()
    return {split: found[split] for split in STAGE_SPLITS["fit"]}


def trained_module(config: ExperimentConfig, path: Path) -> tuple[LiftingModule, Claims]:
    """The method of a checkpoint with its weights, built for the joints it was trained for.

    Args:
        config: The experiment.
        path: Weights of its method.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section asks for other joints than the weights have.
    """
    return with_weights(config, path, build_module)


def trained_model(
    config: ExperimentConfig, path: Path, test: PoseTracks | None = None
) -> tuple[LiftingModule, PoseDataModule]:
    """A trained method, and data in its joints and at its rate.

    Args:
        config: The experiment.
        path: Weights of its method.
        test: Tracks to lift instead of the data set's.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    module, claims = trained_module(config, path)
    return module, build_data(config, claims.skeleton, claims.fps, test)


def initialised_model(
    config: ExperimentConfig, path: Path
) -> tuple[LiftingModule, PoseDataModule, dict[str, Any]]:
    """A method that a training starts from trained weights, and its data in their joints and rate.

    Args:
        config: The experiment.
        path: A checkpoint; or the folder of a run, whose best one is taken. Of a run that started
            from trained weights, its copy of them still says whose they were.

    Returns:
        The module, the data, and what the training's claim has to say of where it started.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    path = path / CHECKPOINTS / f"{BEST}{SUFFIX}" if path.is_dir() else path
    module, data = trained_model(config, path)
    run, told = run_of_checkpoint(path), module.claim
    origin = told.get(INITIALISED) if path.name == INITIAL else None
    return (
        module,
        data,
        {
            INITIALISED: origin
            or {
                "experiment": told.get("experiment", {}).get("name"),
                "run": path.name if run is None else run.name,
                "weights": weights_hash(module.state_dict()),
            }
        },
    )


def write_weights(module: LiftingModule, path: Path) -> None:
    """Write a checkpoint of weights alone, and of what they are for.

    Raises:
        OutputError: It cannot be written.
    """
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)


def trained_data(config: ExperimentConfig, path: Path) -> PoseDataModule:
    """Data in the joints and at the rate of weights, without the network.

    Args:
        config: The experiment.
        path: Weights of its method.

    Raises:
        CheckpointError: There is no such checkpoint of the method.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    claims = claims_of(read_checkpoint(path, str(config.method["name"])), path)
    check_wishes(config.data, claims, path)
    return build_data(config, claims.skeleton, claims.fps)


def convert(config: ExperimentConfig, files: Sequence[Path], output: Path) -> Converted:
    """Write published weights as a checkpoint that an experiment's test reads.

    It says the joints of the experiment and, where its data section has one, the rate.

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
    if config.data.fps is not None:
        module.claim = {"fps": config.data.fps}
    write_weights(module, output)
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
