"""Image to features, and from those to a first guess of pose, shape and camera.

A pyramid of convolutions, and a decoder that brings it to a quarter size. The backbone is given
from outside: anything with ``features(images)`` that answers maps from half the image to a
thirty-second of it. At half size, too, the decoder has one step more (ours): people in pictures of
64 pixels are all edge in a map of 16.

The guess is pooled from features by attention to body parts. The published head is linear: what a
joint is turned by follows from its own part alone. Beside it the head may look at the whole person
(ours): by a linear map at the backbone's coarsest maps, which learns which way somebody faces in a
fraction of the time, and by a small network at all parts and where they lie.

Source: released code of 3DNBF; the small backbone is ours. PARE, as that code uses it, for the
head; weak-perspective camera of SPIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ConfigError, ShapeError
from lifting.methods.nbf.body_pose import BodyPose, matrix_of_six, six_of_matrix, upright
from lifting.methods.nbf.crop import CropView
from lifting.methods.nbf.render import normalise_features
from lifting.nn.resnet import IMAGE_CHANNELS, BasicBlock, ResNet
from lifting.typing import RotationMatrix

COARSEST = 32
TINY_CHANNELS = (32, 32, 64, 96, 128)
TINY_WIDTHS = (128, 96, 64, 48, 32)
RESNET_CHANNELS = (64, 256, 512, 1024, 2048)
RESNET_WIDTHS = (1024, 512, 256, 256, 128)


class Backbone(Protocol):
    """Features of an image at five scales."""

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Maps at a half, a quarter, an eighth, a sixteenth and a thirty-second of the image.

        Args:
            images: ``(batch, 3, height, width)``.

        Returns:
            Each ``(batch, channels, height / scale, width / scale)``.
        """
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
        """The backbone's two coarsest maps alone, the finer first.

        Args:
            images: ``(batch, 3, height, width)``, as in :meth:`forward`.

        Returns:
            ``(batch, channels, height / 16, width / 16)``, and at a thirty-second.
        """
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


SHAPE_CHANNELS = 64
_MEAN_CAMERA = (0.9, 0.0, 0.0)
_COARSE_SIDES = (2, 1)
_CAMERA = 3
_SIX = 6


class Guess(NamedTuple):
    """A body by its numbers.

    Attributes:
        rotations: Each joint in its parent's frame, ``(batch, joints, 3, 3)``.
        betas: ``(batch, shapes)``.
        camera: Scale, and offset from the crop's middle in metres, ``(batch, 3)``.
        six: First two columns of the rotations before they were made ones, ``(batch, joints,
            6)``. They are short where the head does not know, which a rotation cannot be.
    """

    rotations: RotationMatrix
    betas: Tensor
    camera: Tensor
    six: Tensor

    def body(self, view: CropView) -> BodyPose:
        """The body in the camera's frame."""
        return BodyPose(self.rotations, self.betas, view.root(self.camera))


class Estimate(NamedTuple):
    """What the head answers.

    Attributes:
        guess: The body.
        parts: Logits of background and parts, ``(batch, parts + 1, height, width)``.
    """

    guess: Guess
    parts: Tensor


class PoseHead(nn.Module):
    """Attention to each joint's part, then a linear map of its own for each joint.

    Args:
        channels: Of the decoded map.
        joints: Of the body.
        shapes: Shape coefficients.
        coarse: Channels of the backbone's two coarsest maps, the finer first.
        hidden: Width of the network that looks at all parts; 0 for neither look at the whole
            person (released).
    """

    mean: Tensor

    def __init__(
        self, channels: int, joints: int, shapes: int, coarse: Sequence[int], hidden: int = 0
    ) -> None:
        super().__init__()
        self.sizes = (joints * _SIX, shapes, _CAMERA)
        self.attend = nn.Conv2d(channels, joints + 1, 1)
        self.rotate = nn.Parameter(torch.empty(joints, channels, _SIX))
        self.reduce = nn.Conv2d(channels, SHAPE_CHANNELS, 1)
        self.shape = nn.Linear(joints * SHAPE_CHANNELS, shapes)
        self.camera = nn.Linear(joints * SHAPE_CHANNELS, _CAMERA)
        nn.init.normal_(self.rotate, std=0.01 / channels**0.5)
        for layer in (self.shape, self.camera):
            _start_small(layer)
        self.whole: nn.Linear | None = None
        self.parts: nn.Sequential | None = None
        if hidden:
            inputs = sum(c * side**2 for c, side in zip(coarse, _COARSE_SIDES, strict=True))
            self.whole = nn.Linear(inputs, sum(self.sizes))
            _start_small(self.whole)
            self.parts = _perceptron(joints * (SHAPE_CHANNELS + 2), hidden, sum(self.sizes))
        rest = torch.eye(3).repeat(joints, 1, 1)
        rest[0] = upright(rest)
        mean = (six_of_matrix(rest).flatten(), torch.zeros(shapes), torch.tensor(_MEAN_CAMERA))
        self.register_buffer("mean", torch.cat(mean))

    def forward(self, decoded: Tensor, coarse: Sequence[Tensor]) -> Estimate:
        """Estimate from what an image was taken to.

        Args:
            decoded: ``(batch, channels, height, width)``.
            coarse: The backbone's two coarsest maps, the finer first.
        """
        logits = self.attend(decoded)
        attention = logits[:, 1:].flatten(2).softmax(-1)  # (batch, joints, pixels)
        pooled = attention @ decoded.flatten(2).mT  # (batch, joints, channels)
        reduced = attention @ self.reduce(decoded).flatten(2).mT  # (batch, joints, 64)
        six = torch.einsum("bjc,jcd->bjd", pooled, self.rotate).flatten(1)
        shaped = reduced.flatten(1)
        found = torch.cat((six, self.shape(shaped), self.camera(shaped)), dim=-1)
        found = found + self._whole(coarse)
        if self.parts is not None:
            places = attention @ _places(decoded)
            found = found + self.parts(torch.cat((reduced, places), dim=-1).flatten(1))
        return Estimate(self._guess(found), logits)

    def coarse(self, coarse: Sequence[Tensor]) -> Guess:
        """What the backbone's two coarsest maps alone tell.

        Args:
            coarse: The maps, ``(batch, channels, height, width)``, the finer first.

        Raises:
            ConfigError: The head has no network that looks at them.
        """
        if self.whole is None:
            raise ConfigError(
                "expected method.head_width above 0 for a guess from the coarsest maps, got 0; "
                "set it, or method.guess_epochs=0"
            )
        return self._guess(self._whole(coarse))

    def _whole(self, coarse: Sequence[Tensor]) -> Tensor:
        if self.whole is None:
            return torch.zeros_like(self.mean)
        pooled = [
            functional.adaptive_avg_pool2d(values, side).flatten(1)
            for values, side in zip(coarse, _COARSE_SIDES, strict=True)
        ]
        found: Tensor = self.whole(torch.cat(pooled, dim=1))
        return found

    def _guess(self, found: Tensor) -> Guess:
        """The body of what is added to the mean one, in single precision."""
        six, betas, camera = torch.split(found.float() + self.mean, list(self.sizes), dim=-1)
        six = six.view(len(six), -1, _SIX)
        return Guess(matrix_of_six(six), betas, camera, six)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(hidden, outputs)
    _start_small(last)
    inner = nn.Linear(hidden, hidden)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), inner, nn.ReLU(), last)


def _start_small(layer: nn.Linear) -> None:
    nn.init.normal_(layer.weight, std=0.01 / layer.in_features**0.5)
    nn.init.zeros_(layer.bias)


def _places(decoded: Tensor) -> Tensor:
    """Column and row of each pixel of a map from minus to plus one, ``(pixels, 2)``."""
    height, width = decoded.shape[-2:]
    row, column = (
        (torch.arange(n, dtype=decoded.dtype, device=decoded.device) + 0.5) * (2 / n) - 1
        for n in (height, width)
    )
    y, x = torch.meshgrid(row, column, indexing="ij")
    return torch.stack((x, y), dim=-1).flatten(0, 1)
