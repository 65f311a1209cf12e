"""Every method under one budget: trained on the same data, scored on the same samples.

The budget is processor time of the training, validations and checkpoints included; data are made
ready before, and the test comes after. Several budgets make a learning curve. Confidence intervals
are bootstrapped over recordings, because neighbouring frames and the views of one recording are
not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

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
from lifting.experiment.resume import FREE
from lifting.experiment.sequences import SEQUENCES_FILE, SequenceScore, read_sequences
from lifting.experiment.terminal import print_facts
from lifting.experiment.threads import works_alone
from lifting.files.checks import Size
from lifting.files.json_file import load_json
from lifting.methods.discovery import method_names
from lifting.studies.cut import CostFile, scaled
from lifting.studies.measure import (
    RESAMPLES,
    mean_interval,
    pose_cpu_ms,
    scored_checkpoint,
    trained_run,
    validation_mpjpe,
)
from lifting.studies.page import (
    MISSING,
    caption,
    draw,
    machine,
    markdown,
    number,
    scored_frames,
    write_page,
)
from lifting.visualization.charts import LearningCurve, learning_chart

SCORES = ("mpjpe_mm", "pa_mpjpe_mm")
_LARGEST_BOARD = Size(10)
CALIBRATION_SHARE = 0.05
"""Of the least budget, that the steps of a stage may cost before the first training."""


@dataclass(frozen=True)
class Contest:
    """What a leaderboard compares.

    Attributes:
        data: Data section, by its file in ``experiments/data``, laid over experiments that do not
            extend it; None takes their own.
        budgets: Processor seconds of a training, and how many seeds, from 0, are trained so long.
        gflops: The budgets are seconds of a processor of this speed, as :func:`matrix_gflops`
            measures it: a faster one gets fewer. None: seconds of this one.
        output: Folder of the runs and of the table.
        every: Every n-th frame is validated and scored, the same for all methods.
        overrides: Further ``key=value`` settings for all methods.
        beside: A ``leaderboard.json`` of the same plan, whose trainings are not repeated and whose
            other methods stand in the table, too.
    """

    data: str | None
    budgets: tuple[tuple[int, int], ...]
    output: Path
    every: int = 5
    gflops: float | None = None
    overrides: tuple[str, ...] = ()
    beside: Path | None = None


@dataclass(frozen=True)
class Standing:
    """One line of the table.

    Attributes:
        method: Name of the method's experiment, or of a baseline that needs no training.
        budget: Processor seconds that a training was to cost, as the plan counts them; None for a
            baseline.
        seeds: Seeds that went in.
        cpu_seconds: Those that it cost, the mean over the seeds.
        val_mpjpe_mm: That of the checkpoints that were chosen; None where another score chose.
        scores: Mean over the seeds on the test split, by key, mm.
        intervals: 95 % interval of each score over resampled recordings, mm.
        spread: Standard deviation over the seeds, None with a single one, mm.
        parameters: Number of parameters.
        samples: Training samples seen, the stages together, mirrored ones as they come.
        pose_cpu_ms: Processor milliseconds to lift a pose.
        test: Fingerprint of the test split.
        gflops: Speed of the machine that it was trained on, as of :func:`matrix_gflops`.
        problems: What became of seeds whose training diverged; they are in no score.
    """

    method: str
    budget: int | None
    seeds: tuple[int, ...]
    scores: dict[str, float]
    cpu_seconds: float | None = None
    val_mpjpe_mm: float | None = None
    intervals: dict[str, tuple[float, float]] | None = None
    spread: dict[str, float] | None = None
    parameters: int | None = None
    samples: int | None = None
    pose_cpu_ms: float | None = None
    test: str | None = None
    gflops: float | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """The table as far as it goes.

    Attributes:
        plan: What is compared.
        rows: Its lines, budget by budget, the best MPJPE of each first.
        data: ``name``, fingerprint of the ``test`` split, ``protocol``, and which samples were
            scored: ``every``, ``target`` and ``batches`` as of a record.
        calibration: Processor seconds that the calibration of each method took.
        versions: Commits of the code that trained, or its version outside of a repository.
        recorded: Methods and budgets of rows that come from ``plan.beside``.
    """

    plan: Contest
    rows: tuple[Standing, ...]
    data: dict[str, Any]
    calibration: dict[str, float]
    versions: tuple[str, ...]
    recorded: tuple[tuple[str, int], ...] = ()

    @property
    def problems(self) -> list[str]:
        """Of all lines."""
        return [text for row in self.rows for text in row.problems]


@dataclass(frozen=True)
class _Run:
    """A finished training."""

    folder: Path
    record: ResultRecord
    tracks: Sequence[SequenceScore]
    validation: float | None


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
    before_us = None if plan.beside is None else _read_beside(plan, configs)
    done = {} if before_us is None else before_us.trained
    todo = [
        (budget, seeds, name)
        for budget, seeds in sorted(plan.budgets)
        for name in configs
        if (name, budget) not in done or len(done[name, budget].seeds) < seeds
    ]
    least = min(seconds for seconds, _ in plan.budgets) * _speed(plan.gflops)
    files = {
        name: CostFile(plan.output, config, CALIBRATION_SHARE * least)
        for name, config in configs.items()
        if name in {one for *_, one in todo}
    }
    lines: list[_Line] = []
    if before_us is not None and not todo:
        yield _board(plan, lines, before_us)
    for budget, seeds, name in todo:
        config = configs[name]
        before = [line for line in lines if line.method == name and line.runs][-1:]
        scale = _cut(files[name], config, budget, before, plan.gflops)
        line = _Line(name, budget, files[name], scaled(config, scale))
        lines.append(line)
        for seed in range(seeds):
            one = scaled(_config(name, plan, seed), scale)
            _train(line, replace(one, run=f"{one.data.name}-{budget}s-seed{seed}"))
            yield _board(plan, lines, before_us)


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


@dataclass(frozen=True)
class _Beside:
    """What another leaderboard has."""

    trained: dict[tuple[str, int], Standing]
    baselines: tuple[Standing, ...]
    data: dict[str, Any]
    versions: tuple[str, ...]


def _read_beside(plan: Contest, configs: Mapping[str, ExperimentConfig]) -> _Beside:
    """Read the table of another leaderboard, which has to be of the same data and plan."""
    path = plan.beside
    assert path is not None
    content: Any = load_json(path, _LARGEST_BOARD)
    try:
        theirs, data = content["plan"], dict(content["data"])
        rows = [Standing(**_tuples(row)) for row in content["rows"]]
        speed = float(content["machine"]["gflops"])
        versions = tuple(map(str, content["versions"]))
        config = next(iter(configs.values()))
        ours = {**_data(plan, config, None), **_of_plan(asdict(plan))}
        other = {**data, **_of_plan(theirs)}
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"expected a leaderboard.json of `lifting leaderboard` in {path}, got another file "
            f"({error!r})"
        ) from error
    for key, value in ours.items():
        if key != "test" and other.get(key) != value:
            raise ConfigError(
                f"expected a table of the same plan in {path}, got {key}={other.get(key)} there "
                f"and {value} here; give the same options, or leave --beside out"
            )
    trained = {
        (row.method, row.budget): replace(row, gflops=row.gflops or speed)
        for row in rows
        if row.budget is not None
    }
    return _Beside(trained, tuple(r for r in rows if r.budget is None), data, versions)


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a file with the types of :class:`Standing`."""
    intervals = row.get("intervals")
    numbers = [
        row["cpu_seconds"] or 0.0,
        *row["scores"].values(),
        *(row.get("spread") or {}).values(),
    ]
    if not all(isinstance(value, int | float) for value in numbers):
        raise TypeError(f"scores or seconds of {row['method']} that are no numbers")
    return {
        **row,
        "seeds": tuple(row["seeds"]),
        "problems": tuple(row["problems"]),
        "intervals": intervals and {key: tuple(pair) for key, pair in intervals.items()},
    }


def _of_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What budgets and settings have to agree in."""
    free = tuple(f"{key}{end}" for key in FREE for end in ("=", "."))
    overrides = sorted(text for text in plan["overrides"] if not text.startswith(free))
    return {"gflops": plan.get("gflops"), "overrides": overrides}


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


def write_leaderboard(board: Board) -> tuple[Path, ...]:
    """Write the table as Markdown and JSON, and the curves as a chart, into the plan's folder.

    Raises:
        OutputError: They cannot be written.
    """
    plan, where, gflops = board.plan, machine(), matrix_gflops()
    values = {
        "plan": {k: v for k, v in asdict(plan).items() if k not in ("output", "beside")},
        "machine": {**where, "gflops": gflops},
        "data": board.data,
        "calibration": board.calibration,
        "versions": board.versions,
        "rows": [asdict(row) for row in board.rows],
    }
    budgets = ", ".join(f"{budget:,} ({seeds})" for budget, seeds in sorted(plan.budgets))
    costs = ", ".join(f"{name} {spent:.0f}" for name, spent in board.calibration.items())
    of = "" if plan.gflops is None else f" of a processor with {plan.gflops:g} GFLOP/s"
    lines = [
        f"Data {board.data['name']}; CPU-seconds of training{of} (seeds): {budgets}; "
        f"{scored_frames(plan.every)} of validation and test; errors in mm with 95 % intervals "
        f"over {RESAMPLES:,} resamples of the test recordings; validation of the checkpoint that "
        f"it chose. Before, so many CPU-seconds showed what a step costs: {costs}. "
        f"{caption(where)}, {gflops} GFLOP/s in a 1,024 x 1,024 x 1,024 float32 product of one "
        "thread.",
        "",
        *markdown(TITLES, map(cells, board.rows), left=1),
        *(line for text in _notes(board) for line in ("", text)),
    ]
    files = write_page(plan.output, "leaderboard", lines, values)
    chart = _chart(board)
    return files if chart is None else (*files, chart)


TITLES = (
    "method", "budget", "CPU s", "validation MPJPE", "MPJPE", "PA-MPJPE", "seed spread",
    "parameters", "samples seen", "CPU ms a pose",
)  # fmt: skip


def cells(row: Standing) -> tuple[str, ...]:
    """One line of the table as text; what does not apply is a dash."""
    return (
        row.method,
        number(row.budget, ","),
        number(row.cpu_seconds, ",.0f"),
        number(row.val_mpjpe_mm),
        *(_score(row, key) for key in SCORES),
        number(None if row.spread is None else row.spread["mpjpe_mm"], ".2f"),
        number(row.parameters, ","),
        number(row.samples, ","),
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


def _notes(board: Board) -> Iterator[str]:
    """What the reader of a table has to know of single lines."""
    for row in board.rows:
        if row.test not in (None, board.data["test"]):
            yield f"Other test samples: {row.method} under {row.budget}, fingerprint {row.test}"
    if board.recorded and board.plan.beside is not None:
        told = ", ".join(f"{name} under {budget:,}" for name, budget in board.recorded)
        speeds = sorted({f"{r.gflops:.0f}" for r in board.rows if r.gflops is not None})
        yield (
            f"Trained before, and taken from {board.plan.beside.name}: {told}; machines of "
            f"{', '.join(speeds)} GFLOP/s"
        )
    if len(board.versions) > 1:
        yield f"Trained by several versions of the code: {', '.join(board.versions)}"
    for text in board.problems:
        yield f"Left out: {text}"


def _chart(board: Board) -> Path | None:
    """The curves, once there are any."""
    found: dict[str, list[Standing]] = {}
    for row in board.rows:
        if row.cpu_seconds is not None:
            found.setdefault(row.method, []).append(row)
    curves = {
        name: LearningCurve(
            seconds=np.array([_seconds(board.plan, row) for row in rows], float),
            validation=np.array([row.val_mpjpe_mm for row in rows], float),
            test=np.array([row.scores["mpjpe_mm"] for row in rows], float),
        )
        for name, rows in found.items()
    }
    if not curves:
        return None
    lines = {r.method: r.scores["mpjpe_mm"] for r in board.rows if r.budget is None}
    title = f"MPJPE after so much training: {board.data['name']}"
    return draw(learning_chart(curves, lines, title=title), board.plan.output, "leaderboard")


def _seconds(plan: Contest, row: Standing) -> float:
    """Processor seconds of a training as the plan counts them."""
    assert row.cpu_seconds is not None
    return row.cpu_seconds * (row.gflops / plan.gflops if row.gflops and plan.gflops else 1.0)


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


def _train(line: _Line, config: ExperimentConfig) -> None:
    """Train with one seed, unless that is done, and add it to the line."""
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
    line.runs.append(_Run(folder, record, tracks, validation_mpjpe(weights)))


def _board(plan: Contest, lines: Sequence[_Line], beside: _Beside | None) -> Board:
    rows = [_standing(line) for line in lines if line.runs or line.problems]
    ours = {(row.method, row.budget) for row in rows}
    kept = {} if beside is None else {k: r for k, r in beside.trained.items() if k not in ours}
    rows += kept.values()
    rows.sort(key=lambda row: (row.budget, row.scores.get("mpjpe_mm", math.inf)))
    record = next((run.record for line in lines for run in line.runs), None)
    if record is None and beside is not None:
        rows += beside.baselines
    for name, scores in (record.baselines if record else {}).items():
        rows.append(Standing(name, None, (), {key: scores[key] for key in SCORES}))
    versions = {_version(run.record) for line in lines for run in line.runs}
    fingerprint = record.samples["fingerprint"] if record else None
    return Board(
        plan=plan,
        rows=tuple(rows),
        data=_data(plan, lines[0].config, fingerprint) if record or not beside else beside.data,
        calibration={line.method: line.file.costs.seconds for line in lines},
        versions=tuple(sorted(versions.union(beside.versions if beside and kept else ()))),
        recorded=tuple(kept),
    )


def _data(plan: Contest, config: ExperimentConfig, test: str | None) -> dict[str, Any]:
    """Which samples are scored, and how."""
    return {
        "name": config.data.name,
        "test": test,
        "protocol": config.protocol,
        "every": plan.every,
        "target": config.data.target,
        "batches": config.trainer.limit_test_batches,
    }


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
        scores={key: float(v.mean()) for key, v in values.items()},
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
    )
