"""MATLAB and HDF5 files through the child process: exact, and harmless whatever they hold."""

import random
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from lifting.errors import DataError, MissingDataError
from lifting.files import sandbox
from lifting.files.sandbox import CHILD, Limits, MatRequest, read_mat, read_mats, texts_of

MIB = 1024**2


def cell_array(*values):
    cells = np.empty((len(values), 1), dtype=object)
    for i, value in enumerate(values):
        cells[i, 0] = value
    return cells


@pytest.fixture
def mat5(tmp_path):
    rng = np.random.default_rng(0)
    values = {
        "annot2": cell_array(*(rng.normal(size=(5, 56)).astype(np.float32) for _ in range(3))),
        "frames": np.arange(5.0)[:, None],
        "note": "text",
    }
    savemat(tmp_path / "a.mat", values, do_compression=True)
    return tmp_path / "a.mat", values


@pytest.fixture
def mat73(tmp_path):
    rng = np.random.default_rng(1)
    values = {"annot3": rng.normal(size=(4, 1, 17, 3)), "valid_frame": np.ones((4, 1))}
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        for name, value in values.items():
            file.create_dataset(name, data=value, compression="gzip", shuffle=True)
    return tmp_path / "b.mat", values


def test_matlab_5_is_read_exactly(mat5):
    path, values = mat5
    got = read_mat(path, {"annot2[0]": 2, "annot2[2]": 2, "frames": 2})
    np.testing.assert_array_equal(got["annot2[0]"], values["annot2"][0, 0])
    np.testing.assert_array_equal(got["annot2[2]"], values["annot2"][2, 0])
    assert got["annot2[2]"].dtype == np.float32
    assert got["frames"].shape == (5, 1)


def test_hdf5_is_read_exactly(mat73):
    path, values = mat73
    got = read_mat(path, {"annot3": 4, "valid_frame": 2})
    np.testing.assert_array_equal(got["annot3"], values["annot3"])
    np.testing.assert_array_equal(got["valid_frame"], values["valid_frame"])


def test_what_is_not_there_is_named(mat5, mat73, tmp_path):
    cases = [
        (mat5[0], "absent", "no variable 'absent'"),
        (mat5[0], "annot2[3]", "IndexError"),
        (mat5[0], "note", "no array of numbers"),
        (mat5[0], "annot2", "no array of numbers"),
        (mat73[0], "annot2", "no variable 'annot2'"),
    ]
    answers = read_mats([MatRequest(path, {name: 2}) for path, name, _ in cases])
    for answer, (path, _, reason) in zip(answers, cases, strict=True):
        assert isinstance(answer, DataError)
        assert reason in str(answer)
        assert str(path) in str(answer)
    with pytest.raises(DataError, match="number with 3 axes"):
        read_mat(mat5[0], {"frames": 3})
    with pytest.raises(MissingDataError, match="found none"):
        read_mat(tmp_path / "no.mat", {"frames": 2})


def test_files_of_other_kinds_are_refused(tmp_path):
    pointer, page = tmp_path / "p.mat", tmp_path / "w.mat"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    page.write_text("<html>sign in</html>")
    with pytest.raises(DataError, match="git-lfs pointer"):
        read_mat(pointer, {"x": 2})
    with pytest.raises(DataError, match=r"begins with b'<html>si', neither MATLAB nor HDF5"):
        read_mat(page, {"x": 2})


def test_hdf5_never_leaves_its_file(tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(4.0)
    (tmp_path / "raw").write_bytes(np.arange(4.0).tobytes())
    bad = tmp_path / "bad.h5"
    with h5py.File(bad, "w") as file:
        file["external"] = h5py.ExternalLink(str(secret), "/x")
        file["soft"] = h5py.SoftLink("/real")
        file["real"] = np.arange(4.0)
        file["group/x"] = np.arange(4.0)
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (4,), "f8", external=[(str(tmp_path / "raw"), 0, 32)])
        file.create_dataset("reference", (1,), h5py.ref_dtype)
        file.create_dataset("packed", data=np.arange(4.0), chunks=(4,), compression="lzf")
        file.create_dataset("hollow", (2**40,), "f8", chunks=(1024,))
    reasons = {
        "external": "link to another place or file",
        "soft": "link to another place or file",
        "group": "is no array",
        "virtual": "lie in another file",
        "outside": "lie in another file",
        "reference": "not numbers",
        "packed": "packed in a way that is not allowed",
        "hollow": "larger than is allowed",
    }
    answers = read_mats([MatRequest(bad, {name: 1}) for name in (*reasons, "real")])
    for answer, reason in zip(answers, reasons.values(), strict=False):
        assert isinstance(answer, DataError)
        assert reason in str(answer)
    np.testing.assert_array_equal(answers[-1]["real"], np.arange(4.0))


def test_a_compressed_bomb_meets_the_memory_limit(tmp_path):
    bomb = tmp_path / "bomb.mat"
    savemat(bomb, {"x": np.zeros((100 * MIB // 8, 1))}, do_compression=True)
    assert bomb.stat().st_size < MIB
    with pytest.raises(DataError, match="larger than is allowed"):
        read_mat(bomb, {"x": 2}, Limits(max_bytes=10 * MIB))


def child_that(body: str, folder: Path) -> Path:
    """A child with the real limits whose parser is replaced."""
    script = folder / "child.py"
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(CHILD.parent)!r})\n"
        f"import numpy as np\nimport sandbox_child\n"
        f"def parse(path, names, limit):\n    {body}\n"
        "sandbox_child.parse = parse\nsandbox_child.main()\n"
    )
    return script


@pytest.mark.parametrize(
    ("body", "limits", "reason"),
    [
        ("time.sleep(100)", Limits(seconds=0.3), "longer than 0.3 s"),
        ("sum(range(10**12))", Limits(seconds=0.3), "longer than 0.3 s"),
        ("time.sleep(0 * sys.exit(3))", Limits(), "ended with code 3"),
        ("__import__('os').abort()", Limits(), "ended by signal 6"),
        ("raise BufferError('odd')", Limits(), "ended with code 1 (BufferError: odd)"),
        ("return {'y': np.zeros((1, 1))}", Limits(), "expected an array 'x'"),
        ("return {'x': np.array(['a'])}", Limits(), "expected 'x'"),
        ("return {'x': np.zeros((2**20, 3))}", Limits(max_bytes=MIB), "File too large"),
    ],
)
def test_a_bad_child_becomes_an_error_in_words(body, limits, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "CHILD", child_that(body, tmp_path))
    file = tmp_path / "f.mat"
    file.write_bytes(b"MATLAB")
    with pytest.raises(DataError) as caught:
        read_mat(file, {"x": 2}, limits)
    assert reason in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_a_child_that_allocates_is_stopped(tmp_path, monkeypatch):
    body = "return {'x': np.ones((2**27, 8))}"
    monkeypatch.setattr(sandbox, "CHILD", child_that(body, tmp_path))
    file = tmp_path / "f.mat"
    file.write_bytes(b"MATLAB")
    with pytest.raises(DataError, match="more memory than is allowed"):
        read_mat(file, {"x": 2}, Limits(memory=1024 * MIB))


def test_after_a_crash_the_other_files_are_still_read(tmp_path, monkeypatch):
    body = "return {'x': np.ones((1, 1))} if 'good' in str(path) else __import__('os').abort()"
    monkeypatch.setattr(sandbox, "CHILD", child_that(body, tmp_path))
    files = [tmp_path / name for name in ("good1", "bad1", "good2", "bad2", "good3")]
    for file in files:
        file.write_bytes(b"MATLAB")
    answers = read_mats([MatRequest(file, {"x": 2}) for file in files])
    assert [isinstance(answer, DataError) for answer in answers] == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("kind", ["mat5", "mat73"])
def test_damaged_files_give_arrays_or_data_errors(damage_count, kind, request, tmp_path):
    path, _ = request.getfixturevalue(kind)
    axes = {"annot2[0]": 2, "frames": 2} if kind == "mat5" else {"annot3": 4, "valid_frame": 2}
    raw, rng = path.read_bytes(), random.Random(7)
    folder = tmp_path / "damaged"
    folder.mkdir()
    requests = []
    for number in range(damage_count):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        file = folder / f"{number}.mat"
        file.write_bytes(damaged)
        requests.append(MatRequest(file, axes))
    limits = Limits(seconds=5, memory=1024 * MIB, max_bytes=16 * MIB)
    answers = read_mats(requests, limits)
    refused = sum(isinstance(answer, DataError) for answer in answers)
    assert len(answers) == damage_count
    assert refused > damage_count // 10


@pytest.fixture
def table(tmp_path):
    """A table as pandas writes it, and lists of names."""
    kind = [("index", "<i8"), ("values", "<f8", (3,)), ("name", "S4"), ("pair", [("a", "f4")])]
    rows = np.zeros(5, kind)
    rows["index"], rows["values"] = np.arange(5), np.arange(15.0).reshape(5, 3)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("group/table", data=rows, chunks=(2,), compression="gzip")
        file.create_dataset("packed", data=rows, chunks=(2,), compression="lzf")
        file.create_dataset("hollow", (2**40,), kind, chunks=(64,))
        file["fixed"] = np.array([b"left hip", b"kn\xc3\xa9e"])
        file.create_dataset("any", data=["hip", "a longer one"], dtype=h5py.string_dtype())
        file["square"] = np.array([[b"a"], [b"b"]])
        file.create_dataset("many", (10**6,), "S4", chunks=(1024,))
        file.create_dataset("reference", (1,), h5py.ref_dtype)
        file["aside"] = h5py.SoftLink("/group")
    return tmp_path / "t.h5", rows


def test_columns_of_a_table_are_read_exactly(table):
    path, rows = table
    got = read_mat(path, {"group/table[index]": 1, "group/table[values]": 2})
    np.testing.assert_array_equal(got["group/table[index]"], rows["index"])
    np.testing.assert_array_equal(got["group/table[values]"], rows["values"])


def test_texts_of_any_length_are_read(table):
    got = read_mat(table[0], {"fixed?": 1, "any?": 1})
    assert texts_of(got["fixed?"]) == ("left hip", "knée")
    assert texts_of(got["any?"]) == ("hip", "a longer one")


def test_other_columns_and_texts_are_refused(table):
    reasons = {
        "group/table": "not numbers",
        "group/table[name]": "not numbers",
        "group/table[pair]": "not numbers",
        "group/table[none]": "no column 'none'",
        "packed[values]": "packed in a way that is not allowed",
        "hollow[values]": "larger than is allowed",
        "fixed": "not numbers",
        "square?": "no list of names",
        "many?": "no list of names",
        "reference?": "not texts",
        "group/table?": "not texts",
        "aside/table[index]": "link to another place or file",
    }
    answers = read_mats([MatRequest(table[0], {name: 1}) for name in reasons])
    for answer, reason in zip(answers, reasons.values(), strict=True):
        assert isinstance(answer, DataError)
        assert reason in str(answer)
