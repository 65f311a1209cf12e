"""A folder of motion-capture files to one npz file of 17-joint sequences.

Recordings are named SS_TT after subject and trial, as in the public database. A table
``recordings.csv`` in the folder (columns ``name``, ``action``, ``fps``; the last two may be empty)
names actions and frame rates, which the files themselves do not hold.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lifting.data.mocap import cleaning
from lifting.data.mocap.acclaim import AMC_FPS, read_amc, read_asf
from lifting.data.mocap.bvh import read_bvh
from lifting.data.mocap.captured import CapturedMotion, FloatArray, Form
from lifting.data.mocap.mapping import JointMap, to_h36m17
from lifting.data.sets.cmu.files import FILE_JOINTS
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import DataError, MissingDataError
from lifting.files.npz import write_npz_atomically
from lifting.skeleton import H36M_17

TABLE = "recordings.csv"
UNNAMED_ACTION = "motion"
SAME_SKELETON_MM = 25.0
MAX_LISTED = 20
_NAME = re.compile(r"(\d{1,3})_(\d{1,3})")


@dataclass(frozen=True)
class Recording:
    """One file to convert."""

    path: Path
    subject: int
    form: Form
    action: str = UNNAMED_ACTION
    fps: float | None = None

    @property
    def skeleton(self) -> str:
        """Name of the skeleton it shares with the subject's other files of this form."""
        return f"{'asf' if self.form == 'amc' else 'bvh'}{self.subject:02d}"


@dataclass(frozen=True)
class Clip:
    """A clean piece of a recording, ``(T, 17, 3)`` mm at 50 frames a second."""

    name: str
    recording: Recording
    pose: FloatArray


@dataclass
class ConversionReport:
    """What a conversion did.

    Attributes:
        output: File that was written.
        sequences: Sequences in it.
        frames: Frames in it.
        parts: Sequences by part of the split.
        repaired_frames: Source frames that were interpolated.
        dropped_frames: Source frames in glitches too long to repair or pieces too short.
        skipped: File and reason, for files that gave nothing.
        notes: File and what it lacked and got, in words.
        approximate: File and its joints that were placed by guessed lengths; the form of the
            output cannot mark them.
    """

    output: Path
    sequences: int = 0
    frames: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    repaired_frames: int = 0
    dropped_frames: int = 0
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    approximate: list[tuple[Path, tuple[str, ...]]] = field(default_factory=list)


def convert_folder(
    source: Path, output: Path, joint_map: JointMap | None = None
) -> ConversionReport:
    """Convert every AMC and BVH file below a folder.

    A recording that exists in both forms is taken from AMC, which has the measured skeleton.

    Args:
        source: Folder; AMC files need the ASF file of their subject (SS.asf) in it.
        output: The npz file to write, in the form of ``cmu_h36m17.npz``.
        joint_map: Naming convention of the files of its form; None chooses one for each.

    Raises:
        MissingDataError: The folder or a skeleton file is missing, or there is nothing in it.
        DataError: Files are malformed; nothing is written and the message lists them.
    """
    report = ConversionReport(output)
    clips: list[Clip] = []
    failures: list[str] = []
    for recording in find_recordings(source, report):
        try:
            clips.extend(_convert(recording, source, joint_map, report))
        except DataError as error:
            failures.append(str(error))
    if failures:
        more = f" (and {len(failures) - MAX_LISTED} more)" if len(failures) > MAX_LISTED else ""
        listed = "\n  ".join(failures[:MAX_LISTED])
        raise DataError(
            f"expected readable recordings in {source}, got {len(failures)} that are not; "
            f"repair or remove them, nothing was written:\n  {listed}{more}"
        )
    if not clips:
        raise DataError(
            f"expected a recording of at least {cleaning.SHORTEST_PIECE_S:g} s in {source}, got "
            "none; add longer recordings"
        )
    arrays = _arrays(_equalise(clips))
    write_npz_atomically(output, **arrays)
    report.sequences, report.frames = len(clips), len(arrays["positions_mm"])
    report.parts = {
        part: int((arrays["split"] == part).sum()) for part in ("train", "val", "test")
    }
    return report


def find_recordings(source: Path, report: ConversionReport) -> list[Recording]:
    """Recordings below a folder, by name; what is left out goes into the report.

    Args:
        source: The folder.
        report: Takes the files that are skipped.

    Raises:
        MissingDataError: The folder is missing or holds no recording.
        DataError: A file name or the table is malformed.
    """
    if not source.is_dir():
        raise MissingDataError(
            f"expected a folder of .amc or .bvh files at {source}, found none; give --source DIR"
        )
    table = _read_table(source / TABLE)
    found: dict[str, Recording] = {}
    files = [p for p in sorted(source.rglob("*")) if p.suffix.lower() in (".amc", ".bvh")]
    # AMC first: a later file of the same name is the retargeted form of the same recording.
    for path in sorted(files, key=lambda p: (p.suffix.lower(), p)):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise DataError(
                f"expected a name SS_TT (subject, trial) such as 02_01{path.suffix}, got "
                f"{path}; rename the file, the split goes by subject"
            )
        name = f"{int(match[1]):02d}_{int(match[2]):02d}"
        if name in found:
            report.skipped.append((path, f"same recording as {found[name].path.name}"))
            continue
        form: Form = "amc" if path.suffix.lower() == ".amc" else "bvh"
        action, fps = table.get(name, (UNNAMED_ACTION, None))
        found[name] = Recording(path, int(match[1]), form, action, fps)
    if not found:
        raise MissingDataError(
            f"expected .amc or .bvh files below {source}, found none; check --source"
        )
    return [found[name] for name in sorted(found)]


def _read_table(path: Path) -> Mapping[str, tuple[str, float | None]]:
    """Action and frame rate by name of the recording; empty without a table."""
    if not path.is_file():
        return {}
    table: dict[str, tuple[str, float | None]] = {}
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"expected a table in UTF-8 in {path}, got: {error}; save it as plain CSV"
        ) from error
    for line, row in enumerate(rows, start=2):
        name, rate = (row.get("name") or "").strip(), (row.get("fps") or "").strip()
        match = _NAME.fullmatch(name)
        if match is None or (rate and re.fullmatch(r"\d{1,4}(\.\d+)?", rate) is None):
            raise DataError(
                f"{path}, line {line}: expected a name SS_TT, an action and frames a second, "
                f"got name '{name}', fps '{rate}'; correct the table"
            )
        key = f"{int(match[1]):02d}_{int(match[2]):02d}"
        table[key] = ((row.get("action") or "").strip() or UNNAMED_ACTION,
                      float(rate) if rate else None)  # fmt: skip
    return table


def _read(recording: Recording, source: Path) -> CapturedMotion:
    if recording.form == "bvh":
        motion = read_bvh(recording.path)
        return motion if recording.fps is None else replace(motion, fps=recording.fps)
    skeleton = read_asf(_skeleton_file(recording, source))
    return read_amc(recording.path, skeleton, recording.fps or AMC_FPS)


def _skeleton_file(recording: Recording, source: Path) -> Path:
    """The skeleton of a recording's subject: beside it, else anywhere below the folder."""
    name = recording.path.stem.split("_")[0]
    for candidates in (recording.path.parent.glob(f"{name}.*"), source.rglob(f"{name}.*")):
        found = sorted(path for path in candidates if path.suffix.lower() == ".asf")
        if found:
            return found[0]
    raise MissingDataError(
        f"expected the skeleton {name}.asf of {recording.path} below {source}, found none; "
        "put it beside the motion file"
    )


def _convert(
    recording: Recording, source: Path, joint_map: JointMap | None, report: ConversionReport
) -> list[Clip]:
    """Clean pieces of one recording, each still with its own bone lengths."""
    CMU_PUBLIC_SPLIT.part(recording.subject)
    motion = _read(recording, source)
    fits = joint_map is not None and (joint_map.form or "bvh") == motion.form
    mapped = to_h36m17(motion, joint_map if fits else None)
    if mapped.notes:
        report.notes.append((recording.path, "; ".join(mapped.notes)))
    if mapped.approximate:
        report.approximate.append((recording.path, mapped.approximate))
    repaired = cleaning.repair(mapped.pose, motion.fps)
    report.repaired_frames += repaired.repaired_frames
    report.dropped_frames += repaired.dropped_frames
    if not repaired.pieces:
        reason = f"no piece of {cleaning.SHORTEST_PIECE_S:g} s without a jump"
        report.skipped.append((recording.path, reason))
    subject, trial = recording.path.stem.split("_")
    name = f"{int(subject):02d}_{int(trial):02d}"
    several = len(repaired.pieces) > 1
    return [
        Clip(
            f"{name}_c{i}" if several else name,
            recording,
            cleaning.resample(cleaning.low_pass(piece, motion.fps), motion.fps),
        )
        for i, piece in enumerate(repaired.pieces)
    ]


def _equalise(clips: Sequence[Clip]) -> tuple[list[Clip], dict[str, FloatArray]]:
    """Clips on the floor with their skeletons' mean bone lengths, and those lengths."""
    totals: dict[str, tuple[FloatArray, int]] = {}
    for clip in clips:
        total, count = totals.get(clip.recording.skeleton, (np.zeros(len(H36M_17)), 0))
        total = total + cleaning.bone_lengths(clip.pose).sum(axis=0)
        totals[clip.recording.skeleton] = (total, count + len(clip.pose))
    lengths = {name: total / count for name, (total, count) in sorted(totals.items())}
    equalised = []
    for clip in clips:
        own = lengths[clip.recording.skeleton]
        away = np.abs(cleaning.bone_lengths(clip.pose).mean(axis=0) - own)
        if away.max() > SAME_SKELETON_MM:
            raise DataError(
                f"{clip.recording.path}: expected the bone lengths of skeleton "
                f"{clip.recording.skeleton}, got {FILE_JOINTS[int(away.argmax())]} "
                f"{away.max():.0f} mm away; files of one subject must share one skeleton"
            )
        pose = cleaning.ground(cleaning.with_bone_lengths(clip.pose, own))
        equalised.append(replace(clip, pose=pose))
    return equalised, lengths


def _arrays(
    equalised: tuple[list[Clip], dict[str, FloatArray]],
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """The arrays of the file."""
    clips, lengths = equalised
    for clip in clips:
        if np.abs(clip.pose).max() >= np.iinfo(np.int16).max:
            raise DataError(
                f"{clip.recording.path}: expected motion within 32 m of its centre, got "
                f"{np.abs(clip.pose).max() / 1000:.0f} m; cut the recording"
            )
    recordings = [clip.recording for clip in clips]
    counts = [len(clip.pose) for clip in clips]
    return {
        "positions_mm": np.round(np.concatenate([clip.pose for clip in clips])).astype(np.int16),
        "offsets": np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        "names": np.array([clip.name for clip in clips]),
        "subjects": np.array([f"S{r.subject:02d}" for r in recordings]),
        "actions": np.array([r.action for r in recordings]),
        "sources": np.array([r.form for r in recordings]),
        "skeletons": np.array([r.skeleton for r in recordings]),
        "split": np.array([CMU_PUBLIC_SPLIT.part(r.subject) for r in recordings]),
        "split_name": np.array(CMU_PUBLIC_SPLIT.name),
        "fps": np.array(cleaning.TARGET_FPS, dtype=np.float32),
        "joint_names": np.array(FILE_JOINTS),
        "parents": np.array(H36M_17.parents, dtype=np.int16),
        "skeleton_names": np.array(list(lengths)),
        "bone_lengths_mm": np.stack(list(lengths.values())).astype(np.float32),
    }
