"""Subjects, recordings and frames against what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lifting.data.doctor.rows import CheckRow, Verdict, judged
from lifting.data.doctor.specimen import Keypoints, Take

_AGAIN = (
    "the files are cut short or not whole: get them again, or expect other figures than published"
)
_OTHER = "another edition of the data set: figures will not compare with published ones"


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
