"""Background of a recording's view, and the objects that stand before a person.

Both are of flat shapes with soft edges: rounded boxes, ellipses and bars, drawn by signed
distance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lifting.data.images.appearance import random_colours
from lifting.data.images.textures import draw_grids, enlarge
from lifting.data.procedural.draws import Draws
from lifting.typing import Pose2D

BOX, ELLIPSE, BAR = range(3)

CLUTTER = 14
OCCLUDERS = 3
_PRESENT = 0.7
_STRENGTH = (0.25, 0.16, 0.12, 0.08)  # of the grids, coarse to fine
_SKIN_COLOUR = (0.62, 0.47, 0.38)


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


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """Background of n pictures.

    Attributes:
        colour: At both ends of a gradient, ``(n, 2, 3)``.
        direction: Of the gradient, ``(n, 2)``, unit.
        grids: Random grids of several sizes, ``(n, cells, cells)`` each.
        tint: Colour that each grid adds, ``(n, grids, 3)``.
        clutter: Shapes on it.
    """

    colour: Tensor
    direction: Tensor
    grids: tuple[Tensor, ...]
    tint: Tensor
    clutter: Shapes

    def to(self, device: torch.device | str) -> Backdrop:
        """The same backgrounds on another device."""
        return Backdrop(
            colour=self.colour.to(device),
            direction=self.direction.to(device),
            grids=tuple(grid.to(device) for grid in self.grids),
            tint=self.tint.to(device),
            clutter=self.clutter.to(device),
        )


def draw_backdrops(draws: Draws) -> Backdrop:
    """Backgrounds: a gradient, noise of several sizes, and clutter, some of it like limbs.

    Args:
        draws: One stream a view of a recording.
    """
    angle = draws.uniform("gradient", high=2 * torch.pi)
    grids = draw_grids(draws, "backdrop")
    strength = torch.tensor(_STRENGTH)[:, None] * draws.uniform("backdrop noise", len(grids), 1)
    kind = (draws.uniform("clutter kind", CLUTTER) * 3).long()
    limb = (draws.uniform("limb-like", CLUTTER) < 0.5) & (kind == BAR)
    long = draws.uniform("clutter length", CLUTTER, low=0.04, high=0.4)
    thin = draws.uniform("clutter width", CLUTTER, low=0.15, high=1.0) * long
    thin = torch.where(kind == BAR, draws.uniform("bar", CLUTTER, low=0.01, high=0.05), thin)
    skin = draws.uniform("clutter skin", CLUTTER, 1, low=0.3, high=1.4)
    skin = (skin * torch.tensor(_SKIN_COLOUR)).clamp(max=1)
    bare = limb & (draws.uniform("clutter bare", CLUTTER) < 0.5)
    colour = torch.where(bare[..., None], skin, random_colours(draws, "clutter", CLUTTER))
    clutter = Shapes(
        kind=kind,
        centre=draws.uniform("clutter centre", CLUTTER, 2),
        half=torch.stack((long, thin), dim=-1),
        angle=draws.uniform("clutter angle", CLUTTER, high=2 * torch.pi),
        colour=colour,
        accent=draws.normal("clutter accent", CLUTTER, 3, sd=0.05),
        present=draws.uniform("clutter present", CLUTTER) < _PRESENT,
    )
    return Backdrop(
        colour=random_colours(draws, "backdrop", 2),
        direction=torch.stack((angle.cos(), angle.sin()), dim=-1),
        grids=grids,
        tint=strength * draws.normal("backdrop tint", len(grids), 3, mean=0.6, sd=0.4),
        clutter=clutter,
    )


def paint_backdrop(backdrop: Backdrop, size: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Ground of the pictures without its clutter, and the noise that textures it.

    Args:
        backdrop: Of n pictures.
        size: Side, pixels.

    Returns:
        ``(n, 3, size, size)``, 0 to 1; and noise of each grid, ``(n, size, size)``.
    """
    step = torch.linspace(-0.5, 0.5, size, device=backdrop.colour.device)
    x, y = (backdrop.direction[:, i, None, None] for i in range(2))
    share = torch.sigmoid(4 * (x * step + y * step[:, None]))
    noise = tuple(enlarge(grid, size) for grid in backdrop.grids)
    first, second = (backdrop.colour[:, i, :, None, None] for i in range(2))
    canvas = torch.lerp(first, second, share[:, None])
    for i, layer in enumerate(noise):
        canvas += backdrop.tint[:, i, :, None, None] * layer[:, None]
    return canvas.clamp_(0, 1), noise


def draw_occluders(draws: Draws, joints: Pose2D, probability: float) -> Shapes:
    """One to three objects over joints of the person, in some of the pictures.

    Args:
        draws: One stream a picture.
        joints: Where the joints are, sides of the picture, ``(n, joints, 2)``.
        probability: Of a picture having any.
    """
    count, rows = joints.shape[1], torch.arange(len(joints))[:, None]
    aimed = (draws.uniform("occluder joint", OCCLUDERS) * count).long()
    shift = draws.normal("occluder shift", OCCLUDERS, 2, sd=0.05)
    kind = (draws.uniform("occluder kind", OCCLUDERS) * 3).long()
    side = draws.uniform("occluder size", OCCLUDERS, 2, low=0.05, high=0.225)
    thin = draws.uniform("occluder bar", OCCLUDERS, low=0.02, high=0.07)
    bar = torch.stack((torch.full_like(thin, 0.7), thin), dim=-1)
    some = draws.uniform("occluders", 1) < probability
    number = draws.uniform("occluder number", 1, high=float(OCCLUDERS)).ceil()
    upright = (draws.uniform("occluder upright", OCCLUDERS) < 0.5) & (kind == BOX)
    angle = draws.uniform("occluder angle", OCCLUDERS, high=torch.pi)
    return Shapes(
        kind=kind,
        centre=joints[rows, aimed] + shift,
        half=torch.where((kind == BAR)[..., None], bar, side),
        angle=torch.where(upright, 0.0, angle),
        colour=random_colours(draws, "occluder", OCCLUDERS),
        accent=draws.normal("occluder accent", OCCLUDERS, 3, sd=0.12),
        present=some & (torch.arange(OCCLUDERS) < number),
    )
