"""A data section -> what is right and wrong with its files."""

from __future__ import annotations

import numpy as np

from lifting.data.config import DataConfig
from lifting.data.doctor.reading import check_content
from lifting.data.doctor.rows import CheckRow
from lifting.data.sets import find_set


def check(config: DataConfig) -> list[CheckRow]:
    """Look at the files of a data set, with the options that experiments use.

    Args:
        config: The data section of a file in ``experiments/data``.

    Returns:
        One row a question; questions that make no sense after an earlier answer are left out. A
        set without checks of its own is read, split by split, and its people are judged.

    Raises:
        ConfigError: No data set has that name.
    """
    own = find_set(config.name).command("check")
    # Damaged numbers overflow; the rows say so better than warnings in between.
    with np.errstate(all="ignore"):
        rows: list[CheckRow] = check_content(config) if own is None else own(config)
        return rows
