"""The reference form and ours, with the same weights and the same noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import VideoContextEncoder, VideoSize
from lifting.methods.diffpose.diffusion import beta_schedule
from lifting.methods.diffpose.layers import ChebConv
from lifting.methods.diffpose.network import NetworkSize
from lifting.methods.diffpose.refiner import Refiner
from lifting.methods.diffpose.sampler import unit_noise
from lifting.nn.mixste import export_mixste_state
from lifting.skeleton import H36M_17
from lifting.typing import Pose2D
from reference.diffpose import ReferenceNetwork, reference_sampling
from reference.mixste import ReferenceMixste

SEED = 0
# The released system with the paper's steps and hypotheses, which real noise makes differ.
PAPER_LIKE = Config(
    representation="uvxyz", conditioning="none", centre="origin", prediction="eps",
    uv_scale=0.01, xyz_scale=0.05, beta_end=1e-3, init="context_noise",
    sampling_steps=5, start_level=50, hypotheses=5,
)  # fmt: skip


@dataclass(frozen=True)
class Forms:
    """Sampling in two forms, from ``(batch, joints, 2)`` screen units.

    Attributes:
        refiner: Ours.
        reference: Hypotheses ``(hypotheses, batch, joints, 3)``, metres, by the reference form.
    """

    refiner: Refiner
    reference: Callable[[Pose2D], Tensor]

    def ours(self, uv: Pose2D) -> Tensor:
        """Hypotheses, ``(hypotheses, batch, joints, 3)``, metres, in one call."""
        return self.refiner.sample(uv, SEED).hypotheses

    def apart(self, uv: Pose2D) -> float:
        """Largest distance of a joint in one form from itself in the other, metres."""
        with torch.no_grad():
            both = self.reference(uv), self.ours(uv)
        return float((both[0] - both[1]).norm(dim=-1).max())


def sampling_forms(config: Config, device: torch.device) -> Forms:
    """Both forms of a system of frames, with random weights.

    Args:
        config: Of the released form, deterministic from a noisy context pose.
        device: Where to.
    """
    torch.manual_seed(SEED)
    refiner = Refiner(config, H36M_17).eval()
    for part in refiner.modules():
        if isinstance(part, ChebConv):
            # A fresh one answers almost nothing, which would hide a difference.
            nn.init.normal_(part.weight, std=0.5 * part.weight[..., 0].numel() ** -0.5)
    networks = []
    for network, inputs, outputs in ((refiner.context, 2, 3), (refiner.denoiser, 5, 5)):
        timed = network is refiner.denoiser
        twin = ReferenceNetwork(inputs, outputs, H36M_17, config, timed=timed).eval()
        twin.load_state_dict(network.state_dict())
        networks.append(twin.to(device))
    context, denoiser = networks
    betas = beta_schedule(
        config.beta_shape, config.beta_start, config.beta_end, config.diffusion_steps
    )
    scale = torch.tensor([config.uv_scale] * 2 + [config.xyz_scale] * 3)
    shape = (1, config.hypotheses, 1, len(H36M_17), len(scale))
    noise = (unit_noise(shape, SEED, torch.device("cpu"), starts=True)[0] * scale).to(device)

    def reference(uv: Pose2D) -> Tensor:
        return reference_sampling(context, denoiser, uv, betas, refiner.steps, noise=noise)

    return Forms(refiner.to(device), reference)


def bare_products(states: int, size: NetworkSize, *, training: bool) -> Callable[[], object]:
    """The products with the weights of a trunk's layers and nothing else, as a call.

    What they cost is the wall that no form of the network passes.

    Args:
        states: Poses in a batch.
        size: Of the trunk.
        training: Take the products of both gradients too.
    """
    rows, c = states * len(H36M_17), size.hidden
    # Stacked query, key and value; their output; feed-forward in and out; two convolutions, of
    # which each component along an eigenvector has one product.
    shapes = ((c, 3 * c), (c, c), (c, 2 * c), (2 * c, c), (c, c), (c, c))
    maps = [[torch.randn(s) for s in ((rows, i), (i, o), (rows, o))] for i, o in shapes]
    results = [[torch.empty_like(v) for v in group] for group in maps]

    def multiply() -> None:
        for _ in range(size.layers):
            for (x, weight, y), (of_x, of_weight, of_y) in zip(maps, results, strict=True):
                torch.mm(x, weight, out=of_y)
                if training:
                    torch.mm(y, weight.t(), out=of_x)
                    torch.mm(x.t(), y, out=of_weight)

    return multiply


@dataclass(frozen=True)
class VideoForms:
    """The video context encoder in two forms, from ``(batch, frames, joints, 2)``."""

    ours: VideoContextEncoder
    reference: ReferenceMixste

    def apart(self, uv: Pose2D) -> float:
        """Largest distance of a joint in one form from itself in the other, metres."""
        with torch.no_grad():
            return float((self.ours(uv) - self.reference(uv)).norm(dim=-1).max())


def video_forms(size: VideoSize, device: torch.device) -> VideoForms:
    """Both forms with random weights.

    Args:
        size: Of the encoder.
        device: Where to.
    """
    torch.manual_seed(SEED)
    ours = VideoContextEncoder(len(H36M_17), size).eval()
    for position in (ours.joint_position, ours.frame_position):
        nn.init.normal_(position)
    reference = ReferenceMixste(len(H36M_17), size).eval()
    reference.load_state_dict(export_mixste_state(ours.state_dict(), size.layers))
    return VideoForms(ours.to(device), reference.to(device))
