"""What a bundle adjustment asks of cameras and joints: that they explain the images, and habits.

The images are one term, robust: it ties every camera to every joint it sees. The habits of a body
are the others: bones keep their length, left is as long as right, joints move evenly. Those tie
joints of a frame, and frames, to one another and know no camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError, suggest
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import cross_matrix
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

Kernel = Literal["huber", "cauchy"]
KERNELS: tuple[Kernel, ...] = ("huber", "cauchy")
CAMERA_UNKNOWNS = 7
"""Turn (3), move of the centre (3), logarithm of the focal length (1) of a camera."""
_NEAREST = 1e-6  # a depth is divided by; one of this size has no finite cost that is accepted


@dataclass(frozen=True)
class BundleOptions:
    """How a bundle adjustment weighs what it knows.

    Attributes:
        sigma: Standard deviation of a keypoint's coordinate, pixels.
        kernel: ``huber``, or ``cauchy``, which lets go of gross errors.
        width: Error, in sigmas, from which the kernel departs from a square.
        bones: Weight of a bone's deviation from its mean over the frames, 1/mm: the reciprocal of
            the standard deviation that is believed. 0 leaves the term out.
        symmetry: Weight of the difference of a left and a right bone, 1/mm.
        acceleration: Weight of each coordinate of ``X_(t-1) - 2 X_t + X_(t+1)``, 1/mm.
        iterations: Steps that are tried at most.
        tolerance: Relative fall of the cost over some steps, under which it stops.
        conjugate_steps: Steps of the inner solver at most, where habits need one.
    """

    sigma: float = 2.0
    kernel: Kernel = "huber"
    width: float = 2.0
    bones: float = 0.0
    symmetry: float = 0.0
    acceleration: float = 0.0
    iterations: int = 30
    tolerance: float = 1e-6
    conjugate_steps: int = 20

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ConfigError(f"unknown kernel '{self.kernel}'; {suggest(self.kernel, KERNELS)}")
        for name in ("sigma", "width", "iterations", "conjugate_steps"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"expected {name} above 0, got {getattr(self, name)}")
        for name in ("bones", "symmetry", "acceleration", "tolerance"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} from 0, got {getattr(self, name)}")

    @property
    def habits(self) -> bool:
        """Some habit of the body has a weight."""
        return self.bones > 0 or self.symmetry > 0 or self.acceleration > 0


class Slopes(NamedTuple):
    """Whitened residuals of the images and their derivatives, times the root of their factor.

    Attributes:
        residuals: ``(views, frames, joints, 2)``.
        joints: ``(views, frames, joints, 2, 3)``.
        cameras: ``(views, frames, joints, 2, 7)``.
    """

    residuals: Tensor
    joints: Tensor
    cameras: Tensor


def image_cost(errors: Pose2D, options: BundleOptions) -> Tensor:
    """Sum of the kernel over keypoints, of errors in sigmas ``(..., 2)``."""
    square = errors.square().sum(-1)
    width = options.width
    if options.kernel == "cauchy":
        return (width**2 / 2) * torch.log1p(square / width**2).sum()
    length = square.clamp(min=width**2).sqrt()
    return torch.where(square <= width**2, square / 2, width * length - width**2 / 2).sum()


def image_factors(errors: Pose2D, options: BundleOptions) -> PerJoint:
    """Factor of a square that has the kernel's slope, one for small errors, ``(...)``."""
    square = errors.square().sum(-1) / options.width**2
    if options.kernel == "cauchy":
        return 1 / (1 + square)
    return square.clamp(min=1).rsqrt()


def image_errors(
    camera: Camera, joints: Pose3D, keypoints: Pose2D, weights: PerJoint, sigma: float
) -> Pose2D:
    """Distance of projections from keypoints without distortion, in sigmas.

    Args:
        camera: ``(views,)``, whose lens distortion is not looked at.
        joints: ``(frames, joints, 3)``, world frame, mm, finite.
        keypoints: ``(views, frames, joints, 2)``, pixels, finite.
        weights: ``(views, frames, joints)``, of an error.
        sigma: Pixels.
    """
    local = _in_cameras(camera, joints)
    rays = local[..., :2] / _depth(local)
    lens = camera.intrinsics[:, None, None]
    errors = rays * lens[..., :2] + lens[..., 2:4] - keypoints
    return errors * (weights / sigma)[..., None]


def image_slopes(
    camera: Camera,
    joints: Pose3D,
    keypoints: Pose2D,
    weights: PerJoint,
    options: BundleOptions,
) -> Slopes:
    """Residuals near cameras and joints; arguments as in :func:`image_errors`.

    Source: derivatives of ``f R (X - C) / z + c`` in X, in a turn from the left, in C and in the
    logarithm of f.
    """
    assert camera.rotation is not None
    errors = image_errors(camera, joints, keypoints, weights, options.sigma)
    scale = image_factors(errors, options).sqrt()
    local = _in_cameras(camera, joints)
    depth = _depth(local)
    rays = local[..., :2] / depth
    focal = camera.intrinsics[:, None, None, :2]
    size = (focal / depth * (scale * weights / options.sigma)[..., None])[..., None]
    eye = torch.eye(2, dtype=rays.dtype, device=rays.device).expand(*rays.shape, 2)
    in_camera = size * torch.cat((eye, -rays[..., None]), dim=-1)  # (views frames joints 2 3)
    in_world = in_camera @ camera.rotation[:, None, None]
    turn = -(in_camera @ cross_matrix(local))
    zoom = size * (rays * depth)[..., None]
    return Slopes(errors * scale[..., None], in_world, torch.cat((turn, -in_world, zoom), dim=-1))


def _in_cameras(camera: Camera, joints: Pose3D) -> Tensor:
    assert camera.rotation is not None
    assert camera.position is not None
    moved = joints - camera.position[:, None, None]
    return moved @ camera.rotation.mT[:, None]


def _depth(local: Tensor) -> Tensor:
    depth = local[..., 2:]
    return torch.where(depth.abs() < _NEAREST, _NEAREST, depth)


class Habits:
    """Terms of the body: lengths of bones, symmetry, evenness of motion.

    A term that touches a joint without a place is left out.

    Args:
        skeleton: The tree of the joints.
        placed: ``(frames, joints)`` bool, joints that are solved for.
        options: Weights of the terms.
        like: A tensor whose type and device is taken.
    """

    def __init__(
        self, skeleton: Skeleton, placed: Tensor, options: BundleOptions, like: Tensor
    ) -> None:
        bones = torch.tensor(skeleton.bones, device=placed.device)
        self.options = options
        self.parent, self.child = bones.unbind(1)
        self.kept = (placed[:, self.parent] & placed[:, self.child]).to(like)  # (frames bones)
        order = [pair[1] for pair in skeleton.bones]
        flipped = [order.index(skeleton.flip_index[child]) for child in order]
        twins = [(i, j) for i, j in enumerate(flipped) if i < j]
        pairs = torch.tensor(twins, dtype=torch.long, device=placed.device).reshape(-1, 2)
        self.one, self.other = pairs.unbind(1)
        self.twins = self.kept[:, self.one] * self.kept[:, self.other]
        steady = placed[:-2] & placed[1:-1] & placed[2:]
        self.steady = steady[..., None].to(like)  # (frames - 2, joints, 1)

    def cost(self, joints: Pose3D) -> Tensor:
        """Half the weighted sum of squares, without axes."""
        length = self._vectors(joints).norm(dim=-1)
        terms = (
            self.options.bones * self._deviation(length),
            self.options.symmetry * self.twins * (length[:, self.one] - length[:, self.other]),
            self.options.acceleration * self.steady * _second_difference(joints),
        )
        return sum((x.square().sum() for x in terms), torch.zeros_like(joints[0, 0, 0])) / 2

    def gradient(self, joints: Pose3D) -> Pose3D:
        """Derivative of the cost, ``(frames, joints, 3)``."""
        length = self._vectors(joints).norm(dim=-1)
        return self._back(self.directions(joints), self._pulled(length)) + self._evened(joints)

    def directions(self, joints: Pose3D) -> Tensor:
        """Unit vectors of the bones, ``(frames, bones, 3)``: where the terms are linearised."""
        return torch.nn.functional.normalize(self._vectors(joints), dim=-1)

    def times(self, directions: Tensor, step: Pose3D) -> Pose3D:
        """Normal matrix of the terms near directions times a step, ``(frames, joints, 3)``."""
        change = (directions * self._vectors(step)).sum(-1)
        return self._back(directions, self._pulled(change)) + self._evened(step)

    def frame_blocks(self, directions: Tensor) -> Tensor:
        """Normal matrix within each frame, lengths held to constants, ``(frames, 3 j, 3 j)``."""
        count = self.steady.shape[1]
        bones = torch.arange(len(self.child), device=directions.device)
        rows = directions.new_zeros(len(directions), len(bones), count, 3)
        rows[:, bones, self.child] = directions
        rows[:, bones, self.parent] = -directions
        rows = rows.flatten(2)
        pairs = (rows[:, self.one] - rows[:, self.other]) * self.twins[..., None]
        rows = torch.cat(
            (
                self.options.bones * self.kept[..., None] * rows,
                self.options.symmetry * pairs,
            ),
            dim=1,
        )
        return rows.mT @ rows + torch.diag_embed(self.acceleration_diagonal().flatten(1))

    def acceleration_diagonal(self) -> Tensor:
        """Diagonal of the evenness's normal matrix, ``(frames, joints, 3)``."""
        frames = len(self.kept)
        square = self.steady.new_zeros(frames, *self.steady.shape[1:])
        if frames > 2:
            for shift, coefficient in enumerate((1.0, 4.0, 1.0)):
                square[shift : frames - 2 + shift] += coefficient * self.steady
        return (self.options.acceleration**2 * square).expand(-1, -1, 3)

    def _vectors(self, joints: Pose3D) -> Tensor:
        return joints[:, self.child] - joints[:, self.parent]

    def _deviation(self, values: Tensor) -> Tensor:
        count = self.kept.sum(0).clamp(min=1)
        return self.kept * (values - (self.kept * values).sum(0) / count)

    def _pulled(self, values: Tensor) -> Tensor:
        """Weighted residuals' pull on each bone's length, ``(frames, bones)``."""
        pull = self.options.bones**2 * self._deviation(values)
        gap = self.twins * (values[:, self.one] - values[:, self.other])
        gap = self.options.symmetry**2 * gap
        pull = pull.index_add(1, self.one, gap)
        return pull.index_add(1, self.other, -gap)

    def _back(self, directions: Tensor, pull: Tensor) -> Pose3D:
        force = pull[..., None] * directions
        found = force.new_zeros(len(force), self.steady.shape[1], 3)
        return found.index_add(1, self.child, force).index_add(1, self.parent, -force)

    def _evened(self, values: Pose3D) -> Pose3D:
        found = torch.zeros_like(values)
        if len(values) > 2:
            force = self.options.acceleration**2 * self.steady * _second_difference(values)
            for shift, coefficient in enumerate((1.0, -2.0, 1.0)):
                found[shift : len(values) - 2 + shift] += coefficient * force
        return found


def _second_difference(values: Tensor) -> Tensor:
    if len(values) < 3:
        return values[:0]
    return values[:-2] - 2 * values[1:-1] + values[2:]
