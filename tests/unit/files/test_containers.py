"""Pickled containers in npz archives: read, bounded, never run."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
from mutation import damaged_copies
from published_npz import boxed, npy_of_pickle, write_object_npz

from lifting.errors import DataError, MissingDataError
from lifting.files.containers import (
    entries,
    entry,
    items,
    numbers,
    read_object_npz,
    read_object_rows,
)

CONTENT = {
    "S1": {"Walking": np.arange(24, dtype=np.float32).reshape(4, 2, 3), "Jog": np.arange(3)},
    "list": [1, 2.5, "text", (True, np.float64(3))],
}


def assert_content(value):
    assert set(value) == {"S1", "list"}
    np.testing.assert_array_equal(value["S1"]["Walking"], CONTENT["S1"]["Walking"])
    assert value["S1"]["Walking"].dtype == np.float32
    np.testing.assert_array_equal(value["S1"]["Jog"], CONTENT["S1"]["Jog"])
    assert value["list"] == CONTENT["list"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_protocol_is_read(tmp_path, protocol, method):
    path = write_object_npz(tmp_path / "x.npz", protocol, method, data=CONTENT)
    assert_content(read_object_npz(path, ("data",))["data"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_of_numpy_are_read(tmp_path, save):
    save(tmp_path / "x.npz", data=np.array(CONTENT, dtype=object), other=np.arange(3))
    assert_content(read_object_npz(tmp_path / "x.npz", ("data",))["data"])
    save(tmp_path / "y.npz", data=np.array([CONTENT], dtype=object))
    assert_content(read_object_npz(tmp_path / "y.npz", ("data",))["data"])


def test_optional_containers_may_be_absent(tmp_path):
    path = write_object_npz(tmp_path / "x.npz", data=CONTENT)
    got = read_object_npz(path, ("data", "metadata"), optional=frozenset({"metadata"}))
    assert set(got) == {"data"}
    with pytest.raises(DataError, match=r"expected an array 'dat' in .*did you mean 'data'"):
        read_object_npz(path, ("dat",))


def test_absent_files_and_other_files(tmp_path):
    with pytest.raises(MissingDataError, match="found none"):
        read_object_npz(tmp_path / "x.npz", ("data",))
    (tmp_path / "x.npz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    with pytest.raises(DataError, match="got a git-lfs pointer"):
        read_object_npz(tmp_path / "x.npz", ("data",))
    (tmp_path / "x.npz").write_bytes(pickle.dumps(CONTENT))
    with pytest.raises(DataError, match=r"expected an npz \(zip\) archive"):
        read_object_npz(tmp_path / "x.npz", ("data",))


def test_truncated_files(tmp_path):
    path = write_object_npz(tmp_path / "x.npz", data=CONTENT)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="it is truncated"):
        read_object_npz(path, ("data",))


def test_expanded_size_is_limited_before_reading(tmp_path):
    path = write_object_npz(tmp_path / "x.npz", data={"zeros": np.zeros(200_000)})
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="expected at most 100000 bytes uncompressed"):
        read_object_npz(path, ("data",), max_bytes=100_000)


def member(tmp_path, content, name="data.npy"):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def test_names_that_leave_the_folder(tmp_path):
    path = member(tmp_path, npy_of_pickle(boxed(CONTENT)), "../data.npy")
    with pytest.raises(DataError, match="expected plain member names"):
        read_object_npz(path, ("data",))


def test_plain_arrays_and_larger_boxes_are_another_form(tmp_path):
    np.savez(tmp_path / "x.npz", data=np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"to be one pickled container, got float64 of shape"):
        read_object_npz(tmp_path / "x.npz", ("data",))
    path = member(tmp_path, npy_of_pickle(boxed(CONTENT), shape=(2,)))
    with pytest.raises(DataError, match=r"got object of shape \(2,\)"):
        read_object_npz(path, ("data",))
    path = member(tmp_path, npy_of_pickle(pickle.dumps(CONTENT)))
    with pytest.raises(DataError, match=r"expected one object in 'data' of .*got dict"):
        read_object_npz(path, ("data",))


def test_bytes_after_the_pickle_are_refused(tmp_path):
    path = member(tmp_path, npy_of_pickle(boxed(CONTENT)) + b"more")
    with pytest.raises(DataError, match="got further bytes"):
        read_object_npz(path, ("data",))


def test_checksums_are_verified(tmp_path):
    path = write_object_npz(tmp_path / "x.npz", 3, zipfile.ZIP_STORED, data=CONTENT)
    raw = path.read_bytes()
    value = CONTENT["S1"]["Walking"].tobytes()
    assert raw.count(value) == 1
    path.write_bytes(raw.replace(value, value[:-1] + b"\x42"))
    with pytest.raises(DataError, match="BadZipFile: Bad CRC-32"):
        read_object_npz(path, ("data",))


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_code_is_refused_and_not_run(tmp_path, protocol, trap):
    path = write_object_npz(tmp_path / "x.npz", protocol, data={"S1": trap})
    with pytest.raises(DataError, match=r"'data' of .* unsafe: it asks for \w+\.system"):
        read_object_npz(path, ("data",))
    assert not trap.mark.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [None]}, "got NoneType at data/a/0"),
        ({"a": b"raw"}, "got bytes at data/a"),
        ({"a": {"b": {1, 2}}}, "got set at data/a/b"),
        ({"a": np.array(["x"])}, "got array of <U1 at data/a"),
        ({"a" * 999: [None]}, "got NoneType at data/a{40}/0"),
    ],
)
def test_other_kinds_of_values_are_refused(tmp_path, value, message):
    path = write_object_npz(tmp_path / "x.npz", data=value)
    with pytest.raises(DataError, match=message):
        read_object_npz(path, ("data",))


def doubled(value, times):
    for _ in range(times):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        dict.fromkeys(map(str, range(50)), np.zeros(4000)),
        {"deep": doubled(1, 28)},
    ],
    ids=["one array often", "doubled lists"],
)
def test_a_small_file_cannot_stand_for_much_data(tmp_path, value):
    path = write_object_npz(tmp_path / "x.npz", data=value)
    with pytest.raises(DataError, match="values, which repeat one another"):
        read_object_npz(path, ("data",))


def test_many_names_neither_hang_nor_flood_the_message(tmp_path):
    value = {f"{i}" * 50: 1 for i in range(20_000)}
    path = write_object_npz(tmp_path / "x.npz", data=value)
    content = entries(read_object_npz(path, ("data",))["data"], "data")
    with pytest.raises(DataError, match="missing subject 'S1' in data") as caught:
        entry(content, "S1", "subject", "data")
    assert len(str(caught.value)) < 20_000


def test_numbers_become_native_float32():
    for kind in (">f8", "<i2", "?", "f4"):
        got = numbers(np.ones((3, 2), kind), "x", (None, 2))
        assert got.dtype == np.float32
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2]], r"numbers of shape \(any, 2\) at x, got a list of 1"),
        (np.zeros((0, 2)), r"got an array of float64, shape \(0, 2\)"),
        (np.zeros((1, 3)), r"shape \(1, 3\)"),
        (np.array([["a", "b"]]), "got an array of <U1"),
        (np.array([[1, np.nan]]), r"finite numbers at x, got nan at index \(0, 1\)"),
        (np.array([[1, 1e300]]), r"finite numbers at x, got inf at index \(0, 1\)"),
        ("text", "got str 'text'"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value, message):
    with pytest.raises(DataError, match=message):
        numbers(value, "x", (None, 2))


@pytest.mark.parametrize("value", [{}, {1: 2}, [1], "x"])
def test_what_is_no_dictionary_is_refused(value):
    with pytest.raises(DataError, match="expected a dictionary by name at x"):
        entries(value, "x")


def test_what_is_no_list_is_refused():
    assert items((1, 2), "x") == [1, 2]
    assert len(items(np.zeros((4, 2)), "x")) == 4
    for value in ({}, 3, np.float64(3), np.array(3)):
        with pytest.raises(DataError, match="expected a list at x"):
            items(value, "x")


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_damaged_files_raise_nothing_but_data_errors(
    tmp_path, protocol, damage_count, count_refused, memory_below
):
    path = write_object_npz(tmp_path / "x.npz", protocol, data=CONTENT)
    versions = damaged_copies(path, damage_count, seed=protocol)
    with memory_below(10e6):
        refused = count_refused(versions, lambda: read_object_npz(path, ("data",)))
    assert refused > damage_count / 3


def test_rows_of_objects(tmp_path):
    rows = np.empty((3, 2), dtype=object)
    for i, row in enumerate(rows):
        row[:] = [[], np.full((i, 2), i, np.float32)]
    np.savez_compressed(tmp_path / "x.npz", rows=rows, one=np.array(CONTENT, dtype=object))
    got = read_object_rows(tmp_path / "x.npz", "rows", 2)
    assert [len(row) for row in got] == [2, 2, 2]
    np.testing.assert_array_equal(got[2][1], [[2, 2], [2, 2]])
    assert got[2][0] == []
    with pytest.raises(DataError, match=r"'rows' .*rows of 3 objects, got object of shape \(3, 2"):
        read_object_rows(tmp_path / "x.npz", "rows", 3)
    with pytest.raises(DataError, match=r"'rows' .*one pickled container, got object of shape"):
        read_object_npz(tmp_path / "x.npz", ("rows",))
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("rows.npy", npy_of_pickle(boxed([1, 2]), (3, 2)))
    with pytest.raises(DataError, match=r"expected 6 objects in 'rows' .*got list"):
        read_object_rows(tmp_path / "y.npz", "rows", 2)
