"""``annots.json`` of 3DOH50K: a person, a camera and an SMPL body for every image.

Where the people of 3DOH50K stand: frame and unit of their labels, told by the labels.

It is not documented whether the 3D joints are in the frame of the camera or of the world, and
programs that read them differ. Both are tried: projected joints must fall on the 2D joints of the
file. Their unit is a metre over ``scale``; thighs must then have the length of thighs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.data.smpl import RegressedBody, regressed_joints
from lifting.errors import DataError
from lifting.files.checks import Size, check_file, misfit
from lifting.files.json_file import load_json, shown
from lifting.files.npz import Array
from lifting.geometry.camera import reprojection_error
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.geometry.triangulation import calibration_intrinsics
from lifting.skeleton import SMPL_24
from lifting.typing import Pose3D

_JOINTS = len(SMPL_24)
_SHAPES = 10
_malformed = misfit("use annots.json of 3DOH50K as it is downloaded")

MM = 1000.0
# Share of the larger side of the box around a person's joints: 12 pixels of somebody of 400.
TOLERANCE = 0.03
THIGH_M = (0.3, 0.55)
POSED_MM = 30.0  # a body of another model or shape, not another frame, which is off by far more


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


class PlacedPeople(NamedTuple):
    """People before their cameras. N images.

    Attributes:
        joints: SMPL's 24 joints, ``(N, 24, 3)`` float64, camera frame, mm; of people that are not
            valid they may be anything.
        valid: Joints are finite and before the camera, ``(N,)`` bool.
        facts: How that was found, for a result record.
    """

    joints: Pose3D
    valid: Tensor
    facts: dict[str, str]


def place_people(labels: Oh50kAnnotations) -> PlacedPeople:
    """The labelled joints in the frame of their cameras, in millimetres.

    Frame and unit are decided once for a file, by medians over its images. Joints in the world
    frame are brought before the camera as they stand, and then scaled, so that what is scaled is
    what was projected.

    Args:
        labels: The whole file.

    Raises:
        DataError: The joints fall on the 2D joints in neither frame, or are not of the size of
            people.
    """
    rotation, shift = labels.extrinsics[:, :3, :3], labels.extrinsics[:, None, :3, 3]
    frames = {"camera": labels.joints, "world": labels.joints @ rotation.mT + shift}
    residuals = {name: _residual(joints, labels) for name, joints in frames.items()}
    frame = min(residuals, key=residuals.__getitem__)
    shares = ", ".join(f"{100 * share:.3g} % in the {name}'s" for name, share in residuals.items())
    if not residuals[frame] <= TOLERANCE:
        raise DataError(
            f"expected smpl_joints_3d of {labels.path} to fall on smpl_joints_2d within "
            f"{100 * TOLERANCE:g} % of the person in the frame of the camera or the world, got "
            f"{shares} (median over images); use 3D joints, 2D joints, intri and extri of one "
            "release of the data set"
        )
    joints = MM * frames[frame] / labels.scale[:, None, None]
    valid = joints.isfinite().all(-1).all(-1) & (joints[..., 2] > 0).all(-1) & (labels.scale > 0)
    thigh = _thigh(joints[valid]) / MM
    if not THIGH_M[0] <= thigh <= THIGH_M[1]:
        raise DataError(
            f"expected thighs of {THIGH_M[0]} to {THIGH_M[1]} m in {labels.path} after a division "
            f"by 'scale', got a median of {thigh:.3g} m over {int(valid.sum())} images; use "
            "smpl_joints_3d and scale of one release of the data set"
        )
    facts = {
        "label_frame": f"{frame}, by reprojection: {shares}",
        "label_unit": f"metre times scale; thighs {thigh:.2f} m",
        "valid_images": str(int(valid.sum())),
    }
    return PlacedPeople(joints, valid, facts)


def regressed_people(
    body: RegressedBody, labels: Oh50kAnnotations, placed: PlacedPeople, rows: Tensor
) -> Pose3D:
    """Human3.6M's joints of the posed meshes, each with its root at the labelled one.

    The parameters pose people in the frame of the world; of people who are posed in that of the
    camera already, which the labelled joints tell, nothing is turned.

    Args:
        body: Model and regressor.
        labels: The whole file, read with its bodies.
        placed: Its people.
        rows: Images to answer, ``(n,)`` int64.

    Returns:
        ``(n, 17, 3)``, camera frame, mm, in the model's precision.

    Raises:
        DataError: The posed joints are not the labelled ones.
    """
    assert labels.bodies is not None
    poses, betas = labels.bodies.poses[rows], labels.bodies.betas[rows]
    rotations = axis_angle_to_matrix(poses).to(body.model.template)
    tree = body.model.pose_joints(rotations, betas.to(rotations)).joints
    wanted, valid = placed.joints[rows].to(tree), placed.valid[rows]
    turns = labels.extrinsics[rows, :3, :3].to(tree)
    turn, offset = _best_turn(tree, wanted, valid, {"world": turns, "camera": _none_of(turns)})
    if not offset <= POSED_MM:
        raise DataError(
            f"expected SMPL, posed by the parameters of {labels.path}, within {POSED_MM:g} mm of "
            f"smpl_joints_3d, got a median of {offset:.0f} mm; use the neutral SMPL model in "
            "data.oh50k.body_model, or set data.oh50k.joint_regressor to null"
        )
    joints = regressed_joints(body, poses, betas, tree.new_zeros(len(tree), 3))
    return (joints - tree[:, :1]) @ turn.mT + wanted[:, :1]


def _residual(joints: Pose3D, labels: Oh50kAnnotations) -> float:
    """Median over images of the mean distance to the 2D joints, as a share of the person.

    Images without finite labels do not count; people behind the camera are infinitely far away.
    """
    pixels = labels.keypoints
    extent = (pixels.amax(1) - pixels.amin(1)).amax(-1)
    known = (extent > 0) & labels.joints.isfinite().all(-1).all(-1)
    distance = reprojection_error(joints, pixels, calibration_intrinsics(labels.intrinsics))
    share = distance.mean(-1) / extent
    behind = ~(joints[..., 2] > 0).all(-1)
    share = share.nan_to_num(nan=torch.inf).masked_fill(behind, torch.inf)[known]
    return float(share.median()) if len(share) else torch.inf


def _thigh(joints: Pose3D) -> float:
    """Median over people of the length of their thighs; not a number where there is nobody."""
    ends = [
        joints[:, [SMPL_24.index(f"{side}_{joint}") for side in ("left", "right")]]
        for joint in ("hip", "knee")
    ]
    lengths = (ends[0] - ends[1]).norm(dim=-1).mean(-1)
    return float(lengths.median()) if len(lengths) else torch.nan


def _best_turn(
    tree: Pose3D, wanted: Pose3D, valid: Tensor, turns: dict[str, Tensor]
) -> tuple[Tensor, float]:
    """The turn that brings posed joints nearest to labelled ones, and the median distance, mm."""
    away = {}
    for name, turn in turns.items():
        posed = (tree - tree[:, :1]) @ turn.mT
        distance = (posed - (wanted - wanted[:, :1])).norm(dim=-1).mean(-1)[valid]
        away[name] = float(distance.nan_to_num(nan=torch.inf).median()) if len(distance) else 0.0
    best = min(away, key=away.__getitem__)
    return turns[best], away[best]


def _none_of(turns: Tensor) -> Tensor:
    return torch.eye(3).to(turns).expand_as(turns)
