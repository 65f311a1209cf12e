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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifting.data.config import DataConfig
from lifting.data.datamodule import STAGE_SPLITS, PoseDataModule, wished_skeleton
from lifting.data.sequence import PoseTracks
from lifting.errors import CheckpointError, ConfigError, OutputError
from lifting.experiment.build import build_data, build_module
from lifting.experiment.checkpoint import (
    AtomicCheckpointIO,
    described,
    load_weights,
    read_checkpoint,
)
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import weights_hash
from lifting.experiment.folder import (
    BEST,
    CHECKPOINTS,
    CONFIG_FILE,
    LAST,
    SUFFIX,
    has_ended,
    run_of_checkpoint,
)
from lifting.experiment.load import load_experiment, to_run
from lifting.experiment.record import INITIALISED
from lifting.methods.base import CHECKPOINT_KEY, LiftingModule
from lifting.methods.conversion import Convert, Converted
from lifting.methods.discovery import method_packages
from lifting.skeleton import H36M_17, Skeleton

log = logging.getLogger(__name__)
OLD_FPS = 50.0  # of nearly all data sets there were before checkpoints said it

IMPORTER = "checkpoint"
INITIAL = f"init{SUFFIX}"
"""In a run's checkpoints: the trained weights that its training starts from."""


@dataclass(frozen=True)
class Claims:
    """What weights were trained for.

    Attributes:
        skeleton: Joints of input and answer.
        fps: Frames a second; None for single frames.
        frames: Length of a window; None where the checkpoint does not say.
        normalisation: How pixels become the network's input; None where it does not say.
        trained_on: Data set, in words.
    """

    skeleton: Skeleton
    fps: float | None
    frames: int | None
    normalisation: str | None
    trained_on: str


def claims_of(checkpoint: dict[str, Any], path: Path) -> Claims:
    """What a checkpoint says, or for one of an older version, what its run's configuration says.

    Args:
        checkpoint: What ``read_checkpoint`` gave.
        path: Where it came from; beside it lies the configuration of its run.

    Raises:
        CheckpointError: The skeleton it names is none.
    """
    facts = checkpoint[CHECKPOINT_KEY]
    if "skeleton" in facts:
        with described(path):
            skeleton = Skeleton.of(facts["skeleton"])
        return Claims(
            skeleton,
            facts.get("fps"),
            facts.get("frames"),
            facts.get("normalisation"),
            str(facts.get("dataset", "data that it does not name")),
        )
    return _old_claims(facts, path)


def _old_claims(facts: dict[str, Any], path: Path) -> Claims:
    """Joints of old checkpoints, whose settings say h36m17 whatever was trained."""
    run = run_of_checkpoint(path)
    frames = facts.get("settings", {}).get("frames")
    fps = None if frames == 1 else OLD_FPS
    if run is None:
        log.warning(
            "%s does not say which joints it was trained for, and no configuration lies beside "
            "it: %s is assumed%s", path, H36M_17.name, "" if fps is None else f", {fps:g} Hz",
        )  # fmt: skip
        return Claims(H36M_17, fps, frames, None, "data that it does not name")
    data = load_experiment(str(run / CONFIG_FILE)).data
    skeleton = wished_skeleton(data, defaults=True) or H36M_17
    log.info("%s: joints of %s, as the configuration of its run says", path, skeleton.name)
    return Claims(skeleton, fps, frames, None, data.name)


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
    checkpoint = read_checkpoint(path, str(config.method["name"]))
    claims = claims_of(checkpoint, path)
    _check_wishes(config.data, claims, path)
    module = build_module(config, claims.skeleton)
    if claims.normalisation not in (None, module.normalisation):
        raise CheckpointError(
            f"expected weights for input in {module.normalisation}, got {path}, trained on "
            f"{claims.normalisation}; train them again with this version"
        )
    load_weights(module, checkpoint, path)
    _say_what_is_missing(module, checkpoint, path)
    module.claim = {k: v for k, v in checkpoint[CHECKPOINT_KEY].items() if k in CLAIMED}
    return module, claims


def _say_what_is_missing(module: LiftingModule, checkpoint: dict[str, Any], path: Path) -> None:
    """Say of weights that are not those of a whole training which they are."""
    stages, run = module.stages(), run_of_checkpoint(path)
    going_on = run is not None and path.stem in (BEST, LAST) and not has_ended(run)
    if not going_on and module.stage == stages[-1]:
        return
    place = stages.index(module.stage) + 1
    log.warning(
        "weights of stage '%s' (%d of %d)%s: the answers are those of this stage%s",
        module.stage.name, place, len(stages),
        f", after epoch {checkpoint['epoch'] + 1}" if "epoch" in checkpoint else "",
        "; the training has not ended" if going_on else "",
    )  # fmt: skip


CLAIMED = ("fps", "frames", "dataset", "protocol", "experiment", "data", INITIALISED)


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
    _check_wishes(config.data, claims, path)
    return build_data(config, claims.skeleton, claims.fps)


def _check_wishes(data: DataConfig, claims: Claims, path: Path) -> None:
    if data.skeleton is not None and Skeleton.of(data.skeleton) != claims.skeleton:
        raise ConfigError(
            f"expected data.skeleton={claims.skeleton.name}, for which the weights of {path} were "
            f"trained, got {data.skeleton}; leave it out: data are converted to the weights' "
            "joints, or train anew"
        )
    if data.fps is not None and claims.fps is not None and data.fps != claims.fps:
        raise ConfigError(
            f"expected data.fps={claims.fps:g}, at which the weights of {path} were trained, got "
            f"{data.fps:g}; leave it out: data of other rates are resampled, or train anew"
        )
    if claims.frames is not None and data.frames != claims.frames:
        log.warning(
            "windows of %d frames are given to weights that were trained on %d (data.frames)",
            data.frames, claims.frames,
        )  # fmt: skip


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
