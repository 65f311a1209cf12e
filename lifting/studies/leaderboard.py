"""Every method under one budget: trained on the same data, scored on the same samples.

The budget is a number of training samples, mirrored ones counted as they come, shared by all
stages of a method; what it costs in time stands beside the scores. Confidence intervals are
bootstrapped over recordings, because neighbouring frames and the views of one recording are not
independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from lifting.errors import ConfigError, DivergedError, suggest
from lifting.experiment.build import build_data, build_module
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.load import list_experiments, load_experiment
from lifting.experiment.record import ResultRecord, read_record
from lifting.experiment.sequences import SEQUENCES_FILE, SequenceScore, read_sequences
from lifting.methods.discovery import method_names
from lifting.studies.measure import (
    RESAMPLES,
    mean_interval,
    pose_cpu_ms,
    scored_checkpoint,
    trained_run,
)
from lifting.studies.page import MISSING, caption, machine, markdown, number, write_page

SCORES = ("mpjpe_mm", "pa_mpjpe_mm")


@dataclass(frozen=True)
class Contest:
    """What a leaderboard compares.

    Attributes:
        data: Data section, by its file in ``experiments/data``.
        samples: Training samples that every method sees, all stages together.
        seeds: Seeds; each method is trained once with each.
        output: Folder of the runs and of the table.
        every: Every n-th frame is scored, the same for all methods.
        overrides: Further ``key=value`` settings for all methods.
    """

    data: str
    samples: int
    seeds: tuple[int, ...]
    output: Path
    every: int = 5
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """One line of the table.

    Attributes:
        method: Name of the method, or of a baseline that needs no training.
        seeds: Seeds that went in.
        scores: Mean over the seeds, by key, mm.
        intervals: 95 % interval of each score over resampled recordings, mm.
        spread: Standard deviation over the seeds, None with a single one, mm.
        parameters: Number of parameters.
        samples: Training samples really seen.
        train_seconds: Wall time of a training.
        pose_cpu_ms: Processor milliseconds to lift a pose.
        problems: What became of seeds whose training diverged; they are in no score.
    """

    method: str
    seeds: tuple[int, ...]
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]] | None = None
    spread: dict[str, float] | None = None
    parameters: int | None = None
    samples: int | None = None
    train_seconds: float | None = None
    pose_cpu_ms: float | None = None
    problems: tuple[str, ...] = ()


def comparable_methods() -> list[str]:
    """Methods that have an experiment of their own name."""
    experiments = list_experiments()
    return [name for name in method_names() if name in experiments]


def run_leaderboard(methods: Sequence[str], plan: Contest) -> list[Standing]:
    """Train and score methods under one plan; finished runs of the same plan are not repeated.

    Args:
        methods: Names, from :func:`comparable_methods`.
        plan: Data, budget and seeds.

    Returns:
        Lines of the table, the best MPJPE first.

    Raises:
        ConfigError: A method is unknown, or the plan cannot be followed.
    """
    known = comparable_methods()
    for method in methods:
        if method not in known:
            raise ConfigError(
                f"unknown method '{method}' for a leaderboard; {suggest(method, known)}"
            )
    standings, baselines = [], {}
    for method in methods:
        runs: dict[int, Path] = {}
        problems: list[str] = []
        for seed in plan.seeds:
            try:
                runs[seed] = trained_run(_config(method, seed, plan))
            except DivergedError as error:
                problems.append(f"{method}, seed {seed}: {error}")
        if not runs:
            standings.append(Standing(method, (), {}, problems=tuple(problems)))
            continue
        records = [read_record(folder / RECORD_FILE) for folder in runs.values()]
        baselines = records[0].baselines
        found = _standing(method, replace(plan, seeds=tuple(runs)), list(runs.values()), records)
        standings.append(replace(found, problems=tuple(problems)))
    for name, scores in baselines.items():
        chosen = {key: scores[key] for key in SCORES}
        standings.append(Standing(method=name, seeds=(), scores=chosen))
    return sorted(standings, key=lambda row: row.scores.get("mpjpe_mm", math.inf))


def bootstrap_interval(
    runs: Sequence[Sequence[SequenceScore]], key: str, *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean over resampled recordings.

    Args:
        runs: Scores by track of each seed's run, over the same tracks.
        key: Which error, ``mpjpe_mm`` or ``pa_mpjpe_mm``.
        seed: Of the resampling.

    Returns:
        The 2.5th and 97.5th percentile, mm.
    """
    rows = [row for run in runs for row in run]
    return mean_interval(
        [row.recording for row in rows],
        [row.joints * getattr(row, key) for row in rows],
        [row.joints for row in rows],
        seed=seed,
    )


def write_leaderboard(standings: Sequence[Standing], plan: Contest) -> tuple[Path, ...]:
    """Write the table as Markdown and JSON into the plan's folder.

    Raises:
        OutputError: They cannot be written.
    """
    where = machine()
    values = {
        "plan": {**asdict(plan), "output": str(plan.output)},
        "machine": where,
        "rows": [asdict(row) for row in standings],
    }
    lines = [
        f"Data {plan.data}; {plan.samples:,} training samples a method; seeds "
        f"{', '.join(map(str, plan.seeds))}; every {plan.every}th test frame; errors in mm "
        f"with 95 % intervals over {RESAMPLES:,} resamples of the test recordings; "
        f"{caption(where)}.",
        "",
        *markdown(TITLES, map(cells, standings), left=1),
        *(
            line
            for row in standings
            for text in row.problems
            for line in ("", f"Left out: {text}")
        ),
    ]
    return write_page(plan.output, "leaderboard", lines, values)


TITLES = (
    "method", "MPJPE", "PA-MPJPE", "seed spread", "parameters", "samples seen", "training s",
    "CPU ms a pose",
)  # fmt: skip


def cells(row: Standing) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    return (
        row.method,
        *(_score(row, key) for key in SCORES),
        number(None if row.spread is None else row.spread["mpjpe_mm"], ".2f"),
        *(f"{n:,}" if n is not None else MISSING for n in (row.parameters, row.samples)),
        number(row.train_seconds, ".0f"),
        number(row.pose_cpu_ms, ".3f"),
    )


def _score(row: Standing, key: str) -> str:
    if key not in row.scores:
        return MISSING
    text = f"{row.scores[key]:.1f}"
    if row.intervals is None:
        return text
    low, high = row.intervals[key]
    return f"{text} ({low:.1f} to {high:.1f})"


def _config(method: str, seed: int, plan: Contest) -> ExperimentConfig:
    """A method's experiment, cut to the budget."""
    settings = [
        f"extends=data/{plan.data}", f"seed={seed}", f"output={plan.output}",
        f"data.eval_every={plan.every}", *plan.overrides,
    ]  # fmt: skip
    config = load_experiment(method, settings)
    scale = plan.samples / _nominal_samples(config)
    text = f"{plan.data}-{plan.samples}-seed{seed}"
    return load_experiment(method, [*settings, f"trainer.epoch_scale={scale:.6f}", f"run={text}"])


def _nominal_samples(config: ExperimentConfig) -> int:
    """Training samples that the experiment's own length would show to the method."""
    epochs = [s.epochs or config.trainer.max_epochs for s in build_module(config).stages()]
    return sum(epochs) * _epoch_samples(config)


def _epoch_samples(config: ExperimentConfig) -> int:
    data = build_data(config)
    data.setup("fit")
    samples = len(data.train_dataloader().dataset)  # type: ignore[arg-type]
    limit = config.trainer.limit_train_batches
    return samples if limit is None else min(samples, limit * config.data.batch_size)


def _standing(
    method: str, plan: Contest, runs: Sequence[Path], records: Sequence[ResultRecord]
) -> Standing:
    config = _config(method, plan.seeds[0], plan)
    sequences = [read_sequences(folder / SEQUENCES_FILE) for folder in runs]
    values = {key: np.array([record.metrics[key] for record in records]) for key in SCORES}
    epochs = float(np.mean([record.budget["epochs"] for record in records]))
    several = len(records) > 1
    return Standing(
        method=method,
        seeds=plan.seeds,
        scores={key: float(v.mean()) for key, v in values.items()},
        intervals={key: bootstrap_interval(sequences, key) for key in SCORES},
        spread={key: float(v.std(ddof=1)) for key, v in values.items()} if several else None,
        parameters=records[0].extras["parameters"]["total"],
        samples=round(epochs * _epoch_samples(config)),
        train_seconds=float(np.mean([record.budget["seconds"] for record in records])),
        pose_cpu_ms=pose_cpu_ms(config, scored_checkpoint(runs[0])),
    )
