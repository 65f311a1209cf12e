"""``lifting bench``: what operations cost, beside a straightforward form of the same."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.errors import ConfigError, suggest

if TYPE_CHECKING:
    from lifting.benchmark.timing import BenchRow


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "bench",
        help="measure what operations cost",
        description="Run benchmarks: processor or wall time of an operation beside a reference.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default all")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves them")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FOLDER",
        help="also write FOLDER/<name>.json and .md, for example benchmarks",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Run the named benchmarks and print their tables."""
    from rich.console import Console

    names = _chosen(arguments.names)
    if arguments.threads < 0:
        raise ConfigError(f"expected --threads from 0, got {arguments.threads}")
    import importlib

    import torch

    from lifting.benchmark.report import bench_table, machine, write_report

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    console = Console(soft_wrap=True)
    where = machine()
    for name in names:
        rows: list[BenchRow] = importlib.import_module(f"lifting.benchmark.{name}").rows()
        console.print(bench_table(name, rows, where))
        if arguments.write is not None:
            for path in write_report(arguments.write, name, rows, where):
                console.print(f"written: {path}", highlight=False, markup=False)
    return 0


def benchmark_names() -> list[str]:
    """Names of the benchmarks: modules of the package that define ``rows``."""
    from lifting import benchmark

    files = sorted(Path(benchmark.__path__[0]).glob("*.py"))
    return [f.stem for f in files if "\ndef rows(" in f.read_text(encoding="utf-8")]


def _chosen(names: list[str]) -> list[str]:
    known = benchmark_names()
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown benchmark '{name}'; {suggest(name, known)}")
    return names or known
