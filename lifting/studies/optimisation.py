"""Methods beside variants of test-time optimisation, deployable and oracle results apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.studies.bootstrap import mean_interval
from lifting.studies.frames import Frames, common_period, test_frames
from lifting.studies.measure import Outcome, choose_device, lift, load_trained, optimise
from lifting.studies.plan import (
    OFF,
    PROJECTION,
    ROOTS,
    UNCERTAINTY,
    UNIFORM,
    VARIANTS,
    Plan,
    Run,
    View,
    variant_of,
)
from lifting.tto.config import RootRule
from lifting.tto.contract import Status

NOT_OPTIMISED = (Status.UNOBSERVED, Status.NOT_FINITE)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        run: Label of the run.
        exact: The 2D input is exact.
        root: Where poses were placed.
        variant: What was optimised.
        scores: By key; None where the variant is the same as the uniform anchor, because the
            method predicts no error of its own, as what follows.
        change_mm: MPJPE after less before; None without an optimisation.
        interval_mm: 95 % interval of that difference over resampled recordings.
        residual_px: Mean distance from the keypoints before and after.
        pose_ms: Milliseconds a pose.
        statuses: Poses by how their optimisation ended.
    """

    run: str
    exact: bool
    root: RootRule
    variant: str
    scores: dict[str, float] | None = None
    change_mm: float | None = None
    interval_mm: tuple[float, float] | None = None
    residual_px: tuple[float, float | None] | None = None
    pose_ms: float | None = None
    statuses: dict[str, int] | None = None

    @property
    def oracle(self) -> bool:
        """The method was told something of the truth."""
        return self.exact or self.root == "gt"

    @property
    def not_optimised(self) -> int | None:
        """Poses that were returned as the method gave them."""
        if self.statuses is None:
            return None
        return sum(self.statuses[state.name.lower()] for state in NOT_OPTIMISED)


@dataclass(frozen=True)
class _Scene:
    """A method before the frames of one of its views."""

    run: Run
    view: View
    module: LiftingModule
    frames: Frames
    batch: int

    def lift(self, batches: Iterable[PoseBatch]) -> Outcome:
        return lift(self.module, batches, self.frames.tracks.action_names)

    def optimise(self, variant: str, root: RootRule, batches: Iterable[PoseBatch]) -> Outcome:
        config = variant_of(self.view.config.tto, variant, root)
        return optimise(self.module, batches, self.frames.tracks.action_names, config)

    def warm_up(self) -> None:
        """Let torch set up what it sets up once, which is no cost of a pose."""
        few = [next(self.batches(size=2))]
        self.lift(few)
        self.optimise(UNIFORM, "solve", few)

    def batches(self, size: int | None = None) -> Iterator[PoseBatch]:
        return self.frames.batches(size or self.batch, torch.device(self.module.device))


def table_rows(runs: Sequence[Run], plan: Plan) -> Iterator[Row]:
    """Measure all runs, 2D inputs, roots and variants; one row after the other.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at.
    """
    device = choose_device(plan.device)
    every = common_period(runs)
    for run in runs:
        module = load_trained(run, device)
        for view in run.views:
            frames = test_frames(replace(run, views=(view,)), plan, every)
            scene = _Scene(run, view, module, frames, plan.batch)
            scene.warm_up()
            off = scene.lift(scene.batches())
            for root in ROOTS:
                yield from _rows(scene, root, off)


def _rows(scene: _Scene, root: RootRule, off: Outcome) -> Iterator[Row]:
    """Rows of all variants, the one without optimisation first."""
    without_sigma = False
    for variant in VARIANTS:
        row = Row(scene.run.label, scene.view.exact, root, variant)
        if without_sigma and variant == UNCERTAINTY:
            yield row
            continue
        after = scene.optimise(variant, root, scene.batches())
        change = after.change
        assert change is not None
        before_px, after_px = change.residual_before, change.residual_after
        if variant == PROJECTION:
            own = replace(row, variant=OFF, scores=off.scores, pose_ms=off.pose_ms)
            yield replace(own, residual_px=(before_px, None))
        without_sigma = not change.has_sigma
        gained = after.errors - off.errors
        yield replace(
            row,
            scores=after.scores,
            change_mm=float(gained.sum() / off.joints.sum()),
            interval_mm=mean_interval(scene.frames.recordings(), gained, off.joints),
            residual_px=(before_px, after_px),
            pose_ms=after.pose_ms,
            statuses=change.statuses,
        )
