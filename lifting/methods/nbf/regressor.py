"""First guess of pose, shape and camera, pooled from features by attention to body parts.

The published head is linear: what a joint is turned by follows from its own part alone. Beside
it the head may look at the whole person (ours): by a linear map at the backbone's coarsest maps,
which learns which way somebody faces in a fraction of the time, and by a small network at all
parts and where they lie.

Source: PARE, as the released code of 3DNBF uses it; weak-perspective camera of SPIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ConfigError
from lifting.methods.nbf.rotations import BodyPose, matrix_of_six, six_of_matrix, upright
from lifting.methods.nbf.view import CropView
from lifting.typing import RotationMatrix

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
