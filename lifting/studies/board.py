"""The table of ``lifting leaderboard``: its rows, its files and its chart, and a recorded one.

How the rows come about stands in :mod:`lifting.studies.leaderboard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lifting.data.config import scored_target
from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.facts import matrix_gflops
from lifting.experiment.resume import FREE
from lifting.files.checks import Size
from lifting.files.json_file import load_json
from lifting.studies.look import LOST, MEMORY, MULTIPLY_ADDS, OPTIMISED, SHARE, WRONG
from lifting.studies.measure import RESAMPLES
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
from lifting.visualization.charts import LearningCurve, Ranked, learning_chart, ranking_chart

SCORES = ("mpjpe_mm", "pa_mpjpe_mm")
_LABELS = dict(zip(SCORES, ("MPJPE", "PA-MPJPE"), strict=True))
FURTHER = ("mpjve_mm_per_second", "acceleration_error_mm_per_second2", "ece_axis")
"""Scores of a record that not every test has: of motion, which thinned frames have not, and of the
expected error, which not every method tells."""
_LARGEST_BOARD = Size(10)
FURTHER_NOTE = (
    "Beside that: poses drawn and steps of one answer; error of velocity, mm a second, and of "
    "acceleration, mm a second squared; calibration error of the expected error (ECE, 0 is "
    f"right); and by a closer look at the first seed's run how MPJPE changes where {SHARE:.0%} "
    "of the joints are lost or wrong, and by test-time optimisation; multiply-adds a pose, and "
    "memory of a few hundred poses at once."
)
ORACLE_NOTE = "Told something of the truth, and so beside no other score:"


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
        look: Poses at which the first seed's run of every line is looked at closer; 0 for none.
    """

    data: str | None
    budgets: tuple[tuple[int, int], ...]
    output: Path
    every: int = 5
    gflops: float | None = None
    overrides: tuple[str, ...] = ()
    beside: Path | None = None
    look: int = 0


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
        scores: Mean over the seeds on the test split, by key, mm; those of ``FURTHER`` where there
            are.
        intervals: 95 % interval of each score over resampled recordings, mm.
        spread: Standard deviation over the seeds, None with a single one, mm.
        parameters: Number of parameters.
        samples: Training samples seen, the stages together, mirrored ones as they come.
        pose_cpu_ms: Processor milliseconds to lift a pose.
        test: Fingerprint of the test split.
        gflops: Speed of the machine that it was trained on, as of :func:`matrix_gflops`.
        problems: What became of seeds whose training diverged; they are in no score.
        oracle: Scores that were told something of the truth, the mean over the seeds, by key.
        hypotheses: Poses drawn for one answer.
        steps: Sampling or refinement steps of one answer, None where there are none.
        looks: What a closer look at the first seed's run found, see
            :mod:`lifting.studies.look`; None without.
        runs: Folders of the runs, below that of the table.
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
    oracle: dict[str, float] | None = None
    hypotheses: int = 1
    steps: int | None = None
    looks: dict[str, float] | None = None
    runs: tuple[str, ...] = ()


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


def write_leaderboard(board: Board) -> tuple[Path, ...]:
    """Write the table as Markdown and JSON, and two charts of it, into the plan's folder.

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
        *_further(board.rows),
        *(line for text in _notes(board) for line in ("", text)),
    ]
    files = write_page(plan.output, "leaderboard", lines, values)
    if not any(row.cpu_seconds is not None for row in board.rows):
        return files
    name = board.data["name"]
    return (
        *files,
        draw(standings_figure(board.rows, name), plan.output, "leaderboard"),
        draw(curves_figure(board.rows, name, plan.gflops), plan.output, "curves"),
    )


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


FURTHER_TITLES = (
    "method", "budget", "drawn x steps", "velocity", "acceleration", "ECE", "lost joints",
    "wrong joints", "optimised", "multiply-adds", "memory MB",
)  # fmt: skip


def further_cells(row: Standing) -> tuple[str, ...]:
    """What else is known of a line, as text."""
    looks = row.looks or {}
    values = {**looks, **row.scores}  # the test of all recordings before a look at some
    drawn = "" if row.hypotheses == 1 and row.steps is None else f"{row.hypotheses}"
    velocity, acceleration, expected = FURTHER
    return (
        row.method,
        number(row.budget, ","),
        f"{drawn} x {row.steps or 1}" if drawn else MISSING,
        number(values.get(velocity), ",.0f"),
        number(values.get(acceleration), ",.0f"),
        number(values.get(expected), ".3f"),
        *(number(looks.get(key), "+.1f") for key in (LOST, WRONG, OPTIMISED)),
        number(looks.get(MULTIPLY_ADDS), ",.0f"),
        number(looks.get(MEMORY), ",.0f"),
    )


def oracle_scores(rows: Iterable[Standing]) -> list[tuple[str, str, str, str]]:
    """Method, budget, name and value of every score that was told something of the truth."""
    return [
        (row.method, number(row.budget, ","), key, number(value))
        for row in rows
        for key, value in sorted((row.oracle or {}).items())
    ]


def _further(rows: Iterable[Standing]) -> Iterator[str]:
    """Tables of what else is known, where it is, and of the oracles' scores."""
    trained = [row for row in rows if row.budget is not None and row.scores]
    found = [cells for cells in map(further_cells, trained) if set(cells[2:]) != {MISSING}]
    if found:
        yield from ("", FURTHER_NOTE, "", *markdown(FURTHER_TITLES, found, left=1))
    told = oracle_scores(trained)
    if told:
        titles = ("method", "budget", "oracle", "mm")
        yield from ("", ORACLE_NOTE, "", *markdown(titles, told, left=1))


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


def standings_figure(rows: Iterable[Standing], name: str) -> Figure:
    """Methods beside one another, the best first.

    Args:
        rows: Of the table.
        name: Of the data.

    Raises:
        DataError: None is trained yet.
    """
    trained, lines = [], {}
    for row in rows:
        if row.budget is None:
            lines[row.method] = {label: row.scores[key] for key, label in _LABELS.items()}
        elif row.cpu_seconds is not None:
            trained.append(row)
    trained.sort(key=lambda row: row.scores["mpjpe_mm"])
    best = list(dict.fromkeys(row.method for row in trained))
    trained.sort(key=lambda row: (best.index(row.method), row.budget))
    ranked = [
        Ranked(
            row.method,
            f"{row.budget:,} CPU-seconds",
            {
                label: (row.scores[key], *(row.intervals or {}).get(key, 2 * (row.scores[key],)))
                for key, label in _LABELS.items()
            },
        )
        for row in trained
    ]
    return ranking_chart(ranked, lines, title=f"Errors with 95 % intervals: {name}")


def curves_figure(rows: Sequence[Standing], name: str, gflops: float | None) -> Figure:
    """Errors of methods after ever longer trainings.

    Args:
        rows: Of the table.
        name: Of the data.
        gflops: Of the processor whose seconds the budgets are, None for that which trained.

    Raises:
        DataError: None is trained yet.
    """
    found: dict[str, list[Standing]] = {}
    for row in rows:
        if row.cpu_seconds is not None:
            found.setdefault(row.method, []).append(row)
    curves = {
        method: LearningCurve(
            seconds=np.array([_seconds(row, gflops) for row in own], float),
            validation=np.array([row.val_mpjpe_mm for row in own], float),
            test=np.array([row.scores["mpjpe_mm"] for row in own], float),
        )
        for method, own in found.items()
    }
    lines = {row.method: row.scores["mpjpe_mm"] for row in rows if row.budget is None}
    return learning_chart(curves, lines, title=f"MPJPE after so much training: {name}")


def _seconds(row: Standing, gflops: float | None) -> float:
    """Processor seconds of a training as the plan counts them."""
    assert row.cpu_seconds is not None
    return row.cpu_seconds * (row.gflops / gflops if row.gflops and gflops else 1.0)


@dataclass(frozen=True)
class Beside:
    """What another leaderboard has.

    Attributes:
        trained: Its rows of trainings, by method and budget.
        baselines: Its other rows.
        data: As of :class:`Board`.
        versions: As of :class:`Board`.
    """

    trained: dict[tuple[str, int], Standing]
    baselines: tuple[Standing, ...]
    data: dict[str, Any]
    versions: tuple[str, ...]


def read_beside(path: Path, plan: Contest, config: ExperimentConfig) -> Beside:
    """Read the table of another leaderboard.

    Args:
        path: A ``leaderboard.json``.
        plan: What it has to agree with.
        config: An experiment of the plan, for its data and protocol.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no JSON.
        ConfigError: It is no such table, or one of another plan.
    """
    table = read_table(path)
    ours = {**sample_facts(plan, config, None), **_of_plan(asdict(plan))}
    other = {**table.data, **_of_plan(table.plan)}
    for key, value in ours.items():
        if key != "test" and other.get(key) != value:
            raise ConfigError(
                f"expected a table of the same plan in {path}, got {key}={other.get(key)} there "
                f"and {value} here; give the same options, or leave --beside out"
            )
    trained = {
        (row.method, row.budget): row
        for row in table.rows
        if row.budget is not None and all(key in row.scores for key in SCORES)
    }
    baselines = tuple(row for row in table.rows if row.budget is None)
    return Beside(trained, baselines, table.data, table.versions)


@dataclass(frozen=True)
class Table:
    """A recorded leaderboard.

    Attributes:
        plan: Of the trainings, as plain values of :class:`Contest`.
        machine: Facts of the one that wrote it.
        data: As of :class:`Board`.
        versions: As of :class:`Board`.
        rows: Its lines; those of trainings know the speed of their machine.
    """

    plan: dict[str, Any]
    machine: dict[str, Any]
    data: dict[str, Any]
    versions: tuple[str, ...]
    rows: tuple[Standing, ...]


def read_table(path: Path) -> Table:
    """Read a ``leaderboard.json``.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is no JSON.
        ConfigError: It is no such table.
    """
    content: Any = load_json(path, _LARGEST_BOARD)
    try:
        rows = [Standing(**_tuples(row)) for row in content["rows"]]
        speed = float(content["machine"]["gflops"])
        found = Table(
            plan=dict(content["plan"]),
            machine=dict(content["machine"]),
            data=dict(content["data"]),
            versions=tuple(map(str, content["versions"])),
            rows=tuple(
                row if row.budget is None else replace(row, gflops=row.gflops or speed)
                for row in rows
            ),
        )
        _of_plan(found.plan)
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"expected a leaderboard.json of `lifting leaderboard` in {path}, got another file "
            f"({error!r})"
        ) from error
    return found


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a file with the types of :class:`Standing`; null is no score."""
    intervals = row.get("intervals")
    scores = {
        name: {key: value for key, value in (row.get(name) or {}).items() if value is not None}
        for name in ("scores", "oracle", "looks")
    }
    numbers = [
        row["cpu_seconds"] or 0.0,
        *(value for values in scores.values() for value in values.values()),
        *(row.get("spread") or {}).values(),
    ]
    if not all(isinstance(value, int | float) for value in numbers):
        raise TypeError(f"scores or seconds of {row['method']} that are no numbers")
    return {
        **row,
        "scores": scores["scores"],
        "oracle": scores["oracle"] or None,
        "looks": scores["looks"] or None,
        "seeds": tuple(row["seeds"]),
        "problems": tuple(row["problems"]),
        "runs": tuple(row.get("runs", ())),
        "intervals": intervals and {key: tuple(pair) for key, pair in intervals.items()},
    }


def _of_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What budgets and settings have to agree in."""
    free = tuple(f"{key}{end}" for key in FREE for end in ("=", "."))
    overrides = sorted(text for text in plan["overrides"] if not text.startswith(free))
    return {"gflops": plan.get("gflops"), "overrides": overrides}


def sample_facts(plan: Contest, config: ExperimentConfig, test: str | None) -> dict[str, Any]:
    """Which samples are scored, and how.

    Args:
        plan: Which frames.
        config: An experiment of the plan.
        test: Fingerprint of the test split, once it is known.
    """
    return {
        "name": config.data.name,
        "test": test,
        "protocol": config.protocol,
        "every": plan.every,
        "target": scored_target(config.data),
        "batches": config.trainer.limit_test_batches,
    }
