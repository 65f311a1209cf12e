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

from lifting.methods.diffpose.kernels import NORM_EPS, is_exporting
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
        self.bessel = math.sqrt((channels - 1) / channels)
        self.weight = self.bessel * norm.gain[:, None] * linear.weight.t()
        self.bias = linear.bias + linear.weight @ norm.offset
        # With a gain the native kernel takes half the time that it takes without one.
        self.gain, self.offset = torch.ones_like(norm.gain), torch.zeros_like(norm.gain)

    def __call__(self, rows: Tensor) -> Tensor:
        """What the map is given, ``(rows, channels)``."""
        z, _, rstd = torch.native_layer_norm(rows, rows.shape[1:], self.gain, self.offset, 1e-20)
        return z.div_(rstd.mul_(NORM_EPS * self.bessel).add_(1))


class FoldedConv:
    """A graph convolution, in parts where some of its inputs are alike for several states.

    Args:
        convolution: To fold.
        part: Inputs that count here.
    """

    def __init__(self, convolution: ChebConv, part: slice = slice(None)) -> None:
        weight = convolution.weight
        self.outputs = weight.shape[2]
        self.weight = weight[:, part].contiguous()
        self.bias = convolution.bias
        # For what is alike at all joints: T_0 keeps it, T_1 = L makes it zero, T_2 negates it.
        self.of_constant = weight[0] - weight[2]

    def __call__(
        self, x: Tensor, basis: Tensor, bias: Tensor | None, space: Space, place: str
    ) -> Tensor:
        """``T_0 x W_0 + T_1 x W_1 + T_2 x W_2 + b``, ``(joints, states, out)``.

        Args:
            x: ``(joints, states, in)``.
            basis: T_1 above T_2, ``(2 joints, joints)``.
            bias: ``(out,)``; None adds none.
            space: Memory.
            place: What of it the result is written to.
        """
        joints, states, inputs = x.shape
        mixed = space("wide", len(basis), states * inputs)
        torch.mm(basis, x.view(joints, -1), out=mixed)
        rows = x.view(-1, inputs)
        out = space(place, len(rows), self.outputs)
        if bias is None:
            torch.mm(rows, self.weight[0], out=out)
        else:
            torch.addmm(bias, rows, self.weight[0], out=out)
        for term, weight in zip(mixed.view(-1, *rows.shape), self.weight[1:], strict=True):
            out.addmm_(term, weight)
        return out.view(joints, states, -1)


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
        normed = self.norm(rows)
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

    def __call__(self, x: Tensor, told: Tensor) -> None:
        """Add what ``(joints, copies poses, channels)`` attend to.

        Args:
            x: Features.
            told: ``(joints, poses, channels)``.
        """
        joints, poses = told.shape[:2]
        heads = self.attention.heads
        rows = x.view(-1, x.shape[2])
        query = torch.addmm(self.norm.bias, self.norm(rows), self.norm.weight)
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
        torch.mm(self.graph, self.norm(rows).view(joints, -1), out=mixed)
        hidden = space("wide", len(rows), 2 * channels)
        torch.mm(mixed.view(rows.shape), self.norm.weight, out=hidden)
        hidden.view(joints, states, -1).clamp_(min=self.threshold)
        narrow = space("inner", *rows.shape)
        torch.mm(hidden, self.contract, out=narrow)
        x.add_(self.bias).view(joints, -1).addmm_(self.graph, narrow.view(joints, -1))


PORTION = 80
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
        joints = trunk.basis.shape[1]
        basis = trunk.basis.view(joints, -1, joints)
        with torch.no_grad():
            self.space = Space(trunk.basis)
            self.basis = basis[:, 1:].transpose(0, 1).flatten(0, 1)  # T_1 above T_2
            inputs = trunk.input.weight.shape[1] - trunk.beside
            self.input = FoldedConv(trunk.input, slice(inputs))
            self.beside = FoldedConv(trunk.input, slice(inputs, None)) if trunk.beside else None
            self.layers = [
                _FoldedLayer(layer) for layer in trunk.layers if isinstance(layer, GraphLayer)
            ]
            self.output = FoldedConv(trunk.output)
        self.project = trunk.project

    def encode(self, uv: Tensor) -> Encoded:
        """As of the context encoder, ``(batch, joints, 2)``."""
        feature = uv.new_empty(*uv.shape[:2], self.input.outputs)
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
        answer = x.new_empty(*x.shape[:2], self.output.outputs)
        states, answers = (v.reshape(copies, poses, *v.shape[1:]) for v in (x, answer))
        biases = [layer.second_bias(time) for layer in self.layers]
        size = max(1, PORTION // copies)
        for part in (slice(i, i + size) for i in range(0, poses, size)):
            state = states[:, part].permute(2, 0, 1, 3).contiguous()  # (joints, copies, poses, in)
            told = None if context is None else context[part].transpose(0, 1).contiguous()
            hidden = self._hide(state, told, biases)
            found = self.output(hidden, self.basis, self.output.bias, self.space, "inner")
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
        copies, basis, space = state.shape[1], self.basis, self.space
        x = self.input(state.flatten(1, 2), basis, self.input.bias, space, "state")
        added = None
        if told is not None and self.beside is not None:
            self._add(x, self.beside(told, basis, None, space, "inner"), copies)
        if told is not None and self.project is not None:
            added = self.project(told)
            self._add(x, added, copies)
        for layer, bias in zip(self.layers, biases, strict=True):
            layer.attention(x, space)
            if layer.context is not None and told is not None:
                layer.context(x, told)
            if layer.graph is not None:
                layer.graph(x, space)
            inner = layer.first(x, basis, None, space, "inner").clamp_(min=layer.threshold)
            if added is not None:
                self._add(inner, added, copies)
            x.add_(layer.second(inner, basis, bias, space, "outer").relu_())
        return x

    @staticmethod
    def _add(x: Tensor, shared: Tensor, copies: int) -> None:
        """Add what all copies of a pose share, ``(joints, poses, channels)``, in place."""
        x.view(len(x), copies, *shared.shape[1:]).add_(shared[:, None])


class _FoldedLayer:
    """Parts of one layer."""

    def __init__(self, layer: GraphLayer) -> None:
        self.attention = FoldedAttention(layer.attention_norm, layer.attention)
        self.context = self.graph = None
        if layer.context_norm is not None and layer.context is not None:
            self.context = FoldedCrossAttention(layer.context_norm, layer.context)
        if layer.graph_norm is not None and layer.graph is not None:
            self.graph = FoldedGraphNet(layer.graph_norm, layer.graph)
        self.first, self.second, self.time = (
            FoldedConv(layer.first),
            FoldedConv(layer.second),
            layer.time,
        )
        self.threshold = -layer.first.bias

    def second_bias(self, time: Tensor | None) -> Tensor:
        """Bias of the second convolution, with what else is alike at all joints before it."""
        constant = self.first.bias
        if self.time is not None and time is not None:
            constant = constant + self.time(time)[0]
        return self.second.bias + constant @ self.second.of_constant
