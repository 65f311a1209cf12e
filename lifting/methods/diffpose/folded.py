"""A trunk that answers without gradient on a processor: constants folded, memory used again.

The same numbers to rounding, in less time. Gain and offset of a normalisation, the scale of the
queries and the bias of the values go into the matrix or the bias behind them; the bias of the keys
moves all scores of a query alike, and so no weight. A bias before a ReLU becomes its threshold, as
``relu(x + b) = max(x, -b) + b``. Joints come first, so that one product mixes those of all states.

Batches are cut into portions that a core's caches take, and all layers write to the same memory:
fresh memory is mapped page by page, which takes as long as the products that fill it. Features are
``(joints, states, channels)`` inside, and changed in place; the steps are those of ``layers``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.diffpose.kernels import NORM_EPS, Spectrum, is_exporting
from lifting.methods.diffpose.layers import Attention, ChebConv, CrossAttention, GraphNet, Norm
from lifting.methods.diffpose.network import Encoded, GraphLayer, GraphTrunk


class Space:
    """Named memory that is written to again; what was under a name before is lost.

    Args:
        like: Gives type and device.
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.held: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Memory of a shape."""
        size = math.prod(shape)
        held = self.held.get(name)
        if held is None or held.numel() < size:
            held = self.held[name] = self.like.new_empty(size)
        return held[:size].view(shape)


class FoldedNorm:
    """A normalisation without gain and offset, which are part of the linear map behind it.

    Args:
        norm: In front of the map.
        linear: The map.

    Attributes:
        weight: Of the map, ``(in, out)``.
        bias: Of the map, ``(out,)``.
    """

    def __init__(self, norm: Norm, linear: nn.Linear) -> None:
        channels = len(norm.gain)
        self.mean = torch.full_like(norm.gain, 1 / channels)
        self.root = math.sqrt(channels - 1)
        self.weight = norm.gain[:, None] * linear.weight.t()
        self.bias = linear.bias + linear.weight @ norm.offset

    def __call__(self, rows: Tensor, space: Space, place: str) -> Tensor:
        """What the map is given, ``(rows, channels)``.

        Args:
            rows: Features.
            space: Memory.
            place: What of it the result is written to.
        """
        mean = torch.mv(rows, self.mean)
        z = torch.sub(rows, mean[:, None], out=space(place, *rows.shape))
        deviation = torch.linalg.vector_norm(z, dim=1, keepdim=True).div_(self.root)
        return z.div_(deviation.add_(NORM_EPS))


class FoldedConv:
    """A graph convolution, in parts where some of its inputs are alike for several states.

    Args:
        convolution: To fold.
        spectrum: The graph's.
        part: Inputs that count here.
    """

    def __init__(
        self, convolution: ChebConv, spectrum: Spectrum, part: slice = slice(None)
    ) -> None:
        self.analysis, self.synthesis, _ = spectrum
        self.maps = spectrum.maps(convolution.weight[:, part])
        self.bias = convolution.bias

    def __call__(self, x: Tensor, bias: Tensor | None, space: Space, place: str) -> Tensor:
        """``T_0 x W_0 + T_1 x W_1 + T_2 x W_2 + b``, ``(joints, states, out)``.

        Args:
            x: ``(joints, states, in)``.
            bias: ``(out,)``; None adds none.
            space: Memory.
            place: What of it the result is written to.
        """
        joints, states, inputs = x.shape
        parts = space("outer", joints, states * inputs)
        torch.mm(self.analysis, x.view(joints, -1), out=parts)
        found = space("wide", joints, states, self.maps.shape[2])
        torch.bmm(parts.view(x.shape), self.maps, out=found)
        if bias is not None:
            found[0].add_(bias)
        out = space(place, *found.shape)
        torch.mm(self.synthesis, found.view(joints, -1), out=out.view(joints, -1))
        return out


class FoldedAttention:
    """The sub-layer of self-attention.

    Args:
        norm: In front of it.
        attention: To fold.
    """

    def __init__(self, norm: Norm, attention: Attention) -> None:
        self.heads = attention.heads
        self.norm = FoldedNorm(norm, attention.qkv)
        channels = len(norm.gain)
        scale = (channels // self.heads) ** -0.5
        query, key, value = self.norm.weight.chunk(3, dim=1)
        self.weights = torch.stack((scale * query, key, value))
        self.query = scale * self.norm.bias[:channels]
        self.out = attention.out.weight.t().contiguous()
        # The weights of a joint sum to one, so each gets the whole bias of the values.
        self.bias = attention.out.bias + attention.out.weight @ self.norm.bias[2 * channels :]

    def __call__(self, x: Tensor, space: Space) -> None:
        """Add what ``(joints, states, channels)`` attend to."""
        joints, states, channels = x.shape
        rows = x.view(-1, channels)
        normed = self.norm(rows, space, "inner")
        parts = space("wide", 3, *rows.shape)
        for weight, part in zip(self.weights, parts, strict=True):
            torch.mm(normed, weight, out=part)
        parts[0].add_(self.query)
        # With three parts apart, states and heads are one axis: (3, states heads, joints, width).
        by_head = parts.view(3, joints, states * self.heads, -1).transpose(1, 2)
        query, key, value = by_head.unbind()
        scores = space("scores", len(query), joints, joints)  # keys before queries
        torch.bmm(key, query.transpose(1, 2), out=scores)
        weights = space("weights", *scores.shape)
        torch.softmax(scores, dim=-2, out=weights)  # half the time of the last axis
        mixed = space("outer", *query.shape)
        torch.bmm(weights.transpose(1, 2), value, out=mixed)
        merged = space("inner", joints, *mixed[:, 0].shape).copy_(mixed.transpose(0, 1))
        rows.add_(self.bias).addmm_(merged.view(rows.shape), self.out)


class FoldedCrossAttention:
    """The sub-layer that attends to the context, whose keys and values all copies share.

    Args:
        norm: In front of it.
        attention: To fold.
    """

    def __init__(self, norm: Norm, attention: CrossAttention) -> None:
        self.attention = attention
        self.norm = FoldedNorm(norm, attention.query)

    def __call__(self, x: Tensor, told: Tensor, space: Space) -> None:
        """Add what ``(joints, copies poses, channels)`` attend to.

        Args:
            x: Features.
            told: ``(joints, poses, channels)``.
            space: Memory.
        """
        joints, poses = told.shape[:2]
        heads = self.attention.heads
        rows = x.view(-1, x.shape[2])
        query = torch.addmm(self.norm.bias, self.norm(rows, space, "inner"), self.norm.weight)
        key, value = (
            part.reshape(joints, poses, heads, -1).permute(1, 2, 0, 3)
            for part in self.attention.key_value(told).chunk(2, dim=-1)
        )
        # Of a pose the joints of all copies ask alike: (poses, heads, joints copies, width).
        query = query.view(joints, -1, poses, heads, key.shape[-1]).permute(2, 3, 0, 1, 4)
        mixed = functional.scaled_dot_product_attention(query.flatten(2, 3), key, value)
        mixed = (
            mixed.view(poses, heads, joints, -1, key.shape[-1])
            .permute(2, 3, 0, 1, 4)
            .reshape(rows.shape)
        )
        rows.add_(self.attention.out(mixed))


class FoldedGraphNet:
    """The feed-forward sub-layer over the learned adjacency.

    Args:
        norm: In front of it.
        network: To fold.
    """

    def __init__(self, norm: Norm, network: GraphNet) -> None:
        self.norm = FoldedNorm(norm, network.expand)
        self.graph = network.graph()
        self.contract = network.contract.weight.t().contiguous()
        # The offset of the normalisation is mixed over the joints too: (joints, 1, 2 channels).
        shift = network.expand.weight @ norm.offset
        hidden = self.graph.sum(dim=1, keepdim=True) * shift + network.expand.bias
        self.threshold = -hidden[:, None]
        self.bias = (self.graph @ (hidden @ self.contract) + network.contract.bias)[:, None]

    def __call__(self, x: Tensor, space: Space) -> None:
        """Add the sub-layer's answer to ``(joints, states, channels)``."""
        joints, states, channels = x.shape
        rows = x.view(-1, channels)
        mixed = space("inner", joints, states * channels)
        torch.mm(self.graph, self.norm(rows, space, "outer").view(joints, -1), out=mixed)
        hidden = space("wide", len(rows), 2 * channels)
        torch.mm(mixed.view(rows.shape), self.norm.weight, out=hidden)
        hidden.view(joints, states, -1).clamp_(min=self.threshold)
        narrow = space("inner", *rows.shape)
        torch.mm(hidden, self.contract, out=narrow)
        x.add_(self.bias).view(joints, -1).addmm_(self.graph, narrow.view(joints, -1))


PORTION = 120
"""States that are computed at a time."""


def can_fold(network: nn.Module, x: Tensor) -> TypeGuard[GraphTrunk]:
    """Whether a network's answer can come from its folded form: no gradient, dropout or autocast.

    Args:
        network: Any.
        x: Its input, which says where it is computed.
    """
    device = x.device.type
    # Memory that is written to again is no part of a graph.
    exact = not (torch.is_grad_enabled() or torch.is_autocast_enabled(device) or is_exporting())
    return exact and device == "cpu" and isinstance(network, GraphTrunk) and not network.training


class FoldedTrunk:
    """A context encoder or denoiser with the weights that it has now; no later ones are seen.

    Args:
        trunk: In evaluation mode. It answers to all joints: nothing is masked.
    """

    def __init__(self, trunk: GraphTrunk) -> None:
        spectrum = Spectrum.of(trunk.basis)
        with torch.no_grad():
            self.space = Space(trunk.basis)
            inputs = trunk.input.weight.shape[1] - trunk.beside
            self.input = FoldedConv(trunk.input, spectrum, slice(inputs))
            self.beside = (
                FoldedConv(trunk.input, spectrum, slice(inputs, None)) if trunk.beside else None
            )
            self.layers = [
                _FoldedLayer(layer, spectrum)
                for layer in trunk.layers
                if isinstance(layer, GraphLayer)
            ]
            self.output = FoldedConv(trunk.output, spectrum)
        self.project = trunk.project

    def encode(self, uv: Tensor) -> Encoded:
        """As of the context encoder, ``(batch, joints, 2)``."""
        feature = uv.new_empty(*uv.shape[:2], self.input.maps.shape[2])
        return Encoded(self._answer(uv, None, None, feature), feature)

    def __call__(self, x: Tensor, time: Tensor, context: Tensor | None) -> Tensor:
        """As of the denoiser.

        Args:
            x: ``(batch, joints, inputs)``.
            time: Feature of the one step of all, ``(1, channels)``.
            context: What its layers hear; of fewer poses if the batch repeats them.
        """
        return self._answer(x, time, context, None)

    def _answer(
        self, x: Tensor, time: Tensor | None, context: Tensor | None, feature: Tensor | None
    ) -> Tensor:
        """Answers, portion by portion; last hidden states go to ``feature``."""
        poses = len(x) if context is None else len(context)
        copies = len(x) // poses if poses else 1
        answer = x.new_empty(*x.shape[:2], self.output.maps.shape[2])
        states, answers = (v.reshape(copies, poses, *v.shape[1:]) for v in (x, answer))
        biases = [layer.second_bias(time) for layer in self.layers]
        size = max(1, PORTION // copies)
        for part in (slice(i, i + size) for i in range(0, poses, size)):
            state = states[:, part].permute(2, 0, 1, 3).contiguous()  # (joints, copies, poses, in)
            told = None if context is None else context[part].transpose(0, 1).contiguous()
            hidden = self._hide(state, told, biases)
            found = self.output(hidden, self.output.bias, self.space, "inner")
            answers[:, part] = found.view(*state.shape[:3], -1).permute(1, 2, 0, 3)
            if feature is not None:
                feature[part] = hidden.transpose(0, 1)
        return answer

    def _hide(self, state: Tensor, told: Tensor | None, biases: Sequence[Tensor]) -> Tensor:
        """Last hidden state, ``(joints, copies poses, channels)``.

        Args:
            state: ``(joints, copies, poses, inputs)``.
            told: Of the context, ``(joints, poses, channels)``, for all copies.
            biases: Of the second convolution of each layer.
        """
        copies, space = state.shape[1], self.space
        x = self.input(state.flatten(1, 2), self.input.bias, space, "state")
        added = None
        if told is not None and self.beside is not None:
            self._add(x, self.beside(told, None, space, "inner"), copies)
        if told is not None and self.project is not None:
            added = self.project(told)
            self._add(x, added, copies)
        for layer, bias in zip(self.layers, biases, strict=True):
            layer.attention(x, space)
            if layer.context is not None and told is not None:
                layer.context(x, told, space)
            if layer.graph is not None:
                layer.graph(x, space)
            inner = layer.first(x, layer.first.bias, space, "inner").relu_()
            if added is not None:
                self._add(inner, added, copies)
            x.add_(layer.second(inner, bias, space, "inner").relu_())
        return x

    @staticmethod
    def _add(x: Tensor, shared: Tensor, copies: int) -> None:
        """Add what all copies of a pose share, ``(joints, poses, channels)``, in place."""
        x.view(len(x), copies, *shared.shape[1:]).add_(shared[:, None])


class _FoldedLayer:
    """Parts of one layer."""

    def __init__(self, layer: GraphLayer, spectrum: Spectrum) -> None:
        self.attention = FoldedAttention(layer.attention_norm, layer.attention)
        self.context = self.graph = None
        if layer.context_norm is not None and layer.context is not None:
            self.context = FoldedCrossAttention(layer.context_norm, layer.context)
        if layer.graph_norm is not None and layer.graph is not None:
            self.graph = FoldedGraphNet(layer.graph_norm, layer.graph)
        self.first, self.second = (
            FoldedConv(convolution, spectrum) for convolution in (layer.first, layer.second)
        )
        self.time = layer.time

    def second_bias(self, time: Tensor | None) -> Tensor:
        """Bias of the second convolution, with what it makes of the step's feature before it."""
        if self.time is None or time is None:
            return self.second.bias
        return self.second.bias + self.time(time)[0] @ self.second.maps[0]
