"""Name of a data set -> what is right and wrong with its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lifting.data.doctor.amass import check_amass
from lifting.data.doctor.cmu import check_cmu
from lifting.data.doctor.h36m import check_h36m
from lifting.data.doctor.humaneva import check_humaneva
from lifting.data.doctor.mpi_inf_3dhp import check_mpi_inf_3dhp
from lifting.data.doctor.oh50k import check_oh50k
from lifting.data.doctor.pw3d import check_pw3d
from lifting.data.doctor.rows import CheckRow
from lifting.data.doctor.synthetic import check_synthetic
from lifting.errors import ConfigError, suggest

DOCTORS: Mapping[str, Callable[[str | None], list[CheckRow]]] = {
    "3doh50k": check_oh50k,
    "3dpw": check_pw3d,
    "amass": check_amass,
    "cmu": check_cmu,
    "h36m": check_h36m,
    "humaneva": check_humaneva,
    "images": check_synthetic,
    "mpi_inf_3dhp": check_mpi_inf_3dhp,
    "synthetic": check_synthetic,
}


def check(name: str, root: str | None = None) -> list[CheckRow]:
    """Look at the files of a data set.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.

    Returns:
        One row a question; questions that make no sense after an earlier answer are left out.

    Raises:
        ConfigError: No data set has that name.
    """
    if name not in DOCTORS:
        raise ConfigError(f"unknown data set '{name}'; {suggest(name, DOCTORS)}")
    # Damaged numbers overflow; the rows say so better than warnings in between.
    with np.errstate(all="ignore"):
        return DOCTORS[name](root)
