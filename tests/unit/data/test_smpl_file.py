"""Model files in both forms give the same body; whatever else comes is refused in words."""

import numpy as np
import pytest
import torch
from mutation import damaged_copies
from python2_pickle import damaged_bytes, python2_dumps
from smpl_models import PARENTS, model_arrays, official_pickle

from lifting.data.smpl import VARIABLE, find_body_model, read_body_model
from lifting.errors import DataError, MissingDataError


@pytest.fixture
def arrays():
    return model_arrays()


def save_npz(folder, arrays, name="SMPL_NEUTRAL.npz", **more):
    np.savez(folder / name, **arrays, **more)
    return folder / name


def check_body(body, arrays):
    np.testing.assert_allclose(body.template, arrays["v_template"] * 1000)
    np.testing.assert_allclose(body.shape_directions, arrays["shapedirs"] * 1000)
    np.testing.assert_allclose(body.pose_directions, arrays["posedirs"] * 1000)
    np.testing.assert_array_equal(body.joint_regressor, arrays["J_regressor"])
    np.testing.assert_array_equal(body.skinning_weights, arrays["weights"])
    np.testing.assert_array_equal(body.faces, arrays["f"])


def test_npz_is_read_exactly(tmp_path, arrays):
    extra = np.array({"pickled": "never opened"}, dtype=object)
    path = save_npz(tmp_path, arrays, joint2num=extra)
    body = read_body_model(path, dtype=torch.float64)
    check_body(body, arrays)
    assert body.family == "smpl"
    assert body.parents == PARENTS


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("by_column", [True, False], ids=["csc", "csr"])
@pytest.mark.parametrize("underscore", ["", "_"])
def test_the_official_pickle_gives_the_same_body(
    protocol, by_column, underscore, tmp_path, arrays
):
    arrays["J_regressor"][0, 30:33] = (-0.1, 0.3, -0.2)
    module = f"scipy.sparse.{underscore}{'csc' if by_column else 'csr'}"
    path = tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl"
    path.write_bytes(official_pickle(arrays, protocol, module, by_column))
    check_body(read_body_model(path, dtype=torch.float64), arrays)


@pytest.mark.parametrize(
    ("joints", "family", "shapes", "kept"),
    [(52, "smplh", 16, 16), (55, "smplx", 400, 300), (55, "smplx", 20, 10), (30, "other", 5, 5)],
)
def test_families_are_told_by_their_joints(joints, family, shapes, kept, tmp_path):
    path = save_npz(tmp_path, model_arrays(joints, 90, shapes))
    body = read_body_model(path, shapes=1000)
    assert body.family == family
    assert body.shape_count == kept
    assert read_body_model(path, shapes=3).shape_count == 3


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("v_template", lambda v: v[:, :2], r"'v_template' of shape \(80, 3\)"),
        ("posedirs", lambda v: v[..., :-9], r"'posedirs' of shape \(80, 3, 207\)"),
        ("weights", lambda v: v * 2, "rows of 'weights' that sum to one"),
        ("J_regressor", lambda v: v * np.nan, "finite numbers in 'J_regressor'"),
        ("f", lambda v: v + 80, "faces among 80 vertices"),
        ("kintree_table", lambda v: v[:, ::-1], "kintree_table"),
        ("kintree_table", lambda v: np.where(v == 3, 9, v), "kintree_table|parents before"),
        ("shapedirs", lambda v: v.astype(int), "'shapedirs'"),
    ],
)
@pytest.mark.parametrize("form", ["npz", "pickle"])
def test_inconsistent_models_are_refused(form, name, change, reason, tmp_path, arrays):
    arrays[name] = change(arrays[name])
    path = tmp_path / "m"
    if form == "npz":
        with path.open("wb") as stream:
            np.savez(stream, **arrays)
    else:
        path.write_bytes(official_pickle(arrays))
    with pytest.raises(DataError, match=reason):
        read_body_model(path)


def test_code_in_a_model_is_refused_and_not_run(tmp_path, arrays, trap):
    path = tmp_path / "m.pkl"
    path.write_bytes(python2_dumps({**arrays, "J": trap}))
    with pytest.raises(DataError, match="system"):
        read_body_model(path)
    assert not trap.mark.exists()


def test_a_sparse_matrix_cannot_ask_for_memory(tmp_path, arrays):
    raw = official_pickle(arrays)
    path = tmp_path / "m.pkl"
    changed = raw.replace(b"K\x18KP\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86")
    assert changed != raw
    path.write_bytes(changed)
    with pytest.raises(DataError, match="sparse matrix"):
        read_body_model(path)


def test_other_files_are_told_apart(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match="git-lfs"):
        read_body_model(path)
    path.write_bytes(python2_dumps([1]))
    with pytest.raises(DataError, match="a dictionary of arrays"):
        read_body_model(path)
    with pytest.raises(MissingDataError, match="found none"):
        read_body_model(tmp_path / "absent.pkl")


def test_where_models_are_looked_for(tmp_path, monkeypatch, arrays):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingDataError, match=r"LIFTING_SMPL.*https://smpl\.is\.tue\.mpg\.de"):
        find_body_model(None, ("smpl",), "male")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(MissingDataError, match=r"SMPLX_MALE\.npz.*https://smpl-x\.is\.tue"):
        find_body_model(None, ("smplx",), "male")
    (tmp_path / "smplh" / "male").mkdir(parents=True)
    wanted = tmp_path / "smplh" / "male" / "model.npz"
    wanted.touch()
    (tmp_path / "SMPL_MALE.pkl").touch()
    assert find_body_model(None, ("smplh", "smpl"), "male") == wanted
    assert find_body_model(None, ("smpl",), "male") == tmp_path / "SMPL_MALE.pkl"
    assert find_body_model(str(wanted), ("smplx",), "female") == wanted


@pytest.mark.parametrize("form", ["npz", "pickle"])
def test_damaged_models_raise_nothing_but_data_errors(form, damage_count, tmp_path, count_refused):
    small = model_arrays(24, 25, 1)
    path = save_npz(tmp_path, small, "m")
    path = path if path.is_file() else path.with_suffix(".npz")
    if form == "pickle":
        raw = official_pickle(small)
        versions = (path.write_bytes(changed) for changed in damaged_bytes(raw, damage_count))
    else:
        versions = damaged_copies(path, damage_count)
    assert count_refused(versions, lambda: read_body_model(path)) > damage_count // 4
