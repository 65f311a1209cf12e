"""Skeletons over the frames of a video, as a video; read and written by PyAV, extra ``video``."""

from __future__ import annotations

import errno
import importlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw

from lifting.atomic import not_written, replacing
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.files.npz import Array
from lifting.geometry.camera import project
from lifting.poses import Poses

log = logging.getLogger(__name__)

Matching = Literal["time", "number"]
_PYAV = "av"
_PADDING = 15  # pixels that a codec may add to a side
_SHAPE = 0.02  # by which proportions of images may differ
_SURE = 0.05  # confidence under which a keypoint is not drawn
_CENTRE, _LEFT, _RIGHT = (240, 240, 240), (40, 150, 230), (240, 120, 30)
_EDGE = (20, 20, 20)
_SAID_EVERY = 5.0  # seconds
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class Overlay(NamedTuple):
    """What :func:`write_overlay` did.

    Attributes:
        frames: Of the video.
        drawn: Those with somebody in them.
        what: ``reprojection`` of the lifted joints, or ``keypoints`` where their place is not
            known.
        notes: What a viewer must know.
    """

    frames: int
    drawn: int
    what: str
    notes: tuple[str, ...]


class Span(NamedTuple):
    """How long a video lasts.

    Attributes:
        rate: Frames a second, the mean of a varying rate; None where the file does not say.
        seconds: From its first frame to its end; None likewise.
    """

    rate: float | None
    seconds: float | None


def read_span(video: Path) -> Span:
    """Rate and duration that a video states of itself; no frame is decoded.

    Args:
        video: The file.

    Raises:
        ConfigError: PyAV is not installed.
        MissingDataError: There is no such video.
        DataError: It is no video.
    """
    av = check_video(video)
    try:
        with av.open(str(video)) as source:
            stream = _video_stream(source, video)
            rate = stream.average_rate
            seconds = None
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            elif source.duration:
                seconds = source.duration / av.time_base
            return Span(float(rate) if rate else None, seconds)
    except av.error.FFmpegError as error:
        raise _unreadable(video, error) from error


def write_overlay(
    video: Path, poses: Poses, output: Path, *, matching: Matching = "time"
) -> Overlay:
    """Draw poses over the frames of the video that their keypoints come from.

    The frames keep their time stamps, also where they come at no constant rate; a flag that turns
    the picture is obeyed, as detectors do. The lifted joints are drawn as they project into the
    image where trajectory and intrinsics are known, else the keypoints.

    Args:
        video: The file that was filmed.
        poses: The people in it; of a rig, it is the video of the first camera.
        output: An mp4 file, H.264.
        matching: ``time`` takes the frame of ``poses`` whose number over ``fps`` is nearest to a
            time stamp; ``number`` counts the frames of the video, and is taken where ``fps`` is
            not known.

    Raises:
        ConfigError: PyAV is not installed.
        MissingDataError: There is no such video.
        DataError: It is no video, of another shape of image, or ``poses`` hold nothing to draw.
        OutputError: The file cannot be written.
    """
    av = check_video(video)
    pixels, what = _pixels(poses)
    rows: dict[int, list[int]] = defaultdict(list)
    for row, frame in enumerate(poses.frame.tolist()):
        if np.isfinite(pixels[row]).any():
            rows[frame].append(row)
    rate, notes = _rate(poses, matching)
    frames, drawn, said = 0, 0, time.monotonic()
    try:
        with av.open(str(video)) as source, replacing(output) as temporary:
            stream = _video_stream(source, video)
            with av.open(str(temporary), "w", format="mp4") as target:
                writer: _Writer | None = None
                for number, (seconds, frame) in enumerate(_frames(source, stream)):
                    if writer is None:
                        fit = _fit(poses, frame, video)
                        writer = _Writer(av, target, stream)
                        notes = (*notes, *fit.notes)
                    image = _upright(frame, fit.turned)
                    here = rows.get(number if rate is None else round(seconds * rate), [])
                    _draw(image, poses, pixels, here, fit.scale)
                    writer.put(frame, image)
                    frames, drawn = frames + 1, drawn + bool(here)
                    if time.monotonic() - said > _SAID_EVERY:
                        said = time.monotonic()
                        log.info("%d of %s frames drawn", frames, stream.frames or "some")
                if writer is None:
                    raise DataError(
                        f"expected frames in {video}, got none; the file is damaged or empty"
                    )
                writer.close()
    except av.error.FFmpegError as error:
        if error.errno in _DISK:
            raise not_written(output, error) from error
        raise _unreadable(video, error) from error
    return Overlay(frames, drawn, what, notes)


def _unreadable(video: Path, error: Exception) -> DataError:
    return DataError(
        f"expected a video that can be read in {video}, got '{error}'; give another file"
    )


def check_video(video: Path) -> Any:
    """PyAV, where it is installed and there is a video.

    Raises:
        ConfigError: PyAV is not installed.
        MissingDataError: There is no such video.
    """
    if not video.is_file():
        raise MissingDataError(f"expected a video in {video}, got no file; name the video")
    try:
        return importlib.import_module(_PYAV)
    except ImportError as error:
        raise ConfigError(
            "expected PyAV, which reads and writes videos, got none; install it with "
            "`pip install lifting[video]`"
        ) from error


def _pixels(poses: Poses) -> tuple[Array, str]:
    """Joints in the image, ``(T, J, 2)``, NaN where they are not known, and what they are."""
    keypoints = poses.keypoints_2d
    if keypoints is not None and poses.confidence is not None:
        sure = poses.confidence[..., None] > _SURE
        keypoints = np.where(sure, keypoints, np.nan)
    if poses.trajectory is not None and poses.intrinsics is not None:
        points = poses.joints_3d.astype(np.float64) + poses.trajectory[:, None]
        points[points[..., 2] <= 0] = np.nan
        lens = torch.from_numpy(_lenses(poses))
        seen: Array = project(torch.from_numpy(points), lens, clamp=False).numpy()
        if np.isfinite(seen).any():
            return seen, "reprojection"
    if keypoints is None or not np.isfinite(keypoints).any():
        raise DataError(
            "expected keypoints_2d, or a trajectory and intrinsics, to draw over a video, got "
            "poses without; lift them from keypoints"
        )
    return keypoints, "keypoints"


def _lenses(poses: Poses) -> Array:
    """Intrinsics of every row, ``(T, 9)``; of a rig, those of the first camera."""
    lens = poses.intrinsics
    assert lens is not None
    if lens.ndim == 2:
        lens = lens[0] if poses.camera_names else lens[poses.track]
    lens = np.broadcast_to(lens, (len(poses), lens.shape[-1]))
    padded: Array = np.pad(lens, ((0, 0), (0, 9 - lens.shape[-1])))
    return padded


def _rate(poses: Poses, matching: Matching) -> tuple[float | None, tuple[str, ...]]:
    """Frames a second that time stamps count in; None where frames are counted."""
    known = poses.fps[np.isfinite(poses.fps)]
    if matching == "number":
        return None, ()
    if not known.size:
        return None, ("frames a second are not known: frames are matched by their number",)
    return float(known.flat[0]), ()


def _video_stream(source: Any, video: Path) -> Any:
    if not source.streams.video:
        raise DataError(
            f"expected pictures in {video}, got a file without them; give the video itself"
        )
    stream = source.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _frames(source: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Each frame, and its time from the first, seconds."""
    first: float | None = None
    for frame in source.decode(stream):
        now = float(frame.time) if frame.time is not None else 0.0
        first = now if first is None else first
        yield now - first, frame


class _Fit(NamedTuple):
    """How images and keypoints go together: quarter turns to the left, pixels a pixel."""

    turned: int
    scale: float
    notes: tuple[str, ...]


def _fit(poses: Poses, frame: Any, video: Path) -> _Fit:
    quarter = round(frame.rotation / 90) % 4
    raw = (frame.width, frame.height)
    shown = raw[::-1] if quarter % 2 else raw
    if poses.image_size is None:
        return _Fit(quarter, 1.0, ())
    wide, high = poses.image_size.reshape(-1, 2)[0].tolist()
    if _same((wide, high), shown):
        return _Fit(quarter, 1.0, ())
    if quarter and _same((wide, high), raw):
        note = "the keypoints are of the picture as it is stored: its flag to turn it is ignored"
        return _Fit(0, 1.0, (note,))
    if abs(shown[0] / shown[1] / (wide / high) - 1) > _SHAPE:
        raise DataError(
            f"expected the video of the keypoints, {wide:g} x {high:g} pixels or of this shape, "
            f"got {shown[0]} x {shown[1]} in {video}; give the video that was detected in"
        )
    note = f"keypoints of {wide:g} x {high:g} pixels are drawn on {shown[0]} x {shown[1]}"
    return _Fit(quarter, shown[1] / high, (note,))


def _same(one: tuple[float, float], other: tuple[int, int]) -> bool:
    """Whether sizes are equal, but for what codecs add at the right and the bottom."""
    return all(abs(a - b) <= _PADDING for a, b in zip(one, other, strict=True))


def _upright(frame: Any, turned: int) -> Image.Image:
    """The frame as it is shown, of even width and height, which the codec wants."""
    array = np.rot90(frame.to_ndarray(format="rgb24"), turned)
    high, wide = array.shape[0] // 2 * 2, array.shape[1] // 2 * 2
    return Image.fromarray(np.ascontiguousarray(array[:high, :wide]))


def _draw(image: Image.Image, poses: Poses, pixels: Array, rows: list[int], scale: float) -> None:
    pen = ImageDraw.Draw(image)
    size = max(2, round(max(image.size) / 320))
    skeleton = poses.skeleton
    colours = [_CENTRE] * len(skeleton)
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        colours[left], colours[right] = _LEFT, _RIGHT
    for row in rows:
        joints = pixels[row] * scale
        known = np.isfinite(joints).all(-1)
        ends = [
            (tuple(joints[a]), tuple(joints[b]), colours[b])
            for a, b in skeleton.bones
            if known[a] and known[b]
        ]
        for a, b, _ in ends:
            pen.line((a, b), fill=_EDGE, width=size + 3)
        for a, b, colour in ends:
            pen.line((a, b), fill=colour, width=size)
        for joint in np.flatnonzero(known):
            x, y = joints[joint]
            box = (x - size, y - size, x + size, y + size)
            pen.ellipse(box, fill=colours[joint], outline=_EDGE)
        if len(poses.track_names) > 1:
            top = joints[np.nanargmin(joints[:, 1])]
            words = _person(poses, row)[:40]
            place = (float(top[0]), float(top[1]) - 3 * size)
            pen.text(place, words, fill=_CENTRE, anchor="ms", stroke_width=2, stroke_fill=_EDGE,
                     font_size=6 * size)  # fmt: skip


def _person(poses: Poses, row: int) -> str:
    names = poses.people or poses.track_names
    return str(names[poses.track[row]])


class _Writer:
    """Frames with the time stamps that they came with."""

    def __init__(self, av: Any, target: Any, source: Any) -> None:
        self._av, self._target, self._base = av, target, source.time_base
        codec = "libx264" if "libx264" in av.codec.codecs_available else "mpeg4"
        rate = source.average_rate or Fraction(25)
        self._stream = target.add_stream(codec, rate=rate)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
        self._stream.codec_context.time_base = self._base
        self._first: int | None = None
        self._last = -1

    def put(self, frame: Any, image: Image.Image) -> None:
        if self._first is None:
            self._stream.width, self._stream.height = image.size
            self._first = frame.pts or 0
        new = self._av.VideoFrame.from_image(image)
        given = self._last + 1 if frame.pts is None else frame.pts - self._first
        self._last = new.pts = max(self._last + 1, given)
        new.time_base = self._base
        self._target.mux(self._stream.encode(new))

    def close(self) -> None:
        self._target.mux(self._stream.encode(None))
