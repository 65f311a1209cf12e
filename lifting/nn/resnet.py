"""Residual networks for images, with the parameter names of torchvision.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from lifting.errors import ConfigError

IMAGE_CHANNELS = 3
STRIDE = 32
"""Pixels of the image to one of the last features."""


class _Form(NamedTuple):
    blocks: tuple[int, int, int, int]
    bottleneck: bool


FORMS = {
    18: _Form((2, 2, 2, 2), bottleneck=False),
    34: _Form((3, 4, 6, 3), bottleneck=False),
    50: _Form((3, 4, 6, 3), bottleneck=True),
    101: _Form((3, 4, 23, 3), bottleneck=True),
    152: _Form((3, 8, 36, 3), bottleneck=True),
}
"""Blocks of the four layers, by depth of the network."""


class Features(NamedTuple):
    """Features of an image at four scales.

    Attributes:
        layer1: ``(batch, channels, height / 4, width / 4)``.
        layer2: At an eighth of the image.
        layer3: At a sixteenth.
        layer4: At a thirty-second.
    """

    layer1: Tensor
    layer2: Tensor
    layer3: Tensor
    layer4: Tensor


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut.

    Args:
        inputs: Channels that come in.
        width: Channels of both convolutions.
        stride: Of the first convolution and of the shortcut.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``(batch, channels, height, width)``."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution around a shortcut; the 3x3 one has the stride.

    Args:
        inputs: Channels that come in.
        width: Channels of the first two convolutions; four times as many go out.
        stride: Of the 3x3 convolution and of the shortcut.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = _convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _convolution(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``(batch, channels, height, width)``."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A residual network without its classifier.

    Args:
        depth: 18, 34, 50, 101 or 152 layers.
        width: Channels of the first layer (published: 64); the others are multiples.

    Raises:
        ConfigError: Another depth.
    """

    def __init__(self, depth: int, width: int = 64) -> None:
        super().__init__()
        if depth not in FORMS:
            raise ConfigError(
                f"expected a residual network of {', '.join(map(str, FORMS))} layers, got "
                f"{depth}; choose one of these"
            )
        blocks, bottleneck = FORMS[depth]
        kind = Bottleneck if bottleneck else BasicBlock
        self.out_channels = 8 * width * kind.expansion
        self.conv1 = _convolution(IMAGE_CHANNELS, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = width
        for i, count in enumerate(blocks):
            channels, layer = width * 2**i, []
            for block in range(count):
                layer.append(kind(inputs, channels, 2 if i and not block else 1))
                inputs = channels * kind.expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*layer))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: Tensor) -> Features:
        """Features of normalised images.

        Args:
            images: ``(batch, 3, height, width)``.
        """
        return self.layers(self.stem(images))

    def stem(self, images: Tensor) -> Tensor:
        """What comes before the first layer: ``(batch, channels, height / 2, width / 2)``.

        Args:
            images: Normalised, ``(batch, 3, height, width)``.
        """
        found: Tensor = self.relu(self.bn1(self.conv1(images)))
        return found

    def layers(self, stem: Tensor) -> Features:
        """Features of what ``stem`` answers, ``(batch, channels, height / 2, width / 2)``."""
        x = self.maxpool(stem)
        found = []
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
            found.append(x)
        return Features(*found)


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
