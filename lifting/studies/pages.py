"""What the pages of all studies of trained runs share: their head, tables, facts and files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from lifting.atomic import replacing, write_text
from lifting.experiment.facts import machine_facts
from lifting.studies.frames import Shown
from lifting.studies.plan import Plan, Run
from lifting.visualization.style import save_figure


def machine() -> dict[str, str]:
    """Facts of the machine that a cost depends on; what it does not have is left out."""
    facts = {**machine_facts(), "torch": torch.__version__}
    del facts["system"]  # costs hang on the processor, and a kernel's build is nobody's business
    return {key: str(value) for key, value in facts.items() if value}


def caption(where: dict[str, str]) -> str:
    """The machine in one line."""
    return ", ".join(f"{key} {value}" for key, value in where.items())


def head(plan: Plan, shown: Shown) -> list[str]:
    """The command and what it looked at, as lines."""
    source = shown.source
    keypoints = source.get("two_d", "as the data give them")
    frames = "all frames" if shown.every == 1 else f"every {shown.every}th frame"
    chosen = frames if plan.poses is None else f"drawn from {frames} with seed {plan.seed}"
    return [
        f"`{plan.command}`",
        "",
        f"Data {source.get('dataset', '')}, keypoints {keypoints}; {shown.poses:,} test poses of "
        f"{shown.recordings:,} recordings, {chosen} (fingerprint {shown.fingerprints[0]}); "
        f"{caption(machine())}.",
    ]


def facts(runs: Sequence[Run], shown: Shown, plan: Plan) -> dict[str, Any]:
    """The same as plain values, and what the runs are."""
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
                "tto": asdict(run.config.tto),
            }
            for run in runs
        ],
    }


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 2) -> list[str]:
    """A table as lines.

    Args:
        titles: Of the columns.
        rows: Cells.
        left: Columns that are aligned to the left; the others are to the right.
    """
    rule = ["---"] * left + ["--:"] * (len(titles) - left)
    return ["| " + " | ".join(row) + " |" for row in (titles, rule, *rows)]


def write_page(
    stem: str, lines: Iterable[str], values: dict[str, Any], plan: Plan
) -> tuple[Path, ...]:
    """Write lines as Markdown and values as JSON.

    Args:
        stem: Name of both files without its ending.
        lines: Of the text.
        values: Plain ones.
        plan: Says where to.

    Raises:
        OutputError: They cannot be written.
    """
    text, data = plan.output / f"{stem}.md", plan.output / f"{stem}.json"
    write_text(text, "\n".join(lines) + "\n")
    write_text(data, json.dumps(values, indent=2) + "\n")
    return text, data


def draw(figure: Figure, plan: Plan, stem: str) -> Path:
    """Save a figure.

    Args:
        figure: Empty afterwards.
        plan: Says where to.
        stem: Name of the file without its ending.

    Raises:
        OutputError: It cannot be written.
    """
    path = plan.output / f"{stem.replace(' ', '-')}.png"
    with replacing(path) as temporary:
        save_figure(figure, temporary)
    return path
