"""Walking and running as Fourier series of the stride's phase.

Phase 0 is where the right ankle is farthest forward; the left side follows half a stride later.
Series are medians over real gait cycles of several people, in degrees: thigh and upper arm from
the downward vertical in the sagittal plane, ``*_out`` in the frontal plane, knee and elbow as
flexion, chest yaw relative to the hips (left positive), bob as hip height over leg length.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Series(NamedTuple):
    """A Fourier series and how much people differ in it.

    Attributes:
        mean: Constant term.
        cosine: Coefficients of the first four harmonics.
        sine: Coefficients of the first four harmonics.
        offset_sd: Standard deviation of the constant term over cycles.
        range_sd: Standard deviation of the peak-to-peak range over cycles.
    """

    mean: float
    cosine: tuple[float, float, float, float]
    sine: tuple[float, float, float, float]
    offset_sd: float
    range_sd: float

    @property
    def range(self) -> float:
        """Peak-to-peak range over one stride."""
        phase = torch.arange(360) * (2 * math.pi / 360)
        right = self.sides(phase)[1]
        return float(right.max() - right.min())

    def sides(self, phase: Tensor) -> Tensor:
        """Values without the constant term, left then right.

        Args:
            phase: ``(n,)``, radians.

        Returns:
            ``(2, n)``.
        """
        odd, even = torch.zeros_like(phase), torch.zeros_like(phase)
        for h, (a, b) in enumerate(zip(self.cosine, self.sine, strict=True), start=1):
            if a == 0 and b == 0:
                continue
            size, lag = math.hypot(a, b), math.atan2(b, a)
            wave = size * (h * phase - lag).cos()
            # Half a stride later every odd harmonic has changed its sign.
            odd, even = (odd + wave, even) if h % 2 else (odd, even + wave)
        return torch.stack((even - odd, even + odd))


WALK: dict[str, Series] = {
    "thigh": Series(13.2, (22.1, -3.6, -0.6, -0.6), (2.3, -4.5, 1.9, -0.1), 2.0, 9.0),
    "knee": Series(35.8, (3.3, -16.3, -2.9, -2.3), (-16.8, -3.5, 4.4, 0.0), 3.0, 7.0),
    "arm": Series(-4.0, (-8.4, 0.9, -0.1, 0.0), (-1.9, -0.4, 0.2, 0.4), 4.0, 14.0),
    "elbow": Series(27.7, (-6.2, 2.0, 0.4, 0.1), (-3.1, -0.8, -0.1, -0.1), 5.0, 16.0),
    "thigh_out": Series(-3.7, (1.7, 0.0, -0.1, 0.1), (-3.1, 0.2, 0.3, 0.2), 2.0, 4.0),
    "arm_out": Series(-0.4, (-4.4, 0.5, 0.0, 0.1), (-1.3, -0.1, 0.0, 0.0), 3.0, 6.0),
    "chest_yaw": Series(0.0, (-6.4, 0.0, 0.2, 0.0), (-2.8, 0.0, -0.2, 0.0), 2.0, 3.0),
    "trunk": Series(-1.7, (-0.2, 0.7, 0.0, 0.2), (0.3, -0.1, 0.0, 0.0), 1.5, 0.0),
    "trunk_side": Series(0.0, (-1.3, 0.0, -0.2, 0.0), (0.0, 0.0, -0.3, 0.0), 1.3, 0.0),
    "bob": Series(1.070, (0.0, -0.0094, 0.0, 0.0020), (0.0, -0.0051, 0.0, -0.0025), 0.013, 0.011),
}
WALK_SPEED = 1.46  # leg lengths a second, of the tabled cycles
WALK_STRIDE = 1.15  # seconds

RUN: dict[str, Series] = {
    "thigh": Series(11.5, (25.4, -7.5, -1.4, -0.2), (-8.6, 0.8, 0.3, 0.5), 4.0, 8.0),
    "knee": Series(53.1, (-3.0, -22.0, -1.9, -1.7), (-29.5, 7.0, 0.3, -0.2), 5.0, 10.0),
    "arm": Series(-27.8, (-12.7, -2.4, -0.2, -0.2), (5.1, 0.9, -0.1, 0.0), 10.0, 14.0),
    "elbow": Series(98.0, (-4.4, 4.1, -1.0, 0.8), (8.2, -3.7, 0.4, 1.3), 12.0, 8.0),
    "thigh_out": Series(-4.6, (0.7, -1.6, 1.0, 0.5), (-4.7, 0.2, 1.7, -0.2), 2.0, 3.0),
    "arm_out": Series(2.0, (-4.4, 0.5, 0.0, 0.1), (-1.3, -0.1, 0.0, 0.0), 5.0, 6.0),
    "chest_yaw": Series(0.0, (-7.7, 0.0, 0.5, 0.0), (-0.5, 0.0, 0.1, 0.0), 2.0, 4.0),
    "trunk": Series(5.2, (0.0, -1.3, 0.0, 0.3), (0.0, 0.6, 0.0, 0.5), 4.0, 0.0),
    "trunk_side": Series(0.0, (-1.3, 0.0, -0.2, 0.0), (0.0, 0.0, -0.3, 0.0), 1.5, 0.0),
    "bob": Series(1.072, (0.0, 0.0446, 0.0, 0.0), (0.0, -0.0293, 0.0, 0.003), 0.01, 0.01),
}
RUN_SPEED = 3.56
RUN_STRIDE = 0.77
