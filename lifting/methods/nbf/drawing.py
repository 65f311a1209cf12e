"""Fits of bodies to images as plain arrays, drawn as a sheet of before and after and a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from lifting.atomic import replacing
from lifting.body.kernel_body import LIMBS
from lifting.errors import DataError
from lifting.skeleton import Skeleton
from lifting.visualization.film import ByteArray, drawn, few_colours, palette_of, save_film
from lifting.visualization.style import (
    DEFAULT_STYLE,
    FloatArray,
    Style,
    joint_colours,
    new_figure,
)

SHEET, FILM = "fits.png", "fits.gif"
ROWS_OF_FILM = 2
FPS = 8.0
HOLD_MS = 1500
LEGEND = (
    "green: the body explains the features of a cell better than the background does; "
    "purple: worse"
)
_CELL = 1.75  # inches
_RATIOS, _MOST = "PRGn", 0.8  # colours, and the ratio that has the strongest
_TORSO = "#F0E442"  # apart from both sides, and from the greys of images
_COVER = 0.7  # of the image, by the body
_PALE = 0.55  # of the grey image under ratios


@dataclass(frozen=True, kw_only=True)
class FitFrame:
    """A body before a picture.

    Attributes:
        step: Steps that were made; 0 is the first guess.
        ratio: How much better the body explains each cell of the feature map than the background
            does, ``(cells, cells)``, cosine less cosine.
        opacity: Share of each cell that is body, ``(cells, cells)``.
        limbs: Share of each pixel of a finer drawing that each limb of ``LIMBS`` takes,
            ``(side, side, 9)`` uint8, 255 for all.
        keypoints: Joints, ``(joints, 2)``, pixels of the picture.
        gain: Log likelihood of the features above that of a picture without a body.
        error_mm: MPJPE; None where it is not known.
    """

    step: int
    ratio: FloatArray
    opacity: FloatArray
    limbs: ByteArray
    keypoints: FloatArray
    gain: float
    error_mm: float | None


@dataclass(frozen=True, kw_only=True)
class FitPicture:
    """A picture and the body that was fitted to it.

    Attributes:
        person: Number of the person; pictures of one follow one another.
        case: What was done to the picture, such as ``clean``.
        image: ``(3, side, side)`` uint8.
        frames: The first guess, some steps, and what was answered.
    """

    person: int
    case: str
    image: ByteArray
    frames: tuple[FitFrame, ...]


def save_fits(
    pictures: Sequence[FitPicture], skeleton: Skeleton, folder: Path
) -> tuple[Path, Path]:
    """Write sheet and film, each whole or not at all.

    Args:
        pictures: Those of a person one after the other.
        skeleton: Of the joints.
        folder: Where to.

    Returns:
        The two files.

    Raises:
        DataError: There is no picture.
        OutputError: A file cannot be written.
    """
    sheet, film = folder / SHEET, folder / FILM
    with replacing(sheet) as temporary:
        pixels = drawn(fit_sheet(pictures, skeleton))
        few_colours(pixels, palette_of(pixels)).save(temporary, optimize=True)
    save_fit_film(pictures, skeleton, film)
    return sheet, film


def fit_sheet(
    pictures: Sequence[FitPicture], skeleton: Skeleton, *, style: Style = DEFAULT_STYLE
) -> Figure:
    """A row for each picture: the image, then ratio and body before and after the fit.

    Args:
        pictures: Those of a person one after the other.
        skeleton: Of the joints.
        style: Colours and sizes.

    Raises:
        DataError: There is no picture.
    """
    _check(pictures)
    figure = new_figure(5 * _CELL + 0.3, len(pictures) * (_CELL + 0.22) + 0.3)
    grid = figure.subplots(len(pictures), 5, squeeze=False)
    for row, picture in zip(grid, pictures, strict=True):
        first, last = picture.frames[0], picture.frames[-1]
        _draw_image(row[0], _as_image(picture.image, _side(first)), "image", style)
        row[0].set_ylabel(_name(picture), fontsize=style.font_size - 1, color=style.text)
        for (ratio, body), frame, name in (
            (row[1:3], first, "first guess"), (row[3:5], last, "fitted"),
        ):  # fmt: skip
            _draw_ratio(ratio, picture, frame, style)
            _draw_body(body, picture, frame, skeleton, f"{name}{_error(frame)}", style)
    figure.supxlabel(LEGEND, fontsize=style.font_size - 2, color=style.quiet)
    return figure


def save_fit_film(
    pictures: Sequence[FitPicture],
    skeleton: Skeleton,
    path: Path,
    *,
    fps: float = FPS,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Write a looping gif of the first people: body and ratio of their pictures side by side.

    Args:
        pictures: Those of a person one after the other.
        skeleton: Of the joints.
        path: File to write, ``.gif``, whole or not at all.
        fps: Frames a second.
        style: Colours and sizes.

    Raises:
        DataError: There is no picture.
    """
    _check(pictures)
    people = [list(own) for _, own in groupby(pictures, key=lambda picture: picture.person)]
    frames = list(_film(people[:ROWS_OF_FILM], skeleton, style))
    save_film(frames, path, fps=fps, hold_ms=HOLD_MS)


def _film(
    people: Sequence[Sequence[FitPicture]], skeleton: Skeleton, style: Style
) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures ``(height, width, 3)`` of every step."""
    columns = 2 * max(len(own) for own in people)
    figure = new_figure(columns * 1.4, len(people) * 1.62)
    for step in range(max(len(p.frames) for own in people for p in own)):
        figure.clear()
        grid = figure.subplots(len(people), columns, squeeze=False)
        for row, own in zip(grid, people, strict=True):
            for body, ratio in zip(row[::2], row[1::2], strict=True):
                body.set_axis_off()
                ratio.set_axis_off()
            for picture, body, ratio in zip(own, row[::2], row[1::2], strict=False):
                frame = picture.frames[min(step, len(picture.frames) - 1)]
                _draw_body(body, picture, frame, skeleton, _name(picture) + _error(frame), style)
                _draw_ratio(ratio, picture, frame, style)
        yield drawn(figure)
    figure.clear()


def _draw_body(
    axes: Axes,
    picture: FitPicture,
    frame: FitFrame,
    skeleton: Skeleton,
    title: str,
    style: Style,
) -> None:
    """The body and its skeleton over the image."""
    side = _side(frame)
    shares = frame.limbs.astype(np.float64) / 255
    cover = shares.sum(-1, keepdims=True).clip(0, 1)
    colour = shares @ limb_colours(style) / np.maximum(shares.sum(-1, keepdims=True), 1e-6)
    image = _as_image(picture.image, side)
    _draw_image(axes, image + _COVER * cover * (colour - image), title, style)
    points = frame.keypoints * (side / picture.image.shape[-1]) - 0.5
    colours = joint_colours(skeleton, style)
    bones = [(p, c) for p, c in skeleton.bones if np.isfinite(points[[p, c]]).all()]
    lines = [points[[p, c]] for p, c in bones]
    axes.add_collection(LineCollection(lines, colors="white", linewidths=2.4))
    axes.add_collection(
        LineCollection(lines, colors=[colours[c] for _, c in bones], linewidths=1.2)
    )


def _draw_ratio(axes: Axes, picture: FitPicture, frame: FitFrame, style: Style) -> None:
    """Where the body explains the features better, and where it does worse."""
    side = _side(frame)
    grey = _as_image(picture.image, side).mean(-1, keepdims=True)
    pale = np.repeat(_PALE + (1 - _PALE) * grey, 3, axis=-1)
    colour = colormaps[_RATIOS](_cells((1 + frame.ratio / _MOST) / 2, side))[..., :3]
    cover = _cells(frame.opacity, side)[..., None]
    _draw_image(axes, pale + cover * (colour - pale), f"log likelihood {frame.gain:+.0f}", style)


def _draw_image(axes: Axes, image: FloatArray, title: str, style: Style) -> None:
    axes.set_axis_on()
    axes.imshow(image.clip(0, 1), interpolation="bilinear")
    axes.set_title(title, fontsize=style.font_size - 2, color=style.text, pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def limb_colours(style: Style = DEFAULT_STYLE) -> FloatArray:
    """Colour of each limb by its side, the outer half of arms and legs lighter, ``(9, 3)``."""
    sides = {"left": style.left, "right": style.right}
    rows = []
    for name, _, _ in LIMBS:
        colour = np.array(to_rgb(sides.get(name.partition(" ")[0], _TORSO)))
        outer = name.endswith(("lower arm", "calf"))
        rows.append(colour + 0.45 * outer * (1 - colour))
    return np.stack(rows)


def _as_image(image: npt.NDArray[np.uint8], side: int) -> FloatArray:
    """Shares of red, green and blue, ``(side, side, 3)``, bicubic."""
    picture = _image(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) / 255.0


def _cells(values: FloatArray, side: int) -> FloatArray:
    """Cells as squares of equal colour, ``(side, side)``."""
    place = np.arange(side) * len(values) // side
    return values[np.ix_(place, place)]


def _image(pixels: npt.NDArray[np.uint8]) -> Any:
    return Image.fromarray(pixels)


def _side(frame: FitFrame) -> int:
    return int(frame.limbs.shape[0])


def _name(picture: FitPicture) -> str:
    return f"{picture.person + 1}, {picture.case}"


def _error(frame: FitFrame) -> str:
    return "" if frame.error_mm is None else f", {frame.error_mm:.0f} mm"


def _check(pictures: Sequence[FitPicture]) -> None:
    if not pictures:
        raise DataError("expected at least one picture of a fit, got none; show some images")
