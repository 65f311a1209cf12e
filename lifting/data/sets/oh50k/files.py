"""``annots.json`` of 3DOH50K: a person, a camera and an SMPL body for every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from lifting.files.checks import check_file, misfit
from lifting.files.json_file import load_json, shown
from lifting.files.limits import Size
from lifting.files.npz import Array
from lifting.skeleton import SMPL_24

_JOINTS = len(SMPL_24)
_SHAPES = 10
_malformed = misfit("use annots.json of 3DOH50K as it is downloaded")


@dataclass(frozen=True)
class Oh50kBodies:
    """SMPL's parameters of the people. N images.

    Attributes:
        poses: Rotation vectors of SMPL's 24 joints, ``(N, 24, 3)``, radians.
        betas: SMPL's first shape coefficients, ``(N, 10)``.
    """

    poses: Tensor
    betas: Tensor


@dataclass(frozen=True)
class Oh50kAnnotations:
    """One file, its images in the order of their names. N images, float64; values may be NaN.

    Attributes:
        path: The file.
        pictures: Path of each image below the file's folder.
        joints: SMPL's 24 joints, ``(N, 24, 3)``, in the file's own frame and unit.
        keypoints: The same joints in the image, ``(N, 24, 2)``, pixels.
        intrinsics: Camera matrices, ``(N, 3, 3)``, pixels; always finite.
        extrinsics: World to camera, ``(N, 4, 4)``, in the unit of the joints.
        scale: Units of the joints that a metre has, ``(N,)``.
        bodies: SMPL's parameters; None when they were not asked for.
    """

    path: Path
    pictures: tuple[str, ...]
    joints: Tensor
    keypoints: Tensor
    intrinsics: Tensor
    extrinsics: Tensor
    scale: Tensor
    bodies: Oh50kBodies | None

    def __len__(self) -> int:
        return len(self.pictures)


def read_annotations(
    path: Path, bodies: bool = False, max_bytes: int = 1024**3
) -> Oh50kAnnotations:
    """The labels of a part of the data set.

    Axes of length 1 before those of a value may be there or not, and a third column of the 2D
    joints, their visibility, which is not read. Other fields are not looked at.

    Args:
        path: ``annots.json``.
        bodies: Whether ``pose`` and ``betas`` are wanted too.
        max_bytes: Largest file that is read, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is too large, no JSON, or of another form.
    """
    check_file(path, max_bytes, "text")
    table = load_json(path, Size(max_bytes / 2**20))
    if not isinstance(table, dict) or not table:
        raise _malformed(path, "a record for every image in an object", shown(table))
    records = [_Record(path, name, table[name]) for name in sorted(table)]

    def stacked(key: str, *shapes: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.stack([record.numbers(key, *shapes) for record in records]))

    intrinsics = stacked("intri", (3, 3))
    lens = intrinsics.diagonal(dim1=1, dim2=2)[:, :2]
    unfit = ~(intrinsics.isfinite().all(-1).all(-1) & (lens > 0).all(-1))
    if bool(unfit.any()):
        name = records[int(unfit.nonzero()[0])].name
        raise _malformed(path, "finite 'intri' with focal lengths above zero", f"those of {name}")
    poses = stacked("pose", (3 * _JOINTS,)).reshape(-1, _JOINTS, 3) if bodies else None
    return Oh50kAnnotations(
        path=path,
        pictures=tuple(record.picture() for record in records),
        joints=stacked("smpl_joints_3d", (_JOINTS, 3)),
        keypoints=torch.from_numpy(np.stack([record.pixels() for record in records])),
        intrinsics=intrinsics,
        extrinsics=stacked("extri", (4, 4)),
        scale=stacked("scale", ()),
        bodies=None if poses is None else Oh50kBodies(poses, stacked("betas", (_SHAPES,))),
    )


class _Record:
    """What the file says of one image.

    Args:
        path: The file, for messages.
        name: The image.
        value: What stands there.
    """

    def __init__(self, path: Path, name: str, value: object) -> None:
        if not isinstance(value, dict):
            raise _malformed(path, f"an object for image {shown(name)}", shown(value))
        self.path, self.name = path, name
        self.fields: Mapping[str, object] = value

    def numbers(self, key: str, *shapes: tuple[int, ...]) -> Array:
        """Numbers of one of some shapes, leading axes of length 1 taken off, float64."""
        value = self.fields.get(key)
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            array = np.asarray(None)
        if array.dtype.kind in "fiu":
            while array.ndim > min(map(len, shapes)) and array.shape[0] == 1:
                array = array[0]
            if array.shape in shapes:
                return array.astype(np.float64)
        wanted = " or ".join(map(str, shapes))
        what = f"numbers '{key}' of shape {wanted} for image {shown(self.name)}"
        raise _malformed(self.path, what, shown(value))

    def pixels(self) -> Array:
        """The 2D joints without their visibility, ``(24, 2)``."""
        return self.numbers("smpl_joints_2d", (_JOINTS, 2), (_JOINTS, 3))[:, :2]

    def picture(self) -> str:
        """Path of the image below the file's folder, with slashes; never one that leads out."""
        value = self.fields.get("img_path")
        name = value.replace("\\", "/") if isinstance(value, str) else ""
        path = PurePosixPath(name)
        if not path.suffix or path.is_absolute() or ".." in path.parts or ":" in name:
            what = f"'img_path' of image {shown(self.name)} to lead to a picture below the folder"
            raise _malformed(self.path, what, shown(value))
        return path.as_posix()
