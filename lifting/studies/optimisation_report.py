"""Studies of test-time optimisation as Markdown, JSON, CSV and charts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lifting.atomic import write_text
from lifting.studies.bootstrap import RESAMPLES
from lifting.studies.calibration import AFFINE, TEMPERATURE, Calibrated, Quality
from lifting.studies.curves import Course
from lifting.studies.frames import Shown
from lifting.studies.measure import choose_device
from lifting.studies.optimisation import Row
from lifting.studies.pages import caption, draw, facts, head, machine, markdown, write_page
from lifting.studies.plan import ROOTS, Plan, Run
from lifting.tto.config import RootRule
from lifting.tto.objective import UNIFORM_SIGMA_MM
from lifting.visualization.tto_plots import StepCurve, reliability_chart, step_chart

RUN_TITLES = (
    "method", "run", "training s", "training samples", "steps", "rate", "anchor weight",
    "uniform error mm",
)  # fmt: skip
ROW_TITLES = (
    "method", "optimisation", "MPJPE", "change", "PA-MPJPE", "PCK@150", "2D residual px",
    "CPU ms a pose", "not optimised",
)  # fmt: skip
FIT_TITLES = (
    "expected error", "scale", "shift", "likelihood", "Pearson", "Spearman", "gap mm",
)  # fmt: skip
MARKS = (0, 4, 10, 20)


def write_table(
    rows: Sequence[Row], runs: Sequence[Run], shown: Shown, plan: Plan
) -> tuple[Path, ...]:
    """Write ``table.md`` and ``table.json``; oracle results have tables of their own.

    Raises:
        OutputError: They cannot be written.
    """
    note = (
        f"Errors in mm, PCK in %; the change of MPJPE is paired, with its 95 % interval over "
        f"{RESAMPLES:,} resamples of the recordings. A dash: the method predicts no error of its "
        "own, so that this anchor is the uniform one."
    )
    device = choose_device(plan.device).type.upper().replace("CUDA", "GPU")
    titles = [title.replace("CPU", device) for title in ROW_TITLES]
    lines = [*head(plan, shown), "", note, "", *_runs(runs)]
    for exact, root in dict.fromkeys((row.exact, row.root) for row in rows):
        chosen = [row for row in rows if (row.exact, row.root) == (exact, root)]
        lines += ["", f"**{heading(exact, root)}**", ""]
        lines += markdown(titles, [cells(row) for row in chosen])
    values = {"rows": [{**asdict(row), "oracle": row.oracle} for row in rows]}
    return write_page("table", lines, {**facts(runs, shown, plan), **values}, plan)


def write_courses(
    courses: Sequence[Course], runs: Sequence[Run], shown: Shown, plan: Plan
) -> tuple[Path, ...]:
    """Write ``curves.md``, ``.json``, ``.csv`` and a chart of each run.

    Raises:
        OutputError: They cannot be written.
    """
    exact = runs[0].views[0].exact
    last = len(courses[0].mpjpe_mm) - 1
    marks = [*(mark for mark in MARKS if mark < last), last]
    titles = (
        "method", "optimisation", *(f"MPJPE at {k}" for k in marks), "least", "2D residual at 0",
        f"at {last}",
    )  # fmt: skip
    lines = [*head(plan, shown), "", "Every step is taken; errors in mm, residuals in px.", ""]
    lines += _runs(runs, steps=last)
    for root in ROOTS:
        chosen = [course for course in courses if course.root == root]
        lines += ["", f"**{heading(exact, root)}**", ""]
        lines += markdown(titles, [_course_cells(course, marks) for course in chosen])
    values = {"courses": [asdict(course) for course in courses]}
    files = write_page("curves", lines, {**facts(runs, shown, plan), **values}, plan)
    table = plan.output / "curves.csv"
    write_text(table, _csv(courses))
    charts = [draw(_chart(run, courses, exact=exact), plan, f"curves-{run.label}") for run in runs]
    return (*files, table, *charts)


def write_calibration(study: Calibrated, run: Run, plan: Plan) -> tuple[Path, ...]:
    """Write ``calibration.md``, ``.json`` and the reliability chart.

    Raises:
        OutputError: They cannot be written.
    """
    note = (
        f"{run.label}, run {run.name}, data {run.config.data.name}: fitted on "
        f"{study.poses[0]:,} validation poses of {study.recordings[0]:,} recordings, judged on "
        f"{study.poses[1]:,} test poses of {study.recordings[1]:,}, seed {plan.seed}; "
        f"{caption(machine())}."
    )
    meaning = (
        "Likelihood is that of the training, nats a joint, lower is better; gap is the mean "
        "distance of expected and observed error over tenths of the joints; the root is left out."
    )
    table = markdown(FIT_TITLES, [_fit_cells(*item) for item in study.qualities.items()], left=1)
    lines = [f"`{plan.command}`", "", note, "", meaning, "", *table, ""]
    lines += [f"- {name}: `{overrides_of(study, name)}`" for name in (TEMPERATURE, AFFINE)]
    values = {
        "command": plan.command,
        "run": run.name,
        "data": run.config.data.name,
        "machine": machine(),
        "seed": plan.seed,
        "poses": study.poses,
        "recordings": study.recordings,
        "qualities": {name: _plain(q) for name, q in study.qualities.items()},
    }
    files = write_page("calibration", lines, values, plan)
    chart = reliability_chart(
        {name: q.reliability for name, q in study.qualities.items()},
        title=f"{run.label}: expected and observed error, test split",
    )
    return (*files, draw(chart, plan, "calibration"))


def overrides_of(study: Calibrated, name: str) -> str:
    """The overrides that apply one of the calibrations to an optimisation."""
    scale, shift = study.qualities[name].calibration
    return f"tto.sigma_scale={scale:.6g} tto.sigma_shift={shift:.6g}"


def heading(exact: bool, root: RootRule) -> str:
    """Title of a table: deployable, or what the oracle told."""
    told = [*(["exact keypoints"] if exact else []), *([ROOTS["gt"]] if root == "gt" else [])]
    if told:
        return f"Oracle: {', '.join(told)}"
    return f"Deployable: the data's keypoints, {ROOTS['solve']}"


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    if row.scores is None:
        return (row.run, row.variant, *["-"] * (len(ROW_TITLES) - 2))
    change, residual = "-", "-"
    if row.change_mm is not None and row.interval_mm is not None:
        low, high = row.interval_mm
        change = f"{row.change_mm:+.2f} ({low:+.2f} to {high:+.2f})"
    if row.residual_px is not None:
        residual = " to ".join(f"{value:.2f}" for value in row.residual_px if value is not None)
    return (
        row.run,
        row.variant,
        f"{row.scores['mpjpe_mm']:.1f}",
        change,
        f"{row.scores['pa_mpjpe_mm']:.1f}",
        f"{row.scores['pck_150mm']:.1f}",
        residual,
        f"{row.pose_ms:.2f}",
        "-" if row.not_optimised is None else f"{row.not_optimised:,}",
    )


def _fit_cells(name: str, quality: Quality) -> tuple[str, ...]:
    scale, shift = quality.calibration
    return (
        name,
        f"{scale:.4f}",
        f"{shift:+.4f}",
        f"{quality.likelihood:.4f}",
        f"{quality.pearson:.3f}",
        f"{quality.spearman:.3f}",
        f"{quality.gap_mm:.1f}",
    )


def _plain(quality: Quality) -> dict[str, Any]:
    """A quality as plain values."""
    tenths = {name: values.tolist() for name, values in quality.reliability._asdict().items()}
    return {
        **asdict(quality),
        "calibration": quality.calibration._asdict(),
        "reliability": tenths,
    }


def _course_cells(course: Course, marks: Iterable[int]) -> tuple[str, ...]:
    best = int(np.nanargmin(course.mpjpe_mm))
    return (
        course.run,
        course.variant,
        *(f"{course.mpjpe_mm[k]:.1f}" for k in marks),
        f"{course.mpjpe_mm[best]:.1f} at {best}",
        f"{course.residual_px[0]:.2f}",
        f"{course.residual_px[-1]:.2f}",
    )


def _chart(run: Run, courses: Iterable[Course], *, exact: bool) -> Figure:
    panels: dict[str, dict[str, StepCurve]] = {heading(exact, root): {} for root in ROOTS}
    for course in courses:
        if course.run == run.label:
            curve = StepCurve(np.array(course.mpjpe_mm), np.array(course.residual_px))
            panels[heading(exact, course.root)][course.variant] = curve
    return step_chart(panels, title=f"{run.label}: test-time optimisation, step by step")


def _csv(courses: Iterable[Course]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("run", "root", "variant", "step", "mpjpe_mm", "residual_px"))
    for course in courses:
        pairs = zip(course.mpjpe_mm, course.residual_px, strict=True)
        for step, (error, residual) in enumerate(pairs):
            numbers = (f"{error:.4f}", f"{residual:.4f}")
            writer.writerow((course.run, course.root, course.variant, step, *numbers))
    return text.getvalue()


def _runs(runs: Sequence[Run], *, steps: int | None = None) -> list[str]:
    rows = []
    for run in runs:
        tto, budget = run.config.tto, run.budget
        spent = ("-", "-") if budget is None else (f"{budget.seconds:.0f}", f"{budget.samples:,}")
        numbers = (tto.lr, tto.weight_anchor, UNIFORM_SIGMA_MM)
        rate, weight, uniform = (f"{number:g}" for number in numbers)
        taken = tto.iterations if steps is None else steps
        rows.append((run.label, run.name, *spent, str(taken), rate, weight, uniform))
    return markdown(RUN_TITLES, rows)
