"""``result.json``: a number together with everything it depends on. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lifting.atomic import write_text
from lifting.errors import DataError, suggest
from lifting.files.json_file import as_json

SCHEMA_VERSION = 1
Scores = dict[str, float]


# Begins the keys of a record's protocol under which fingerprints of pose clusters stand.
CLUSTERS_OF = "clusters of "
COVERAGE = "coverage"  # in `samples`, of answers that leave some out: the share that is there
INITIALISED = "initialised_from"  # where a training got its first weights


@dataclass(kw_only=True)
class ResultRecord:
    """One evaluation of one model.

    Attributes:
        experiment: Name of the experiment.
        method: Name of the method.
        dataset: Data set that was scored.
        split: Split that was scored.
        two_d: Where the 2D input comes from (detector, noise model, ground truth).
        frames: Frames a method sees for one answer.
        flip: Averaged with the mirrored input.
        joints: Names of the joints of the labels.
        root_rule: How poses are centred before scoring.
        protocol: Protocol and its identifier by metric.
        unit: Unit of lengths.
        samples: Which samples of the split were scored: ``every`` n-th frame, ``target`` frames of
            a window, at most ``batches``, the ``fingerprint`` of the split's data, and where some
            are not answered the ``coverage``.
        hypotheses: Poses sampled for one answer, 1 for a deterministic method.
        steps: Sampling or refinement steps of one answer, None where there are none.
        aggregation: How hypotheses become one answer, None where there is one.
        oracle_flags: What an answer was told of the truth, by name; empty for an honest one.
        seed: Seed of the run.
        budget: ``epochs``, ``steps``, ``seconds``, ``cpu_seconds``, ``devices``.
        weights: SHA-256 of the weights.
        packages: Versions by package.
        git: ``commit`` and ``dirty``.
        data: Facts of the data's source, and the fingerprint of all splits.
        metrics: Deployable scores by key.
        oracle: Scores that need the truth to choose an answer, by key; never shown beside others.
        baselines: Scores by key, by name of the baseline.
        extras: Whatever else the method says of itself.
        schema: Version of this form.
    """

    experiment: str
    method: str
    dataset: str
    split: str
    two_d: str
    frames: int
    flip: bool
    joints: list[str]
    root_rule: str
    protocol: dict[str, str]
    unit: str
    samples: dict[str, Any]
    seed: int
    weights: str
    metrics: Scores
    hypotheses: int = 1
    steps: int | None = None
    aggregation: str | None = None
    oracle_flags: dict[str, Any] = field(default_factory=dict)
    budget: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    oracle: Scores = field(default_factory=dict)
    baselines: dict[str, Scores] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION


def write_record(path: Path, record: ResultRecord) -> None:
    """Write a record whole or not at all; a score that is not finite becomes null.

    Args:
        path: The file, usually ``result.json`` in the run's folder.
        record: What to write.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, as_json(asdict(record)))


def read_record(path: Path) -> ResultRecord:
    """Read a record; a null score comes back as NaN.

    Raises:
        DataError: No such file, no JSON, another schema, or a field that is missing, unknown or
            of the wrong kind.
    """
    plain = _read_json(path)
    schema = plain.get("schema")
    if schema != SCHEMA_VERSION:
        raise DataError(
            f"expected a result record of schema {SCHEMA_VERSION}, got schema {schema!r} in "
            f"{path}; evaluate the checkpoint again with `lifting test`"
        )
    known = {f.name: f for f in dataclasses.fields(ResultRecord)}
    for name in plain:
        if name not in known:
            raise DataError(f"unknown field '{name}' in {path}; {suggest(name, known)}")
    required = (
        f.name
        for f in known.values()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    missing = [name for name in required if name not in plain]
    if missing:
        raise DataError(
            f"expected the fields {', '.join(missing)} in {path}, got none of them; evaluate the "
            "checkpoint again with `lifting test`"
        )
    for name in ("metrics", "oracle"):
        plain[name] = _scores(plain.get(name, {}), name, path)
    baselines = _mapping(plain.get("baselines", {}), "baselines", path)
    plain["baselines"] = {k: _scores(v, f"baselines.{k}", path) for k, v in baselines.items()}
    _check_kinds(plain, path)
    return ResultRecord(**plain)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"expected a result record at {path}, got no file; `lifting test` writes one"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"expected a result record in JSON, got {path}, which cannot be read ({error}); "
            "evaluate the checkpoint again with `lifting test`"
        ) from error
    return _mapping(plain, "record", path)


def _mapping(value: Any, name: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"expected '{name}' to be a mapping, got {type(value).__name__} in {path}; evaluate "
            "the checkpoint again with `lifting test`"
        )
    return value


def _scores(value: Any, name: str, path: Path) -> Scores:
    scores: Scores = {}
    for key, score in _mapping(value, name, path).items():
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise DataError(
                f"expected a number for '{name}.{key}', got {score!r} in {path}; evaluate the "
                "checkpoint again with `lifting test`"
            )
        scores[key] = math.nan if score is None else float(score)
    return scores


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("experiment", "method", "dataset", "split", "two_d", "root_rule", "unit", "weights"), str
    ),
    **dict.fromkeys(("frames", "seed", "hypotheses"), int),
    **dict.fromkeys(
        ("protocol", "samples", "budget", "packages", "git", "data", "oracle_flags", "extras"),
        dict,
    ),
    "joints": list,
    "flip": bool,
    "steps": (int, type(None)),
    "aggregation": (str, type(None)),
}


def _check_kinds(plain: Mapping[str, Any], path: Path) -> None:
    for name, kind in _KINDS.items():
        if name in plain and not isinstance(plain[name], kind):
            raise DataError(
                f"expected '{name}' of another kind, got {plain[name]!r} in {path}; evaluate the "
                "checkpoint again with `lifting test`"
            )
