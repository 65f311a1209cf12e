"""The network of the image form: a residual network, deconvolutions, and a volume for each joint.

It runs without Lightning. Its parameters have the names of the released code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lifting.errors import ShapeError, check_shape
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.softargmax import image_confidence, soft_argmax
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
