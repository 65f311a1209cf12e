"""What ``lifting data list`` and ``lifting data prepare`` run.

Everything returns plain rows; how they are printed is the command line's business. No torch is
imported, so the answers are quick.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lifting.data.cmu_file import CREDIT, FILE_NAME
from lifting.data.config import DATASETS
from lifting.data.describe import ABOUT, MAKES_ITSELF, READ_AS_IS, Fact, about, is_found
from lifting.data.files import VARIABLE
from lifting.data.mocap.convert import MAX_LISTED, convert_folder
from lifting.data.mocap.mapping import read_joint_map
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import ConfigError, OutputError


@dataclass(frozen=True)
class DatasetRow:
    """One data set in the list.

    Attributes:
        name: Name for ``data.name``.
        summary: What it is.
        files: What must be there.
        state: ``ready``, or what to do.
    """

    name: str
    summary: str
    files: str
    state: str


def list_datasets() -> list[DatasetRow]:
    """The data sets that can be named, and whether their files are found."""
    return [
        DatasetRow(name, DATASETS[name], known.files_in_words(), _state(name))
        for name, known in sorted(ABOUT.items())
    ]


def _state(name: str) -> str:
    if is_found(name):
        return "ready"
    return f"not found: set {VARIABLE} or see `lifting data describe {name}`"


def prepare(
    name: str, source: Path, output: Path | None = None, joint_map: Path | None = None
) -> list[Fact]:
    """Make a data set's file from source files.

    Args:
        name: Data set.
        source: Folder of the source files.
        output: File (``.npz``) or folder to write to; None is the data folder of the
            environment, or the current folder without one.
        joint_map: File that says which names of BVH files are the joints, JSON or TOML.

    Returns:
        What was done.

    Raises:
        ConfigError: No data set has that name, or it needs no preparation.
        DataError: The source files are missing or malformed.
        OutputError: The output exists already or cannot be written.
    """
    if name != "cmu":
        need = READ_AS_IS if about(name).files else MAKES_ITSELF
        raise ConfigError(
            f"data set '{name}' needs {need}; there is nothing to prepare, see `lifting data "
            f"describe {name}`"
        )
    target = _output_file(name, FILE_NAME, output)
    if target.exists():
        raise OutputError(
            f"expected a new file for data set '{name}', got {target}, which exists; "
            "remove it or choose another --output"
        )
    return _prepare_cmu(source, target, joint_map)


def _output_file(name: str, filename: str, output: Path | None) -> Path:
    if output is not None:
        return output if output.suffix == ".npz" else output / filename
    base = os.environ.get(VARIABLE)
    return Path(base).expanduser() / name / filename if base else Path.cwd() / filename


def _prepare_cmu(source: Path, output: Path, joint_map: Path | None) -> list[Fact]:
    report = convert_folder(source, output, read_joint_map(joint_map) if joint_map else None)
    parts = ", ".join(f"{part} {count}" for part, count in report.parts.items())
    facts = [
        ("written", str(report.output)),
        ("sequences", f"{report.sequences} ({parts})"),
        ("frames", str(report.frames)),
        ("split", CMU_PUBLIC_SPLIT.name),
        ("frames repaired", str(report.repaired_frames)),
        ("frames dropped", str(report.dropped_frames)),
        ("credit", CREDIT),
    ]
    facts += [("skipped", f"{path}: {reason}") for path, reason in report.skipped]
    facts += _some("warning", [f"{path}: {text}" for path, text in report.notes])
    guessed = [f"{path}: {', '.join(joints)}" for path, joints in report.approximate]
    return facts + _some("placed by guessed lengths, not measured; the file has no mark for it",
                         guessed)  # fmt: skip


def _some(name: str, texts: Sequence[str]) -> list[Fact]:
    more = len(texts) - MAX_LISTED
    shown = [(name, text) for text in texts[:MAX_LISTED]]
    return shown + ([(name, f"and {more} more recordings")] if more > 0 else [])
