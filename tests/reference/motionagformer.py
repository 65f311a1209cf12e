"""MotionAGFormer as its straightforward form: the yardstick of golden tests and benchmarks.

Weight names and shapes are the official ones, so that the authors' weights load; the released
configurations only. Kept on purpose: attention with its scores as tensors of their own, dense
adjacencies normalised by two matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reference.motionbert import ReferenceAttention, ReferenceMlp


class _Graph(nn.Module):
    def __init__(self, width: int, nodes: int, adjacency: Tensor | None, neighbours: int) -> None:
        super().__init__()
        self.adjacency, self.neighbours = adjacency, neighbours
        self.U, self.V = nn.Linear(width, width), nn.Linear(width, width)
        self.batch_norm = nn.BatchNorm1d(nodes)

    def forward(self, x: Tensor) -> Tensor:
        """Mix joints, or where there is no adjacency frames, of (batch, frames, joints, c)."""
        over_frames = self.adjacency is None
        z = (x.transpose(1, 2) if over_frames else x).flatten(0, 1)
        if over_frames:
            alike = z @ z.transpose(-2, -1)
            least = alike.topk(self.neighbours, dim=-1).values[..., -1:]
            adjacency = (alike >= least).to(z.dtype)
        else:
            adjacency = self.adjacency.to(z).expand(len(z), -1, -1)
        root = torch.diag_embed(adjacency.sum(-1) ** -0.5)
        spread = (root @ adjacency @ root) @ self.V(z)
        out = torch.relu(z + self.batch_norm(spread + self.U(z)))
        out = out.unflatten(0, (len(x), -1))
        return out.transpose(1, 2) if over_frames else out


class _Block(nn.Module):
    def __init__(self, mixer: nn.Module, width: int, ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixer, self.mlp = mixer, ReferenceMlp(width, ratio)
        self.layer_scale_1 = nn.Parameter(torch.full((width,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1 * self.mixer(self.norm1(x))
        return x + self.layer_scale_2 * self.mlp(self.norm2(x))


class _Layer(nn.Module):
    def __init__(
        self, adjacency: Tensor, frames: int, width: int, heads: int, ratio: float, k: int
    ) -> None:
        super().__init__()
        for name, over in (("att_spatial", "joints"), ("att_temporal", "frames")):
            attention = ReferenceAttention(width, heads, over, bias=False)
            self.add_module(name, _Block(attention, width, ratio))
        joints = _Graph(width, len(adjacency), adjacency, k)
        self.graph_spatial = _Block(joints, width, ratio)
        self.graph_temporal = _Block(_Graph(width, frames, None, k), width, ratio)
        self.fusion = nn.Linear(2 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.att_temporal(self.att_spatial(x))
        b = self.graph_temporal(self.graph_spatial(x))
        share = self.fusion(torch.cat((a, b), dim=-1)).softmax(dim=-1)
        return a * share[..., :1] + b * share[..., 1:]


class ReferenceMotionAgFormer(nn.Module):
    """The network with official names.

    Args:
        adjacency: Neighbours of each joint, ``(joints, joints)`` bool.
        frames: Frames of a window.
        width: Channels.
        layers: Number of layers.
        heads: Attention heads.
        ratio: Hidden channels of a perceptron over ``width``.
        representation: Channels of the motion representation.
        neighbours: Frames that are alike, itself among them.
    """

    def __init__(
        self,
        adjacency: Tensor,
        frames: int,
        width: int,
        layers: int,
        heads: int,
        ratio: float,
        representation: int,
        neighbours: int,
    ) -> None:
        super().__init__()
        self.joints_embed = nn.Linear(3, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, len(adjacency), width))
        self.layers = nn.ModuleList(
            _Layer(adjacency, frames, width, heads, ratio, neighbours) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.rep_logit = nn.ModuleDict({"fc": nn.Linear(width, representation)})
        self.head = nn.Linear(representation, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Lift ``(batch, frames, joints, 3)``."""
        x = self.joints_embed(keypoints) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        answer: Tensor = self.head(torch.tanh(self.rep_logit["fc"](self.norm(x))))
        return answer
