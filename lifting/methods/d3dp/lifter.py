"""D3DP with weights: hypotheses, and one answer of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, flip_pose
from lifting.errors import ConfigError, check_shape
from lifting.methods.d3dp.config import Config
from lifting.methods.d3dp.diffusion import Bounds, reverse, signal_shares, visited_levels
from lifting.methods.d3dp.network import Denoiser
from lifting.methods.lifter import PoseLifter
from lifting.methods.settings import ModuleSettings
from lifting.nn.chunks import chunk_size
from lifting.nn.hypotheses import (
    Posterior,
    average,
    by_projection,
    projection_errors,
    spread,
    weighted_keypoints,
)
from lifting.nn.mixste import MixsteSize
from lifting.nn.units import flip_screen, from_network_units, to_network_units
from lifting.typing import Points3D, Pose2D, Pose3D

NOISE = "noise"
ORACLE_ROOT = "oracle_root"
_UNREAD = Posterior(sharpness=0.0, kept=0)


class Lifter(PoseLifter):
    """Draws sequences of poses and makes one answer of them.

    Args:
        config: Switches of the method.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Only the middle of a window is the target.
    """

    config: Config
    noise: Tensor

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        frames, joints = settings.frames, len(self.skeleton)
        if settings.target == "middle" and frames > 1:
            raise ConfigError(
                "expected data.target 'all', since whole windows are diffused and answered, got "
                "'middle'; set data.target to all"
            )
        size = MixsteSize.of(config, frames)
        self.network = Denoiser(joints, size)
        self.bounds = Bounds(config.signal_scale, config.clamp)
        self.shares = signal_shares(config.diffusion_steps)
        # The same noise for every window: an answer depends on no other, nor on what came before.
        shape = (config.sampling_steps, config.hypotheses, 1, frames, joints, 3)
        generator = torch.Generator().manual_seed(settings.seed)
        noise = torch.randn(shape, generator=generator, device="cpu")
        self.register_buffer(NOISE, noise, persistent=False)

    def describe(self) -> dict[str, Any]:
        """What a record shall say: hypotheses, steps, and how one answer comes of them."""
        config = self.config
        several = config.hypotheses > 1
        return {
            "hypotheses": config.hypotheses,
            "steps": config.sampling_steps,
            "aggregation": config.aggregation if several else None,
        }

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """Where several hypotheses are projected."""
        return config.projects

    def random_tables(self) -> dict[str, Tensor]:
        """Unit noise of every step, ``(steps, hypotheses, 1, frames, joints, 3)``."""
        return {NOISE: self.noise}

    def predict(self, batch: PoseBatch) -> Prediction:
        """Draw hypotheses of whole windows, aggregate them."""
        return self.answer(batch, batch.extras.get(NOISE, self.noise))

    def answer(self, batch: PoseBatch, noise: Tensor) -> Prediction:
        """The answer of given noise.

        Args:
            batch: Windows; labels are read for the oracle only.
            noise: As of :meth:`random_tables`, of any number of steps and hypotheses.

        Raises:
            ShapeError: The windows have another length than the network's, or other joints.
        """
        sizes = {"frames": self.settings.frames, "joints": len(self.skeleton)}
        check_shape("keypoints_2d", batch.keypoints_2d, "batch frames joints 2", **sizes)
        uv = to_network_units(batch.keypoints_2d, batch.camera.size)
        hypotheses = from_network_units(self.sample(uv, noise)[-1]) * self._others(uv)
        several = len(hypotheses) > 1
        oracles: dict[str, Tensor] = {}
        if self.config.root == "truth" and several and batch.joints_3d is not None:
            root = batch.joints_3d[..., self.skeleton.root, :]
            oracles[ORACLE_ROOT] = self._aggregate(hypotheses, batch, root)
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=self._aggregate(hypotheses, batch) if several else hypotheses[0],
            sigma=spread(hypotheses) if several else None,
            hypotheses=hypotheses.transpose(0, 1) if several else None,
            extras=oracles,
        )

    def sample(self, uv: Pose2D, noise: Tensor) -> list[Pose3D]:
        """The network's poses after each step, ``(hypotheses, batch, frames, joints, 3)``, metres.

        Args:
            uv: ``(batch, frames, joints, 2)``, screen units.
            noise: ``(steps, hypotheses, batch or 1, frames, joints, 3)``.
        """
        levels = visited_levels(self.config.diffusion_steps, len(noise))
        start = noise[0].expand(-1, uv.shape[0], -1, -1, -1)
        return reverse(
            lambda state, level: self.denoised(uv, state, level),
            [start, *noise[1:]],
            levels,
            self.shares.tolist(),
            self.bounds,
            self.config.eta,
        )

    def denoised(self, uv: Pose2D, state: Pose3D, level: int) -> Pose3D:
        """The denoiser's answer, averaged with the mirrored one where the configuration says so.

        Args:
            uv: ``(batch, frames, joints, 2)``, screen units.
            state: Noisy poses, metres, ``(hypotheses, batch, frames, joints, 3)``.
            level: Of their noise.
        """
        answer = self._each(uv, state, level)
        if self.config.flip == "none":
            return answer
        mirrored = self._each(
            flip_screen(uv, self.skeleton), flip_pose(state, self.skeleton), level
        )
        return (answer + flip_pose(mirrored, self.skeleton)) / 2

    def _each(self, uv: Pose2D, state: Pose3D, level: int) -> Pose3D:
        """The denoiser's answer to every hypothesis, as many at a time as are fastest."""

        def run(part: Pose3D) -> Pose3D:
            count, batch = part.shape[:2]
            told = torch.full((count * batch,), level, device=part.device)
            found = self.network(uv.repeat(count, 1, 1, 1), part.flatten(0, 1), told)
            return found.unflatten(0, (count, batch))

        if len(state) == 1 or torch.compiler.is_compiling():
            return run(state)
        work, size = uv.shape[:3].numel(), self.network.trunk.size
        kind = (size, work.bit_length(), uv.device, uv.dtype, torch.get_num_threads())
        few = chunk_size(lambda first, count: run(state[first : first + count]), len(state), kind)
        return torch.cat([run(part) for part in torch.split(state, few)])

    def _others(self, like: Tensor) -> Tensor:
        """Zero at the root, one elsewhere: it is put at zero, not subtracted (released)."""
        others = like.new_ones(len(self.skeleton), 1)
        others[self.skeleton.root] = 0
        return others

    def _aggregate(
        self, hypotheses: Tensor, batch: PoseBatch, root: Points3D | None = None
    ) -> Pose3D:
        """One pose of all hypotheses, mm; the root is solved for where none is given."""
        how = self.config.aggregation
        if how == "mean" or how == "median":
            return average(hypotheses, how)
        seen = weighted_keypoints(batch, "all")
        errors = projection_errors(hypotheses, seen, root)
        return by_projection(hypotheses, how, errors, seen.weights, _UNREAD)
