"""Files of the CMU database, where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest

from lifting.data.mocap import cleaning
from lifting.data.mocap.acclaim import read_amc, read_asf
from lifting.data.mocap.bvh import read_bvh
from lifting.data.mocap.convert import convert_folder
from lifting.data.mocap.mapping import to_h36m17
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.data.sets.cmu.files import read_cmu_file
from lifting.skeleton import H36M_17

ANKLES = [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]


@pytest.fixture(scope="module")
def walk(raw):
    return to_h36m17(read_amc(raw / "02_01.amc", read_asf(raw / "02.asf"))).pose


def test_real_walk_stands_where_it_should(walk):
    ankles = walk[:, [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")], 2]
    assert len(walk) == 343
    assert walk[0, 0, 2] == pytest.approx(840, abs=10)
    assert ankles.min() == pytest.approx(50, abs=5)


@pytest.fixture(scope="module")
def converted(raw, tmp_path_factory):
    output = tmp_path_factory.mktemp("converted") / FILE_NAME
    report = convert_folder(raw, output)
    assert report.repaired_frames == 0
    assert not report.notes
    assert [path.name for path, _ in report.skipped] == ["02_03.bvh"]
    return read_cmu_file(output), read_cmu_file(raw.parent / FILE_NAME)


def sequence(file, name):
    i = file.names.index(name)
    return file.positions[file.offsets[i] : file.offsets[i + 1]].astype(np.float64)


@pytest.mark.parametrize("name", ["02_01", "02_03", "06_09"])
def test_real_recording_reproduces_the_distributed_sequence(converted, name):
    ours, distributed = (sequence(file, name) for file in converted)
    assert ours.shape == distributed.shape
    distance = np.linalg.norm(ours - distributed, axis=-1)
    assert distance.max() < 10
    assert distance.mean() < 5


def test_real_bvh_has_human_bones_with_equal_sides(raw):
    for name in ("02_03.bvh", "06_09.bvh"):
        lengths = cleaning.bone_lengths(to_h36m17(read_bvh(raw / name)).pose)
        limbs = [i for i in range(17) if i not in (7, 8, 9, 10)]
        assert lengths.std(axis=0)[limbs].max() < 3
        mean = lengths.mean(axis=0)
        np.testing.assert_allclose(mean[list(H36M_17.left)], mean[list(H36M_17.right)], rtol=0.02)
        assert 450 < mean[H36M_17.index("left_knee")] < 500
        assert mean[H36M_17.index("head")] == pytest.approx(115, abs=0.01)


def test_real_bvh_is_the_same_run_retargeted(raw):
    run = to_h36m17(read_amc(raw / "02_03.amc", read_asf(raw / "02.asf"))).pose
    copy = to_h36m17(read_bvh(raw / "02_03.bvh")).pose
    assert len(copy) / 60 == pytest.approx(len(run) / 120, abs=0.02)
    apart = [
        np.linalg.norm(pose[:, ANKLES[0]] - pose[:, ANKLES[1]], axis=-1)
        for pose in (run[::2][: len(copy)], copy)
    ]  # fmt: skip
    assert np.corrcoef(apart[0], apart[1])[0, 1] > 0.95


def test_real_motion_whose_origin_is_the_pelvis_is_put_on_the_floor(raw, converted):
    pose = to_h36m17(read_bvh(raw / "06_09.bvh")).pose
    assert pose[:, 3, 2].min() < -500
    assert sequence(converted[0], "06_09")[:, [3, 6], 2].min() == pytest.approx(80, abs=5)
