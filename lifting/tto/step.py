"""What an optimiser of latents does: judge where its last step led, and make the next."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from lifting.tto.objective import Objective
from lifting.typing import PerSample


class Move(NamedTuple):
    """The next iterate.

    Attributes:
        values: ``(rows, size)``.
        usable: ``(rows,)`` bool, False where the slope at the start is not finite.
    """

    values: Tensor
    usable: PerSample


class Stepper(Protocol):
    """Moves latents, a row a sample, with a state for every row and nothing between rows.

    The loop evaluates the objective at an iterate, has it judged, and asks for the next one.

    Attributes:
        needs_gradient: The gradient of the objective is read; zeros will do otherwise.
    """

    needs_gradient: bool

    def judge(self, energy: PerSample) -> PerSample:
        """Where the iterate that was last asked for is taken, ``(rows,)`` bool.

        Args:
            energy: ``(rows,)``, the objective there.
        """
        ...

    def move(self, values: Tensor, gradient: Tensor) -> Move:
        """The next iterate: onwards where the last one was taken, else nearer to the one before.

        Args:
            values: ``(rows, size)``, the iterate that was just judged.
            gradient: ``(rows, size)``, of the objective there.
        """
        ...

    def keep(self, rows: Tensor, objective: Objective) -> None:
        """Go on with some rows only.

        Args:
            rows: Their indices, in ascending order.
            objective: Of those rows.
        """
        ...
