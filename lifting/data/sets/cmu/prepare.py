"""``lifting data prepare cmu``: recordings to the one file of 17-joint sequences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lifting.data.describe import Fact
from lifting.data.folders import VARIABLE
from lifting.data.mocap.convert import MAX_LISTED, convert_folder
from lifting.data.mocap.mapping import read_joint_map
from lifting.data.sets.cmu.files import CREDIT, FILE_NAME
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import OutputError


def prepare(source: Path, output: Path | None, joint_map: Path | None) -> list[Fact]:
    """Make the file.

    Args:
        source: Folder of the source files.
        output: File (``.npz``) or folder to write to; None is the data folder of the
            environment, or the current folder without one.
        joint_map: File that says which names of BVH files are the joints, JSON or TOML.

    Returns:
        What was done.

    Raises:
        DataError: The source files are missing or malformed.
        OutputError: The output exists already or cannot be written.
    """
    target = _output_file(output)
    if target.exists():
        raise OutputError(
            f"expected a new file for data set 'cmu', got {target}, which exists; "
            "remove it or choose another --output"
        )
    report = convert_folder(source, target, read_joint_map(joint_map) if joint_map else None)
    parts = ", ".join(f"{part} {count}" for part, count in report.parts.items())
    facts = [
        ("written", str(report.output)),
        ("sequences", f"{report.sequences} ({parts})"),
        ("frames", str(report.frames)),
        ("split", CMU_PUBLIC_SPLIT.name),
        ("frames repaired", str(report.repaired_frames)),
        ("frames dropped", str(report.dropped_frames)),
        ("credit", CREDIT),
        ("next", "lifting data check cmu, which looks whether the joints are in their places"),
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


def _output_file(output: Path | None) -> Path:
    if output is not None:
        return output if output.suffix == ".npz" else output / FILE_NAME
    base = os.environ.get(VARIABLE)
    return Path(base).expanduser() / "cmu" / FILE_NAME if base else Path.cwd() / FILE_NAME
