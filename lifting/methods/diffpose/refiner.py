"""The whole method in the network's units: context encoder, denoiser, training losses, answers.

Runs without Lightning. Screen units for u, v; root-relative metres for x, y, z. The diffused
state is kept relative to the centre that the forward process contracts to.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lifting.batch import root_relative
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import Encoder, build_context, encode_poses
from lifting.methods.diffpose.denoiser import (
    Given,
    Noised,
    Student,
    TrainingPoses,
    build_denoiser,
    denoise,
    denoising_target,
    predict,
    told_of,
)
from lifting.methods.diffpose.diffusion import (
    antithetic_steps,
    beta_schedule,
    cumulative_signal,
    signal_at,
    step_list,
)
from lifting.methods.diffpose.folded import FoldedTrunk, can_fold
from lifting.methods.diffpose.forward import DRAWS, Forward, NoiseEnd
from lifting.methods.diffpose.guidance import Guide
from lifting.methods.diffpose.network import Encoded
from lifting.methods.diffpose.sampler import CHOICES, NOISE, Sampler, Samples, student_levels
from lifting.nn.pose_loss import pose_loss
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D


class Refiner(nn.Module):
    """A context encoder and a denoiser that refines its pose.

    Args:
        config: The switches.
        skeleton: Joints of both poses.
        frames: Length of the windows that a video context encoder lifts; batches of poses are
            then whole windows, one after another.

    Attributes:
        steps: Rising steps at which the denoiser is called.
        student: The few-step student; None where there is none.
        by_student: Whether it is the student that answers.
        folds: Whether answers may come from folded networks; not where they are compiled.
    """

    signal: Tensor

    def __init__(self, config: Config, skeleton: Skeleton, frames: int = 1) -> None:
        super().__init__()
        self.config = config
        self.skeleton = skeleton
        self.process = Forward(config, skeleton)
        self.sampler = Sampler(config, self.process, skeleton)
        self.channels = self.process.channels
        self.context = build_context(config, skeleton, frames)
        self.denoiser = build_denoiser(config, self.process, skeleton)
        betas = beta_schedule(
            config.beta_shape, config.beta_start, config.beta_end, config.diffusion_steps
        )
        # The sampler counts with numbers, which it must not fetch from a device in every pass.
        self.shares = cumulative_signal(betas)
        self.register_buffer("signal", self.shares, persistent=False)
        self.steps = step_list(config.start_level, config.sampling_steps, config.skip)
        more = len(self.steps) - 1 if config.process == "stacked" else 0
        self.stack = nn.ModuleList(
            build_denoiser(config, self.process, skeleton) for _ in range(more)
        )
        self.student = Student(self.denoiser, config) if config.student != "none" else None
        self.by_student = self.student is not None and config.student_steps > 0
        self.folds = True

    @property
    def drawn(self) -> int:
        """Hypotheses that are computed; those beyond are copies."""
        return self.config.drawn

    @property
    def levels(self) -> tuple[int, ...]:
        """Rising steps at which a network is called for an answer."""
        if self.by_student:
            return student_levels(self.config.start_level, self.config.student_steps)
        return self.steps

    @property
    def calls(self) -> int:
        """Calls of a network, one after the other, for an answer."""
        if self.config.process == "diffusion":
            return len(self.levels)
        return 1 + len(self.stack)

    @property
    def answering(self) -> nn.Module:
        """The network that is called for an answer."""
        return self.student.network if self.student and self.by_student else self.denoiser

    def lift(self, uv: Pose2D) -> Pose3D:
        """The context encoder's pose, ``(batch, joints, 3)``, from ``(batch, joints, 2)``."""
        return self._encode(uv).pose

    def loss(
        self,
        uv: Pose2D,
        xyz: Pose3D,
        visible: PerJoint | None = None,
        mixture: Tensor | None = None,
    ) -> Tensor:
        """Denoising loss at random steps; a frozen context encoder gets no gradient.

        Args:
            uv: ``(batch, joints, 2)``.
            xyz: Root-relative labels, ``(batch, joints, 3)``.
            visible: ``(batch, joints)`` bool, False where a label is not valid.
            mixture: 2D mixtures, ``(batch, joints, components, 5)``; None is a single component
                at each detection.

        Source: released code for the squared loss, which sums over joints and channels.
        """
        poses = self._training_poses(uv, xyz, mixture)
        if self.config.process != "diffusion":
            answer = self._refine(uv, poses.context, poses.end)
            target = poses.clean - poses.end.centre
        else:
            noised = self._noised(poses)
            t = noised.t.float()
            answer = predict(self.denoiser, noised.state, t, poses.given, self.config)
            target = denoising_target(poses, noised, self.config.prediction, self.signal)
        if self.config.loss == "distance":
            return pose_loss(answer, target, visible, "distance")
        return _mean((answer - target).square().sum(dim=-1), visible)

    def student_loss(
        self,
        uv: Pose2D,
        xyz: Pose3D,
        visible: PerJoint | None = None,
        mixture: Tensor | None = None,
    ) -> Tensor:
        """Consistency loss of the student at random steps; arguments as :meth:`loss`.

        Context encoder and denoiser get no gradient. Labels are read for noisy states only.
        """
        assert self.student is not None
        poses = self._training_poses(uv, xyz, mixture)
        state, _, t = self._noised(poses)
        centre = poses.end.centre

        def answer(network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
            return predict(network, x + centre, t.float(), poses.given, self.config)

        errors = self.student.loss(self.denoiser, answer, state - centre, t, self.signal)
        return _mean(errors, visible)

    def start_noise(self, seed: int) -> Tensor:
        """Unit noise at the start of sampling, its mean over the hypotheses.

        It is zero for several hypotheses, and where the start is the context pose itself.

        Args:
            seed: Seed of the table.

        Returns:
            ``(1, joints, channels)``.
        """
        return self.tables(seed)[NOISE][0].mean(dim=0)

    def tables(self, seed: int) -> dict[str, Tensor]:
        """What answers are drawn by, see :meth:`Sampler.tables`.

        Args:
            seed: Seed of the tables.
        """
        return self.sampler.tables(seed, len(self.levels), self.signal.device)

    def sample(
        self,
        uv: Pose2D,
        seed: int,
        start_noise: Tensor | None = None,
        mixture: Tensor | None = None,
        guide: Guide | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Samples:
        """Draw the hypotheses of a batch of poses in one pass; differentiable in all inputs.

        Every pose sees the same table of unit noise, drawn from the seed: one entry a hypothesis,
        joint and channel; components are drawn by such a table too. So an answer depends neither
        on the batch around a pose nor on what was drawn before, and repeated evaluation is equal
        to the bit. Over the hypotheses the noise sums to zero, which takes most of the sampling
        error out of their mean.

        Args:
            uv: ``(batch, joints, 2)``.
            seed: Seed of the tables.
            start_noise: Takes the place of the start's mean noise, ``(batch, joints, channels)``;
                the hypotheses keep their distances from it. None leaves the table as it is.
            mixture: As in :meth:`loss`.
            guide: Moves the estimated poses of every step.
            tables: Take the place of those of :meth:`tables`, by name.
        """
        tables = self.tables(seed) | dict(tables or {})
        context = self._encode(uv)
        choices = tables.get(CHOICES)
        if choices is not None:
            choices = choices.expand(-1, -1, uv.shape[0], -1)
        draw = self.process.draw(uv, mixture, choices)
        end = self.process.noise_end(uv, context.pose, draw)
        if self.config.process == "diffusion":
            table = tables[NOISE]
            first = table[0]
            if start_noise is not None:
                first = first - first.mean(dim=0, keepdim=True) + start_noise
            share = self.signal[self.levels[-1] + 1]
            folded = self._folded(self.answering, uv)
            answer = self.sampler.run(
                self.answering,
                self.process.start(uv, context.pose, draw, end, first, share),
                Given(uv, told_of(context, self.config), end.centre, folded),
                self.levels,
                self.shares,
                fresh=table[1:] * end.scale,
                correct=None if guide is None else guide.around(context.pose, self.drawn),
            )
        else:
            answer = self._refine(uv, context, end)[None]
        hypotheses = root_relative((answer + end.centre)[..., -3:], self.skeleton.root)
        return Samples(context.pose, hypotheses.expand(self.config.hypotheses, -1, -1, -1))

    def _training_poses(self, uv: Pose2D, xyz: Pose3D, mixture: Tensor | None) -> TrainingPoses:
        process = self.process
        uniform = None
        if self.config.has_components:
            uniform = torch.rand(DRAWS, *uv.shape[:-1], device=uv.device)
        draw = process.draw(uv, mixture, uniform)
        context = self._given_context(uv)
        end = process.noise_end(uv, None if context is None else context.pose, draw)
        clean = process.join(draw.component.mean, xyz)
        given = Given(uv, told_of(context, self.config), end.centre)
        return TrainingPoses(clean, end, given, context)

    def _noised(self, poses: TrainingPoses) -> Noised:
        clean, end = poses.clean, poses.end
        noise = torch.randn_like(clean) * end.scale
        t = antithetic_steps(len(clean), self.config.diffusion_steps).to(clean.device)
        return Noised(end.noisy(clean, noise, signal_at(self.signal, t)), noise, t)

    def _refine(self, uv: Pose2D, context: Encoded | None, end: NoiseEnd) -> Tensor:
        """The context pose refined without noise, less the centre, by each network in turn."""
        assert context is not None
        answer = self.process.join(uv, context.pose) - end.centre
        first = torch.zeros(1, device=uv.device)
        given = Given(uv, told_of(context, self.config), end.centre)
        for denoiser in (self.denoiser, *self.stack):
            answer = denoise(denoiser, answer + end.centre, first, given)
        return answer

    def _encode(self, uv: Pose2D) -> Encoded:
        return self._encode_by(self._folded(self.context, uv) or self.context, uv)

    def _encode_by(self, encoder: Encoder, uv: Pose2D) -> Encoded:
        flip = self.config.context_flip and not self.context.training
        return encode_poses(encoder, uv, self.skeleton, flip=flip)

    def _folded(self, network: nn.Module, uv: Pose2D) -> FoldedTrunk | None:
        """A network folded, where that gives the same answer to a batch."""
        return FoldedTrunk(network) if self.folds and can_fold(network, uv) else None

    def _given_context(self, uv: Pose2D) -> Encoded | None:
        config = self.config
        told = config.conditioning != "none" or config.process != "diffusion"
        if not (told or self.process.needs_context):
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not config.context_frozen):
            return self._encode_by(self.context, uv)


def _mean(errors: PerJoint, visible: PerJoint | None) -> Tensor:
    """Sum over the joints that are valid, mean over the batch."""
    return (errors if visible is None else errors * visible).sum(dim=-1).mean()
