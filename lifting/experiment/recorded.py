"""What a plain method reached in the same time, from the curves of ``lifting leaderboard``.

A newcomer's first question of a score is whether a plain method would have done. It is answered
from ``experiments/curves``, without training anything again, and only where both scores are of the
same samples under the same protocol. Imports no torch.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lifting.experiment.load import list_files
from lifting.experiment.record import INITIALISED, ResultRecord

METHOD = "simple_baseline"
CURVES = "curves/*.json"
HEADLINE = "mpjpe_mm"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """Scores of the plain method.

    Attributes:
        name: Method, and after how many CPU-seconds.
        scores: By metric.
        notes: Lines that say how they came about.
    """

    name: str
    scores: dict[str, float]
    notes: tuple[str, ...]


def recorded_scores(
    record: ResultRecord, data: str, gflops: Callable[[], float]
) -> Recorded | None:
    """What the plain method scored after the work of a training, in CPU-seconds of its machine.

    Args:
        record: Of the training.
        data: Name of its data section.
        gflops: Speed of this machine, as the curves tell that of theirs; seconds compare by it.

    Returns:
        Interpolated over the logarithm of CPU-seconds between recorded budgets, the nearest one
        outside of them; None where nothing is recorded that may be compared.
    """
    seconds = record.budget.get("cpu_seconds") or 0.0
    # Weights that it started from cost seconds of another training.
    if record.method.startswith(METHOD) or seconds <= 0 or INITIALISED in record.extras:
        return None
    path: Path | None = None
    try:
        for path in list_files(CURVES).values():
            curves = json.loads(path.read_text(encoding="utf-8"))
            if _comparable(record, data, curves["data"]):
                return _at(curves, seconds, gflops())
    except Exception as error:  # whatever is wrong with a file, the training is done
        log.warning("nothing recorded to compare with, as %s cannot be read: %r", path, error)
    return None


def _comparable(record: ResultRecord, name: str, data: Mapping[str, Any]) -> bool:
    """Whether curves are of the same samples and protocol."""
    ours = {**record.samples, "protocol": record.protocol.get("name"), "name": name}
    wanted = {
        "name": data["name"], "fingerprint": data["test"], "protocol": data["protocol"],
        "every": data["every"], "target": data.get("target", "middle"),
        "batches": data.get("batches"),
    }  # fmt: skip
    return bool(ours["fingerprint"]) and all(ours.get(k) == v for k, v in wanted.items())


def _at(curves: Mapping[str, Any], seconds: float, gflops: float) -> Recorded | None:
    """The plain method's scores after as much work, told in the seconds of the curves' machine."""
    rows = [row for row in curves["rows"] if row["method"] == METHOD and row["scores"]]
    if not rows:  # no training came to an end
        return None
    if not all(0 < v < math.inf for r in rows for v in (r["cpu_seconds"], *r["scores"].values())):
        raise ValueError("scores or seconds that are no positive numbers")
    theirs = float(curves["machine"]["gflops"])

    # Rows that were taken from another table may be of a machine of another speed.
    def work(row: Mapping[str, Any]) -> float:
        return float(row["cpu_seconds"] * (row.get("gflops") or theirs) / theirs)

    rows.sort(key=work)
    spent = [work(row) for row in rows]
    first, last = spent[0], spent[-1]
    same = seconds * gflops / theirs
    at = min(max(same, first), last)
    shared = [key for key in rows[0]["scores"] if all(key in row["scores"] for row in rows)]
    scores = {
        key: float(np.interp(math.log(at), np.log(spent), [row["scores"][key] for row in rows]))
        for key in shared
    }
    notes = [
        f"{same:.0f} CPU seconds of the recorded {METHOD} are the work of {seconds:.0f} here: by "
        f"a matrix product in one thread, {theirs:.0f} GFLOP/s there ({curves['machine']['cpu']}) "
        f"and {gflops:.0f} here"
    ]
    if at != same:
        notes.append(
            f"recorded from {first:.0f} to {last:.0f} CPU seconds: it stands there with the "
            "nearest end"
        )
    return Recorded(f"{METHOD} (recorded, {at:.0f} CPU s)", scores, tuple(notes))


def verdict(
    method: str, answers: Mapping[str, Mapping[str, float]], recorded: Recorded | None
) -> list[str]:
    """Who wins by MPJPE, in words; what one would rather not hear is said, too.

    Args:
        method: Name of the method, of whose own answer it is said whether it wins.
        answers: Scores by metric, by answer; the main one's name is empty. Those that an oracle
            chose do not count.
        recorded: Of the plain method; None where there is nothing to compare with.
    """
    values = {
        name: scores[HEADLINE]
        for name, scores in answers.items()
        if HEADLINE in scores and not name.startswith("oracle")
    }
    own = values.pop("", None)
    if own is None:
        return []
    lines = [
        f"{method} is no better than its own '{name}' alone: {own:.1f} mm, {name} {value:.1f}"
        for name, value in values.items()
        if value <= own
    ]
    if recorded is not None and HEADLINE in recorded.scores:
        values[recorded.name] = recorded.scores[HEADLINE]
        ranked = sorted(values.items(), key=lambda pair: pair[1])
        others = ", ".join(f"{name} {value:.1f}" for name, value in ranked)
        verb = "wins" if own < ranked[0][1] else f"does not win, {ranked[0][0]} does,"
        lines.insert(0, f"{method} {verb} by MPJPE: {own:.1f} mm, {others}")
    return lines
