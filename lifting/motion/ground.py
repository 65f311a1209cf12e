"""Which way is up, and where the ground is, from bodies and from where their feet stand.

People's own axes tell up to a few degrees in the mean, whatever they do. The places where feet
stand tell the slope of the ground: the better, the further they lie apart. Both are joined by
their uncertainty, for all people of a video together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lifting.files.npz import Array

CAMERA_ROLL, CAMERA_PITCH = 5.0, 14.0
"""How far cameras are commonly turned from upright, degrees: about their axis, and up or down."""
BODY_DEG = 5.0
"""How far the mean axis of upright bodies is off, about either horizontal axis, degrees."""
NOTHING_DEG = 25.0
"""The same of a camera's own up, where bodies do not tell."""
TRUST_DEG = 50.0
FOCAL = 0.3
"""How far a guessed focal length is off, as a share of it."""
FOOT_MM = 60.0
"""How far a place where a foot stands is off in height, and for how long that stays, seconds."""
FOOT_S = 0.5
_STRAIGHT = 0.75  # of the length of a body stretched out


class Up(NamedTuple):
    """Which way is up, one estimate a row or one for all.

    Attributes:
        direction: ``(N, 3)``, unit, in a frame that does not move.
        covariance: ``(N, 2, 2)``, of the tilt about two axes at right angles to it, radians.
        axes: ``(N, 2, 3)``, towards which the two tilts lean.
    """

    direction: Array
    covariance: Array
    axes: Array

    @property
    def tilt(self) -> Array:
        """Expected angle to the true direction, ``(N,)``, degrees."""
        spread: Array = np.sqrt(np.trace(self.covariance, axis1=-2, axis2=-1) * np.pi / 4)
        return np.rad2deg(spread)


def so_far(values: Array, frame: Array, *, causal: bool) -> Array:
    """Sum over the rows of everyone, or of the frames up to each row's.

    Args:
        values: ``(N, ...)``.
        frame: ``(N,)`` int64.
        causal: Only frames up to this one.

    Returns:
        ``(N, ...)``.
    """
    if not causal:
        return np.broadcast_to(values.sum(0, keepdims=True), values.shape)
    which, place = np.unique(frame, return_inverse=True)
    total = np.zeros((len(which), *values.shape[1:]))
    np.add.at(total, place, values)
    found: Array = total.cumsum(0)[place]
    return found


def up_of_bodies(
    axis: Array, straight: Array, frame: Array, fps: float, camera_up: Array, *, causal: bool
) -> Up:
    """Up from how upright bodies stand, beside how cameras are held.

    Args:
        axis: ``(N, 3)``, from the feet to the thorax, in a frame that does not move; NaN where
            not known.
        straight: ``(N,)``, its length over that of a body stretched out.
        frame: ``(N,)`` int64.
        fps: Frames a second.
        camera_up: ``(3,)``, or ``(N, 3)``, up of the camera's picture.
        causal: Only frames up to each row's.
    """
    length = np.linalg.norm(axis, axis=-1)
    good = np.isfinite(length) & (length > 0)
    unit = np.where(good[:, None], axis / np.where(good, length, 1.0)[:, None], 0.0)
    weight = np.where(good, np.clip((straight - _STRAIGHT) / (1 - _STRAIGHT), 0, 1), 0.0)
    picture = np.broadcast_to(camera_up, unit.shape)
    stretched = weight
    weight = weight * ((unit * picture).sum(-1) > np.cos(np.deg2rad(TRUST_DEG)))
    told = (weight[:, None], (weight > 0)[:, None], stretched[:, None])
    given = np.concatenate((unit * weight[:, None], *told), 1)
    total = so_far(given, frame, causal=causal)
    size = np.linalg.norm(total[:, :3], axis=-1)
    known: Array = total[:, 3] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known[:, None], total[:, :3] / size[:, None], picture)
        loose = np.where(known, 1 - size / total[:, 3], 0.0)
    seconds = total[:, 4] / fps
    own = np.deg2rad(BODY_DEG) ** 2 + loose / (1 + seconds / 2)
    # Who lies in some frames is hardly upright in those that look so.
    nothing = np.deg2rad(NOTHING_DEG) ** 2
    own = own + nothing * (1 - total[:, 3] / np.maximum(total[:, 5], 1e-9))
    axes = _axes(mean)
    # What is known of cameras, as seen from the mean of the bodies.
    roll, pitch = np.deg2rad(CAMERA_ROLL) ** 2, np.deg2rad(CAMERA_PITCH) ** 2
    body = own[:, None, None] * np.eye(2)
    camera = np.broadcast_to(np.diag([roll, pitch]), body.shape)
    covariance = np.linalg.inv(np.linalg.inv(body) + np.linalg.inv(camera))
    offset = (axes * (picture - mean)[:, None]).sum(-1)
    shift = (covariance @ np.linalg.inv(camera) @ offset[..., None])[..., 0]
    shift = np.where(known[:, None], shift, 0.0)
    # Bodies and cameras that contradict one another are both less sure than usual.
    apart = np.einsum("ni,nij,nj->n", offset, np.linalg.inv(body + camera), offset) / 2
    covariance = covariance * np.maximum(apart, 1.0)[:, None, None]
    covariance = np.where(known[:, None, None], covariance, nothing * np.eye(2))
    return _tilted(mean, axes, shift, covariance)


def up_and_ground(
    first: Up,
    places: Array,
    contact: Array,
    frame: Array,
    fps: float,
    *,
    causal: bool,
) -> tuple[Up, Array, Array]:
    """Up and the height of the ground, from where feet stand and what is known of up before.

    Args:
        first: From bodies.
        places: ``(N, feet, 3)``, mm, in a frame that does not move; NaN where not known.
        contact: ``(N, feet)``, probability that a foot stands.
        frame: ``(N,)`` int64.
        fps: Frames a second.
        causal: Only frames up to each row's.

    Returns:
        Up; the height of what stands along it, ``(N,)``, mm, NaN where none stood; and how
        far that may be off, ``(N,)``, mm.
    """
    known = np.asarray(np.isfinite(places).all(-1))
    weight = np.where(known, contact, 0.0) ** 2
    given = np.where(known[..., None], places, 0.0)
    one = np.concatenate((np.ones((*given.shape[:2], 1)), given), -1)  # (N, feet, 4)
    products = np.einsum("nf,nfi,nfj->nij", weight, one, one)
    total = so_far(products, frame, causal=causal)
    count = np.maximum(total[:, 0, 0], 1e-9)
    centre = total[:, 0, 1:] / count[:, None]
    scatter = total[:, 1:, 1:] / count[:, None, None] - centre[:, :, None] * centre[:, None]
    up, axes = first.direction, first.axes
    flat = np.einsum("nai,nij,nbj->nab", axes, scatter, axes)
    rise = np.einsum("nai,nij,nj->na", axes, scatter, up)
    often = total[:, 0, 0] / (FOOT_S * fps)  # places that know nothing of one another
    told = often[:, None, None] / FOOT_MM**2
    inverse = np.linalg.inv(first.covariance)
    covariance = np.linalg.inv(inverse + told * flat)
    # Ground: height = slope . place, so up leans against the slope.
    slope = (covariance @ (told * rise[..., None]))[..., 0]
    found = _tilted(up, axes, -slope, covariance)
    stood = total[:, 0, 0] > 0.05
    height = np.where(stood, (found.direction * centre).sum(-1), np.nan)
    spread = np.sqrt(FOOT_MM**2 / np.maximum(often, 0.2))
    return found, height, np.where(stood, spread, np.nan)


def with_guessed_lens(up: Up, forward: Array) -> Up:
    """Up whose uncertainty knows that the focal length was guessed.

    Depths are as wrong as the focal length, so that a plane that is seen at a pitch p leans by
    the error's share times sin p cos p.

    Args:
        up: As for a lens that is known.
        forward: ``(3,)``, axis of the camera.
    """
    sine = (up.direction * forward).sum(-1)
    square = sine**2 * (1 - sine**2) + up.covariance[:, 1, 1]
    more = np.zeros_like(up.covariance)
    more[:, 1, 1] = FOCAL**2 * square
    return up._replace(covariance=up.covariance + more)


def given_up(direction: Array, count: int) -> Up:
    """Up as it was told, for every row.

    Args:
        direction: ``(3,)``, in a frame that does not move.
        count: Rows.
    """
    unit = np.asarray(direction, dtype=np.float64) / np.linalg.norm(direction)
    up = np.broadcast_to(unit, (count, 3))
    return Up(up, np.full((count, 2, 2), 1e-12) * np.eye(2), _axes(up))


def world_axes(up: Array, forward: Array, right: Array) -> Array:
    """Rotations from the frame of the estimate to a world whose z is up, ``(N, 3, 3)``.

    The world's y looks where the camera does, along the ground.

    Args:
        up: ``(N, 3)``, unit.
        forward: ``(3,)``, axis of the camera.
        right: ``(3,)``, its x, which decides where it looks straight up or down.
    """
    x = np.cross(forward, up)
    steep = np.linalg.norm(x, axis=-1, keepdims=True) < 0.1
    level = right - up * (up * right).sum(-1, keepdims=True)
    x = np.where(steep, level, x)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack((x, np.cross(up, x), up), axis=1)


def _axes(up: Array) -> Array:
    """Two directions at right angles to up: towards the picture's right, and away from it."""
    right = np.broadcast_to(np.array([1.0, 0.0, 0.0]), up.shape)
    level = np.abs((up * right).sum(-1, keepdims=True)) > 0.9
    right = np.where(level, np.array([0.0, 0.0, 1.0]), right)
    first = right - up * (up * right).sum(-1, keepdims=True)
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    return np.stack((first, np.cross(first, up)), axis=1)


def _tilted(up: Array, axes: Array, shift: Array, covariance: Array) -> Up:
    """Up leaned by small angles along its axes; the axes follow."""
    leaned = up + (axes * shift[..., None]).sum(1)
    leaned = leaned / np.linalg.norm(leaned, axis=-1, keepdims=True)
    return Up(leaned, covariance, _axes(leaned))
