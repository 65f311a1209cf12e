"""The skeleton as a graph whose edges are sorted by what they connect, and its convolution.

Published weights are those of a pointwise convolution from C to 4C channels, after which joints
are mixed. Most kinds of edge reach some of the joints only, and what a joint and its mirror image
tell one another is one product of their sum and one of their difference. So the convolution mixes
joints before channels, for each kind into no more rows than it can tell apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import CheckpointError
from lifting.skeleton import Skeleton

CENTRE = "spine"
PARTITIONS = 4
GRAPH_TOLERANCE = 1e-4


class PartitionedConv(nn.Module):
    """Graph convolution with a weight matrix for each kind of edge.

    Args:
        channels: Channels in and out.
        skeleton: The graph.
    """

    gather: Tensor
    scatter: Tensor

    def __init__(self, channels: int, skeleton: Skeleton) -> None:
        super().__init__()
        # A pointwise convolution from C to 4C channels, as a map from the mixed joints' 4C to C.
        self.weight = nn.Parameter(torch.empty(channels, PARTITIONS * channels))
        self.bias = nn.Parameter(torch.empty(PARTITIONS, channels))
        nn.init.uniform_(self.weight, -(channels**-0.5), channels**-0.5)
        nn.init.uniform_(self.bias, -(channels**-0.5), channels**-0.5)
        mixing = partitioned_adjacency(skeleton).float().mT  # row w is what joint w receives
        symmetric = _by_symmetry(mixing)
        symmetric[:2] /= 2
        factors = [_factors(matrix) for matrix in symmetric]
        rows = max(len(gather) for gather, _ in factors)
        gather = torch.cat([functional.pad(g, (0, 0, 0, rows - len(g))) for g, _ in factors])
        scatter = torch.cat([functional.pad(s, (0, rows - s.shape[1])) for _, s in factors], dim=1)
        self.register_buffer("gather", gather, persistent=False)
        self.register_buffer("scatter", scatter, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(batch, joints, channels)``."""
        batch, joints, channels = x.shape
        told = self.gather @ x.transpose(1, 2).reshape(-1, joints).t()  # (rows, batch channels)
        maps = _by_symmetry(self.weight.view(channels, PARTITIONS, channels).transpose(0, 1))
        moved = torch.bmm(told.view(PARTITIONS, -1, channels), maps.transpose(1, 2))
        heard = self.scatter @ moved.view(len(told), -1)
        received = (self.scatter * self.gather.sum(dim=1)).view(joints, PARTITIONS, -1).sum(dim=-1)
        bias = received @ _by_symmetry(self.bias)  # (joints, channels)
        return heard.view(joints, batch, channels).transpose(0, 1) + bias


def _by_symmetry(kinds: Tensor) -> Tensor:
    """Sum and difference of a joint's own part and the mirrored one's; the parts of bones."""
    own, inward, outward, mirrored = kinds
    return torch.stack((own + mirrored, own - mirrored, inward, outward))


def _factors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as its rows that no factor makes one another, and their shares in each of its rows.

    Args:
        matrix: ``(joints, joints)``.

    Returns:
        ``(rows, joints)`` and ``(joints, rows)``, whose product is the matrix; for one number in
        all entries of a row, as here, to the bit.
    """
    first = matrix.gather(1, (matrix != 0).int().argmax(dim=1, keepdim=True))
    scaled = matrix / torch.where(first == 0, 1, first)
    rows, which = torch.unique(scaled, dim=0, return_inverse=True)
    shares = functional.one_hot(which, len(rows)) * first
    kept = rows.any(dim=1)
    return rows[kept], shares[:, kept]


def from_pointwise(weight: Tensor) -> Tensor:
    """Weight of :class:`PartitionedConv`, ``(channels, 4 channels)``, from a published one.

    Args:
        weight: Of a pointwise convolution, ``(4 channels, channels, 1)``, kinds one after another.
    """
    kinds = weight.view(PARTITIONS, -1, weight.shape[1])
    return kinds.transpose(0, 1).flatten(1).contiguous()


def to_pointwise(weight: Tensor) -> Tensor:
    """The inverse of :func:`from_pointwise`."""
    channels = len(weight)
    kinds = weight.view(channels, PARTITIONS, -1).transpose(0, 1)
    return kinds.reshape(PARTITIONS * channels, -1, 1)


def to_official(ours: str, value: Tensor) -> Tensor:
    """A weight in the authors' shape; only those of graph convolutions differ.

    Args:
        ours: Its name in our state.
        value: The weight.
    """
    if ours.endswith(".graph.weight"):
        return to_pointwise(value)
    return value.flatten() if ours.endswith(".graph.bias") else value


def from_official(ours: str, value: Tensor) -> Tensor:
    """The inverse of :func:`to_official`."""
    if ours.endswith(".graph.weight"):
        return from_pointwise(value)
    return value.view(PARTITIONS, -1) if ours.endswith(".graph.bias") else value


def check_graph(name: str, value: Tensor, skeleton: Skeleton) -> None:
    """Refuse the graph of a file that is not the partitioned one of a skeleton.

    Args:
        name: In the file, for the message.
        value: The graph.
        skeleton: Which it should be of.

    Raises:
        CheckpointError: It is another.
    """
    ours = partitioned_adjacency(skeleton).to(value.dtype)
    if value.shape != ours.shape or not torch.allclose(value, ours, rtol=0, atol=GRAPH_TOLERANCE):
        raise CheckpointError(
            f"expected {name} to be the partitioned graph of {skeleton.name}, got another of "
            f"shape {tuple(value.shape)}; its weights are for another skeleton or joint order"
        )


def partitioned_adjacency(skeleton: Skeleton, centre: str | None = None) -> Tensor:
    """Normalised adjacency split into four kinds of edge, ``(4, joints, joints)`` float64.

    Entry ``[k, v, w]`` is what joint w receives from joint v: k is 0 for the joint itself, 1 for a
    bone towards the centre, 2 for a bone away from it, 3 for the mirrored joint. What a joint
    receives sums to one.

    Args:
        skeleton: Its bones and mirror pairs are the edges.
        centre: Joint from which distances are counted, along bones; None is that of
            :func:`centre_joint`.

    Raises:
        ConfigError: The skeleton has no such joint.

    Source: released code, for the joints of Human3.6M.
    """
    joints = len(skeleton)
    bones = _symmetric(skeleton.bones, joints)
    mirrors = _symmetric(tuple(zip(skeleton.left, skeleton.right, strict=True)), joints)
    eye = torch.eye(joints, dtype=torch.float64)
    distance = _distances(bones, skeleton.index(centre or centre_joint(skeleton)))
    inward, outward = distance[:, None] > distance, distance[:, None] < distance
    parts = torch.stack((eye, bones * inward, bones * outward, mirrors))
    return parts / parts.sum(dim=(0, 1))


def centre_joint(skeleton: Skeleton) -> str:
    """Joint from which the graph is partitioned: the spine, else the middle of the trunk.

    The trunk are the joints without a mirrored one that join two bones or more. Its middle is the
    joint whose farthest joint is nearest, counted in bones; of several, the first in the order of
    the joints. A face, which is far from the feet, is never the middle. Where there is no trunk,
    all joints are looked at.

    Args:
        skeleton: Its bones and mirror pairs.
    """
    if CENTRE in skeleton.joints:
        return CENTRE
    bones = _symmetric(skeleton.bones, len(skeleton))
    joined = bones.sum(dim=0).tolist()
    single = [j == other for j, other in enumerate(skeleton.flip_index)]
    trunk = [j for j, count in enumerate(joined) if single[j] and count >= 2]
    middle = min(
        trunk or range(len(skeleton)), key=lambda joint: int(_distances(bones, joint).max())
    )
    return skeleton.joints[middle]


def _symmetric(pairs: tuple[tuple[int, int], ...], joints: int) -> Tensor:
    matrix = torch.zeros(joints, joints, dtype=torch.float64)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


def _distances(bones: Tensor, centre: int) -> Tensor:
    """Bones between each joint and the centre, ``(joints,)``."""
    distance = torch.zeros(len(bones), dtype=torch.int64)
    reached = distance > 0
    reached[centre] = True
    while not reached.all():
        distance += ~reached
        reached = reached | (bones[reached].sum(dim=0) > 0)
    return distance
