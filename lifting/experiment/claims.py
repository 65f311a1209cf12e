"""What a checkpoint claims, judged before its weights are used. No Lightning.

A checkpoint says which joints, rate, window and normalisation its network was trained with. Data
of other joints or rates are converted, and it is said; what cannot be converted is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lifting.data.config import DataConfig
from lifting.data.conform import wished_skeleton
from lifting.data.keypoints.usual import Usual
from lifting.data.sets import find_set
from lifting.errors import CheckpointError, ConfigError
from lifting.experiment.checkpoint import (
    described,
    load_weights,
    method_config_of,
    read_checkpoint,
)
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import BEST, CONFIG_FILE, LAST, has_ended, run_of_checkpoint
from lifting.experiment.load import find_file, load_experiment, method_config
from lifting.experiment.record import INITIALISED
from lifting.methods.discovery import load_lifter_class, load_module_class
from lifting.methods.lifter import CHECKPOINT_KEY, PoseLifter
from lifting.methods.settings import BuiltOn, ModuleSettings
from lifting.skeleton import H36M_17, Skeleton

log = logging.getLogger(__name__)
OLD_FPS = 50.0  # of nearly all data sets there were before checkpoints said it
USUAL, TRAINING = "usual", "training"
"""Of a file of weights: what input is usual for them, and how they were trained and scored."""
CLAIMED = ("fps", "frames", "dataset", "protocol", "experiment", "data", INITIALISED)
AnyLifter = TypeVar("AnyLifter", bound=PoseLifter)


@dataclass(frozen=True)
class Claims:
    """What weights were trained for.

    Attributes:
        skeleton: Joints of input and answer.
        fps: Frames a second; None for single frames.
        frames: Length of a window; None where the checkpoint does not say.
        normalisation: How pixels become the network's input; None where it does not say.
        trained_on: Data set, in words.
        usual: The input that they were trained on; None where it does not say.
    """

    skeleton: Skeleton
    fps: float | None
    frames: int | None
    normalisation: str | None
    trained_on: str
    usual: Usual | None = None


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
            usual = None if USUAL not in facts else Usual.of(facts[USUAL], skeleton)
        return Claims(
            skeleton,
            facts.get("fps"),
            facts.get("frames"),
            facts.get("normalisation"),
            str(facts.get("dataset", "data that it does not name")),
            usual,
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


def with_weights(
    config: ExperimentConfig,
    path: Path,
    build: Callable[[ExperimentConfig, Skeleton], AnyLifter],
) -> tuple[AnyLifter, Claims]:
    """The method of a checkpoint with its weights, built for the joints it was trained for.

    Args:
        config: The experiment.
        path: Weights of its method.
        build: Makes the method for joints.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section asks for other joints than the weights have.
    """
    checkpoint = read_checkpoint(path, str(config.method["name"]))
    claims = claims_of(checkpoint, path)
    check_wishes(config.data, claims, path)
    module = build(config, claims.skeleton)
    if claims.normalisation not in (None, module.normalisation):
        raise CheckpointError(
            f"expected weights for input in {module.normalisation}, got {path}, trained on "
            f"{claims.normalisation}; train them again with this version"
        )
    load_weights(module, checkpoint, path)
    _say_what_is_missing(module, checkpoint, path)
    module.claim = {k: v for k, v in checkpoint[CHECKPOINT_KEY].items() if k in CLAIMED}
    return module, claims


def trained_lifter(config: ExperimentConfig, path: Path) -> tuple[PoseLifter, Claims]:
    """A method with its weights that can lift without a trainer, in evaluation mode.

    Args:
        config: The experiment; its method has a ``Lifter``.
        path: Weights of its method.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section asks for other joints than the weights have.
    """
    lifter, claims = with_weights(config, path, _build_lifter)
    return lifter.requires_grad_(False).eval(), claims


def _build_lifter(config: ExperimentConfig, skeleton: Skeleton) -> PoseLifter:
    made = load_lifter_class(str(config.method["name"]))
    assert made is not None
    return made(method_config(config.method), build_settings(config, skeleton))


def build_settings(config: ExperimentConfig, skeleton: Skeleton = H36M_17) -> ModuleSettings:
    """What the module is told of the run around it.

    Args:
        config: The experiment.
        skeleton: Joints of its data, to which the method is built.
    """
    return ModuleSettings(
        method=str(config.method["name"]),
        skeleton=skeleton.plain(),
        protocol=config.protocol,
        frames=config.data.frames,
        image_size=find_set(config.data.name).fact("image_size", lambda data: None)(config.data),
        target=config.data.target,
        flip_test=config.flip_test,
        pss=cluster_files(config),
        seed=config.seed,
        optimizer=config.optimizer,
    )


def cluster_files(config: ExperimentConfig) -> tuple[str, ...]:
    """Files with clusters of the pose structure score, where they lie."""
    return tuple(str(find_file(file) or file) for file in config.pss)


def uses_camera(section: Mapping[str, Any]) -> bool:
    """Whether the answers of a method depend on the camera's intrinsics, or of the one below it.

    Args:
        section: The method section.

    Raises:
        CheckpointError: The trained model below cannot be read.
    """
    config = method_config(section)
    if isinstance(config, BuiltOn):
        below = config.base_method()
        if isinstance(below, Path):
            below = method_config_of(read_checkpoint(below))
        return uses_camera(below)
    name = str(section["name"])
    return (load_lifter_class(name) or load_module_class(name)).uses_camera(config)


def _say_what_is_missing(module: PoseLifter, checkpoint: dict[str, Any], path: Path) -> None:
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


def check_wishes(data: DataConfig, claims: Claims, path: Path) -> None:
    """Refuse a data section that asks for what weights were not trained for.

    Args:
        data: The section.
        claims: Of the weights.
        path: Their file.

    Raises:
        ConfigError: It asks for other joints, or another rate.
    """
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
