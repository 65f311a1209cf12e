"""Which corruptions a study of occlusion tries. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lifting.errors import ConfigError, suggest

KeypointKind = Literal["drop", "jitter", "freeze", "swap"]
PictureKind = Literal["occluder", "truncation"]
DROP: Final = "drop"
JITTER: Final = "jitter"
FREEZE: Final = "freeze"
SWAP: Final = "swap"
OCCLUDER: Final = "occluder"
TRUNCATION: Final = "truncation"
ADVOCC: Final = "advocc"
KEYPOINT_KINDS: tuple[KeypointKind, ...] = (DROP, JITTER, FREEZE, SWAP)
PICTURE_KINDS: tuple[PictureKind, ...] = (OCCLUDER, TRUNCATION)
KINDS = (*KEYPOINT_KINDS, *PICTURE_KINDS, ADVOCC)

RATES = (0.0, 0.1, 0.2, 0.3, 0.5)
LEVELS = (0.0, 0.1, 0.2, 0.4)
SEARCHED = 64
STRIDE = 10


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What is tried on every run.

    Attributes:
        kinds: Names out of ``KINDS``; methods of pictures and of keypoints take their own.
        rates: Shares of the joints that are corrupted; 0 is always among them.
        levels: Shares of the person's box that are hidden or cut off; 0 is always among them.
        jitter: Standard deviation an axis of a jittered joint, in longer sides of the person's
            box.
        seconds: How long a joint is corrupted at a time.
        searched: Pictures of AdvOcc.
        stride: Between two places of its square, pixels of a picture of 224.
        tto: Also after test-time optimisation.
    """

    kinds: tuple[str, ...] = KINDS
    rates: tuple[float, ...] = RATES
    levels: tuple[float, ...] = LEVELS
    jitter: float = 0.05
    seconds: float = 0.5
    searched: int = SEARCHED
    stride: int = STRIDE
    tto: bool = False

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError(f"unknown corruption '{kind}'; {suggest(kind, KINDS)}")
        # All of a box under an object leaves no person to look for, all joints wrong still does.
        _check("--rates", self.rates, 1.0)
        _check("--levels", self.levels, 0.9)
        for name in ("jitter", "seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected --{name} above 0, got {getattr(self, name)}")

    @property
    def keypoint_kinds(self) -> tuple[KeypointKind, ...]:
        """The corruptions of keypoints among the kinds."""
        return tuple(kind for kind in KEYPOINT_KINDS if kind in self.kinds)

    @property
    def picture_kinds(self) -> tuple[PictureKind, ...]:
        """The levels of pictures among the kinds."""
        return tuple(kind for kind in PICTURE_KINDS if kind in self.kinds)


def with_zero(shares: Sequence[float]) -> tuple[float, ...]:
    """Shares in order, each once, with the clean input before them."""
    return tuple(sorted({0.0, *shares}))


def _check(option: str, shares: Sequence[float], most: float) -> None:
    if not shares or max(shares) <= 0 or not all(0 <= share <= most for share in shares):
        raise ConfigError(
            f"expected shares from 0 to {most:g} for {option}, one of them above 0, got "
            f"{' '.join(f'{share:g}' for share in shares) or 'none'}; 0.3 is 30 %"
        )
