"""Charts of degradation: error against the share of joints, or of the person, that is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Literal, NamedTuple

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

Dash = Literal["-", "--"]
_DASHES: tuple[Dash, ...] = ("-", "--")
_COLUMNS = 4


class DegradationCurve(NamedTuple):
    """Errors of one answer at rising shares.

    Attributes:
        share: ``(points,)``, 0 to 1.
        error: ``(points,)``, mm.
    """

    share: FloatArray
    error: FloatArray


def degradation_chart(
    panels: Mapping[str, Mapping[str, Mapping[str, DegradationCurve]]],
    *,
    title: str,
    style: Style = DEFAULT_STYLE,
) -> Figure:
    """Draw errors against shares, a panel a corruption, a colour a method, dashes an answer.

    Args:
        panels: Curves by name of the answer, by name of the method, by name of the panel. The
            first answer is solid, a second one dashed.
        title: Above the chart.
        style: Colours and sizes.

    Raises:
        DataError: There is no curve, or a value is not finite.
    """
    answered = [found for methods in panels.values() for found in methods.values()]
    curves = [curve for found in answered for curve in found.values()]
    if not curves or not all(np.isfinite(values).all() for c in curves for values in c):
        raise DataError(
            f"expected finite errors for the chart '{title}', got {list(panels)} with others; "
            "check the runs' predictions"
        )
    methods = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = dict(zip(methods, cycle(LINE_COLOURS), strict=False))
    answers = list(dict.fromkeys(answer for found in answered for answer in found))
    dashes = dict(zip(answers, cycle(_DASHES), strict=False))
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(3.1 * columns + 0.6, 3.0 * lines + 0.8)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
        _draw(axes, name, panel, colours, dashes, style)
    for axes in grid[:, 0]:
        axes.set_ylabel("MPJPE, mm", fontsize=style.font_size)
    headline(figure, title, style)
    handles = [Line2D([], [], color=colours[name], label=name) for name in methods]
    if len(answers) > 1:
        handles += [
            Line2D([], [], color=style.quiet, linestyle=dashes[a], label=a) for a in answers
        ]
    legend_below(figure, handles, columns=6, style=style)
    return figure


def _draw(
    axes: Axes,
    title: str,
    panel: Mapping[str, Mapping[str, DegradationCurve]],
    colours: Mapping[str, str],
    dashes: Mapping[str, Dash],
    style: Style,
) -> None:
    """One corruption."""
    for method, found in panel.items():
        for answer, curve in found.items():
            axes.plot(
                100 * curve.share, curve.error, color=colours[method], linestyle=dashes[answer],
                linewidth=1.6, marker="o", markersize=3.5,
            )  # fmt: skip
    axes.set_title(title, fontsize=style.font_size, color=style.text, loc="left")
    axes.set_xlabel("share, %", fontsize=style.font_size, color=style.text)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=style.floor, linewidth=0.6)
    quiet_frame(axes, style)
