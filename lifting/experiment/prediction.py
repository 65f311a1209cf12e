"""A trained model, and the poses that it lifts from a test split or a user's own keypoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.data.conform import at_input_frames
from lifting.data.datamodule import PoseDataModule
from lifting.data.sequence import PoseTracks
from lifting.errors import CheckpointError, ConfigError, DataError
from lifting.experiment.build import (
    build_data,
    build_trainer,
    optimization_callbacks,
    prepare_process,
)
from lifting.experiment.checkpoint import described, read_checkpoint
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    newest_run,
    newest_weights,
    run_of_checkpoint,
)
from lifting.experiment.load import load_experiment, load_values
from lifting.experiment.processes import call_trainer, of_all
from lifting.experiment.trained import Claims, trained_module
from lifting.files.checks import as_path, files_hash, sha256_of
from lifting.methods.base import CHECKPOINT_KEY, LiftingModule
from lifting.poses import Poses

log = logging.getLogger(__name__)

NOTED = (
    "joints_converted", "approximate_joints", "frames_resampled", "frame_rate", "intrinsics",
    "two_d", "joints_told_by", "people", "person", "notes",
)  # fmt: skip
"""Facts of the input that go with the answers."""


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
    module: LiftingModule
    claims: Claims


def load_model(path: str | Path) -> Model:
    """A trained model.

    Args:
        path: A checkpoint; or the folder of a run, whose best checkpoint is taken, of the newest
            stage that has any; or the folder of an experiment's runs, ``outputs/simple_baseline``,
            of which the newest is taken.

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
    if folder is not None:
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


def model_of(config: ExperimentConfig, checkpoint: Path) -> Model:
    """The model of an experiment and a checkpoint of its method.

    Args:
        config: The experiment.
        checkpoint: Weights of its method.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    prepare_process(config)
    return Model(config, checkpoint, *trained_module(config, checkpoint))


def lift_tracks(
    model: Model,
    tracks: PoseTracks | None = None,
    *,
    hypotheses: bool = False,
    command: str | None = None,
) -> Poses:
    """Lift keypoints; the one way from a model to poses.

    Args:
        model: A trained model.
        tracks: Keypoints; None lifts the test split of the model's data.
        hypotheses: Also keep every hypothesis.
        command: What repeats it, for ``meta``.

    Raises:
        DataError: There is nothing to lift, or it is damaged.
    """
    config = model.config
    if tracks is not None:
        config = replace(config, data=replace(config.data, eval_every=1))
    data = build_data(config, model.claims.skeleton, model.claims.fps, tracks)
    store = PredictionStore(hypotheses=hypotheses)
    callbacks = [*optimization_callbacks(config), store]
    trainer = build_trainer(config, Path(config.output), callbacks=callbacks)
    call_trainer(
        trainer, lambda: trainer.predict(model.module, datamodule=data, return_predictions=False)
    )
    poses = store.poses(model, data, command)
    if hypotheses and poses.hypotheses is None:
        log.warning(
            "%s gives one answer: there are no hypotheses beside it", config.method["name"]
        )
    return poses


class PredictionStore(Callback):
    """Collects what a prediction run answers.

    Args:
        hypotheses: Also keep every hypothesis.
    """

    def __init__(self, *, hypotheses: bool = False) -> None:
        self.hypotheses = hypotheses
        self.columns: dict[str, list[Tensor]] = {}

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's answer."""
        prediction: Prediction = outputs
        values = {
            "joints_3d": prediction.joints_3d,
            "sigma": prediction.sigma,
            "trajectory": prediction.trajectory,
            "hypotheses": prediction.hypotheses if self.hypotheses else None,
            "track": batch.sequence,
            "frame": batch.frame,
        }
        for name, value in values.items():
            if value is not None:
                self.columns.setdefault(name, []).append(value.detach().cpu())

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give all processes the answers of all, in the order in which one would have them."""
        shares = of_all(self.columns)  # each has a slice of every batch
        for name in tuple(self.columns):
            batches = zip(*[share[name] for share in shares], strict=True)
            self.columns[name] = [part for slices in batches for part in slices]

    def poses(self, model: Model, data: PoseDataModule, command: str | None = None) -> Poses:
        """What was collected, a row a frame in order of track and frame.

        A frame that several windows answered comes once, see :func:`one_answer_a_frame`; answers
        to resampled tracks come at the frames that were read.

        Args:
            model: What answered.
            data: What was lifted.
            command: What repeats it.

        Raises:
            DataError: Nothing was predicted.
        """
        if not self.columns:
            raise DataError("expected at least one sample to predict, got none; check the data")
        tracks, every = data.tracks("test"), data.config.eval_every
        columns = {name: torch.cat(parts) for name, parts in self.columns.items()}
        centred = data.config.windows == "centred"
        lengths = tracks.offsets.diff().cpu()
        answers = one_answer_a_frame(columns, lengths, data.config.window_stride, centred=centred)
        rows = tracks.offsets[answers["track"]] + answers["frame"]
        answers |= {
            "keypoints_2d": tracks.keypoints_2d[rows],
            "confidence": tracks.confidence[rows],
        }
        answers = at_input_frames(answers, tracks, every)
        track, frame = answers.pop("track"), answers.pop("frame") * tracks.frame_step
        if tracks.first_frame is not None:
            frame = frame + tracks.first_frame[track]
        answers["confidence"] = answers["confidence"].clamp(0, 1)  # a cubic may leave the range
        arrays: dict[str, Any] = {n: _without_targets(n, v).numpy() for n, v in answers.items()}
        fps = tracks.fps if tracks.read_fps is None else tracks.read_fps
        sizes, lenses = (
            v[tracks.camera] for v in (tracks.cameras.size, tracks.cameras.intrinsics)
        )
        return Poses(
            skeleton=tracks.skeleton,
            track=track.numpy(),
            frame=frame.numpy(),
            track_names=_each_once(tracks.track_names),
            fps=_one_for_all(fps).numpy(),
            intrinsics=_one_for_all(lenses).numpy() if bool(lenses.isfinite().all()) else None,
            image_size=_one_for_all(sizes).numpy() if bool(sizes.isfinite().all()) else None,
            meta=_origin(model, tracks, command),
            **arrays,
        )


def _without_targets(name: str, values: Tensor) -> Tensor:
    """The columns of a method's answers without their axis of targets, which has one left."""
    if name in ("keypoints_2d", "confidence"):
        return values
    return values.squeeze(2 if name == "hypotheses" else 1)


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of tracks, numbered where a data set gives one to several."""
    if len(set(names)) == len(names):
        return names
    return tuple(f"{name} #{number}" for number, name in enumerate(names))


def _one_for_all(values: Tensor) -> Tensor:
    """The first of values a track where all are alike, else as they are."""
    same = torch.equal(values.nan_to_num(-1.0), values[:1].expand_as(values).nan_to_num(-1.0))
    return values[0] if same else values


def _origin(model: Model, tracks: PoseTracks, command: str | None) -> dict[str, Any]:
    """Where poses come from: command, method, weights, source, and what was assumed."""
    source = dict(tracks.source)
    file = Path(source["file"]) if "file" in source else None
    if file is not None and file.exists():
        inside = sorted(p for p in file.iterdir() if p.is_file()) if file.is_dir() else None
        source["sha256"] = sha256_of(file) if inside is None else files_hash(inside)
    return {
        "command": command,
        "experiment": model.config.name,
        "method": model.config.method,
        "checkpoint": {"file": str(model.checkpoint), "sha256": sha256_of(model.checkpoint)},
        "stage": model.module.stage.name,
        "answers": model.module.describe(),
        "frame": "camera",
        "intrinsics": tracks.camera_kind,
        "source": source,
        "notes": [f"{key}: {value}" for key, value in source.items() if key in NOTED],
    }


def one_answer_a_frame(
    columns: Mapping[str, Tensor], lengths: Tensor, stride: int, *, centred: bool
) -> dict[str, Tensor]:
    """Answers of whole windows as one row a frame, in order of track and frame.

    Args:
        columns: ``joints_3d (N, targets, joints, 3)``, ``track (N,)``, ``frame (N,)`` of the
            middle, and other answers with the axis of targets.
        lengths: Frames of each track; answers to repeated edge frames are left out.
        stride: Frames between two neighbours inside a window.
        centred: Take the answer whose window has the frame nearest to its middle, else that of
            the earliest window.

    Returns:
        The same columns, ``targets`` 1; as they were where it was 1 already.
    """
    windows, targets = columns["joints_3d"].shape[:2]
    if targets == 1:
        return dict(columns)
    steps = (torch.arange(targets) - targets // 2) * stride
    track = columns["track"].cpu()[:, None].expand(-1, targets).flatten()
    frame = (columns["frame"].cpu()[:, None] + steps).flatten()
    order = torch.arange(windows)[:, None].expand(-1, targets).flatten()
    rank = steps.abs().expand(windows, -1).flatten() if centred else order
    real = ((frame >= 0) & (frame < lengths[track])).nonzero().squeeze(1)
    place = (torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))[track] + frame)[real]
    by_rank = rank[real].argsort(stable=True)
    chosen = by_rank[place[by_rank].argsort(stable=True)]
    ahead = place[chosen].diff(prepend=place.new_full((1,), -1)) > 0
    row = real[chosen[ahead]]
    kept = {"track": track[row], "frame": frame[row]}
    for name, values in columns.items():
        if name in kept:
            continue
        axis = 2 if name == "hypotheses" else 1
        kept[name] = values.movedim(axis, 1).flatten(0, 1)[row].unsqueeze(axis)
    return kept
