"""Finding user files, and reading npz archives that cannot be trusted."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile

import numpy as np
import pytest

from lifting.data.folders import data_folder, find_file
from lifting.errors import DataError, MissingDataError, OutputError
from lifting.files.checks import sha256_of
from lifting.files.npz import read_plain_npz, write_npz_atomically

KEYS = {"values": ("number", 2), "names": ("text", 1)}


@pytest.fixture
def arrays():
    return {"values": np.arange(12, dtype=np.int16).reshape(4, 3), "names": np.array(["a", "bc"])}


@pytest.fixture
def archive(tmp_path, arrays):
    path = tmp_path / "good.npz"
    write_npz_atomically(path, **arrays)
    return path


def npy_bytes(array, allow_pickle=False):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=allow_pickle)
    return stream.getvalue()


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_file_is_looked_for_below_the_name_then_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    (tmp_path / "x.npz").write_bytes(b"outer")
    assert find_file("cmu", "x.npz", None) == tmp_path / "x.npz"
    (tmp_path / "cmu").mkdir()
    (tmp_path / "cmu" / "x.npz").write_bytes(b"inner")
    assert find_file("cmu", "x.npz", None) == tmp_path / "cmu" / "x.npz"
    assert data_folder("cmu", None) == tmp_path / "cmu"


def test_root_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path / "other"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.npz").write_bytes(b"")
    assert find_file("cmu", "x.npz", str(tmp_path / "mine")) == tmp_path / "mine" / "x.npz"
    assert data_folder("cmu", str(tmp_path / "mine")) == tmp_path / "mine"


def test_missing_file_names_file_places_variable_and_command(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        find_file("cmu", "x.npz", None)
    message = str(caught.value)
    assert "x.npz" in message
    assert str(tmp_path / "cmu") in message
    assert "set LIFTING_DATA" in message
    assert "lifting data prepare cmu --source DIR" in message


def test_missing_folder_without_any_setting(monkeypatch):
    monkeypatch.delenv("LIFTING_DATA", raising=False)
    with pytest.raises(MissingDataError, match=r"neither data\.root nor the variable"):
        data_folder("cmu", None)


def test_round_trip_keeps_values_and_types(archive, arrays):
    read = read_plain_npz(archive, KEYS)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_big_endian_numbers_come_back_native(tmp_path):
    path = write_zip(tmp_path / "big.npz", [("v.npy", npy_bytes(np.array([1.5, 2], ">f4")))])
    read = read_plain_npz(path, {"v": ("float", 1)})["v"]
    assert read.dtype == np.float32
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, [1.5, 2])


def test_optional_array_may_be_absent(archive):
    keys = {**KEYS, "note": ("text", 0)}
    assert set(read_plain_npz(archive, keys, optional=frozenset({"note"}))) == set(KEYS)


def test_missing_key_names_the_nearest(archive):
    with pytest.raises(DataError, match=r"expected an array 'value'.*did you mean 'values'"):
        read_plain_npz(archive, {"value": ("number", 2)})


@pytest.mark.parametrize(
    ("kind", "ndim"), [("float", 2), ("number", 3), ("text", 2), ("boolean", 2)]
)
def test_wrong_kind_or_shape(archive, kind, ndim):
    with pytest.raises(DataError, match=rf"to be {kind} with {ndim} axes, got int16 of shape"):
        read_plain_npz(archive, {"values": (kind, ndim)})


def test_absent_file(tmp_path):
    with pytest.raises(MissingDataError, match="found none"):
        read_plain_npz(tmp_path / "none.npz", KEYS)


def test_lfs_pointer(tmp_path):
    path = tmp_path / "x.npz"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DataError, match="got a git-lfs pointer"):
        read_plain_npz(path, KEYS)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x93NUMPY"])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected an npz \(zip\) archive"):
        read_plain_npz(path, KEYS)


def test_truncated_archive(archive):
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(DataError, match="it is truncated"):
        read_plain_npz(archive, KEYS)


def test_damaged_content(archive):
    content = bytearray(archive.read_bytes())
    content[60:75] = bytes(15)
    archive.write_bytes(bytes(content))
    with pytest.raises(DataError, match="damaged"):
        read_plain_npz(archive, KEYS)


class Explosive:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_objects_are_refused_without_being_run(tmp_path):
    content = npy_bytes(np.array([Explosive()], dtype=object), allow_pickle=True)
    path = write_zip(tmp_path / "x.npz", [("values.npy", content)])
    with pytest.raises(DataError, match="pickled objects, which are refused"):
        read_plain_npz(path, {"values": ("number", 1)})


@pytest.mark.parametrize("name", ["/etc/values.npy", "../values.npy", "a\\..\\b.npy", "C:x.npy"])
def test_member_names_that_leave_the_folder(tmp_path, name):
    path = write_zip(tmp_path / "x.npz", [(name, npy_bytes([1]))])
    with pytest.raises(DataError, match="expected plain member names"):
        read_plain_npz(path, {"values": ("number", 1)})


def test_member_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "x.npz", [("a.npy", npy_bytes([1])), ("a.npy", b"")])
    with pytest.raises(DataError, match="each member once"):
        read_plain_npz(path, {"a": ("number", 1)})


def test_expanded_size_is_limited_before_reading(tmp_path):
    path = write_zip(tmp_path / "x.npz", [("a.npy", npy_bytes(np.zeros(200_000)))])
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="expected at most 100000 bytes uncompressed"):
        read_plain_npz(path, {"a": ("number", 1)}, max_bytes=100_000)


def test_header_that_claims_more_than_the_member_holds(tmp_path):
    content = npy_bytes(np.zeros(4)).replace(b"(4,), }        ", b"(999999999,), }")
    path = write_zip(tmp_path / "x.npz", [("a.npy", content)])
    with pytest.raises(DataError, match="to hold 7999999992 bytes"):
        read_plain_npz(path, {"a": ("float", 1)})


def test_bytes_after_an_array_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.npz", [("a.npy", npy_bytes(np.zeros(4)) + b"more")])
    with pytest.raises(DataError, match="got further bytes"):
        read_plain_npz(path, {"a": ("float", 1)})


def test_mutated_archives_raise_nothing_else(tmp_path, archive, damage_count):
    original = archive.read_bytes()
    rng = random.Random(0)
    refused = 0
    for i in range(damage_count):
        content = bytearray(original)
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if i % 4 == 0:
            del content[rng.randrange(len(content)) :]
        path = tmp_path / "mutated.npz"
        path.write_bytes(bytes(content))
        try:
            read_plain_npz(path, KEYS, max_bytes=1 << 20)
        except DataError:
            refused += 1
    assert refused > damage_count / 2


def test_writing_leaves_no_temporary_file_and_replaces(tmp_path, arrays):
    path = tmp_path / "new" / "x.npz"
    write_npz_atomically(path, **arrays)
    write_npz_atomically(path, values=arrays["values"] + 1)
    assert [p.name for p in path.parent.iterdir()] == ["x.npz"]
    np.testing.assert_array_equal(
        read_plain_npz(path, {"values": ("number", 2)})["values"], arrays["values"] + 1
    )


def test_writing_is_reproducible(tmp_path, arrays):
    write_npz_atomically(tmp_path / "a.npz", **arrays)
    write_npz_atomically(tmp_path / "b.npz", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_failed_write_keeps_the_old_file(archive):
    before = archive.read_bytes()
    with pytest.raises(DataError, match="Python objects"):
        write_npz_atomically(archive, values=np.array([object()]))
    assert archive.read_bytes() == before


def test_writing_below_a_file_is_an_output_error(archive):
    with pytest.raises(OutputError, match="expected to write"):
        write_npz_atomically(archive / "x.npz", values=np.zeros(1))


def test_hash_follows_the_content(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    assert sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert sha256_of(path) == hashlib.sha256(b"three").hexdigest()
