"""The same lifting method trained on the truth and on a teacher's labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from epipolar_plan import Plan, StudentKind
from lifting.data.epipolar_labels import view_name
from lifting.experiment.baselines import MEAN_POSE
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.record import ResultRecord, read_record
from lifting.experiment.sequences import SEQUENCES_FILE, read_sequences
from lifting.studies.measure import scored_checkpoint, trained_run

METRICS = ("pa_mpjpe_mm", "n_mpjpe_mm", "mpjpe_mm")


@dataclass
class StudentRow:
    """Scores of a student on the test split, or of the mean pose.

    Attributes:
        key: Of the kind.
        words: What it was trained on.
        protocol: In the words of its record.
        scores: By metric, mm; those that the labels' scale forbids are left out.
        held_out: PA-MPJPE on the view that is held out from some, mm.
        folder: Of its run, in that of the table.
    """

    key: str
    words: str
    protocol: str
    scores: dict[str, float]
    held_out: float | None = None
    folder: str = ""


def student_row(plan: Plan, kind: StudentKind) -> StudentRow:
    """Train a student, or continue, or read what was trained; then give its scores.

    Args:
        plan: The table.
        kind: The student.

    Raises:
        LiftingError: The training failed.
    """
    folder = _trained(plan, kind)
    record = read_record(folder / RECORD_FILE)
    told = record.extras["supervision"]
    protocol = str(told["protocol"])
    if kind.over is not None:
        protocol = f"{record.extras['refined_model']}; unit {protocol}"
    return StudentRow(
        kind.key,
        kind.words,
        protocol,
        {name: record.metrics[name] for name in METRICS if name in record.metrics},
        _on_view(folder, plan.held_out),
        str(folder.relative_to(plan.output)),
    )


def mean_pose_row(plan: Plan, truth: StudentRow) -> StudentRow:
    """Scores of the mean pose of the training split's truth.

    Args:
        plan: The table.
        truth: The student that was trained on the truth.
    """
    record: ResultRecord = read_record(plan.output / truth.folder / RECORD_FILE)
    found = record.baselines[MEAN_POSE]
    scores = {name: found[name] for name in METRICS if name in found}
    return StudentRow("mean_pose", "mean pose of the truth", "no learning", scores)


def _trained(plan: Plan, kind: StudentKind) -> Path:
    over = None
    if kind.over is not None:
        below = next(k for k in plan.all_kinds() if k.key == kind.over)
        over = scored_checkpoint(_trained(plan, below))
    config = plan.config(kind, over)
    return trained_run(config)


def _on_view(folder: Path, view: str) -> float | None:
    """PA-MPJPE over the tracks of one view."""
    rows = [r for r in read_sequences(folder / SEQUENCES_FILE) if view_name(r.track) == view]
    joints = sum(r.joints for r in rows)
    return sum(r.pa_mpjpe_mm * r.joints for r in rows) / joints if joints else None
