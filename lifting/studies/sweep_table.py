"""The table of a sweep: mean and spread over seeds, and the difference to the base."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lifting.atomic import write_text
from lifting.experiment.sweep import BASE_VARIANT, JobKey, Sweep, Variant
from lifting.studies.pages import caption, machine

MISSING = "-"


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
    key: str,
    scored: Mapping[int, Outcome],
    base: Mapping[int, Outcome],
    shared: Sequence[int],
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
        scores.append(_number(score.mean, score.spread))
        scores.append(_number(score.difference, score.difference_spread, "+"))
    count = len(row.seeds)
    notes = [f"seed {seed}: {' '.join(text.split())}" for seed, text in row.problems.items()]
    return (
        row.variant.name,
        "; ".join(row.variant.overrides) or MISSING,
        str(count) if count == row.wanted else f"{count} of {row.wanted}",
        *scores,
        MISSING if row.train_seconds is None else f"{row.train_seconds:.0f}",
        MISSING if row.pose_cpu_ms is None else f"{row.pose_cpu_ms:.3f}",
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
    texts = {"md": _markdown(rows, sweep), "json": _json(rows, sweep), "csv": _csv(rows, sweep)}
    paths = tuple(sweep.output / f"sweep.{suffix}" for suffix in texts)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _markdown(rows: Sequence[SweepRow], sweep: Sweep) -> str:
    shared = ", ".join(sweep.overrides) or "no further settings"
    lines = [
        f"# {sweep.name}",
        "",
        f"{sweep.description or 'A sweep'}. Experiment {sweep.experiment}, {shared}; seeds "
        f"{', '.join(map(str, sweep.seeds))}; mean ± standard deviation over seeds, and the same "
        f"of the difference to the base with the same seed; written on {caption(machine())}.",
        "",
        _line(titles(sweep)),
        "|---|---|" + "--:|" * (len(titles(sweep)) - 3) + "---|",
        *(_line(cells(row, sweep)) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _json(rows: Sequence[SweepRow], sweep: Sweep) -> str:
    names = ("name", "description", "experiment", "overrides", "seeds", "metrics")
    described = {name: getattr(sweep, name) for name in names}
    plain = {"sweep": described, "machine": machine(), "rows": [asdict(row) for row in rows]}
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[SweepRow], sweep: Sweep) -> str:
    """One column a number, unrounded; empty where there is none."""
    kinds = ("mean", "spread", "difference", "difference_spread")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [f"{key}_{kind}" for key in sweep.metrics for kind in kinds]
    writer.writerow(
        ["variant", "settings", "seeds", *scores, "train_seconds", "pose_cpu_ms", "problems"]
    )
    for row in rows:
        known = {key: asdict(score) for key, score in row.scores.items()}
        writer.writerow([
            row.variant.name,
            "; ".join(row.variant.overrides),
            len(row.seeds),
            *(known.get(key, {}).get(kind) for key in sweep.metrics for kind in kinds),
            row.train_seconds,
            row.pose_cpu_ms,
            "; ".join(f"seed {seed}: {problem}" for seed, problem in row.problems.items()),
        ])  # fmt: skip
    return text.getvalue()


def _number(mean: float | None, spread: float | None, sign: str = "-") -> str:
    if mean is None:
        return MISSING
    text = f"{mean:{sign}.2f}"
    return text if spread is None else f"{text} ± {spread:.2f}"
