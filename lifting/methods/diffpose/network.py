"""The two graph networks: context encoder of frames (2D to 3D) and denoiser, without Lightning.

Both are the same trunk of graph layers; the denoiser also hears the diffusion step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.layers import (
    STEP_FACTOR,
    Attention,
    ChebConv,
    CrossAttention,
    GraphNet,
    Norm,
    StepEmbedding,
    for_all,
    fused_basis,
)
from lifting.nn.dropout import dropout
from lifting.skeleton import Skeleton
from lifting.typing import Pose3D


@dataclass(frozen=True)
class Conditioning:
    """How the layers of a denoiser are told of the context.

    Attributes:
        kind: ``add``, beside the diffusion step; ``concat``, beside the pose, and once;
            ``cross_attention``, in a sub-layer of its own.
        channels: Channels of what they are told.
    """

    kind: Literal["add", "concat", "cross_attention"]
    channels: int


@dataclass(frozen=True)
class NetworkSize:
    """Size and regularisation of a trunk; see ``Config`` for the meaning of each.

    Attributes:
        feed_forward: Whether layers have the learned-adjacency sub-layer.
    """

    hidden: int = 96
    layers: int = 5
    heads: int = 4
    dropout: float = 0.25
    inner_dropout: float = 0.1
    feed_forward: bool = True

    @classmethod
    def of(cls, config: Config) -> NetworkSize:
        """The size a configuration asks for."""
        return cls(
            config.hidden, config.layers, config.heads, config.dropout, config.inner_dropout
        )

    @classmethod
    def of_denoiser(cls, config: Config) -> NetworkSize:
        """The size a configuration asks for in the denoiser, where that differs."""
        return replace(
            cls.of(config),
            layers=config.denoiser_layers or config.layers,
            feed_forward=config.block == "released",
        )


Folded = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Answer of a denoiser's layers to states, the feature of their step, and the context."""


class Encoded(NamedTuple):
    """What a context encoder has to say of a 2D pose.

    Attributes:
        pose: ``(*batch, joints, 3)``, metres.
        feature: Its last hidden state, ``(*batch, joints, channels)``.
    """

    pose: Pose3D
    feature: Tensor


class GraphLayer(nn.Module):
    """One layer: attention, learned-adjacency feed-forward, residual graph-convolution block.

    Args:
        size: Width, heads and dropout.
        joints: Number of joints.
        time_channels: Channels of the time feature; 0 for a layer that hears no step.
        attended: Channels of the context that a sub-layer attends to; 0 for none.
    """

    def __init__(
        self, size: NetworkSize, joints: int, time_channels: int, attended: int = 0
    ) -> None:
        super().__init__()
        self.size = size
        self.attention_norm = Norm(size.hidden)
        self.attention = Attention(size.hidden, size.heads, size.inner_dropout)
        self.graph_norm = Norm(size.hidden) if size.feed_forward else None
        self.graph = GraphNet(size.hidden, joints) if size.feed_forward else None
        self.first = ChebConv(size.hidden, size.hidden)
        self.second = ChebConv(size.hidden, size.hidden)
        self.time = nn.Linear(time_channels, size.hidden) if time_channels else None
        self.context_norm = Norm(size.hidden) if attended else None
        self.context = (
            CrossAttention(size.hidden, attended, size.heads, size.inner_dropout)
            if attended
            else None
        )

    def attend(self, x: Tensor, mask: Tensor | None, context: Tensor | None) -> Tensor:
        """The pre-normalised sub-layers, ``(batch, joints, hidden)``."""
        rate = self.size.dropout if self.training else 0.0
        x = x + dropout(self.attention(self.attention_norm(x), mask), rate)
        if self.context is not None and self.context_norm is not None:
            x = x + dropout(self.context(self.context_norm(x), context), rate)
        if self.graph is None or self.graph_norm is None:
            return x
        return x + dropout(self.graph(self.graph_norm(x)), rate)

    def convolve(
        self, x: Tensor, basis: Tensor, time: Tensor | None, added: Tensor | None
    ) -> Tensor:
        """The residual block; step and context enter between its two convolutions.

        Args:
            x: ``(batch, joints, hidden)``.
            basis: The fused basis, ``(2 joints + 3, joints)``.
            time: Feature of the diffusion step, ``(batch or 1, channels)``; None for none.
            added: Context added beside it, ``(batch, joints, hidden)``; None adds nothing.
        """
        rate = self.size.inner_dropout
        inner = self.first(x, basis, activate=True, rate=rate)
        if self.time is not None and time is not None:
            inner = inner + self.time(time)[:, None]
        if added is not None:
            inner = inner + added
        return x + self.second(inner, basis, activate=True, rate=rate)

    def forward(
        self,
        x: Tensor,
        basis: Tensor,
        time: Tensor | None,
        mask: Tensor | None,
        context: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """Transform ``(batch, joints, hidden)``.

        Args:
            x: Features.
            basis: The fused basis.
            time: Feature of the diffusion step; None for a layer that hears no step.
            mask: ``(1 or batch, 1, joints)`` bool, False hides a joint; None hides none.
            context: What a sub-layer attends to, ``(batch, joints, channels)``.
            added: Context added beside the time, ``(batch, joints, hidden)``; None adds nothing.
        """
        return self.convolve(self.attend(x, mask, context), basis, time, added)


class GraphTrunk(nn.Module):
    """Input convolution, layers, output convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        skeleton: The graph.
        size: Width, depth, heads, dropout.
        time_channels: Channels of the time feature, 0 for none.
        conditioning: How the layers are told of a context; None for not at all.
    """

    basis: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        skeleton: Skeleton,
        size: NetworkSize,
        time_channels: int = 0,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("basis", fused_basis(skeleton), persistent=False)
        told = {conditioning.kind: conditioning.channels} if conditioning else {}
        self.beside = told.get("concat", 0)
        self.input = ChebConv(inputs + self.beside, size.hidden)
        attended, added = told.get("cross_attention", 0), told.get("add", 0)
        self.layers = nn.ModuleList(
            GraphLayer(size, len(skeleton), time_channels, attended) for _ in range(size.layers)
        )
        self.output = ChebConv(size.hidden, outputs)
        self.project = nn.Linear(added, size.hidden) if added else None

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
            if layer.graph is not None and first.graph is not None:
                layer.graph.load_state_dict(first.graph.state_dict())

    def hide(
        self, x: Tensor, time: Tensor | None, mask: Tensor | None, context: Tensor | None = None
    ) -> Tensor:
        """Last hidden state, ``(batch, joints, hidden)``, of ``(batch, joints, inputs)``."""
        if self.beside and context is not None:
            x = torch.cat((x, for_all(context, x)), dim=-1)
        x = self.input(x, self.basis)
        added = None
        if self.project is not None:
            added = for_all(self.project(context), x)
            x = x + added
        for layer in self.layers:
            x = layer(x, self.basis, time, mask, context, added)
        return x

    def answer(self, hidden: Tensor) -> Tensor:
        """Output, ``(batch, joints, outputs)``, of the last hidden state."""
        result: Tensor = self.output(hidden, self.basis)
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
        return self.encode(uv, mask).pose

    def encode(self, uv: Tensor, mask: Tensor | None = None) -> Encoded:
        """The lifted pose and the feature it was read from, ``(batch, joints, channels)`` each.

        Arguments as :meth:`forward`.
        """
        feature = self.hide(uv, None, mask)
        return Encoded(self.answer(feature), feature)


class Denoiser(GraphTrunk):
    """Predicts the noise in, or the clean form of, a noisy pose.

    Args:
        inputs: Channels of the noisy pose, and of keypoints beside it.
        outputs: Channels of the answer.
        skeleton: The graph.
        size: Width, depth, heads, dropout.
        conditioning: How its layers are told of the context; None where they are not.

    Source: released code; the paper describes a smaller form of three blocks without the
        feed-forward sub-layer, whose layers are told of the context.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        skeleton: Skeleton,
        size: NetworkSize,
        conditioning: Conditioning | None = None,
    ) -> None:
        super().__init__(inputs, outputs, skeleton, size, STEP_FACTOR * size.hidden, conditioning)
        self.embed = StepEmbedding(size.hidden)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        mask: Tensor | None = None,
        context: Tensor | None = None,
        folded: Folded | None = None,
    ) -> Tensor:
        """Denoise ``(batch, joints, inputs)`` to ``(batch, joints, outputs)``.

        Args:
            x: Noisy pose.
            t: Step index, ``(batch,)``, or ``(1,)`` when the whole batch is at one step, which
                saves the perceptron's work for all but one sample.
            mask: ``(1 or batch, 1, joints)`` bool, False hides a joint; None hides none.
            context: What it is told, ``(batch, joints, channels)``; of fewer poses if the batch
                repeats them, one set after another.
            folded: Computes the layers in their place, for a single step and without a mask.
        """
        time = functional.silu(self.embed(t))
        if folded is not None:
            return folded(x, time, context)
        return self.answer(self.hide(x, time, mask, context))
