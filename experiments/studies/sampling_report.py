"""A study of sampling as Markdown, JSON and a chart of errors against network calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lifting.atomic import replacing, write_text
from lifting.experiment.load import method_config
from lifting.studies.bootstrap import RESAMPLES
from lifting.studies.frames import Shown
from lifting.studies.measure import choose_device
from lifting.studies.pages import caption, machine
from lifting.studies.plan import Plan, Run
from lifting.visualization.style import save_figure
from sampling_plan import CONTEXT, STUDENT, TEACHER, Grid
from sampling_plots import CallCurve, CallPanel, calls_chart
from sampling_study import Change, Row

RUN_TITLES = (
    "method", "run", "training s", "training samples", "seed", "own steps", "start level", "eta",
    "hypotheses", "aggregation",
)  # fmt: skip
ROW_TITLES = (
    "method", "answer", "steps", "calls a pose", "MPJPE", "change", "%", "PA-MPJPE",
    "CPU ms a pose",
)  # fmt: skip
RUN_AS_TITLES = (
    "method", "answer", "steps", "run as", "MPJPE", "change to float32", "%", "CPU ms a pose",
)  # fmt: skip
STEM = "sampling"


def write_study(
    rows: Sequence[Row], runs: Sequence[Run], shown: Shown, plan: Plan, grid: Grid
) -> tuple[Path, ...]:
    """Write ``sampling.md``, ``.json`` and ``.png``.

    Args:
        rows: All answers of all runs.
        runs: The runs.
        shown: The frames.
        plan: How they were looked at.
        grid: What was tried.

    Raises:
        OutputError: They cannot be written.
    """
    plain = [row for row in rows if row.answer == row.answer.plain]
    others = [row for row in rows if row.answer != row.answer.plain]
    lines = [*_head(plan, shown), "", *_runs(runs, grid), "", _note(plan), ""]
    lines += _markdown(_titles(ROW_TITLES, plan), [cells(row) for row in plain])
    if others:
        table = [_run_as_cells(row) for row in others]
        lines += ["", *_markdown(_titles(RUN_AS_TITLES, plan), table, left=4)]
    values = {
        "command": plan.command,
        "seed": plan.seed,
        "batch": plan.batch,
        "machine": machine(),
        "device": choose_device(plan.device).type,
        "frames": asdict(shown),
        "grid": asdict(grid),
        "runs": [_run_values(run) for run in runs],
        "rows": [asdict(row) for row in rows],
    }
    text, data, chart = (plan.output / f"{STEM}.{ending}" for ending in ("md", "json", "png"))
    write_text(text, "\n".join(lines) + "\n")
    write_text(data, json.dumps(values, indent=2) + "\n")
    figure = calls_chart(
        {run.label: _panel(plain, run.label) for run in runs},
        title=f"MPJPE against network calls, {shown.poses:,} poses of "
        f"{shown.source.get('dataset', '')}",
    )
    with replacing(chart) as temporary:
        save_figure(figure, temporary)
    return text, data, chart


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    by = row.answer.by
    return (
        row.run,
        f"{by}, the run's own" if row.own else by,
        "-" if by == CONTEXT else str(row.answer.steps),
        f"{row.calls:.0f}",
        f"{row.scores['mpjpe_mm']:.2f}",
        *_change_cells(row.change),
        f"{row.scores['pa_mpjpe_mm']:.2f}",
        f"{row.pose_ms:.2f}",
    )


def _run_as_cells(row: Row) -> tuple[str, ...]:
    return (
        row.run,
        row.answer.by,
        str(row.answer.steps),
        row.answer.run_as,
        f"{row.scores['mpjpe_mm']:.2f}",
        *_change_cells(row.same_change),
        f"{row.pose_ms:.2f}",
    )


def _change_cells(change: Change | None) -> tuple[str, str]:
    if change is None:
        return "-", "-"
    low, high = change.interval_mm
    return f"{change.mm:+.3f} ({low:+.3f} to {high:+.3f})", f"{change.percent:+.2f}"


def _panel(rows: Iterable[Row], label: str) -> CallPanel:
    """Curves of one run; points of equal calls stay in the order of their steps."""
    own = [row for row in rows if row.run == label]
    (alone,) = (row.scores["mpjpe_mm"] for row in own if row.answer.by == CONTEXT)
    curves = {}
    for name in (TEACHER, STUDENT):
        chosen = sorted((row for row in own if row.answer.by == name), key=lambda row: row.calls)
        if chosen:
            curves[name] = CallCurve(
                np.array([row.calls for row in chosen]),
                np.array([row.scores["mpjpe_mm"] for row in chosen]),
                tuple(row.answer.steps for row in chosen),
            )
    return CallPanel(curves, alone)


def _head(plan: Plan, shown: Shown) -> list[str]:
    source = shown.source
    frames = "all frames" if shown.every == 1 else f"every {shown.every}th frame"
    chosen = frames if plan.poses is None else f"drawn from {frames} with seed {plan.seed}"
    return [
        f"`{plan.command}`",
        "",
        f"Data {source.get('dataset', '')}, keypoints "
        f"{source.get('two_d', 'as the data give them')}; {shown.poses:,} test poses of "
        f"{shown.recordings:,} recordings, {chosen} (fingerprint {shown.fingerprints[0]}); "
        f"batches of {plan.batch}; {caption(machine())}.",
    ]


def _note(plan: Plan) -> str:
    unit = "processor" if choose_device(plan.device).type == "cpu" else "wall"
    return (
        "Errors in mm. Calls are those of the denoiser or the student for a pose, all hypotheses "
        "together; a list of steps can hold more than were asked for. The change of MPJPE is "
        "that to the teacher in the run's own steps, paired, with its 95 % interval over "
        f"{RESAMPLES:,} resamples of the recordings. Cost is {unit} time with the context encoder "
        "and the aggregation, without loading."
    )


def _runs(runs: Sequence[Run], grid: Grid) -> list[str]:
    table = []
    for run in runs:
        own, budget = method_config(run.config.method), run.budget
        spent = ("-", "-") if budget is None else (f"{budget.seconds:.0f}", f"{budget.samples:,}")
        hypotheses = grid.hypotheses or own.hypotheses
        numbers = (run.config.seed, own.sampling_steps, own.start_level, own.eta, hypotheses)
        told = (*(f"{number:g}" for number in numbers), own.aggregation)
        table.append((run.label, run.name, *spent, *told))
    return _markdown(RUN_TITLES, table)


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "label": run.label,
        "run": run.name,
        "budget": None if run.budget is None else asdict(run.budget),
        "method": asdict(method_config(run.config.method)),
    }


def _titles(titles: Sequence[str], plan: Plan) -> list[str]:
    device = choose_device(plan.device).type.upper().replace("CUDA", "GPU")
    return [title.replace("CPU", device) for title in titles]


def _markdown(titles: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 2) -> list[str]:
    rule = ["---"] * left + ["--:"] * (len(titles) - left)
    return ["| " + " | ".join(row) + " |" for row in (titles, rule, *rows)]
