"""Charts of sampling: error against the network calls that an answer takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lifting.errors import DataError
from lifting.visualization.style import (
    DEFAULT_STYLE,
    LINE_COLOURS,
    FloatArray,
    Style,
    new_figure,
    quiet_frame,
)


class CallCurve(NamedTuple):
    """Errors of one network.

    Attributes:
        calls: ``(points,)``, network calls a pose, above 0, not falling.
        error: ``(points,)``, mm.
        steps: ``(points,)``, written beside each point.
    """

    calls: FloatArray
    error: FloatArray
    steps: tuple[int, ...]


class CallPanel(NamedTuple):
    """What one run answers.

    Attributes:
        curves: By name of the network.
        without: Error without any of these calls, mm: the context encoder's.
    """

    curves: Mapping[str, CallCurve]
    without: float


def calls_chart(
    panels: Mapping[str, CallPanel], *, title: str, style: Style = DEFAULT_STYLE
) -> Figure:
    """Draw errors against calls, a panel a run, and a dashed line at the context encoder's.

    Args:
        panels: By name of the run; equal names of networks have one colour everywhere.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: A panel has no curve, or a value is not finite.
    """
    for name, panel in panels.items():
        values = [panel.without, *(v for c in panel.curves.values() for v in (*c.error, *c.calls))]
        if not panel.curves or not np.isfinite(values).all():
            raise DataError(
                f"expected curves with finite errors for '{name}', got {list(panel.curves)} with "
                "others; check the run's predictions"
            )
    names = dict.fromkeys(name for panel in panels.values() for name in panel.curves)
    colours = dict(zip(names, LINE_COLOURS, strict=False))
    figure = new_figure(4.4 * max(1, len(panels)) + 0.4, 3.8)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        _draw(axes, panel, colours, style)
        axes.set_title(name, fontsize=style.font_size, color=style.text, loc="left")
    grid[0].set_ylabel("MPJPE, mm", fontsize=style.font_size)
    figure.suptitle(title, fontsize=style.font_size + 1, color=style.text)
    return figure


def _draw(axes: Axes, panel: CallPanel, colours: Mapping[str, str], style: Style) -> None:
    """One run."""
    axes.axhline(
        panel.without,
        color=style.quiet,
        linestyle="--",
        linewidth=1,
        label="context encoder alone",
    )
    for name, curve in panel.curves.items():
        axes.plot(
            curve.calls, curve.error, color=colours[name], linewidth=1.6, marker="o",
            markersize=4, label=name,
        )  # fmt: skip
        for calls, error, steps in zip(*curve, strict=True):
            axes.annotate(
                str(steps), (calls, error), (3, 4), textcoords="offset points",
                color=colours[name], fontsize=style.font_size - 2,
            )  # fmt: skip
    places = sorted({float(n) for curve in panel.curves.values() for n in curve.calls})
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()
    axes.set_xlabel(
        "network calls a pose, all hypotheses; at the points: steps", fontsize=style.font_size
    )
    axes.grid(axis="y", color=style.floor, linewidth=0.6)
    axes.legend(frameon=False, fontsize=style.font_size - 1)
    quiet_frame(axes, style)
