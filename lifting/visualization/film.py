"""Pictures one after the other, as a looping gif of few colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lifting.atomic import replacing
from lifting.skeleton import Skeleton
from lifting.visualization.skeleton_plot import draw_skeleton, frame_scene, side_legend
from lifting.visualization.style import (
    DEFAULT_STYLE,
    FRONT,
    SIDE,
    ArrayLike,
    Style,
    camera_to_display,
    headline,
    new_figure,
)

ByteArray: TypeAlias = npt.NDArray[np.uint8]
COLOURS = 255
_ROUNDS, _EVERY = 3, 3  # of the search for colours, and the pixels it looks at


def save_film(
    frames: Sequence[ByteArray], path: Path, *, fps: float, hold_ms: int | None = None
) -> None:
    """Write a gif, whole or not at all.

    Args:
        frames: Pictures ``(height, width, 3)`` of one size.
        path: File to write, ``.gif``.
        fps: Frames a second.
        hold_ms: How long the first and the last are shown; None for as long as the others.

    Raises:
        OutputError: It cannot be written.
    """
    # One palette for all: what stands still is then the same in all frames, and costs nothing.
    palette = palette_of(np.concatenate((frames[0], frames[-1])))
    coded = [few_colours(pixels, palette) for pixels in frames]
    each = max(20, round(1000 / fps))
    held = each if hold_ms is None else hold_ms
    with replacing(path) as temporary:
        coded[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=coded[1:],
            duration=[held, *[each] * (len(coded) - 2), held][: len(coded)],
            loop=0,
        )


def pose_film(
    truth: ArrayLike,
    predicted: ArrayLike,
    skeleton: Skeleton,
    *,
    rotation: ArrayLike | None = None,
    titles: Sequence[str] = (),
    style: Style = DEFAULT_STYLE,
) -> Iterator[ByteArray]:
    """Predicted poses from the camera and from the side, the true ones in grey behind them.

    Args:
        truth: ``(frames, joints, 3)``, camera frame, root-relative, mm.
        predicted: As ``truth``.
        skeleton: Bones and sides.
        rotation: World to camera, ``(3, 3)``, levels the floor; None when unknown.
        titles: Above each picture.
        style: Colours and sizes.

    Yields:
        Pictures ``(height, width, 3)``.
    """
    true, answer = camera_to_display(truth, rotation), camera_to_display(predicted, rotation)
    floor = float(np.nanmin(true[..., 2]))
    figure = new_figure(5.6, 3.8)
    for number in range(len(true)):
        figure.clear()
        for axes, view in zip(figure.subplots(1, 2), (FRONT, SIDE), strict=True):
            draw_skeleton(axes, true[number], skeleton, view=view, ghost=True, style=style)
            draw_skeleton(axes, answer[number], skeleton, view=view, style=style)
            frame_scene(axes, [*true, *answer], view=view, floor=floor, style=style)
        if titles:
            headline(figure, titles[number], style)
        side_legend(figure, ghost=True, style=style)
        yield drawn(figure)
    figure.clear()


def drawn(figure: Figure) -> ByteArray:
    """Pixels of a figure, ``(height, width, 3)``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])


def palette_of(pixels: ByteArray) -> Any:
    """Colours of a picture; rounds of k-means keep the sides of skeletons in theirs."""
    few = Image.fromarray(np.ascontiguousarray(pixels[::_EVERY, ::_EVERY]))
    return few.quantize(COLOURS, kmeans=_ROUNDS, dither=Image.Dither.NONE)


def few_colours(pixels: ByteArray, palette: Any) -> Any:
    """A picture in the colours of a palette."""
    return Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE)
