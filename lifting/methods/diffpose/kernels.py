"""Three operations with hand-written gradients, where a training step's time goes.

A graph convolution is computed along the eigenvectors of the Laplacian, where one product does for
all polynomials; its gradient needs no mask of the ReLU and its dropout. The gradient of attention
reads query, key and value in place. All run in float32 also under autocast. Frozen weights cost no
gradient. Second derivatives are refused, not wrong. A graph that is made of them has their plain
forms, of few operations.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lifting.nn.dropout import dropout, keep_mask, keep_scale

NORM_EPS = 1e-6
MASKED_SCORE = -1e9


def is_exporting() -> bool:
    """Whether a graph is made of what is computed, for a file; torch 2.6 says when it compiles."""
    return bool(getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)())


def normalize(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """``gain (x - mean) / (std + 1e-6) + offset`` over the last axis, with the unbiased std.

    Differs from torch's layer normalisation by half a per cent at 96 channels.

    Args:
        x: ``(*batch, channels)``.
        gain: ``(channels,)``.
        offset: ``(channels,)``.

    Source: released code.
    """
    if is_exporting():
        centred = x - x.mean(dim=-1, keepdim=True)
        std = (centred.square().sum(dim=-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
        return gain * (centred / (std + NORM_EPS)) + offset
    return _apply(_Normalize, x, gain, offset)


class Spectrum(NamedTuple):
    """Chebyshev polynomials of a Laplacian, ``T_k = synthesis diag(responses_k) analysis``.

    Attributes:
        analysis: ``(joints, joints)``, to components along the eigenvectors; of the first one all
            joints have the same.
        synthesis: ``(joints, joints)``, its inverse, eigenvectors as columns, the first all ones.
        responses: ``(terms, joints)``, polynomials of the eigenvalues.
    """

    analysis: Tensor
    synthesis: Tensor
    responses: Tensor

    @classmethod
    def of(cls, basis: Tensor) -> Spectrum:
        """The parts of a fused basis, ``(2 joints + terms, joints)``."""
        joints = basis.shape[1]
        return cls(basis[:joints], basis[joints : 2 * joints], basis[2 * joints :])

    def maps(self, weight: Tensor) -> Tensor:
        """What ``(terms, in, out)`` does to each component, ``(joints, in, out)``."""
        maps = self.responses.t() @ weight.flatten(1)
        return maps.view(-1, *weight.shape[1:])


def convolve(
    x: Tensor,
    basis: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    activate: bool = False,
    rate: float = 0.0,
) -> Tensor:
    """Chebyshev graph convolution ``sum_k (T_k x) W_k + b``, then ReLU and dropout on request.

    Args:
        x: ``(batch, joints, in)``.
        basis: The fused basis, ``(2 joints + terms, joints)``, a :class:`Spectrum`.
        weight: ``(terms, in, out)``.
        bias: ``(out,)``.
        activate: Apply the ReLU and, after it, dropout.
        rate: Probability of zero; 0 outside training.

    Returns:
        ``(batch, joints, out)``.
    """
    if is_exporting():
        analysis, synthesis, responses = Spectrum.of(basis)
        terms = (synthesis[:, None] * responses) @ analysis  # (joints, terms, joints)
        mixed = torch.matmul(terms.flatten(0, 1), x).reshape(*x.shape[:2], -1)
        out = torch.matmul(mixed, weight.flatten(0, 1)) + bias
        return dropout(functional.relu(out), rate) if activate else out
    return _apply(_Convolve, x, basis, weight, bias, activate, rate)


def attend(qkv: Tensor, heads: int, mask: Tensor | None, rate: float) -> Tensor:
    """Scaled dot-product self-attention from stacked query, key and value.

    Args:
        qkv: ``(batch, joints, 3 channels)``.
        heads: Number of heads, which divides the channels.
        mask: ``(1 or batch, 1, joints)`` bool, False hides a joint as a key; None hides none.
        rate: Dropout on the weights; 0 outside training.

    Returns:
        ``(batch, joints, channels)``.
    """
    if is_exporting():
        query, key, value = qkv.view(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
        shown = None if mask is None else mask[:, None]
        mixed = functional.scaled_dot_product_attention(query, key, value, shown, rate)
        return mixed.transpose(1, 2).flatten(2)
    return _apply(_Attend, qkv, heads, mask, rate)


def _apply(function: type[torch.autograd.Function], x: Tensor, *rest: Any) -> Tensor:
    if not torch.is_autocast_enabled(x.device.type):
        result: Tensor = function.apply(x, *rest)  # type: ignore[no-untyped-call]
        return result
    with torch.autocast(x.device.type, enabled=False):
        return _apply(function, x.float(), *rest)


def _bessel(x: Tensor) -> float:
    return math.sqrt((x.shape[-1] - 1) / x.shape[-1])


class _Normalize(torch.autograd.Function):
    """The native kernel gives the values over the biased deviation, ``1 / rstd``.

    With ``share = std / (std + eps)`` a row, the released definition is that times
    ``share * bessel``, of which gain and offset are then taken.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
        # With a gain the native kernel takes half the time that it takes without one.
        one, zero = torch.ones_like(gain), torch.zeros_like(gain)
        z, _, rstd = torch.native_layer_norm(x, x.shape[-1:], one, zero, 1e-20)
        scale = _bessel(x) / (1 + NORM_EPS * _bessel(x) * rstd)
        z.mul_(scale)
        ctx.save_for_backward(z, rstd, scale, gain)
        return torch.addcmul(offset, z, gain)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        z, rstd, scale, gain = ctx.saved_tensors
        product, share = z * grad, gain / gain.numel()
        along = (product @ share).unsqueeze(-1).div_(scale * _bessel(grad))
        inner = torch.addcmul(-(grad @ share).unsqueeze(-1), grad, gain)
        grad_x = inner.addcmul_(z, along, value=-1).mul_(rstd * scale)
        if not any(ctx.needs_input_grad[1:]):
            return grad_x, None, None
        rows = (-1, grad.shape[-1])
        return grad_x, product.reshape(rows).sum(0), grad.reshape(rows).sum(0)


class _Convolve(torch.autograd.Function):
    """A third of the work of three terms: each component has one weight, ``sum_k r_k W_k``.

    The bias, which all joints share, is added to the first component alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        basis: Tensor,
        weight: Tensor,
        bias: Tensor,
        activate: bool,
        rate: float,
    ) -> Tensor:
        spectrum = Spectrum.of(basis)
        parts, maps = _mix(spectrum.analysis, x), spectrum.maps(weight)
        found = torch.bmm(parts.transpose(0, 1), maps)  # (joints, batch, out)
        found[0].add_(bias)
        out = _mix(spectrum.synthesis, found.transpose(0, 1))
        if activate:
            out.relu_()
        if activate and rate:
            out.mul_(keep_mask(out, rate))
        ctx.save_for_backward(parts, basis, maps, out if activate else None)
        ctx.rate = rate
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0].contiguous()
        parts, basis, maps, out = ctx.saved_tensors
        if out is not None:
            grad = torch.ops.aten.threshold_backward(grad, out, 0.0)
            grad = grad.mul_(keep_scale(ctx.rate)) if ctx.rate else grad
        spectrum = Spectrum.of(basis)
        by_part = _mix(spectrum.synthesis.t(), grad).transpose(0, 1)  # (joints, batch, out)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_parts = torch.bmm(by_part, maps.transpose(1, 2))
            grad_x = _mix(spectrum.analysis.t(), grad_parts.transpose(0, 1))
        if not any(ctx.needs_input_grad[2:]):
            return grad_x, None, None, None, None, None
        grad_maps = torch.bmm(parts.permute(1, 2, 0), by_part)
        grad_weight = spectrum.responses @ grad_maps.flatten(1)
        grad_weight = grad_weight.view(-1, *maps.shape[1:])
        return grad_x, None, grad_weight, by_part[0].sum(0), None, None


def _mix(basis: Tensor, x: Tensor) -> Tensor:
    """Batched product, since torch.matmul may transpose and copy the features instead."""
    return torch.bmm(basis.expand(x.shape[0], *basis.shape), x)


class _Attend(torch.autograd.Function):
    """Attention by head, which needs no copy of query, key and value.

    Keys come before queries: the softmax takes half the time of the last axis.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, mask: Tensor | None, rate: float) -> Tensor:
        qkv = qkv.contiguous()
        query, key, value = _by_head(qkv, 3 * heads).chunk(3)
        weights = _product(key, query.transpose(2, 3))
        weights.mul_(query.shape[-1] ** -0.5)
        if mask is not None:
            weights.masked_fill_(~mask.transpose(1, 2), MASKED_SCORE)
        weights = weights.softmax(dim=-2)
        keep = keep_mask(weights, rate) if rate else None
        used = weights if keep is None else weights * keep
        mixed = _product(used.transpose(2, 3), value)
        ctx.save_for_backward(qkv, weights, keep)
        return _side_by_side(mixed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qkv, weights, keep = ctx.saved_tensors
        heads = len(weights)
        grad = _by_head(grads[0].contiguous(), heads)
        query, key, value = _by_head(qkv, 3 * heads).chunk(3)
        used = weights if keep is None else weights * keep
        result = qkv.new_empty(3, *grad.shape)
        _product(used, grad, result[2])
        inner = _product(value, grad.transpose(2, 3))
        if keep is not None:
            inner.mul_(keep)
        inner = torch.ops.aten._softmax_backward_data(inner, weights, -2, weights.dtype)
        inner.mul_(grad.shape[-1] ** -0.5)
        _product(inner.transpose(2, 3), key, result[0])
        _product(inner, query, result[1])
        return _side_by_side(result.flatten(0, 1)), None, None, None


def _product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Products of ``(heads, batch, ...)`` matrices; on a processor by head, without a copy."""
    if out is None:
        out = a.new_empty(*a.shape[:3], b.shape[3])
    if a.device.type != "cpu":
        return torch.matmul(a, b, out=out)
    for i, found in enumerate(out):
        torch.bmm(a[i], b[i], out=found)
    return out


def _by_head(x: Tensor, heads: int) -> Tensor:
    """View ``(heads, batch, joints, width)`` of features ``(batch, joints, heads width)``."""
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).permute(2, 0, 1, 3)


def _side_by_side(x: Tensor) -> Tensor:
    """Features ``(batch, joints, heads width)`` of ``(heads, batch, joints, width)``."""
    return x.permute(1, 2, 0, 3).flatten(2)
