"""The skeleton as a graph, and the layers of both networks over it.

The graph is a row-normalised adjacency, its Laplacian and the Chebyshev basis of that; the layers
are graph convolution, normalisation, attention and feed-forward.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.methods.diffpose.kernels import attend, convolve, normalize
from lifting.skeleton import Skeleton

ORDER = 2


def adjacency(skeleton: Skeleton) -> Tensor:
    """Row-normalised adjacency with self loops, ``D^-1 (A + I)``, ``(joints, joints)`` float64.

    Rows sum to one, so the matrix is not symmetric.

    Args:
        skeleton: The bones are the undirected edges.

    Source: released code.
    """
    matrix = torch.eye(len(skeleton), dtype=torch.float64)
    parents, children = torch.tensor(skeleton.bones).unbind(-1)
    matrix[parents, children] = 1
    matrix[children, parents] = 1
    return matrix / matrix.sum(dim=1, keepdim=True)


def laplacian(adjacency: Tensor) -> Tensor:
    """Normalised Laplacian ``I - D^-1/2 P D^-1/2`` of a weighted adjacency.

    The degrees of a row-normalised adjacency are one, so this is ``I - P``. It is not rescaled to
    [-1, 1].

    Args:
        adjacency: ``(joints, joints)``, positive row sums.

    Source: released code.
    """
    scale = adjacency.sum(dim=1).rsqrt()
    eye = torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    return eye - scale[:, None] * adjacency * scale


def chebyshev_basis(laplacian: Tensor, order: int = ORDER) -> Tensor:
    """Chebyshev polynomials ``T_0 .. T_order`` of a Laplacian, ``(order + 1, joints, joints)``.

    Args:
        laplacian: ``(joints, joints)``.
        order: Highest degree, at least 1.

    Source: Defferrard et al. 2016, equation 4 (``T_k = 2 L T_(k-1) - T_(k-2)``).
    """
    terms = [torch.eye(len(laplacian), dtype=laplacian.dtype), laplacian]
    for _ in range(order - 1):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    return torch.stack(terms)


def fused_basis(skeleton: Skeleton) -> Tensor:
    """The basis of a skeleton by eigenvectors, ``(2 joints + order + 1, joints)`` float32.

    The Laplacian is similar to a symmetric matrix, so its polynomials are diagonal together.

    Args:
        skeleton: The graph.

    Returns:
        The parts of a :class:`Spectrum`, one below the other.
    """
    graph = adjacency(skeleton)
    root = graph.diagonal().rsqrt()[:, None]  # of the number of neighbours, self included
    values, vectors = torch.linalg.eigh(root * laplacian(graph) / root.t())
    analysis, synthesis = vectors.t() * root.t(), vectors / root
    # The smallest eigenvalue is zero, and its vector the same at all joints.
    shared = synthesis[0, 0].clone()
    synthesis[:, 0] /= shared
    analysis[0] *= shared
    responses = chebyshev_basis(values.diag()).diagonal(dim1=1, dim2=2)
    return torch.cat((analysis, synthesis, responses)).float()


MIN_COLUMN_SUM = 1e-3
STEP_FACTOR = 4


class ChebConv(nn.Module):
    """Chebyshev graph convolution ``sum_k (T_k x) W_k + b``.

    Args:
        inputs: Channels in.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(ORDER + 1, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        # Xavier's rule on the released four-axis weight (3, 1, in, out), whose fans come out as
        # in * out and 3 * in * out: far smaller weights than for a matrix of this size.
        nn.init.normal_(self.weight, std=math.sqrt(2 / ((ORDER + 2) * inputs * outputs)))

    def forward(
        self, x: Tensor, basis: Tensor, *, activate: bool = False, rate: float = 0.0
    ) -> Tensor:
        """Convolve ``(batch, joints, in)`` to ``(batch, joints, out)``.

        Args:
            x: Features.
            basis: The fused basis, ``(2 joints + 3, joints)``.
            activate: Apply the ReLU and, in training, dropout.
            rate: Dropout after the ReLU.
        """
        rate = rate if self.training else 0.0
        return convolve(x, basis, self.weight, self.bias, activate=activate, rate=rate)


class Norm(nn.Module):
    """Layer normalisation with the unbiased deviation and eps added to the deviation.

    Args:
        channels: Size of the last axis.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of ``(*batch, channels)``."""
        return normalize(x, self.gain, self.offset)


class Attention(nn.Module):
    """Multi-head self-attention over the joints.

    Args:
        channels: Width, a multiple of ``heads``.
        heads: Number of heads.
        rate: Dropout on the attention weights.
    """

    def __init__(self, channels: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = rate
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend ``(batch, joints, channels)``.

        Args:
            x: Features.
            mask: ``(1 or batch, 1, joints)`` bool, False hides a joint as a key; None hides none.
        """
        rate = self.rate if self.training else 0.0
        merged: Tensor = self.out(attend(self.qkv(x), self.heads, mask, rate))
        return merged


class CrossAttention(nn.Module):
    """Multi-head attention of the joints to the joints of a context.

    Args:
        channels: Width, a multiple of ``heads``.
        attended: Channels of the context.
        heads: Number of heads.
        rate: Dropout on the attention weights.
    """

    def __init__(self, channels: int, attended: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = rate
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(attended, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Attend ``(batch, joints, channels)`` to ``(batch or poses, joints, attended)``."""
        key, value = for_all(self.key_value(context), x).chunk(2, dim=-1)
        query, key, value = (
            v.unflatten(-1, (self.heads, -1)).transpose(1, 2) for v in (self.query(x), key, value)
        )
        rate = self.rate if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        merged: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return merged


def for_all(shared: Tensor, x: Tensor) -> Tensor:
    """What poses share, ``(poses, ...)``, for a batch that repeats them, one set after another."""
    if shared.shape[0] == x.shape[0]:
        return shared
    return shared.repeat(x.shape[0] // shared.shape[0], *(1 for _ in shared.shape[1:]))


class GraphNet(nn.Module):
    """Feed-forward sub-layer over a learned adjacency: two graph convolutions, one ReLU.

    The released form takes the inverse root of column sums that training may turn negative, and
    then is NaN for ever; here they are bounded below, which changes no sum above the bound.

    Args:
        channels: Width; the middle is twice as wide.
        joints: Number of joints.
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(torch.eye(joints))
        self.expand = nn.Linear(channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)

    def graph(self) -> Tensor:
        """The normalised adjacency, ``(joints, joints)``."""
        sums = self.adjacency.sum(dim=0).clamp(min=MIN_COLUMN_SUM)
        scale = (sums + 1e-5).rsqrt()
        return scale[:, None] * self.adjacency * scale

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(batch, joints, channels)``."""
        graph = self.graph().expand(x.shape[0], -1, -1)
        hidden = functional.relu(self.expand(torch.bmm(graph, x)))
        # The weights narrow before the graph mixes: half the work of the order in the paper.
        narrow = functional.linear(hidden, self.contract.weight)
        return torch.bmm(graph, narrow) + self.contract.bias


def step_embedding(t: Tensor, size: int) -> Tensor:
    """Sinusoidal embedding of the diffusion step: all sines, then all cosines.

    Args:
        t: ``(batch,)`` float, step index, not rescaled.
        size: Channels, at least 4; an odd size ends with a zero.

    Returns:
        ``(batch, size)``.

    Source: released code (frequencies ``10000^(-i / (size // 2 - 1))``).
    """
    half = size // 2
    rates = torch.exp(
        torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / (half - 1))
    )
    angles = t.float()[:, None] * rates
    embedding = torch.cat((angles.sin(), angles.cos()), dim=1)
    return functional.pad(embedding, (0, size % 2))


class StepEmbedding(nn.Module):
    """Feature of the diffusion step: sinusoids and a two-layer perceptron.

    Args:
        hidden: Channels of the sinusoids; the feature has four times as many.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(hidden, STEP_FACTOR * hidden)
        self.second = nn.Linear(STEP_FACTOR * hidden, STEP_FACTOR * hidden)

    def forward(self, t: Tensor) -> Tensor:
        """Feature ``(batch, 4 hidden)`` of steps ``(batch,)``."""
        inner = functional.silu(self.first(step_embedding(t, self.hidden)))
        feature: Tensor = self.second(inner)
        return feature
