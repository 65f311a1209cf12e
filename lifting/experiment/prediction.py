"""A trained model, and the poses that it lifts from a test split or a user's own keypoints.

No Lightning, unless a method has no ``Lifter`` or what is asked for takes a trainer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lifting.atomic import not_written
from lifting.data.cache import tracks_hash
from lifting.data.check import check_config, check_tracks
from lifting.data.conform import conformed, highest_rate
from lifting.data.gather import GatherOptions, evaluation_options
from lifting.data.keypoints.tracks import PHOTOGRAPHS, read_keypoints
from lifting.data.keypoints.usual import Usual
from lifting.data.sequence import PoseTracks
from lifting.errors import CheckpointError, ConfigError
from lifting.experiment.answers import Answers, answer, origin_of
from lifting.experiment.checkpoint import described, read_checkpoint
from lifting.experiment.claims import Claims, trained_lifter
from lifting.experiment.config import ExperimentConfig, TrainerConfig
from lifting.experiment.folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    check_writable,
    newest_run,
    newest_weights,
    run_of_checkpoint,
)
from lifting.experiment.kept import Kept
from lifting.experiment.load import load_experiment, load_values
from lifting.experiment.motion import Chain, numbers_of
from lifting.files.checks import as_path, sha256_of
from lifting.methods.discovery import load_lifter_class
from lifting.methods.lifter import CHECKPOINT_KEY, PoseLifter
from lifting.motion.chain import check_known
from lifting.motion.options import FLIP, MotionOptions
from lifting.nn.threads import set_threads
from lifting.poses import Poses
from lifting.skeleton import Skeleton
from lifting.weights.registry import SUFFIX

log = logging.getLogger(__name__)

SAMPLES = 128
"""Lifted at a time by a processor: the activations of more leave its caches. Measured with the
ready weights at 16 to 1,024."""
UNUSUAL = "unusual"
"""In ``meta`` of poses: how unusual the input is, see :meth:`Judged.plain`."""


@dataclass(frozen=True)
class Model:
    """Trained weights, ready to lift.

    Attributes:
        config: The experiment as it was trained.
        checkpoint: File of the weights.
        module: The method with its weights.
        claims: What they were trained for: joints, frames a second, window, data.
    """

    config: ExperimentConfig
    checkpoint: Path
    module: PoseLifter
    claims: Claims

    @property
    def method(self) -> str:
        """Its name."""
        return str(self.config.method["name"])


def load_model(path: str | Path) -> Model:
    """A trained model.

    Args:
        path: A checkpoint or a file of weights; or the folder of a run, whose best checkpoint is
            taken, of the newest stage that has any; or the folder of an experiment's runs,
            ``outputs/simple_baseline``, of which the newest is taken.

    Raises:
        CheckpointError: There is no checkpoint, or it does not say how it was trained.
        ConfigError: The folder holds no run.
    """
    path = as_path(path, "of a model")
    if path.is_dir():
        run = path if (path / CONFIG_FILE).is_file() else _newest_of(path)
        weights = newest_weights(run)
        if weights is None:
            raise CheckpointError(
                f"expected weights in {run}, got none; wait for the first whole epoch of its "
                "training, or name another run"
            )
        path = weights
    folder = run_of_checkpoint(path)
    if folder is not None and path.suffix != SUFFIX:
        return model_of(load_experiment(str(folder / CONFIG_FILE)), path)
    stated = read_checkpoint(path)[CHECKPOINT_KEY].get("experiment")
    if not isinstance(stated, dict):
        raise CheckpointError(
            "expected a checkpoint in the folder of its run, or one that says how it was trained, "
            f"got {path}; put the {CONFIG_FILE} of its run beside it"
        )
    with described(path):
        config = load_values(stated)
    return model_of(config, path)


def _newest_of(folder: Path) -> Path:
    """The newest run of an experiment's folder."""
    whole = folder.resolve()
    try:
        return newest_run(str(whole.parent), whole.name)
    except ConfigError as error:
        if any(whole.glob(f"*/{CONFIG_FILE}")):
            raise
        runs = (file.parent for file in whole.glob(f"*/*/{CONFIG_FILE}"))
        inside = sorted({run.parent.name for run in runs if newest_weights(run) is not None})
        if folder.name == CHECKPOINTS:
            advice = f"give its run, {folder.parent}, or a file in it"
        elif inside:
            advice = f"give one of the experiments in it, such as {folder / inside[0]}"
        else:
            advice = (
                "give a run, the folder of an experiment's runs or a checkpoint; `lifting train "
                "simple_baseline` makes outputs/simple_baseline"
            )
        raise ConfigError(
            f"expected a run with weights in {folder}, got none; {advice}"
        ) from error


def model_of(config: ExperimentConfig, checkpoint: Path, *, alone: bool = True) -> Model:
    """The model of an experiment and a checkpoint of its method.

    Args:
        config: The experiment.
        checkpoint: Weights of its method.
        alone: Leave the trainer out where own keypoints can be lifted without it: it takes longer
            to import than a hundred frames to lift.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    if alone and _needs_no_trainer(config):
        set_threads(config.trainer.threads)
        return Model(config, checkpoint, *trained_lifter(config, checkpoint))
    from lifting.experiment.build import prepare_process
    from lifting.experiment.trained import trained_module

    prepare_process(config)
    return Model(config, checkpoint, *trained_module(config, checkpoint))


def _needs_no_trainer(config: ExperimentConfig) -> bool:
    """Whether a method can lift keypoints by itself, as an experiment asks for it."""
    options = config.trainer
    plain = options.devices == 1 and options.precision == TrainerConfig.precision
    known = options.accelerator in ("auto", "cpu", "gpu", "cuda")
    alone = plain and known and not config.tto.enabled
    return alone and load_lifter_class(str(config.method["name"])) is not None


def lift_tracks(
    model: Model,
    tracks: PoseTracks | None = None,
    *,
    hypotheses: bool = False,
    command: str | None = None,
    motion: MotionOptions | None = None,
    kept: Kept | None = None,
) -> Poses:
    """Lift keypoints; the one way from a model to poses.

    Args:
        model: A trained model.
        tracks: Keypoints; None lifts the test split of the model's data, with a trainer.
        hypotheses: Also keep every hypothesis.
        command: What repeats it, for ``meta``.
        motion: What happens to keypoints before, and to their poses afterwards; None for nothing.
        kept: Where answers so far go to, and are taken up from; a trainer does neither.

    Raises:
        DataError: There is nothing to lift, or it is damaged.
        ConfigError: The motion asks for what the model or the people cannot give.
    """
    if tracks is not None and PHOTOGRAPHS in tracks.source and model.config.data.frames > 1:
        raise ConfigError(
            f"expected a model of single frames, got '{model.config.name}' of windows of "
            f"{model.config.data.frames}, and {tracks.source[PHOTOGRAPHS]}; give --weights single "
            "(model='single') and no experiment"
        )
    if motion is not None and not motion.uses(FLIP):
        model = _unmirrored(model)
    chain = None if motion is None or tracks is None else _chain(model, tracks, motion)
    tracks = tracks if chain is None else chain.tracks
    if tracks is not None and type(model.module) is load_lifter_class(model.method):
        answers, tracks, options = _lift_alone(model, tracks, kept, hypotheses=hypotheses)
    else:
        if kept is not None and kept.resume:
            log.warning("%s is lifted by a trainer, from the beginning", model.method)
        from lifting.experiment.prediction_run import lift_with_trainer

        answers, tracks, options = lift_with_trainer(model, tracks, hypotheses=hypotheses)
    origin = _origin(model, tracks, command)
    if model.claims.usual is not None:
        origin[UNUSUAL] = _judged(model.claims.usual, tracks, model)
    poses = answers.poses(tracks, options, origin)
    if hypotheses and poses.hypotheses is None:
        log.warning("%s gives one answer: there are no hypotheses beside it", model.method)
    return poses if chain is None else chain.end(poses)


def _unmirrored(model: Model) -> Model:
    """The same weights, whose answers are not averaged with those to mirrored keypoints."""
    module = copy(model.module)
    module.settings = replace(module.settings, flip_test=False)
    return replace(model, config=replace(model.config, flip_test=False), module=module)


def _chain(model: Model, tracks: PoseTracks, motion: MotionOptions) -> Chain:
    if motion.causal and model.config.tto.enabled:
        raise ConfigError(
            "expected a model without test-time optimisation for --causal, got one with it; set "
            "tto.enabled=false"
        )
    check_known(motion, numbers_of(tracks), model.claims.skeleton)
    data = model.config.data
    fps = None if data.frames == 1 else model.claims.fps or data.fps or highest_rate(tracks)
    return Chain.begin(tracks, motion, data, fps)


def _judged(usual: Usual, tracks: PoseTracks, model: Model) -> dict[str, Any]:
    """How unusual the input is beside that of the training; said where it is."""
    facts = usual.judge(tracks).plain(tracks.track_names)
    if facts["tracks"]:
        reasons = [f"{name} {share:.0%}" for name, share in facts["by_reason"].items() if share]
        whys = [f"{name} ({why})" for name, why in list(facts["tracks"].items())[:3]]
        log.warning(
            "this input is unlike what '%s' was trained on, and answers may be far off: %d of %d "
            "tracks as a whole, %s; %.0f %% of the frames by themselves%s; check the size of the "
            "image, the order of the joints and of x and y, and the rate",
            model.config.name, len(facts["tracks"]), len(tracks.track_names), ", ".join(whys),
            100 * facts["share_of_frames"], f", {', '.join(reasons)}" if reasons else "",
        )  # fmt: skip
    return facts


def _lift_alone(
    model: Model, tracks: PoseTracks, kept: Kept | None, *, hypotheses: bool
) -> tuple[Answers, PoseTracks, GatherOptions]:
    """Answers to keypoints, which are brought to the joints and the rate of the weights."""
    data, claims = model.config.data, model.claims
    check_config(data)
    fps = None if data.frames == 1 else claims.fps or data.fps or highest_rate(tracks)
    tracks = check_tracks(conformed(tracks, claims.skeleton, fps), "test")
    options = replace(evaluation_options(data, model.config.seed), labels=False)
    device, size = torch.device("cpu"), min(data.eval_batch_size, SAMPLES)
    if model.config.trainer.accelerator != "cpu" and torch.cuda.is_available():
        device, size = torch.device("cuda"), data.eval_batch_size
    key = ""
    if kept is not None:
        what = (tracks_hash(tracks), sha256_of(model.checkpoint), hypotheses, size)
        key = " ".join(map(str, (*what, model.config.flip_test, options)))
    found = answer(
        model.module.to(device), tracks.to(device), options, size,
        hypotheses=hypotheses, kept=kept, key=key,
    )  # fmt: skip
    return found, tracks, options


def predict(
    config: ExperimentConfig,
    checkpoint: Path,
    output: Path,
    *,
    keypoints: Path | PoseTracks | None = None,
    hypotheses: bool = False,
    command: str | None = None,
    ready: Callable[[Skeleton], object] | None = None,
    motion: MotionOptions | None = None,
    resume: bool = False,
    then: Callable[[Poses], object] | None = None,
) -> Path:
    """Lift the test split, or a user's own keypoints, into an npz file, see :class:`Poses`.

    Args:
        config: The experiment.
        checkpoint: Weights of the experiment's method.
        output: The file to write.
        keypoints: Own 2D keypoints to lift instead, or their file if it needs no options.
        hypotheses: Also write every hypothesis.
        command: What repeats it, for the file.
        ready: Asked with the joints of the answers before anything is lifted; may refuse.
        motion: What happens to own keypoints and their poses, see :func:`lift_tracks`.
        resume: Go on with the answers that a lifting which was stopped left beside the file.
        then: What follows the file, such as exports; until it is done, ``resume`` has something to
            go on with.

    Returns:
        The file that was written.

    Raises:
        CheckpointError: The checkpoint does not fit.
        DataError: The keypoints are not of the described form.
        OutputError: The file cannot be written.
    """
    _check_place(output)
    tracks = read_keypoints(keypoints) if isinstance(keypoints, Path) else keypoints
    model = model_of(config, checkpoint, alone=tracks is not None)
    lift_into(
        output, model, tracks, hypotheses=hypotheses, command=command, ready=ready, motion=motion,
        resume=resume, then=then,
    )  # fmt: skip
    return output


def lift_into(
    output: Path,
    model: Model,
    tracks: PoseTracks | None,
    *,
    hypotheses: bool = False,
    command: str | None = None,
    ready: Callable[[Skeleton], object] | None = None,
    motion: MotionOptions | None = None,
    resume: bool = False,
    then: Callable[[Poses], object] | None = None,
) -> Poses:
    """Lift keypoints into an npz file, which is tried before anything is computed.

    Args:
        output: The file to write.
        model: A trained model.
        tracks: Keypoints; None lifts the test split of the model's data.
        hypotheses: Also write every hypothesis.
        command: What repeats it, for the file.
        ready: Asked with the joints of the answers before anything is lifted; may refuse.
        motion: What happens to own keypoints and their poses, see :func:`lift_tracks`.
        resume: Go on with the answers that a lifting which was stopped left beside the file.
        then: What follows the file, such as exports; until it is done, ``resume`` has something to
            go on with.

    Returns:
        What was written.

    Raises:
        DataError: There is nothing to lift, or it is damaged.
        OutputError: The file cannot be written.
    """
    _check_place(output)
    if ready is not None:
        ready(model.claims.skeleton)
    kept = None if tracks is None else Kept(output, resume=resume)
    poses = lift_tracks(
        model, tracks, hypotheses=hypotheses, command=command, motion=motion, kept=kept
    )
    poses.save(output)
    if then is not None:
        then(poses)
    if kept is not None:
        kept.end()
    return poses


def _check_place(output: Path) -> None:
    """Make the folder of a file, and try to write there."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(output, error) from error
    check_writable(output.parent)


def _origin(model: Model, tracks: PoseTracks, command: str | None) -> dict[str, Any]:
    """Where poses come from: command, method, weights, source, and what was assumed."""
    return {
        "command": command,
        "experiment": model.config.name,
        "method": model.config.method,
        "checkpoint": {"file": str(model.checkpoint), "sha256": sha256_of(model.checkpoint)},
        "stage": model.module.stage.name,
        "answers": {**model.module.describe(), "flip_averaging": model.config.flip_test},
        "optimisation": asdict(model.config.tto) if model.config.tto.enabled else None,
        **origin_of(tracks),
    }
