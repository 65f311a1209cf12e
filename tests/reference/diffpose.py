"""The networks of DiffPose as the released code computes them: the yardstick of the benchmark.

Same mathematics and same weight names as ``lifting.methods.diffpose.network``, so one state dict
serves both. Kept on purpose: Laplacian and Chebyshev basis from the adjacency in every call, a
broadcast weight that is copied for every sample, separate projections of query, key and value,
normalisation from elementary operations, the second ReLU, the library's dropout. Sampling calls
the denoiser for each hypothesis and each step, with a step for each pose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.layers import adjacency
from lifting.skeleton import Skeleton
from lifting.typing import Pose2D

TIME_FACTOR = 4


class ReferenceChebConv(nn.Module):
    """Graph convolution that rebuilds its basis and broadcasts its weight in every call."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        """Convolve ``(batch, joints, in)`` over a row-normalised adjacency."""
        degree = torch.diag(graph.sum(dim=-1).pow(-0.5))
        eye = torch.eye(len(graph), dtype=graph.dtype, device=graph.device)
        laplacian = eye - degree @ graph @ degree
        basis = torch.stack((eye, laplacian, 2 * laplacian @ laplacian - eye))
        mixed = torch.matmul(basis[:, None], x)  # (3, batch, joints, in)
        terms = torch.matmul(mixed, self.weight[:, None])
        return terms.sum(dim=0) + self.bias


class ReferenceNorm(nn.Module):
    """Layer normalisation from mean and unbiased deviation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        return self.gain * (x - mean) / (deviation + 1e-6) + self.offset


class ReferenceAttention(nn.Module):
    """Multi-head attention with three separate projections."""

    def __init__(self, channels: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend ``(batch, joints, channels)`` with a key mask."""
        batch, joints, channels = x.shape
        width = channels // self.heads
        query, key, value = (
            functional.linear(x, weight, bias)
            .view(batch, joints, self.heads, width)
            .transpose(1, 2)
            for weight, bias in zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True)
        )
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(width)
        scores = scores.masked_fill(~mask[:, None], -1e9)
        weights = functional.dropout(scores.softmax(dim=-1), self.rate, self.training)
        mixed = torch.matmul(weights, value)
        merged = mixed.transpose(1, 2).contiguous().view(batch, joints, channels)
        result: Tensor = self.out(merged)
        return result


class ReferenceGraphNet(nn.Module):
    """Feed-forward over the learned adjacency, whose column sums are not bounded."""

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(joints))
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, joints, channels)``."""
        batch = x.shape[0]
        adjacency = self.adjacency.unsqueeze(0).repeat(batch, 1, 1)
        root = (adjacency.sum(dim=1) + 1e-5).pow(-0.5)
        graph = root[:, :, None] * adjacency * root[:, None, :]
        hidden = functional.relu(self.expand(torch.bmm(graph, x)))
        result: Tensor = self.contract(torch.bmm(graph, hidden))
        return result


class ReferenceLayer(nn.Module):
    """Attention, feed-forward and residual graph block, with library dropout."""

    def __init__(self, config: Config, joints: int, time_channels: int) -> None:
        super().__init__()
        width = config.hidden
        self.rate, self.inner_rate = config.dropout, config.inner_dropout
        self.attention_norm, self.graph_norm = ReferenceNorm(width), ReferenceNorm(width)
        self.attention = ReferenceAttention(width, config.heads, config.inner_dropout)
        self.graph = ReferenceGraphNet(width, joints)
        self.first = ReferenceChebConv(width, width)
        self.second = ReferenceChebConv(width, width)
        self.time = nn.Linear(time_channels, width) if time_channels else None

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """The two residual sub-layers."""
        inner = self.attention(self.attention_norm(x), mask)
        x = x + functional.dropout(inner, self.rate, self.training)
        inner = self.graph(self.graph_norm(x))
        return x + functional.dropout(inner, self.rate, self.training)

    def forward(self, x: Tensor, graph: Tensor, time: Tensor | None, mask: Tensor) -> Tensor:
        """Transform ``(batch, joints, hidden)``."""
        x = self.attend(x, mask)
        inner = self._block(self.first, x, graph)
        if self.time is not None and time is not None:
            inner = inner + self.time(functional.silu(time))[:, None]
        return x + self._block(self.second, inner, graph)

    def _block(self, convolution: nn.Module, x: Tensor, graph: Tensor) -> Tensor:
        inner = functional.relu(convolution(x, graph))
        return functional.relu(functional.dropout(inner, self.inner_rate, self.training))


class ReferenceEmbedding(nn.Module):
    """Sinusoids and perceptron of the diffusion step."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(hidden, TIME_FACTOR * hidden)
        self.second = nn.Linear(TIME_FACTOR * hidden, TIME_FACTOR * hidden)

    def forward(self, t: Tensor) -> Tensor:
        """Feature of steps ``(batch,)``."""
        half = self.hidden // 2
        rates = torch.exp(torch.arange(half, device=t.device) * -(math.log(10000) / (half - 1)))
        angles = t.float()[:, None] * rates[None]
        embedding = torch.cat((torch.sin(angles), torch.cos(angles)), dim=1)
        inner = functional.silu(self.first(embedding))
        result: Tensor = self.second(inner)
        return result


class ReferenceNetwork(nn.Module):
    """Context encoder (without ``timed``) or denoiser of the released frame system.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        skeleton: The graph.
        config: Width, depth, heads, dropout.
        timed: True for the denoiser, which hears the diffusion step.
    """

    graph: Tensor

    def __init__(
        self, inputs: int, outputs: int, skeleton: Skeleton, config: Config, *, timed: bool
    ) -> None:
        super().__init__()
        self.register_buffer("graph", adjacency(skeleton).float(), persistent=False)
        time_channels = TIME_FACTOR * config.hidden if timed else 0
        self.input = ReferenceChebConv(inputs, config.hidden)
        self.layers = nn.ModuleList(
            ReferenceLayer(config, len(skeleton), time_channels) for _ in range(config.layers)
        )
        self.output = ReferenceChebConv(config.hidden, outputs)
        self.embed = ReferenceEmbedding(config.hidden) if timed else None

    def forward(self, x: Tensor, t: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Transform ``(batch, joints, inputs)`` at steps ``(batch,)``."""
        batch, joints = x.shape[:2]
        if mask is None:
            mask = torch.ones(1, 1, joints, dtype=torch.bool, device=x.device)
        time = None
        if self.embed is not None and t is not None:
            time = self.embed(t.expand(batch))
        x = self.input(x, self.graph)
        for layer in self.layers:
            x = layer(x, self.graph, time, mask)
        result: Tensor = self.output(x, self.graph)
        return result


def reference_sampling(
    context: ReferenceNetwork,
    denoiser: ReferenceNetwork,
    uv: Pose2D,
    betas: Tensor,
    steps: Sequence[int],
    *,
    noise: Tensor | None = None,
    root: int = 0,
) -> Tensor:
    """Hypotheses of the frame system by deterministic DDIM, one after another.

    Args:
        context: Context encoder.
        denoiser: Denoiser of u, v, x, y, z, which answers the noise in them.
        uv: ``(batch, joints, 2)``, screen units.
        betas: Noise variances of the forward steps.
        steps: Rising steps; each is a call for every hypothesis.
        noise: Scaled noise that the context pose gets at the last of the steps, ``(hypotheses,
            1 or batch, joints, 5)``; None starts one hypothesis from the pose itself (released).
        root: Joint that ends at zero.

    Returns:
        Root-relative, ``(hypotheses, batch, joints, 3)``, metres.
    """
    kept = (1 - betas).cumprod(dim=0).tolist()
    lifted = context(uv)
    start = torch.cat((uv, lifted - lifted[:, root : root + 1]), dim=-1)
    share = kept[steps[-1]]
    starts = [start]
    if noise is not None:
        starts = [math.sqrt(share) * start + math.sqrt(1 - share) * each for each in noise]
    poses = []
    for state in starts:
        for i in reversed(range(len(steps))):
            share, before = kept[steps[i]], kept[steps[i - 1]] if i else 1.0
            answer = denoiser(state, torch.full((len(uv),), float(steps[i]), device=uv.device))
            clean = (state - answer * math.sqrt(1 - share)) / math.sqrt(share)
            state = math.sqrt(before) * clean + math.sqrt(1 - before) * answer
        pose = state[..., 2:]
        poses.append(pose - pose[:, root : root + 1])
    return torch.stack(poses)
