"""Methods beside variants of test-time optimisation, deployable and oracle results apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from lifting.batch import PoseBatch
from lifting.studies.frames import Shown
from lifting.studies.measure import (
    RESAMPLES,
    Measured,
    Scene,
    optimised_answer,
    paired_change,
    plain_answer,
    scenes,
)
from lifting.studies.page import (
    MISSING,
    change,
    facts,
    head,
    markdown,
    optimisation_of,
    run_table,
    timed,
    write_page,
)
from lifting.studies.plan import (
    OFF,
    PROJECTION,
    ROOTS,
    UNCERTAINTY,
    UNIFORM,
    VARIANTS,
    Plan,
    Run,
    variant_of,
)
from lifting.tto.config import RootRule
from lifting.tto.contract import Status, TtoResult
from lifting.tto.objective import UNIFORM_SIGMA_MM

RUN_TITLES = ("steps", "rate", "anchor weight", "uniform error mm")
TITLES = (
    "method", "optimisation", "MPJPE", "change", "PA-MPJPE", "PCK@150", "2D residual px",
    "CPU ms a pose", "not optimised",
)  # fmt: skip
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


def table_rows(runs: Sequence[Run], plan: Plan) -> Iterator[Row]:
    """Measure all runs, 2D inputs, roots and variants; one row after the other.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at.
    """
    for scene in scenes(runs, plan):
        plain = plain_answer(scene.module)
        # Torch sets up what it sets up once, which is no cost of a pose.
        few = [next(scene.batches(size=2))]
        scene.measure(plain, few, scores=True)
        _optimise(scene, UNIFORM, "solve", few)
        off = scene.measure(plain, scores=True)
        for root in ROOTS:
            yield from _rows(scene, root, off)


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
    lines = [*head(plan, shown), "", note, "", *optimised_runs(runs)]
    for (exact, root), chosen in by_oracle(rows).items():
        lines += ["", f"**{heading(exact, root)}**", ""]
        lines += markdown(timed(TITLES, plan), map(cells, chosen))
    values = facts(runs, shown, plan, optimisation_of)
    values["rows"] = [{**asdict(row), "oracle": row.oracle} for row in rows]
    return write_page(plan.output, "table", lines, values)


def optimised_runs(runs: Sequence[Run], *, steps: int | None = None) -> list[str]:
    """What the runs are and how they optimise, as lines of a table.

    Args:
        runs: The runs.
        steps: How many are taken; None for the runs' own number.
    """

    def told(run: Run) -> list[str]:
        tto = run.config.tto
        numbers = (tto.lr, tto.weight_anchor, UNIFORM_SIGMA_MM)
        taken = tto.iterations if steps is None else steps
        return [str(taken), *(f"{number:g}" for number in numbers)]

    return run_table(runs, RUN_TITLES, told)


def by_oracle(rows: Sequence[Row]) -> dict[tuple[bool, RootRule], list[Row]]:
    """The rows of each table, by what an oracle told, see :func:`heading`."""
    tables: dict[tuple[bool, RootRule], list[Row]] = {}
    for row in rows:
        tables.setdefault((row.exact, row.root), []).append(row)
    return tables


def heading(exact: bool, root: RootRule) -> str:
    """Title of a table: deployable, or what the oracle told."""
    told = [*(["exact keypoints"] if exact else []), *([ROOTS["gt"]] if root == "gt" else [])]
    if told:
        return f"Oracle: {', '.join(told)}"
    return f"Deployable: the data's keypoints, {ROOTS['solve']}"


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    if row.scores is None:
        return (row.run, row.variant, *[MISSING] * (len(TITLES) - 2))
    gained, residual = MISSING, MISSING
    if row.change_mm is not None and row.interval_mm is not None:
        gained = change(row.change_mm, row.interval_mm, "+.2f")
    if row.residual_px is not None:
        residual = " to ".join(f"{value:.2f}" for value in row.residual_px if value is not None)
    return (
        row.run,
        row.variant,
        f"{row.scores['mpjpe_mm']:.1f}",
        gained,
        f"{row.scores['pa_mpjpe_mm']:.1f}",
        f"{row.scores['pck_150mm']:.1f}",
        residual,
        f"{row.pose_ms:.2f}",
        MISSING if row.not_optimised is None else f"{row.not_optimised:,}",
    )


def _rows(scene: Scene, root: RootRule, off: Measured) -> Iterator[Row]:
    """Rows of all variants, the one without optimisation first."""
    without_sigma = False
    for variant in VARIANTS:
        row = Row(scene.run.label, scene.view.exact, root, variant)
        if without_sigma and variant == UNCERTAINTY:
            yield row
            continue
        after, results = _optimise(scene, variant, root)
        status = torch.cat([result.status for result in results])
        observed = status < Status.UNOBSERVED
        before_px, after_px = (
            float(torch.cat(values)[observed].double().mean())
            for values in zip(
                *((one.residual_before, one.residual_after) for one in results), strict=True
            )
        )
        if variant == PROJECTION:
            own = replace(row, variant=OFF, scores=off.scores, pose_ms=off.pose_ms)
            yield replace(own, residual_px=(before_px, None))
        without_sigma = results[0].log_sigma is None
        gained, interval = paired_change(after.errors, off.errors, scene.frames.recordings())
        counts = status.bincount(minlength=len(Status)).tolist()
        yield replace(
            row,
            scores=after.scores,
            change_mm=gained,
            interval_mm=interval,
            residual_px=(before_px, after_px),
            pose_ms=after.pose_ms,
            statuses={state.name.lower(): counts[state] for state in Status},
        )


def _optimise(
    scene: Scene, variant: str, root: RootRule, batches: Sequence[PoseBatch] | None = None
) -> tuple[Measured, list[TtoResult]]:
    """Measure a variant, and what the optimisation itself says of every batch."""
    results: list[TtoResult] = []
    config = variant_of(scene.view.config.tto, variant, root)
    answer = optimised_answer(scene.module, config, results)
    return scene.measure(answer, batches, scores=True), results
