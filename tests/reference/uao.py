"""GUMLP and its test-time optimisation as the released code computes them: a yardstick.

Weight names and shapes are the official ones, so that ``lifting.methods.uao.checkpoint``'s export
of our weights loads. Kept on purpose: linear layers one after another where one would do,
a graph convolution that widens its features four times before it mixes joints, the plain and the
mirrored input in passes of their own, a pass for the first answer alone, gradients for all
weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.geometry.camera import project
from lifting.skeleton import Skeleton
from lifting.typing import Intrinsics, Pose2D, Pose3D

NORM_EPS = 1e-6


class _Pair(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc5 = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc5(self.fc1(x))
        return answer


class _Layer(nn.Module):
    """Linear, GELU, dropout."""

    def __init__(self, inputs: int, outputs: int, rate: float) -> None:
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Dropout(rate))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.linear(x)
        return answer


class _ChannelMlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_down = _Layer(width, hidden, 0.1)
        self.linear_mid = _Layer(hidden, hidden, 0.1)
        self.linear_up = _Layer(hidden, width, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        down = self.linear_down(x)
        answer: Tensor = self.linear_up(self.linear_mid(down) + down)
        return answer


class _SpatialMlp(nn.Module):
    def __init__(self, joints: int, factor: int) -> None:
        super().__init__()
        wide = joints * factor
        self.linear_up1 = _Layer(joints, wide, 0.05)
        self.linear_up2 = _Layer(wide, 2 * wide, 0.05)
        self.linear_mid = _Layer(2 * wide, 2 * wide, 0.05)
        self.linear_down1 = _Layer(2 * wide, wide, 0.05)
        self.linear_down2 = _Layer(wide, joints, 0.05)

    def forward(self, x: Tensor) -> Tensor:
        up = self.linear_up2(self.linear_up1(x))
        answer: Tensor = self.linear_down2(self.linear_down1(self.linear_mid(up) + up))
        return answer


class _Conv(nn.Module):
    def __init__(self, channels: int, kinds: int) -> None:
        super().__init__()
        self.kinds = kinds
        self.conv1d = nn.Conv1d(channels, kinds * channels, kernel_size=1)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        wide = self.conv1d(x)  # (batch, kinds channels, joints)
        wide = wide.view(len(x), self.kinds, -1, x.shape[-1])
        return torch.einsum("nkcv,kvw->ncw", wide, graph)


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, factor: int, graph: Tensor) -> None:
        super().__init__()
        self.graph = graph
        joints = graph.shape[-1]
        self.norm1 = nn.LayerNorm(joints, NORM_EPS)
        self.gcn1 = _Conv(width, len(graph))
        self.norm2 = nn.LayerNorm(width, NORM_EPS)
        self.channel_mlp = _ChannelMlp(width, hidden)
        self.norm3 = nn.LayerNorm(joints, NORM_EPS)
        self.spatial_mlp = _SpatialMlp(joints, factor)

    def forward(self, x: Tensor) -> Tensor:
        graph = self.gcn1(self.norm1(x.transpose(1, 2)), self.graph)
        x = x + graph.transpose(1, 2)
        spatial = self.spatial_mlp(self.norm3(x.transpose(1, 2))).transpose(1, 2)
        return x + self.channel_mlp(self.norm2(x)) + spatial


class _Trunk(nn.Module):
    def __init__(self, blocks: int, width: int, hidden: int, factor: int, graph: Tensor) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width, hidden, factor, graph) for _ in range(blocks))
        self.norm_mu = nn.LayerNorm(width, NORM_EPS)
        self.norm_s = nn.LayerNorm(width, NORM_EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x)
        return self.norm_mu(x), self.norm_s(x)


class ReferenceGumlp(nn.Module):
    """The network with official names, in evaluation only: no drop-path.

    Args:
        graph: Adjacency by kind of edge, ``(kinds, joints, joints)``.
        blocks: Their number.
        width: Channels of a joint.
        encoder_hidden: Between the encoder's layers.
        channel_hidden: Of the perceptron over channels.
        spatial_factor: Of the perceptron over joints.
        head_hidden: Between each head's layers.
    """

    def __init__(
        self,
        graph: Tensor,
        *,
        blocks: int = 3,
        width: int = 512,
        encoder_hidden: int = 64,
        channel_hidden: int = 256,
        spatial_factor: int = 3,
        head_hidden: int = 256,
    ) -> None:
        super().__init__()
        self.encoder = _Pair(2, encoder_hidden, width)
        self.GCN_MLP = _Trunk(blocks, width, channel_hidden, spatial_factor, graph.float())
        self.pred_mu = _Pair(width, head_hidden, 3)
        self.pred_s = _Pair(width, head_hidden, 1)

    def forward(self, keypoints: Pose2D) -> tuple[Pose3D, Tensor]:
        """Pose ``(batch, joints, 3)`` in metres and its log error ``(batch, joints, 1)``."""
        for_pose, for_error = self.GCN_MLP(self.encoder(keypoints))
        return self.pred_mu(for_pose), self.pred_s(for_error)


class Optimised(NamedTuple):
    """What the loop leaves.

    Attributes:
        pose: Mean of both branches with its root at zero, ``(batch, joints, 3)``, metres.
        latents: Plain and mirrored input of every pass, ``(passes, 2, batch, joints, 2)``.
        losses: Objective of every pass; the last is where the loop ended.
    """

    pose: Pose3D
    latents: Tensor
    losses: Tensor


def reference_optimisation(
    network: ReferenceGumlp,
    keypoints: Pose2D,
    mirrored: Pose2D,
    camera: Intrinsics,
    root: Tensor,
    skeleton: Skeleton,
    *,
    iterations: int = 4,
    lr: float = 1e-3,
    weights: tuple[float, float] = (1.0, 0.005),
) -> Optimised:
    """The published loop, which is told the true root.

    Args:
        network: In evaluation mode.
        keypoints: ``(batch, joints, 2)``, screen units.
        mirrored: The mirrored input, same shape.
        camera: ``(batch, 9)``, screen units.
        root: True position, ``(batch, 1, 3)``, metres.
        skeleton: Whose left and right joints are exchanged; its root is joint 0.
        iterations: Steps of Adam.
        lr: Its rate.
        weights: Of the projection and of the anchor.

    Source: arXiv 2402.02339, released code.
    """
    index = list(skeleton.flip_index)
    sign = torch.tensor((-1.0, 1.0, 1.0))
    z, z_mirrored = (x.clone().requires_grad_(True) for x in (keypoints, mirrored))

    def answers() -> tuple[tuple[Pose3D, Tensor], tuple[Pose3D, Tensor]]:
        (pose, error), (other, other_error) = network(z), network(z_mirrored)
        return (pose, error[..., 0]), (other[:, index] * sign, other_error[:, index, 0])

    # By the same kernels as the loop's passes: a rounding error would be a direction to move in.
    anchors = tuple(pose.detach() for pose, _ in answers())

    def objective(found: tuple[tuple[Pose3D, Tensor], tuple[Pose3D, Tensor]]) -> Tensor:
        total = torch.zeros(())
        for (pose, log_error), anchor in zip(found, anchors, strict=True):
            held = log_error.detach()
            distance = torch.linalg.vector_norm(pose - anchor, dim=-1)
            placed = torch.cat((root, pose[:, 1:] + root), dim=1)
            off = torch.linalg.vector_norm(project(placed, camera) - keypoints, dim=-1)
            total = total + weights[1] * (distance * (-held).exp() + held).mean()
            total = total + weights[0] * off.mean()
        return total

    optimizer = torch.optim.Adam([z, z_mirrored], lr=lr)
    losses, latents = [], []
    for _ in range(iterations):
        latents.append(torch.stack((z, z_mirrored)).detach())
        optimizer.zero_grad()
        loss = objective(answers())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    with torch.no_grad():
        final = answers()
        losses.append(objective(final))
    latents.append(torch.stack((z, z_mirrored)).detach())
    pose = (final[0][0] + final[1][0]) / 2
    pose[:, skeleton.root] = 0
    return Optimised(pose, torch.stack(latents), torch.stack(losses))
