"""Which subjects and recordings of a data set train, validate and test. Imports no torch.

A published division is made of whole subjects, never of pieces of one person's motion. Test data
never take part in validation: a method that is chosen by a score on them has been trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from lifting.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lifting.data.config import Split


SEEN_EVERY = 20  # a twentieth of the training recordings tells how well they are fitted


@dataclass(frozen=True)
class SubjectSplit:
    """A division of numbered subjects; a number that is in neither list trains.

    Attributes:
        name: What a converted file records.
        last_subject: Numbers run from 1 to this.
        val: Subjects of the validation part.
        test: Subjects of the test part.
    """

    name: str
    last_subject: int
    val: frozenset[int]
    test: frozenset[int]

    def __post_init__(self) -> None:
        shared = self.val & self.test
        if shared:
            raise DataError(
                f"expected disjoint parts in split {self.name}, got subjects {sorted(shared)} "
                "in two; list each subject once"
            )

    def part(self, subject: int) -> Split:
        """The part a subject belongs to.

        Args:
            subject: Number of the subject.

        Raises:
            DataError: The data set has no such subject.
        """
        if not 1 <= subject <= self.last_subject:
            raise DataError(
                f"expected a subject from 1 to {self.last_subject} for split {self.name}, got "
                f"{subject}; name the file SS_TT after its subject and trial"
            )
        if subject in self.val:
            return "val"
        return "test" if subject in self.test else "train"


# A choice of this project; the database itself publishes no split. It keeps the parts of the
# distributed 17-joint file (1 and 6 train, 7 validates, 2 and 5 test), and keeps two people who
# were recorded together on one side (18-19, 20-21, 22-23, 33-34, 60-61).
CMU_PUBLIC_SPLIT = SubjectSplit(
    name="cmu_public_v1",
    last_subject=144,
    val=frozenset({7, 9, 14, 22, 23, 38, 49, 63, 77, 91, 103, 113, 128, 140}),
    test=frozenset({2, 5, 13, 18, 19, 35, 56, 60, 61, 86, 94, 105, 124, 135, 143}),
)


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
