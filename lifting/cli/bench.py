"""``lifting bench``: what operations cost, beside a straightforward form of the same.

``lifting bench occlusion RUN ...`` studies trained runs instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli import occlusion
from lifting.errors import ConfigError, suggest

if TYPE_CHECKING:
    from lifting.benchmark.timing import BenchRow


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "bench",
        help="measure what operations cost",
        description="Run benchmarks: processor or wall time of an operation beside a reference; "
        f"or, with `{occlusion.NAME} RUN ...`, what hidden joints do to trained runs.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default all")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves them")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FOLDER",
        help="also write FOLDER/<name>.json and .md, for example benchmarks",
    )
    occlusion.add_options(parser)
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Run the named benchmarks and print their tables."""
    if arguments.threads < 0:
        raise ConfigError(f"expected --threads from 0, got {arguments.threads}")
    if arguments.names[:1] == [occlusion.NAME]:
        return _study(arguments)
    from rich.console import Console

    occlusion.refuse_options(arguments)
    names = _chosen(arguments.names)
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


def _study(arguments: argparse.Namespace) -> int:
    """Run the study of trained runs, in the given number of threads."""
    if arguments.write is not None:
        raise ConfigError(
            f"expected --output with `lifting bench {occlusion.NAME}`, got --write, which is for "
            "benchmarks"
        )
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    return occlusion.handle(arguments.names[1:], arguments)


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
