"""What operations cost, beside a straightforward form of the same: `make bench`.

    python benchmarks/run.py [NAME ...] [--threads N] [--write FOLDER]

A benchmark is a file of this folder with a function ``rows`` that yields rows as they are
measured; each is printed at once. The straightforward forms stand in ``tests/reference``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.atomic import write_text
from lifting.cli.main import answer
from lifting.errors import ConfigError, suggest

if TYPE_CHECKING:
    from timing import BenchRow

HERE = Path(__file__).resolve().parent
BESIDE = (HERE.parent / "tests", HERE.parent / "experiments" / "studies")
TITLES = ("what", "reference", "ours", "ratio", "unit", "note")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then measure; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        description="Processor or wall time of operations beside a straightforward form."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default all")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves them")
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="also write FOLDER/NAME.json and .md"
    )
    return answer(measure, parser.parse_args(argv))


def benchmark_names() -> list[str]:
    """Names of the benchmarks: files of this folder that define ``rows``."""
    files = sorted(HERE.glob("*.py"))
    return [f.stem for f in files if "\ndef rows(" in f.read_text(encoding="utf-8")]


def measure(arguments: argparse.Namespace) -> int:
    """Run the named benchmarks, and print every row when it is measured."""
    if arguments.threads < 0:
        raise ConfigError(f"expected --threads from 0, got {arguments.threads}")
    known = benchmark_names()
    for name in arguments.names:
        if name not in known:
            raise ConfigError(f"unknown benchmark '{name}'; {suggest(name, known)}")
    sys.path += [str(folder) for folder in BESIDE]
    import torch

    from lifting.studies.page import caption, machine

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    where = machine()
    print(f"Measured on: {caption(where)}.", flush=True)
    for name in arguments.names or known:
        print(f"\n{name}: {' | '.join(TITLES)}", flush=True)
        found = []
        for row in importlib.import_module(name).rows():
            found.append(row)
            print(" | ".join(cells(row)), flush=True)
        if arguments.write is not None:
            for path in write(arguments.write, name, found, where):
                print(f"written: {path}", flush=True)
    return 0


def write(
    folder: Path, name: str, rows: Iterable[BenchRow], where: dict[str, str]
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
    from lifting.studies.page import caption

    rows = list(rows)
    values = {"machine": where, "rows": [{**asdict(r), "ratio": r.ratio} for r in rows]}
    lines = [f"# {name}", "", f"Measured on: {caption(where)}.", ""]
    lines += ["| " + " | ".join(TITLES) + " |", "|---|--:|--:|--:|---|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    data, text = folder / f"{name}.json", folder / f"{name}.md"
    write_text(data, json.dumps(values, indent=2) + "\n")
    write_text(text, "\n".join(lines) + "\n")
    return data, text


def cells(row: BenchRow) -> tuple[str, ...]:
    """One line of a table as text; what does not apply is a dash."""
    reference = "-" if row.reference is None else f"{row.reference:.4g}"
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
    return row.name, reference, f"{row.ours:.4g}", ratio, row.unit, row.note


if __name__ == "__main__":
    sys.exit(main())
