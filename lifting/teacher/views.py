"""What the teacher is given: keypoints of one person in every view of a static rig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, DataError, check_shape
from lifting.geometry.camera import pixels_to_rays, undistort_rays
from lifting.geometry.robust import LEAST_POINTS
from lifting.skeleton import Skeleton
from lifting.teacher.options import TeacherOptions
from lifting.typing import ImageSize, Intrinsics, PerJoint, Points3D, Pose2D, RotationMatrix


@dataclass(frozen=True)
class RigViews:
    """Synchronised keypoints of several static cameras, and what is known of the cameras.

    Extrinsics need intrinsics. Keypoints that are not finite count as not seen.

    Attributes:
        keypoints: ``(views, frames, joints, 2)``, pixels; or one ``(frames, joints, 2)`` a view.
        confidence: ``(views, frames, joints)``, 0 to 1; or one ``(frames, joints)`` a view.
        sizes: Width and height of the images, ``(views, 2)``, pixels.
        skeleton: The joints.
        intrinsics: ``(views, 9)`` as in ``geometry.camera``; None where unknown.
        rotation: World to camera, ``(views, 3, 3)``; None where unknown.
        centre: Camera centres in the world, ``(views, 3)``, mm; None where unknown.
        names: Names of the views for messages; numbers if None.
    """

    keypoints: Pose2D | tuple[Pose2D, ...]
    confidence: PerJoint | tuple[PerJoint, ...]
    sizes: ImageSize
    skeleton: Skeleton
    intrinsics: Intrinsics | None = None
    rotation: RotationMatrix | None = None
    centre: Points3D | None = None
    names: tuple[str, ...] | None = None

    def name(self, view: int) -> str:
        """Name of a view."""
        return f"view {view}" if self.names is None else self.names[view]

    def take(self, views: list[int]) -> RigViews:
        """The rig with some of its views."""

        def pick(values: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
            return values[views] if isinstance(values, Tensor) else tuple(values[v] for v in views)

        return RigViews(
            keypoints=pick(self.keypoints),
            confidence=pick(self.confidence),
            sizes=self.sizes[views],
            skeleton=self.skeleton,
            intrinsics=None if self.intrinsics is None else self.intrinsics[views],
            rotation=None if self.rotation is None else self.rotation[views],
            centre=None if self.centre is None else self.centre[views],
            names=tuple(self.name(v) for v in views),
        )


class Observed(NamedTuple):
    """Keypoints as the solver uses them.

    Attributes:
        keypoints: ``(views, frames, joints, 2)``, pixels, lens distortion taken out, float64;
            zeros where not used.
        confidence: ``(views, frames, joints)``, float64; zero where not used.
    """

    keypoints: Pose2D
    confidence: PerJoint

    @property
    def used(self) -> Tensor:
        """``(views, frames, joints)`` bool."""
        return self.confidence > 0

    def frames(self, index: Tensor) -> Observed:
        """Some of the frames."""
        return Observed(self.keypoints[:, index], self.confidence[:, index])


def observe(views: RigViews, options: TeacherOptions) -> Observed:
    """Check the views and take the lens distortion out.

    Args:
        views: What is given.
        options: Confidence that is asked for.

    Raises:
        ConfigError: Extrinsics without intrinsics, or half of the extrinsics.
        DataError: One view only, views of different length or joints, or too few keypoints that
            two views share.
        ShapeError: Shapes that do not go together.
    """
    keypoints, confidence = _stacked(views)
    count, _, joints, _ = keypoints.shape
    check_shape("sizes", views.sizes, f"{count} 2")
    if joints != len(views.skeleton):
        raise DataError(
            f"expected the {len(views.skeleton)} joints of skeleton {views.skeleton.name}, got "
            f"{joints}; name the skeleton of the detector"
        )
    _check_cameras(views, count)
    finite = keypoints.isfinite().all(-1) & confidence.isfinite()
    used = finite & (confidence >= options.min_confidence) & (confidence > 0)
    shared = int((used.sum(0) >= 2).sum())
    if shared < LEAST_POINTS:
        raise DataError(
            f"expected at least {LEAST_POINTS} joints that two views see with confidence "
            f"{options.min_confidence} and more, got {shared}; give more frames, or lower "
            "min_confidence"
        )
    clean = torch.where(used[..., None], keypoints, 0.0).double()
    if views.intrinsics is not None:
        lens = views.intrinsics.double()
        rays = pixels_to_rays(clean.flatten(1, 2), lens)
        rays = undistort_rays(rays, lens, tangential=options.tangential)
        pixels = rays * lens[:, None, :2] + lens[:, None, 2:4]
        clean = torch.where(used[..., None], pixels.reshape(clean.shape), 0.0)
    return Observed(clean, torch.where(used, confidence, 0.0).double())


def _stacked(views: RigViews) -> tuple[Pose2D, PerJoint]:
    """Keypoints and confidences of all views as tensors."""
    count = len(views.keypoints)
    if count < 2:
        raise DataError(
            f"expected keypoints of at least two views, got {count}; depth is not to be had from "
            "one camera without a trained method"
        )
    if len(views.confidence) != count:
        raise DataError(
            f"expected confidences of {count} views, got {len(views.confidence)}; give one a view"
        )
    for name, last in (("keypoints", 2), ("confidence", None)):
        for view, values in enumerate(getattr(views, name)):
            pattern = "frames joints" if last is None else f"frames joints {last}"
            check_shape(f"{name} of {views.name(view)}", values, pattern)
    shapes = [tuple(values.shape[:2]) for values in views.keypoints]
    for axis, what, advice in (
        (0, "frames", "cut the recordings to the time that all cameras share"),
        (1, "joints", "bring all views to one skeleton"),
    ):
        sizes = {views.name(v): shape[axis] for v, shape in enumerate(shapes)}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
            raise DataError(f"expected as many {what} in every view, got {listed}; {advice}")
    for view, (values, shape) in enumerate(zip(views.confidence, shapes, strict=True)):
        if tuple(values.shape) != shape:
            raise DataError(
                f"expected confidences of shape {shape} in {views.name(view)}, got "
                f"{tuple(values.shape)}; give one a keypoint"
            )
    return torch.stack(tuple(views.keypoints)), torch.stack(tuple(views.confidence))


def _check_cameras(views: RigViews, count: int) -> None:
    if (views.rotation is None) != (views.centre is None):
        raise ConfigError(
            "expected rotation and centre of the cameras, got one of them; give both or neither"
        )
    if views.rotation is not None and views.intrinsics is None:
        raise ConfigError(
            "expected intrinsics with rotation and centre, got none; give them, or leave the "
            "extrinsics out to have all estimated"
        )
    if views.intrinsics is not None:
        check_shape("intrinsics", views.intrinsics, f"{count} 9")
    if views.rotation is not None and views.centre is not None:
        check_shape("rotation", views.rotation, f"{count} 3 3")
        check_shape("centre", views.centre, f"{count} 3")
