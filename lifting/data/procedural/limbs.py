"""Directions of limb segments: from joint angles, and from where the limb should end.

A direction is a unit vector in the frame of the chest (arms) or of the pelvis (legs): x forward,
y left, z up. Arrays are ``(2, 3, n)``: side (left, right), axis, frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIDES = torch.tensor((1.0, -1.0)).reshape(2, 1)  # sign of y that points away from the midline


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product over the axis before the last, kept with size 1."""
    return (a * b).sum(-2, keepdim=True)


def unit(vector: Tensor) -> Tensor:
    """Vector divided by its length, over the axis before the last."""
    return vector * dot(vector, vector).clamp(min=1e-12).rsqrt()


def hanging(flexion: Tensor, abduction: Tensor) -> Tensor:
    """Direction of a segment that hangs down, then is abducted, then flexed.

    Args:
        flexion: ``(2, n)``, radians, forward from the downward vertical in the sagittal plane.
        abduction: ``(2, n)``, radians, away from the midline.

    Returns:
        ``(2, 3, n)``.
    """
    cosine = abduction.cos()
    outward = SIDES * abduction.sin()
    return torch.stack((flexion.sin() * cosine, outward, -flexion.cos() * cosine), dim=1)


def bent(flexion: Tensor, abduction: Tensor, twist: Tensor, hinge: Tensor) -> Tensor:
    """Direction of the distal segment of a limb behind a hinge.

    Args:
        flexion: ``(2, n)``, radians, of the proximal segment.
        abduction: ``(2, n)``, radians, of the proximal segment.
        twist: ``(2, n)``, radians, of the proximal segment about its long axis, inward.
        hinge: ``(2, n)``, radians, forward positive: an elbow's flexion, a knee's negated.

    Returns:
        ``(2, 3, n)``.
    """
    ahead, down = hinge.sin() * twist.cos(), hinge.cos()
    across = -SIDES * hinge.sin() * twist.sin()
    cosine, sine = abduction.cos(), abduction.sin()
    left = across * cosine + SIDES * down * sine
    up = SIDES * across * sine - down * cosine
    cosine, sine = flexion.cos(), flexion.sin()
    return torch.stack((ahead * cosine - up * sine, left, ahead * sine + up * cosine), dim=1)


def two_bone(
    target: Tensor, first: Tensor, second: Tensor, pole: Tensor, most: float
) -> tuple[Tensor, Tensor]:
    """Directions of two segments whose end meets a target.

    A target out of reach is approached as far as the limb, or its hinge's limit, allows.

    Args:
        target: ``(2, 3, n)``, end of the limb relative to its beginning, mm.
        first: ``(2, n)``, length of the proximal segment, mm.
        second: ``(2, n)``, length of the distal segment, mm.
        pole: ``(2, 3, n)``, direction to which the hinge points; need not be perpendicular.
        most: Largest flexion of the hinge, radians.

    Returns:
        Proximal and distal directions, ``(2, 3, n)`` each.
    """
    a, b = first[:, None], second[:, None]
    closest = (a * a + b * b + 2 * a * b * torch.cos(torch.tensor(most))).sqrt()
    wanted = dot(target, target).clamp(min=1e-6).sqrt()
    axis = target / wanted
    distance = torch.minimum(torch.maximum(wanted, closest), 0.9995 * (a + b))
    side = unit(pole - axis * dot(pole, axis))
    cosine = ((a * a + distance * distance - b * b) / (2 * a * distance)).clamp(-1, 1)
    proximal = axis * cosine + side * (1 - cosine * cosine).clamp(min=0).sqrt()
    distal = (axis * distance - proximal * a) / b
    return proximal, unit(distal)


def swivelled_pole(
    target: Tensor, swivel: Tensor, sign: float, sag: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Pole of a limb that bends in its sagittal plane, turned outward about its axis.

    Hanging, an elbow points backward and a knee forward; raised forward, an elbow points down and
    a knee up; raised overhead, an elbow points forward.

    Args:
        target: ``(2, 3, n)``, end of the limb relative to its beginning.
        swivel: ``(2, n)``, radians, outward.
        sign: 1 for arms, -1 for legs.
        sag: Pull backward and downward, which decides where the limb points to the side.

    Returns:
        ``(2, 3, n)``, perpendicular to the target.
    """
    axis = unit(target)
    x, _, z = axis.unbind(1)
    zero = torch.zeros_like(x)
    plane = sign * torch.stack((z, zero, -x), dim=1)
    if any(sag):
        plane = plane - torch.tensor((sag[0], 0.0, sag[1]))[:, None]
    plane = unit(plane - axis * dot(plane, axis))
    outward = torch.linalg.cross(axis, plane, dim=1) * (sign * SIDES[..., None])
    return plane * swivel.cos()[:, None] + outward * swivel.sin()[:, None]
