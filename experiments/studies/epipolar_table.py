"""The table of teachers and students, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from epipolar_plan import TRUTH, Plan
from epipolar_students import StudentRow
from epipolar_teachers import TeacherRow
from lifting.studies.page import caption, machine, markdown, number, write_page

NAME = "epipolar"
NEAR_TRUTH, BELOW_MEAN = 1.2, 0.7
_TEACHER_TITLES = (
    "teacher", "PA-MPJPE mm", "N-MPJPE mm", "MPJPE mm", "labelled %", "rigs by verdict",
    "held-out view px", "s a rig",
)  # fmt: skip
_STUDENT_TITLES = (
    "student, trained on", "PA-MPJPE mm", "N-MPJPE mm", "MPJPE mm", "PA, held-out view mm",
    "over the truth's", "over the mean pose's",
)  # fmt: skip


def write_table(
    plan: Plan, teachers: Sequence[TeacherRow], students: Sequence[StudentRow]
) -> tuple[Path, ...]:
    """Write what was measured so far, whole files only.

    Args:
        plan: The table.
        teachers: Rows of teachers.
        students: Rows of students and of the mean pose.

    Returns:
        The Markdown and the JSON file.

    Raises:
        OutputError: They cannot be written.
    """
    values = {
        "command": plan.command,
        "machine": machine(),
        "teachers": [asdict(row) for row in teachers],
        "students": [{**asdict(row), **ratios(row, students)} for row in students],
    }
    lines = [
        "# Labels from epipolar geometry, and students of them",
        "",
        f"`{plan.command}`",
        "",
        f"Measured on: {caption(machine())}.",
        "",
        *markdown(_TEACHER_TITLES, map(teacher_cells, teachers), left=1),
        "",
        *markdown(_STUDENT_TITLES, [student_cells(row, students) for row in students], left=1),
        "",
        f"A student of labels is to stay within {100 * (NEAR_TRUTH - 1):.0f} % of the student of "
        f"the truth, and below {100 * BELOW_MEAN:.0f} % of the mean pose, by PA-MPJPE. Without "
        "extrinsics the scale is that of people's bones, and MPJPE is left out.",
    ]
    return write_page(plan.output, NAME, lines, values)


def ratios(row: StudentRow, students: Sequence[StudentRow]) -> dict[str, float | None]:
    """PA-MPJPE of a student over that of the truth's student and of the mean pose.

    Args:
        row: The student.
        students: All rows.
    """
    found = {s.key: s.scores.get("pa_mpjpe_mm") for s in students}
    own = row.scores.get("pa_mpjpe_mm")

    def over(key: str) -> float | None:
        other = found.get(key)
        return None if own is None or not other else own / other

    return {"over_truth": over(TRUTH), "over_mean_pose": over("mean_pose")}


def teacher_cells(row: TeacherRow) -> list[str]:
    """A teacher's line."""
    verdicts = ", ".join(f"{count} {name}" for name, count in row.verdicts.items())
    if row.failed:
        verdicts = f"{verdicts}, {len(row.failed)} not solved".lstrip(", ")
    return [
        row.words, number(row.pa_mpjpe_mm), number(row.n_mpjpe_mm), number(row.mpjpe_mm),
        number(100 * row.labelled), verdicts or "-", number(row.held_out_px),
        number(row.seconds),
    ]  # fmt: skip


def student_cells(row: StudentRow, students: Sequence[StudentRow]) -> list[str]:
    """A student's line."""
    shares = ratios(row, students)
    scores = [row.scores.get(k) for k in ("pa_mpjpe_mm", "n_mpjpe_mm", "mpjpe_mm")]
    return [
        row.words, *map(number, scores), number(row.held_out),
        number(shares["over_truth"], ".2f"), number(shares["over_mean_pose"], ".2f"),
    ]  # fmt: skip
