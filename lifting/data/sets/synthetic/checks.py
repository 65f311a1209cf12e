"""What ``lifting data check synthetic`` looks at: a sample of what would be made."""

from __future__ import annotations

from lifting.data.config import DataConfig, with_section
from lifting.data.doctor.reading import check_specimen
from lifting.data.doctor.rows import CheckRow, failed
from lifting.data.doctor.specimen import specimen_of
from lifting.data.film import film
from lifting.data.sets.synthetic import reader as synthetic
from lifting.data.sets.synthetic.config import Config as SyntheticConfig
from lifting.errors import DataError

_SAMPLE = SyntheticConfig(test_sequences=12, sequence_frames=150)
_EXACT_PX = 0.1


def check(config: DataConfig) -> list[CheckRow]:
    """Make a few motions, film them without noise, and judge them like any other data.

    Args:
        config: The data section; there are no files.
    """
    rows = [CheckRow("files", "none", "none needed", "ok")]
    config = with_section(config, "synthetic", _SAMPLE)
    try:
        motion = synthetic.motion(config, "test")
        tracks = film(motion, rig="h36m", noise="none", seed=0)
    except DataError as error:
        return [*rows, failed("sample", "motions seen by cameras", error)]
    bodies, keypoints = specimen_of(tracks, "sample", _EXACT_PX)
    return rows + check_specimen(bodies, [keypoints])
