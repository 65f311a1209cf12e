"""A study of robustness as Markdown, JSON, CSV and a chart of degradation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lifting.studies.frames import Shown
from lifting.studies.measure import OPTIMISED, RESAMPLES
from lifting.studies.page import (
    MISSING,
    change,
    draw,
    facts,
    head,
    markdown,
    number,
    optimisation_of,
    write_csv,
    write_page,
)
from lifting.studies.plan import Plan, Run
from lifting.studies.robustness.plan import (
    DROP,
    FREEZE,
    JITTER,
    OCCLUDER,
    SWAP,
    TRUNCATION,
    Trials,
)
from lifting.studies.robustness.search import Found, Group
from lifting.studies.robustness.study import Area, Row, areas_of
from lifting.visualization.occlusion_plots import DegradationCurve, degradation_chart

STEM = "robustness"
TITLES: Mapping[str, str] = MappingProxyType(
    {
        DROP: "Lost joints",
        JITTER: "Jittered joints",
        FREEZE: "Frozen joints",
        SWAP: "Exchanged joints",
        OCCLUDER: "Object before the person",
        TRUNCATION: "Person cut off",
    }
)
COLUMNS = (
    "run", "answer", "kind", "rate", "share", "mpjpe_mm", "pa_mpjpe_mm", "change_mm", "low_mm",
    "high_mm", "hit_mm", "others_mm", "best_mm",
)  # fmt: skip
FOUND_TITLES = (
    "method", "answer", "square", "places", "pictures", "MPJPE", "PA-MPJPE", "PCKh",
    "seen: clean to worst", "hidden: clean to worst",
)  # fmt: skip


def write_study(
    rows: Sequence[Row | Found], runs: Sequence[Run], shown: Shown, plan: Plan, trials: Trials
) -> tuple[Path, ...]:
    """Write ``robustness.md``, ``.json``, ``.csv`` and, where there are curves, ``.png``.

    Args:
        rows: Of all runs.
        runs: The runs.
        shown: The frames.
        plan: How they were looked at.
        trials: What was tried.

    Raises:
        OutputError: They cannot be written.
    """
    curves = [row for row in rows if isinstance(row, Row)]
    found = [row for row in rows if isinstance(row, Found)]
    areas = areas_of(curves)
    lines = [*head(plan, shown), "", *_notes(curves, found, runs, trials)]
    for kind in dict.fromkeys(row.kind for row in curves):
        lines += ["", f"**{TITLES[kind]}**", ""]
        lines += _table(
            [row for row in curves if row.kind == kind], [a for a in areas if a.kind == kind]
        )
    if found:
        lines += ["", "**synthetic-advocc**", ""]
        lines += markdown(FOUND_TITLES, map(_found_cells, found))
    values = {
        **facts(runs, shown, plan, optimisation_of),
        "trials": asdict(trials),
        "rows": [asdict(row) for row in curves],
        "areas": [asdict(area) for area in areas],
        "advocc": [asdict(row) for row in found],
    }
    files = write_page(plan.output, STEM, lines, values)
    if not curves:
        return files
    table = write_csv(plan.output / f"{STEM}.csv", COLUMNS, map(_numbers, curves))
    title = f"Degradation, {shown.poses:,} poses of {shown.source.get('dataset', '')}"
    chart = degradation_chart(_panels(curves), title=title)
    return (*files, table, draw(chart, plan.output, STEM))


def line_of(row: Row | Found) -> str:
    """A row in short, for the terminal."""
    if isinstance(row, Found):
        return " | ".join(_found_cells(row))
    low, high = row.interval_mm
    return (
        f"{row.run} | {row.answer} | {row.kind} {row.rate:.0%} | MPJPE {row.mpjpe_mm:.1f} "
        f"({row.change_mm:+.1f}, {low:+.1f} to {high:+.1f}) | PA-MPJPE {row.pa_mpjpe_mm:.1f} | "
        f"hit {_pair(row.hit)} | others {_pair(row.rest)}"
    )


def _table(rows: Sequence[Row], areas: Sequence[Area]) -> list[str]:
    """Curves of one corruption, a line each; errors of the groups are those at the last rate."""
    rates = list(dict.fromkeys(row.rate for row in rows))
    several = any(row.best_mm is not None for row in rows)
    titles = [
        "method", "answer", *(f"{rate:.0%}" for rate in rates), "change at the last",
        "PA-MPJPE", "hit", "others", "area mm", "area", "PA area",
        *(["best hypothesis"] if several else []),
    ]  # fmt: skip
    table = []
    for area in areas:
        curve = [row for row in rows if (row.run, row.answer) == (area.run, area.answer)]
        first, last = curve[0], curve[-1]
        cells = [
            area.run,
            area.answer,
            *(f"{row.mpjpe_mm:.1f}" for row in curve),
            change(last.change_mm, last.interval_mm),
            f"{first.pa_mpjpe_mm:.1f} to {last.pa_mpjpe_mm:.1f}",
            _pair(last.hit),
            _pair(last.rest),
            f"{area.mm:.1f}",
            f"{area.ratio:.2f}",
            f"{area.pa_ratio:.2f}",
        ]
        if several:
            cells.append(_best(first, last))
        table.append(cells)
    return markdown(titles, table)


def _notes(
    curves: Sequence[Row], found: Sequence[Found], runs: Sequence[Run], trials: Trials
) -> list[str]:
    """What the tables mean, as paragraphs."""
    kinds = {row.kind for row in curves}
    notes = []
    if curves:
        notes.append(
            "MPJPE in mm at each share; the change to the clean input is paired, with its 95 % "
            f"interval over {RESAMPLES:,} resamples of the recordings. Hit and others: errors of "
            "these joints, the root left out, with the clean input and at the last share. Area: "
            "mean of the curve over the shares, in mm and over its first error, where 1 is no "
            "degradation."
        )
    if kinds & {DROP, JITTER, FREEZE, SWAP}:
        notes.append(
            f"Joints are hit for about {trials.seconds:g} s at a time, the same ones for all "
            "methods. Lost: confidence 0, at the mean of the frame's other joints. Jittered: "
            f"Gaussian, {trials.jitter:g} of the box's longer side an axis. Frozen: where last "
            "not hit. Exchanged: with the mirror partner, shares being those of joints that have "
            "one. But for lost joints the confidence says nothing."
        )
    if kinds & {OCCLUDER, TRUNCATION}:
        notes.append(
            "Shares are those of the person's box under a textured rectangle, or cut off at one "
            "of its sides. Hit joints are under it or cut off, the others are seen; joints that "
            "the clean picture hides are in neither."
        )
    if found:
        notes.append(
            f"AdvOcc with pictures and textures of our own, stride {trials.stride} of 224 pixels: "
            "not comparable with 3DPW-AdvOcc. MPJPE is the mean over pictures of the worst "
            "place's, of joints that are seen, the root left out; PA-MPJPE and PCKh (half a head "
            "in the picture, percent) of places of their own. The place is searched with the "
            "plain answer, and an optimised one measured where that is worst by MPJPE."
        )
    if OPTIMISED in {*(row.answer for row in curves), *(row.answer for row in found)}:
        settings = "; ".join(f"{run.label}: {run.config.tto}" for run in runs)
        notes.append(
            f"Optimised at test time: {settings}. A method that fits to pictures by itself has "
            "settings of its own; other methods of pictures are not optimised, since their "
            "keypoints stay clean."
        )
    return [line for note in notes for line in (note, "")][:-1]


def _found_cells(row: Found) -> tuple[str, ...]:
    return (
        row.run,
        row.answer,
        str(row.occluder),
        f"{row.places:,}",
        f"{row.pictures:,}",
        f"{row.mpjpe_mm:.1f}",
        number(row.pa_mpjpe_mm),
        number(row.pckh),
        _pair(row.seen),
        _pair(row.hidden),
    )


def _pair(group: Group) -> str:
    if group.mm is None or group.clean_mm is None:
        return MISSING
    return f"{group.clean_mm:.1f} to {group.mm:.1f}"


def _best(first: Row, last: Row) -> str:
    if first.best_mm is None or last.best_mm is None:
        return MISSING
    return f"{first.best_mm:.1f} to {last.best_mm:.1f} of {last.hypotheses}"


def _panels(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, DegradationCurve]]]:
    points: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        points.setdefault((TITLES[row.kind], row.run, row.answer), []).append(row)
    panels: dict[str, dict[str, dict[str, DegradationCurve]]] = {}
    for (kind, run, answer), curve in points.items():
        panels.setdefault(kind, {}).setdefault(run, {})[answer] = DegradationCurve(
            np.array([row.rate for row in curve]), np.array([row.mpjpe_mm for row in curve])
        )
    return panels


def _numbers(row: Row) -> tuple[str, ...]:
    values = (
        row.rate, row.share, row.mpjpe_mm, row.pa_mpjpe_mm, row.change_mm, *row.interval_mm,
        row.hit.mm, row.rest.mm, row.best_mm,
    )  # fmt: skip
    return (row.run, row.answer, row.kind, *("" if v is None else f"{v:.4f}" for v in values))
