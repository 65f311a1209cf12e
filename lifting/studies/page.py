"""What studies leave behind: Markdown, JSON, CSV and charts, and the machine they were made on."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from lifting.atomic import write_text
from lifting.experiment.facts import machine_facts
from lifting.files.json_file import as_json
from lifting.studies.frames import Shown
from lifting.studies.measure import choose_device
from lifting.studies.plan import Plan, Run
from lifting.visualization.style import save_figure

MISSING = "-"


def machine() -> dict[str, str]:
    """Facts of the machine that a cost depends on; what it does not have is left out."""
    facts = {**machine_facts(), "torch": torch.__version__}
    del facts["system"]  # costs hang on the processor, and a kernel's build is nobody's business
    return {key: str(value) for key, value in facts.items() if value}


def caption(where: dict[str, str]) -> str:
    """The machine in one line."""
    return ", ".join(f"{key} {value}" for key, value in where.items())


def scored_frames(every: int) -> str:
    """Which frames of a track count, in words."""
    return "all frames" if every == 1 else f"every {every}th frame"


def head(plan: Plan, shown: Shown, *, sizes: bool = False) -> list[str]:
    """The command and what it looked at, as lines.

    Args:
        plan: The study's.
        shown: The frames.
        sizes: Say how many poses were answered at a time.
    """
    source = shown.source
    keypoints = source.get("two_d", "as the data give them")
    frames = scored_frames(shown.every)
    chosen = frames if plan.poses is None else f"drawn from {frames} with seed {plan.seed}"
    batches = f"batches of {plan.batch}; " if sizes else ""
    return [
        f"`{plan.command}`",
        "",
        f"Data {source.get('dataset', '')}, keypoints {keypoints}; {shown.poses:,} test poses of "
        f"{shown.recordings:,} recordings, {chosen} (fingerprint {shown.fingerprints[0]}); "
        f"{batches}{caption(machine())}.",
    ]


def facts(
    runs: Sequence[Run], shown: Shown, plan: Plan, about: Callable[[Run], dict[str, Any]]
) -> dict[str, Any]:
    """The same as plain values, and what the runs are.

    Args:
        runs: The runs.
        shown: The frames.
        plan: The study's.
        about: What else is told of a run.
    """
    return {
        "command": plan.command,
        "seed": plan.seed,
        "machine": machine(),
        "frames": asdict(shown),
        "runs": [
            {
                "label": run.label,
                "run": run.name,
                "budget": None if run.budget is None else asdict(run.budget),
                **about(run),
            }
            for run in runs
        ],
    }


def optimisation_of(run: Run) -> dict[str, Any]:
    """How a run optimises at test time, for :func:`facts`."""
    return {"tto": asdict(run.config.tto)}


def run_table(
    runs: Iterable[Run], titles: Sequence[str], cells: Callable[[Run], Sequence[str]]
) -> list[str]:
    """What the runs are and what their trainings cost, as lines of a table.

    Args:
        runs: The runs.
        titles: Of the further columns.
        cells: Of a run in them.
    """
    rows = []
    for run in runs:
        budget = run.budget
        spent = ("-", "-") if budget is None else (f"{budget.seconds:.0f}", f"{budget.samples:,}")
        rows.append((run.label, run.name, *spent, *cells(run)))
    return markdown(("method", "run", "training s", "training samples", *titles), rows)


def timed(titles: Iterable[str], plan: Plan) -> list[str]:
    """Titles that name the device whose time was taken, where they say CPU."""
    device = choose_device(plan.device).type.upper().replace("CUDA", "GPU")
    return [title.replace("CPU", device) for title in titles]


def markdown(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 2, notes: int = 0
) -> list[str]:
    """A table as lines.

    Args:
        titles: Of the columns.
        rows: Cells.
        left: Columns at the left that are aligned to the left; the others are to the right.
        notes: Columns at the right that are aligned to the left, too.
    """
    rule = ["---"] * left + ["--:"] * (len(titles) - left - notes) + ["---"] * notes
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (titles, rule, *escaped)]


def number(value: float | None, form: str = ".1f") -> str:
    """A number as text, a dash where there is none that is finite."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:{form}}"


def change(value: float, interval: tuple[float, float], form: str = "+.1f") -> str:
    """A difference with its interval, as text."""
    low, high = interval
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def write_page(
    output: Path, stem: str, lines: Iterable[str], values: dict[str, Any]
) -> tuple[Path, ...]:
    """Write lines as Markdown and values as JSON, each file whole or not at all.

    Args:
        output: Folder.
        stem: Name of both files without its ending.
        lines: Of the text.
        values: Plain ones; null takes the place of a number that is not finite.

    Raises:
        OutputError: They cannot be written.
    """
    text, data = output / f"{stem}.md", output / f"{stem}.json"
    write_text(text, "\n".join(lines) + "\n")
    write_text(data, as_json(values))
    return text, data


def write_csv(path: Path, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a table; a cell is empty where there is nothing.

    Raises:
        OutputError: It cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([titles, *rows])
    write_text(path, text.getvalue())
    return path


def draw(figure: Figure, output: Path, stem: str) -> Path:
    """Save a figure.

    Args:
        figure: Empty afterwards.
        output: Folder.
        stem: Name of the file without its ending.

    Raises:
        OutputError: It cannot be written.
    """
    path = output / f"{stem.replace(' ', '-')}.png"
    save_figure(figure, path)
    return path
