"""A folder of recordings to one file."""

from __future__ import annotations

import numpy as np
import pytest

from lifting.data.mocap.convert import convert_folder
from lifting.data.sets.cmu.files import read_cmu_file, verify_values
from lifting.errors import DataError
from lifting.skeleton import H36M_17


def test_folder_becomes_a_file_that_the_reader_accepts(tmp_path, person_bvh):
    source = tmp_path / "source"
    source.mkdir()
    hips = np.stack([np.arange(150) * 1.0, np.full(150, 95.0), np.zeros(150)], axis=-1)
    jump = hips + np.where(np.arange(150) < 20, 0, 300)[:, None]
    (source / "07_01.bvh").write_text(person_bvh(hips=hips))
    (source / "02_03.bvh").write_text(person_bvh(hips=jump))
    (source / "02_04.bvh").write_text(person_bvh(frames=50))
    (source / "recordings.csv").write_text("name,action,fps\n07_01,walk,50\n2_3,run,\n")
    report = convert_folder(source, tmp_path / "out.npz")
    assert report.parts == {"train": 0, "val": 1, "test": 1}
    assert [path.name for path, _ in report.skipped] == ["02_04.bvh"]
    file = read_cmu_file(tmp_path / "out.npz")
    verify_values(file)
    assert file.names == ("02_03", "07_01")
    assert file.actions == ("run", "walk")
    assert file.split == ("test", "val")
    assert file.split_name == "cmu_public_v1"
    assert np.load(tmp_path / "out.npz")["sources"].tolist() == ["bvh", "bvh"]
    assert np.diff(file.offsets).tolist() == [65, 150]  # 130 frames at 100 Hz; 150 at 50 Hz
    knee = H36M_17.index("left_knee")
    np.testing.assert_allclose(file.bone_lengths_mm[:, knee], 400, atol=1e-3)
    np.testing.assert_allclose(file.positions[65:, 0, :2].mean(axis=0), 0, atol=1)


def test_recording_that_is_cut_becomes_numbered_pieces(tmp_path, person_bvh):
    hips = np.tile([0.0, 95.0, 0.0], (260, 1))
    hips[130:, 0] += 500
    (tmp_path / "01_02.bvh").write_text(person_bvh(hips=hips))
    convert_folder(tmp_path, tmp_path / "out.npz")
    assert read_cmu_file(tmp_path / "out.npz").names == ("01_02_c0", "01_02_c1")


def test_all_damaged_files_are_listed_and_nothing_is_written(tmp_path, person_bvh):
    for name in ("01_01", "01_02"):
        (tmp_path / f"{name}.bvh").write_text(person_bvh()[:-400])
    (tmp_path / "01_03.amc").write_text("1\n")
    with pytest.raises(DataError, match=r"got 3 that are not(.|\n)*01_01\.bvh(.|\n)*01\.asf"):
        convert_folder(tmp_path, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("walk.bvh", "", "expected a name SS_TT"),
        ("999_01.bvh", "HIERARCHY", "expected a subject from 1 to 144"),
        ("recordings.csv", "name,action,fps\nwalk,walk,1\n", r"recordings\.csv, line 2"),
        ("recordings.csv", "name,action\n\udc80", r"expected a table in UTF-8"),
        ("note.txt", "", r"expected \.amc or \.bvh files"),
    ],
)
def test_folder_that_cannot_be_converted(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, errors="surrogateescape")
    with pytest.raises(DataError, match=message):
        convert_folder(tmp_path, tmp_path / "out.npz")


def test_different_skeletons_of_one_subject(tmp_path, person_bvh):
    (tmp_path / "01_01.bvh").write_text(person_bvh())
    (tmp_path / "01_02.bvh").write_text(person_bvh().replace("-40.0", "-55.0"))
    with pytest.raises(DataError, match="files of one subject must share one skeleton"):
        convert_folder(tmp_path, tmp_path / "out.npz")
