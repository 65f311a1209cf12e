"""How pictures look: colours by side of the body, line widths, and how a figure is saved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lifting.skeleton import Skeleton

FloatArray: TypeAlias = npt.NDArray[np.float64]
ArrayLike: TypeAlias = Tensor | npt.NDArray[Any]


class Side(Enum):
    """Side of the body a joint or a bone belongs to."""

    LEFT = "left"
    RIGHT = "right"
    CENTRE = "centre"


@dataclass(frozen=True)
class Style:
    """Colours and sizes. Blue and vermilion stay apart for every common colour blindness.

    Attributes:
        left: Colour of the left side.
        right: Colour of the right side.
        centre: Colour of spine and head.
        truth: Colour of the truth where it lies behind a prediction.
        floor: Colour of the floor's lines.
        accent: Colour of bars and curves without a side.
        text: Colour of titles and labels.
        quiet: Colour of secondary text.
        line_width: Width of a bone, points.
        joint_size: Diameter of a joint, points.
        font_size: Points.
        dpi: Dots an inch of saved pictures.
    """

    left: str = "#0072B2"
    right: str = "#D55E00"
    centre: str = "#333333"
    truth: str = "#B4B4B4"
    floor: str = "#DCDCDC"
    accent: str = "#56789A"
    text: str = "#222222"
    quiet: str = "#707070"
    line_width: float = 2.2
    joint_size: float = 4.0
    font_size: float = 9.0
    dpi: int = 110

    def colour(self, side: Side) -> str:
        """Colour of a side."""
        return {Side.LEFT: self.left, Side.RIGHT: self.right, Side.CENTRE: self.centre}[side]


DEFAULT_STYLE = Style()


def joint_sides(skeleton: Skeleton) -> tuple[Side, ...]:
    """Side of every joint, in the order of the skeleton."""
    sides = [Side.CENTRE] * len(skeleton)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        sides[left], sides[right] = Side.LEFT, Side.RIGHT
    return tuple(sides)


def joint_colours(skeleton: Skeleton, style: Style = DEFAULT_STYLE) -> list[str]:
    """Colour of every joint; a bone takes that of its child."""
    return [style.colour(side) for side in joint_sides(skeleton)]


def as_array(values: ArrayLike) -> FloatArray:
    """The values as a float64 array on the CPU, whatever tensor or array they come as."""
    plain = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(plain, dtype=np.float64)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with an Agg canvas, known to no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)


def quiet_frame(axes: Axes, style: Style = DEFAULT_STYLE) -> None:
    """Keep only the left and bottom spines, in the colour of secondary text."""
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(style.quiet)
    axes.tick_params(colors=style.quiet, labelsize=style.font_size - 1)


def save_figure(figure: Figure, path: Path, *, dpi: int = DEFAULT_STYLE.dpi) -> None:
    """Write a figure and release what it drew.

    Args:
        figure: The figure, empty afterwards.
        path: File to write; the ending chooses the format. A caller that must not leave half a
            file gives a temporary name and moves it.
        dpi: Dots an inch.
    """
    figure.savefig(path, dpi=dpi)
    figure.clear()
