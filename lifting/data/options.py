"""Checks that the options of several data sets share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from lifting.errors import ConfigError, suggest

_WORD = re.compile(r"[A-Za-z0-9][\w.-]*")


def check_names(option: str, given: Iterable[str], known: Collection[str]) -> None:
    """Check that an option names things that exist.

    Args:
        option: The option, below ``data``, for the message.
        given: What it names.
        known: What exists; empty when only the files tell, and then a name must be one word.

    Raises:
        ConfigError: A name is unknown, or is no word that a file name can end with.
    """
    for name in given:
        if known and name not in known:
            raise ConfigError(f"unknown name '{name}' in data.{option}; {suggest(name, known)}")
        if not _WORD.fullmatch(name):
            raise ConfigError(
                f"expected a word of letters, digits, '_', '-' and '.' in data.{option}, got "
                f"'{name}'; give the part of the file's name without folders"
            )


def check_disjoint(dataset: str, test: Collection[str], trained: Collection[str]) -> None:
    """Check that nobody is tested on whom anything was trained or chosen on.

    Args:
        dataset: Section of the options, for the message.
        test: Subjects of the test split.
        trained: Subjects of the training and validation splits.

    Raises:
        ConfigError: A subject is in both.
    """
    shared = sorted(set(test) & set(trained))
    if shared:
        raise ConfigError(
            f"expected test subjects apart from those of training and validation in data.{dataset}"
            f", got {', '.join(shared)} in both; a subject belongs to one part"
        )


def check_ranges(section: str, options: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check that numbers lie within bounds; one that is None is not given.

    Args:
        section: Of the options, for the message.
        options: The options.
        bounds: Least and largest value, by name.

    Raises:
        ConfigError: One does not.
    """
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(
                f"expected data.{section}.{name} from {low} to {high}, got {value}; choose another"
            )


def check_every(option: str, every: int) -> None:
    """Check the distance of kept frames.

    Args:
        option: The option, below ``data``, for the message.
        every: Its value.

    Raises:
        ConfigError: It is below 1.
    """
    if every < 1:
        raise ConfigError(f"expected data.{option} of at least 1, got {every}; 1 keeps all frames")
