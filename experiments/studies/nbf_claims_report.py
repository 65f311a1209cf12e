"""The table of the claims, and whether each of them holds in every seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from lifting.atomic import write_text
from lifting.studies.pages import caption, machine
from nbf_claims_plan import (
    BOTH,
    CONSTANT,
    GUESS,
    PLAIN,
    POSE_DEPENDENT,
    ROBUST,
    ClaimsPlan,
)
from nbf_claims_study import CLEAN, Score, Trained

NAME = "nbf_claims"
_OCCLUDED = ("advocc@40", "advocc@80")
_KEEPS_MM = 1.0
TITLES = (
    "features", "answer", "clean", "AdvOcc@40 seen", "AdvOcc@40 hidden", "AdvOcc@80 seen",
    "AdvOcc@80 hidden",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A claim on one kind of pictures.

    Attributes:
        claim: In words.
        pictures: Which pictures.
        gains_mm: What the claimed better answer is better by, seed after seed; seen joints.
        least_mm: What every gain must exceed; below zero where the claim is only that nothing is
            lost.
    """

    claim: str
    pictures: str
    gains_mm: tuple[float, ...]
    least_mm: float = 0.0

    @property
    def holds(self) -> int:
        """Seeds in which it holds."""
        return sum(gain > self.least_mm for gain in self.gains_mm)


def verdicts(runs: Sequence[Trained]) -> list[Verdict]:
    """The three claims on all pictures, the first beside both guesses that a fit starts from.

    Args:
        runs: Of both kinds of features with the same seeds.
    """
    scores = [score for run in runs for score in run.scores]
    ours = (POSE_DEPENDENT, ROBUST)
    found = []
    for claim, other in (
        ("fitting improves the first guess", (POSE_DEPENDENT, GUESS)),
        ("fitting improves the mean of both guesses", (POSE_DEPENDENT, BOTH)),
        ("pose-dependent features beat constant ones", (CONSTANT, ROBUST)),
        ("the robust likelihood beats the plain one", (POSE_DEPENDENT, PLAIN)),
    ):
        for pictures in (CLEAN, *_OCCLUDED):
            better, worse = (_errors(scores, *row, pictures) for row in (ours, other))
            seeds = sorted(better.keys() & worse.keys())
            gains = tuple(worse[seed] - better[seed] for seed in seeds)
            # Clean pictures show all of a body, so there a fit need only do no harm.
            least = -_KEEPS_MM if pictures == CLEAN else 0.0
            found.append(Verdict(claim, pictures, gains, least))
    return found


def table(runs: Sequence[Trained]) -> list[tuple[str, ...]]:
    """Rows of cells under ``TITLES``, mm."""
    scores = [score for run in runs for score in run.scores]
    rows = []
    for features in (POSE_DEPENDENT, CONSTANT):
        for answer in (GUESS, BOTH, ROBUST, PLAIN):
            own = [s for s in scores if (s.features, s.answer) == (features, answer)]
            if own:
                cells = [_cell(own, CLEAN, _seen)]
                for pictures in _OCCLUDED:
                    cells += [_cell(own, pictures, _seen), _cell(own, pictures, _hidden)]
                rows.append((features, answer, *cells))
    return rows


def write_claims(runs: Sequence[Trained], plan: ClaimsPlan) -> tuple[Path, Path]:
    """Write the table as Markdown and JSON into the plan's folder.

    Returns:
        The two files.

    Raises:
        OutputError: They cannot be written.
    """
    where, found = machine(), verdicts(runs)
    trained = fmean(run.train_cpu_seconds for run in runs) / 60
    fitted = fmean(run.fitted_a_second for run in runs)
    lines = [
        f"`{plan.command}`",
        "",
        f"Mean errors of joints, mm, over seeds {', '.join(map(str, plan.seeds))} (standard "
        f"deviation); {plan.pictures} test pictures; synthetic-advocc: a square of 40 or 80 "
        "pixels of 224, scaled to the picture, where the first guess of the same training is "
        f"worst, stride {plan.stride}; hidden are the joints under it. A training took "
        f"{trained:.1f} CPU minutes; {fitted:.1f} pictures were fitted a CPU second; "
        f"{caption(where)}.",
        "",
        *_markdown(TITLES, table(runs)),
        "",
        *_markdown(("claim", "pictures", "gain by seed, mm", "holds"), [_line(v) for v in found]),
    ]
    values = {
        "plan": {**asdict(plan), "output": str(plan.output)},
        "machine": where,
        "runs": [asdict(run) for run in runs],
        "verdicts": [{**asdict(verdict), "holds": verdict.holds} for verdict in found],
    }
    data, text = plan.output / f"{NAME}.json", plan.output / f"{NAME}.md"
    write_text(data, json.dumps(values, indent=2) + "\n")
    write_text(text, "\n".join(lines) + "\n")
    return data, text


def _line(verdict: Verdict) -> tuple[str, ...]:
    gains = ", ".join(f"{gain:+.1f}" for gain in verdict.gains_mm)
    return (
        verdict.claim, verdict.pictures, gains, f"{verdict.holds} of {len(verdict.gains_mm)}",
    )  # fmt: skip


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, *rows)]
    return [lines[0], "|" + "---|" * len(titles), *lines[1:]]


def _errors(
    scores: Sequence[Score], features: str, answer: str, pictures: str
) -> dict[int, float]:
    """Errors of the seen joints by seed."""
    wanted = (features, answer, pictures)
    return {s.seed: s.seen_mm for s in scores if (s.features, s.answer, s.pictures) == wanted}


def _seen(score: Score) -> float | None:
    return score.seen_mm


def _hidden(score: Score) -> float | None:
    return score.hidden_mm


def _cell(scores: Sequence[Score], pictures: str, error: Callable[[Score], float | None]) -> str:
    values = [v for s in scores if s.pictures == pictures and (v := error(s)) is not None]
    if not values:
        return "-"
    spread = f" ({stdev(values):.1f})" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"
