"""Compares result records, and refuses to compare what cannot be. Imports no torch.

Rows are records; columns are facts of the method and scores. Scores share a column only when they
were obtained under the same protocol, and those that need the truth to choose an answer (oracle)
never stand beside deployable ones.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifting.errors import DataError
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.record import CLUSTERS_OF, ResultRecord, read_record

Kind = Literal["metrics", "oracle"]
HEADLINE = "mpjpe_mm"
ORDER = ("mpjpe_mm", "mpjpe_action_mm", "pa_mpjpe_mm", "pa_mpjpe_action_mm", "n_mpjpe_mm")
MISSING = "-"


@dataclass(frozen=True)
class Entry:
    """A record and where it was found.

    Attributes:
        path: The file.
        record: Its content.
    """

    path: Path
    record: ResultRecord


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Attributes:
        title: Headline.
        columns: Names of the columns.
        rows: Cells, as many a row as there are columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def find_records(places: Iterable[Path]) -> list[Entry]:
    """Read every record below some folders, or the named files.

    Raises:
        DataError: A place does not exist or holds no record, or a record is damaged.
    """
    entries: dict[Path, Entry] = {}
    for place in places:
        if not place.exists():
            raise DataError(
                f"expected a folder with results, got {place}, which does not exist; name one "
                "below outputs/"
            )
        files = sorted(place.rglob(RECORD_FILE)) if place.is_dir() else [place]
        if not files:
            raise DataError(
                f"expected a {RECORD_FILE} below {place}, got none; `lifting train` and `lifting "
                "test` write one at the end"
            )
        for file in files:
            entries.setdefault(file.resolve(), Entry(file, read_record(file)))
    return list(entries.values())


def protocol_key(record: ResultRecord) -> dict[str, str]:
    """Everything two scores must share to stand in one column, by name."""
    identifier = record.protocol.get(HEADLINE) or "; ".join(sorted(record.protocol.values()))
    return {
        "data set": record.dataset,
        "split": record.split,
        "2D source": record.two_d,
        "joints": f"{len(record.joints)}: {' '.join(record.joints)}",
        "root rule": record.root_rule,
        "unit": record.unit,
        "protocol": record.protocol.get("name", MISSING),
        "protocol id": identifier,
        **{k: v for k, v in record.protocol.items() if k.startswith(CLUSTERS_OF)},
        **{f"samples: {k}": str(v) for k, v in sorted(record.samples.items())},
        "told of the truth": json.dumps(record.oracle_flags, sort_keys=True),
    }


def group_by_protocol(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries of equal protocol together, in order of first appearance."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        key = json.dumps(protocol_key(entry.record), sort_keys=True)
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


def differences(groups: Sequence[Sequence[Entry]]) -> dict[str, list[str]]:
    """What differs between groups: the value of each group, by name of the rule."""
    keys = [protocol_key(group[0].record) for group in groups]
    names = dict.fromkeys(name for key in keys for name in key)
    found = {name: [key.get(name, MISSING) for key in keys] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def refusal(groups: Sequence[Sequence[Entry]]) -> str:
    """Why these groups do not go into one table, and what to do."""
    lines = [
        f"expected records of one protocol, got {len(groups)} that differ; show them apart with "
        "--mixed, or name the folders of one protocol"
    ]
    for name, values in differences(groups).items():
        lines.append(f"  {name}:")
        for value, group in zip(values, groups, strict=True):
            more = f" and {len(group) - 1} more" if len(group) > 1 else ""
            lines.append(f"    {value}   ({group[0].path.parent}{more})")
    return "\n".join(lines)


def build_sheet(
    groups: Sequence[Sequence[Entry]], *, kind: Kind = "metrics", summarise: bool = False
) -> Sheet:
    """Lay records out as a table, the best first.

    Args:
        groups: Entries by protocol; several get a column that names each row's protocol.
        kind: Which scores: ``metrics`` or ``oracle``.
        summarise: One row for all seeds of an experiment, mean and standard deviation.
    """
    scores = _score_names([entry.record for group in groups for entry in group], kind)
    mixed = len(groups) > 1
    facts = ("experiment", "method", "frames", "flip", "H", "steps", "aggregation")
    columns = (
        *(("protocol",) if mixed else ()),
        *facts,
        "seeds" if summarise else "seed",
        *scores,
    )
    rows: list[tuple[str, ...]] = []
    for letter, group in zip(letters(), groups, strict=False):
        bundles = _bundles(group) if summarise else [[entry] for entry in group]
        bundles.sort(key=lambda bundle: _rank([e.record for e in bundle], kind))
        for bundle in bundles:
            records = [entry.record for entry in bundle]
            start = (letter,) if mixed else ()
            cells = tuple(_cell([getattr(r, kind).get(name) for r in records]) for name in scores)
            rows.append((*start, *_facts(records[0]), _seeds(records, summarise), *cells))
    return Sheet(_title(groups, kind), columns, tuple(rows))


def legend(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """One line a protocol letter: how it differs from the others."""
    found = differences(groups)
    lines = []
    for index, letter in zip(range(len(groups)), letters(), strict=False):
        lines.append(
            f"{letter}: "
            + "; ".join(f"{name} = {values[index]}" for name, values in found.items())
        )
    return lines


def letters() -> Iterable[str]:
    """Names of protocols in a mixed table: A, B, ..., Z, A1, B1, ..."""
    index = 0
    while True:
        suffix = "" if index < 26 else str(index // 26)
        yield chr(ord("A") + index % 26) + suffix
        index += 1


def _score_names(records: Sequence[ResultRecord], kind: Kind) -> tuple[str, ...]:
    """Scores of the main answer over all samples; single actions and extra answers stay out."""
    found: dict[str, None] = {}
    for record in records:
        scores: Mapping[str, float] = getattr(record, kind)
        depth = 0 if kind == "metrics" else 1
        found.update(dict.fromkeys(k for k in scores if k.count("/") <= depth))
    first = [name for name in ORDER if name in found]
    return (*first, *(name for name in found if name not in first))


def _bundles(group: Sequence[Entry]) -> list[list[Entry]]:
    """Entries that differ by nothing but the seed."""
    bundles: dict[tuple[str, ...], list[Entry]] = {}
    for entry in group:
        bundles.setdefault(_facts(entry.record), []).append(entry)
    return list(bundles.values())


def _facts(record: ResultRecord) -> tuple[str, ...]:
    return (
        record.experiment,
        record.method,
        str(record.frames),
        "yes" if record.flip else "no",
        str(record.hypotheses),
        MISSING if record.steps is None else str(record.steps),
        record.aggregation or MISSING,
    )


def _seeds(records: Sequence[ResultRecord], summarise: bool) -> str:
    if not summarise:
        return str(records[0].seed)
    return f"{len(records)} ({', '.join(str(r.seed) for r in records)})"


def _cell(values: Sequence[float | None]) -> str:
    """A score, or mean and sample standard deviation of several."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    digits = 2 if max(abs(value) for value in known) >= 1 else 4
    mean = f"{statistics.fmean(known):.{digits}f}"
    if len(known) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(known):.{digits}f}"


def _rank(records: Sequence[ResultRecord], kind: Kind) -> tuple[float, str]:
    scores = [next(iter(getattr(r, kind).values()), float("inf")) for r in records]
    if kind == "metrics":
        scores = [r.metrics.get(HEADLINE, float("inf")) for r in records]
    return statistics.fmean(scores), records[0].experiment


def _title(groups: Sequence[Sequence[Entry]], kind: Kind) -> str:
    what = "oracle scores: the truth chose the answer" if kind == "oracle" else "results"
    if len(groups) > 1:
        return f"{what}, {len(groups)} protocols"
    record = groups[0][0].record
    return (
        f"{what}: {record.dataset} {record.split}, 2D {record.two_d}, {record.root_rule}, "
        f"protocol {record.protocol.get('name', MISSING)}"
    )
