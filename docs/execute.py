"""Runs the marked blocks of a page as a reader would, and gives back what they said.

A page is executed from top to bottom in an empty folder with an environment of its own, which
borrows the packages of this one. A block is marked behind its language:

* ``python file=NAME`` (or any language) is written to that file
* ``bash run`` holds commands, one a line; ``bash run status=2`` expects that exit status
* ``python run`` is a program

Other blocks are only shown. Programs and ``lifting`` commands run in copies of a process that has
imported torch already: its import would cost each of them ten seconds.

    python docs/execute.py docs/tutorials/method.md ...   # prints what the pages' blocks print
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import signal
import site
import subprocess
import sys
import tempfile
import traceback
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HEAVY = (
    "torch", "pytorch_lightning", "torchmetrics", "wandb", "omegaconf", "scipy.optimize", "rich",
    "matplotlib.pyplot",
)  # fmt: skip
PROGRAMS = {"lifting": "lifting.cli.main", "pytest": "pytest"}  # by command: who has its ``main``
LONGEST = 60  # lines of output that a page shows
SECONDS = 300  # that a command may take
_BLOCK = re.compile(r"^```(?P<info>[a-z]\S* .+)\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE)


class Block(NamedTuple):
    """A marked block of a page.

    Attributes:
        language: First word behind the fence.
        file: To write; empty for a block that is run.
        status: That the block is to end with.
        body: The lines.
        start: Place of the opening fence in the page's text.
        end: Place behind the closing fence.
    """

    language: str
    file: str
    status: int
    body: str
    start: int
    end: int


class PageError(Exception):
    """A block did not do what its page says."""


def blocks(text: str) -> list[Block]:
    """The marked blocks of a page, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        language, *words = match["info"].split()
        options = dict(word.partition("=")[::2] for word in words)
        if "file" in options or "run" in options:
            status = int(options.get("status", 0))
            file = options.get("file", "")
            found.append(Block(language, file, status, match["body"], *match.span()))
    return found


def execute(text: str) -> list[str]:
    """What each marked block of a page printed; files print nothing.

    Raises:
        PageError: A block ended with another status than the page says.
    """
    with tempfile.TemporaryDirectory(prefix="page-") as name:
        place = Path(name).resolve()
        folder, environment = place / "work", _environment(place)
        folder.mkdir()
        return [_done(block, folder, environment) for block in blocks(text)]


def with_outputs(text: str, outputs: Sequence[str]) -> str:
    """The page as it is shown: without marks, and each block's output behind it."""
    parts, at = [], 0
    for block, output in zip(blocks(text), outputs, strict=True):
        parts.append(text[at : block.start])
        caption = f":caption: {block.file}\n" if block.file else ""
        parts.append(f"```{{code-block}} {block.language}\n{caption}\n{block.body}```")
        if output:
            parts.append(f"\n\n```{{code-block}} text\n:class: output\n\n{output}\n```")
        at = block.end
    return "".join([*parts, text[at:]])


def _environment(place: Path) -> dict[str, str]:
    """A virtual environment that borrows ours, and variables that keep everything in one place."""
    home = place / "environment"
    venv.create(home, symlinks=True)
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in borrowed]
    (_packages(home) / "borrowed.pth").write_text("\n".join(lines))
    pip = home / "bin" / "pip"
    offline = "--quiet --no-index --no-deps --no-build-isolation"
    pip.write_text(
        f'#!/bin/sh\ncommand=$1; shift\nexec {home}/bin/python -m pip "$command" {offline} "$@"\n'
    )
    pip.chmod(0o755)
    dropped = ("LIFTING_DATA", "LIFTING_EXPERIMENTS", "LIFTING_GOLDEN", "PYTHONSTARTUP")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(home),
        "LIFTING_CACHE": str(place / "cache"),
        "LIFTING_WEIGHTS": str(place / "weights"),
        "WANDB_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "90",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def _packages(home: Path) -> Path:
    return next((home / "lib").glob("python*")) / "site-packages"


def _done(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What the block printed."""
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
        return ""
    if block.language == "python":
        steps = [["python", block.body]]
    else:
        lines = block.body.replace("\\\n", " ").splitlines()
        steps = [_step(line) for line in lines if line.strip() and not line.startswith("#")]
    said: list[str] = []
    for number, step in enumerate(steps):
        status, output = _run(step, folder, environment)
        said.append(output.replace(f"{folder}/", "").replace(str(folder.parent), "...").rstrip())
        expected = block.status if number == len(steps) - 1 else 0
        if status != expected:
            raise PageError(
                f"expected exit status {expected}, got {status} of: {' '.join(step)}\n{output}"
            )
    shown = "\n".join(filter(None, said)).splitlines()
    if len(shown) > LONGEST:
        shown = [*shown[: LONGEST - 10], "...", *shown[-9:]]
    return "\n".join(line.rstrip() for line in shown)


def _step(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return words if words[0] in PROGRAMS else ["bash", line]


def _run(step: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of one command."""
    if step[0] == "bash":
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step[1]], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout
    with tempfile.TemporaryFile("w+b") as output:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _become(step, folder, environment, output.fileno())
        _, ended_with = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(ended_with), output.read().decode()


def _become(step: list[str], folder: Path, environment: dict[str, str], output: int) -> None:
    """The copy of this process turns into the command, and ends."""
    status = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.dont_write_bytecode = True  # a page may list its folder
        sys.stdout = sys.stderr = os.fdopen(1, "w", 1, encoding="utf-8", closefd=False)
        signal.alarm(SECONDS)
        site.addsitedir(str(_packages(Path(environment["VIRTUAL_ENV"]))))
        importlib.invalidate_caches()
        if step[0] in PROGRAMS:
            sys.argv = step
            status = int(importlib.import_module(PROGRAMS[step[0]]).main(step[1:]))
        else:
            sys.path.insert(0, str(folder))
            exec(compile(step[1], "program", "exec"), {"__name__": "__main__"})
            status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(pages: Sequence[str]) -> int:
    """Execute pages; with the variable DOCS_OUTPUTS their outputs go to that file, as JSON."""
    for name in HEAVY:
        importlib.import_module(name)
    outputs: dict[str, list[str]] = {}
    for page in pages:
        try:
            outputs[page] = execute(Path(page).read_text(encoding="utf-8"))
        except PageError as failure:
            print(f"{page}: {failure}", file=sys.stderr)
            return 1
    if target := os.environ.get("DOCS_OUTPUTS"):
        Path(target).write_text(json.dumps(outputs), encoding="utf-8")
    else:
        for printed in outputs.values():
            print("\n\n".join(filter(None, printed)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
