"""What ``lifting data check mpi_inf_3dhp`` looks at, in whichever form the data set is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig, with_section
from lifting.data.doctor.counts import Group, Published, check_counts
from lifting.data.doctor.presence import attempt, check_content, check_presence, find_files
from lifting.data.doctor.reading import check_reading, check_specimen
from lifting.data.doctor.rows import CheckRow, failed
from lifting.data.doctor.specimen import Sight, Take
from lifting.data.files import Array
from lifting.data.sets.mpi_inf_3dhp import reader as mpi_inf_3dhp
from lifting.data.sets.mpi_inf_3dhp.check_files import read_npz, specimen
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.mpi_inf_3dhp.npz import (
    NAME,
    STUDIO_SIZE,
    SUBJECTS,
    TEST_SEQUENCES,
    test_cameras,
)
from lifting.data.sets.mpi_inf_3dhp.npz_files import View
from lifting.data.sets.mpi_inf_3dhp.raw import (
    ANNOTATIONS,
    CALIBRATION,
    TEST_ANNOTATIONS,
    TEST_FRAMES,
    TRAIN_FRAMES,
    Home,
    read_calibration,
    read_test_home,
    read_train_home,
)
from lifting.data.units import UnitError
from lifting.errors import DataError

TRAIN = Published(
    subjects=SUBJECTS,
    groups=tuple(
        Group(name, (name.partition("/")[0],), (name.partition("/")[2],), frames=frames)
        for name, (frames, _) in TRAIN_FRAMES.items()
    ),
)
TEST = Published(
    subjects=TEST_SEQUENCES,
    groups=tuple(
        Group(name, (name,), frames=frames, valid=valid)
        for name, (frames, valid) in TEST_FRAMES.items()
    ),
)
_NPZ = "data_{}_3dhp{}.npz"
_RAW = f"S*/Seq*/{ANNOTATIONS}"
_RAW_TEST = f"**/TS*/{TEST_ANNOTATIONS}"


def check(config: DataConfig, train: Published = TRAIN, test: Published = TEST) -> list[CheckRow]:
    """Look at the files of MPI-INF-3DHP.

    Args:
        config: The data section.
        train: What should be in the training part.
        test: What should be in the test part.
    """
    root = config.root
    npz = {
        ending: [find_files(NAME, root, [_NPZ.format(part, ending)]) for part in ("train", "test")]
        for ending in ("", "_ori")
    }
    raw = find_files(NAME, root, [_RAW, _RAW_TEST])
    archives = [path for parts in npz.values() for paths in parts for path in paths]
    wanted = f"{_NPZ.format('<part>', '')}, or {_RAW} and {_RAW_TEST}"
    rows = [check_presence(NAME, root, wanted, [*archives, *raw]), *check_content(archives)]
    for ending, parts in npz.items():
        for paths, published, is_test in zip(parts, (train, test), (False, True), strict=True):
            for path in paths:
                rows += _check_npz(path, published, is_test, consistent=ending == "_ori")
    if raw:
        rows += _check_raw(raw, train, test)
    for ending, annotation in (("", "univ"), ("_ori", "annot3")):
        if any(npz[ending]) or (raw and not archives and not ending):
            options = replace(config.mpi_inf_3dhp, annotation=annotation)
            one = with_section(config, NAME, options)
            rows += check_reading(mpi_inf_3dhp.tracks, one, ("train", "test"))
    return rows


def _check_npz(path: Path, published: Published, test: bool, consistent: bool) -> list[CheckRow]:
    rows: list[CheckRow] = []
    sights = read_npz(path, test, rows)
    made = specimen(path.stem, sights, consistent)
    if made is None:
        return rows
    bodies, keypoints = made
    return [
        *rows,
        *check_counts(bodies.takes, published, path.stem),
        *check_specimen(bodies, keypoints),
    ]


def _check_raw(paths: list[Path], train: Published, test: Published) -> list[CheckRow]:
    """The distributed files: labels that agree with the 2D, by sequence."""
    rows: list[CheckRow] = []
    for name, published, label in (
        (ANNOTATIONS, train, "S1..S8"), (TEST_ANNOTATIONS, test, "TS1..TS6"),
    ):  # fmt: skip
        own = [path for path in paths if path.name == name]
        read = _train_sights if name == ANNOTATIONS else _test_sights
        sights = [sight for path in own for sight in read(path, rows)]
        made = specimen(label, sights, consistent=True)
        if made is not None:
            rows += check_counts(made[0].takes, published, label)
            rows += check_specimen(*made)
    return rows


def _train_sights(path: Path, rows: list[CheckRow]) -> Iterator[Sight]:
    home = Home(path.parent.parent.name, path.parent.name, path.parent)
    where = f"{home.subject}/{home.sequence}"
    calibration = path.parent / CALIBRATION
    cameras = attempt(rows, f"form {where}/{CALIBRATION}", "a calibration",
                      partial(read_calibration, calibration))  # fmt: skip
    try:
        views = read_train_home(home, Mpi3dhpConfig().cameras, "annot3")
    except DataError as error:
        rows.append(_refusal(where, path.name, error))
        return
    for view in views:
        known = (cameras or {}).get(view.camera)
        lens = None if known is None else np.array([*known.intrinsics, *[0.0] * 5])
        yield _sight(view, STUDIO_SIZE if known is None else known.size, lens)


def _test_sights(path: Path, rows: list[CheckRow]) -> Iterator[Sight]:
    name = path.parent.name
    names, cameras = test_cameras()
    if name not in names:
        return
    try:
        view = read_test_home(Home(name, name, path.parent), "annot3")
    except DataError as error:
        rows.append(_refusal(name, path.name, error))
        return
    camera = cameras[names.index(name)]
    width, height = camera.size.tolist()
    yield _sight(view, (width, height), camera.intrinsics.double().numpy())


def _refusal(where: str, name: str, error: DataError) -> CheckRow:
    what = "unit" if isinstance(error, UnitError) else "form"
    expected = "mm" if what == "unit" else "arrays as distributed"
    return failed(f"{what} {where}/{name}", expected, error)


def _sight(view: View, size: tuple[float, float], lens: Array | None) -> Sight:
    take = Take(subject=view.subject, name=view.sequence, action=view.sequence,
                joints=view.joints, valid=view.valid)  # fmt: skip
    return Sight(take=take, camera=view.camera, keypoints=view.keypoints[..., :2], size=size,
                 lens=lens)  # fmt: skip
