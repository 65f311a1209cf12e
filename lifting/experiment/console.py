"""Where a command says its result: to a person in the width of the terminal, or as JSON.

Results go through `console`; what is said on the way is printed or logged. ``--json`` moves all
but the result to the standard error, ``--quiet`` leaves it out. Imports no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from lifting.files.json_file import as_json

WIDTH = 80  # where there is no terminal, and COLUMNS says nothing else
SILENCE_SECONDS = 2.0
_WIDEST_NAME = 28  # of the columns at the left, where a table is cut into several
_GAP = 2


class Console:
    """The result of a command: lines and tables, and the same as values."""

    def __init__(self) -> None:
        self._pulse: Pulse | None = None
        self._machine = False
        self._out: TextIO | None = None
        self._values: dict[str, Any] = {}

    @contextmanager
    def opened(self, *, machine: bool = False, quiet: bool = False) -> Iterator[None]:
        """Let a command speak, and print its values in the end if a machine is to read them.

        Args:
            machine: The standard output gets one JSON object, and nothing of a command that fails.
            quiet: Only results, warnings and errors are said.
        """
        before = self._machine, self._out, self._values
        with ExitStack() as stack:
            talk: TextIO
            if quiet:
                talk = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            else:
                self._pulse = stack.enter_context(beating())
                talk = sys.stderr if machine else sys.stdout
            self._machine, self._out, self._values = machine, sys.stdout, {}
            try:
                with redirect_stdout(talk):
                    yield
                # A further process of a training has the same command line.
                if machine and os.environ.get("LOCAL_RANK", "0") == "0":
                    self._out.write(as_json(self._values))
            finally:
                self._machine, self._out, self._values = before
                self._pulse = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What would be a result is none within, as a training of many of a command."""
        before = self._machine, self._out, self._values
        self._machine, self._out, self._values = False, None, {}
        try:
            yield
        finally:
            self._machine, self._out, self._values = before

    def tell(self, text: str, **values: Any) -> None:
        """Say a line, or hand a machine what it says."""
        self._values.update(values)
        if text and not self._machine:
            self._stream().write(f"{text}\n")

    def say(self, text: str) -> None:
        """Say on the way how far the work is, in the width of the terminal."""
        sys.stdout.write(f"{folded(text)}\n")
        sys.stdout.flush()

    def hold(self, held: bool) -> None:
        """Leave the line of the sign of life to another bar, or take it back."""
        if self._pulse is not None:
            self._pulse.held = held

    def values(self, **values: Any) -> None:
        """Hand a machine what a person is told elsewhere."""
        self._values.update(values)

    def written(self, path: Path, note: str = "") -> None:
        """Say that a file was written."""
        files = self._values.setdefault("written", [])
        files.append(path)
        self.tell(f"written: {path}{note}")

    def study(self, files: Iterable[Path]) -> None:
        """Say what a study wrote; a machine gets the content of its JSON."""
        for path in files:
            self.written(path)
            if self._machine and path.suffix == ".json":
                self._values.update(json.loads(path.read_text(encoding="utf-8")))

    def facts(self, title: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and what they stand for."""
        pairs = list(pairs)
        self._values.update(pairs)
        self._print(title, ("", ""), pairs, 2, {})

    def table(
        self,
        title: str,
        columns: Iterable[str],
        rows: Iterable[Sequence[str]],
        *,
        left: int = 2,
        values: Mapping[str, Any] | None = None,
        styles: Mapping[str, str] | None = None,
    ) -> None:
        """Print a table; where it is too wide, its columns at the right stand below one another.

        Args:
            title: Above it.
            columns: Their names.
            rows: Cells, as they are.
            left: Columns at the left, of words, which are folded; the others are numbers.
            values: What a machine gets; default: the cells by column, as ``rows``.
            styles: By cell.
        """
        names, cells = tuple(columns), [tuple(row) for row in rows]
        if values is None:
            values = {"rows": [dict(zip(names, row, strict=True)) for row in cells]}
        self._values.update(values)
        self._print(title, names, cells, left, styles or {})

    def _print(
        self,
        title: str,
        names: Sequence[str],
        rows: Sequence[Sequence[str]],
        left: int,
        styles: Mapping[str, str],
    ) -> None:
        if self._machine:
            return
        from rich import box  # slower than all else that a list or a help text needs
        from rich.cells import cell_len
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        stream = self._stream()
        width = _width()
        colours = stream.isatty() and not os.environ.get("NO_COLOR")
        printer = RichConsole(
            file=stream, width=width, color_system="auto" if colours else None, highlight=False,
            force_terminal=colours,
        )  # fmt: skip
        most = [max((cell_len(row[i]) for row in rows), default=0) for i in range(len(names))]
        widths = [max(cell_len(name), n) for name, n in zip(names, most, strict=True)]
        if len(list(blocks(widths, left, width))) > 1:  # else names of several words stay whole
            words = [max(map(cell_len, name.split()), default=0) for name in names]
            widths = list(map(max, words, most))
        for number, block in enumerate(blocks(widths, left, width)):
            table = Table(
                title=title if number == 0 else None,
                title_justify="left",
                show_header=any(names),
                box=box.SIMPLE_HEAD,
                pad_edge=False,
                padding=(0, _GAP - 1, 0, 0),
                show_edge=False,
            )
            for i in block:
                if i < left:
                    table.add_column(names[i], overflow="fold")
                else:
                    table.add_column(names[i], justify="right", width=min(widths[i], width))
            for row in rows:
                table.add_row(*(Text(row[i], style=styles.get(row[i], "")) for i in block))
            printer.print(table)
            stream.write("\n")

    def _stream(self) -> TextIO:
        return self._out or sys.stdout


def folded(text: str, width: int | None = None) -> str:
    """Lines of at most so many letters; what belongs to a line above is set in.

    Words, and so paths, stay whole, and what stands between fences of Markdown as it is.

    Args:
        text: Of several lines.
        width: Default: that of the terminal, where results go.
    """
    width = width or _width()
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if fenced or len(line) <= width:
            lines.append(line)
            continue
        start = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(
            line, width, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def blocks(widths: Sequence[int], left: int, width: int) -> Iterator[list[int]]:
    """Columns of the tables that a wide one is cut into; each begins with those at the left.

    Args:
        widths: Letters that each column takes.
        left: Number of columns at the left, which can be folded.
        width: Letters that there are.
    """
    names = list(range(left))
    start = sum(min(widths[i], _WIDEST_NAME) + _GAP for i in names)
    block, taken = list(names), start
    for i in range(left, len(widths)):
        if len(block) > left and taken + widths[i] > width:
            yield block
            block, taken = list(names), start
        block.append(i)
        taken += widths[i] + _GAP
    yield block


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 0)).columns


class Pulse:
    """Says on a terminal that the work goes on, once nothing was said for two seconds.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.held = False  # while a bar shows how far a training is
        self._stream = stream
        self._began = self._last = time.monotonic()
        self._shown = False

    def heard(self) -> None:
        """Something is said now: its line is free."""
        self._last = time.monotonic()
        if self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def beat(self, stop: threading.Event) -> None:
        """Look again and again, until the command is done."""
        while not stop.wait(SILENCE_SECONDS / 4):
            now = time.monotonic()
            if self.held or now - self._last < SILENCE_SECONDS:
                continue
            self._shown = True
            self._stream.write(f"\r\x1b[Kworking, {now - self._began:.0f} s")
            self._stream.flush()


class _Heard:
    """A stream whose text the pulse gives way to."""

    def __init__(self, stream: TextIO, pulse: Pulse) -> None:
        self._stream = stream
        self._pulse = pulse

    def write(self, text: str) -> int:
        self._pulse.heard()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def beating() -> Iterator[Pulse | None]:
    """A pulse, where the standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    pulse, stop = Pulse(sys.stderr), threading.Event()
    thread = threading.Thread(target=pulse.beat, args=(stop,), daemon=True)
    out: Any = _Heard(sys.stdout, pulse)
    err: Any = _Heard(sys.stderr, pulse)
    with redirect_stdout(out), redirect_stderr(err):
        thread.start()
        try:
            yield pulse
        finally:
            stop.set()
            thread.join()
            pulse.heard()


console = Console()
