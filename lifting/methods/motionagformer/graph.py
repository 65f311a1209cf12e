"""Mixers of the graph stream: along bones, along frames that are alike, and over time.

They map ``(batch, frames, joints, width)`` to the same shape.

Source: Mehraban et al. 2024, section 3.2, and released code, which differ; see the README.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ConfigError
from lifting.methods.motionagformer.config import BRANCHES
from lifting.nn.two_streams import Over, as_sequences, as_windows
from lifting.skeleton import Skeleton

TAPS = 5
# Neighbours of each of 17 joints in the released code.
_RELEASED = (
    (1, 7), (2, 0), (3, 1), (2,), (5, 0), (6, 4), (5,), (0, 8), (7, 9), (8, 10), (9,), (12, 8),
    (13, 11), (12,), (15, 8), (16, 14), (15,),
)  # fmt: skip


def joint_adjacency(skeleton: Skeleton, *, released: bool) -> Tensor:
    """Whether the joint of the column is a neighbour of the row's, ``(joints, joints)`` bool.

    Args:
        skeleton: Its bones are the graph, both ways.
        released: Take the table of the released code instead.

    Raises:
        ConfigError: The table is for another number of joints.
    """
    joints = len(skeleton)
    if released and joints != len(_RELEASED):
        raise ConfigError(
            f"expected {len(_RELEASED)} joints with method.joint_graph 'released', got {joints} "
            f"of {skeleton.name}; set method.joint_graph to skeleton"
        )
    adjacency = torch.zeros(joints, joints, dtype=torch.bool)
    rows = _RELEASED if released else ((),) * joints
    pairs = [(i, j) for i, row in enumerate(rows) for j in row]
    if not released:
        pairs = [pair for a, b in skeleton.bones for pair in ((a, b), (b, a))]
    for i, j in pairs:
        adjacency[i, j] = True
    return adjacency


def frame_adjacency(frames: int, links: int) -> Tensor:
    """Every frame with itself and the next ones, ``(frames, frames)`` bool."""
    ones = torch.ones(frames, frames, dtype=torch.bool)
    return ones.triu() & ~ones.triu(links + 1)


def similar_frames(z: Tensor, neighbours: int) -> Tensor:
    """1 where the column's frame is among those most alike to the row's; without a gradient.

    More than that many where several are equally alike.

    Args:
        z: ``(sequences, frames, width)``.
        neighbours: Frames to choose, itself among them.

    Returns:
        ``(sequences, frames, frames)``, of the type of ``z``.
    """
    with torch.no_grad():
        alike = z @ z.transpose(-2, -1)
        least = alike.topk(min(neighbours, z.shape[-2]), dim=-1).values[..., -1:]
        return (alike >= least).to(z.dtype)


class GraphMixer(nn.Module):
    """A graph convolution whose result is normalised node by node.

    ``relu(z + norm(P V(z) + U(z)))``, where P is the adjacency divided by the roots of both nodes'
    numbers of neighbours, counted along rows.

    Args:
        width: Channels.
        nodes: Members of a sequence.
        over: What a sequence is of.
        adjacency: ``(nodes, nodes)`` bool; None finds that of frames by their similarity.
        neighbours: Frames that are alike.
    """

    adjacency: Tensor | None

    def __init__(
        self,
        width: int,
        nodes: int,
        over: Over,
        adjacency: Tensor | None,
        neighbours: int = 0,
    ) -> None:
        super().__init__()
        self.over = over
        self.neighbours = neighbours
        self.own = nn.Linear(width, width)
        self.others = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(nodes)
        for layer in (self.own, self.others):
            nn.init.normal_(layer.weight, std=(2 / width) ** 0.5)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``(batch, frames, joints, width)``."""
        z = as_sequences(x, self.over)
        mixed = torch.relu(z + self.norm(self.own(z) + self.spread(self.others(z), z)))
        return as_windows(mixed, len(x), self.over)

    def spread(self, values: Tensor, z: Tensor) -> Tensor:
        """What nodes get from their neighbours.

        Args:
            values: Of the nodes, ``(sequences, nodes, width)``.
            z: What tells which frames are alike.
        """
        if self.adjacency is not None:
            constant = self.adjacency.to(z.dtype)
            root = constant.sum(-1).rsqrt()
            return (root[:, None] * constant * root) @ values
        adjacency = similar_frames(z, self.neighbours)
        root = adjacency.sum(-1, keepdim=True).rsqrt()
        return root * (adjacency @ (root * values))


class TemporalConvolutions(nn.Module):
    """Convolutions over time of several widths side by side, around a shortcut.

    Args:
        width: Channels, a multiple of four.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // BRANCHES
        self.enter = nn.ModuleList(nn.Conv1d(width, part, 1) for _ in range(BRANCHES))
        self.enter_norm = nn.ModuleList(nn.BatchNorm1d(part) for _ in range(BRANCHES))
        self.over_time = nn.ModuleList(
            nn.Conv1d(part, part, TAPS, dilation=d, padding=d * (TAPS // 2)) for d in (1, 2)
        )
        self.leave_norm = nn.ModuleList(nn.BatchNorm1d(part) for _ in range(BRANCHES - 1))

    def forward(self, windows: Tensor) -> Tensor:
        """Mix ``(batch, frames, joints, width)``."""
        x = as_sequences(windows, "frames").transpose(1, 2)  # (batch joints, width, frames)
        inner = [norm(enter(x)) for enter, norm in zip(self.enter, self.enter_norm, strict=True)]
        wide, wider, pooled = (torch.relu(values) for values in inner[:-1])
        first, second = self.over_time
        moved = (first(wide), second(wider), functional.max_pool1d(pooled, 3, 1, 1))
        parts = [norm(values) for norm, values in zip(self.leave_norm, moved, strict=True)]
        mixed = torch.cat((*parts, inner[-1]), dim=1).transpose(1, 2)
        return windows + as_windows(mixed, len(windows), "frames")
