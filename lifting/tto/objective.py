"""What a pose is asked to satisfy at test time: energies, and the objective that adds them up.

An energy is a term per sample, and knows no other; the objective decodes, places the pose before
the camera, projects it, and adds up the energies. Terms that are lengths come in metres and
distances in the image in screen units (half the image's width), so that the published weights
apply as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.errors import ConfigError
from lifting.geometry.camera import (
    normalize_screen,
    pixels_to_rays,
    project,
    screen_intrinsics,
    undistort_rays,
)
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.root import NEAREST_MM, fit_orthography, solve_root
from lifting.geometry.solver import Lengths
from lifting.skeleton import Skeleton
from lifting.tto.adapter import Decoder
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Evaluation, Latents, Observations
from lifting.typing import Intrinsics, PerJoint, PerSample, Pose2D, Pose3D

MM_PER_METRE = 1000.0


def projection_energy(residual: Pose2D, weights: PerJoint) -> PerSample:
    """Weighted mean distance between projected joints and keypoints.

    Args:
        residual: Projection minus keypoint, ``(samples, frames, joints, 2)``, screen units.
        weights: ``(samples, frames, joints)``, 0 for keypoints that do not count. All ones give
            the published mean.

    Returns:
        ``(samples,)``, screen units; zero for a sample without weights.
    """
    return _mean(torch.linalg.vector_norm(residual, dim=-1), weights)


def anchor_energy(
    pose: Pose3D, anchor: Pose3D, log_sigma: PerJoint, first: PerJoint, weights: PerJoint
) -> PerSample:
    """Distance from the first answer over each joint's expected error, and that error's growth.

    Args:
        pose: ``(samples, frames, joints, 3)``, mm.
        anchor: The first answer, same shape.
        log_sigma: ``(samples, frames, joints)``, natural log of mm, held constant.
        first: The same at the first answer.
        weights: ``(samples, frames, joints)``, 0 for joints that are not held.

    Returns:
        ``(samples,)``: mean of ``|pose - anchor| / sigma + log(sigma / first sigma)``; the
        logarithm moves no joint and makes values of different sigma comparable.

    Source: released code, where it is the training loss with the first answer as its target; there
    without the first sigma, a constant.
    """
    log_sigma = log_sigma.detach()
    distance = torch.linalg.vector_norm(pose - anchor, dim=-1)
    return _mean(distance * (-log_sigma).exp() + log_sigma - first.detach(), weights)


def bone_energy(pose: Pose3D, anchor: Pose3D, skeleton: Skeleton) -> PerSample:
    """Mean change of bone lengths since the first answer, metres, ``(samples,)``.

    Args:
        pose: ``(samples, frames, joints, 3)``, mm.
        anchor: The first answer, same shape.
        skeleton: Gives the bones.
    """
    change = bone_lengths(pose, skeleton) - bone_lengths(anchor, skeleton)
    bones = len(skeleton) - 1
    return change.abs().sum(-1).mean(-1) / (bones * MM_PER_METRE)


def symmetry_energy(pose: Pose3D, skeleton: Skeleton) -> PerSample:
    """Mean difference between left and right bone lengths, metres, ``(samples,)``.

    Args:
        pose: ``(samples, frames, joints, 3)``, mm.
        skeleton: Gives the bones and their sides.
    """
    lengths = bone_lengths(pose, skeleton)
    other = lengths.index_select(-1, torch.tensor(skeleton.flip_index, device=pose.device))
    sides = sum(a != b for a, b in enumerate(skeleton.flip_index))
    return (lengths - other).abs().sum(-1).mean(-1) / (max(1, sides) * MM_PER_METRE)


def shares(weights: PerJoint) -> PerJoint:
    """Weights that sum to one over a sample's frames and joints; zeros stay zeros."""
    total = weights.sum((-2, -1), keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


def _mean(values: PerJoint, weights: PerJoint) -> PerSample:
    total = weights.sum((-2, -1))
    return (values * weights).sum((-2, -1)) / torch.where(total > 0, total, 1.0)


ROOT = "tto_root"
ROOT_LR_SCALE = 10.0
"""Factor of the learning rate of an optimised root, metres."""
KEYPOINT_ERROR_MM = 20.0
"""What a keypoint's error amounts to on the body; with each joint's expected error it weighs the
keypoints that place the root."""
UNIFORM_SIGMA_MM = 50.0
"""Expected error where all joints are held alike, and of a method that gives none."""
NEAR_SCREEN = 1e-3
"""Distance from a keypoint below which its length is rounded off, screen units: half a pixel."""
NEAR_ANCHOR = 0.5
"""The same of the distance from the first answer, expected errors."""


class Placed(NamedTuple):
    """A decoded pose before the camera.

    Attributes:
        answer: As decoded.
        centred: ``(samples, frames, joints, 3)``, its pose with the root at zero, mm.
        log_sigma: ``(samples, frames, joints)``, calibrated, natural log of mm.
        residual: ``(samples, frames, joints, 2)``, projection minus keypoint, screen units.
        root: ``(samples, frames, 1, 3)``, where the pose was projected from, mm; zeros under the
            scaled orthography.
        behind: ``(samples,)`` int, joints that the guard in front of the camera held.
    """

    answer: Decoded
    centred: Pose3D
    log_sigma: PerJoint
    residual: Pose2D
    root: Tensor
    behind: PerSample


class _View(NamedTuple):
    projected: Pose2D
    root: Tensor
    behind: PerSample


class Objective:
    """Terms of a batch, as a function of the latents.

    The first call, at the start of the optimisation, sets what later answers are held to: the
    first answer and, where it is not refreshed, its expected error. So neither costs a pass.

    Args:
        decode: Latents to an answer in the original, unmirrored frame.
        observations: What was seen.
        config: Which terms, and how they are weighed.
        skeleton: Joints of the poses.

    Attributes:
        anchor: The first answer, its expected error calibrated.
        own_sigma: The method's own log of the expected error of the first answer, mm; None where
            it gives none.
    """

    def __init__(
        self,
        decode: Callable[[Latents], Decoded],
        observations: Observations,
        config: TtoConfig,
        skeleton: Skeleton,
    ) -> None:
        self.decode = decode
        self.observations = observations
        self.config = config
        self.skeleton = skeleton
        self.anchor: Decoded | None = None
        self.own_sigma: PerJoint | None = None
        seen, size = observations, observations.size[:, None]
        self.half_width = (seen.size[:, 0] / 2)[:, None, None]
        self.screen_uv = normalize_screen(seen.uv, size)
        self.weights = seen.valid.to(seen.uv.dtype)
        if config.confidence_weighting:
            self.weights = self.weights * seen.confidence
        self.held = torch.ones_like(self.weights)
        if not config.anchor_root:
            self.held[..., skeleton.root] = 0
        # 1 everywhere but at the root, where the pose is zero by definition.
        self.around_root = torch.ones(len(skeleton), 1, device=seen.uv.device)
        self.around_root[skeleton.root] = 0
        self.uniform = math.log(UNIFORM_SIGMA_MM)
        self.rays = self._rays(seen.intrinsics)

    def start(self, latents: Latents) -> Latents:
        """The latents, with the position of the root where the configuration adds that.

        Args:
            latents: The method's own. Decoded once if the root is optimised.
        """
        added = dict(latents)
        if self.config.root == "latent":
            with torch.no_grad():
                answer = self.decode(latents)
                centred = answer.pose * self.around_root
                solved = self._solved_root(centred, self._log_sigma(answer))
            added[ROOT] = solved / MM_PER_METRE
        return added

    def lr_scale(self) -> dict[str, float]:
        """Factors of the learning rate for the latents that the configuration adds."""
        return {ROOT: ROOT_LR_SCALE}

    def rows(self, index: Tensor) -> Objective:
        """The objective of some samples, held to their own first answers.

        Args:
            index: Indices of the samples, ``(chosen,)``, in ascending order.
        """
        decode = self.decode.rows(index) if isinstance(self.decode, Decoder) else self.decode
        part = Objective(decode, self.observations.rows(index), self.config, self.skeleton)
        if self.anchor is not None:
            assert self.anchor.log_sigma is not None
            part.anchor = Decoded(self.anchor.pose[index], self.anchor.log_sigma[index])
        return part

    def __call__(self, latents: Latents) -> Evaluation:
        """Decode the latents and add up the terms."""
        placed = self.place(latents)
        energy = self._energy(placed)
        with torch.no_grad():
            pixels = torch.linalg.vector_norm(placed.residual * self.half_width[..., None], dim=-1)
            counted = self.observations.valid
            mean = (pixels * counted).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)
        pose = placed.answer.pose
        return Evaluation(energy, pose, placed.log_sigma, placed.root, mean, placed.behind)

    def place(self, latents: Latents) -> Placed:
        """Decode the latents and project the pose."""
        config = self.config
        own = {name: value for name, value in latents.items() if name != ROOT}
        answer = self.decode(own)
        if self.anchor is None:
            self.anchor = Decoded(answer.pose.detach(), self._log_sigma(answer))
            if answer.log_sigma is not None:
                self.own_sigma = answer.log_sigma.detach()
        fresh = config.sigma == "current" and answer.log_sigma is not None
        log_sigma = self._log_sigma(answer) if fresh else self.anchor.log_sigma
        assert log_sigma is not None
        centred = answer.pose * self.around_root
        view = self._view(centred, answer, log_sigma, latents)
        residual = view.projected - self.screen_uv
        return Placed(answer, centred, log_sigma, residual, view.root, view.behind)

    def held_by(self, log_sigma: PerJoint) -> PerJoint:
        """Expected errors that joints are held by, natural log of mm: the given ones, or one."""
        if self.config.anchor_weighting == "uniform":
            return torch.full_like(log_sigma, self.uniform)
        return log_sigma

    def residuals(self, latents: Latents) -> Tensor:
        """Residuals of the keypoints and of the first answer.

        Args:
            latents: By name, the samples first.

        Returns:
            Shape ``(samples, 5 frames joints)``: two a keypoint, in screen units, then three a
            joint, in expected errors.
        """
        placed = self.place(latents)
        assert self.anchor is not None
        certainty = (-self.held_by(placed.log_sigma)).exp()[..., None]
        moved = (placed.answer.pose - self.anchor.pose) * certainty
        return torch.cat((placed.residual.flatten(1), moved.flatten(1)), dim=1)

    def lengths(self) -> Lengths:
        """Distances from the keypoints and from the first answer, whose lengths are added up."""
        parts = [
            weight * shares(weights).flatten(1)
            for weight, weights in (
                (self.config.weight_projection, self.weights),
                (self.config.weight_anchor, self.held),
            )
        ]
        joints = parts[0].shape[1]
        near = parts[0].new_tensor([NEAR_SCREEN, NEAR_ANCHOR]).repeat_interleave(joints)
        return Lengths.of_groups([2] * joints + [3] * joints, torch.cat(parts, dim=1), near)

    def _energy(self, placed: Placed) -> PerSample:
        """Weighted sum of the terms that have a weight."""
        config, answer = self.config, placed.answer
        assert self.anchor is not None
        energy = config.weight_projection * projection_energy(placed.residual, self.weights)
        if config.weight_anchor:
            assert self.anchor.log_sigma is not None
            log_sigma = self.held_by(placed.log_sigma)
            first = self.held_by(self.anchor.log_sigma)
            term = anchor_energy(answer.pose, self.anchor.pose, log_sigma, first, self.held)
            energy = energy + config.weight_anchor * term
        if config.weight_prior and answer.prior is not None:
            energy = energy + config.weight_prior * answer.prior
        return energy

    def _view(
        self, centred: Pose3D, answer: Decoded, log_sigma: PerJoint, latents: Latents
    ) -> _View:
        """Projection of a pose, screen units."""
        seen, config = self.observations, self.config
        size = seen.size[:, None]
        if config.camera == "orthographic":
            fit = fit_orthography(centred, seen.uv, self._fit_weights(log_sigma))
            nothing = seen.valid.new_zeros(len(seen.valid), dtype=torch.int64)
            flat = normalize_screen(fit.project(centred), size)
            return _View(flat, torch.zeros_like(centred[..., :1, :]), nothing)
        root = self._root(centred, answer, log_sigma, latents)
        placed = centred + root
        near = placed[..., 2] < NEAREST_MM
        if config.root != "gt":
            depth = placed[..., 2:].clamp(min=NEAREST_MM)
            placed = torch.cat((placed[..., :2], depth), dim=-1)
        screen = screen_intrinsics(seen.intrinsics, seen.size)[:, None]
        projected = project(placed, screen, tangential=config.tangential)
        return _View(projected, root, near.sum((1, 2)))

    def _root(
        self, centred: Pose3D, answer: Decoded, log_sigma: PerJoint, latents: Latents
    ) -> Tensor:
        """Where the pose stands by the rule, ``(samples, frames, 1, 3)``, mm."""
        rule = self.config.root
        if rule == "latent":
            return latents[ROOT] * MM_PER_METRE
        if rule == "gt":
            assert self.observations.root_gt is not None
            return self.observations.root_gt
        if rule == "external":
            if answer.root is None:
                raise ConfigError(
                    "expected a method that predicts the root's position for tto.root=external, "
                    "got one that does not; set tto.root=solve"
                )
            return answer.root
        return self._solved_root(centred, log_sigma)

    def _solved_root(self, centred: Pose3D, log_sigma: PerJoint) -> Tensor:
        return solve_root(centred, self.rays, self._fit_weights(log_sigma))[..., None, :]

    def _fit_weights(self, log_sigma: PerJoint) -> PerJoint:
        """Weights of the keypoints in a fit: how well they are seen and the pose is known."""
        # A keypoint's own error is added, or the root, whose error is zero by definition, would
        # tie the whole pose to its single keypoint.
        own = KEYPOINT_ERROR_MM
        return self.weights * own / torch.hypot(log_sigma.exp(), torch.full_like(log_sigma, own))

    def _log_sigma(self, answer: Decoded) -> PerJoint:
        """Calibrated expected error of an answer, or the one that all joints share; constant."""
        config = self.config
        if answer.log_sigma is None:
            return torch.full_like(answer.pose[..., 0].detach(), self.uniform)
        return config.sigma_scale * answer.log_sigma.detach() + config.sigma_shift

    def _rays(self, intrinsics: Intrinsics) -> Pose2D:
        """Directions of the keypoints without distortion."""
        camera = intrinsics[:, None]
        rays = pixels_to_rays(self.observations.uv, camera).clamp(-1, 1)
        straight = undistort_rays(rays, camera, tangential=self.config.tangential)
        # Far outside the image the inverse need not exist; projections are limited alike.
        return straight.nan_to_num(0.0).clamp(-1, 1)
