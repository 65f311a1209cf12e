"""People over time as plain arrays: what lifting and rigs answer, and its file, ``poses.npz``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from lifting import __version__
from lifting.errors import ConfigError, DataError, OutputError, ShapeError, check_shape
from lifting.files.checks import as_path
from lifting.files.json_file import parse_json
from lifting.files.npz import Array, Kind, npz_headers, read_plain_npz, write_npz_atomically
from lifting.geometry.camera import project
from lifting.skeleton import SKELETONS, Skeleton

FORMAT, VERSION = "lifting-poses", 2
READABLE = (1, 2)  # 1 lacks contacts, up, ground, flags, people and keypoints as read
# Kind and numbers of axes that an array of the file may have; the first where it is not there.
_FILE: dict[str, tuple[Kind, tuple[int, ...]]] = {
    "joints_3d": ("float", (3,)),
    "frame": ("integer", (1,)),
    "track": ("integer", (1,)),
    "track_names": ("text", (1,)),
    "skeleton": ("text", (0,)),
    "joint_names": ("text", (1,)),
    "parents": ("integer", (1,)),
    "fps": ("number", (0, 1)),
    "meta": ("integer", (1,)),
    "trajectory": ("float", (2,)),
    "world": ("float", (3,)),
    "sigma": ("float", (2,)),
    "expected_error": ("float", (2,)),
    "keypoints_2d": ("float", (3,)),
    "confidence": ("float", (2,)),
    "hypotheses": ("float", (4,)),
    "intrinsics": ("number", (1, 2)),
    "image_size": ("number", (1, 2)),
    "rotation": ("float", (3,)),
    "position": ("float", (2,)),
    "camera_names": ("text", (1,)),
    "people": ("text", (1,)),
    "contacts": ("float", (2,)),
    "keypoints_read": ("float", (3,)),
    "flags": ("integer", (2,)),
    "flag_names": ("text", (1,)),
    "up": ("float", (1, 2)),
    "up_sigma": ("float", (0, 1)),
    "ground": ("float", (0, 1)),
    "ground_sigma": ("float", (0, 1)),
}
_NEEDED = 9  # of these, from the first
_ROWS = {
    "joints_3d": "rows joints 3",
    "trajectory": "rows 3",
    "world": "rows joints 3",
    "sigma": "rows joints",
    "expected_error": "rows joints",
    "keypoints_2d": "rows joints 2",
    "confidence": "rows joints",
    "hypotheses": "rows hypotheses joints 3",
    "contacts": "rows joints",
    "keypoints_read": "rows joints 2",
}
_WHOLE = ("joints_3d", "trajectory", "world", "keypoints_2d", "hypotheses", "keypoints_read")
_GROUND = {"up": (3,), "up_sigma": (), "ground": (), "ground_sigma": ()}
_CAMERAS = {"rotation": "cameras 3 3", "position": "cameras 3"}
_LENS = {"intrinsics": (4, 9), "image_size": (2,)}
_NAMES = ("camera_names", "people", "flag_names")
_STATED = ("format", "version", "unit", "mirror")
"""What ``meta`` of a file says of the file itself."""
_NO_TURN = 1e-3  # by which R R^T of a rotation may differ from 1
_ADVICE = "correct it, or leave it out"


@dataclass(frozen=True, kw_only=True, eq=False)
class Poses:
    """People over time. A row is one person in one frame; tracks follow one another.

    Positions are millimetres. A point that is not known is NaN in all its coordinates. ``T`` rows,
    ``S`` tracks, ``J`` joints, ``C`` cameras of a rig. The arrays are checked when it is made.

    Attributes:
        skeleton: The joints: names, parents and mirror pairs; a known set may be given by name.
        joints_3d: ``(T, J, 3)`` float32, mm relative to the root joint, axes of the camera (x
            right, y down, z forward); of a rig, of its first camera.
        frame: ``(T,)`` int64, number of the frame in its source.
        track: ``(T,)`` int64 into ``track_names``; a frame comes once a track.
        track_names: ``(S,)``, a person, or a piece of a person's time.
        fps: Frames a second of the source: one for all, ``()``, or one a track, ``(S,)``; NaN
            where it is not known.
        trajectory: ``(T, 3)`` float32, place of the root in the frame of the camera, mm.
        world: ``(T, J, 3)`` float32, mm, in the world of a calibration or of the estimated ground;
            z up, unless it is the frame of the first camera. ``meta`` says which.
        sigma: ``(T, J)`` float32, standard error of a coordinate, mm.
        expected_error: ``(T, J)`` float32, mean distance of a joint from the truth that the method
            expects, both relative to the root, mm.
        keypoints_2d: ``(T, J, 2)`` float32, pixels, as they were used; of a rig, of the first
            camera.
        confidence: ``(T, J)`` float32, 0 to 1, as it was used.
        hypotheses: ``(T, hypotheses, J, 3)`` float32, as ``joints_3d``.
        intrinsics: fx, fy, cx, cy and optionally five of distortion, pixels: ``(4,)`` or ``(9,)``,
            or one a track, or of a rig one a camera.
        image_size: Width and height, pixels, ``(2,)``, or as many as ``intrinsics``.
        rotation: ``(C, 3, 3)``, world to camera, of a rig.
        position: ``(C, 3)``, centres of its cameras in the world, mm.
        camera_names: ``(C,)``.
        people: ``(S,)``, whose track it is: pieces of one person's time bear one name.
        contacts: ``(T, J)`` float32, 0 to 1, how sure it is that a joint rests on the ground.
        keypoints_read: ``(T, J, 2)`` float32, pixels, as they were read, before any cleaning.
        flags: ``(T, J)`` uint8, what was done to a joint: bit ``i`` stands for ``flag_names[i]``.
        flag_names: At most eight, for example ``filled`` and ``outlier``.
        up: ``(3,)``, unit vector against gravity, in the frame of the camera; of every row,
            ``(T, 3)``, where it is that of the frames so far.
        up_sigma: Its expected tilt, degrees; ``(T,)`` where ``up`` is of every row.
        ground: Points x of the ground have ``up . x = ground`` in the frame of the camera, mm;
            ``(T,)`` where ``up`` is of every row, NaN before a foot has stood.
        ground_sigma: Its expected error, mm; likewise.
        meta: Where it comes from, in plain values: program, command, method, checkpoint, source.
        unit: Of all positions.

    Raises:
        DataError: An array does not fit the others, or holds what it must not.
        ShapeError: An array has a wrong shape.
        ConfigError: No skeleton has the given name.
    """

    skeleton: Skeleton
    joints_3d: Array
    frame: Array
    track: Array
    track_names: tuple[str, ...]
    fps: Array
    trajectory: Array | None = None
    world: Array | None = None
    sigma: Array | None = None
    expected_error: Array | None = None
    keypoints_2d: Array | None = None
    confidence: Array | None = None
    hypotheses: Array | None = None
    intrinsics: Array | None = None
    image_size: Array | None = None
    rotation: Array | None = None
    position: Array | None = None
    camera_names: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    contacts: Array | None = None
    keypoints_read: Array | None = None
    flags: Array | None = None
    flag_names: tuple[str, ...] = ()
    up: Array | None = None
    up_sigma: Array | None = None
    ground: Array | None = None
    ground_sigma: Array | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    unit: ClassVar[str] = "mm"

    def __post_init__(self) -> None:
        own = self.__dict__  # past the lock of a frozen class; from here on nothing changes
        own["skeleton"] = _joints(self.skeleton)
        for name in ("track_names", "camera_names", "flag_names"):
            own[name] = _names(name, own[name])
        own["people"] = _names("people", own["people"], once=False)
        for name in _ROWS:
            own[name] = _as(name, own[name], np.float32)
        for name in ("fps", *_LENS, *_CAMERAS, *_GROUND):
            own[name] = _as(name, own[name], np.float64)
        for name in ("frame", "track"):
            own[name] = _as(name, own[name], np.int64)
        own["flags"] = _as("flags", own["flags"], np.int64)
        own["meta"] = _plain(self.meta)
        self._check_rows()
        self._check_flags()
        self._check_tracks()
        self._check_cameras()
        self._check_ground()

    def __len__(self) -> int:
        return len(self.joints_3d)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in the order of the arrays."""
        return self.skeleton.joints

    def reprojection_error(self) -> Array:
        """Distance of each joint's projection from the keypoint it was lifted from.

        The file's own check: trajectory, poses, intrinsics and keypoints belong together.

        Returns:
            ``(T, J)``, pixels; NaN where a point is not known.

        Raises:
            DataError: There is no trajectory, or there are no keypoints or intrinsics.
        """
        wanted = ("trajectory", "keypoints_2d", "intrinsics")
        lacking = [name for name in wanted if getattr(self, name) is None]
        if lacking:
            raise DataError(
                f"expected {', '.join(wanted)} for a reprojection, got no {', '.join(lacking)}; "
                "lift with a method that answers where people are, such as one with test-time "
                "optimisation"
            )
        assert self.trajectory is not None
        assert self.keypoints_2d is not None
        points = self.joints_3d.astype(np.float64) + self.trajectory[:, None]
        seen = project(torch.from_numpy(points), torch.from_numpy(self._lens()), clamp=False)
        distance: Array = np.linalg.norm(seen.numpy() - self.keypoints_2d, axis=-1)
        return distance

    def save(self, path: str | Path) -> None:
        """Write an npz file of plain arrays, whole or not at all.

        ``meta`` is JSON in its bytes, and holds ``format``, ``version``, ``unit`` and the mirror
        pairs of the joints beside what is given; ``notes`` of it stand in an array, too.

        Args:
            path: The file.

        Raises:
            ConfigError: ``path`` is no path.
            OutputError: The file cannot be written.
        """
        path = as_path(path, "to write poses to")
        if path.is_dir():
            raise OutputError(
                f"expected a file to write poses to, got the folder {path}; give "
                f"{path / 'poses.npz'}"
            )
        stated = {
            **self.meta,
            "format": FORMAT,
            "version": VERSION,
            "unit": self.unit,
            "mirror": self.skeleton.mirror,
        }
        arrays = {
            **{n: getattr(self, n) for n in _FILE if hasattr(self, n) and n not in _NAMES},
            "skeleton": np.array(self.skeleton.name),
            "joint_names": np.array(self.skeleton.joints),
            "parents": np.array(self.skeleton.parents, dtype=np.int64),
            "track_names": np.array(self.track_names),
            **{name: np.array(names) for name in _NAMES if (names := getattr(self, name))},
            "notes": np.array(self.meta.get("notes", ()), dtype=str),
            "meta": np.frombuffer(json.dumps(stated).encode(), dtype=np.uint8),
        }
        write_npz_atomically(path, **{n: a for n, a in arrays.items() if a is not None})

    @classmethod
    def load(cls, path: str | Path) -> Poses:
        """Read what :meth:`save` wrote; nothing in the file is executed.

        Args:
            path: The file.

        Raises:
            MissingDataError: There is no such file.
            DataError: It is no such file, of a version that is not known, or damaged.
            ConfigError: ``path`` is no path.
        """
        path = as_path(path, "of poses")
        headers = npz_headers(path)
        if "meta" not in headers:
            raise DataError(
                f"expected poses that lifting saved in {path}, got an npz without 'meta' "
                f"({', '.join(sorted(headers))[:120]}); predict again, or give a file of "
                "`lifting predict`"
            )
        lacking = [name for name in [*_FILE][:_NEEDED] if name not in headers]
        if lacking:
            raise DataError(
                f"expected poses that lifting saved in {path}, got a file without "
                f"{', '.join(lacking)}; write it again with `lifting predict` or Poses.save"
            )
        keys: dict[str, tuple[Kind, int]] = {}
        for name, (kind, axes) in _FILE.items():
            given = len(headers[name].shape) if name in headers else axes[0]
            keys[name] = (kind, given if given in axes else axes[0])
        arrays = read_plain_npz(path, keys, optional=frozenset([*_FILE][_NEEDED:]))
        meta = _stated(path, arrays.pop("meta"))
        joints = {
            "name": arrays.pop("skeleton").item(),
            "joints": arrays.pop("joint_names").tolist(),
            "parents": arrays.pop("parents").tolist(),
            "mirror": meta.pop("mirror"),
        }
        try:
            return cls(skeleton=Skeleton.of(joints), meta=meta, **arrays)  # type: ignore[arg-type]
        except (ConfigError, DataError, ShapeError) as error:
            raise DataError(f"expected whole poses in {path}, got a fault: {error}") from error

    def _check_rows(self) -> None:
        sizes = {"rows": len(np.atleast_1d(self.joints_3d)), "joints": len(self.skeleton)}
        for name, pattern in _ROWS.items():
            values = getattr(self, name)
            if values is None:
                continue
            check_shape(name, values, pattern, **sizes)
            if np.isinf(values).any():
                raise DataError(f"expected numbers or NaN in '{name}', got infinity; {_ADVICE}")
            if name == "hypotheses" and not values.shape[1]:
                raise DataError(f"expected hypotheses, got none in 'hypotheses'; {_ADVICE}")
            unknown = np.isnan(values)
            if name in _WHOLE and (unknown.any(-1) != unknown.all(-1)).any():
                raise DataError(
                    f"expected NaN in all coordinates of a point of '{name}' or in none, got it "
                    "in some; a point is known or not"
                )
        spreads = (("sigma", 0.0, np.inf), ("expected_error", 0.0, np.inf))
        for name, low, high in (*spreads, ("confidence", 0.0, 1.0), ("contacts", 0.0, 1.0)):
            values = getattr(self, name)
            if values is not None and ((values < low) | (values > high)).any():
                raise DataError(
                    f"expected '{name}' from {low:g} to {high:g}, got {np.nanmin(values):.4g} to "
                    f"{np.nanmax(values):.4g}; {_ADVICE}"
                )

    def _check_flags(self) -> None:
        if self.flags is None:
            return
        check_shape("flags", self.flags, "rows joints", rows=len(self), joints=len(self.skeleton))
        bits = len(self.flag_names)
        if bits > 8 or ((self.flags < 0) | (self.flags >= 1 << bits)).any():
            raise DataError(
                f"expected at most eight flag_names, and 'flags' made of their {bits} bits, got "
                f"{self.flags.min()} to {self.flags.max()}; name each bit"
            )
        self.__dict__["flags"] = self.flags.astype(np.uint8)

    def _check_ground(self) -> None:
        for name, shape in _GROUND.items():
            values = getattr(self, name)
            if values is None:
                continue
            rows = self.up is not None and self.up.ndim == 2
            wanted = (len(self), *shape) if rows else shape
            known = np.isfinite(values) | (rows and name.startswith("ground"))
            if values.shape != wanted or not np.all(known):
                raise DataError(
                    f"expected finite numbers of shape {wanted} in '{name}', got "
                    f"{values.tolist()!s:.60}; {_ADVICE}"
                )
        if self.up is not None:
            off = np.abs(np.linalg.norm(self.up, axis=-1) - 1)
            if (off > _NO_TURN).any():
                raise DataError(
                    "expected vectors of length 1 in 'up', got "
                    f"{self.up.tolist()!s:.60}; divide them by their length"
                )

    def _check_tracks(self) -> None:
        for name in ("frame", "track"):
            check_shape(name, getattr(self, name), "rows", rows=len(self))
        tracks = len(self.track_names)
        if len(self) and not 0 <= self.track.min() <= self.track.max() < tracks:
            raise DataError(
                f"expected 'track' to count the {tracks} names of tracks, got "
                f"{self.track.min()} to {self.track.max()}; name every track"
            )
        if self.people and len(self.people) != tracks:
            raise DataError(
                f"expected a person for each of the {tracks} tracks in 'people', got "
                f"{len(self.people)}; {_ADVICE}"
            )
        if len(np.unique(np.stack((self.track, self.frame)), axis=1).T) < len(self):
            raise DataError(
                "expected each frame once in a track, got one twice; give one row a person and "
                "frame"
            )
        if (
            self.fps.shape not in ((), (tracks,))
            or (self.fps <= 0).any()
            or np.isinf(self.fps).any()
        ):
            raise DataError(
                f"expected frames a second above zero, one or {tracks} of them, NaN where not "
                f"known, got {self.fps.tolist()!s:.60}; {_ADVICE}"
            )

    def _check_cameras(self) -> None:
        cameras = len(self.camera_names)
        for name, pattern in _CAMERAS.items():
            values = getattr(self, name)
            if (values is None) != (cameras == 0):
                raise DataError(
                    "expected rotation, position and camera_names of a rig, or none of them, got "
                    f"{'no ' if values is None else ''}'{name}' and {cameras} names; give all "
                    "three"
                )
            if values is not None:
                check_shape(name, values, pattern, cameras=cameras)
                if not np.isfinite(values).all():
                    raise DataError(f"expected finite numbers in '{name}', got others; {_ADVICE}")
        turn = self.rotation
        if turn is not None:
            off = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max((1, 2))
            wrong = (off > _NO_TURN) | (np.linalg.det(turn) < 0)
            if wrong.any():
                raise DataError(
                    "expected rotations, world to camera, in 'rotation', got another matrix for "
                    f"camera '{self.camera_names[int(wrong.argmax())]}'; its rows must be unit "
                    "vectors at right angles, without a mirror"
                )
        many = cameras or len(self.track_names)
        for name, lengths in _LENS.items():
            values = getattr(self, name)
            if values is None:
                continue
            shapes = [(n,) for n in lengths] + [(many, n) for n in lengths]
            if values.shape not in shapes:
                raise DataError(
                    f"expected '{name}' of shape {' or '.join(map(str, shapes))}, got "
                    f"{values.shape}; {_ADVICE}"
                )
            if not np.isfinite(values).all() or (values[..., :2] <= 0).any():
                raise DataError(
                    f"expected finite numbers in '{name}', the first two above zero, got "
                    f"{values.ravel()[:9].tolist()}; {_ADVICE}"
                )

    def _lens(self) -> Array:
        """Intrinsics of every row, ``(T, 9)``; of a rig, those of the first camera."""
        assert self.intrinsics is not None
        lens = self.intrinsics
        if lens.ndim == 2:
            lens = lens[0] if self.camera_names else lens[self.track]
        lens = np.broadcast_to(lens, (len(self), lens.shape[-1]))
        padded: Array = np.pad(lens, ((0, 0), (0, 9 - lens.shape[-1])))
        return padded


def _joints(given: Any) -> Skeleton:
    """A skeleton, or a known one by its name; a known name means the known joints."""
    if not isinstance(given, str | Skeleton):
        raise DataError(
            f"expected 'skeleton' as a Skeleton or the name of a known one, got {given!r:.60}; "
            "give skeleton='h36m17', for example"
        )
    skeleton = Skeleton.of(given) if isinstance(given, str) else given
    if SKELETONS.get(skeleton.name, skeleton) != skeleton:
        raise DataError(
            f"expected the joints, parents and mirror pairs of {skeleton.name} under its name, "
            "got others; give the skeleton a name of its own, or correct it"
        )
    return skeleton


def _names(name: str, given: Any, *, once: bool = True) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(
            f"expected a list of names in '{name}', got {given!r:.60}; give {name}=('a', 'b')"
        )
    names = tuple(map(str, given))
    if once and len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise DataError(
            f"expected each name once in '{name}', got '{twice:.60}' more than once; number them"
        )
    return names


def _as(name: str, given: Any, kind: type[Any]) -> Any:
    """An array of numbers; masked ones are NaN. None stays where the array may be left out."""
    if given is None and name not in ("joints_3d", "frame", "track", "fps"):
        return None
    whole = kind is np.int64
    advice = "count frames and tracks from 0" if whole else "give numbers, NaN where not known"
    if isinstance(given, np.ma.MaskedArray) and not whole and given.dtype.kind in "fiu":
        given = np.ma.filled(given.astype(np.float64), np.nan)
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"expected an array of numbers in '{name}', got what is none: {error!s:.80}; {advice}"
        ) from error
    if array.dtype.kind not in ("iu" if whole else "fiu"):
        got = "None" if given is None else array.dtype
        raise DataError(
            f"expected {'whole ' if whole else ''}numbers in '{name}', got {got}; {advice}"
        )
    with np.errstate(over="ignore"):  # found as infinity
        return array.astype(kind, copy=False)


def _plain(meta: Any) -> dict[str, Any]:
    """The same as JSON gives it back, so that a file holds exactly what was given."""
    if not isinstance(meta, dict):
        raise DataError(
            f"expected a dictionary in 'meta', got {meta!r:.60}; give meta={{'source': 'walk'}}, "
            "for example"
        )
    own = [name for name in _STATED if name in meta]
    if own:
        raise DataError(
            f"expected what the file does not state itself in 'meta', got {', '.join(own)}; give "
            "it another name, or leave it out"
        )
    meta = {"program": f"lifting {__version__}", **meta}
    try:
        plain: dict[str, Any] = json.loads(json.dumps(meta, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"expected plain values in 'meta', got: {error}; use text, finite numbers, lists and "
            "dictionaries"
        ) from error
    return plain


def _stated(path: Path, characters: Array) -> dict[str, Any]:
    """What the file says of itself, its own form left out."""
    meta = parse_json(path, characters.astype(np.uint8).tobytes())
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(
            f"expected format '{FORMAT}' in 'meta' of {path}, got "
            f"{str(meta.get('format') if isinstance(meta, dict) else meta)[:60]}; give a file of "
            "`lifting predict`"
        )
    version = meta.get("version")
    if type(version) is not int or version not in READABLE:
        newer = type(version) is int and version > VERSION
        raise DataError(
            f"expected version {READABLE[0]} to {READABLE[-1]} of {FORMAT} in {path}, got "
            f"{str(version)[:20]}; "
            + (
                "a newer lifting wrote it: update this one"
                if newer
                else "the file is damaged: write it again"
            )
        )
    if meta.get("unit") != Poses.unit:
        raise DataError(
            f"expected unit '{Poses.unit}' in 'meta' of {path}, got "
            f"{str(meta.get('unit'))[:20]}; convert the positions, and save them with Poses.save"
        )
    if not isinstance(meta.get("mirror"), list):
        raise DataError(
            f"expected mirror pairs of the joints in 'meta' of {path}, got "
            f"{str(meta.get('mirror'))[:60]}; the file is damaged: write it again"
        )
    return {k: v for k, v in meta.items() if k not in _STATED or k == "mirror"}
