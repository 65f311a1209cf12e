"""What the teacher hands out: cameras, joints, what they are worth, and labels of each camera.

As a file it is plain arrays beside a description, nothing that can run code.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.errors import DataError, MissingDataError
from lifting.geometry.camera import world_to_camera
from lifting.poses import Poses
from lifting.skeleton import Skeleton
from lifting.teacher.quality import RigQuality
from lifting.teacher.views import RigViews
from lifting.typing import ImageSize, Intrinsics, PerJoint, Points3D, Pose3D, RotationMatrix


@dataclass(frozen=True, kw_only=True)
class RigSolution:
    """A solved rig. Look at ``quality.verdict`` before anything is learned from it.

    The world is that of the given cameras; where they were estimated, it is the frame of the first
    camera.

    Attributes:
        intrinsics: ``(views, 9)``, pixels, as given or with the estimated focal lengths.
        sizes: Width and height of the images, ``(views, 2)``, pixels.
        names: Of the views.
        rotation: World to camera, ``(views, 3, 3)``.
        centre: Camera centres, ``(views, 3)``, mm.
        joints: ``(frames, joints, 3)``, world frame, mm; NaN where under two views see a joint.
        valid: ``(frames, joints)`` bool, joints that no rule rejected.
        weights: ``(frames, joints)``, 0 to 1, zero where not valid.
        residual: Distance of each keypoint from its joint's projection, ``(views, frames,
            joints)``, pixels without lens distortion; NaN where a keypoint was not used.
        inlier: ``(views, frames, joints)`` bool, keypoints that agree.
        covariance: ``(frames, joints, 3, 3)``, world frame, mm^2.
        swapped: ``(views, frames, joints)`` bool, keypoints exchanged with their mirror.
        sigma: Standard deviation of a keypoint's coordinate, pixels.
        scale_rule: What decided the scale, in words.
        metric: The scale is that of given cameras, so that lengths are true.
        quality: Verdict and figures.
        skeleton: The joints.
    """

    intrinsics: Intrinsics
    sizes: ImageSize
    names: tuple[str, ...]
    rotation: RotationMatrix
    centre: Points3D
    joints: Pose3D
    valid: Tensor
    weights: PerJoint
    residual: PerJoint
    inlier: Tensor
    covariance: Tensor
    swapped: Tensor
    sigma: float
    scale_rule: str
    metric: bool
    quality: RigQuality
    skeleton: Skeleton


class CameraLabels(NamedTuple):
    """Pseudo labels of every camera.

    Attributes:
        joints: ``(views, frames, joints, 3)``, camera frame, absolute, mm; NaN where not known.
        weights: ``(frames, joints)``, 0 to 1, zero where there is no label.
    """

    joints: Pose3D
    weights: PerJoint


def labels_in_camera(solution: RigSolution) -> CameraLabels:
    """The joints in the frame of each camera, and how much each weighs.

    Args:
        solution: A solved rig.

    Source: EpipolarPose, section "self-supervision"; ``X_cam = R_v (X - C_v)``.
    """
    frames, joints, _ = solution.joints.shape
    flat = solution.joints.reshape(1, frames * joints, 3)
    seen = world_to_camera(flat, solution.rotation, solution.centre)
    labels = seen.reshape(-1, frames, joints, 3)
    return CameraLabels(labels, torch.where(solution.valid, solution.weights, 0.0))


def poses_of_rig(solution: RigSolution, views: RigViews, fps: float | None) -> Poses:
    """A solved rig as poses: one person in the world, seen by all its cameras.

    Args:
        solution: A solved rig.
        views: What was solved; the first gives the keypoints.
        fps: Frames a second; None where nobody knows.
    """
    known = solution.valid & solution.joints.isfinite().all(-1)
    world = solution.joints.where(known[..., None], torch.nan)
    seen = labels_in_camera(solution).joints[0].where(known[..., None], torch.nan)
    root = seen[:, solution.skeleton.root]
    sigma = solution.covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    count = len(world)
    pixels, confidence = views.keypoints[0], views.confidence[0]
    pixels = pixels.where(pixels.isfinite().all(-1, keepdim=True), torch.nan)
    return Poses(
        skeleton=solution.skeleton,
        joints_3d=(seen - root[:, None]).numpy(),
        trajectory=root.numpy(),
        world=world.numpy(),
        sigma=sigma.where(known & sigma.isfinite(), torch.nan).numpy(),
        keypoints_2d=pixels.numpy(),
        confidence=confidence.clamp(0, 1).numpy(),
        frame=np.arange(count),
        track=np.zeros(count, dtype=np.int64),
        track_names=("person",),
        fps=np.array(np.nan if fps is None else fps),
        intrinsics=solution.intrinsics.numpy(),
        image_size=solution.sizes.numpy(),
        rotation=solution.rotation.numpy(),
        position=solution.centre.numpy(),
        camera_names=solution.names,
        meta={
            "frame": "camera",
            "world": "given"
            if solution.metric
            else f"first camera, scale by {solution.scale_rule}",
            "quality": {
                "verdict": solution.quality.verdict,
                "reasons": list(solution.quality.reasons),
                "sigma_px": solution.sigma,
            },
        },
    )


FORMAT = 1
_META = "meta"
_ARRAYS = (
    "intrinsics", "sizes", "rotation", "centre", "joints", "valid", "weights", "residual",
    "inlier", "covariance", "swapped",
)  # fmt: skip
_FACTS = ("names", "sigma", "scale_rule", "metric")
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def write_solution(
    path: Path, solution: RigSolution, facts: Mapping[str, object] | None = None
) -> None:
    """Write a solution to an npz file, atomically.

    Its arrays carry the names of the solution's attributes; ``meta`` is the rest as JSON, UTF-8.

    Args:
        path: The file to make or replace.
        solution: What to write.
        facts: Kept in the file, for people who look.

    Raises:
        OutputError: The file cannot be written.
    """
    arrays = {name: getattr(solution, name).cpu().numpy() for name in _ARRAYS}
    meta = {
        "format": FORMAT,
        **{name: getattr(solution, name) for name in _FACTS},
        "quality": asdict(solution.quality),
        "skeleton": solution.skeleton.plain(),
        "facts": dict(facts or {}),
    }
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_META: text, **arrays})


class KeptSolution(NamedTuple):
    """What a file of :func:`write_solution` holds.

    Attributes:
        solution: The solved rig.
        facts: What was kept beside it.
    """

    solution: RigSolution
    facts: dict[str, Any]


def read_solution(path: Path) -> KeptSolution:
    """Read a solution from a file of :func:`write_solution`.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged, or no solution of a rig.
    """
    if not path.is_file():
        raise MissingDataError(
            f"expected a solved rig in {path}, got no file; make one with 'lifting rig solve'"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(archive[_META].tobytes())
            tensors = {name: torch.from_numpy(archive[name]) for name in _ARRAYS}
        if meta["format"] != FORMAT:
            raise ValueError(f"format {meta['format']}")
        return KeptSolution(_solution(meta, tensors), dict(meta["facts"]))
    except _DAMAGE as error:
        raise DataError(
            f"expected a solved rig of format {FORMAT} in {path}, got damage or another file "
            f"({error}); make it again with 'lifting rig solve'"
        ) from error


def _solution(meta: Mapping[str, Any], tensors: Mapping[str, Any]) -> RigSolution:
    quality: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in meta["quality"].items()
    }
    quality["pairs"] = tuple((int(a), int(b)) for a, b in quality["pairs"])
    facts: dict[str, Any] = {name: meta[name] for name in _FACTS}
    facts["names"] = tuple(facts["names"])
    return RigSolution(
        quality=RigQuality(**quality), skeleton=Skeleton.of(meta["skeleton"]), **facts, **tensors
    )
