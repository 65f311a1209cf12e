"""Charts of a run: an error per joint or per action as bars, logged scalars as curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lifting.errors import DataError
from lifting.skeleton import Skeleton
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    FloatArray,
    Style,
    joint_colours,
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
    skeleton: Skeleton,
    *,
    title: str = "error per joint",
    unit: str = "mm",
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Bars per joint in the order of the skeleton, coloured by side.

    Args:
        values: Value by joint name.
        skeleton: Order and sides.
        title: Above the chart.
        unit: Unit of the values.
        style: Colours and sizes.
    """
    colours = dict(zip(skeleton.joints, joint_colours(skeleton, style), strict=True))
    order = [joint for joint in skeleton.joints if joint in values]
    order += [name for name in values if name not in colours]
    return bar_chart(
        {name: values[name] for name in order},
        title=title,
        unit=unit,
        ordered=False,
        colours=colours,
        style=style,
    )


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
    axes.set_xlabel("optimiser steps", fontsize=style.font_size, color=style.text)
    axes.set_ylabel(unit, fontsize=style.font_size, color=style.text)
    axes.set_title(title, fontsize=style.font_size + 1, color=style.text, loc="left")
    axes.grid(axis="y", color=style.floor, linewidth=0.6)
    axes.legend(frameon=False, fontsize=style.font_size - 1)
    quiet_frame(axes, style)
    return figure
