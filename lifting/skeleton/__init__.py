"""Named skeletons, and arrays of one brought into the joints of another.

* ``sets``     :class:`Skeleton` and the named joint sets (no torch)
* ``naming``   names of a file to joints, by side and stem (no torch)
* ``recipes``  which joints of two sets are the same, and how others are mixed (no torch)
* ``convert``  tensors of one skeleton as those of another, by the recipes
"""

from lifting.skeleton.recipes import Conversion, conversion
from lifting.skeleton.sets import (
    BODY_25,
    COCO_17,
    COCO_18,
    H36M_17,
    HALPE_26,
    HUMANEVA_15,
    MEDIAPIPE_33,
    MPI_INF_3DHP_17,
    MPI_INF_3DHP_28,
    MPII_16,
    SKELETONS,
    SMPL_22,
    SMPL_24,
    Skeleton,
    get_skeleton,
    set_of_names,
    sets_of,
)

__all__ = [
    "BODY_25",
    "COCO_17",
    "COCO_18",
    "H36M_17",
    "HALPE_26",
    "HUMANEVA_15",
    "MEDIAPIPE_33",
    "MPII_16",
    "MPI_INF_3DHP_17",
    "MPI_INF_3DHP_28",
    "SKELETONS",
    "SMPL_22",
    "SMPL_24",
    "Conversion",
    "Skeleton",
    "conversion",
    "get_skeleton",
    "set_of_names",
    "sets_of",
]
