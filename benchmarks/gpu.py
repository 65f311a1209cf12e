"""What a GPU gives, in one session of minutes: equality, training, answers, optimisation.

    python benchmarks/gpu.py [--write FOLDER] [--stages NAME ...] [--limit SECONDS] [--smoke]

The stages go from the most to the least worth knowing. Each runs in a process of its own
(``gpu_stages.py``) until the end of its share of the time, and what an earlier one left; one that
hangs or crashes leaves the others, and what it had measured. ``gpu.md`` and ``gpu.json`` are
written anew after each. Without a GPU everything is tiny and runs on the processor, which shows
that it would run and no more; the compiler then waits to be asked for by name. It needs torch,
pytorch-lightning, scipy, einops and matplotlib, and says first what is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lifting.atomic import write_text  # noqa: E402
from lifting.cli.main import answer  # noqa: E402
from lifting.errors import ConfigError, suggest  # noqa: E402

BESIDE = (HERE.parent / "experiments" / "studies",)
CHILD = HERE / "gpu_stages.py"
LIMIT_S = 480.0
# Stages by their value, and their shares of the time.
SHARES = {
    "equality": 0.2,
    "train": 0.25,
    "answer": 0.15,
    "optimise": 0.15,
    "tests": 0.1,
    "compile": 0.15,
}
ASKED_FOR = ("compile",)  # in the smoke form
PACKAGES = (
    "torch", "pytorch_lightning", "torchmetrics", "numpy", "scipy", "einops", "matplotlib",
    "omegaconf", "wandb", "rich", "hypothesis", "pytest",
)  # fmt: skip
LEAST_S = 5.0  # that a stage is begun for
TOLD = 400  # characters of what a process said last


@dataclass
class Found:
    """What is known of a stage.

    Attributes:
        name: Of the stage.
        state: How it ended.
        seconds: How long it took.
        rows: What it measured, one after the other.
    """

    name: str
    state: str = "not begun"
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then measure; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(description="What a GPU gives, in minutes.")
    parser.add_argument(
        "--write", type=Path, default=Path("outputs/gpu"), metavar="FOLDER", help="of the tables"
    )
    parser.add_argument(
        "--stages", nargs="+", metavar="NAME", help=f"of {', '.join(SHARES)}; default all"
    )
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for everything"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes; always so where there is no GPU"
    )
    return answer(measure, parser.parse_args(argv))


def measure(options: argparse.Namespace) -> int:
    """Run the stages, and write the tables after each.

    Raises:
        ConfigError: A stage is unknown, or there is no time for any.
        OutputError: The tables cannot be written.
    """
    for name in options.stages or ():
        if name not in SHARES:
            raise ConfigError(f"unknown stage '{name}'; {suggest(name, SHARES)}")
    if not options.limit > 0:
        raise ConfigError(f"expected --limit above 0 seconds, got {options.limit:g}; raise it")
    begun = time.monotonic()
    missing = [name for name in PACKAGES if find_spec(name) is None]
    print(f"Packages that are missing: {', '.join(missing) or 'none'}.", flush=True)
    smoke = options.smoke or shutil.which("nvidia-smi") is None
    if smoke:
        print("The smoke form: tiny sizes, whose times say nothing.", flush=True)
    chosen = [name for name in SHARES if name in (options.stages or SHARES)]
    if smoke and not options.stages:
        chosen = [name for name in chosen if name not in ASKED_FOR]
    facts: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "form": "smoke" if smoke else "full",
        "missing packages": missing,
    }
    stages = [Found(name) for name in chosen]
    total, end = sum(SHARES[name] for name in chosen), begun
    for stage in stages:
        end += options.limit * SHARES[stage.name] / total
        print(f"\n{stage.name}: {end - time.monotonic():.0f} s at most", flush=True)
        run_stage(stage, facts, end, smoke=smoke)
        print("\n".join(_lines(stage)), flush=True)
        for path in write(options.write, facts, stages):
            print(f"written: {path}", flush=True)
    return 0


def run_stage(stage: Found, facts: dict[str, Any], end: float, *, smoke: bool) -> None:
    """Run a stage, again without what made it crash as long as there is time.

    Args:
        stage: Gets what is found.
        facts: Get what a process says of the machine.
        end: Until when, seconds of the monotonic clock.
        smoke: Make everything tiny.
    """
    start, crashed = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        rows, log = Path(folder) / "rows.jsonl", Path(folder) / "log.txt"
        rows.touch()
        while True:
            begun = _told(rows, "begun")
            command = [sys.executable, str(CHILD), stage.name, str(rows)]
            command += ["--smoke"] * smoke + (["--without", *begun] if begun else [])
            status = _until(command, log, end)
            running = [n for n in _told(rows, "begun") if n not in _told(rows, "done") + crashed]
            if status in (0, None) or not running:
                break
            crashed += running
        stage.rows = [row for row in _read(rows) if "method" in row]
        for found in _told(rows, "facts"):
            facts.update(found)
        last = log.read_text(errors="replace").strip()[-TOLD:]
    stage.seconds = round(time.monotonic() - start, 1)
    if status is None:
        stage.state = f"stopped at its limit, in {', '.join(running) or 'its start'}"
    elif status != 0:
        stage.state = f"ended with status {status}: {last}"
    else:
        stage.state = f"whole, but {', '.join(crashed)} crashed" if crashed else "whole"


def write(folder: Path, facts: dict[str, Any], stages: Iterable[Found]) -> tuple[Path, Path]:
    """Write what is known so far, each file whole or not at all.

    Args:
        folder: Where to.
        facts: Of the machine.
        stages: With their rows.

    Raises:
        OutputError: They cannot be written.
    """
    stages = list(stages)
    lines = ["# GPU", "", "`python benchmarks/gpu.py`", ""]
    lines += [f"- {key}: {_cell(value)}" for key, value in facts.items()]
    for stage in stages:
        lines += ["", *_lines(stage)]
    text, data = folder / "gpu.md", folder / "gpu.json"
    values = {"machine": facts, "stages": [asdict(stage) for stage in stages]}
    write_text(text, "\n".join(lines) + "\n")
    write_text(data, json.dumps(_finite(values), indent=2, allow_nan=False) + "\n")
    return text, data


def _lines(stage: Found) -> list[str]:
    """A stage as a section of the page."""
    lines = [f"## {stage.name}", "", f"{stage.state} ({stage.seconds:.0f} s)"]
    measured = [row for row in stage.rows if "error" not in row]
    titles = list(dict.fromkeys(key for row in measured for key in row))
    if titles:
        lines += ["", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        lines += [f"| {' | '.join(_cell(r.get(t)) for t in titles)} |" for r in measured]
    failed = [row for row in stage.rows if "error" in row]
    return lines + [""] * bool(failed) + [f"- {_failure(row)}" for row in failed]


def _failure(row: dict[str, Any]) -> str:
    return ", ".join(_cell(v) for k, v in row.items() if k != "error") + ": " + _cell(row["error"])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _finite(value: object) -> Any:
    """The same with null where a number is not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _until(command: Sequence[str], log: Path, end: float) -> int | None:
    """Exit status of a command; None where it had to be ended, with all that it started."""
    left = end - time.monotonic()
    if left < LEAST_S:
        return None
    places = (HERE.parent, HERE, *BESIDE, os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(p) for p in places if p)}
    with log.open("a") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env=environment, start_new_session=True
        )
        try:
            return process.wait(left)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _read(rows: Path) -> list[dict[str, Any]]:
    """All whole lines of what a process has written."""
    lines = rows.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _told(rows: Path, key: str) -> list[Any]:
    return [line[key] for line in _read(rows) if key in line]


if __name__ == "__main__":
    sys.exit(main())
