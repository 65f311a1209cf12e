"""Flat shapes with soft edges: rounded boxes, ellipses and bars, drawn by signed distance."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

BOX, ELLIPSE, BAR = range(3)


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """K shapes on each of n pictures, painted in order. Lengths in sides of the picture.

    Attributes:
        kind: ``BOX``, ``ELLIPSE`` or ``BAR``, ``(n, K)`` int64. A box has square corners, a bar
            round ends.
        centre: x and y, ``(n, K, 2)``.
        half: Half its length and half its width, ``(n, K, 2)``.
        angle: Of its length against the x axis, ``(n, K)``, radians.
        colour: ``(n, K, 3)``.
        accent: Added where the picture's texture is 1, taken off where it is -1, ``(n, K, 3)``.
        present: ``(n, K)`` bool.
    """

    kind: Tensor
    centre: Tensor
    half: Tensor
    angle: Tensor
    colour: Tensor
    accent: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> Shapes:
        """The same shapes on another device."""
        return Shapes(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def coverage(shapes: Shapes, index: int, x: Tensor, y: Tensor, size: int) -> Tensor:
    """How much of a pixel one of the shapes covers.

    Args:
        shapes: Of n pictures.
        index: Which of the K.
        x: Sides of the picture, broadcastable to ``(n, rows, columns)``.
        y: The same.
        size: Side of the picture, pixels.

    Returns:
        ``(n, rows, columns)``, 0 to 1.
    """
    angle, kind = shapes.angle[:, index], shapes.kind[:, index]
    cosine, sine = angle.cos(), angle.sin()
    centre, half = shapes.centre[:, index], shapes.half[:, index]
    smaller = half.amin(-1)
    # An ellipse is a circle in coordinates that are shrunk along its length.
    scale = torch.where((kind == ELLIPSE)[:, None], smaller[:, None] / half, 1.0)
    reach = half * scale
    radius = torch.where(kind == BOX, 0.0, smaller)
    rows = torch.stack((cosine, sine, -sine, cosine), dim=-1).view(-1, 2, 2) * scale[..., None]
    shift = (rows @ centre[..., None])[..., 0]
    first, second = (
        (rows[:, i, 0, None, None] * x + rows[:, i, 1, None, None] * y - shift[:, i, None, None])
        .abs()
        .sub((reach[:, i] - radius)[:, None, None])
        for i in range(2)
    )
    corner = (first.clamp(min=0).square() + second.clamp(min=0).square()).sqrt()
    distance = corner + torch.maximum(first, second).clamp(max=0) - radius[:, None, None]
    return (0.5 - size * distance).clamp(0, 1) * shapes.present[:, index, None, None]


def paint(canvas: Tensor, shapes: Shapes, texture: Tensor) -> Tensor:
    """Paint shapes over pictures, in place.

    Args:
        canvas: ``(n, 3, size, size)``.
        shapes: Of the pictures.
        texture: -1 to 1, ``(n, size, size)``.

    Returns:
        How much of each pixel is covered by any of them, ``(n, size, size)``.
    """
    size = canvas.shape[-1]
    step = (torch.arange(size, device=canvas.device) + 0.5) / size
    covered = torch.zeros_like(texture)
    for index in range(shapes.kind.shape[1]):
        alpha = coverage(shapes, index, step, step[:, None], size)
        for channel in range(3):
            colour, accent = (
                c[:, index, channel, None, None] for c in (shapes.colour, shapes.accent)
            )
            plane = canvas[:, channel]
            plane += alpha * (torch.addcmul(colour, accent, texture) - plane)
        covered = torch.maximum(covered, alpha)
    return covered


def covers(shapes: Shapes, points: Tensor, size: int) -> Tensor:
    """Which points lie under some shape.

    Args:
        shapes: Of n pictures.
        points: ``(n, points, 2)``, pixels of pictures of ``size``.
        size: Side of the picture, pixels.

    Returns:
        ``(n, points)`` bool.
    """
    x, y = (points / size)[:, None].unbind(-1)  # (n, 1, points)
    under = [coverage(shapes, i, x, y, size) > 0.5 for i in range(shapes.kind.shape[1])]
    return torch.stack(under).any(0)[:, 0]
