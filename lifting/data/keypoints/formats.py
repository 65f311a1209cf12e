"""Which format a file or folder of keypoints has, told from its content, and its reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lifting.data.keypoints import alphapose, coco, mediapipe, mmpose, openpose, plain
from lifting.data.keypoints.people import People, Sightings, tabulate
from lifting.data.keypoints.timeline import natural_key
from lifting.errors import DataError, MissingDataError
from lifting.files.json_file import DEFAULT_MAX_BYTES, load_json, shown
from lifting.files.npz import read_plain_npz

KNOWN = (
    "COCO results or annotations, OpenPose files in a folder, MMPose, AlphaPose, MediaPipe "
    "landmarks as a list, or an npz with keypoints_2d"
)


def read_people(
    path: Path, skeleton: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> People:
    """Everyone that a file or folder of keypoints holds.

    Args:
        path: A JSON or npz file, or a folder with a JSON file for every frame.
        skeleton: Name of the detector's skeleton; None takes what the file says of itself, else
            the one with that many joints that fits.
        max_bytes: Largest file, or sum of a folder's files, that is read, bytes.

    Raises:
        MissingDataError: There is no such file.
        DataError: The format is unknown, or a claim of the file is wrong.
        ConfigError: No skeleton has that name.
    """
    if path.is_dir():
        return tabulate(path, _read_folder(path, max_bytes), skeleton)
    if _is_archive(path):
        return _read_archive(path, skeleton, max_bytes)
    return tabulate(path, _read_json(path, load_json(path, max_bytes)), skeleton)


def _is_archive(path: Path) -> bool:
    if not path.is_file():
        raise MissingDataError(
            f"expected a keypoint file or folder at {path}, found none; check the path"
        )
    with path.open("rb") as stream:
        return path.suffix == ".npz" or stream.read(2) == b"PK"


def _read_archive(path: Path, skeleton: str | None, max_bytes: int) -> People:
    marks = ("keypoints_2d", "landmarks")
    found = read_plain_npz(
        path, dict.fromkeys(marks, ("number", 3)), max_bytes, optional=frozenset(marks)
    )
    if "landmarks" in found and "keypoints_2d" not in found:
        return mediapipe.read_npz(path, skeleton, max_bytes)
    return plain.read_npz(path, skeleton, max_bytes)


def _read_folder(path: Path, max_bytes: int) -> Sightings:
    files = sorted(
        (file for file in path.iterdir() if file.suffix == ".json" and file.is_file()),
        key=lambda file: natural_key(file.name),
    )
    files = [file for file in files if file.name.endswith(openpose.ENDING)] or files
    size = sum(file.stat().st_size for file in files)
    if not files or size > max_bytes:
        raise DataError(
            f"expected JSON files of at most {max_bytes} bytes together in {path}, got "
            f"{len(files)} of {size} bytes; give the folder of one video, in parts if it is long"
        )
    first = load_json(files[0], max_bytes)
    if isinstance(first, dict) and "people" in first:
        return openpose.read_frames(path, _contents(files, max_bytes, with_ending=True))
    if isinstance(first, list):
        return mmpose.read_images(path, _contents(files, max_bytes, with_ending=False))
    raise DataError(
        f"expected OpenPose or MMPose files in {path}, got {files[0].name[:80]} with "
        f"{shown(first)}; give a single file, or the folder that the detector wrote"
    )


def _contents(
    files: list[Path], max_bytes: int, *, with_ending: bool
) -> Iterator[tuple[str, object]]:
    for file in files:
        yield (file.name if with_ending else file.stem), load_json(file, max_bytes)


def _read_json(path: Path, content: object) -> Sightings:
    if isinstance(content, dict):
        found = _read_table(path, content)
    elif isinstance(content, list):
        found = _read_list(path, content)
    else:
        found = None
    if found is None:
        raise DataError(
            f"expected keypoints of {KNOWN} in {path}, got {shown(content)}; "
            "convert the file to one of these"
        )
    return found


def _read_table(path: Path, content: dict[str, object]) -> Sightings | None:
    if "annotations" in content:
        return coco.read_annotations(path, content)
    if "instance_info" in content:
        return mmpose.read_video(path, content)
    if "people" in content:
        return openpose.read_frames(path.parent, [(path.name, content)])
    if any(key in content for key in mediapipe.KEYS):
        return mediapipe.read_landmarks(path, [content])
    first = next(iter(content.values()), None)
    if isinstance(first, dict) and ("people" in first or "bodies" in first):
        return alphapose.read_by_image(path, content)
    return None


def _read_list(path: Path, content: list[object]) -> Sightings | None:
    first = next((entry for entry in content if isinstance(entry, dict)), {})
    if "instances" in first:
        return mmpose.read_video(path, content)
    if "keypoint_scores" in first:
        return mmpose.read_images(path.parent, [(path.stem, content)])
    if any(key in first for key in mediapipe.KEYS):
        return mediapipe.read_landmarks(path, content)
    if "image_id" in first and ("box" in first or "idx" in first):
        return alphapose.read_list(path, content)
    if "image_id" in first:
        return coco.read_results(path, content, box="bbox", track="track_id")
    return None
