"""Which recordings of a training set train, and which validate.

Test data never take part: a method that is chosen by a score on them has been trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lifting.data.config import Split
from lifting.errors import ConfigError

SEEN_EVERY = 20  # a twentieth of the training recordings tells how well they are fitted


def first_held_out(option: str, share: float, count: int) -> int:
    """Where the last share of something begins; at least one stays before it, and one in it.

    Args:
        option: The option, below ``data``, for the message.
        share: Its value, the share that is held out.
        count: How many there are, at least 1.

    Raises:
        ConfigError: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigError(
            f"expected data.{option} above 0 and below 1, got {share}; 0.2 trains on the first "
            "four fifths"
        )
    return min(count - 1, max(1, round(count * (1 - share))))


class HasSubject(Protocol):
    """Anything recorded of a subject."""

    @property
    def subject(self) -> str:
        """Name of the subject."""
        ...


Recorded = TypeVar("Recorded", bound=HasSubject)


@dataclass(frozen=True)
class HoldOut:
    """How validation is divided from training.

    Attributes:
        subjects: Their recordings validate and never train.
        every: Without subjects, every n-th recording validates and never trains; with 0 every
            20th validates although it trains.
    """

    subjects: tuple[str, ...]
    every: int

    def __post_init__(self) -> None:
        if self.every < 0 or self.every == 1:
            raise ConfigError(
                f"expected val_holdout of 0 or from 2, got {self.every}; 20 holds out a "
                "twentieth of the training recordings"
            )

    def pick(self, recordings: Sequence[Recorded], split: Split) -> list[Recorded]:
        """The recordings of one part of a training set.

        Args:
            recordings: All of the training and validation subjects, in a fixed order.
            split: ``train`` or ``val``.
        """
        wanted = split == "val"
        if self.subjects:
            return [r for r in recordings if (r.subject in self.subjects) == wanted]
        if not self.every and split == "train":
            return list(recordings)
        every = self.every or SEEN_EVERY
        return [r for i, r in enumerate(recordings) if (i % every == 0) == wanted]

    def words(self) -> str:
        """The rule, for a result record."""
        if self.subjects:
            return f"validation on subjects {', '.join(self.subjects)}, held out"
        if self.every:
            return f"validation on every {self.every}th training recording, held out"
        return f"validation on every {SEEN_EVERY}th training recording, also trained on"
