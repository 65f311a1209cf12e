"""Which joints the numbers of a file are: by name where one is given, else by count or positions.

A count alone does not tell: 25 joints are OpenPose's BODY_25 or its BODY_25B, 17 are COCO's or
Human3.6M's. A wrong answer would be a wrong person without a word, so that what cannot be decided
is refused.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lifting.data.keypoints.plausibility import (
    CONTRADICTED,
    IMPLAUSIBLE,
    LEAST_FRAMES,
    FloatArray,
    Told,
    tell,
)
from lifting.errors import ConfigError, DataError, suggest
from lifting.skeleton import (
    H36M_17,
    SKELETONS,
    Skeleton,
    conversion,
    get_skeleton,
    set_of_names,
    sets_of,
)

log = logging.getLogger(__name__)

Named = str | tuple[str, ...]
"""Name of a set, or the names of all joints, as a file states them."""

# Sets whose first joints are a smaller one, which may be asked for instead.
_WHOLE_BODY = 60
# What a few lines of a user's own write: PoseTrack's order is left to those who name it.
PLAIN = ("coco17", "h36m17", "mpi17")


class JointOrder(NamedTuple):
    """Which joints a file has, and how that is known.

    Attributes:
        skeleton: The set.
        told_by: ``--skeleton``, ``names in the file``, ``format``, ``count`` or ``positions``.
        why: One line for people, as ``25 joints: body25b (0.41), not body25 (1.38)``.
        score: How badly the positions fit it, see ``plausibility.score``; NaN where too few tell.
    """

    skeleton: Skeleton
    told_by: str
    why: str
    score: float = math.nan


def joint_order(
    path: Path,
    joints: FloatArray,
    given: str | None,
    *,
    named: Named | None = None,
    form: str | None = None,
    plain: bool = False,
) -> JointOrder:
    """Which joints a file has.

    Args:
        path: The file, for messages.
        joints: ``(D, joints, 3)``, x, y and confidence of everyone in every frame.
        given: Name of a set that the user gives, which is not overruled.
        named: What the file itself calls its joints.
        form: Name of the set that the format prescribes.
        plain: The file is a user's own array, whose 17 joints may be Human3.6M's or
            MPI-INF-3DHP's, but PoseTrack's only by name.

    Raises:
        DataError: No set of that many joints is known, it is not the named one's number, or the
            positions do not decide between several.
        ConfigError: No skeleton has the given name.
    """
    count = joints.shape[1]
    if given is not None:
        return _by_name(path, joints, _checked(path, get_skeleton(given), count), "--skeleton")
    stated = _stated(path, named, count)
    if stated is not None:
        return _by_name(path, joints, stated, "names in the file")
    if form is not None:
        return _by_name(path, joints, _checked(path, get_skeleton(form), count), "format")
    return _by_positions(path, joints, _candidates(path, count, plain=plain))


def _candidates(path: Path, count: int, *, plain: bool) -> tuple[Skeleton, ...]:
    found = tuple(s for s in sets_of(count) if _is_usable(s))
    if plain and count == len(H36M_17):
        found = tuple(s for s in found if s.name in PLAIN)
    if not found:
        known = sorted({len(s) for s in SKELETONS.values() if _is_usable(s)})
        raise DataError(
            f"expected a person of {', '.join(map(str, known))} joints in {path}, got {count}; "
            "name the order of the joints with --skeleton (skeleton=)"
        )
    return found


def _is_usable(skeleton: Skeleton) -> bool:
    try:
        conversion(skeleton, H36M_17)
    except ConfigError:
        return False
    return True


def _stated(path: Path, named: Named | None, count: int) -> Skeleton | None:
    """The set that a file's own words mean; None where they mean none of that many joints."""
    if isinstance(named, str):
        if named not in SKELETONS:
            raise DataError(
                f"expected the name of a known skeleton in {path}, got '{named[:80]}'; "
                f"{suggest(named[:80], SKELETONS)}, or name another with --skeleton (skeleton=)"
            )
        return _checked(path, get_skeleton(named), count)
    if not named:
        return None
    return set_of_names(named) if len(named) == count else None


def _checked(path: Path, kind: Skeleton, count: int) -> Skeleton:
    begins = count > _WHOLE_BODY and any(
        whole.joints[: len(kind)] == kind.joints for whole in sets_of(count)
    )
    if count != len(kind) and not begins:
        raise DataError(
            f"expected the {len(kind)} joints of skeleton {kind.name} in {path}, got {count}; "
            "name another with --skeleton (skeleton=), or none"
        )
    return kind


def _by_name(path: Path, joints: FloatArray, kind: Skeleton, told_by: str) -> JointOrder:
    used = joints[:, : len(kind)]
    told = tell(used[..., :2], used[..., 2], sets_of(len(kind)))
    if told.usable >= LEAST_FRAMES and told.best is not kind:
        own, other = told.scores[kind.name], told.scores[told.best.name]
        if own - other >= CONTRADICTED:
            log.warning(
                "%s is read as %s (%s), whose joints fit badly (%.2f); %s fits better (%.2f): "
                "give --skeleton %s if the file is of it",
                path, kind.name, told_by, own, told.best.name, other, told.best.name,
            )  # fmt: skip
    why = f"{joints.shape[1]} joints: {kind.name} by {told_by}"
    return JointOrder(kind, told_by, why, told.scores.get(kind.name, math.nan))


def _by_positions(path: Path, joints: FloatArray, candidates: Sequence[Skeleton]) -> JointOrder:
    count = joints.shape[1]
    told = tell(joints[..., :2], joints[..., 2], candidates)
    best = told.best
    fit = told.scores[best.name]
    if len(candidates) > 1 and not told.decided:
        raise _undecided(path, told, count)
    if told.usable >= LEAST_FRAMES and fit > IMPLAUSIBLE:
        log.warning(
            "the joints of %s fit %s badly (%.2f; people score below %.1f): an order that is not "
            "known, several people mixed, or rows cut",
            path, best.name, fit, IMPLAUSIBLE,
        )  # fmt: skip
    score = f" ({fit:.2f})" if told.usable else ""
    if len(candidates) == 1:
        return JointOrder(best, "count", f"{count} joints: {best.name}{score}", fit)
    other = _other(told)
    why = f"{count} joints: {best.name}{score}, not {other} ({told.scores[other]:.2f})"
    return JointOrder(best, "positions", why, fit)


def _other(told: Told) -> str:
    """The set to name beside the best: the next of those left, else the next by score."""
    return told.rival or next(name for name in told.scores if name != told.best.name)


def _undecided(path: Path, told: Told, count: int) -> DataError:
    names = (told.best.name, _other(told))
    scores = " and ".join(
        f"{name} ({told.scores[name]:.2f})" if math.isfinite(told.scores[name]) else name
        for name in names
    )
    seen = (
        f"only {told.usable} sightings of a person with enough joints, of {LEAST_FRAMES} needed "
        f"to tell {scores} apart"
        if told.usable < LEAST_FRAMES
        else f"{scores}, which fit alike"
    )
    return DataError(
        f"expected {count} joints in an order that their positions tell in {path}, got {seen}; "
        f"name the order with --skeleton {names[0]} or --skeleton {names[1]}"
    )
