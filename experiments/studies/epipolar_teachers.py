"""Errors of a teacher's labels against the truth of the test split, and of a held-out view."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from epipolar_plan import Plan, TeacherKind
from lifting.atomic import write_text
from lifting.batch import root_relative
from lifting.data.cache import cache_folder, tracks_hash
from lifting.data.config import TeacherConfig
from lifting.data.datamodule import spread_recordings
from lifting.data.epipolar_labels import (
    FOLDER,
    rig_hash,
    rig_views,
    rigs,
    solved_rig,
    view_name,
    without_truth,
)
from lifting.data.sequence import PoseTracks
from lifting.data.sources import load_tracks
from lifting.errors import DataError
from lifting.metrics.functional.position import joint_errors
from lifting.teacher.held_out_view import held_out_error
from lifting.teacher.solution import labels_in_camera


@dataclass
class TeacherRow:
    """What a teacher's labels are worth. Errors are means over labelled joints, mm.

    Attributes:
        key: Of the kind.
        words: What the teacher was told.
        rigs: Recordings that were solved.
        verdicts: Number of rigs by verdict; all of them are scored.
        failed: Recordings that could not be solved, with the first reason.
        labelled: Share of joints with a label.
        pa_mpjpe_mm: Error after similarity alignment.
        n_mpjpe_mm: Error after scaling.
        mpjpe_mm: Error as it is; None where the scale is not known.
        rig_median_pa_mm: Median over rigs of their PA-MPJPE.
        held_out_px: Median over rigs of the median error in a view that took no part, pixels.
        seconds: Median time to solve a rig, where it was not read from the cache.
    """

    key: str
    words: str
    rigs: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    labelled: float = float("nan")
    pa_mpjpe_mm: float = float("nan")
    n_mpjpe_mm: float = float("nan")
    mpjpe_mm: float | None = None
    rig_median_pa_mm: float = float("nan")
    held_out_px: float | None = None
    seconds: float | None = None


def teacher_row(plan: Plan, kind: TeacherKind) -> TeacherRow:
    """Measure a teacher on the test split; a row that was measured before is read.

    Args:
        plan: The table.
        kind: The teacher.

    Raises:
        DataError: The test split has no truth, or no recording of several views.
    """
    config = plan.data().data
    tracks = load_tracks(config, "test")
    if plan.rigs:
        tracks = spread_recordings(tracks, plan.rigs)
    teacher = plan.teacher(kind)
    asked: dict[str, object] = {
        "kind": asdict(kind),
        "teacher": asdict(teacher),
        "tracks": tracks_hash(tracks),
        "held_out": plan.held_out,
    }
    path = plan.output / "teachers" / f"{kind.key}.json"
    known = _read(path, asked)
    if known is not None:
        return known
    row = _measure(tracks, teacher, kind, plan.held_out, cache_folder(config.cache) / FOLDER)
    write_text(path, json.dumps({"asked": asked, "row": asdict(row)}, indent=2) + "\n")
    return row


def _measure(
    tracks: PoseTracks, teacher: TeacherConfig, kind: TeacherKind, held_out: str, cache: Path
) -> TeacherRow:
    truth, options = tracks.labels(), teacher.options()
    blind = without_truth(tracks, teacher.cameras)
    root = tracks.skeleton.root
    row = TeacherRow(kind.key, kind.words)
    verdicts: Counter[str] = Counter()
    sums, medians, hidden, seconds = torch.zeros(5, dtype=torch.float64), [], [], []
    for group in rigs(blind, teacher):
        views = rig_views(blind, group)
        new = not (cache / f"rig-{rig_hash(views, options)}.npz").is_file()
        start = time.monotonic()
        try:
            solution = solved_rig(views, options, cache)
        except DataError as error:
            row.failed.append(str(error))
            continue
        seconds += [time.monotonic() - start] if new else []
        verdicts[solution.quality.verdict] += 1
        labels = labels_in_camera(solution)
        valid = (labels.weights > 0) & (labels.weights[:, root, None] > 0)
        target = torch.stack([truth[_rows(tracks, int(t))] for t in group]).double()
        found = _score(labels.joints, target, valid.expand(len(group), -1, -1), root)
        sums += found
        medians.append(float(found[2] / found[0].clamp(min=1)))
        names = [view_name(tracks.track_names[int(t)]) for t in group]
        if kind.holds_out and held_out in names and len(names) > 2:
            hidden.append(held_out_error(views, options, view=names.index(held_out)).median)
    count = sums[0].clamp(min=1)
    row.rigs, row.verdicts = sum(verdicts.values()), dict(sorted(verdicts.items()))
    if not row.rigs:
        return row
    row.labelled = float(sums[0] / sums[4])
    row.pa_mpjpe_mm, row.n_mpjpe_mm = float(sums[2] / count), float(sums[3] / count)
    row.mpjpe_mm = float(sums[1] / count) if teacher.cameras == "given" else None
    row.rig_median_pa_mm = float(torch.tensor(medians).median())
    row.held_out_px = float(torch.tensor(hidden).median()) if hidden else None
    row.seconds = float(torch.tensor(seconds).median()) if seconds else None
    return row


def _score(labels: Tensor, target: Tensor, valid: Tensor, root: int) -> Tensor:
    """Labelled joints, sums of plain, aligned and scaled errors, and all joints, ``(5,)``."""
    pose = root_relative(labels, root).nan_to_num().flatten(0, 1).float()
    truth = root_relative(target, root).flatten(0, 1).float()
    mask = valid.flatten(0, 1)
    kinds = (
        joint_errors(pose, truth, mask),
        joint_errors(pose, truth, mask, align="similarity"),
        joint_errors(pose, truth, mask, align="scale"),
    )
    totals = [torch.where(mask, k.error.nan_to_num(), 0.0).sum().double() for k in kinds]
    return torch.stack((mask.sum().double(), *totals, torch.tensor(float(mask.numel()))))


def _rows(tracks: PoseTracks, track: int) -> slice:
    return slice(int(tracks.offsets[track]), int(tracks.offsets[track + 1]))


def _read(path: Path, asked: dict[str, object]) -> TeacherRow | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["asked"] == json.loads(json.dumps(asked))
        return TeacherRow(**content["row"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
