"""What is said of each data set, and what is never fetched."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lifting.data.describe import about, describe, is_found, list_datasets, prepare
from lifting.data.sets import data_sets
from lifting.data.sets.amass.config import Config as AmassConfig
from lifting.errors import ConfigError

RESTRICTED = sorted(name for name in data_sets() if about(name).page and name != "cmu")


def test_every_data_set_is_described():
    for name, one in data_sets().items():
        facts = dict(describe(name))
        assert facts["name"] == name
        assert facts["summary"] == one.summary
        assert {"content", "split", "terms"} <= set(facts)
    assert [row.name for row in list_datasets()] == sorted(data_sets())


@pytest.mark.parametrize("name", RESTRICTED)
def test_restricted_data_sets_name_their_owners_and_what_is_never_done(name):
    facts = dict(describe(name))
    assert facts["page"].startswith("http")
    assert "uploads nothing" in facts["never"]
    assert "needs nothing: the files are read as they are" in facts["preparation"]
    assert f"LIFTING_DATA/{name}" in facts["looked for in"]
    assert facts["how to get the files"]


@pytest.mark.parametrize("name", RESTRICTED)
def test_nothing_to_prepare(name, tmp_path):
    with pytest.raises(
        ConfigError, match=f"nothing to prepare, see `lifting data describe {name}"
    ):
        prepare(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("h36m", ("data_3d_h36m.npz", "data_2d_h36m_gt.npz")),
        ("mpi_inf_3dhp", ("data_train_3dhp_ori.npz",)),
        ("mpi_inf_3dhp", ("data_test_3dhp.npz",)),
        ("mpi_inf_3dhp", ("S1/Seq1/annot.mat", "S1/Seq1/camera.calibration")),
        ("mpi_inf_3dhp", ("mpi_inf_3dhp_test_set/TS5/annot_data.mat",)),
        ("3dpw", tuple(f"sequenceFiles/{p}/a.pkl" for p in ("train", "validation", "test"))),
        ("3doh50k", ("trainset/annots.json", "testset/annots.json")),
        ("3doh50k", ("train/annots.json", "test/annots.json")),
        ("amass", (f"{AmassConfig().test[0]}/one/a.npz",)),
    ],
)  # fmt: skip
def test_files_are_found_only_when_all_of_a_form_are_there(tmp_path, name, files):
    for file in files:
        assert not is_found(name, str(tmp_path))
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert is_found(name, str(tmp_path))


def test_talk_comes_without_torch():
    program = (
        "import sys; from lifting.data import describe; import lifting.data.sets.cmu.prepare;"
        "describe.describe('h36m'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
