"""Bundle adjustment: static cameras and a moving body, all frames of a recording at once.

Levenberg-Marquardt in float64 over the cameras and every joint in every frame, by reweighted least
squares for the robust kernel: a task says what is given and what may move, and takes steps towards
less cost. ``bundle_terms`` tells what is asked of cameras and joints, ``bundle_system`` how the
equations are solved; the damping follows the per-sample solver's rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from lifting.errors import ConfigError, check_shape, suggest
from lifting.geometry.bundle_system import Arrow, Unknowns, conjugate_gradients
from lifting.geometry.bundle_terms import (
    CAMERA_UNKNOWNS,
    BundleOptions,
    Habits,
    Slopes,
    image_cost,
    image_errors,
    image_factors,
    image_slopes,
)
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.geometry.solver import DAMPING, adapted
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D

_LOOK = 4  # steps between two looks at the cost, which wait for the device
_STUCK = 1e3  # damping at which no step that would be taken matters


class Bundle(NamedTuple):
    """Where a bundle adjustment ended.

    Attributes:
        camera: ``(views,)``.
        joints: ``(frames, joints, 3)``, world frame, mm; those that under two views see are as
            they were given.
        factors: ``(views, frames, joints)``, the kernel's factor, one for a keypoint that agrees;
            zero where a keypoint has no weight.
        cost: Without axes.
        start_cost: Without axes.
        accepted: Steps that lowered the cost, int without axes.
    """

    camera: Camera
    joints: Pose3D
    factors: PerJoint
    cost: Tensor
    start_cost: Tensor
    accepted: Tensor


@torch.no_grad()
def adjust_bundle(
    camera: Camera,
    joints: Pose3D,
    keypoints: Pose2D,
    weights: PerJoint,
    skeleton: Skeleton | None = None,
    options: BundleOptions | None = None,
    freedom: Freedom | None = None,
) -> Bundle:
    """Cameras and joints that explain the keypoints best, and the body's habits as weighed.

    Args:
        camera: ``(views,)`` with rotation and position, the start; distortion is not looked at.
        joints: ``(frames, joints, 3)``, world frame, mm, the start; NaN where not known.
        keypoints: ``(views, frames, joints, 2)``, without distortion, pixels.
        weights: ``(views, frames, joints)``, not negative, for example confidences: an error is
            multiplied by its weight and divided by sigma. Keypoints without are not looked at.
        skeleton: The tree of the joints; needed where one of the body's habits has a weight.
        options: Weights, kernel and number of steps.
        freedom: What of the cameras moves.

    Returns:
        The result; never worse than the start by its cost.

    Raises:
        ConfigError: A habit has a weight and there is no skeleton, or the cameras have no
            extrinsics.
        ShapeError: Shapes that do not go together.

    Source: Triggs et al., "Bundle adjustment: a modern synthesis", 2000.
    """
    options, freedom = options or BundleOptions(), freedom or Freedom()
    task = Task.create(camera, joints, keypoints, weights, skeleton, options, freedom)
    start = torch.where(task.placed[..., None], joints.double(), 0.0)
    state = State(camera.map(lambda values: values.double()), start)
    cost = start_cost = last = task.cost(state)
    damping = torch.full_like(cost, DAMPING)
    accepted = before = torch.zeros_like(cost, dtype=torch.int64)
    for step in range(options.iterations):
        trial = task.moved(state, task.step(state, damping))
        tried = task.cost(trial)
        better = tried < cost  # never so for one that is not finite
        state = state.where(better, trial)
        cost = torch.where(better, tried, cost)
        damping = adapted(damping, better)
        accepted = accepted + better
        if step % _LOOK == _LOOK - 1:
            # A rejected step is no sign of the end until the damping is large.
            moving = (accepted == before) & (damping < _STUCK)
            if not bool((cost < (1 - options.tolerance) * last) | moving):
                break
            last, before = cost, accepted
    errors = task.errors(state)
    kept = joints.dtype
    return Bundle(
        state.camera.map(lambda values: values.to(camera.intrinsics.dtype)),
        torch.where(task.placed[..., None], state.joints.to(kept), joints),
        torch.where(task.weights > 0, image_factors(errors, options), 0.0).to(kept),
        cost,
        start_cost,
        accepted,
    )


Focal = Literal["fixed", "shared", "each"]
FOCALS: tuple[Focal, ...] = ("fixed", "shared", "each")


@dataclass(frozen=True)
class Freedom:
    """What of the cameras is solved for. The first camera never moves.

    Attributes:
        extrinsics: Rotations and centres, except for the scale: the distance of the farthest
            camera from the first stays as it is.
        focal: ``fixed``; ``shared`` is one factor for all cameras, ``each`` one for every camera.
    """

    extrinsics: bool = True
    focal: Focal = "fixed"

    def __post_init__(self) -> None:
        if self.focal not in FOCALS:
            raise ConfigError(f"unknown focal '{self.focal}'; {suggest(self.focal, FOCALS)}")


class State(NamedTuple):
    """All unknowns.

    Attributes:
        camera: ``(views,)``, float64.
        joints: ``(frames, joints, 3)``, mm, float64; zeros where a joint is not solved for.
    """

    camera: Camera
    joints: Pose3D

    def where(self, better: Tensor, other: State) -> State:
        """The other state if it is better."""
        mine, its = self.camera, other.camera
        assert mine.rotation is not None
        assert its.rotation is not None
        assert mine.position is not None
        assert its.position is not None
        camera = Camera(
            intrinsics=torch.where(better, its.intrinsics, mine.intrinsics),
            size=mine.size,
            rotation=torch.where(better, its.rotation, mine.rotation),
            position=torch.where(better, its.position, mine.position),
        )
        return State(camera, torch.where(better, other.joints, self.joints))


@dataclass(frozen=True)
class Task:
    """What does not change over the steps.

    Attributes:
        keypoints: ``(views, frames, joints, 2)``, pixels, zero where not used.
        weights: ``(views, frames, joints)``, zero where not used.
        placed: ``(frames, joints)`` bool, at least two views see the joint, and it has a start.
        habits: Terms of the body; None where none has a weight.
        options: Weights and kernel.
        freedom: What of the cameras moves.
        anchor: Camera whose distance from the first is kept.
    """

    keypoints: Pose2D
    weights: PerJoint
    placed: Tensor
    habits: Habits | None
    options: BundleOptions
    freedom: Freedom
    anchor: int

    @classmethod
    def create(
        cls,
        camera: Camera,
        joints: Pose3D,
        keypoints: Pose2D,
        weights: PerJoint,
        skeleton: Skeleton | None,
        options: BundleOptions,
        freedom: Freedom,
    ) -> Self:
        """Check the arguments of :func:`lifting.geometry.bundle.adjust_bundle`."""
        check_shape("joints", joints, "frames joints 3")
        frames, count, _ = joints.shape
        views = camera.intrinsics.shape[0]
        check_shape("keypoints", keypoints, f"{views} {frames} {count} 2")
        check_shape("weights", weights, f"{views} {frames} {count}")
        if camera.rotation is None or camera.position is None:
            raise ConfigError(
                "expected cameras with rotation and position to start from, got none; estimate "
                "them with lifting.geometry.robust"
            )
        if options.habits and skeleton is None:
            raise ConfigError(
                "expected a skeleton with a weight of bones, symmetry or acceleration, got none; "
                "give one, or set these weights to 0"
            )
        placed = ((weights > 0).sum(0) >= 2) & joints.isfinite().all(-1)
        used = (weights > 0) & placed
        clean = torch.where(used[..., None], keypoints.double(), 0.0)
        habits = None
        if options.habits and skeleton is not None:
            habits = Habits(skeleton, placed, options, clean)
        distance = (camera.position - camera.position[0]).norm(dim=-1)
        return cls(
            clean,
            torch.where(used, weights.double(), 0.0),
            placed,
            habits,
            options,
            freedom,
            int(distance.argmax()),
        )

    def errors(self, state: State) -> Pose2D:
        """Distances from the keypoints, in sigmas, ``(views, frames, joints, 2)``."""
        return image_errors(
            state.camera, state.joints, self.keypoints, self.weights, self.options.sigma
        )

    def cost(self, state: State) -> Tensor:
        """What is minimised, without axes."""
        found = image_cost(self.errors(state), self.options)
        return found if self.habits is None else found + self.habits.cost(state.joints)

    def step(self, state: State, damping: Tensor) -> Step:
        """Solution of the damped normal equations.

        Args:
            state: Where they are set up.
            damping: Relative to the diagonal, without axes.
        """
        slopes = image_slopes(
            state.camera, state.joints, self.keypoints, self.weights, self.options
        )
        basis = self._basis(state.camera)
        toward = torch.einsum("vtjri,vtjr->tji", slopes.joints, slopes.residuals)
        pull = torch.einsum("vtjrk,vtjr->vk", slopes.cameras, slopes.residuals)
        if self.habits is not None:
            toward = toward + self.habits.gradient(state.joints)
        toward = torch.where(self.placed[..., None], toward, 0.0)
        inside = None
        if self.habits is not None:
            directions = self.habits.directions(state.joints)
            inside = self.habits.frame_blocks(directions)
        matrix = self._matrix(slopes, basis, inside).damped(damping)
        groups = matrix.blocks.shape[:2]
        aim = Unknowns(-torch.einsum("vkc,vk->c", basis, pull), -toward.reshape(groups))
        factorised = matrix.factorised()
        if self.habits is None or inside is None:
            found = factorised.solve(aim)
        else:
            times = partial(_coupled, matrix, inside, self.habits, directions)
            found = conjugate_gradients(times, factorised, aim, self.options.conjugate_steps)
        cameras = torch.einsum("vkc,c->vk", basis, found.cameras)
        return Step(cameras, found.groups.reshape(state.joints.shape))

    def _matrix(self, slopes: Slopes, basis: Tensor, inside: Tensor | None) -> Arrow:
        """Normal matrix without what habits couple across frames."""
        joints, cameras = slopes.joints, slopes.cameras
        frames, count = self.placed.shape
        views, _, unknowns = basis.shape
        own = torch.einsum("vtjri,vtjrk->tjik", joints, joints)  # (frames joints 3 3)
        across = torch.einsum("vtjri,vtjrk->tjivk", joints, cameras).reshape(
            frames, count, 3, views * CAMERA_UNKNOWNS
        ) @ basis.flatten(0, 1)
        square = torch.einsum("vtjrk,vtjrl->vkl", cameras, cameras)
        square = torch.einsum("vka,vkl,vlb->ab", basis, square, basis)
        # Joints that are not solved for get a unit block and stay.
        eye = torch.eye(3, dtype=own.dtype, device=own.device)
        own = torch.where(self.placed[..., None, None], own, eye)
        if inside is None:
            blocks = own.flatten(0, 1)
            return Arrow(square, across.flatten(0, 1), blocks)
        wide = torch.zeros(frames, count, 3, count, 3, dtype=own.dtype, device=own.device)
        index = torch.arange(count, device=own.device)
        wide[:, index, :, index] = own.transpose(0, 1)
        wide = wide.reshape(frames, 3 * count, 3 * count)
        return Arrow(
            square,
            across.reshape(frames, 3 * count, unknowns),
            wide + inside,
        )

    def _basis(self, camera: Camera) -> Tensor:
        """Unknowns of all cameras by those that are solved for, ``(views, 7, unknowns)``."""
        assert camera.position is not None
        views, size = len(camera.position), CAMERA_UNKNOWNS
        full = torch.eye(views * size, dtype=torch.float64, device=camera.position.device)
        full = full.reshape(views * size, views, size)
        columns = []
        if self.freedom.extrinsics:
            for view in range(1, views):
                own = full[view * size : view * size + 6]
                if view == self.anchor:
                    along = functional.normalize(camera.position[view] - camera.position[0], dim=0)
                    across = torch.linalg.svd(along[None]).Vh[1:]
                    own = torch.cat((own[:3], torch.einsum("ai,ivk->avk", across, own[3:])))
                columns.append(own)
        zoom = full[size - 1 :: size]
        if self.freedom.focal == "each":
            columns.append(zoom)
        elif self.freedom.focal == "shared":
            columns.append(zoom.sum(0, keepdim=True))
        stack = torch.cat(columns) if columns else full[:0]
        return stack.permute(1, 2, 0)

    def moved(self, state: State, step: Step) -> State:
        """State after a step; the kept distance is restored."""
        camera = state.camera
        assert camera.rotation is not None
        assert camera.position is not None
        position = camera.position + step.cameras[:, 3:6]
        if self.freedom.extrinsics:
            first, anchor = camera.position[0], self.anchor
            length = (camera.position[anchor] - first).norm()
            arm = functional.normalize(position[anchor] - first, dim=0)
            position = position.index_copy(
                0, torch.tensor([anchor], device=arm.device), (first + length * arm)[None]
            )
        zoom = step.cameras[:, 6:].exp()
        lens = torch.cat((camera.intrinsics[:, :2] * zoom, camera.intrinsics[:, 2:]), dim=-1)
        turned = axis_angle_to_matrix(step.cameras[:, :3]) @ camera.rotation
        there = replace(camera, intrinsics=lens, rotation=turned, position=position)
        return State(there, state.joints + step.joints)


class Step(NamedTuple):
    """A change of all unknowns.

    Attributes:
        cameras: ``(views, 7)``: turn, move of the centre, logarithm of the focal length.
        joints: ``(frames, joints, 3)``, mm.
    """

    cameras: Tensor
    joints: Pose3D


def _coupled(
    matrix: Arrow, inside: Tensor, habits: Habits, directions: Tensor, vector: Unknowns
) -> Unknowns:
    """Product of the exact normal matrix with a vector."""
    plain = matrix.times(vector)
    change = vector.groups.reshape(len(vector.groups), -1, 3)
    exact = habits.times(directions, change).flatten(1)
    coarse = (inside @ vector.groups[..., None])[..., 0]
    return Unknowns(plain.cameras, plain.groups + exact - coarse)
