"""What ``lifting data fetch cmu`` and ``lifting data prepare cmu`` run. Imports no torch.

Recordings of the CMU database come from their source, and become one file of 17-joint sequences.
Only data whose terms let anyone fetch them are fetched; for all others the command names the page
on which their owners give them away.

Source: mocap.cs.cmu.edu, the layout subjects/SS/SS.asf and subjects/SS/SS_TT.amc.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lifting.data.describe import Fact
from lifting.data.download import PART, Download, check_url
from lifting.data.folders import VARIABLE
from lifting.data.mocap.acclaim import read_asf, read_channels
from lifting.data.mocap.convert import MAX_LISTED, convert_folder
from lifting.data.mocap.mapping import read_joint_map
from lifting.data.sets.cmu.config import CREDIT, FILE_NAME
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import ConfigError, MissingDataError, OutputError

CMU_URL = "http://mocap.cs.cmu.edu"
# The subjects of the distributed 17-joint file: every part of the split has one of them.
DEFAULT_SUBJECTS = (1, 2, 5, 6, 7)
MISSES = 4  # trials that may be absent before a subject is taken to have no more
LAST_TRIAL = 99


@dataclass
class FetchReport:
    """What was fetched.

    Attributes:
        folder: Where the files are.
        new: Files received now.
        kept: Files that were there already.
        received: Bytes received now.
        absent: Subjects that the server does not have.
    """

    folder: Path
    new: int = 0
    kept: int = 0
    received: int = 0
    absent: list[int] = field(default_factory=list)


def fetch(
    *,
    subjects: str = "",
    output: Path | None = None,
    url: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Fact]:
    """Get recordings of the database, which anyone may fetch.

    Args:
        subjects: Which, such as ``1,5-7`` or ``all``; empty for a small choice.
        output: Folder to write to; None is ``cmu/raw`` in the data folder of the environment, or
            ``cmu_raw`` in the current one.
        url: Where the database is, for mirrors; None for its own server.
        progress: Told of each subject.

    Returns:
        What was done, and what to do next.

    Raises:
        ConfigError: An option is malformed.
        DataError: The server cannot be reached, or has something else there.
        OutputError: A file cannot be written.
    """
    folder = output or _default_folder()
    report = fetch_cmu(folder, parse_subjects(subjects), url=url or CMU_URL, progress=progress)
    facts = [
        ("folder", str(report.folder)),
        ("files", f"{report.new} received ({report.received / 1e6:.1f} MB), {report.kept} there"),
        ("next", f"lifting data prepare cmu --source {report.folder}"),
        ("frame rates", "120 a second unless a table recordings.csv says otherwise"),
        ("credit", CREDIT),
    ]
    if report.absent:
        facts.insert(2, ("not on the server", ", ".join(map(str, report.absent))))
    return facts


def _default_folder() -> Path:
    base = os.environ.get(VARIABLE)
    return Path(base).expanduser() / "cmu" / "raw" if base else Path.cwd() / "cmu_raw"


def parse_subjects(text: str) -> tuple[int, ...]:
    """Numbers of subjects from words.

    Args:
        text: Such as ``1,5-7``; ``all`` for every one; empty for a small choice.

    Raises:
        ConfigError: It says something else, or names a subject that cannot be.
    """
    last = CMU_PUBLIC_SPLIT.last_subject
    if text.strip() in ("", "all"):
        return DEFAULT_SUBJECTS if not text.strip() else tuple(range(1, last + 1))
    numbers: set[int] = set()
    for word in text.split(","):
        first, dash, end = (piece.strip() for piece in word.partition("-"))
        ends = (first, end if dash else first)
        whole = all(e.isascii() and e.isdigit() and 0 < len(e) <= 3 for e in ends)
        low, high = map(int, ends) if whole else (0, 0)
        if not 1 <= low <= high <= last:
            raise ConfigError(
                f"expected subjects from 1 to {last} such as 1,5-7, or 'all', got '{text:.80}'; "
                "correct --subjects"
            )
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def fetch_cmu(
    folder: Path,
    subjects: Sequence[int],
    *,
    url: str = CMU_URL,
    progress: Callable[[str], None] | None = None,
    download: Download | None = None,
) -> FetchReport:
    """Fetch skeletons and recordings of subjects of the CMU database.

    The database publishes no list that a program could rely on, so trials are asked for by number
    until several in a row are absent.

    Args:
        folder: Where the files go, all beside one another.
        subjects: Numbers of the subjects.
        url: Where the database is.
        progress: Told of each subject.
        download: How files are fetched.

    Raises:
        ConfigError: The address is not one of the web.
        DataError: The server cannot be reached, has something else there, or has none of them.
        OutputError: A file cannot be written.
    """
    check_url(url)
    agent, report = download or Download(), FetchReport(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"expected a folder at {folder}, got a file; choose another --output")
    for subject in subjects:
        count = _fetch_subject(agent, url.rstrip("/"), subject, report)
        if progress is not None:
            progress(f"subject {subject:02d}: {count} recordings")
    if len(report.absent) == len(subjects):
        raise MissingDataError(
            f"expected subjects {', '.join(map(str, subjects))} below {url}/subjects, got none of "
            "them; check --url and --subjects"
        )
    return report


def _fetch_subject(agent: Download, url: str, subject: int, report: FetchReport) -> int:
    """Skeleton and recordings of one subject; returns how many recordings there are."""
    name = f"{subject:02d}"
    base, skeleton_path = f"{url}/subjects/{name}", report.folder / f"{name}.asf"
    if not _take(agent, f"{base}/{name}.asf", skeleton_path, read_asf, report):
        report.absent.append(subject)
        return 0
    skeleton = read_asf(skeleton_path)

    def verify(path: Path) -> None:
        read_channels(path, skeleton)

    count = misses = 0
    for trial in range(1, LAST_TRIAL + 1):
        recording = f"{name}_{trial:02d}.amc"
        if _take(agent, f"{base}/{recording}", report.folder / recording, verify, report):
            count, misses = count + 1, 0
        else:
            misses += 1
        if misses == MISSES:
            break
    return count


def _take(
    agent: Download,
    url: str,
    path: Path,
    verify: Callable[[Path], object],
    report: FetchReport,
) -> bool:
    """One file; False when the server has none."""
    there = path.is_file()
    received = agent.fetch(url, path, verify)
    if received is None:
        path.with_name(path.name + PART).unlink(missing_ok=True)
        return False
    report.received += received
    report.kept += there
    report.new += not there
    return True


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
