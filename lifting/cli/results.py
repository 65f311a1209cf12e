"""``lifting results``: a table from result records."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.experiment.console import console

if TYPE_CHECKING:
    from lifting.experiment.results import Sheet

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

FORMATS = ("table", "markdown", "csv")
STATUS_REFUSED = 2


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "results",
        help="table of result records; different protocols are kept apart",
        description="Print a table of every result.json below some folders. Records of different "
        "protocols are refused (exit status 2) unless --mixed is given.",
    )
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="folder or file")
    parser.add_argument("--format", choices=FORMATS, default="table", help="form of the output")
    parser.add_argument(
        "--mixed", action="store_true", help="show different protocols, each row with its own"
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="also show scores for which the truth chose the answer, in a table of their own "
        "(csv: only these)",
    )
    parser.add_argument(
        "--summarise", action="store_true", help="mean and standard deviation over seeds"
    )
    parser.set_defaults(handler=handle)


def handle(args: argparse.Namespace) -> int:
    """Print the table; returns the exit status."""
    from lifting.experiment.results import (
        build_sheet,
        find_records,
        group_by_protocol,
        legend,
        refusal,
    )

    groups = group_by_protocol(find_records(args.places))
    if len(groups) > 1 and not args.mixed:
        sys.stderr.write(refusal(groups) + "\n")
        return STATUS_REFUSED
    sheets = {"deployable": build_sheet(groups, summarise=args.summarise)}
    if args.oracle:
        sheets["oracle"] = build_sheet(groups, kind="oracle", summarise=args.summarise)
    notes = legend(groups) if len(groups) > 1 else []
    if args.format == "csv":
        _write_csv(sheets["oracle" if args.oracle else "deployable"])
    elif args.format == "markdown":
        _write_markdown(list(sheets.values()), notes)
    else:
        _write_tables(sheets, notes)
    return 0


def _write_tables(sheets: dict[str, Sheet], notes: list[str]) -> None:
    for name, sheet in sheets.items():
        rows = [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
        console.table(sheet.title, sheet.columns, sheet.rows, values={name: rows})
    console.tell("\n".join(notes), protocols=notes)


def _write_markdown(sheets: list[Sheet], notes: list[str]) -> None:
    blocks = []
    for sheet in sheets:
        lines = [f"**{sheet.title}**", "", _markdown_row(sheet.columns)]
        lines.append(_markdown_row(["---"] * len(sheet.columns)))
        lines.extend(_markdown_row(row) for row in sheet.rows)
        blocks.append("\n".join(lines))
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    sys.stdout.write("\n\n".join(blocks) + "\n")


def _markdown_row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _write_csv(sheet: Sheet) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(sheet.columns)
    writer.writerows(sheet.rows)
