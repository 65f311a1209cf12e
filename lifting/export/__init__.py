"""Poses as files that other programs open.

* ``formats/``  one module a format, found by listing, here or in an installed package
* ``motion``    people over time in one frame, with gaps, rate and names: what a format writes
* ``names``     names of joints that other programs expect
* ``chain``     the tree of nodes that an animation has, and its rest pose
* ``fitting``   rotations of that tree from positions

A module of ``formats``, or of an installed package that names it under the entry points
``lifting.exports``, holds ``EXPORTS``: what a format is called, and what writes it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError, DataError, suggest
from lifting.export.names import PROFILES, named
from lifting.listing import listed_modules

if TYPE_CHECKING:
    from lifting.export.motion import Motion
    from lifting.skeleton import Skeleton

ENTRY_POINT_GROUP = "lifting.exports"


@dataclass(frozen=True)
class Export:
    """One format.

    Attributes:
        name: What it is asked for by: ``bvh``.
        title: What people call it, and what it holds.
        write: Writes a motion to files whose names begin with a stem, and names them; each is
            whole or not there (:func:`lifting.atomic.replacing`).
        profile: Names of joints where none are asked for, see ``lifting.export.names.PROFILES``.
        forbidden: Characters that a name of a joint must not have.
        needs: A module of another package that it cannot do without.
        extra: The extra of ours that installs it.
        fits: Raises ``DataError`` for a skeleton that it cannot hold.
    """

    name: str
    title: str
    write: Callable[[Motion, Path], list[Path]]
    profile: str = "h36m"
    forbidden: str = ""
    needs: str = ""
    extra: str = ""
    fits: Callable[[Skeleton], object] | None = None


@cache
def exports() -> Mapping[str, Export]:
    """Every format by name; those of this package go before an installed one of the same name."""
    found: dict[str, Export] = {}
    modules = listed_modules(f"{__name__}.formats", Path(__file__).parent / "formats",
                             ENTRY_POINT_GROUP)  # fmt: skip
    for module in modules:
        found |= {export.name: export for export in importlib.import_module(module).EXPORTS}
    return found


def chosen(names: str | Iterable[str], profile: str | None = None) -> list[Export]:
    """The formats that are asked for; whatever cannot be written is found here, before any work.

    Args:
        names: Of formats; text has commas between them.
        profile: Names of joints that are asked for, None for those of each format.

    Raises:
        ConfigError: There is no such format or profile, or a package that it needs is missing.
    """
    given = names.split(",") if isinstance(names, str) else list(names)
    wanted = [name.strip().lower() for name in given if name.strip()]
    if not wanted:
        raise ConfigError(
            f"expected formats to export, got none; give some of {', '.join(sorted(exports()))}"
        )
    for name in wanted:
        if name not in exports():
            raise ConfigError(f"unknown export '{name}'; {suggest(name, exports())}")
    if profile is not None and profile not in PROFILES:
        raise ConfigError(f"unknown joint names '{profile}'; {suggest(profile, PROFILES)}")
    found = [exports()[name] for name in dict.fromkeys(wanted)]
    for export in found:
        if export.needs and importlib.util.find_spec(export.needs) is None:
            how = f"lifting[{export.extra}]" if export.extra else export.needs
            raise ConfigError(
                f"expected the package {export.needs} to write {export.name}, got none; "
                f"pip install '{how}', or leave {export.name} out"
            )
    return found


def check_names(formats: Iterable[Export], skeleton: Skeleton, profile: str | None = None) -> None:
    """Check that formats can hold a skeleton and the names of its joints.

    Args:
        formats: See :func:`chosen`.
        skeleton: The joints.
        profile: Names of joints that are asked for.

    Raises:
        DataError: One cannot; the message says which joint or character.
    """
    for export in formats:
        names = named(skeleton.joints, profile or export.profile)
        for name in names:
            wrong = sorted({c for c in name if c in export.forbidden or not c.isprintable()})
            if wrong or not name:
                raise DataError(
                    f"expected names of joints that {export.name} can hold, got {name!r:.60} "
                    f"with {' '.join(map(repr, wrong)) or 'no character'}; rename the joint, or "
                    f"leave {export.name} out"
                )
        if export.fits is not None:
            export.fits(skeleton)
