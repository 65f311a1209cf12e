"""Data sets, a folder each, found by listing. Imports no torch.

A folder ``<section>`` holds

* ``config.py``  ``Config``, the options below ``data.<section>``, checked without torch;
  ``SUMMARY``, one line; ``ABOUT``, for ``lifting data describe``; ``NAME``, where people call it
  otherwise; and, where they mean something for the set, ``uses(data)`` (sections of other sets
  that it reads), ``image_size(data)``, ``exact(data)`` (the same with exact keypoints in the test
  split, None where they are), ``sheet(data, split, count)`` (the options of a contact sheet),
  ``PICTURES`` (where its pictures lie)
* ``reader.py``  ``tracks(data, split)`` of recordings with cameras and keypoints of their own, or
  ``motion(data, split)``, which virtual cameras film; ``cache_key(data, split)``, everything that
  they depend on; ``complete(tracks, data, split)``, where more is kept than tracks;
  ``check(data)``, for ``lifting data check``, in ``checks.py`` where it is long
* ``prepare.py``  ``prepare`` and ``fetch``, which the commands of these names run, where there is
  work; it imports no torch

Installed packages add data sets through the entry points ``lifting.data_sets``: the section's
name, and the package that holds these modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from lifting.errors import ConfigError, suggest
from lifting.listing import listed_packages

if TYPE_CHECKING:
    from lifting.data.config import DataConfig

ENTRY_POINT_GROUP = "lifting.data_sets"
# The modules that may hold what a command runs, in the order in which they are looked at.
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "check": ("checks", "reader"), "fetch": ("prepare",), "prepare": ("prepare",),
}  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a data set lie.

    Attributes:
        files: Usual paths below its folder, with ``{subject}``, ``{recording}``, ``{camera}`` and
            ``{frame:06d}`` in them.
        first: Usual number of a recording's first picture.
        fields: What stands in file names for a track, by the track's name; the likeliest first.
    """

    files: tuple[str, ...]
    first: int
    fields: Callable[[str], list[dict[str, object]]]


def filmed(data: DataConfig) -> tuple[str, ...]:
    """``uses`` of a set that virtual cameras film: what they deliver is said in ``synthetic``."""
    return ("synthetic",)


def exact_by(section: str, option: str = "two_d") -> Callable[[DataConfig], DataConfig | None]:
    """``exact`` of a set whose option names its keypoints, the exact ones being ``gt``.

    Args:
        section: Its options.
        option: The one that says it of the test split; where that is None, ``two_d`` does.
    """

    def exact(data: DataConfig) -> DataConfig | None:
        options = getattr(data, section)
        if (getattr(options, option) or options.two_d) == "gt":
            return None
        return replace(data, **{section: replace(options, **{option: "gt"})})

    return exact


def always_exact(data: DataConfig) -> None:
    """``exact`` of a set whose keypoints are projected labels."""


@dataclass(frozen=True)
class DataSet:
    """One data set that was found.

    Attributes:
        section: Its options stand below ``data.<section>``.
        package: Holds its modules.
        config: The module ``config``.
    """

    section: str
    package: str
    config: ModuleType = field(compare=False)

    @property
    def name(self) -> str:
        """What ``data.name`` says."""
        return str(getattr(self.config, "NAME", self.section))

    @property
    def summary(self) -> str:
        """One line."""
        return str(self.config.SUMMARY)

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact or function of ``config.py`` that not every set has."""
        return getattr(self.config, name, default)

    def command(self, name: Literal["check", "fetch", "prepare"]) -> Callable[..., Any] | None:
        """What ``lifting data <name>`` runs; None where the set has nothing of its own for it."""
        for module in _COMMANDS[name]:
            full = f"{self.package}.{module}"
            part = None if find_spec(full) is None else importlib.import_module(full)
            if hasattr(part, name):
                found: Callable[..., Any] = getattr(part, name)
                return found
        return None

    def reader(self) -> Any:
        """The module ``reader``, which imports torch."""
        return importlib.import_module(f"{self.package}.reader")


@cache
def data_sets() -> Mapping[str, DataSet]:
    """Every data set, by name."""
    packages = listed_packages(
        __name__, Path(__file__).parent, ("config", "reader"), ENTRY_POINT_GROUP
    )
    found = [
        DataSet(section, package, importlib.import_module(f"{package}.config"))
        for section, package in packages.items()
    ]
    return {one.name: one for one in found}


def find_set(name: str) -> DataSet:
    """A data set by name.

    Raises:
        ConfigError: No data set has that name.
    """
    known = data_sets()
    if name not in known:
        raise ConfigError(f"unknown data set '{name}'; {suggest(name, known)}")
    return known[name]
