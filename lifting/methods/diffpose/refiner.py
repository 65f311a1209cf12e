"""The whole method in the network's units: context encoder, denoiser, training loss, sampling.

Runs without Lightning. Screen units for u, v; root-relative metres for x, y, z. The diffused
state is kept relative to the centre that the forward process contracts to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifting.batch import root_relative
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import build_context, encode_poses
from lifting.methods.diffpose.diffusion import (
    antithetic_steps,
    beta_schedule,
    cumulative_signal,
    ddim,
    signal_at,
    step_list,
)
from lifting.methods.diffpose.endpoint import Place
from lifting.methods.diffpose.forward import DRAWS, Forward
from lifting.methods.diffpose.network import Denoiser, Encoded, Hearing, NetworkSize
from lifting.methods.diffpose.noise import choices, unit_noise
from lifting.methods.diffpose.samples import Samples
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
    """

    signal: Tensor

    def __init__(self, config: Config, skeleton: Skeleton, frames: int = 1) -> None:
        super().__init__()
        self.config = config
        self.skeleton = skeleton
        self.process = Forward(config, skeleton)
        self.channels = self.process.channels
        self.context = build_context(config, skeleton, frames)
        self.denoiser = self._build_denoiser()
        betas = beta_schedule(
            config.beta_shape, config.beta_start, config.beta_end, config.diffusion_steps
        )
        # The sampler counts with numbers, which it must not fetch from a device in every pass.
        self.shares = cumulative_signal(betas)
        self.register_buffer("signal", self.shares, persistent=False)
        self.steps = step_list(config.start_level, config.sampling_steps, config.skip)
        more = len(self.steps) - 1 if config.process == "stacked" else 0
        self.stack = nn.ModuleList(self._build_denoiser() for _ in range(more))

    @property
    def is_random(self) -> bool:
        """Whether two hypotheses of one pose can differ."""
        config, process = self.config, self.process
        if config.process != "diffusion":
            return False
        chosen = process.is_mixture and process.draws
        return config.init != "context_point" or config.eta > 0 or chosen

    @property
    def drawn(self) -> int:
        """Hypotheses that are computed; those beyond are copies."""
        return self.config.hypotheses if self.is_random else 1

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
        config, process = self.config, self.process
        uniform = None
        if process.draws:
            uniform = torch.rand(DRAWS, *uv.shape[:-1], device=uv.device)
        draw = process.draw(uv, mixture, uniform)
        context = self._given_context(uv)
        place = process.place(uv, None if context is None else context.pose, draw)
        clean = process.join(draw.component.mean, xyz)
        if config.process != "diffusion":
            answer, wanted = self._refine(uv, context, place), clean - place.centre
        else:
            noise = torch.randn_like(clean) * place.scale
            t = antithetic_steps(len(clean), config.diffusion_steps).to(clean.device)
            state = place.noisy(clean, noise, signal_at(self.signal, t))
            answer = self._predict(state, t.float(), uv, self._told(context), place.centre)
            wanted = self._wanted(clean, noise, t, place)
        if config.loss == "distance":
            return pose_loss(answer, wanted, visible, "distance")
        errors = (answer - wanted).square().sum(dim=-1)
        return (errors if visible is None else errors * visible).sum(dim=-1).mean()

    def start_noise(self, seed: int) -> Tensor:
        """Unit noise at the start of sampling, its mean over the hypotheses.

        It is zero for several hypotheses, and where the start is the context pose itself.

        Args:
            seed: Seed of the table.

        Returns:
            ``(1, joints, channels)``.
        """
        return self._noise_table(seed)[0].mean(dim=0)

    def sample(
        self,
        uv: Pose2D,
        seed: int,
        start_noise: Tensor | None = None,
        mixture: Tensor | None = None,
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
        """
        context = self._encode(uv)
        draw = self.process.draw(uv, mixture, self._choices(uv, seed))
        place = self.process.place(uv, context.pose, draw)
        if self.config.process == "diffusion":
            table = self._noise_table(seed)
            first = table[0]
            if start_noise is not None:
                first = first - first.mean(dim=0, keepdim=True) + start_noise
            share = self.signal[self.steps[-1] + 1]
            start = self.process.start(uv, context.pose, draw, place, first, share)
            answer = self._reverse(start, table[1:], uv, context, place)
        else:
            answer = self._refine(uv, context, place)[None]
        hypotheses = root_relative((answer + place.centre)[..., -3:], self.skeleton.root)
        return Samples(context.pose, hypotheses.expand(self.config.hypotheses, -1, -1, -1))

    def _reverse(
        self, start: Tensor, table: Tensor, uv: Pose2D, context: Encoded, place: Place
    ) -> Tensor:
        """Run all hypotheses through the sampler, ``(drawn, batch, joints, channels)``."""
        drawn = len(start)
        centre = place.centre.expand(start.shape).flatten(0, 1)
        told = self._told(context)
        told = None if told is None else told.repeat(drawn, 1, 1)
        keypoints = uv.repeat(drawn, 1, 1)
        path = ddim(
            lambda x, t: self._predict(x + centre, t, keypoints, told, centre),
            start.flatten(0, 1),
            self.steps,
            self.shares,
            prediction=self.config.prediction,
            eta=self.config.eta,
            noise=[noise.flatten(0, 1) for noise in table * place.scale],
        )
        return path.states[-1].view(start.shape)

    def _refine(self, uv: Pose2D, context: Encoded | None, place: Place) -> Tensor:
        """The context pose refined without noise, less the centre, by each network in turn."""
        assert context is not None
        answer = self.process.join(uv, context.pose) - place.centre
        first, told = torch.zeros(1, device=uv.device), self._told(context)
        for denoiser in (self.denoiser, *self.stack):
            answer = self._denoise(answer + place.centre, first, uv, told, denoiser)
        return answer

    def _predict(
        self, state: Tensor, t: Tensor, uv: Pose2D, told: Tensor | None, centre: Tensor
    ) -> Tensor:
        """What the configuration predicts, less the centre, from an absolute state."""
        answer = self._denoise(state, t, uv, told)
        # The next state is told as a change: fifty whole answers in a row would drift away.
        return answer + (state - centre) if self.config.prediction == "next" else answer

    def _denoise(
        self,
        state: Tensor,
        t: Tensor,
        uv: Pose2D,
        told: Tensor | None,
        denoiser: nn.Module | None = None,
    ) -> Tensor:
        """The denoiser's answer to an absolute state and what it is conditioned on."""
        parts = [state] if self.channels == 5 else [uv, state]
        if told is not None and self.config.conditioning == "concat":
            parts.append(told)
            told = None
        answer: Tensor = (denoiser or self.denoiser)(torch.cat(parts, dim=-1), t, context=told)
        return answer

    def _told(self, context: Encoded | None) -> Tensor | None:
        """What the denoiser is told of the context, ``(batch, joints, channels)``."""
        if context is None or self.config.conditioning == "none":
            return None
        return context.pose if self.config.conditioning_on == "pose" else context.feature

    def _wanted(self, clean: Tensor, noise: Tensor, t: Tensor, place: Place) -> Tensor:
        """What the denoiser is to answer, less the centre."""
        if self.config.prediction == "eps":
            return noise
        if self.config.prediction == "x0":
            return clean - place.centre
        # The same noise as in the state itself, so that the chain is one path.
        return place.noisy(clean, noise, signal_at(self.signal, t - 1)) - place.centre

    def _encode(self, uv: Pose2D) -> Encoded:
        flip = self.config.context_flip and not self.context.training
        return encode_poses(self.context, uv, self.skeleton, flip=flip)

    def _given_context(self, uv: Pose2D) -> Encoded | None:
        config = self.config
        told = config.conditioning != "none" or config.process != "diffusion"
        if not (told or self.process.needs_context):
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not config.context_frozen):
            return self._encode(uv)

    def _noise_table(self, seed: int) -> Tensor:
        """Unit noise of the start and of every step, ``(1 + steps, drawn, 1, joints, channels)``.

        It is scaled like the forward noise where it is used; the released code leaves fresh noise
        unscaled.
        """
        steps = len(self.steps) if self.config.eta > 0 else 0
        shape = (1 + steps, self.drawn, 1, len(self.skeleton), self.channels)
        starts = self.config.init != "context_point"
        return unit_noise(shape, seed, self.signal.device, starts=starts)

    def _choices(self, uv: Pose2D, seed: int) -> Tensor | None:
        """Numbers that draw the components, ``(2, drawn, batch, joints)``."""
        if not self.process.draws:
            return None
        table = choices((DRAWS, self.drawn, 1, uv.shape[-2]), seed, self.signal.device)
        return table.expand(-1, -1, len(uv), -1)

    def _build_denoiser(self) -> Denoiser:
        config = self.config
        feature = config.context_width if config.context == "mixste" else config.hidden
        told = 3 if config.conditioning_on == "pose" else feature
        hearing = None
        if config.conditioning in ("add", "cross_attention"):
            hearing = Hearing(config.conditioning, told)
        inputs = 5 + (told if config.conditioning == "concat" else 0)
        size = NetworkSize.of_denoiser(config)
        denoiser = Denoiser(inputs, self.channels, self.skeleton, size, hearing)
        if config.shared_init:
            denoiser.share_initial_weights()
        at_context = config.centre == "context" or self.process.is_mixture
        if config.prediction == "next" or (config.prediction == "x0" and at_context):
            # Starts as a refiner that corrects nothing: its answer is the centre, or the state.
            nn.init.zeros_(denoiser.output.weight)
        return denoiser
