"""One experiment under many settings: trains or tests every variant with every seed.

The table is kept up to date: mean and spread over seeds, and the difference to the base. What is
finished is found again, what fails is noted and the rest goes on.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lifting.atomic import write_text
from lifting.errors import ConfigError, LiftingError, suggest
from lifting.experiment.folder import RECORD_FILE, finished_run, mark_finished
from lifting.experiment.record import read_record
from lifting.experiment.run import evaluate
from lifting.experiment.sweep import BASE_VARIANT, JobKey, Sweep, Variant
from lifting.studies.measure import pose_cpu_ms, scored_checkpoint, trained_run
from lifting.studies.page import (
    MISSING,
    caption,
    machine,
    markdown,
    number,
    write_csv,
    write_page,
)

COST_FILE = "pose_cost.json"


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes:
        scores: By metric; empty where the run is missing or failed.
        seconds: Wall time of the training, None where nothing was trained.
        pose_cpu_ms: Processor milliseconds to lift a pose, None where it was not measured.
        problem: Why it failed.
        folder: Its folder, relative to the sweep's.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    pose_cpu_ms: float | None = None
    problem: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Score:
    """A metric of a variant over its seeds.

    Attributes:
        mean: Mean.
        spread: Standard deviation, None with a single seed.
        difference: Mean over the seeds shared with the base of variant minus base; None for the
            base itself and without a shared seed.
        difference_spread: Standard deviation of that difference.
    """

    mean: float
    spread: float | None
    difference: float | None
    difference_spread: float | None


@dataclass(frozen=True)
class SweepRow:
    """One line of the table.

    Attributes:
        variant: The variant.
        wanted: Number of seeds.
        seeds: Seeds that went in.
        scores: By metric; empty where no seed went in.
        train_seconds: Mean wall time of a training.
        pose_cpu_ms: Processor milliseconds to lift a pose.
        problems: Why runs failed, by seed.
        folders: Folders of the runs, relative to the sweep's, by seed.
    """

    variant: Variant
    wanted: int
    seeds: tuple[int, ...]
    scores: dict[str, Score]
    train_seconds: float | None
    pose_cpu_ms: float | None
    problems: dict[int, str]
    folders: dict[int, str]


def sweep_rows(sweep: Sweep, outcomes: Mapping[JobKey, Outcome]) -> list[SweepRow]:
    """Summarise runs by variant.

    Args:
        sweep: The sweep.
        outcomes: What came of every run of it.
    """
    base = {seed: outcomes[JobKey(BASE_VARIANT, seed)] for seed in sweep.seeds}
    rows = []
    for variant in sweep.variants:
        runs = {seed: outcomes[JobKey(variant.name, seed)] for seed in sweep.seeds}
        scored = {seed: run for seed, run in runs.items() if run.scores}
        shared = [] if variant.name == BASE_VARIANT else [s for s in scored if base[s].scores]
        seconds = [run.seconds for run in scored.values() if run.seconds is not None]
        costs = [run.pose_cpu_ms for run in scored.values() if run.pose_cpu_ms is not None]
        rows.append(
            SweepRow(
                variant=variant,
                wanted=len(sweep.seeds),
                seeds=tuple(scored),
                scores={key: _score(key, scored, base, shared) for key in sweep.metrics if scored},
                train_seconds=statistics.fmean(seconds) if seconds else None,
                pose_cpu_ms=statistics.fmean(costs) if costs else None,
                problems={seed: run.problem for seed, run in runs.items() if run.problem},
                folders={seed: run.folder for seed, run in runs.items() if run.folder},
            )
        )
    return rows


def _score(
    key: str, scored: Mapping[int, Outcome], base: Mapping[int, Outcome], shared: Sequence[int]
) -> Score:
    mean, spread = _mean_and_spread([run.scores[key] for run in scored.values()])
    assert mean is not None
    differences = [scored[seed].scores[key] - base[seed].scores[key] for seed in shared]
    return Score(mean, spread, *_mean_and_spread(differences))


def _mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def titles(sweep: Sweep) -> tuple[str, ...]:
    """Names of the columns."""
    scores = (title for key in sweep.metrics for title in (key, "to base"))
    return ("variant", "settings", "seeds", *scores, "training s", "CPU ms a pose", "note")


def cells(row: SweepRow, sweep: Sweep) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    scores: list[str] = []
    for key in sweep.metrics:
        score = row.scores.get(key)
        if score is None:
            scores += [MISSING, MISSING]
            continue
        scores.append(_spread(score.mean, score.spread))
        scores.append(_spread(score.difference, score.difference_spread, "+"))
    count = len(row.seeds)
    notes = [f"seed {seed}: {' '.join(text.split())}" for seed, text in row.problems.items()]
    return (
        row.variant.name,
        "; ".join(row.variant.overrides) or MISSING,
        str(count) if count == row.wanted else f"{count} of {row.wanted}",
        *scores,
        number(row.train_seconds, ".0f"),
        number(row.pose_cpu_ms, ".3f"),
        "; ".join(notes) or ("" if row.variant.trains else "weights of the base"),
    )


def write_sweep(rows: Sequence[SweepRow], sweep: Sweep) -> tuple[Path, ...]:
    """Write the table as Markdown, JSON and CSV, each file whole or not at all.

    Args:
        rows: Its lines.
        sweep: The sweep.

    Returns:
        The files.

    Raises:
        OutputError: They cannot be written.
    """
    shared = ", ".join(sweep.overrides) or "no further settings"
    lines = [
        f"# {sweep.name}",
        "",
        f"{sweep.description or 'A sweep'}. Experiment {sweep.experiment}, {shared}; seeds "
        f"{', '.join(map(str, sweep.seeds))}; mean ± standard deviation over seeds, and the same "
        f"of the difference to the base with the same seed; written on {caption(machine())}.",
        "",
        *markdown(titles(sweep), [cells(row, sweep) for row in rows], notes=1),
    ]
    names = ("name", "description", "experiment", "overrides", "seeds", "metrics")
    described = {name: getattr(sweep, name) for name in names}
    values = {"sweep": described, "machine": machine(), "rows": [asdict(row) for row in rows]}
    return (*write_page(sweep.output, "sweep", lines, values), _write_numbers(rows, sweep))


def _write_numbers(rows: Sequence[SweepRow], sweep: Sweep) -> Path:
    """One column a number, unrounded; empty where there is none."""
    kinds = ("mean", "spread", "difference", "difference_spread")
    scores = [f"{key}_{kind}" for key in sweep.metrics for kind in kinds]
    columns = ["variant", "settings", "seeds", *scores, "train_seconds", "pose_cpu_ms", "problems"]
    table = []
    for row in rows:
        known = {key: asdict(score) for key, score in row.scores.items()}
        table.append([
            row.variant.name,
            "; ".join(row.variant.overrides),
            len(row.seeds),
            *(known.get(key, {}).get(kind) for key in sweep.metrics for kind in kinds),
            row.train_seconds,
            row.pose_cpu_ms,
            "; ".join(f"seed {seed}: {problem}" for seed, problem in row.problems.items()),
        ])  # fmt: skip
    return write_csv(sweep.output / "sweep.csv", columns, table)


def _spread(mean: float | None, spread: float | None, sign: str = "-") -> str:
    if mean is None:
        return MISSING
    text = f"{mean:{sign}.2f}"
    return text if spread is None else f"{text} ± {spread:.2f}"


class SweepRuns:
    """The runs of a sweep, those of earlier calls included.

    Args:
        sweep: The sweep.

    Attributes:
        folders: Folder of each finished run.
        problems: Why a run failed in this call.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.folders: dict[JobKey, Path] = {}
        self.problems: dict[JobKey, str] = {}
        for key, job in sweep.jobs.items():
            folder = finished_run(job.config, job.weights_of)
            if folder is not None:
                self.folders[key] = folder

    def run_all(self, names: Collection[str]) -> None:
        """Run what is missing of some variants; the table is written after every run.

        Args:
            names: Names of variants.

        Raises:
            OutputError: The table cannot be written.
        """
        self.write()
        for key in self.sweep.jobs:
            if key.variant in names:
                self.run(key)
                self.write()

    def run(self, key: JobKey) -> None:
        """Finish a run unless it is finished; an error of the project becomes a problem.

        Args:
            key: The run.
        """
        try:
            if key not in self.folders:
                self.folders[key] = self._finish(key)
            self._measure(key)
        except LiftingError as error:
            self.problems[key] = str(error)

    def outcome(self, key: JobKey) -> Outcome:
        """What came of a run.

        Args:
            key: The run.
        """
        folder = self.folders.get(key)
        if folder is None:
            return Outcome(problem=self.problems.get(key))
        try:
            record = read_record(folder / RECORD_FILE)
        except LiftingError as error:
            return Outcome(problem=str(error))
        place = str(folder.relative_to(self.sweep.output))
        for metric in self.sweep.metrics:
            if metric not in record.metrics:
                known = suggest(metric, (k for k in record.metrics if "/" not in k))
                return Outcome(problem=f"no metric '{metric}'; {known}", folder=place)
            if not math.isfinite(record.metrics[metric]):
                return Outcome(problem=f"{metric} is not finite", folder=place)
        return Outcome(
            scores={metric: record.metrics[metric] for metric in self.sweep.metrics},
            seconds=record.budget.get("seconds"),
            pose_cpu_ms=_cost(folder),
            problem=self.problems.get(key),
            folder=place,
        )

    def rows(self) -> list[SweepRow]:
        """Lines of the table, the base first, then in the order of the file."""
        return sweep_rows(self.sweep, {key: self.outcome(key) for key in self.sweep.jobs})

    def write(self) -> tuple[Path, ...]:
        """Write the table as Markdown, JSON and CSV.

        Raises:
            OutputError: It cannot be written.
        """
        return write_sweep(self.rows(), self.sweep)

    def _finish(self, key: JobKey) -> Path:
        job = self.sweep.jobs[key]
        if job.weights_of is None:
            return trained_run(job.config)
        run = evaluate(job.config, self._weights(key))
        return mark_finished(run.run_dir, job.config, job.weights_of)

    def _weights(self, key: JobKey) -> Path:
        """The checkpoint that a run is scored with; the base is trained first if it has to be."""
        if self.sweep.jobs[key].weights_of is None:
            return scored_checkpoint(self.folders[key])
        base = JobKey(BASE_VARIANT, key.seed)
        if base not in self.folders and base not in self.problems:
            self.run(base)
        if base not in self.folders:
            raise ConfigError(
                f"expected weights of variant '{BASE_VARIANT}' with seed {key.seed} to test, got "
                "none, because it failed; see its own line"
            )
        return scored_checkpoint(self.folders[base])

    def _measure(self, key: JobKey) -> None:
        """Time one run of each variant; seeds do not change what a pose costs."""
        runs = [self.folders.get(JobKey(key.variant, seed)) for seed in self.sweep.seeds]
        if any(folder is not None and (folder / COST_FILE).is_file() for folder in runs):
            return
        cost = pose_cpu_ms(self.sweep.jobs[key].config, self._weights(key))
        write_text(self.folders[key] / COST_FILE, json.dumps({"pose_cpu_ms": cost}) + "\n")


def _cost(folder: Path) -> float | None:
    path = folder / COST_FILE
    if not path.is_file():
        return None
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return float(plain["pose_cpu_ms"])
