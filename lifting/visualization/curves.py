"""Curves: logged scalars against optimiser steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lifting.errors import DataError
from lifting.visualization.style import (
    DEFAULT_STYLE,
    FloatArray,
    Style,
    new_figure,
    quiet_frame,
)

# Okabe and Ito's palette without its yellow, which is too pale for a line on white.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")


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
