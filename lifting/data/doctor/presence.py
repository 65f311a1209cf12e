"""What is there: files, known checksums, readable containers, and as much as was published."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from lifting.data.doctor.takes import CheckRow, Keypoints, Take, Verdict, failed, judged
from lifting.data.folders import VARIABLE, search_folders
from lifting.errors import DataError
from lifting.files.checks import sha256_of
from lifting.files.npz import Array

SUMS = "SHA256SUMS"
_SHOWN = 6
_MAX_SUMS_BYTES = 1_000_000
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")
Read = TypeVar("Read")

_AGAIN = (
    "the files are cut short or not whole: get them again, or expect other figures than published"
)
_OTHER = "another edition of the data set: figures will not compare with published ones"


def find_files(name: str, root: str | None, patterns: Iterable[str]) -> list[Path]:
    """Files below a data set's folders, each name once, the first folder first.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.
        patterns: Which files, relative to the folder.
    """
    found: dict[str, Path] = {}
    wanted = tuple(patterns)
    for folder in search_folders(name, root):
        for pattern in wanted:
            for path in sorted(folder.glob(pattern)):
                if path.is_file():
                    found.setdefault(path.relative_to(folder).as_posix(), path)
    return [found[key] for key in sorted(found)]


def check_presence(
    name: str, root: str | None, what: str, found: list[Path], needed: bool = True
) -> CheckRow:
    """Whether files are there; where they were looked for when they are not.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.
        what: The files, in words.
        found: Those that were found.
        needed: Whether the data set is of no use without them.
    """
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return CheckRow("files", what, ", ".join(map(str, found[:_SHOWN])) + more, "ok")
    looked = " or ".join(map(str, search_folders(name, root))) or "any folder"
    return CheckRow(
        "files",
        what,
        f"not found in {looked}",
        "fail" if needed else "warn",
        f"set {VARIABLE} to the folder that holds {name}/ or give --root; `lifting data describe "
        f"{name}` says where the files are to be had",
    )


def check_content(paths: Iterable[Path]) -> list[CheckRow]:
    """Checksums of files, against a list ``SHA256SUMS`` beside them.

    Args:
        paths: Existing files.
    """
    rows = []
    for path in paths:
        listed = _sums(path.parent / SUMS)
        wanted = listed.get(path.name)
        digest = sha256_of(path)
        expected = (
            f"sha256 {wanted[:12]}..." if wanted else f"no sha256 published, and none in {SUMS}"
        )
        rows.append(
            judged(
                f"content {path.name}",
                expected,
                f"{digest[:12]}...",
                "ok" if wanted in (None, digest) else "fail",
                f"another or a damaged file: get it again, or correct {SUMS}",
            )
        )
    return rows


def _sums(path: Path) -> dict[str, str]:
    """Checksums by file name, as the program sha256sum writes them."""
    if not path.is_file() or path.stat().st_size > _MAX_SUMS_BYTES:
        return {}
    matches = map(_LINE.fullmatch, path.read_text(encoding="utf-8", errors="replace").split("\n"))
    return {Path(m[2].strip()).name: m[1].lower() for m in matches if m is not None}


def attempt(
    rows: list[CheckRow], what: str, expected: str, read: Callable[[], Read]
) -> Read | None:
    """What a reader gives, or None and a row with its refusal.

    Args:
        rows: Takes the row.
        what: The thing that is read.
        expected: What a good file has.
        read: The reader.
    """
    try:
        return read()
    except DataError as error:
        rows.append(failed(what, expected, error))
        return None


class Shapes:
    """Takes arrays out of containers and remembers those of a wrong shape.

    Args:
        what: Names the file.
        expected: The right shape, in words.
    """

    def __init__(self, what: str, expected: str) -> None:
        self.what, self.expected = what, expected
        self.wrong: list[str] = []
        self.count = 0

    def take(self, value: object, tail: tuple[tuple[int, ...], ...], where: str) -> Array | None:
        """An array ``(frames, *tail)`` of numbers; None, remembered, when it is none.

        Args:
            value: What the file has.
            tail: Sizes that each further axis may have; none for any size.
            where: Names it.
        """
        self.count += 1
        if (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "fiu"
            and value.ndim == len(tail) + 1
            and len(value)
            and all(not t or n in t for n, t in zip(value.shape[1:], tail, strict=True))
        ):
            return value
        got = (
            f"{value.dtype} {value.shape}"
            if isinstance(value, np.ndarray)
            else type(value).__name__
        )
        self.wrong.append(f"{where}: {got}")
        return None

    def miss(self, where: str) -> None:
        """Remember something that cannot be taken at all."""
        self.count += 1
        self.wrong.append(where)

    def row(self) -> CheckRow:
        """The row about all arrays that were taken."""
        bad = len(self.wrong)
        return judged(
            f"shapes {self.what}",
            self.expected,
            f"{bad} of {self.count} are not, first {self.wrong[0]}"
            if bad
            else f"{self.count} arrays",
            "fail" if bad else "ok",
            "the file is of another form: get it again from its source",
        )


@dataclass(frozen=True)
class Group:
    """Takes that were counted together.

    Attributes:
        label: Names the group in tables.
        subjects: Whose takes.
        names: Which of their recordings; empty for all.
        frames: Frames of all of them, of one camera; None when unknown.
        valid: Frames that count; None when unknown.
        tolerance: Share by which the frames may differ.
    """

    label: str
    subjects: tuple[str, ...]
    names: tuple[str, ...] = ()
    frames: int | None = None
    valid: int | None = None
    tolerance: float = 0.0

    def has(self, take: Take) -> bool:
        """Whether a take is of the group."""
        return take.subject in self.subjects and (not self.names or take.name in self.names)


@dataclass(frozen=True)
class Published:
    """What is known of a data set.

    Attributes:
        subjects: Those it has.
        recordings: How many recordings a subject has.
        actions: What each subject does.
        groups: Frames.
    """

    subjects: tuple[str, ...]
    recordings: dict[str, int] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()


def check_counts(takes: Sequence[Take], published: Published, label: str = "") -> list[CheckRow]:
    """Compare what is there with what was published.

    Args:
        takes: All takes; one label may come several times, once a camera.
        published: What should be there.
        label: Ends the name of each row.
    """
    ending = f" {label}" if label else ""
    present = set(dict.fromkeys(take.subject for take in takes))
    missing = [s for s in published.subjects if s not in present]
    rows = [
        judged(
            f"subjects{ending}",
            ", ".join(published.subjects),
            f"missing {', '.join(missing)}" if missing else f"{len(present)} subjects",
            "fail" if missing else "ok",
            "the published split needs them: get the whole data set, or name others in the data "
            "section",
        )
    ]
    if published.recordings:
        rows.append(_recordings(takes, published, ending))
    if published.actions:
        rows.append(_actions(takes, published, ending))
    for group in published.groups:
        if not set(group.subjects) & set(missing):
            rows += _frames([take for take in takes if group.has(take)], group, ending)
    return rows


def _recordings(takes: Sequence[Take], published: Published, ending: str) -> CheckRow:
    counts = Counter(label.partition("/")[0] for label in {take.label for take in takes})
    wrong = {
        subject: counts[subject]
        for subject, count in published.recordings.items()
        if subject in counts and counts[subject] != count
    }
    fewer = any(count < published.recordings[subject] for subject, count in wrong.items())
    verdict: Verdict = "fail" if fewer else "warn" if wrong else "ok"
    return judged(
        f"recordings{ending}",
        ", ".join(f"{s} {n}" for s, n in published.recordings.items()),
        ", ".join(f"{s} {n}" for s, n in wrong.items()) or "as published",
        verdict,
        _AGAIN if fewer else _OTHER,
    )


def _actions(takes: Sequence[Take], published: Published, ending: str) -> CheckRow:
    done = {(take.subject, take.action) for take in takes}
    lacking = [
        f"{subject}/{action}"
        for subject in dict.fromkeys(take.subject for take in takes)
        for action in published.actions
        if (subject, action) not in done
    ]
    return judged(
        f"actions{ending}",
        f"{len(published.actions)} of each subject",
        f"missing {', '.join(lacking[:6])}" + (" ..." if len(lacking) > 6 else "")
        if lacking
        else "all",
        "fail" if lacking else "ok",
        _AGAIN,
    )


def _frames(takes: Sequence[Take], group: Group, ending: str) -> list[CheckRow]:
    """Rows about the frames of a group, and about the cameras of one recording."""
    rows: list[CheckRow] = []
    lengths: dict[str, set[int]] = {}
    valid: dict[str, int] = {}
    for take in takes:
        lengths.setdefault(take.label, set()).add(len(take.joints))
        valid[take.label] = len(take.joints) if take.valid is None else int(take.valid.sum())
    uneven = {name: sizes for name, sizes in lengths.items() if len(sizes) > 1}
    if uneven:
        name, sizes = next(iter(uneven.items()))
        rows.append(
            judged(f"frames {group.label}{ending}", "as many in every camera",
                   f"{min(sizes)} to {max(sizes)} in {name}", "fail", _AGAIN)
        )  # fmt: skip
    elif group.frames is not None:
        found = sum(min(sizes) for sizes in lengths.values())
        rows.append(
            _compare(f"frames {group.label}{ending}", group.frames, found, group.tolerance)
        )
    if group.valid is not None:
        row = _compare(f"valid frames {group.label}{ending}", group.valid, sum(valid.values()), 0)
        rows.append(row)
    return rows


def _compare(what: str, expected: int, found: int, tolerance: float) -> CheckRow:
    away = found - expected
    small = abs(away) <= tolerance * expected
    verdict: Verdict = "ok" if small else "fail" if away < 0 else "warn"
    difference = f" ({'+' if away > 0 else ''}{away})" if away else ""
    return judged(
        what,
        f"{expected} (published)",
        f"{found}{difference}",
        verdict,
        _AGAIN if away < 0 else _OTHER,
    )


def check_lengths(keypoints: Keypoints) -> CheckRow:
    """Whether the 2D arrays have a frame for each label, and not many more.

    Args:
        keypoints: A 2D file.
    """
    short, long = [], []
    for sight in keypoints.sights:
        labels, seen = len(sight.take.joints), len(sight.keypoints)
        where = f"{sight.label}: {seen} for {labels} labels"
        if seen < labels:
            short.append(where)
        elif seen > 1.1 * labels + 10:
            long.append(where)
    verdict: Verdict = "fail" if short else "warn" if long else "ok"
    wrong = short or long
    words = "too few" if short else "many more"
    return judged(
        f"frames {keypoints.label}",
        "one for each label, or a few more",
        f"{words} in {len(wrong)} of {len(keypoints.sights)}, first {wrong[0]}"
        if wrong
        else "as expected",
        verdict,
        "the 2D file is cut short, or of another edition: get it again"
        if short
        else "the 3D file may be cut short: compare its frames with the published counts",
    )
