"""Which subjects of a data set train, validate and test.

Parts are made of whole subjects, never of pieces of one person's motion.
"""

from __future__ import annotations

from dataclasses import dataclass

from lifting.data.config import Split
from lifting.errors import DataError


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
