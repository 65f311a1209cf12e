"""The whole method in the network's units: context encoder, denoiser, training loss, sampling.

Runs without Lightning. Screen units for u, v; root-relative metres for x, y, z. The diffused
state is kept relative to the centre that the forward process contracts to.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lifting.batch import root_relative
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import (
    add_noise,
    antithetic_steps,
    beta_schedule,
    cumulative_signal,
    ddim,
    signal_at,
    step_list,
)
from lifting.methods.diffpose.mixture import (
    Component,
    degenerate_mixture,
    draw_components,
    pick_components,
)
from lifting.methods.diffpose.network import ContextEncoder, Denoiser, NetworkSize
from lifting.nn.pose_loss import pose_loss
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D, Pose3D


class Samples(NamedTuple):
    """What sampling gives, root-relative; metres out of the network.

    Attributes:
        context: The context encoder's pose, ``(*batch, joints, 3)``.
        hypotheses: ``(hypotheses, *batch, joints, 3)``.
    """

    context: Pose3D
    hypotheses: Tensor

    def aggregate(self, how: Literal["mean", "median"]) -> Pose3D:
        """One pose of all hypotheses, ``(*batch, joints, 3)``."""
        if how == "median":
            return self.hypotheses.median(dim=0).values
        return self.hypotheses.mean(dim=0)

    def spread(self) -> PerJoint:
        """Standard deviation of one axis over at least two hypotheses, ``(*batch, joints)``."""
        return self.hypotheses.var(dim=0).mean(dim=-1).sqrt()


class Refiner(nn.Module):
    """A context encoder and a denoiser that refines its pose.

    Args:
        config: The switches.
        skeleton: Joints of both poses.
    """

    signal: Tensor

    def __init__(self, config: Config, skeleton: Skeleton) -> None:
        super().__init__()
        self.config = config
        self.skeleton = skeleton
        self.channels = 5 if config.representation == "uvxyz" else 3
        inputs = 8 if config.conditioning == "concat" else 5
        size = NetworkSize.of(config)
        self.context = ContextEncoder(skeleton, size)
        self.denoiser = Denoiser(inputs, self.channels, skeleton, size)
        if config.shared_init:
            self.context.share_initial_weights()
            self.denoiser.share_initial_weights()
        if config.prediction == "x0" and config.centre == "context":
            # Starts as a refiner that corrects nothing: its answer is the context pose.
            nn.init.zeros_(self.denoiser.output.weight)
        betas = beta_schedule(
            config.beta_shape, config.beta_start, config.beta_end, config.diffusion_steps
        )
        # The sampler counts with numbers, which it must not fetch from a device in every pass.
        self.shares = cumulative_signal(betas)
        self.register_buffer("signal", self.shares, persistent=False)
        self.steps = step_list(config.start_level, config.sampling_steps, config.skip)

    @property
    def is_random(self) -> bool:
        """Whether two hypotheses of one pose can differ."""
        return self.config.init == "context_noise" or self.config.eta > 0

    @property
    def drawn(self) -> int:
        """Hypotheses that are computed; those beyond are copies."""
        return self.config.hypotheses if self.is_random else 1

    def lift(self, uv: Pose2D) -> Pose3D:
        """The context encoder's pose, ``(batch, joints, 3)``, from ``(batch, joints, 2)``."""
        return root_relative(self.context(uv), self.skeleton.root)

    def loss(self, uv: Pose2D, xyz: Pose3D, visible: PerJoint | None = None) -> Tensor:
        """Denoising loss at random steps; the context encoder gets no gradient.

        Args:
            uv: ``(batch, joints, 2)``.
            xyz: Root-relative labels, ``(batch, joints, 3)``.
            visible: ``(batch, joints)`` bool, False where a label is not valid.

        Source: released code for the squared loss, which sums over joints and channels.
        """
        config = self.config
        component = self._draw(uv)
        context = self._given_context(component.mean)
        centre = self._centre(context, xyz)
        clean = self._join(component.mean, xyz) - centre
        noise = torch.randn_like(clean) * self._scale(component)
        t = antithetic_steps(len(clean), config.diffusion_steps).to(clean.device)
        state = add_noise(clean, noise, signal_at(self.signal, t))
        answer = self._denoise(state + centre, t.float(), component.mean, context)
        wanted = noise if config.prediction == "eps" else clean
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

    def sample(self, uv: Pose2D, seed: int, start_noise: Tensor | None = None) -> Samples:
        """Draw the hypotheses of a batch of poses in one pass; differentiable in both inputs.

        Every pose sees the same table of unit noise, drawn from the seed: one entry a hypothesis,
        joint and channel. So an answer depends neither on the batch around a pose nor on what was
        drawn before, and repeated evaluation is equal to the bit. Over the hypotheses the noise
        sums to zero, which takes most of the sampling error out of their mean.

        Args:
            uv: ``(batch, joints, 2)``.
            seed: Seed of the table.
            start_noise: Takes the place of the start's mean noise, ``(batch, joints, channels)``;
                the hypotheses keep their distances from it. None leaves the table as it is.
        """
        context = self.lift(uv)
        scale = self._scale(self._draw(uv))
        table = self._noise_table(seed)
        first = table[0]
        if start_noise is not None:
            first = first - first.mean(dim=0, keepdim=True) + start_noise
        centre = self._centre(context, context)
        start = self._start(self._join(uv, context) - centre, first * scale)
        path = ddim(
            lambda x, t: self._denoise_all(x, t, uv, context, centre),
            start.flatten(0, 1),
            self.steps,
            self.shares,
            prediction=self.config.prediction,
            eta=self.config.eta,
            noise=[noise.flatten(0, 1) for noise in table[1:] * scale],
        )
        final = path.states[-1].view(self.drawn, *centre.shape) + centre
        hypotheses = root_relative(final[..., -3:], self.skeleton.root)
        return Samples(context, hypotheses.expand(self.config.hypotheses, -1, -1, -1))

    def _start(self, clean: Tensor, noise: Tensor) -> Tensor:
        """State at the first sampled level; a start at the context pose keeps its whole signal.

        Args:
            clean: ``(batch, joints, channels)``.
            noise: Scaled, ``(drawn, batch, joints, channels)``.
        """
        share = self.signal[self.steps[-1] + 1]
        if self.config.init == "context_noise":
            return add_noise(clean, noise, share)
        return clean + (1 - share).sqrt() * noise

    def _noise_table(self, seed: int) -> Tensor:
        """Unit noise of the start and of every step, ``(1 + steps, drawn, 1, joints, channels)``.

        It is scaled like the forward noise where it is used; the released code leaves fresh noise
        unscaled.
        """
        steps = len(self.steps) if self.config.eta > 0 else 0
        shape = (1 + steps, self.drawn, 1, len(self.skeleton), self.channels)
        starts = self.config.init == "context_noise"
        return _unit_noise(shape, seed, self.signal.device, starts=starts)

    def _denoise_all(
        self, x: Tensor, t: Tensor, uv: Pose2D, context: Pose3D, centre: Tensor
    ) -> Tensor:
        drawn = len(x) // len(uv)
        uv, context, centre = (v.repeat(drawn, 1, 1) for v in (uv, context, centre))
        return self._denoise(x + centre, t, uv, context)

    def _denoise(self, state: Tensor, t: Tensor, uv: Pose2D, context: Pose3D | None) -> Tensor:
        """The denoiser's answer to an absolute state and what it is conditioned on."""
        parts = [state] if self.channels == 5 else [uv, state]
        if self.config.conditioning == "concat" and context is not None:
            parts.append(context)
        answer: Tensor = self.denoiser(torch.cat(parts, dim=-1), t)
        return answer

    def _given_context(self, uv: Pose2D) -> Pose3D | None:
        if self.config.centre == "origin" and self.config.conditioning == "none":
            return None
        with torch.no_grad():
            return self.lift(uv)

    def _draw(self, uv: Pose2D) -> Component:
        """One component a joint of the 2D evidence, here a single one at the detection."""
        mixture = degenerate_mixture(uv, self.config.uv_scale)
        return pick_components(mixture, draw_components(mixture, torch.zeros_like(uv[..., 0])))

    def _scale(self, component: Component) -> Tensor:
        """Standard deviation of the forward noise, ``(batch, joints, channels)``."""
        xyz = torch.full_like(component.mean[..., :1], self.config.xyz_scale)
        scale = self._join(component.spread, xyz.expand(*xyz.shape[:-1], 3))
        return torch.ones_like(scale) if self.config.forward_noise == "gaussian" else scale

    def _centre(self, context: Pose3D | None, like: Pose3D) -> Tensor:
        """Where the process contracts to, ``(batch, joints, channels)``; u, v stay in place."""
        if self.config.centre == "context" and context is not None:
            return self._join(torch.zeros_like(like[..., :2]), context)
        return like.new_zeros(*like.shape[:-1], self.channels)

    def _join(self, uv: Pose2D, xyz: Pose3D) -> Tensor:
        return xyz if self.channels == 3 else torch.cat((uv, xyz), dim=-1)


@lru_cache(maxsize=4)
def _unit_noise(
    shape: tuple[int, ...], seed: int, device: torch.device, *, starts: bool
) -> Tensor:
    """The table of unit noise, kept: its way to the device would hold every pass up.

    Args:
        shape: Start and steps first, then the hypotheses.
        seed: Seed of the table.
        device: Where it is needed.
        starts: Whether there is noise at the start.
    """
    # It outlives this call, so it must not be a tensor of inference mode, which has no gradient.
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        drawn = shape[1]
        if drawn > 1:
            # Each entry is still a unit Gaussian, but over the hypotheses they sum to zero.
            unit = (unit - unit.mean(dim=1, keepdim=True)) * math.sqrt(drawn / (drawn - 1))
        if not starts:
            unit[0] = 0
        return unit.to(device)
