"""Every method under one budget: trained on the same data, scored on the same samples.

The budget is processor time of the training, validations and checkpoints included; data are made
ready before, and the test comes after. Several budgets make a learning curve. Confidence intervals
are bootstrapped over recordings, because neighbouring frames and the views of one recording are
not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig
from lifting.data.sets import find_set
from lifting.errors import ConfigError, DivergedError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import machine_facts, matrix_gflops
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.load import (
    find_experiment,
    list_experiments,
    load_data,
    load_experiment,
    read_values,
)
from lifting.experiment.record import ResultRecord, read_record
from lifting.experiment.sequences import SEQUENCES_FILE, SequenceScore, read_sequences
from lifting.experiment.terminal import print_facts
from lifting.experiment.threads import works_alone
from lifting.methods.discovery import method_names
from lifting.studies.board import (
    FURTHER,
    SCORES,
    Beside,
    Board,
    Contest,
    Standing,
    read_beside,
    sample_facts,
)
from lifting.studies.cut import CostFile, scaled
from lifting.studies.look import closer_look
from lifting.studies.measure import (
    mean_interval,
    pose_cpu_ms,
    scored_checkpoint,
    trained_run,
    validation_mpjpe,
)

CALIBRATION_SHARE = 0.05
"""Of the least budget, that the steps of a stage may cost before the first training."""


@dataclass(frozen=True)
class _Run:
    """A finished training."""

    folder: Path
    record: ResultRecord
    tracks: Sequence[SequenceScore]
    validation: float | None
    looks: dict[str, float] | None


@dataclass
class _Line:
    """The trainings of a method under a budget."""

    method: str
    budget: int
    file: CostFile
    config: ExperimentConfig  # of the first seed
    runs: list[_Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def comparable_methods(data: str | None = None) -> list[str]:
    """Methods with an experiment of their own name that can be trained on the same data.

    Args:
        data: File in ``experiments/data``; None for the keypoints that most methods are trained
            on. Those that look at pictures are compared on pictures.
    """
    experiments = list_experiments()
    named = [name for name in method_names() if name in experiments]
    pictures = data is not None and _pictures(load_data(data)[0])
    return [name for name in named if _pictures(load_experiment(name).data) == pictures]


def run_leaderboard(methods: Sequence[str], plan: Contest) -> Iterator[Board]:
    """Train and score methods under one plan; finished runs of the same plan are not repeated.

    Args:
        methods: Names of experiments, such as :func:`comparable_methods` gives.
        plan: Data, budgets and seeds.

    Yields:
        The table after every training, the smaller budgets of all methods first.

    Raises:
        ConfigError: An experiment is unknown, or the plan cannot be followed.
    """
    configs = {name: _config(name, plan) for name in dict.fromkeys(methods)}
    if not configs:
        raise ConfigError("expected experiments to compare, got none; name one or more")
    names = {f"{one.data.name} under {one.protocol}" for one in configs.values()}
    if len(names) > 1:
        raise ConfigError(
            "expected experiments on the same data under the same protocol, got "
            f"{', '.join(sorted(names))}; choose a section for all with --data, or compare them "
            "apart"
        )
    for name, config in configs.items():
        _check_budgeted(name, config)
    first = next(iter(configs.values()))
    theirs = None if plan.beside is None else read_beside(plan.beside, plan, first)
    done = {} if theirs is None else theirs.trained
    absent = [
        (budget, seeds, name)
        for budget, seeds in sorted(plan.budgets)
        for name in configs
        if (name, budget) not in done or len(done[name, budget].seeds) < seeds
    ]
    needed = {name for *_, name in absent}
    least = min(seconds for seconds, _ in plan.budgets) * _speed(plan.gflops)
    files = {
        name: CostFile(plan.output, config, CALIBRATION_SHARE * least)
        for name, config in configs.items()
        if name in needed
    }
    lines: list[_Line] = []
    if theirs is not None and not absent:
        yield _board(plan, lines, theirs)
    for budget, seeds, name in absent:
        config = configs[name]
        before = [line for line in lines if line.method == name and line.runs][-1:]
        scale = _cut(files[name], config, budget, before, plan.gflops)
        line = _Line(name, budget, files[name], scaled(config, scale))
        lines.append(line)
        for seed in range(seeds):
            one = scaled(_config(name, plan, seed), scale)
            look = plan.look if not line.runs else 0
            _train(line, replace(one, run=f"{one.data.name}-{budget}s-seed{seed}"), look)
            yield _board(plan, lines, theirs)


def _check_budgeted(name: str, config: ExperimentConfig) -> None:
    """Refuse trainings whose length or cost a budget of this process's seconds does not rule."""
    if works_alone(config) and config.trainer.max_steps < 0:
        return
    raise ConfigError(
        f"expected trainings in this process, on its processor, of the length of a budget, got "
        f"{name} with trainer.accelerator={config.trainer.accelerator}, trainer.devices="
        f"{config.trainer.devices}, data.workers={config.data.workers} and trainer.max_steps="
        f"{config.trainer.max_steps}; add --set trainer.accelerator=cpu, and leave the others out"
    )


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


def _config(name: str, plan: Contest, seed: int = 0) -> ExperimentConfig:
    """An experiment on the plan's data, before it is cut to a budget."""
    given = plan.data is not None and not _extends(name, f"data/{plan.data}")
    return load_experiment(
        name,
        [
            *([f"extends=data/{plan.data}"] if given else []),
            f"seed={seed}", f"output={plan.output}", f"data.eval_every={plan.every}",
            "trainer.threads=1",
            *plan.overrides,
        ],
    )  # fmt: skip


def _extends(name: str, file: str) -> bool:
    """Whether an experiment lies over a file, so that what it changes in that counts."""
    parents = read_values(find_experiment(name)).get("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    return file in parents or any(_extends(parent, file) for parent in parents)


def _pictures(data: DataConfig) -> bool:
    """Whether there are pictures to look at."""
    return find_set(data.name).fact("image_size", lambda data: None)(data) is not None


def _speed(gflops: float | None) -> float:
    """Seconds of this processor in one of a processor of that speed."""
    return 1.0 if gflops is None else gflops / matrix_gflops()


def _cut(
    file: CostFile,
    config: ExperimentConfig,
    budget: int,
    before: Sequence[_Line],
    gflops: float | None,
) -> float:
    """How much longer than its own an experiment trains under a budget, decided once."""
    costs, key = file.costs, str(budget) if gflops is None else f"{budget} at {gflops:g} GFLOP/s"
    if key not in costs.scales:
        known = costs
        for line in before:
            known = costs.corrected([run.folder for run in line.runs], line.config)
        scale = costs.scales[key] = known.scale_for(config, budget * _speed(gflops))
        seconds = known.predicted(scaled(config, scale))
        print_facts({"budget": f"{budget:,} CPU seconds; {config.name} is to take {seconds:,.0f}"})
        file.save()
    return costs.scales[key]


def _train(line: _Line, config: ExperimentConfig, look: int) -> None:
    """Train with one seed, unless that is done, look closer if asked, and add it to the line."""
    try:
        folder = trained_run(config)
    except DivergedError as error:
        line.problems.append(f"{line.method}, {line.budget}, seed {config.seed}: {error}")
        return
    weights, costs = scored_checkpoint(folder), line.file.costs
    if costs.pose_cpu_ms is None:
        costs.pose_cpu_ms = pose_cpu_ms(config, weights)
        line.file.save()
    record, tracks = read_record(folder / RECORD_FILE), read_sequences(folder / SEQUENCES_FILE)
    there, here = record.extras["machine"]["cpu"], machine_facts()["cpu"]
    if there != here:
        raise ConfigError(
            f"expected trainings on this processor, {here}, got {folder} of {there}, whose "
            "seconds are others; start afresh with another --output"
        )
    looks = closer_look(folder, look) if look else None
    line.runs.append(_Run(folder, record, tracks, validation_mpjpe(weights), looks))


def _board(plan: Contest, lines: Sequence[_Line], beside: Beside | None) -> Board:
    rows = [_standing(line) for line in lines if line.runs or line.problems]
    ours = {(row.method, row.budget) for row in rows}
    kept = {} if beside is None else {k: r for k, r in beside.trained.items() if k not in ours}
    rows += kept.values()
    rows.sort(key=lambda row: (row.budget, row.scores.get("mpjpe_mm", math.inf)))
    record = next((run.record for line in lines for run in line.runs), None)
    if record is None and beside is not None:
        rows += beside.baselines
        data = beside.data
    else:
        for name, scores in (record.baselines if record else {}).items():
            rows.append(Standing(name, None, (), {key: scores[key] for key in SCORES}))
        fingerprint = record.samples["fingerprint"] if record else None
        data = sample_facts(plan, lines[0].config, fingerprint)
    versions = {_version(run.record) for line in lines for run in line.runs}
    return Board(
        plan=plan,
        rows=tuple(rows),
        data=data,
        calibration={line.method: line.file.costs.seconds for line in lines},
        versions=tuple(sorted(versions.union(beside.versions if beside and kept else ()))),
        recorded=tuple(kept),
    )


def _version(record: ResultRecord) -> str:
    return record.git["commit"] or record.packages["lifting"]


def _standing(line: _Line) -> Standing:
    if not line.runs:
        return Standing(line.method, line.budget, (), {}, problems=tuple(line.problems))
    records, costs = [run.record for run in line.runs], line.file.costs
    values = {key: np.array([record.metrics[key] for record in records]) for key in SCORES}
    validation = [run.validation for run in line.runs if run.validation is not None]
    steps = float(np.mean([record.budget["steps"] for record in records]))
    several = len(records) > 1
    tracks = [run.tracks for run in line.runs]
    return Standing(
        method=line.method,
        budget=line.budget,
        seeds=tuple(record.seed for record in records),
        scores={key: float(v.mean()) for key, v in values.items()}
        | _mean_of_all(
            [{key: r.metrics[key] for key in FURTHER if key in r.metrics} for r in records]
        ),
        cpu_seconds=float(np.mean([record.budget["cpu_seconds"] for record in records])),
        val_mpjpe_mm=float(np.mean(validation)) if validation else None,
        intervals={key: bootstrap_interval(tracks, key) for key in SCORES},
        spread={key: float(v.std(ddof=1)) for key, v in values.items()} if several else None,
        parameters=records[0].extras["parameters"]["total"],
        samples=round(steps * line.config.trainer.accumulate * costs.samples),
        pose_cpu_ms=costs.pose_cpu_ms,
        test=records[0].samples["fingerprint"],
        gflops=costs.gflops,
        problems=tuple(line.problems),
        oracle=_mean_of_all([record.oracle for record in records]) or None,
        hypotheses=records[0].hypotheses,
        steps=records[0].steps,
        looks=line.runs[0].looks,
        runs=tuple(f"{run.folder.parent.name}/{run.folder.name}" for run in line.runs),
    )


def _mean_of_all(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean over seeds of the scores that all of them have."""
    return {
        key: float(np.mean([one[key] for one in scores]))
        for key in scores[0]
        if all(key in one for one in scores)
    }
