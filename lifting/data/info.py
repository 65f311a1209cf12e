"""What a method and its metrics may know of the data."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from lifting.data.supervision import Supervision
from lifting.skeleton import Skeleton


@dataclass(frozen=True)
class DataInfo:
    """Names behind the integers of a batch.

    Attributes:
        skeleton: Joints of labels and keypoints.
        action_names: By ``PoseBatch.action``.
        subject_names: By ``PoseBatch.subject``.
        track_names: By ``PoseBatch.sequence``, of the split it was built for.
        fps: Frames a second of each track, NaN where it is not known.
        source: Facts for the result record, as in ``PoseTracks.source``.
        supervision: What labels the training has.
    """

    skeleton: Skeleton
    action_names: tuple[str, ...]
    subject_names: tuple[str, ...]
    track_names: tuple[str, ...]
    fps: Tensor
    source: dict[str, str]
    supervision: Supervision = field(default_factory=Supervision)
