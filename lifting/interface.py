"""The Python interface: keypoints in, :class:`Poses` out.

``from lifting import lift, load_model, read_keypoints, solve_rig, Poses``. What stands here calls
what the commands call, so that both answer the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike

from lifting.data.keypoints import tracks as keypoint_tracks
from lifting.data.keypoints.dialects.arrays import sightings_of
from lifting.data.keypoints.read import Reading, see_arrays
from lifting.data.sequence import PoseTracks
from lifting.data.sets.keypoint_rig.config import Config as RigReading
from lifting.data.sets.keypoint_rig.reader import read_rig
from lifting.errors import ConfigError, DataError
from lifting.experiment.prediction import Model, lift_tracks
from lifting.experiment.ready import load_model, ready_model
from lifting.experiment.schema import to_schema
from lifting.files.checks import as_path
from lifting.files.npz import Array
from lifting.motion.options import MotionOptions
from lifting.poses import Poses
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solution import poses_of_rig
from lifting.teacher.solve import solve_rig as solve_views

__all__ = ["Model", "Poses", "lift", "load_model", "read_keypoints", "solve_rig"]

T = TypeVar("T")
KEYPOINTS = Path("keypoints")
"""What arrays in memory are called in messages and in names of tracks."""


def read_keypoints(path: str | Path, **options: Unpack[Reading]) -> PoseTracks:
    """Read the people that a 2D detector saw in a video, for :func:`lift`.

    Args:
        path: A file of keypoints in any known format, or a folder with one a frame.
        options: Those of ``lifting predict --keypoints``: ``image_size`` (width, height) where the
            file does not say it, ``skeleton``, ``person``, ``fps``, ``intrinsics``,
            ``coordinates``, ``size``; see :func:`lifting.data.keypoints.read.read_video`.

    Returns:
        Tracks in the joints of ``h36m17``: ``keypoints_2d (frames, 17, 2)`` pixels and
        ``confidence (frames, 17)`` of everyone, one after another.

    Raises:
        MissingDataError: There is no such file.
        DataError: The file is damaged, of no known format, or contradicts the arguments.
        ConfigError: An argument is of no use.
    """
    return keypoint_tracks.read_keypoints(as_path(path, "of keypoints"), **options)


def lift(
    keypoints: ArrayLike | PoseTracks,
    *,
    image_size: Sequence[float] | None = None,
    model: Model | str | Path | None = None,
    confidence: ArrayLike | None = None,
    skeleton: str | Sequence[str] | None = None,
    fps: float | None = None,
    intrinsics: Sequence[float] | None = None,
    person: str | int | None = None,
    hypotheses: bool = False,
    motion: MotionOptions | Mapping[str, Any] | None = None,
) -> Poses:
    """Lift 2D keypoints to 3D poses, exactly as ``lifting predict --keypoints`` does.

    Args:
        keypoints: What :func:`read_keypoints` gave; or an array in pixels, ``(frames, joints, 2)``
            or ``(frames, people, joints, 2)``, with a third number where it holds the confidence.
            NaN is absent.
        image_size: Width and height of the video, pixels; needed with an array. This and the
            following but ``model``, ``hypotheses`` and ``motion`` are for arrays only.
        model: From :func:`load_model`, a path for it, or a name of ``lifting weights list``; None
            takes the ready weights that fit the rate and length of the keypoints.
        confidence: 0 to 1, as ``keypoints`` without its last axis.
        skeleton: Name of the joint set, for example ``coco17``, or the names of all joints; None
            tells it from their number and positions, or refuses where that is not sure.
        fps: Frames a second of the video; without it a model of several frames takes the rate that
            it was trained at.
        intrinsics: ``fx, fy, cx, cy`` of the camera, pixels, or nine with its distortion; None
            guesses a focal length of 1.2 times the larger side.
        person: Number of a track, ``largest``, ``longest`` or ``all``, which is the default.
        hypotheses: Also give every hypothesis, where the method has several; of a method of one
            answer there are none, and a line of the log says so.
        motion: How keypoints are cleaned and poses are brought into one world, as a dictionary or
            its class: ``height`` in metres, ``without`` for stages that are left out (``all``
            gives what the model answers), ``lookahead`` for a bounded delay and more.

    Returns:
        A row for each person and frame; tracks bear the numbers of people. ``meta["motion"]``
        holds what was done, and which way is up.

    Raises:
        DataError: The keypoints are of a wrong shape, or their joints cannot be told.
        ConfigError: There are no such weights or no image size, or an option has no use.
        CheckpointError: The model's checkpoint cannot be used.
    """
    given = {
        "image_size": image_size, "confidence": confidence, "skeleton": skeleton, "fps": fps,
        "intrinsics": intrinsics, "person": person,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    if isinstance(keypoints, PoseTracks):
        if options:
            raise ConfigError(
                f"expected {', '.join(options)} when keypoints are read, got it with what "
                "read_keypoints gave; give it to read_keypoints"
            )
        tracks = keypoints
    else:
        tracks = _tracks_of(keypoints, options)
    if not isinstance(model, Model):
        model = ready_model(tracks, model)
    return lift_tracks(model, tracks, hypotheses=hypotheses, motion=MotionOptions.of(motion))


def solve_rig(
    files: Sequence[str | Path],
    cameras: str | Path | None = None,
    *,
    reading: RigReading | Mapping[str, Any] | None = None,
    options: TeacherOptions | Mapping[str, Any] | None = None,
) -> Poses:
    """Cameras and 3D joints of one person from keypoint files of several views.

    Args:
        files: A keypoint file or folder for each camera, whose names the cameras bear.
        cameras: What is known of the cameras: a JSON file or Pose2Sim's calibration; None for
            nothing.
        reading: How files are read: ``image_size``, ``skeleton``, ``person``, ``fps`` and more, as
            a dictionary or its class.
        options: How the rig is solved, as a dictionary or its class.

    Returns:
        Joints in ``world``, relative to the hip in the axes of the first camera in ``joints_3d``,
        cameras in ``intrinsics``, ``rotation`` and ``position``. ``meta["quality"]`` holds the
        verdict: look at it before use. ``fps`` is what the files or ``reading`` say.

    Raises:
        MissingDataError: A file is not there.
        DataError: Files do not fit together, or hold too little that views share.
        ConfigError: An argument is of no use, or what is known of cameras or bones is half known.
    """
    if isinstance(files, str | Path) or not isinstance(files, Iterable):
        raise ConfigError(
            f"expected a list of keypoint files, one a camera, got {files!r:.80}; give "
            "files=['left.npz', 'right.npz']"
        )
    paths = [as_path(file, "of the keypoints of a camera") for file in files]
    if not paths:
        raise ConfigError(
            "expected keypoint files of two or more cameras, got none; give one a camera"
        )
    known = None if cameras is None else as_path(cameras, "of cameras")
    read = _built(RigReading, "reading", reading)
    solving = _built(TeacherOptions, "options", options)
    rig = read_rig(paths, known, read)
    solution = solve_views(rig.views, solving)
    return poses_of_rig(solution, rig.views, rig.fps)


def _built(kind: type[T], name: str, given: Any) -> T | None:
    """Options of a class, from a mapping where they are one."""
    if given is None or isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"expected {name} as a dictionary or {kind.__qualname__}, got {given!r:.80}; give "
            f"{name}={{...}}"
        )
    return to_schema(kind, given, name)


def _as_array(name: str, given: Any) -> Array:
    """What is given as an array; masked points are NaN."""
    if isinstance(given, str | Path):
        raise ConfigError(
            f"expected an array as {name}, got the path {str(given)!r:.80}; give what "
            "read_keypoints(path) answers"
        )
    if isinstance(given, torch.Tensor):
        return np.asarray(given.detach().cpu())
    if isinstance(given, list | tuple) and any(isinstance(v, np.ma.MaskedArray) for v in given):
        given = np.ma.asarray(given)
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "fiu":
        filled: Array = np.ma.filled(given.astype(np.float64), np.nan)
        return filled
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"expected an array of numbers as {name}, got what is none: {error!s:.120}; pad rows "
            "of other lengths with NaN"
        ) from error


def _tracks_of(keypoints: Any, options: dict[str, Any]) -> PoseTracks:
    """Arrays as tracks; their shape is looked at before anything else."""
    array, confidence = _as_array("keypoints", keypoints), options.pop("confidence", None)
    confidence = None if confidence is None else _as_array("confidence", confidence)
    sightings_of(KEYPOINTS, array, confidence)
    if "image_size" not in options:
        raise ConfigError(
            "expected image_size=(width, height) of the video in pixels beside an array, got "
            "none; give it"
        )
    video = see_arrays(KEYPOINTS, array, confidence, **options)
    return keypoint_tracks.tracks_of(KEYPOINTS, video)
