"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

Scores = Mapping[str, float]

MISSING = "-"
SPLIT = "test"


def split_scores(
    scores: Scores, known: Collection[str], split: str = SPLIT
) -> dict[str, dict[str, float]]:
    """Scores of the main answer and of each extra one.

    Args:
        scores: Logged values; ``test/mpjpe_mm`` is the main answer's, ``test/context_mpjpe_mm``
            that of the extra answer ``context``, ``test/mpjpe_mm/Walking`` that of an action.
        known: Metrics of the main answer.
        split: The split whose scores are wanted.

    Returns:
        Scores by metric, by answer; the main answer's name is empty. Actions, and scores that an
        oracle chose, are left out.
    """
    answers: dict[str, dict[str, float]] = {"": {}}
    prefix = f"{split}/"
    for key, value in scores.items():
        metric = key.removeprefix(prefix)
        if metric == key or "/" in metric:
            continue
        tails = [k for k in known if metric.endswith(f"_{k}")]
        tail = "" if metric in known else max(tails, key=len, default="")
        name = metric.removesuffix(tail).rstrip("_") if tail else ""
        answers.setdefault(name, {})[tail or metric] = value
    return answers


def score_table(title: str, scores: Scores, baselines: Mapping[str, Scores]) -> Table:
    """Metrics down, our answers and the baselines across.

    Args:
        title: Headline.
        scores: Logged values of the test.
        baselines: Scores by metric, by name of the baseline.
    """
    known = next(iter(baselines.values()), {})
    answers = split_scores(scores, known)
    main = answers.pop("")
    table = Table(title=title)
    table.add_column("metric")
    columns: list[tuple[str, Scores]] = [("ours", main), *answers.items(), *baselines.items()]
    for name, _ in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for metric in main:
        table.add_row(metric, *(_cell(values.get(metric)) for _, values in columns))
    return table


@rank_zero_only
def print_summary(
    title: str,
    scores: Scores,
    baselines: Mapping[str, Scores],
    written: Mapping[str, Path],
) -> None:
    """Print the table and where everything was written.

    Args:
        title: Headline.
        scores: Logged values of the test.
        baselines: Scores by metric, by name of the baseline.
        written: Places by what is there.
    """
    Console(soft_wrap=True).print(score_table(title, scores, baselines))
    print_facts(written)


@rank_zero_only
def print_facts(facts: Mapping[str, object]) -> None:
    """Print one line for each fact."""
    console = Console(soft_wrap=True)
    for name, value in facts.items():
        console.print(f"{name + ':':<12} {value}", highlight=False, markup=False)


def _cell(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
