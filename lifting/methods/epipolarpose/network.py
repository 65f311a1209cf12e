"""The network: a residual network, deconvolutions, and a volume of scores for each joint.

It runs without Lightning. Its parameters have the names of the released code. A joint is where the
soft-argmax of its volume expects it, in normalised coordinates: one softmax over all cells of the
joint. Its marginals are never formed: the scores are exponentiated once, and one thin matrix
product gives the sums that all three coordinates need. The gradient is written by hand, which
saves the backward passes of the softmax and of the sums. All of it is computed in float32 also
under autocast.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lifting.errors import ShapeError, check_shape
from lifting.methods.epipolarpose.config import Config
from lifting.nn.resnet import STRIDE, ResNet
from lifting.typing import PerJoint, Pose3D

DECONVOLUTIONS = 3
STARTING_SPREAD = 1e-3


class Scores(NamedTuple):
    """What the network says of every cell, logits.

    Attributes:
        cells: ``(batch, joints * depth, height, width)``, channel ``joint * depth + z``; without
            volumes ``(batch, joints, height, width)``.
        depths: ``(batch, joints * depth, 1, 1)`` where there are no volumes, else None.
    """

    cells: Tensor
    depths: Tensor | None = None


class Located(NamedTuple):
    """Joints in the crop.

    Attributes:
        joints: ``(batch, joints, 3)``, normalised.
        confidence: ``(batch, joints)``, 0 to 1, how narrow the distribution over the image is.
    """

    joints: Pose3D
    confidence: PerJoint


class PoseNetwork(ResNet):
    """Integral pose network of a crop.

    Args:
        joints: Joints it answers.
        config: Depth, widths and head.

    Source: EpipolarPose, section 3.1 and released code; the head without volumes, which no
    published model uses, is the released one too.
    """

    def __init__(self, joints: int, config: Config) -> None:
        super().__init__(config.depth, config.width)
        self.joints, self.config = joints, config
        layers: list[nn.Module] = []
        inputs, outputs = self.out_channels, config.head_width
        for _ in range(DECONVOLUTIONS):
            layers += (
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )
            inputs = outputs
        self.deconv_layers = nn.Sequential(*layers)
        cells = config.depth_cells if config.volume else 1
        self.final_layer = nn.Conv2d(inputs, joints * cells, 1)
        self.depth_layer = (
            None if config.volume else nn.Linear(self.out_channels, joints * config.depth_cells)
        )
        for part in (self.deconv_layers, self.final_layer, self.depth_layer):
            _start_small(part)

    def scores(self, images: Tensor) -> Scores:
        """Logits of all cells, a quarter as many along each side as the image has pixels.

        Args:
            images: Normalised, ``(batch, 3, height, width)``.

        Raises:
            ShapeError: The sides are no multiples of 32.
        """
        check_shape("images", images, "batch 3 height width")
        if any(side % STRIDE for side in images.shape[2:]):
            raise ShapeError(
                f"expected sides that are multiples of {STRIDE} pixels, got "
                f"{tuple(images.shape[2:])}; set method.patch to one"
            )
        last = self.features(images).layer4
        cells = self.final_layer(self.deconv_layers(last))
        if self.depth_layer is None:
            return Scores(cells)
        return Scores(cells, self.depth_layer(last.mean((2, 3)))[..., None, None])

    def forward(self, images: Tensor) -> Pose3D:
        """Joints of normalised images, ``(batch, joints, 3)``, normalised."""
        return self._place(self.scores(images))

    @torch.no_grad()
    def locate(self, images: Tensor) -> Located:
        """Joints, and how sure of their place in the image the network is; without gradients."""
        scores = self.scores(images)
        return Located(self._place(scores), image_confidence(scores.cells, self.joints))

    def _place(self, scores: Scores) -> Pose3D:
        align = self.config.align
        found = soft_argmax(scores.cells, self.joints, align)
        if scores.depths is None:
            return found
        depths = soft_argmax(scores.depths, self.joints, align)
        return torch.cat((found[..., :2], depths[..., 2:]), dim=-1)


def _start_small(part: nn.Module | None) -> None:
    """Weights near zero, biases at zero, as the released code starts the new layers."""
    for module in () if part is None else part.modules():
        if isinstance(module, nn.ConvTranspose2d | nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=STARTING_SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


Align = Literal["edge", "center"]


def soft_argmax(scores: Tensor, joints: int, align: Align = "edge") -> Pose3D:
    """Expected position of every joint under the softmax of its cells.

    Args:
        scores: ``(batch, joints * depth, height, width)``, channel ``joint * depth + z``, finite.
        joints: How many joints there are.
        align: What a cell's position is: its left, upper, near ``edge`` as in the released code,
            whose answers reach from -0.5 to less than 0.5; or its ``center``.

    Returns:
        x, y and z, ``(batch, joints, 3)``, nominally -0.5 to 0.5 of the crop and of its depth.

    Raises:
        ShapeError: The channels are no multiple of the joints.

    Source: Sun et al., "Integral Human Pose Regression", 2018; EpipolarPose, released code.
    """
    depth = scores.shape[1] // joints
    check_shape("scores", scores, "batch channels height width", channels=joints * depth)
    wide = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    offset = 0.5 if align == "center" else 0.0
    with torch.autocast(scores.device.type, enabled=False):
        return _SoftArgmax.apply(wide, joints, offset)  # type: ignore[no-untyped-call]


@torch.no_grad()
def image_confidence(scores: Tensor, joints: int) -> PerJoint:
    """How narrow the distribution of each joint over the image is.

    One minus the entropy of the marginal over the image, in units of the largest possible: 1 where
    a single cell has all of the mass, 0 where all have the same.

    Args:
        scores: As for :func:`soft_argmax`.
        joints: How many joints there are.

    Returns:
        ``(batch, joints)``, 0 to 1.
    """
    volume = scores.float().reshape(len(scores), joints, -1, *scores.shape[2:])
    share = torch.logsumexp(volume, dim=2).flatten(2).log_softmax(-1)  # (batch, joints, cells)
    entropy = -(share.exp() * share).sum(-1)
    return (1 - entropy / math.log(share.shape[-1])).clamp(0, 1)


class _SoftArgmax(torch.autograd.Function):
    """Expectation of the three cell coordinates.

    With the shares p of the cells, ``d x / d score = p (x_cell - x)``, and so for y and z: the
    gradient of a cell is its share times a number of its depth plus a number of its pixel.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, joints: int, offset: float) -> Tensor:
        batch, channels, height, width = scores.shape
        depth = channels // joints
        last = not scores.is_contiguous() and scores.is_contiguous(
            memory_format=torch.channels_last
        )
        pixels = _pixel_cells(height, width, offset, scores)
        if last:
            rows = scores.permute(0, 2, 3, 1).reshape(batch, -1, joints, depth)
            peak = rows.amax((1, 3), keepdim=True)
            mass = (rows - peak).exp_()
            sums = (pixels.mT @ mass.flatten(2)).view(batch, 3, joints, depth).permute(1, 0, 2, 3)
        else:
            rows = scores.reshape(batch, joints, depth, -1)
            mass = (rows - rows.amax((2, 3), keepdim=True)).exp_()
            sums = (mass.view(-1, height * width) @ pixels).mT.reshape(3, batch, joints, depth)
        cells = _cells(depth, offset, scores)
        total = sums[0].sum(-1)
        axes = (sums[1].sum(-1), sums[2].sum(-1), sums[0] @ cells)
        place = torch.stack(axes, dim=-1) / total[..., None]
        ctx.save_for_backward(mass, place, total)
        ctx.form = (scores.shape, offset, last)
        return place

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        mass, place, total = ctx.saved_tensors
        shape, offset, last = ctx.form
        pull = slope / total[..., None]  # (batch, joints, 3)
        pixels = _pixel_cells(shape[2], shape[3], offset, mass)
        cells = _cells(shape[1] // place.shape[1], offset, mass)
        depth = pull[..., 2:] * cells - (pull * place).sum(-1, keepdim=True)
        if last:
            image = pixels[:, 1:] @ pull[..., :2].mT  # (batch, cells, joints)
            grown = (image[..., None] + depth[:, None]).mul_(mass)
            rows = grown.view(shape[0], shape[2], shape[3], shape[1])
            return rows.permute(0, 3, 1, 2), None, None
        image = pull[..., :2] @ pixels[:, 1:].mT  # (batch, joints, cells)
        grown = (image[:, :, None] + depth[..., None]).mul_(mass)
        return grown.view(shape), None, None


def _cells(count: int, offset: float, like: Tensor) -> Tensor:
    """Coordinates of the cells along one axis."""
    return (torch.arange(count, dtype=like.dtype, device=like.device) + offset) / count - 0.5


def _pixel_cells(height: int, width: int, offset: float, like: Tensor) -> Tensor:
    """1, x and y of the cells of the image, ``(height * width, 3)``."""
    x = _cells(width, offset, like).expand(height, width)
    y = _cells(height, offset, like)[:, None].expand(height, width)
    return torch.stack((torch.ones_like(x), x, y), dim=-1).flatten(0, 1)
