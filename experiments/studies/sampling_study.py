"""Errors against network calls: what trained runs answer in how many steps, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lifting.batch import PoseBatch, Prediction
from lifting.experiment.load import method_config
from lifting.methods.diffpose.module import CONTEXT as CONTEXT_STAGE
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import Denoiser
from lifting.methods.settings import Stage
from lifting.studies.frames import Frames, Shown, common_period, test_frames
from lifting.studies.measure import (
    RESAMPLES,
    Measured,
    answered_frames,
    choose_device,
    load_trained,
    measure,
    paired_change,
    plain_answer,
)
from lifting.studies.page import (
    MISSING,
    change,
    draw,
    facts,
    head,
    markdown,
    run_table,
    timed,
    write_page,
)
from lifting.studies.plan import Plan, Run, View
from sampling_plan import (
    CONTEXT,
    STUDENT,
    TEACHER,
    Answer,
    Grid,
    answer_config,
    answers,
    own_answer,
)
from sampling_plots import CallCurve, CallPanel, calls_chart
from sampling_precision import arithmetic, compile_networks

RUN_TITLES = ("seed", "own steps", "start level", "eta", "hypotheses", "aggregation")
ROW_TITLES = (
    "method", "answer", "steps", "calls a pose", "MPJPE", "change", "%", "PA-MPJPE",
    "CPU ms a pose",
)  # fmt: skip
RUN_AS_TITLES = (
    "method", "answer", "steps", "run as", "MPJPE", "change to float32", "%", "CPU ms a pose",
)  # fmt: skip
STEM = "sampling"
SCORES = ("mpjpe_mm", "pa_mpjpe_mm")


@dataclass(frozen=True)
class Change:
    """How an answer differs from another on the same poses.

    Attributes:
        mm: MPJPE less the other's.
        interval_mm: 95 % interval of it over resampled recordings.
        percent: Of the other's MPJPE.
    """

    mm: float
    interval_mm: tuple[float, float]
    percent: float


@dataclass(frozen=True)
class Row:
    """One answer of a run.

    Attributes:
        run: Label of the run.
        answer: How it comes about.
        own: It is the denoiser's in the run's own steps, float32.
        calls: Denoiser or student calls a pose, its hypotheses together, as counted.
        scores: By key.
        change: Against the denoiser's answer in the run's own steps; None in that row.
        same_change: Against the same answer in float32, not compiled; None in such a row.
        pose_ms: Milliseconds a pose, context encoder included.
    """

    run: str
    answer: Answer
    own: bool
    calls: float
    scores: dict[str, float]
    change: Change | None
    same_change: Change | None
    pose_ms: float


@dataclass(frozen=True)
class _Timed:
    """Scores and cost of an answer."""

    measured: Measured
    calls: float
    pose_ms: float


def rows(runs: Sequence[Run], plan: Plan, grid: Grid) -> Iterator[Row]:
    """Measure all answers of all runs; the row of a run's own setting comes in its place.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at.
        grid: What is tried.

    Raises:
        ConfigError: A run is of another method, does not sample, or its student is untrained.
    """
    every = common_period(runs)
    for run in runs:
        frames = test_frames(run, plan, every)
        own = own_answer(run)
        known = {own: _measure(run, own, plan, grid, frames)}
        for answer in answers(run, grid):
            if answer not in known:
                known[answer] = _measure(run, answer, plan, grid, frames)
            measured, reference = known[answer], known[own]
            yield Row(
                run=run.label,
                answer=answer,
                own=answer == own,
                calls=measured.calls,
                scores={key: measured.measured.scores[key] for key in SCORES},
                change=None if answer == own else _change(frames, measured, reference),
                same_change=(
                    None
                    if answer == answer.plain
                    else _change(frames, measured, known[answer.plain])
                ),
                pose_ms=measured.pose_ms,
            )


def _measure(run: Run, answer: Answer, plan: Plan, grid: Grid, frames: Frames) -> _Timed:
    """Score one answer, after a pass over a batch of every size."""
    device = choose_device(plan.device)
    view = View(answer_config(run.config, answer, grid), exact=False)
    module = load_trained(replace(run, views=(view,)), device)
    assert isinstance(module, Module)
    _prepare(module, answer)
    actions = frames.tracks.action_names
    sizes = {len(batch): batch for batch in frames.batches(plan.batch, device)}
    first = next(iter(sizes.values()))
    calls = _counted(module, first)
    if answer.compiled:
        compile_networks(module.network)
    _run_in(module, answer)
    answered = plain_answer(module)
    measure(module, sizes.values(), answered, actions)
    found = measure(module, frames.batches(plan.batch, device), answered, actions)
    return _Timed(found, calls, found.pose_ms / answered_frames(module))


def _prepare(module: Module, answer: Answer) -> None:
    """Have the asked network answer."""
    if answer.by == CONTEXT:
        module.stage = Stage(CONTEXT_STAGE)
    if answer.by == STUDENT:
        student = module.network.student
        assert student is not None
        student.check_distilled()


def _run_in(module: Module, answer: Answer) -> None:
    """Let a module answer in the asked precision, and say so in float32."""
    infer = module.infer

    def answered(batch: PoseBatch) -> Prediction:
        with arithmetic(torch.device(module.device), bf16=answer.bf16):
            prediction = infer(batch)
        return replace(prediction, joints_3d=prediction.joints_3d.float())

    module.infer = answered  # type: ignore[method-assign]


def _counted(module: Module, batch: PoseBatch) -> float:
    """Poses that denoiser or student are called with for each pose that is answered."""
    seen = 0

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    networks = [part for part in module.network.modules() if isinstance(part, Denoiser)]
    hooks = [network.register_forward_pre_hook(count) for network in networks]
    with torch.no_grad():
        module.infer(batch)
    for hook in hooks:
        hook.remove()
    return seen / (len(batch) * answered_frames(module))


def _change(frames: Frames, after: _Timed, before: _Timed) -> Change:
    """Paired difference of two answers."""
    errors = before.measured.errors
    mean, interval = paired_change(after.measured.errors, errors, frames.recordings())
    return Change(mean, interval, 100 * mean / float(errors.sums.sum() / errors.joints.sum()))


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
    lines = [*head(plan, shown, sizes=True), "", *_runs(runs, grid), "", _note(plan), ""]
    lines += markdown(timed(ROW_TITLES, plan), map(cells, plain))
    if others:
        lines += ["", *markdown(timed(RUN_AS_TITLES, plan), map(_run_as_cells, others), left=4)]
    values = {
        **facts(runs, shown, plan, _method),
        "batch": plan.batch,
        "device": choose_device(plan.device).type,
        "grid": asdict(grid),
        "rows": [asdict(row) for row in rows],
    }
    chart = calls_chart(
        {run.label: _panel(plain, run.label) for run in runs},
        title=f"MPJPE against network calls, {shown.poses:,} poses of "
        f"{shown.source.get('dataset', '')}",
    )
    files = write_page(plan.output, STEM, lines, values)
    return (*files, draw(chart, plan.output, STEM))


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


def _change_cells(found: Change | None) -> tuple[str, str]:
    if found is None:
        return MISSING, MISSING
    return change(found.mm, found.interval_mm, "+.3f"), f"{found.percent:+.2f}"


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


def _note(plan: Plan) -> str:
    unit = "processor" if choose_device(plan.device).type == "cpu" else "wall"
    return (
        "Errors in mm. Calls are those of the denoiser or the student for a pose, all hypotheses "
        "together; a list of steps can hold more than were asked for. The change of MPJPE is "
        "that to the teacher in the run's own steps, paired, with its 95 % interval over "
        f"{RESAMPLES:,} resamples of the recordings. Cost is {unit} time with the context encoder "
        "and the aggregation, without loading."
    )


def _method(run: Run) -> dict[str, Any]:
    return {"method": asdict(method_config(run.config.method))}


def _runs(runs: Sequence[Run], grid: Grid) -> list[str]:
    def told(run: Run) -> list[str]:
        own = method_config(run.config.method)
        hypotheses = grid.hypotheses or own.hypotheses
        numbers = (run.config.seed, own.sampling_steps, own.start_level, own.eta, hypotheses)
        return [*(f"{number:g}" for number in numbers), own.aggregation]

    return run_table(runs, RUN_TITLES, told)
