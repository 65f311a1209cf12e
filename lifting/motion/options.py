"""Which stages of the chain run, and what is known of people and camera. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from lifting.errors import ConfigError, suggest

STAGES = ("clean", "smooth", "scale", "bones", "root", "contacts", "ground", "feet")
"""Switches: outliers and gaps of keypoints, their jitter, metric scale, constant bones, path of
the root, contacts of feet, up and ground with the world, and feet held where they stand."""
FLIP = "flip"
"""A switch besides: answers are averaged with those to the mirrored keypoints, where the weights
say so."""
LEAST_M, MOST_M = 0.5, 2.5
EVERYONE = -1
"""Key of a height that everyone has."""
USUAL_FPS = 30.0
"""Taken where the rate of a video is not known, for what lasts seconds."""

_MOST_CLEAN = 8  # frames; the window of keypoints is no wider


class Ahead(NamedTuple):
    """Frames that each stage may look ahead; their sum is the delay. None is the whole video."""

    clean: int | None
    contacts: int | None
    root: int | None


@dataclass
class MotionOptions:
    """What happens to keypoints before, and to poses after they are lifted.

    Attributes:
        without: Stages that are left out, of ``STAGES``, and ``flip``, averaging with the mirrored
            input; or as text, ``smooth,feet``, or ``all`` for all but ``flip``.
        height: Metres: of everyone, or as text ``0=1.78,1=1.65`` by the number of a person, or
            the same as a mapping; None leaves the scale of the method's answers.
        bone_lengths: Known lengths, mm, by the name of a bone's lower joint; they give the scale
            in the place of a height, and hold for both sides and everyone.
        up: Which way is up in the axes of the camera (x right, y down, z forward); None estimates
            it.
        moving_camera: The camera moves, so that no world is told from keypoints.
        camera_poses: File with where it was at every frame, see ``read_camera_path``.
        lookahead: Frames ahead of an answer that it may depend on; None for all of them.
    """

    without: Sequence[str] | str = ()
    height: float | str | Mapping[int, float] | None = None
    bone_lengths: dict[str, float] = field(default_factory=dict)
    up: tuple[float, float, float] | None = None
    moving_camera: bool = False
    camera_poses: str | Path | None = None
    lookahead: int | None = None

    def __post_init__(self) -> None:
        self.without = _stages(self.without)
        for name in self.without:
            if name not in (*STAGES, FLIP):
                raise ConfigError(
                    f"expected stages of the chain in without, got '{name:.60}'; "
                    f"{suggest(name, (*STAGES, FLIP))}"
                )
        self.heights = read_heights(self.height)
        bones = self.bone_lengths
        for joint, length in bones.items() if isinstance(bones, dict) else [("", bones)]:
            if not isinstance(length, int | float) or not 10 <= length <= 1500:
                raise ConfigError(
                    f"expected lengths of bones from 10 to 1500 mm, got {joint}={length!s:.40}; "
                    "give millimetres, such as left_knee=430"
                )
        if self.up is not None:
            self.up = _direction(self.up)
        if self.camera_poses is not None and self.up is not None:
            raise ConfigError(
                "expected up or camera_poses, got both; the world of the poses has z up"
            )
        self._refuse_unused()
        ahead = self.lookahead
        if ahead is not None and (type(ahead) is not int or not 0 <= ahead <= 1000):
            raise ConfigError(
                f"expected a look-ahead from 0 to 1000 frames, got {ahead!r:.40}; 0 "
                "answers at once"
            )

    def _refuse_unused(self) -> None:
        """Refuse what is said of people and camera, but would count for nothing."""
        sizes = {"--height (height=)": self.heights, "--bone (bone_lengths=)": self.bone_lengths}
        given = [name for name, value in sizes.items() if value]
        if len(given) > 1:
            raise ConfigError(
                f"expected {given[0]} or {given[1]}, got both, which may disagree; give the one "
                "that is known better"
            )
        if given and not self.uses("scale"):
            raise ConfigError(
                f"expected the stage scale beside {given[0]}, got it left out by --without "
                f"(without=), so that the size counts for nothing; leave one of them out"
            )
        where = {
            "--moving-camera (moving_camera=)": self.moving_camera,
            "--camera-poses (camera_poses=)": self.camera_poses is not None,
        }
        for name in (name for name, value in where.items() if value and not self.uses("root")):
            raise ConfigError(
                f"expected the stage root beside {name}, got it left out by --without (without=), "
                "so that nobody has a place; leave one of them out"
            )
        if self.up is None:
            return
        missing = [stage for stage in ("root", "ground") if not self.uses(stage)]
        if missing:
            raise ConfigError(
                f"expected the stage {missing[0]} beside --up (up=), got it left out by --without "
                "(without=), so that no world is made; leave one of them out"
            )
        if self.moving_camera:
            raise ConfigError(
                "expected --up (up=) or --moving-camera (moving_camera=), got both: a camera that "
                "moves has no one way up; leave one of them out"
            )

    @classmethod
    def of(cls, given: MotionOptions | Mapping[str, Any] | None) -> MotionOptions:
        """Options from a mapping of them; all at their defaults without one.

        Raises:
            ConfigError: An option is unknown, or of no use.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping | None):
            raise ConfigError(
                f"expected motion as a dictionary or MotionOptions, got {given!r:.80}; give "
                "motion={'height': 1.78}"
            )
        known = [option.name for option in fields(cls)]
        for name in given or ():
            if name not in known:
                raise ConfigError(
                    f"expected options of motion, got '{name!s:.40}'; {suggest(str(name), known)}"
                )
        return cls(**(given or {}))

    @property
    def causal(self) -> bool:
        """Whether the delay is bounded."""
        return self.lookahead is not None

    def uses(self, stage: str) -> bool:
        """Whether a stage runs."""
        return stage not in self.without

    def ahead(self) -> Ahead:
        """How the look-ahead is shared out: most of it where jitter is taken off."""
        if self.lookahead is None:
            return Ahead(None, None, None)
        cleaned = self.uses("clean") or self.uses("smooth")
        clean = min((2 * self.lookahead + 2) // 3, _MOST_CLEAN) if cleaned else 0
        contacts = (self.lookahead - clean + 1) // 2 if self.uses("contacts") else 0
        return Ahead(clean, contacts, self.lookahead - clean - contacts)


def read_heights(given: float | str | Mapping[int, float] | None) -> dict[int, float]:
    """Heights by person, metres; under ``EVERYONE`` that of all.

    Args:
        given: See :class:`MotionOptions`.

    Raises:
        ConfigError: It is none, or no height of a person.
    """
    if given is None:
        return {}
    pairs: Iterable[tuple[object, object]]
    if isinstance(given, Mapping):
        pairs = given.items()
    elif isinstance(given, str) and "=" in given:
        pairs = [_pair(part) for part in given.split(",")]
    else:
        pairs = [(EVERYONE, given)]
    found: dict[int, float] = {}
    for person, height in pairs:
        try:
            who, tall = int(str(person)), float(str(height))
        except ValueError:
            raise _no_height(given) from None
        if isinstance(height, bool) or who < EVERYONE or who in found:
            raise _no_height(given)
        if not LEAST_M <= tall <= MOST_M:
            hint = f"; {tall:g} mm are {tall / 1000:g} m" if 500 <= tall <= 2500 else ""
            raise ConfigError(
                f"expected a height from {LEAST_M} to {MOST_M} metres, got {tall:g}{hint}; give "
                "metres, such as 1.78"
            )
        found[who] = tall
    return found


def _stages(given: Sequence[str] | str) -> tuple[str, ...]:
    if not isinstance(given, str | Sequence):
        raise ConfigError(
            f"expected stages of the chain in without, got {given!r:.60}; give 'smooth,feet'"
        )
    if not isinstance(given, str):
        return tuple(map(str, given))
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    return STAGES if names == ("all",) else names


def _pair(part: str) -> tuple[str, str]:
    who, _, tall = part.strip().partition("=")
    if not re.fullmatch(r"[0-9]{1,15}", who.strip()):
        raise _no_height(part)
    return who.strip(), tall.strip()


def _no_height(given: object) -> ConfigError:
    return ConfigError(
        f"expected a height in metres, or one a person, got {given!s:.60}; give 1.78, or "
        "0=1.78,1=1.65 with the numbers of people"
    )


def _direction(given: object) -> tuple[float, float, float]:
    try:
        x, y, z = (float(number) for number in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        x = y = z = math.nan
    if not math.hypot(x, y, z) > 1e-6 or not math.isfinite(x + y + z):
        raise ConfigError(
            f"expected three numbers that point up in the axes of the camera (x right, y down, z "
            f"forward), got {given!s:.60}; a level camera has 0 -1 0"
        )
    return x, y, z
