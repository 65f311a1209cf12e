"""What a method and its metrics may know of the data, and what its training was told.

The latter in the words of a result record, which say what scores it permits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lifting.data.config import DataConfig, KnownCameras
from lifting.data.epipolar_labels import known_cameras
from lifting.data.sequence import PoseTracks
from lifting.skeleton import Skeleton

FULL = "fully supervised"
TRUE_2D = "2D ground truth"
_PROTOCOLS: Mapping[KnownCameras, str] = {
    "given": "self-supervised with extrinsics",
    "intrinsics": "self-supervised without extrinsics",
    "sizes": "self-supervised without cameras",
}
_EXACT = ("gt", "projected, noise none")


@dataclass(frozen=True)
class Supervision:
    """What labels a method was trained on.

    Attributes:
        protocol: In words, ``fully supervised`` or what the teacher knew.
        metric: Whether the labels' scale is true, so that lengths can be scored.
        facts: For the result record, by key.
    """

    protocol: str = FULL
    metric: bool = True
    facts: dict[str, str] = field(default_factory=dict)


def supervision_of(config: DataConfig, tracks: PoseTracks) -> Supervision:
    """What the training of a data section is told.

    Args:
        config: The data section.
        tracks: Any split of it: it tells what is known of the cameras.
    """
    two_d = tracks.source.get("two_d", "")
    exact = two_d in _EXACT or (config.noise_train == "none" and two_d.startswith("projected"))
    tail = f", {TRUE_2D}" if exact else ""
    if config.labels == "truth":
        return Supervision(FULL + tail, True, {"protocol": FULL + tail})
    teacher = config.teacher
    known = known_cameras(tracks, teacher.cameras)
    metric = known == "given"
    own = "the teacher's labels" if teacher.validation == "labels" else "3D truth"
    facts = {
        "protocol": _PROTOCOLS[known] + tail,
        "scale": "given cameras" if metric else "not known, by lengths of people's bones",
        "root_depth": "answers are relative to the root; that of labels is triangulated",
        "checkpoint_chosen_by": own,
        "held_out_view": teacher.held_out or "none",
    }
    return Supervision(facts["protocol"], metric, facts)


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
        frames: How many frames each track has, ``(tracks,)`` int64; None where it is not known.
        window_stride: Frames between two neighbours inside a window.
        supervision: What labels the training has.
    """

    skeleton: Skeleton
    action_names: tuple[str, ...]
    subject_names: tuple[str, ...]
    track_names: tuple[str, ...]
    fps: Tensor
    source: dict[str, str]
    frames: Tensor | None = None
    window_stride: int = 1
    supervision: Supervision = field(default_factory=Supervision)
