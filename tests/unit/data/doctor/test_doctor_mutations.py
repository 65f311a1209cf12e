"""Damaged bytes make rows, never a crash."""

from __future__ import annotations

import warnings

import published_npz
import pytest
from check_files import check_files
from mutation import damaged_copies
from oh50k_files import records, seen_people, write_part
from python2_pickle import damaged_bytes

from lifting.data.doctor.takes import CheckRow


def told(rows):
    """Every row says what is wrong, and what to do when something is."""
    assert rows
    for row in rows:
        assert isinstance(row, CheckRow)
        assert row.what
        assert row.expected
        assert row.found
        assert bool(row.advice) == (row.verdict != "ok"), row


@pytest.mark.parametrize("name", ["data_3d_h36m", "data_2d_h36m_gt"])
def test_human36m(tmp_path, name):
    data = published_npz.H36m(tmp_path, {"Walking 1": 12}, subjects=("S1", "S9"))
    data.write_two_d("gt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers that overflow
        for _ in damaged_copies(tmp_path / f"{name}.npz", 40, seed=3):
            told(check_files("h36m", tmp_path))


def test_3doh50k(tmp_path):
    write_part(tmp_path / "testset", records(seen_people(4)))
    path = tmp_path / "testset/annots.json"
    for damaged in damaged_bytes(path.read_bytes(), 60, seed=5):
        path.write_bytes(damaged)
        told(check_files("3doh50k", tmp_path))


def test_3dpw_of_nothing(tmp_path):
    home = tmp_path / "sequenceFiles" / "train"
    home.mkdir(parents=True)
    (home / "a.pkl").write_bytes(b"")
    told(check_files("3dpw", tmp_path))
