"""From samples to answers, and from answers to poses, with a lifter alone. No Lightning."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction
from lifting.data.conform import at_input_frames
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.data.sampler import BatchSampler, Share
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.experiment.kept import Kept
from lifting.files.checks import files_hash, sha256_of
from lifting.methods.lifter import PoseLifter
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.poses import Poses

log = logging.getLogger(__name__)

SAY_EVERY_S = 10.0
"""How often long work says how far it is, seconds."""
KEEP_EVERY_S = 30.0
"""How often long work keeps what it has, seconds."""
NOTED = (
    "joints_converted", "approximate_joints", "frames_resampled", "frame_rate", "intrinsics",
    "two_d", "joints_told_by", "people", "person", "photographs", "notes",
)  # fmt: skip
"""Facts of the input that go with the answers."""
COUNTED = ("joints_not_finite", "joints_far_outside", "confidences_clipped", "sightings_dropped")
"""Those that do where they are not zero."""


class Answers:
    """Collects what a lifter answers, batch by batch.

    Args:
        hypotheses: Also keep every hypothesis.
    """

    def __init__(self, *, hypotheses: bool = False) -> None:
        self.hypotheses = hypotheses
        self.columns: dict[str, list[Tensor]] = {}

    def add(self, prediction: Prediction, batch: PoseBatch) -> None:
        """Keep the answer to a batch."""
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

    def poses(self, tracks: PoseTracks, options: GatherOptions, meta: Mapping[str, Any]) -> Poses:
        """What was collected, a row a frame in order of track and frame.

        A frame that several windows answered comes once, see :func:`one_answer_a_frame`; answers
        to resampled tracks come at the frames that were read.

        Args:
            tracks: What was lifted.
            options: How they became batches; ``every`` is that of the frames that were read.
            meta: Where the poses come from, see :func:`origin_of`.

        Raises:
            DataError: Nothing was answered.
        """
        if not self.columns:
            raise DataError("expected at least one sample to predict, got none; check the data")
        columns = {name: torch.cat(parts) for name, parts in self.columns.items()}
        centred = options.windows == "centred"
        lengths = tracks.offsets.diff().cpu()
        answers = one_answer_a_frame(columns, lengths, options.stride, centred=centred)
        rows = tracks.offsets[answers["track"]] + answers["frame"]
        answers |= {
            "keypoints_2d": tracks.keypoints_2d[rows],
            "confidence": tracks.confidence[rows],
        }
        answers = at_input_frames(answers, tracks, options.every)
        track, frame = answers.pop("track"), answers.pop("frame") * tracks.frame_step
        if tracks.first_frame is not None:
            frame = frame + tracks.first_frame[track]
        answers["confidence"] = answers["confidence"].clamp(0, 1)  # a cubic may leave the range
        if "sigma" in answers:
            answers["sigma"] = answers["sigma"].clamp(min=0)
            answers["expected_error"] = LENGTH_PER_AXIS * answers["sigma"]
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
            people=_people(tracks),
            fps=_one_for_all(fps).numpy(),
            intrinsics=_one_for_all(lenses).numpy() if bool(lenses.isfinite().all()) else None,
            image_size=_one_for_all(sizes).numpy() if bool(sizes.isfinite().all()) else None,
            meta=dict(meta),
            **arrays,
        )


@torch.no_grad()
def answer(
    lifter: PoseLifter,
    tracks: PoseTracks,
    options: GatherOptions,
    batch_size: int,
    *,
    hypotheses: bool = False,
    kept: Kept | None = None,
    key: str = "",
) -> Answers:
    """Lift tracks in the joints and at the rate of a lifter.

    Args:
        lifter: In evaluation mode.
        tracks: What to lift, on the device of the lifter.
        options: How they become batches.
        batch_size: Samples a batch at most.
        hypotheses: Also keep every hypothesis.
        kept: Where answers so far go to, and are taken up from.
        key: What decides them.
    """
    batches = TrackBatches(tracks, options)
    sampler = BatchSampler(
        len(batches), batch_size, seed=options.seed, shuffle=False, share=Share()
    )
    found = Answers(hypotheses=hypotheses)
    first = 0
    if kept is not None:
        found.columns, first = kept.begin(key)
    begun = said = saved = time.monotonic()
    done = before = 0
    for number, chosen in enumerate(sampler):
        if number < first:
            done = before = before + len(chosen.samples)
            continue
        batch = batches[chosen]
        found.add(lifter.infer(batch), batch)
        done, now = done + len(batch), time.monotonic()
        if kept is not None and now - saved >= KEEP_EVERY_S and done < len(batches):
            kept.write(found.columns, number + 1)
            saved = time.monotonic()
        if now - said >= SAY_EVERY_S and done < len(batches):
            left = (now - begun) / (done - before) * (len(batches) - done)
            log.info("%d of %d samples lifted, about %.0f s left", done, len(batches), left)
            said = now
    return found


def origin_of(tracks: PoseTracks) -> dict[str, Any]:
    """Where keypoints come from, and what was assumed, as ``meta`` of poses says it."""
    source = dict(tracks.source)
    file = Path(source["file"]) if "file" in source else None
    if file is not None and file.exists():
        inside = sorted(p for p in file.iterdir() if p.is_file()) if file.is_dir() else None
        source["sha256"] = sha256_of(file) if inside is None else files_hash(inside)
    return {
        "frame": "camera",
        "intrinsics": tracks.camera_kind,
        "source": source,
        "notes": [
            f"{key}: {value}"
            for key, value in source.items()
            if key in NOTED or (key in COUNTED and value != "0")
        ],
    }


def _without_targets(name: str, values: Tensor) -> Tensor:
    """The columns of a method's answers without their axis of targets, which has one left."""
    if name in ("keypoints_2d", "confidence"):
        return values
    return values.squeeze(2 if name == "hypotheses" else 1)


def _people(tracks: PoseTracks) -> tuple[str, ...]:
    """Whose track it is, of a user's own video, where tracks are pieces of its people."""
    if tracks.first_frame is None:
        return ()
    names = tracks.subject_names
    return tuple(names[i] if len(names) > 1 else "person" for i in tracks.subject.tolist())


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of tracks, numbered where a data set gives one to several."""
    if len(set(names)) == len(names):
        return names
    return tuple(f"{name} #{number}" for number, name in enumerate(names))


def _one_for_all(values: Tensor) -> Tensor:
    """The first of values a track where all are alike, else as they are."""
    same = torch.equal(values.nan_to_num(-1.0), values[:1].expand_as(values).nan_to_num(-1.0))
    return values[0] if same else values


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
