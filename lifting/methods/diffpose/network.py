"""The two networks: context encoder (2D to 3D) and denoiser. Run without Lightning.

Both are the same trunk of graph layers; the denoiser also hears the diffusion step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.graph import fused_basis
from lifting.methods.diffpose.layers import (
    Attention,
    ChebConv,
    GraphNet,
    Norm,
    step_embedding,
)
from lifting.nn.dropout import dropout
from lifting.skeleton import Skeleton

TIME_FACTOR = 4


@dataclass(frozen=True)
class NetworkSize:
    """Size and regularisation of a trunk; see ``Config`` for the meaning of each."""

    hidden: int = 96
    layers: int = 5
    heads: int = 4
    dropout: float = 0.25
    inner_dropout: float = 0.1

    @classmethod
    def of(cls, config: Config) -> NetworkSize:
        """The size a configuration asks for."""
        return cls(
            config.hidden, config.layers, config.heads, config.dropout, config.inner_dropout
        )


class GraphLayer(nn.Module):
    """One layer: attention, learned-adjacency feed-forward, residual graph-convolution block.

    Args:
        size: Width, heads and dropout.
        joints: Number of joints.
        time_channels: Channels of the time feature; 0 for a layer that hears no step.
    """

    def __init__(self, size: NetworkSize, joints: int, time_channels: int) -> None:
        super().__init__()
        self.size = size
        self.attention_norm = Norm(size.hidden)
        self.attention = Attention(size.hidden, size.heads, size.inner_dropout)
        self.graph_norm = Norm(size.hidden)
        self.graph = GraphNet(size.hidden, joints)
        self.first = ChebConv(size.hidden, size.hidden)
        self.second = ChebConv(size.hidden, size.hidden)
        self.time = nn.Linear(time_channels, size.hidden) if time_channels else None

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The two pre-normalised sub-layers, ``(batch, joints, hidden)``."""
        rate = self.size.dropout if self.training else 0.0
        x = x + dropout(self.attention(self.attention_norm(x), mask), rate)
        return x + dropout(self.graph(self.graph_norm(x)), rate)

    def convolve(self, x: Tensor, basis: Tensor, time: Tensor | None) -> Tensor:
        """The residual block; the time feature enters between its two convolutions."""
        rate = self.size.inner_dropout
        inner = self.first(x, basis, activate=True, rate=rate)
        if self.time is not None and time is not None:
            inner = inner + self.time(time)[:, None]
        return x + self.second(inner, basis, activate=True, rate=rate)

    def forward(
        self, x: Tensor, basis: Tensor, time: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Transform ``(batch, joints, hidden)``."""
        return self.convolve(self.attend(x, mask), basis, time)


class GraphTrunk(nn.Module):
    """Input convolution, layers, output convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        skeleton: The graph.
        size: Width, depth, heads, dropout.
        time_channels: Channels of the time feature, 0 for none.
    """

    basis: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        skeleton: Skeleton,
        size: NetworkSize,
        time_channels: int = 0,
    ) -> None:
        super().__init__()
        self.register_buffer("basis", fused_basis(skeleton), persistent=False)
        self.input = ChebConv(inputs, size.hidden)
        self.layers = nn.ModuleList(
            GraphLayer(size, len(skeleton), time_channels) for _ in range(size.layers)
        )
        self.output = ChebConv(size.hidden, outputs)

    def share_initial_weights(self) -> None:
        """Give parts that the released construction copies the same starting weights.

        Source: released code, which deep-copies one linear map four times within an attention
        part, and one attention and one feed-forward part into all layers.
        """
        first = self.layers[0]
        assert isinstance(first, GraphLayer)
        with torch.no_grad():
            first.attention.qkv.weight.copy_(first.attention.out.weight.repeat(3, 1))
            first.attention.qkv.bias.copy_(first.attention.out.bias.repeat(3))
        for layer in self.layers[1:]:
            assert isinstance(layer, GraphLayer)
            layer.attention.load_state_dict(first.attention.state_dict())
            layer.graph.load_state_dict(first.graph.state_dict())

    def run(self, x: Tensor, time: Tensor | None, mask: Tensor | None) -> Tensor:
        """Transform ``(batch, joints, inputs)`` to ``(batch, joints, outputs)``."""
        x = self.input(x, self.basis)
        for layer in self.layers:
            x = layer(x, self.basis, time, mask)
        result: Tensor = self.output(x, self.basis)
        return result


class ContextEncoder(GraphTrunk):
    """Lifts 2D joints in screen units to 3D joints in metres; the root is not forced to zero.

    Args:
        skeleton: The graph.
        size: Width, depth, heads, dropout.

    Source: released code (the encoder of the frame experiments).
    """

    def __init__(self, skeleton: Skeleton, size: NetworkSize) -> None:
        super().__init__(2, 3, skeleton, size)

    def forward(self, uv: Tensor, mask: Tensor | None = None) -> Tensor:
        """Lift ``(batch, joints, 2)`` to ``(batch, joints, 3)``.

        Args:
            uv: 2D joints, screen units.
            mask: ``(1 or batch, 1, joints)`` bool, False hides a joint; None hides none.
        """
        return self.run(uv, None, mask)


class StepEmbedding(nn.Module):
    """Feature of the diffusion step: sinusoids and a two-layer perceptron.

    Args:
        hidden: Channels of the sinusoids; the feature has four times as many.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(hidden, TIME_FACTOR * hidden)
        self.second = nn.Linear(TIME_FACTOR * hidden, TIME_FACTOR * hidden)

    def forward(self, t: Tensor) -> Tensor:
        """Feature ``(batch, 4 hidden)`` of steps ``(batch,)``."""
        inner = functional.silu(self.first(step_embedding(t, self.hidden)))
        feature: Tensor = self.second(inner)
        return feature


class Denoiser(GraphTrunk):
    """Predicts the noise in, or the clean form of, a noisy pose.

    Args:
        inputs: Channels of the noisy pose and of what it is conditioned on.
        outputs: Channels of the answer.
        skeleton: The graph.
        size: Width, depth, heads, dropout.

    Source: released code; the paper describes a smaller form of three blocks.
    """

    def __init__(self, inputs: int, outputs: int, skeleton: Skeleton, size: NetworkSize) -> None:
        super().__init__(inputs, outputs, skeleton, size, TIME_FACTOR * size.hidden)
        self.embed = StepEmbedding(size.hidden)

    def forward(self, x: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """Denoise ``(batch, joints, inputs)`` to ``(batch, joints, outputs)``.

        Args:
            x: Noisy pose.
            t: Step index, ``(batch,)``, or ``(1,)`` when the whole batch is at one step, which
                saves the perceptron's work for all but one sample.
            mask: ``(1 or batch, 1, joints)`` bool, False hides a joint; None hides none.
        """
        return self.run(x, functional.silu(self.embed(t)), mask)
