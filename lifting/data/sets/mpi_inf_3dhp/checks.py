"""What ``lifting data check mpi_inf_3dhp`` looks at, in whichever form the data set is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from lifting.data.config import DataConfig, Split, with_section
from lifting.data.doctor.body import UnitError
from lifting.data.doctor.check import check_reading, check_takes
from lifting.data.doctor.containers import split_channels
from lifting.data.doctor.presence import (
    Group,
    Published,
    Shapes,
    attempt,
    check_content,
    check_counts,
    check_presence,
)
from lifting.data.doctor.takes import (
    MARKERLESS_MM,
    Bodies,
    CheckRow,
    Keypoints,
    Sight,
    Take,
    failed,
    judged,
)
from lifting.data.sets.mpi_inf_3dhp import files
from lifting.data.sets.mpi_inf_3dhp.config import Config
from lifting.data.sets.mpi_inf_3dhp.reader import LABELS, people, tracks
from lifting.errors import DataError
from lifting.skeleton import MPI_INF_3DHP_17

TRAIN = Published(
    subjects=files.SUBJECTS,
    groups=tuple(
        Group(name, (name.partition("/")[0],), (name.partition("/")[2],), frames=frames)
        for name, (frames, _) in files.TRAIN_FRAMES.items()
    ),
)
TEST = Published(
    subjects=files.TEST_SEQUENCES,
    groups=tuple(
        Group(name, (name,), frames=frames, valid=valid)
        for name, (frames, valid) in files.TEST_FRAMES.items()
    ),
)
UNIV_PX, ANNOT_PX = 10.0, 3.0
# Speeds are judged with the rate of the slowest sequences, so that nothing sound is called
# impossible.
FPS = float(min(fps for _, fps in files.TRAIN_FRAMES.values()))
BONE_SHARE = 0.1
_PARTS: Mapping[files.Part, str] = {"train": "S*/Seq*/annot.mat", "test": "TS*/annot_data.mat"}


def check(config: DataConfig, train: Published = TRAIN, test: Published = TEST) -> list[CheckRow]:
    """Look at the files of MPI-INF-3DHP, where the reader looks for them.

    Args:
        config: The data section.
        train: What should be in the training part.
        test: What should be in the test part.
    """
    root, options = config.root, config.mpi_inf_3dhp
    npz = {
        (part, annotation): path
        for annotation, labels in LABELS.items()
        for part in _PARTS
        if (path := files.find_npz(root, part, labels)) is not None
    }
    homes = {
        "train": files.find_homes(root, files.TRAIN_FRAMES),
        "test": files.find_homes(root, files.TEST_FRAMES),
    }
    found = [*npz.values(), *(home.path for part in homes.values() for home in part)]
    wanted = " and ".join(f"data_{part}_3dhp.npz or {raw}" for part, raw in _PARTS.items())
    rows = [check_presence(files.NAME, root, wanted, found), *check_content(npz.values())]
    needs = {"train": people(options), "test": options.test_sequences}
    for part, published in {"train": train, "test": test}.items():
        own = {annotation: path for (one, annotation), path in npz.items() if one == part}
        if found and not own and not homes[part]:
            rows.append(_absent(part))
        for annotation, path in own.items():
            sights = _npz_sights(path, part, rows)
            rows += _judge(sights, path.stem, published, needs[part], annotation == "annot3")
        sights = [sight for home in homes[part] for sight in _sights(home, rows)]
        label = "S1..S8" if part == "train" else "TS1..TS6"
        rows += _judge(sights, label, published, needs[part], consistent=True)
    for annotation in LABELS:
        splits: list[Split] = [
            part
            for part in _PARTS
            if (part, annotation) in npz or (homes[part] and annotation == "univ")
        ]
        one = with_section(config, files.NAME, replace(options, annotation=annotation))
        rows += check_reading(tracks, one, tuple(splits))
    return rows


def _absent(part: str) -> CheckRow:
    return CheckRow(
        f"files {part}", f"the {part} part", "not found", "warn",
        f"the {part} split cannot be read until its files are there; the other part can",
    )  # fmt: skip


def _judge(
    sights: list[Sight], label: str, published: Published, needed: Sequence[str], consistent: bool
) -> list[CheckRow]:
    """Rows about all views of a file or of a group of folders.

    Args:
        sights: With joints in the camera frame; there may be none.
        label: Names the files in tables.
        published: What should be there.
        needed: Subjects without which the reader refuses.
        consistent: Whether the labels are those that agree with the 2D.
    """
    if not sights:
        return []
    bodies = Bodies(
        label=f"3D {label}", skeleton=MPI_INF_3DHP_17, unit="mm", up="-y", fps=FPS,
        bone_share=BONE_SHARE, bone_mm=MARKERLESS_MM, bone_reason="markerless capture",
        takes=tuple(sight.take for sight in sights),
    )  # fmt: skip
    keypoints = Keypoints(
        label=f"2D {label}", layout=MPI_INF_3DHP_17, skeleton=MPI_INF_3DHP_17,
        residual_px=ANNOT_PX if consistent else UNIV_PX, sights=tuple(sights),
    )  # fmt: skip
    return [*_counts(bodies.takes, published, label, needed),
            *check_takes(bodies, [keypoints])]  # fmt: skip


def _counts(
    takes: Sequence[Take], published: Published, label: str, needed: Sequence[str]
) -> list[CheckRow]:
    """Published parts that are not there, a warning as long as reading goes; and frames."""
    subjects = [s for s in published.subjects if any(take.subject == s for take in takes)]
    groups = [group for group in published.groups if any(map(group.has, takes))]
    lacking = [s for s in published.subjects if s not in subjects]
    lacking += [g.label for g in published.groups if g not in groups and g.label not in lacking
                and not set(g.subjects) & set(lacking)]  # fmt: skip
    parts = judged(
        f"subjects {label}",
        ", ".join(published.subjects),
        f"missing {', '.join(lacking)}" if lacking else f"{len(subjects)} subjects",
        "ok" if not lacking else "fail" if set(lacking) & set(needed) else "warn",
        "figures of a part do not compare with published ones: get the whole data set, or name "
        "in the data section those that are there",
    )
    there = replace(published, subjects=tuple(subjects), groups=tuple(groups))
    return [parts, *check_counts(takes, there, label)[1:]]  # the first row is about subjects


def _npz_sights(path: Path, part: str, rows: list[CheckRow]) -> list[Sight]:
    """Every view of an npz file; rows take what is wrong."""
    data = attempt(
        rows, f"form {path.name}", "a readable npz of data", partial(files.read_npz, path)
    )
    if data is None:
        return []
    shapes = Shapes(
        path.stem, "finite data_2d (frames, 17, 2) and data_3d (frames, 17, 3) by view"
    )
    sights = []
    for name, value in data.items():
        take = name.replace(" ", "/")
        if take not in (files.TRAIN_FRAMES if part == "train" else files.TEST_FRAMES):
            shapes.miss(f"{name:.40} is no {part} sequence")
            continue
        try:
            cameras = files.npz_cameras(value, name) if part == "train" else {name: value}
        except DataError as error:
            shapes.miss(str(error))
            continue
        for camera, content in cameras.items():
            try:
                view = files.npz_view(take, camera, content, f"{name}/{camera}")
            except DataError as error:
                shapes.miss(str(error))
            else:
                shapes.count += 1
                sights.append(_sight(view, files.test_camera(take) if part == "test" else None))
    rows.append(shapes.row())
    return sights


def _sights(home: files.Home, rows: list[CheckRow]) -> Iterator[Sight]:
    """Views of a distributed sequence: labels that agree with the 2D; rows take what is wrong."""
    where = "/".join(dict.fromkeys((home.subject, home.sequence)))
    cameras: dict[str, files.Calibration] | None = {
        home.sequence: files.test_camera(home.sequence)
    }
    try:
        if home.sequence in files.TEST_FRAMES:
            views = [files.read_test_home(home, "annot3")]
        else:
            calibration = home.path.with_name(files.CALIBRATION)
            cameras = attempt(rows, f"form {where}/{files.CALIBRATION}", "a calibration",
                              partial(files.read_calibration, calibration))  # fmt: skip
            views = files.read_train_home(home, Config().cameras, "annot3")
    except DataError as error:
        what = "unit" if isinstance(error, UnitError) else "form"
        expected = "mm, joints in order" if what == "unit" else "arrays as distributed"
        rows.append(failed(f"{what} {where}/{home.path.name}", expected, error))
        return
    for view in views:
        yield _sight(view, (cameras or {}).get(view.camera))


def _sight(view: files.View, camera: files.Calibration | None) -> Sight:
    """A view in the form of the checks; the training npz does not tell the intrinsics."""
    take = Take(subject=view.subject, name=view.sequence, action=view.sequence,
                joints=view.joints, valid=view.valid)  # fmt: skip
    keypoints, confidence = split_channels(view.keypoints)
    lens = None if camera is None else np.array([*camera.intrinsics, *[0.0] * 5])
    return Sight(take=take, camera=view.camera, keypoints=keypoints, confidence=confidence,
                 size=files.STUDIO_SIZE if camera is None else camera.size, lens=lens)  # fmt: skip
