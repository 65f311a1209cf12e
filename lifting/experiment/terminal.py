"""What a person sees in the terminal: how far a training is, and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import Callback, RichProgressBar

from lifting.experiment.console import console
from lifting.experiment.recorded import Recorded, verdict

Scores = Mapping[str, float]
MISSING = "-"
SPLIT = "test"
Left = Callable[[pl.Trainer], str]  # time to the end of a training, in words


class TrainingBar(RichProgressBar):
    """Progress bar with the newest validation score and the time to the end.

    Args:
        monitor: Logged key to show.
        left: Tells it; None in a test.
    """

    def __init__(self, monitor: str, left: Left | None) -> None:
        super().__init__()
        self.monitor = monitor
        self.left = left

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the place of the console's own sign of life."""
        super().setup(trainer, pl_module, stage)
        console.hold(True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give it back."""
        super().teardown(trainer, pl_module, stage)
        console.hold(False)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        shown: dict[str, Any] = {}
        if self.monitor in trainer.callback_metrics:
            shown[self.monitor.partition("val/")[2] or self.monitor] = (
                f"{float(trainer.callback_metrics[self.monitor]):.1f}"
            )
        if self.left is not None:
            shown["left"] = self.left(trainer)
        return shown


class EpochLines(Callback):
    """One line an epoch, for logs that are no terminal.

    Args:
        monitor: Logged key to show.
        stage: Name of the stage.
        left: Tells the time that is left; None in a test.
    """

    def __init__(self, monitor: str, stage: str, left: Left | None) -> None:
        self.monitor = monitor
        self.stage = stage
        self.left = left

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how far the stage has come."""
        value = trainer.callback_metrics.get(self.monitor)
        score = "" if value is None else f"  {self.monitor} {float(value):.2f}"
        left = "" if self.left is None else f"  left {self.left(trainer)}"
        sys.stdout.write(
            f"{self.stage}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{score}{left}\n"
        )
        sys.stdout.flush()


def progress_callback(monitor: str, stage: str, left: Left | None = None) -> Callback:
    """A bar in a terminal, lines elsewhere.

    Args:
        monitor: Logged key to show.
        stage: Name of the stage.
        left: Tells the time that is left; None in a test.
    """
    if sys.stdout.isatty():
        return TrainingBar(monitor, left)
    return EpochLines(monitor, stage, left)


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


def score_table(
    answers: Mapping[str, Scores], baselines: Mapping[str, Scores]
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Titles and cells: metrics down, our answers and the baselines across.

    Args:
        answers: As of :func:`split_scores`.
        baselines: Scores by metric, by name of the baseline.
    """
    columns = [(name.replace("_", " ") or "ours", one) for name, one in answers.items()]
    columns += baselines.items()
    rows = [
        (metric, *(_cell(values.get(metric)) for _, values in columns)) for metric in answers[""]
    ]
    return ["metric", *(name for name, _ in columns)], rows


@rank_zero_only
def print_summary(
    title: str,
    scores: Scores,
    baselines: Mapping[str, Scores],
    written: Mapping[str, Path],
    *,
    method: str = "ours",
    recorded: Recorded | None = None,
) -> None:
    """Print the table, who wins, and where everything was written.

    Args:
        title: Headline.
        scores: Logged values of the test.
        baselines: Scores by metric, by name of the baseline.
        written: Places by what is there.
        method: Name of the method.
        recorded: What a plain method scored in the same time, where that is known.
    """
    answers = split_scores(scores, next(iter(baselines.values()), {}))
    beside = {name.replace("_", " "): one for name, one in baselines.items()}
    if recorded is not None:
        beside[recorded.name] = recorded.scores
    values = {"scores": dict(scores), "baselines": dict(baselines), **written}
    console.table(title, *score_table(answers, beside), left=1, values=values)
    notes = () if recorded is None else recorded.notes
    for line in (*verdict(method, answers, recorded), *notes):
        console.tell(line)
    for name, path in written.items():
        console.tell(_fact(name, path))


@rank_zero_only
def print_facts(facts: Mapping[str, object]) -> None:
    """Print one line for each fact."""
    for name, value in facts.items():
        sys.stdout.write(_fact(name, value) + "\n")


def _fact(name: str, value: object) -> str:
    return f"{name + ':':<12} {value}"


def _cell(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"
