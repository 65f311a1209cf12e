"""What a file or folder of keypoints is, told by its content, and opened within limits.

Nothing here knows a program's format: that is what ``dialects`` are for.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError, MissingDataError
from lifting.files.checks import Size
from lifting.files.json_file import parse_json, read_text_bytes, shown
from lifting.files.npz import ArrayHeader, npy_header, npz_headers
from lifting.files.sandbox import list_hdf5

Kind = Literal["json", "lines", "npz", "npy", "hdf5", "table", "numbers"]

PLAIN = (
    "or write an npz: keypoints_2d (frames, joints, 2) or (frames, people, joints, 2) in pixels, "
    "NaN where absent, and confidence, image_size (width, height), skeleton"
)
_KIND_NAMES: Mapping[Kind, str] = {
    "json": "JSON",
    "lines": "JSON, an object a line",
    "npz": "an npz",
    "npy": "an npy",
    "hdf5": "HDF5",
    "table": "a table of comma-separated values",
    "numbers": "lines of numbers",
}
_SUFFIXES = (".json", ".txt", ".csv", ".npy", ".npz")
_OF_EMPTY: Mapping[str, Kind] = {".txt": "numbers", ".csv": "table"}  # a frame without anyone
_BESIDE = ("classes.txt",)  # names of classes, which lie beside labels
_OF_FRAMES = ("_keypoints.json", ".predictions.json")  # other files may lie beside these
_HEAD = 4096
_MANY, _LISTED = 20, 8
_JSON = re.compile(r'[\[{]\s*([\[{"\]}\-0-9tfnNI]|$)')
_SETTINGS = (".toml", ".yml", ".yaml", ".ini", ".cfg")
# Beginnings of files that hold no keypoints, or none that can be read safely.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x80", "a pickle, which can run code when it is read",
     "load it where it was written, and save the arrays with numpy.savez, padded with NaN"),
    (b"HIERARCHY", "BVH, which is motion in 3D", "see `lifting data describe own`"),
    (b"PathFileType", "TRC, which is motion in 3D", "see `lifting data describe own`"),
    (b"glTF", "a GLB scene", "give the 2D keypoints of a detector"),
    (b"%YAML", "a calibration in YAML", "give the 2D keypoints of a detector"),
    (b"<?xml", "XML", "give the 2D keypoints of a detector"),
    (b"MATLAB", "a MATLAB file", "save the arrays as npz"),
    (b"\x89PNG", "a picture", "run a 2D detector on it first"),
    (b"\xff\xd8", "a picture", "run a 2D detector on it first"),
    (b"RIFF", "a video", "run a 2D detector on it first"),
    (b"\x1a\x45\xdf\xa3", "a video", "run a 2D detector on it first"),
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A file of keypoints, or a folder with one for every frame.

    Attributes:
        path: The file or folder.
        kind: Of the file, or of the files of the folder.
        content: Of a file, or of the first file of a folder that holds anything: a JSON value; the
            values of lines; headers of arrays by name (npz) or of one (npy); entries of HDF5 by
            path; rows of text (table) or of numbers.
        size: What may be read.
        files: Those of a folder, in natural order; empty for a file.
    """

    path: Path
    kind: Kind
    content: Any
    size: Size
    files: tuple[Path, ...] = field(default=())

    @property
    def is_folder(self) -> bool:
        """Whether there is a file for every frame."""
        return bool(self.files)

    def each(self) -> Iterator[tuple[Path, Any]]:
        """Every file of a folder with its content, or the file itself."""
        if not self.files:
            yield self.path, self.content
        for file in self.files:
            yield file, _open(file, self.kind, self.size)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names that the content uses: keys of its first objects, arrays, or a table's header."""
        if self.kind in ("npz", "hdf5"):
            return frozenset(name for name in self.content if "/_i_" not in name)
        if self.kind == "table":
            return frozenset(cell.strip() for row in self.content[:1] for cell in row)
        return frozenset(_keys(self.content, 4))

    def in_words(self) -> str:
        """What was seen, short enough for a message."""
        what = _KIND_NAMES[self.kind]
        if self.is_folder:
            what = f"a folder of {len(self.files)} files, each {what}"
        if self.kind == "npy":
            return f"{what} array of {self.content.dtype}, shape {self.content.shape}"
        names = ", ".join(sorted(str(key)[:24] for key in self.keys)[:_LISTED])
        if self.kind in ("npz", "hdf5", "table"):
            return f"{what} with {names or 'nothing'}"[:300]
        return f"{what}: {_outline(self.content)}{f' with {names}' if names else ''}"[:300]


def open_source(path: Path, size: Size | None = None) -> Source:
    """What is at a path, opened.

    Args:
        path: A file, or a folder of files a frame.
        size: What may be read.

    Raises:
        MissingDataError: Nothing is there.
        DataError: It is too large, damaged, or of a kind that holds no 2D keypoints.
    """
    size = size or Size()
    if path.is_dir():
        return _open_folder(path, size)
    if not path.is_file():
        raise MissingDataError(
            f"expected a keypoint file or folder at {path}, found none; check the path"
        )
    kind = _kind_of(path)
    if kind == "json":
        data = read_text_bytes(path, size)
        kind, content = _json_or_lines(path, data)
        return Source(path, kind, content, size)
    return Source(path, kind, _open(path, kind, size), size)


def first_entry(content: object) -> dict[str, object]:
    """The first object of a list, an empty one where there is none; an object itself.

    Args:
        content: A JSON value.
    """
    if isinstance(content, list):
        return next((entry for entry in content if isinstance(entry, dict) and entry), {})
    return content if isinstance(content, dict) else {}


def _open_folder(path: Path, size: Size) -> Source:
    inside = sorted(path.iterdir())
    by_suffix = {
        suffix: [
            f
            for f in inside
            if f.suffix.lower() == suffix and f.is_file() and f.name not in _BESIDE
        ]
        for suffix in _SUFFIXES
    }
    suffix, files = next(((s, f) for s, f in by_suffix.items() if f), ("", []))
    if not files or suffix in (".npy", ".npz"):
        folders = [f.name for f in inside if f.is_dir()]
        listed = ", ".join(folders[:6])
        advice = (
            f"give one of its folders ({listed}), or all to `lifting rig solve`"
            if folders
            else "give the folder that the detector wrote, or a single file"
        )
        raise DataError(
            f"expected a file for every frame of one video (JSON, txt or csv) in {path}, got "
            f"{len(files)} of them; {advice}"
        )
    size.check_frames(path, len(files))
    size.check_bytes(path, sum(file.stat().st_size for file in files))
    files.sort(key=lambda file: natural_key(file.name))
    kind: Kind | None = None
    content: Any = None
    for file in sorted(files, key=lambda file: not file.name.endswith(_OF_FRAMES)):
        found = _kind_of(file, _OF_EMPTY.get(suffix))
        if kind is not None and found != kind:
            continue  # said when it is read
        kind, content = found, _open(file, found, size)
        if _holds_something(content):
            break
    assert kind is not None
    return Source(path, kind, content, size, tuple(files))


def _holds_something(content: object) -> bool:
    if isinstance(content, dict):
        return any(value for value in content.values() if isinstance(value, list | dict))
    return (
        any(row not in (None, [], {}, [""]) for row in content)
        if isinstance(content, list)
        else True
    )


def _kind_of(path: Path, empty: Kind | None = None) -> Kind:
    """What the first bytes say."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    for mark, kind in ((b"PK\x03\x04", "npz"), (b"PK\x05\x06", "npz"), (b"\x93NUMPY", "npy")):
        if head.startswith(mark):
            return kind  # type: ignore[return-value]
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    for mark, what, advice in _OTHERS:
        if head.startswith(mark):
            raise DataError(f"expected 2D keypoints in {path}, got {what}; {advice}")
    if head[4:8] == b"ftyp":
        raise DataError(
            f"expected 2D keypoints in {path}, got a video; run a 2D detector on it first"
        )
    if head[1:2] == b"\x50" and head[:1] < b"\x10":
        raise DataError(
            f"expected 2D keypoints in {path}, got C3D, which is motion in 3D; see `lifting data "
            "describe own`"
        )
    return _text_kind(path, head, empty)


def _text_kind(path: Path, head: bytes, empty: Kind | None) -> Kind:
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = head.decode("utf-16" if wide else "utf-8-sig", "replace")
    begin = text.lstrip()
    if not begin and empty is not None:
        return empty
    if _JSON.match(begin) or path.suffix.lower() in (".json", ".jsonl"):
        return "json"
    if path.suffix.lower() in _SETTINGS:
        raise DataError(
            f"expected 2D keypoints in {path}, got settings or a calibration; give the file of a "
            "detector, and cameras to `lifting rig solve --cameras`"
        )
    line = begin.partition("\n")[0]
    if "\x00" in line or not begin:
        raise DataError(
            f"expected 2D keypoints in {path}, got "
            f"{f'bytes that begin with {head[:8]!r}' if head else 'an empty file'}; {PLAIN}"
        )
    if "," in line or path.suffix.lower() == ".csv":
        return "table"
    if all(_is_number(word) for word in line.split()):
        return "numbers"
    raise DataError(
        f"expected 2D keypoints in {path}, got text that begins with {line[:24]!r}; {PLAIN}"
    )


def _open(path: Path, kind: Kind, size: Size) -> Any:
    if kind == "json":
        return parse_json(path, read_text_bytes(path, size))
    if kind == "npz":
        headers = npz_headers(path, size.bytes)
        size.check_frames(path, max((_frames(header) for header in headers.values()), default=0))
        return headers
    if kind == "npy":
        header = npy_header(path, size.bytes)
        size.check_frames(path, _frames(header))
        return header
    if kind == "hdf5":
        size.check_bytes(path, path.stat().st_size)
        return list_hdf5(path)
    text = read_text_bytes(path, size).decode("utf-8-sig", "replace")
    if kind == "numbers":
        return [_numbers(path, line) for line in text.splitlines() if line.strip()]
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(
            f"expected comma-separated values in {path}, got {error}; export the file again"
        ) from error


def _frames(header: ArrayHeader) -> int:
    """Frames that an array may have: its longest axis but the joints'."""
    return max((n for n in header.shape[:-2]), default=header.shape[0] if header.shape else 0)


def _json_or_lines(path: Path, data: bytes) -> tuple[Kind, Any]:
    """One JSON value, or one a line."""
    first, _, rest = data.lstrip().partition(b"\n")
    if rest.lstrip()[:1] in (b"{", b"[") and first.rstrip()[-1:] in (b"}", b"]"):
        lines = [line for line in data.splitlines() if line.strip()]
        return "lines", [parse_json(path, line) for line in lines]
    return "json", parse_json(path, data)


def _numbers(path: Path, line: str) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        raise DataError(
            f"expected numbers separated by blanks in every line of {path}, got "
            f"{line[:24]!r}; export the file again"
        ) from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _keys(value: object, depth: int) -> set[str]:
    if depth and isinstance(value, dict):
        found = {key for key in list(value)[:_MANY] if isinstance(key, str)}
        inner = [v for v in list(value.values())[:_MANY] if isinstance(v, dict | list)]
    elif depth and isinstance(value, list):
        found, inner = set(), [v for v in value[:_MANY] if isinstance(v, dict | list) and v][:3]
    else:
        return set()
    return found.union(*(_keys(v, depth - 1) for v in inner)) if inner else found


def _outline(content: object) -> str:
    """The outermost brackets, as ``[[object`` for a list of lists of objects."""
    words: list[str] = []
    for _ in range(5):
        if isinstance(content, list):
            words.append(f"a list of {len(content)}")
            content = next((v for v in content if v), None)
        elif isinstance(content, dict):
            words.append("an object" if words else f"an object of {len(content)}")
            break
        else:
            break
    return ", each ".join(words) or shown(content)
