"""A trunk that answers without gradient on a processor: constants folded, memory used again.

The same numbers to rounding, in less time. Gain and offset of a normalisation, the scale of the
queries and the bias of the values go into the matrix or the bias behind them; the bias of the keys
moves all scores of a query alike, and so no weight. A bias before a ReLU becomes its threshold, as
``relu(x + b) = max(x, -b) + b``. Joints come first, so that one product mixes those of all states.

Batches are cut into portions that a core's caches take, and all layers write to the same memory:
fresh memory is mapped page by page, which takes as long as the products that fill it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn

from lifting.methods.diffpose.folded_layers import (
    FoldedAttention,
    FoldedConv,
    FoldedCrossAttention,
    FoldedGraphNet,
    Space,
)
from lifting.methods.diffpose.network import Encoded, GraphLayer, GraphTrunk

PORTION = 80
"""States that are computed at a time."""


def can_fold(network: nn.Module, x: Tensor) -> TypeGuard[GraphTrunk]:
    """Whether a network's answer can come from its folded form: no gradient, dropout or autocast.

    Args:
        network: Any.
        x: Its input, which says where it is computed.
    """
    device = x.device.type
    exact = not (torch.is_grad_enabled() or torch.is_autocast_enabled(device))
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
