"""Tables that are known and hold no 2D keypoints of one camera: what to give instead."""

from __future__ import annotations

import re

from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sightings
from lifting.data.keypoints.source import Source
from lifting.errors import DataError


def _refusal(name: str, title: str, keys: tuple[str, ...], pattern: str, advice: str) -> Dialect:
    """A dialect that is only recognised: by its keys, and names that all match a pattern."""

    def read(source: Source) -> Sightings:
        raise DataError(f"expected 2D keypoints of one camera in {source.path}, got {title}; "
                        f"{advice}")  # fmt: skip

    def sees(source: Source) -> bool:
        found = any(re.fullmatch(pattern, key) for key in source.keys)
        return found and set(keys) <= source.keys

    return Dialect(name, title, ("table",), keys, sees, read)


DIALECTS = (
    _refusal("anipose-3d", "3D positions of Anipose", ("fnum",), r".+_ncams",
             "give the tables of its folders pose-2d, one a camera"),
    _refusal("caliscope-xyz", "3D positions of Caliscope", ("sync_index", "point_id"), "x_coord",
             "give the 2D keypoints of a detector, one file a camera"),
    _refusal("caliscope-xy", "the points of several cameras of Caliscope in one table",
             ("sync_index", "point_id"), "img_loc_x",
             "give the 2D keypoints of a detector, one file a camera, to `lifting rig solve`"),
)  # fmt: skip
