"""A moving pose as a file: gif always, mp4 where the optional encoder is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from lifting.errors import ConfigError, DataError, check_shape
from lifting.skeleton import Skeleton
from lifting.visualization.skeleton_plot import draw_skeleton, frame_scene
from lifting.visualization.style import (
    DEFAULT_STYLE,
    ArrayLike,
    FloatArray,
    Style,
    new_figure,
)
from lifting.visualization.view import FRONT, PoseFrame, View, to_display

ENCODER = "imageio_ffmpeg"
FORMATS = (".gif", ".mp4")


def can_encode_mp4() -> bool:
    """Whether the encoder of mp4 files is installed."""
    return find_spec(ENCODER) is not None


def animate(
    poses: ArrayLike,
    skeleton: Skeleton,
    path: Path,
    *,
    truth: ArrayLike | None = None,
    frame: PoseFrame = "camera",
    fps: float = 25.0,
    view: View = FRONT,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Write a moving skeleton, the truth in grey behind it when given.

    Args:
        poses: ``(frames, joints, 3)``, mm.
        skeleton: Bones and sides.
        path: File to write, ``.gif`` or ``.mp4``; as for :func:`save_figure`, atomicity is the
            caller's.
        truth: ``(frames, joints, 3)``, mm.
        frame: Axes of the poses.
        fps: Frames a second of the file.
        view: Viewpoint.
        style: Colours and sizes.

    Raises:
        ConfigError: Unknown ending, or mp4 without the encoder.
        DataError: No frames.
        ShapeError: Wrong number of joints, or of frames in the truth.
    """
    check_shape("poses", poses, "frames joints 3", joints=len(skeleton))
    if truth is not None:
        check_shape("truth", truth, "f j 3", f=poses.shape[0], j=len(skeleton))
    if poses.shape[0] == 0:
        raise DataError("expected at least one frame to animate, got none; select some frames")
    _check_format(path)
    shown = to_display(poses, frame)
    behind = None if truth is None else to_display(truth, frame)
    images = _render(shown, behind, skeleton, view, style)
    if path.suffix == ".mp4":
        _write_mp4(images, path, fps)
    else:
        _write_gif(images, path, fps)


def _check_format(path: Path) -> None:
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"expected an animation file ending in {' or '.join(FORMATS)}, got '{path.name}'; "
            "rename it"
        )
    if path.suffix == ".mp4" and not can_encode_mp4():
        raise ConfigError(
            "expected the package imageio-ffmpeg for mp4 files, but it is not installed; install "
            f"it, or write a gif: {path.with_suffix('.gif').name}"
        )


def _render(
    poses: FloatArray,
    truth: FloatArray | None,
    skeleton: Skeleton,
    view: View,
    style: Style,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures ``(height, width, 3)`` of every frame, on axes that hold the whole motion."""
    figure = new_figure(4.0, 4.0)
    canvas = FigureCanvasAgg(figure)
    scene = [poses.reshape(-1, 3)] + ([] if truth is None else [truth.reshape(-1, 3)])
    for index, pose in enumerate(poses):
        figure.clear()
        axes = figure.add_subplot()
        if truth is not None:
            draw_skeleton(axes, truth[index], skeleton, view=view, ghost=True, style=style)
        draw_skeleton(axes, pose, skeleton, view=view, style=style)
        frame_scene(axes, scene, view=view, style=style)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        yield np.ascontiguousarray(pixels[..., :3])
    figure.clear()


def _write_gif(images: Iterator[npt.NDArray[np.uint8]], path: Path, fps: float) -> None:
    frames = [Image.fromarray(image) for image in images]
    frames[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=max(20, round(1000 / fps)),
        loop=0,
    )


def _write_mp4(images: Iterator[npt.NDArray[np.uint8]], path: Path, fps: float) -> None:
    import imageio_ffmpeg

    first = next(images)
    height, width = first.shape[:2]
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=fps)
    writer.send(None)
    writer.send(first)
    for image in images:
        writer.send(image)
    writer.close()
