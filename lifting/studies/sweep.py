"""Runs a sweep: trains or tests every variant with every seed, and keeps the table up to date.

What is finished is found again, what fails is noted and the rest goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lifting.atomic import write_text
from lifting.errors import ConfigError, LiftingError, suggest
from lifting.experiment.folder import RECORD_FILE, finished_run, mark_finished
from lifting.experiment.record import read_record
from lifting.experiment.run import evaluate, train
from lifting.experiment.sweep import BASE_VARIANT, JobKey, Sweep
from lifting.studies.sweep_table import Outcome, SweepRow, sweep_rows, write_sweep
from lifting.studies.trained import pose_cpu_ms, scored_checkpoint

COST_FILE = "pose_cost.json"


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
            return mark_finished(train(job.config).run_dir, job.config)
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
