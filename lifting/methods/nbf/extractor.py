"""Image to features: a pyramid of convolutions, and a decoder that brings it to a quarter size.

The backbone is given from outside: anything with ``features(images)`` that answers maps from half
the image to a thirty-second of it. At half size, too, the decoder has one step more (ours): people
in pictures of 64 pixels are all edge in a map of 16.

Source: released code of 3DNBF; the small backbone is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ShapeError
from lifting.methods.nbf.render import normalise_features
from lifting.nn.resnet import IMAGE_CHANNELS, BasicBlock, ResNet

COARSEST = 32
TINY_CHANNELS = (32, 32, 64, 96, 128)
TINY_WIDTHS = (128, 96, 64, 48, 32)
RESNET_CHANNELS = (64, 256, 512, 1024, 2048)
RESNET_WIDTHS = (1024, 512, 256, 256, 128)


class Backbone(Protocol):
    """Features of an image at five scales."""

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Maps at a half, a quarter, an eighth, a sixteenth and a thirty-second of the image."""
        ...


class ExtractedFeatures(NamedTuple):
    """What an image is taken to.

    Attributes:
        features: Unit vectors, ``(batch, rays, channels)``, rows first.
        decoded: Map before the last convolution, ``(batch, width, height / stride, width /
            stride)``.
        coarse: The backbone's two coarsest maps, the finer first.
    """

    features: Tensor
    decoded: Tensor
    coarse: tuple[Tensor, Tensor]


class TinyBackbone(nn.Module):
    """A residual block at each scale, for processors and small images.

    Args:
        channels: Of the scales, finest first.
    """

    def __init__(self, channels: Sequence[int] = TINY_CHANNELS) -> None:
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(IMAGE_CHANNELS, first, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(
            BasicBlock(before, after, 2) for before, after in pairwise(channels)
        )

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps at five scales of ``(batch, 3, height, width)``."""
        found = [self.stem(images)]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return tuple(found)


class ResNetBackbone(ResNet):
    """A residual network that gives its map at half the image, too."""

    def features(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Maps at five scales of ``(batch, 3, height, width)``."""
        fine = self.stem(images)
        return (fine, *self.layers(fine))


class DoubleConvolution(nn.Sequential):
    """Twice a 3x3 convolution, normalisation and rectifier.

    Args:
        inputs: Channels that come in.
        inner: Channels between.
        outputs: Channels that go out.
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )  # fmt: skip


class Extractor(nn.Module):
    """Backbone, decoder with shortcuts, and the last convolution.

    Args:
        backbone: Features at five scales.
        channels: Channels of those, finest first.
        features: Channels of the answer.
        widths: Channels of the decoder from the coarsest scale to the finest.
        stride: Pixels of the image to one of the answer: 4, or 2.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: Sequence[int],
        features: int,
        widths: Sequence[int] = TINY_WIDTHS,
        stride: int = 4,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.finest = stride // 4
        skips = channels[self.finest : -1]
        self.coarsest = DoubleConvolution(channels[-1], widths[0], widths[0])
        self.finer = nn.ModuleList(
            DoubleConvolution(before + skip, before, after)
            for before, skip, after in zip(widths, skips[::-1], widths[1:], strict=False)
        )
        self.width = widths[len(skips)]
        self.coarse_channels = tuple(channels[-2:])
        self.last = nn.Conv2d(self.width, features, 1, bias=False)

    def forward(self, images: Tensor) -> ExtractedFeatures:
        """Features of normalised images.

        Args:
            images: ``(batch, 3, height, width)``, both sides multiples of 32.

        Raises:
            ShapeError: Another size.
        """
        check_images(images)
        *skips, last = self.backbone.features(images)[self.finest :]
        x = self.coarsest(last)
        for block, skip in zip(self.finer, reversed(skips), strict=True):
            x = functional.interpolate(
                x, size=skip.shape[-2:], mode="bilinear", align_corners=True
            )
            x = block(torch.cat((x, skip), dim=1))
        found = self.last(x).float().flatten(2).mT
        return ExtractedFeatures(normalise_features(found), x, (skips[-1], last))

    def coarse(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's two coarsest maps alone, the finer first; ``images`` as above."""
        check_images(images)
        finer, coarser = self.backbone.features(images)[-2:]
        return finer, coarser


def make_extractor(backbone: Literal["tiny", "resnet50"], features: int, stride: int) -> Extractor:
    """The extractor of a configuration.

    Args:
        backbone: Which.
        features: Channels of the answer.
        stride: Pixels of the image to one of the answer.
    """
    if backbone == "tiny":
        made = Extractor(TinyBackbone(), TINY_CHANNELS, features, TINY_WIDTHS, stride)
    else:
        made = Extractor(ResNetBackbone(50), RESNET_CHANNELS, features, RESNET_WIDTHS, stride)
    # The same numbers, and faster convolutions on processors and GPUs.
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def check_images(images: Tensor) -> None:
    """Refuse images that the backbone cannot halve five times.

    Raises:
        ShapeError: Not three channels, or a side that is no multiple of 32.
    """
    fits = images.ndim == 4 and images.shape[1] == 3 and images.shape[-1] and images.shape[-2]
    if not fits or images.shape[-1] % COARSEST or images.shape[-2] % COARSEST:
        raise ShapeError(
            f"expected images of shape (batch 3 height width), sides multiples of {COARSEST}, got "
            f"{tuple(images.shape)}; cut and scale the crop to such a size"
        )
