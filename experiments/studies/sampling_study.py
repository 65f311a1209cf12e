"""Errors against network calls: what trained runs answer in how many steps, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from lifting.batch import PoseBatch, Prediction
from lifting.methods.diffpose.module import CONTEXT as CONTEXT_STAGE
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import Denoiser
from lifting.methods.settings import Stage
from lifting.studies.bootstrap import mean_interval
from lifting.studies.frames import Frames, common_period, test_frames
from lifting.studies.measure import (
    Outcome,
    answered_frames,
    choose_device,
    lift,
    load_trained,
)
from lifting.studies.plan import Plan, Run, View
from precision import arithmetic, compile_networks
from sampling_plan import (
    CONTEXT,
    STUDENT,
    Answer,
    Grid,
    answer_config,
    answers,
    own_answer,
)

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
class _Measured:
    """Scores and cost of an answer."""

    outcome: Outcome
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
                scores={key: measured.outcome.scores[key] for key in SCORES},
                change=None if answer == own else _change(frames, measured, reference),
                same_change=(
                    None
                    if answer == answer.plain
                    else _change(frames, measured, known[answer.plain])
                ),
                pose_ms=measured.pose_ms,
            )


def _measure(run: Run, answer: Answer, plan: Plan, grid: Grid, frames: Frames) -> _Measured:
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
    lift(module, sizes.values(), actions)
    outcome = lift(module, frames.batches(plan.batch, device), actions)
    return _Measured(outcome, calls, outcome.pose_ms / answered_frames(module))


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


def _change(frames: Frames, after: _Measured, before: _Measured) -> Change:
    """Paired difference of two answers."""
    gained, joints = after.outcome.errors - before.outcome.errors, before.outcome.joints
    mean = float(gained.sum() / joints.sum())
    return Change(
        mm=mean,
        interval_mm=mean_interval(frames.recordings(), gained, joints),
        percent=100 * mean / float(before.outcome.errors.sum() / joints.sum()),
    )
