"""Image to features: a pyramid of convolutions, and a decoder that brings it to a quarter size.

The backbone is given from outside: anything with ``features(images)`` that answers maps at a
quarter, an eighth, a sixteenth and a thirty-second of the image.

Source: released code of 3DNBF; the small backbone is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ShapeError
from lifting.methods.nbf.render import normalise_features

STRIDE = 4
COARSEST = 32
TINY_CHANNELS = (32, 64, 96, 128)
TINY_WIDTHS = (128, 96, 64, 64)
RESNET_WIDTHS = (1024, 512, 256, 256)
_GROUP = 16

Norm = Callable[[int], nn.Module]


class Backbone(Protocol):
    """Features of an image at four scales."""

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Maps at a quarter, an eighth, a sixteenth and a thirty-second of the image."""
        ...


class ExtractedFeatures(NamedTuple):
    """What an image is taken to.

    Attributes:
        features: Unit vectors, ``(batch, rays, channels)``, rows first.
        decoded: Map before the last convolution, ``(batch, width, height / 4, width / 4)``.
        coarse: The backbone's two coarsest maps, the finer first.
    """

    features: Tensor
    decoded: Tensor
    coarse: tuple[Tensor, Tensor]


def group_norm(channels: int) -> nn.Module:
    """Normalisation that does not look at other images."""
    return nn.GroupNorm(max(1, channels // _GROUP), channels)


class TinyBackbone(nn.Module):
    """Four stages of two convolutions each, for processors and small images.

    Args:
        channels: Of the stages.
    """

    def __init__(self, channels: Sequence[int] = TINY_CHANNELS) -> None:
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, padding=1, bias=False), group_norm(first), nn.ReLU()
        )
        self.stages = nn.ModuleList(
            DoubleConvolution(before, after, after, group_norm, stride=2)
            for before, after in zip((first, *channels[:-1]), channels, strict=True)
        )

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Maps at four scales of ``(batch, 3, height, width)``."""
        x = self.stem(images)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return tuple(found)


class DoubleConvolution(nn.Sequential):
    """Twice a 3x3 convolution, normalisation and rectifier.

    Args:
        inputs: Channels that come in.
        inner: Channels between.
        outputs: Channels that go out.
        norm: Makes the normalisation of a number of channels.
        stride: Of the first convolution.
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, norm: Norm, *, stride: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, inner, 3, stride, padding=1, bias=False), norm(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 3, padding=1, bias=False), norm(outputs),
            nn.ReLU(inplace=True),
        )  # fmt: skip


class Extractor(nn.Module):
    """Backbone, decoder with shortcuts, and the last convolution.

    Args:
        backbone: Features at four scales.
        channels: Channels of those, finest first.
        features: Channels of the answer.
        widths: Channels of the decoder from the coarsest scale to the finest.
        norm: Makes the decoder's normalisation of a number of channels.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: Sequence[int],
        features: int,
        widths: Sequence[int] = TINY_WIDTHS,
        norm: Norm = group_norm,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.coarsest = DoubleConvolution(channels[-1], widths[0], widths[0], norm)
        self.finer = nn.ModuleList(
            DoubleConvolution(before + skip, before, after, norm)
            for before, skip, after in zip(widths, channels[-2::-1], widths[1:], strict=False)
        )
        self.width = widths[-1]
        self.last = nn.Conv2d(self.width, features, 1, bias=False)

    def forward(self, images: Tensor) -> ExtractedFeatures:
        """Features of normalised images.

        Args:
            images: ``(batch, 3, height, width)``, both sides multiples of 32.

        Raises:
            ShapeError: Another size.
        """
        check_images(images)
        *skips, last = self.backbone.features(images)
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
