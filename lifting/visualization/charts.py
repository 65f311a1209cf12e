"""Charts of runs: errors per joint or action as bars, scalars and errors as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from lifting.errors import DataError
from lifting.skeleton import Skeleton
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    FloatArray,
    Style,
    headline,
    joint_colours,
    legend_below,
    new_figure,
    quiet_frame,
)


def bar_chart(
    values: Mapping[str, float],
    *,
    title: str,
    unit: str = "mm",
    ordered: bool = True,
    colours: Mapping[str, str] | None = None,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw one horizontal bar a name, its value at the end, and their mean as a dashed line.

    Args:
        values: Value by name; a name whose value is not finite (nothing was counted) gets no bar.
        title: Above the chart.
        unit: Unit of the values.
        ordered: Largest first; otherwise the order of the mapping, from the top.
        colours: Colour by name; the accent colour where a name has none.
        style: Colours and sizes.

    Raises:
        DataError: No finite value at all.
    """
    finite = {k: float(v) for k, v in values.items() if np.isfinite(v)}
    if not finite:
        raise DataError(
            f"expected at least one finite value for the chart '{title}', got {len(values)} "
            "values and none finite; check that the split holds labelled samples"
        )
    names = sorted(finite, key=lambda k: -finite[k]) if ordered else list(finite)
    lengths = [finite[name] for name in names]
    figure = new_figure(6.4, 0.9 + 0.27 * len(names))
    axes = figure.add_subplot()
    chosen = colours or {}
    bars = axes.barh(
        range(len(names)), lengths, height=0.7, color=[chosen.get(n, style.accent) for n in names]
    )
    axes.bar_label(
        bars,
        fmt="%.1f",
        padding=3,
        fontsize=style.font_size - 1,
        color=style.text,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )
    mean = float(np.mean(lengths))
    axes.axvline(mean, color=style.text, linestyle="--", linewidth=1, zorder=0)
    labels = [n.replace("_", " ") for n in names]
    axes.set_yticks(range(len(names)), labels, parse_math=False)  # a name may have dollars
    axes.invert_yaxis()
    axes.set_xlim(0, max(max(lengths) * 1.12, 1e-9))
    axes.set_xlabel(f"{unit} (dashed: mean of the bars, {mean:.1f})", fontsize=style.font_size)
    axes.set_title(title, fontsize=style.font_size + 1, color=style.text, loc="left")
    quiet_frame(axes, style)
    axes.tick_params(axis="y", length=0, labelcolor=style.text)
    return figure


def joint_chart(
    values: Mapping[str, float],
    skeleton: Skeleton | None,
    *,
    of: str,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """MPJPE by joint as bars in the order of the skeleton, coloured by side.

    Args:
        values: Error by joint, mm.
        skeleton: Order and sides; None where they are not known.
        of: What was scored.
        style: Colours and sizes.

    Raises:
        DataError: No finite value at all.
    """
    joints = () if skeleton is None else skeleton.joints
    colours = {} if skeleton is None else dict(zip(joints, joint_colours(skeleton), strict=True))
    order = [joint for joint in joints if joint in values]
    order += [name for name in values if name not in colours]
    figure = bar_chart(
        {name: values[name] for name in order},
        title=f"MPJPE by joint: {of}",
        ordered=False,
        colours=colours,
        style=style,
    )
    if colours:
        sides = (("left", style.left), ("right", style.right), ("neither", style.centre))
        handles = [Line2D([], [], color=colour, linewidth=6, label=name) for name, colour in sides]
        legend_below(figure, handles, columns=3, style=style)
    return figure


def action_chart(values: Mapping[str, float], *, of: str, style: Style = DEFAULT_STYLE) -> Figure:
    """MPJPE by action as bars, the largest first.

    Args:
        values: Error by action, mm.
        of: What was scored.
        style: Colours and sizes.

    Raises:
        DataError: No finite value at all.
    """
    return bar_chart(values, title=f"MPJPE by action: {of}", style=style)


class Curve(NamedTuple):
    """One logged scalar.

    Attributes:
        steps: ``(points,)``, rising.
        values: ``(points,)``.
    """

    steps: FloatArray
    values: FloatArray


def curve_chart(
    curves: Mapping[str, Curve],
    *,
    title: str,
    unit: str = "mm",
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw curves over one another, each named at its best (least) value.

    Args:
        curves: Curve by name; those without a finite value are left out.
        title: Above the chart.
        unit: Unit of the values.
        style: Colours and sizes.

    Raises:
        DataError: No curve has a finite value.
    """
    figure = new_figure(6.8, 3.8)
    axes = figure.add_subplot()
    drawn = 0
    for name, curve in curves.items():
        finite = np.isfinite(curve.values)
        if not finite.any():
            continue
        steps, values = curve.steps[finite], curve.values[finite]
        best = int(values.argmin())
        axes.plot(
            steps,
            values,
            color=LINE_COLOURS[drawn % len(LINE_COLOURS)],
            linewidth=1.6,
            marker="o" if len(values) < 40 else None,
            markersize=3,
            label=f"{name} (least {values[best]:.1f} at {steps[best]:.0f})",
        )
        drawn += 1
    if not drawn:
        raise DataError(
            f"expected at least one finite value for the chart '{title}', got none in "
            f"{len(curves)} curves; log the scalar first"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("optimiser steps", fontsize=style.font_size, color=style.text)
    axes.set_ylabel(unit, fontsize=style.font_size, color=style.text)
    axes.set_title(title, fontsize=style.font_size + 1, color=style.text, loc="left")
    axes.grid(axis="y", color=style.floor, linewidth=0.6)
    axes.legend(frameon=False, fontsize=style.font_size - 1)
    quiet_frame(axes, style)
    return figure


class LearningCurve(NamedTuple):
    """Errors of a method after ever longer trainings.

    Attributes:
        seconds: Processor seconds of the trainings, ``(points,)``, rising.
        validation: ``(points,)``, mm; NaN where there is none.
        test: ``(points,)``, mm.
    """

    seconds: FloatArray
    validation: FloatArray
    test: FloatArray


def learning_chart(
    curves: Mapping[str, LearningCurve],
    lines: Mapping[str, float],
    *,
    title: str,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw errors against processor seconds of training, a colour a method, validation dashed.

    Args:
        curves: Curve by name of the method.
        lines: Errors that need no training, by name, mm; each is a dotted line, or only named
            where it lies far above the curves and the others.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: There is no curve, or an error of a test is not finite.
    """
    if not curves or not all(np.isfinite(curve.test).all() for curve in curves.values()):
        raise DataError(
            f"expected finite test errors for the chart '{title}', got {list(curves)} with "
            "others; check the runs"
        )
    figure = new_figure(6.8, 4.6)
    axes = figure.add_subplot()
    handles = []
    for (name, curve), colour in zip(curves.items(), cycle(LINE_COLOURS), strict=False):
        for error, dash in ((curve.test, "-"), (curve.validation, "--")):
            axes.plot(
                curve.seconds, error, color=colour, linestyle=dash, linewidth=1.6, marker="o",
                markersize=3.5,
            )  # fmt: skip
        handles.append(Line2D([], [], color=colour, label=name.replace("_", " ")))
    handles.append(Line2D([], [], color=style.quiet, label="test"))
    handles.append(Line2D([], [], color=style.quiet, linestyle="--", label="validation"))
    highest = max(float(np.nanmax(curve[1:])) for curve in curves.values())
    axes.set_ylim(top=1.05 * max(highest, min(lines.values(), default=0)))
    for name, value in lines.items():
        label = f"{name.replace('_', ' ')} {value:.1f}"
        line = axes.axhline(value, color=style.quiet, linestyle=":", linewidth=1, label=label)
        handles.append(line)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("CPU-seconds of training", fontsize=style.font_size, color=style.text)
    axes.set_ylabel("MPJPE, mm", fontsize=style.font_size, color=style.text)
    axes.set_title(title, fontsize=style.font_size + 1, color=style.text, loc="left")
    axes.grid(color=style.floor, linewidth=0.6)
    legend_below(figure, handles, columns=4, style=style)
    quiet_frame(axes, style)
    return figure


class Ranked(NamedTuple):
    """A method after a training of some length.

    Attributes:
        name: The method.
        budget: Length of the training, in words.
        scores: By metric, each with the ends of its interval, mm.
    """

    name: str
    budget: str
    scores: Mapping[str, tuple[float, float, float]]


def ranking_chart(
    rows: Sequence[Ranked],
    lines: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw methods below one another, a panel a metric, a dot with its interval a training.

    Args:
        rows: The trainings; the method that comes first in them stands at the top.
        lines: Errors that need no training, by name and metric, mm; each is a dotted line, or only
            named where it lies far above the others.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: There is nothing to draw.
    """
    if not rows:
        raise DataError(f"expected trainings for the chart '{title}', got none; train a method")
    names, budgets = (list(dict.fromkeys(one)) for one in zip(*(r[:2] for r in rows), strict=True))
    metrics = list(rows[0].scores)
    figure = new_figure(7.2, 1.5 + 0.45 * len(names) + 0.2 * len(lines))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    marks = list(zip(budgets, cycle(LINE_COLOURS), cycle("osD^v"), strict=False))
    for axes, metric in zip(panels, metrics, strict=True):
        highest = max(row.scores[metric][2] for row in rows)
        for budget, colour, marker in marks:
            for row in (one for one in rows if one.budget == budget):
                shift = (budgets.index(budget) - (len(budgets) - 1) / 2) * min(
                    0.22, 0.6 / len(marks)
                )
                value, low, high = row.scores[metric]
                at = names.index(row.name) + shift
                axes.plot([low, high], [at, at], color=colour, linewidth=1.6)
                axes.plot(value, at, marker, color=colour, markersize=5)
        for value in (scores[metric] for scores in lines.values()):
            if value < 1.3 * highest:
                axes.axvline(value, color=style.quiet, linestyle=":", linewidth=1)
        axes.set_xlabel(f"{metric}, mm", fontsize=style.font_size, color=style.text)
        axes.grid(axis="x", color=style.floor, linewidth=0.6)
        quiet_frame(axes, style)
        axes.tick_params(axis="y", length=0, labelcolor=style.text)
    labels = [name.replace("_", " ") for name in names]
    panels[0].set_yticks(range(len(names)), labels, parse_math=False)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, label=budget)
        for budget, colour, marker in marks
    ]
    for name, scores in lines.items():
        told = ", ".join(f"{value:.1f}" for value in scores.values())
        label = f"{name.replace('_', ' ')} {told}"
        handles.append(Line2D([], [], color=style.quiet, linestyle=":", label=label))
    legend_below(figure, handles, columns=3, style=style)
    headline(figure, title, style)
    return figure
