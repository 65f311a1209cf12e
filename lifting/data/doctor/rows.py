"""One row of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class CheckRow:
    """One thing that was checked.

    Attributes:
        what: The thing.
        expected: What a good file has.
        found: What this one has.
        verdict: ``fail`` makes the file unfit, ``warn`` deserves a look.
        advice: What to do; empty when all is well.
    """

    what: str
    expected: str
    found: str
    verdict: Verdict
    advice: str = ""


def judged(what: str, expected: str, found: str, verdict: Verdict, advice: str) -> CheckRow:
    """A row whose advice is given only when something is wrong."""
    return CheckRow(what, expected, found, verdict, "" if verdict == "ok" else advice)


def judged_count(what: str, published: int, found: int, advice: str) -> CheckRow:
    """A number that must be the published one; more than that only warns."""
    verdict: Verdict = "ok" if found == published else "fail" if found < published else "warn"
    return judged(what, f"{published} (published)", str(found), verdict, advice)


def failed(what: str, expected: str, error: Exception) -> CheckRow:
    """The row of something that was refused; the refusal says what to do."""
    return CheckRow(what, expected, "refused", "fail", str(error))
