"""The page of recorded leaderboards: tables to sort by a click, each cell linked to its record.

A page is one file that needs no network.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from lifting.atomic import write_text
from lifting.studies.board import FURTHER_NOTE, ORACLE_NOTE, Standing, Table, read_table
from lifting.studies.board import further_cells as further
from lifting.studies.page import MISSING, caption, number, scored_frames

_STYLE = """<style>
.board{border-collapse:collapse;display:block;overflow-x:auto;font-size:.85rem}
.board th,.board td{padding:.2rem .5rem;text-align:right;white-space:nowrap}
.board th:first-child,.board td:first-child{text-align:left}
.board th{cursor:pointer;border-bottom:1px solid}
.board a{color:inherit;text-decoration:none}
.board a:hover{text-decoration:underline}
</style>"""
_SORT = """<script>
document.querySelectorAll("table.board th").forEach((head) => {
  head.addEventListener("click", () => {
    const column = head.cellIndex, body = head.closest("table").tBodies[0];
    const down = head.dataset.down = head.dataset.down === "0" ? "1" : "0";
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down === "1" ? -order : order;
    });
    body.append(...rows);
  });
});
</script>"""
_TITLES = (
    "method", "budget", "seeds", "CPU s", "validation MPJPE", "MPJPE", "± seeds", "PA-MPJPE",
    "drawn x steps", "velocity", "acceleration", "ECE", "lost joints", "wrong joints", "optimised",
    "parameters", "samples seen", "multiply-adds", "CPU ms a pose", "memory MB",
)  # fmt: skip


class _Recorded(NamedTuple):
    """A table and the file it was read from."""

    name: str
    path: str
    table: Table


def write_board_page(files: Sequence[Path], path: Path) -> Path:
    """Write a page of recorded leaderboards.

    Args:
        files: What ``lifting leaderboard`` wrote, each a ``leaderboard.json``.
        path: The page.

    Raises:
        MissingDataError: A file is not there.
        DataError: A file is no JSON.
        ConfigError: A file is no such table.
        OutputError: The page cannot be written.
    """
    title = "Leaderboard"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    style = (
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font-family:sans-serif;margin:clamp(.6rem,3vw,2rem);max-width:100rem}"
        "p,pre,code{overflow-wrap:anywhere;white-space:pre-wrap}p{max-width:48rem}</style>"
    )
    body = "\n".join(board_lines(files))
    write_text(path, f"{head}{style}\n<h1>{title}</h1>\n{body}\n</html>\n")
    return path


def board_lines(files: Sequence[Path]) -> Iterator[str]:
    """The body of the page, in HTML that also stands in Markdown.

    Args:
        files: As of :func:`write_board_page`.
    """
    yield _STYLE
    for place, path in enumerate(files):
        table = read_table(path)
        name = str(table.data["name"])
        yield from _section(_Recorded(f"{name}-{place}" if place else name, path.name, table))
    yield _SORT


def command_of(row: Standing, plan: dict[str, Any]) -> str:
    """The command that trains and scores one line again.

    Args:
        row: The line, of a training.
        plan: Of its table, as plain values.
    """
    seeds = f"x{len(row.seeds)}" if len(row.seeds) > 1 else ""
    words = ["lifting", "leaderboard", row.method, "--budgets", f"{row.budget}{seeds}"]
    if plan.get("data"):
        words += ["--data", str(plan["data"])]
    if plan.get("gflops"):
        words += ["--gflops", f"{plan['gflops']:g}"]
    words += ["--every", str(plan["every"])]
    if row.looks:
        words += ["--look", f"{row.looks['poses']:.0f}"]
    for text in plan.get("overrides", ()):
        words += ["--set", str(text)]
    return shlex.join(words)


def _section(of: _Recorded) -> Iterator[str]:
    """Both tables of a file, and how each line came about."""
    table, data, plan = of.table, of.table.data, of.table.plan
    speed = f" of a processor with {plan['gflops']:g} GFLOP/s" if plan.get("gflops") else ""
    yield f"<h2>{escape(str(data['name']))}</h2>"
    yield _paragraph(
        f"Trained for CPU-seconds{speed}, scored on {scored_frames(int(data['every']))} of the "
        f"test split under the protocol {data['protocol']}; MPJPE and PA-MPJPE in mm. "
        f"{FURTHER_NOTE} A dash, or no column: not recorded, or it does not apply. A click on a "
        "title sorts, one on a cell leads to its record and command, below the tables."
    )
    where = {key: str(value) for key, value in table.machine.items() if key != "gflops"}
    yield _paragraph(
        f"Written on {caption(where)}, {table.machine['gflops']} GFLOP/s; code "
        f"{', '.join(table.versions)}."
    )
    texts = [_texts(row) for row in table.rows]
    known = [i for i in range(len(_TITLES)) if any(row[i] != MISSING for row in texts)]
    yield from _table(
        [_TITLES[i] for i in known],
        (
            [_linked(of, row, text[i]) for i in known]
            for row, text in zip(table.rows, texts, strict=True)
        ),
    )
    told = [
        (row, key, value)
        for row in table.rows
        for key, value in sorted((row.oracle or {}).items())
    ]
    if told:
        yield _paragraph(ORACLE_NOTE)
        titles = ("method", "budget", "oracle", "mm")
        rows = (
            [_linked(of, row, text) for text in (row.method, number(row.budget, ","))]
            + [_linked(of, row, key), _linked(of, row, number(value))]
            for row, key, value in told
        )
        yield from _table(titles, rows)
    yield "<details><summary>Records and commands</summary>"
    for row in table.rows:
        record = escape(json.dumps(asdict(row), indent=1, allow_nan=False))
        how = "" if row.budget is None else f"<code>{escape(command_of(row, plan))}</code>"
        title = f"<b>{escape(_name(row))}</b> ({escape(of.path)})"
        yield f'<div id="{_anchor(of, row)}">{title}<br>{how}<pre>{record}</pre></div>'
    yield "</details>"


def _texts(row: Standing) -> tuple[str, ...]:
    more = further(row)
    return (
        row.method,
        number(row.budget, ","),
        number(len(row.seeds) or None, "d"),
        number(row.cpu_seconds, ",.0f"),
        number(row.val_mpjpe_mm),
        number(row.scores.get("mpjpe_mm")),
        number((row.spread or {}).get("mpjpe_mm"), ".2f"),
        number(row.scores.get("pa_mpjpe_mm")),
        *more[2:9],
        number(row.parameters, ","),
        number(row.samples, ","),
        more[9],
        number(row.pose_cpu_ms, ".3f"),
        more[10],
    )


def _linked(of: _Recorded, row: Standing, text: str) -> str:
    """A cell that leads to its record; a dash sorts after everything."""
    value = "" if text == MISSING else text.replace(",", "")
    return (
        f'<td data-value="{escape(value)}"><a href="#{_anchor(of, row)}">{escape(text)}</a></td>'
    )


def _table(titles: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    yield f'<table class="board"><thead><tr>{head}</tr></thead><tbody>'
    for cells in rows:
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _name(row: Standing) -> str:
    return row.method if row.budget is None else f"{row.method}, {row.budget:,} CPU-seconds"


def _anchor(of: _Recorded, row: Standing) -> str:
    return escape(f"{of.name}-{row.method}-{row.budget or 0}")
