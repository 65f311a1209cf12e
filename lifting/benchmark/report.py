"""Tables of benchmarks, and the machine they were taken on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.table import Table

from lifting.atomic import write_text
from lifting.benchmark.timing import BenchRow
from lifting.experiment.facts import machine_facts


def machine() -> dict[str, str]:
    """Facts of the machine that a cost depends on; what it does not have is left out."""
    facts = {**machine_facts(), "torch": torch.__version__}
    del facts["system"]  # costs hang on the processor, and a kernel's build is nobody's business
    return {key: str(value) for key, value in facts.items() if value}


def bench_table(name: str, rows: Sequence[BenchRow], where: dict[str, str]) -> Table:
    """Costs, the reference's beside ours, with the machine below.

    Args:
        name: Name of the benchmark.
        rows: Its rows.
        where: The machine.
    """
    table = Table(title=name, caption=caption(where))
    for title, justify in zip(_TITLES, ("left", *["right"] * 3, "left", "left"), strict=True):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*_cells(row))
    return table


def write_report(
    folder: Path, name: str, rows: Sequence[BenchRow], where: dict[str, str]
) -> tuple[Path, Path]:
    """Write a benchmark as JSON and as a Markdown table.

    Args:
        folder: Where to.
        name: Name of the benchmark.
        rows: Its rows.
        where: The machine.

    Returns:
        The two files.

    Raises:
        OutputError: They cannot be written.
    """
    values = {"machine": where, "rows": [{**asdict(r), "ratio": r.ratio} for r in rows]}
    lines = [
        f"# {name}",
        "",
        f"Measured on: {caption(where)}.",
        "",
        "| " + " | ".join(_TITLES) + " |",
        "|---|--:|--:|--:|---|---|",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    data, text = folder / f"{name}.json", folder / f"{name}.md"
    write_text(data, json.dumps(values, indent=2) + "\n")
    write_text(text, "\n".join(lines) + "\n")
    return data, text


_TITLES = ("what", "reference", "ours", "ratio", "unit", "note")


def _cells(row: BenchRow) -> tuple[str, ...]:
    reference = "-" if row.reference is None else f"{row.reference:.4g}"
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
    return row.name, reference, f"{row.ours:.4g}", ratio, row.unit, row.note


def caption(where: dict[str, str]) -> str:
    """The machine in one line."""
    return ", ".join(f"{key} {value}" for key, value in where.items())
