"""VideoPose3D: the npz of its custom videos, and that of its Detectron2 inference before it.

Both are pickled containers; the restricted reader takes plain arrays from them and runs nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.dialects.arrays import DETECTRON, with_confidence
from lifting.data.keypoints.entries import sizes_of
from lifting.data.keypoints.people import Sighting, Sightings, many_people
from lifting.data.keypoints.source import Source
from lifting.errors import DataError
from lifting.files.containers import Array, entries, items, read_object_npz, read_object_rows
from lifting.files.json_file import shown

LAYOUTS = {"coco": "coco17", "h36m": "h36m17"}
_JOINTS = 17


def read_custom(source: Source) -> Sightings:
    """The one person of a custom video.

    Args:
        source: ``positions_2d``, ``{video: {"custom": [(frames, 17, 2)]}}`` in pixels, and
            ``metadata`` with the layout and every video's size.

    Raises:
        DataError: There are several videos, or the file is of another form.
    """
    path = source.path
    content = read_object_npz(
        path, ("positions_2d", "metadata"), source.size.bytes, frozenset({"metadata"})
    )
    video, value = _single(path, content["positions_2d"], "video")
    action, value = _single(path, value, f"recording of '{video:.60}'")
    what = f"positions_2d/{video:.60}/{action:.60}"
    cameras = items(value, f"{what} of {path}")
    if len(cameras) != 1:
        raise DataError(
            f"expected one camera in {what} of {path}, got {len(cameras)}; a data set's file goes "
            "into the data section, else give one camera at a time"
        )
    points = _array(path, cameras[0], what, (_JOINTS,), (2, 3))[:, None]
    facts = entries(content["metadata"], f"metadata of {path}") if "metadata" in content else {}
    joints, layout = facts.get("num_joints", _JOINTS), facts.get("layout_name", "coco")
    known = LAYOUTS.get(layout) if isinstance(layout, str) else None
    if known is None or not isinstance(joints, int) or joints != _JOINTS:
        raise DataError(
            f"expected the layout {' or '.join(LAYOUTS)} of {_JOINTS} joints in 'metadata' of "
            f"{path}, got {shown(layout)} of {shown(joints)}; give the keypoints as JSON or npz "
            "with the names of their joints"
        )
    sizes = facts.get("video_metadata")
    return many_people(
        "videopose3d",
        with_confidence(path, points, what),
        image_size=_size(path, sizes.get(video) if isinstance(sizes, dict) else None),
        named=known if "layout_name" in facts else None,
        plain=True,
    )


def read_detectron(source: Source) -> Sightings:
    """Everyone of a video that VideoPose3D's inference ran Detectron2 on.

    Args:
        source: ``boxes`` and ``keypoints``, ``[[], K]`` a frame with boxes ``(people, 5)`` and
            keypoints ``(people, 4, 17)``: x, y, logit, probability; ``metadata`` with the size.

    Raises:
        DataError: The file is of another form, or nobody was seen.
    """
    path, limit = source.path, source.size.bytes
    if not source.content["keypoints"].dtype.hasobject and 0 in source.content["keypoints"].shape:
        raise DataError(
            f"expected someone in {path}, got {len(source.keys)} arrays without anyone in any "
            "frame; check the detector's threshold"
        )
    frames = [pair[1] for pair in read_object_rows(path, "keypoints", 2, limit)]
    boxes = [pair[1] for pair in read_object_rows(path, "boxes", 2, limit)]
    if len(frames) != len(boxes):
        raise _unequal(path, f"the {len(frames)} frames", len(boxes))
    people: list[Sighting] = []
    for i, (found, around) in enumerate(zip(frames, boxes, strict=True)):
        if isinstance(found, list) and not found:
            continue
        rows = _array(path, found, f"keypoints of frame {i}", (4,), (_JOINTS,))
        box = _array(path, around, f"boxes of frame {i}", (), (5,))
        if len(rows) != len(box):
            raise _unequal(path, f"{len(rows)} people of frame {i}", len(box))
        points = rows[:, (0, 1, 3)].transpose(0, 2, 1)[None]
        joints = with_confidence(path, points, f"keypoints of frame {i}")[0]
        people += [Sighting(i, joints[k], float(b[4]), b[:4].tolist()) for k, b in enumerate(box)]
    names = [str(i) for i in range(len(frames))]
    facts = read_object_npz(path, ("metadata",), limit, frozenset({"metadata"})).get("metadata")
    return Sightings(
        "detectron2", names, people, image_size=_size(path, facts), prescribed="coco17"
    )


def _unequal(path: Path, of: str, got: int) -> DataError:
    return DataError(
        f"expected boxes of {of} of {path}, got those of {got}; write the file again with "
        "VideoPose3D's own script"
    )


def _single(path: Path, value: object, kind: str) -> tuple[str, object]:
    found = entries(value, f"positions_2d of {path}")
    if len(found) != 1:
        listed = ", ".join(f"'{name:.40}'" for name in list(found)[:8])
        raise DataError(
            f"expected one {kind} in {path}, got {len(found)}: {listed}; write a file for each, "
            "or name the file in the data section if it is a data set"
        )
    return next(iter(found.items()))


def _array(
    path: Path, value: object, what: str, middle: tuple[int, ...], last: tuple[int, ...]
) -> Array:
    """Numbers of shape (any, *middle, one of last)."""
    if (
        isinstance(value, np.ndarray)
        and value.dtype.kind in "fiu"
        and value.shape[1:] in [(*middle, one) for one in last]
        and value.size
    ):
        return value
    got = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    wanted = ", ".join(["any", *map(str, middle), " or ".join(map(str, last))])
    raise DataError(
        f"expected numbers of shape ({wanted}) in {what} of {path}, got {got}; write the file "
        "again with VideoPose3D's own script"
    )


def _size(path: Path, facts: object) -> tuple[float, float] | None:
    if not isinstance(facts, dict) or not {"w", "h"} <= set(facts):
        return None
    return sizes_of(path, [facts], ("w", "h"))[0]


DIALECTS = (
    Dialect("videopose3d", "VideoPose3D's npz of a custom video", ("npz",),
            ("positions_2d", "metadata"), lambda source: "positions_2d" in source.keys,
            read_custom),
    Dialect("detectron2", "Detectron2 keypoints as VideoPose3D's inference writes them", ("npz",),
            ("boxes", "segments", "keypoints", "metadata"),
            lambda source: source.keys >= DETECTRON, read_detectron),
)  # fmt: skip
