"""One stage of ``gpu.py`` in a process of its own: measures every method, a line of JSON a row.

    python benchmarks/gpu_stages.py STAGE ROWS_FILE [--smoke] [--without METHOD ...]

Before a method begins, a line names it, so that it is known which one a crash belongs to.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from gpu_cases import FLOAT32, PRECISIONS, network, products
from gpu_measures import (
    MIB,
    Case,
    Measure,
    Row,
    answers,
    compiling,
    equality,
    optimisation,
    timed,
    training,
    wait,
)
from lifting.experiment.facts import machine_facts, package_versions
from lifting.methods.discovery import method_names

CPU = torch.device("cpu")
TERA = 1e12
COMPILED = ("uao", "diffpose")  # the quicker first
MARK = "pytest.mark.gpu"
TESTS = Path(__file__).resolve().parents[1] / "tests"


def marked_tests(case: Case) -> Iterator[Measure]:
    """The tests marked ``gpu``, of the files that have some."""
    files = [str(f) for f in sorted(TESTS.rglob("test_*.py")) if MARK in f.read_text("utf-8")]
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}",
            "--continue-on-collection-errors", *(["--collect-only"] if case.smoke else []), *files,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=TESTS.parent, stdout=sys.stderr, check=False)
        if not report.exists():
            error = f"pytest ended with status {done.returncode}"
            yield {"test": "all"}, partial(dict, error=error)
        found = ET.parse(report).iter("testcase") if report.exists() else ()
        for test in found:
            bad = [child for child in test if child.tag in ("failure", "error", "skipped")]
            row: Row = {
                "outcome": bad[0].tag if bad else "passed",
                "seconds": float(test.get("time", "nan")),
                "note": (bad[0].get("message") or "")[:200] if bad else "",
            }
            yield {"test": f"{test.get('classname')}.{test.get('name')}"}, row.copy


def device_facts(case: Case) -> Row:
    """The machine, and what products of matrices reach on it, in 10¹² operations a second."""
    found = {**machine_facts(), **package_versions(), "driver": _driver()}
    found["form"] = "smoke" if case.smoke else "full"
    if case.device.type == "cuda":
        about = torch.cuda.get_device_properties(case.device)
        found["gpu memory MiB"] = about.total_memory // MIB
        found["compute capability"] = f"{about.major}.{about.minor}"
    side = case.sizes.product
    square = torch.randn(side, side, device=case.device)
    for precision in PRECISIONS:
        with products(precision), network(precision, case.device):
            seconds, _ = timed(lambda: square @ square, case.sizes.repeats, case)
        found[f"{precision} TFLOP/s"] = round(2 * side**3 / seconds / TERA, 4)
    del found["system"]
    return {key: value for key, value in found.items() if value is not None}


STAGES: dict[str, Callable[[Case], Iterator[Measure]]] = {
    "equality": equality,
    "train": training,
    "answer": answers,
    "optimise": optimisation,
    "tests": marked_tests,
    "compile": compiling,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a stage, method by method; one that fails leaves the others."""
    parser = argparse.ArgumentParser(description="One stage of gpu.py.")
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("--without", nargs="*", default=[])
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    device = torch.device("cuda") if torch.cuda.is_available() else CPU
    smoke = options.smoke or device == CPU
    if smoke:
        torch.set_num_threads(1)
    names = {"compile": list(COMPILED), "tests": ["pytest"]}.get(options.stage, method_names())
    if options.methods is not None:
        names = [name for name in names if name in options.methods]
    with products(FLOAT32), options.rows.open("a", encoding="utf-8") as file:

        def write(row: Row) -> None:
            print(json.dumps(row), file=file, flush=True)

        if not options.without:
            write({"facts": device_facts(Case("", smoke, device))})
        for name in names:
            if name in options.without:
                continue
            write({"begun": name})
            case = Case(name, smoke, device)
            for row in measured(STAGES[options.stage](case), device):
                write({"method": name, **row})
            write({"done": name})


def measured(measures: Iterator[Measure], device: torch.device) -> Iterator[Row]:
    """What is measured one after the other; what fails leaves the rest.

    Args:
        measures: Of a method.
        device: Waited for, since what goes wrong on it may show later.

    Raises:
        RuntimeError: The GPU computes nothing more in this process.
    """
    labels: Row = {}
    try:
        for labels, call in measures:
            try:
                found = call()
                wait(device)
                yield labels | found
            except Exception as error:
                yield labels | _failure(error)
    except Exception as error:  # before the first
        yield _failure(error)


def _failure(error: Exception) -> Row:
    if "CUDA error" in str(error):
        raise error
    return {"error": f"{type(error).__name__}: {error!s:.300}"}


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


if __name__ == "__main__":
    main()
