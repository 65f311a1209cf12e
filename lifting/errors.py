"""Errors of the project and the helpers that word them.

Every message has three parts: what was expected, what came, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Protocol


class LiftingError(Exception):
    """Root of every error the project raises on purpose.

    Attributes:
        exit_status: That of a command which it ends.
    """

    exit_status = 2


class ConfigError(LiftingError, ValueError):
    """A configuration names an unknown key, or gives a value of the wrong kind."""


class ShapeError(LiftingError, ValueError):
    """A tensor does not have the shape that a function asks for."""


class DataError(LiftingError, ValueError):
    """A data file or a sample is damaged, inconsistent, or not what it claims to be."""


class MissingDataError(DataError, FileNotFoundError):
    """A data file is absent; the message names it and the command that makes it."""


class CheckpointError(LiftingError, ValueError):
    """A checkpoint is unreadable, unsafe, or belongs to another method."""


class CollapseError(LiftingError, RuntimeError):
    """A training without 3D truth answers the same to everything."""


class ProcessError(LiftingError, RuntimeError):
    """Another process of a run is gone."""


class DivergedError(LiftingError, RuntimeError):
    """A training or its scores have left the finite numbers.

    Attributes:
        agreed: All processes of a run raise it, at the same step.
    """

    exit_status = 3
    agreed = True


class OutputError(LiftingError, OSError):
    """A result cannot be written where it was asked for."""


class HasShape(Protocol):
    """Anything with a shape: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each axis."""
        ...


def suggest(name: str, options: Iterable[str]) -> str:
    """Word the nearest valid name, and all of them, for an error message.

    Args:
        name: What was given.
        options: The names that exist.

    Returns:
        A sentence such as ``did you mean 'cmu'? known: cmu, synthetic``.
    """
    known = sorted(options)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known: {', '.join(known) if known else 'none'}"


def check_shape(name: str, value: HasShape, pattern: str, **sizes: int) -> None:
    """Check a tensor's shape against a pattern such as ``"*batch joints 3"``.

    A word stands for any size (or the size given for it by keyword, and the same size where the
    word is repeated), a number for exactly that size, and one leading ``*word`` for any number of
    axes.

    Args:
        name: What the tensor is called in the message.
        value: The tensor or array.
        pattern: The expected shape.
        sizes: Fixed sizes for words of the pattern.

    Raises:
        ShapeError: The shape does not fit the pattern.
    """
    words = pattern.split()
    shape = tuple(value.shape)
    starred = bool(words) and words[0].startswith("*")
    fixed = words[1:] if starred else words
    enough = len(shape) >= len(fixed) if starred else len(shape) == len(fixed)
    if enough:
        bound = dict(sizes)
        tail = shape[len(shape) - len(fixed) :]
        if all(_fits(word, size, bound) for word, size in zip(fixed, tail, strict=True)):
            return
    known = "".join(f", {word}={size}" for word, size in sizes.items())
    raise ShapeError(
        f"expected {name} of shape ({pattern}){known}, got {shape}; "
        "check the order of the axes and the number of joints"
    )


def _fits(word: str, size: int, bound: dict[str, int]) -> bool:
    if word.isdigit():
        return int(word) == size
    return bound.setdefault(word, size) == size
