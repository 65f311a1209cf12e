"""Charts of test-time optimisation: error against steps, and expected against observed error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lifting.errors import DataError
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    FloatArray,
    Style,
    headline,
    legend_below,
    new_figure,
    quiet_frame,
)


class StepCurve(NamedTuple):
    """How an optimisation goes, entry k after k steps.

    Attributes:
        error: ``(steps + 1,)``, mm.
        residual: ``(steps + 1,)``, pixels.
    """

    error: FloatArray
    residual: FloatArray


class Reliability(NamedTuple):
    """Means over groups of joints that expect about the same error.

    Attributes:
        expected: ``(groups,)``, mm, rising.
        observed: ``(groups,)``, mm.
    """

    expected: FloatArray
    observed: FloatArray


def step_chart(
    panels: Mapping[str, Mapping[str, StepCurve]],
    *,
    title: str,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw errors above residuals, a column a panel, with each curve's least error marked.

    Args:
        panels: Curves by name, by name of the panel; equal names have one colour everywhere.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: A panel has no curve, or a curve no finite error.
    """
    for panel, curves in panels.items():
        if not curves or not all(np.isfinite(c.error).any() for c in curves.values()):
            raise DataError(
                f"expected curves with finite errors for '{panel}', got {list(curves)}; check the "
                "run's predictions"
            )
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    colours = dict(zip(names, cycle(LINE_COLOURS), strict=False))
    figure = new_figure(3.9 * len(panels) + 0.6, 5.4)
    grid = figure.subplots(2, len(panels), sharex=True, sharey="row", squeeze=False)
    for column, (panel, curves) in enumerate(panels.items()):
        _draw_panel(list(grid[:, column]), panel, curves, colours, style)
    grid[0, 0].set_ylabel("MPJPE, mm (dot: least)", fontsize=style.font_size)
    grid[1, 0].set_ylabel("2D residual, px", fontsize=style.font_size)
    headline(figure, title, style)
    handles = [Line2D([], [], color=colours[name], label=name) for name in names]
    legend_below(figure, handles, columns=len(names), style=style)
    return figure


def reliability_chart(
    curves: Mapping[str, Reliability], *, title: str, style: Style = DEFAULT_STYLE
) -> Figure:
    """Draw observed against expected errors; a calibrated method lies on the dashed line.

    Args:
        curves: Groups by what was done to the expected error.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: There is no curve, or a value is not finite.
    """
    values = np.array([list(curve) for curve in curves.values()])
    if not values.size or not np.isfinite(values).all():
        raise DataError(
            f"expected finite errors for the chart '{title}', got {list(curves)} with others; "
            "check the run's predictions"
        )
    figure = new_figure(4.8, 4.6)
    axes = figure.add_subplot()
    edge = 1.05 * float(values.max())
    axes.plot((0, edge), (0, edge), color=style.quiet, linestyle="--", linewidth=1)
    for (name, curve), colour in zip(curves.items(), LINE_COLOURS, strict=False):
        axes.plot(
            curve.expected, curve.observed, color=colour, linewidth=1.4, marker="o", markersize=4,
            label=name,
        )  # fmt: skip
    axes.set_xlim(0, edge)
    axes.set_ylim(0, edge)
    axes.set_xlabel("expected error, mm (mean of a tenth)", fontsize=style.font_size)
    axes.set_ylabel("observed error, mm", fontsize=style.font_size)
    axes.set_title(title, fontsize=style.font_size + 1, color=style.text, loc="left")
    axes.legend(frameon=False, fontsize=style.font_size - 1)
    _grid(axes, style)
    return figure


def _draw_panel(
    axes: Sequence[Axes],
    title: str,
    curves: Mapping[str, StepCurve],
    colours: Mapping[str, str],
    style: Style,
) -> None:
    """Errors on the upper and residuals on the lower of two axes."""
    upper, lower = axes
    for name, curve in curves.items():
        colour = colours[name]
        upper.plot(np.arange(len(curve.error)), curve.error, color=colour, linewidth=1.6)
        best = int(np.nanargmin(curve.error))
        upper.plot(best, curve.error[best], "o", color=colour, markersize=5)
        lower.plot(np.arange(len(curve.residual)), curve.residual, color=colour, linewidth=1.6)
    upper.set_title(title, fontsize=style.font_size, color=style.text, loc="left")
    lower.set_xlabel("steps", fontsize=style.font_size, color=style.text)
    _grid(upper, style)
    _grid(lower, style)


def _grid(axes: Axes, style: Style) -> None:
    axes.grid(axis="y", color=style.floor, linewidth=0.6)
    quiet_frame(axes, style)
