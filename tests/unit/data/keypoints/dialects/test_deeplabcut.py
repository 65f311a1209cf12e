"""DeepLabCut files: every number comes back, animals are refused, and nothing is unpickled."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from keypoint_files.deeplabcut import (
    COORDS,
    FIRST,
    WRITERS,
    columns_of,
    likely,
    numbers,
    write_csv,
    write_h5,
)

from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.source import open_source
from lifting.errors import DataError
from lifting.files import pickles
from lifting.skeleton import get_skeleton

COCO = get_skeleton("coco17").joints
REAL = Path(os.environ.get("LIFTING_DATA", "/nowhere")) / "real/dlc2kinematics"


def test_csv_of_one_person(tmp_path):
    people = read_people(WRITERS["deeplabcut-csv"](tmp_path))
    np.testing.assert_array_equal(people.joints, likely("coco17")[:, 0])
    assert people.skeleton.name == "coco17"
    assert people.frames == [str(i) for i in range(40)]
    assert people.track.tolist() == [-1] * 40


@pytest.mark.parametrize("writer", ["deeplabcut-csv-multi", "deeplabcut-h5-multi"])
def test_individuals_are_tracks(tmp_path, writer):
    people = read_people(WRITERS[writer](tmp_path))
    expected = likely("coco17", persons=2)
    np.testing.assert_array_equal(people.joints, expected.reshape(-1, 17, 3))
    assert people.track.tolist() == [0, 1] * 40
    assert people.claims.ids


def test_h5_keeps_the_numbers_of_its_frames(tmp_path):
    people = read_people(WRITERS["deeplabcut-h5"](tmp_path))
    np.testing.assert_array_equal(people.joints, likely("coco17")[:, 0])
    assert people.frames == [str(FIRST + i) for i in range(40)]


def test_labelled_pictures_are_sure(tmp_path):
    people = read_people(WRITERS["deeplabcut-csv-labelled"](tmp_path))
    np.testing.assert_array_equal(people.joints[..., :2], likely("coco17")[:, 0, :, :2])
    assert (people.joints[..., 2] == 1).all()
    assert people.frames[3] == "labeled-data/walk/img0003.png"


def test_pictures_are_put_in_order(tmp_path):
    people = likely("coco17", 11)
    index = [f"labeled-data\\walk\\img{i}.png" for i in range(11)][::-1]
    path = write_csv(tmp_path / "c.csv", columns_of(COCO), index, numbers(people))
    read = read_people(path)
    assert read.frames == index[::-1]
    np.testing.assert_array_equal(read.joints, people[::-1, 0])


def test_the_path_of_a_picture_may_take_three_columns(tmp_path):
    people = likely("coco17", 3)[..., :2]
    columns = columns_of(COCO, coords=("x", "y"))
    index = [f"labeled-data,walk,img{i}.png" for i in range(3)]
    path = write_csv(tmp_path / "c.csv", columns, index, numbers(people))
    lines = path.read_text().splitlines()
    heads = [line.replace(",", ",,,", 1) for line in lines[:3]]
    path.write_text("\n".join([*heads, *lines[3:]]))
    read = read_people(path)
    np.testing.assert_array_equal(read.joints[..., :2], people[:, 0])
    assert read.frames[2] == "labeled-data/walk/img2.png"


def test_gaps_absent_joints_and_columns_in_any_order(tmp_path):
    people = likely("coco17", persons=2)
    people[4, 1] = np.nan
    people[5, 0, 3, :2] = np.nan
    columns = columns_of(COCO, ("a", "b"))
    order = np.random.default_rng(0).permutation(len(columns))
    index = [*range(10, 30), *range(35, 55)]
    path = write_csv(
        tmp_path / "c.csv", [columns[i] for i in order], index, numbers(people)[:, order]
    )
    read = read_people(path)
    first = columns[order[0]][1]  # persons are numbered as their columns come
    persons = [0, 1] if first == "a" else [1, 0]
    flat = people[:, persons]
    there = ~np.isnan(flat[..., 0]).all(-1)
    parts = list(dict.fromkeys(columns[i][2] for i in order))
    joints = [parts.index(name) for name in COCO]
    assert sorted(joints) == list(range(17))
    np.testing.assert_array_equal(
        read.joints[:, [read.skeleton.index(name) for name in COCO]], flat[there]
    )
    assert read.frames == [str(i) for i in index]
    assert read.frame.tolist() == np.nonzero(there)[0].tolist()


def test_unique_parts_belong_to_nobody(tmp_path):
    people = likely("coco17", 3)
    columns = columns_of(COCO, ("p",)) + columns_of(["door"], ("single",))
    values = np.concatenate((numbers(people), np.ones((3, 3))), 1)
    read = read_people(write_csv(tmp_path / "c.csv", columns, range(3), values))
    np.testing.assert_array_equal(read.joints, people[:, 0])
    assert "parts of nobody ('single') left out" in read.claims.notes


@pytest.mark.parametrize(
    ("source", "parts", "target"),
    [
        ("halpe26", {"neck", "head", "hip", "nose"}, "halpe26"),
        ("halpe26", {"neck", "head", "nose"}, "body25b"),
        ("halpe26", {"neck", "nose", "left_eye", "right_eye", "left_ear"}, "coco17neck"),
        ("halpe26", {"hip", "neck", "nose", "left_eye", "right_eye"}, "coco25"),
        ("halpe26", {"nose"}, "coco17"),
        ("halpe26", {"nose", "left_heel", "right_heel"}, "coco23"),
        ("halpe26", set(), "mediapipe33"),
    ],
)
def test_the_set_is_the_one_whose_joints_are_there(tmp_path, source, parts, target):
    joints = get_skeleton(source).joints
    limbs = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    sided = {f"{side}_{limb}" for side in ("left", "right") for limb in limbs}
    kept = [i for i, name in enumerate(joints) if name in sided | parts][::-1]
    people = likely(source, 30)[:, 0][:, kept]
    names = [_spelled(joints[i]) for i in kept]
    people = np.insert(people, 1, 7.0, axis=1)
    names.insert(1, "left_thumb_tip")
    path = write_csv(tmp_path / "c.csv", columns_of(names), range(30), numbers(people))
    read = read_people(path)
    assert read.skeleton.name == target
    assert read.order.told_by == "names in the file"
    for name in read.skeleton.joints:
        got = read.joints[:, read.skeleton.index(name)]
        if name in (sided | parts):
            at = names.index(_spelled(name))
            np.testing.assert_array_equal(got, people[:, at])
        else:
            assert np.isnan(got[:, :2]).all()
            assert (got[:, 2] == 0).all()
    assert read.claims.extra == ("left_thumb_tip",)
    np.testing.assert_array_equal(read.extra[:, 0], people[:, 1])


def _spelled(name):
    """``LKnee`` and ``Knee_r``: two of the ways people write sides."""
    side, _, part = name.partition("_")
    words = "".join(word.capitalize() for word in part.split("_"))
    return {"left": f"L{words}", "right": f"{words}_r"}.get(side, name.capitalize())


def test_two_ends_of_an_ankle_give_their_mean(tmp_path):
    people = likely("coco17", 3)[:, 0]
    names = [*COCO[:15], "left_malleolus_lateral", "right_ankle", "left_malleolus_medial"]
    people = np.concatenate((people, people[:, 15:16] + (2, 4, -0.001)), 1)
    read = read_people(write_csv(tmp_path / "c.csv", columns_of(names), range(3), numbers(people)))
    np.testing.assert_allclose(read.joints[:, 15], people[:, 15] + (1, 2, -0.001), rtol=1e-12)


def test_an_animal_is_refused_with_its_parts():
    if not REAL.is_dir():
        pytest.skip("needs real/dlc2kinematics below LIFTING_DATA")
    (path,) = REAL.glob("*.h5")
    with pytest.raises(DataError) as caught:
        read_people(path)
    message = str(caught.value)
    assert "none for left_hip, right_hip, left_knee, right_knee" in message
    assert "nose, Left_wrist, left_backofhand, L_Finger1" in message
    assert "and 21 more" in message
    assert message.startswith(str(path))
    assert len(message) < 700


def test_nothing_is_unpickled(tmp_path, trap, monkeypatch):
    def never(*_, **__):
        raise AssertionError("unpickled")

    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, never)
    monkeypatch.setattr(pickles, "read_pickle", never)
    columns, people = columns_of(COCO), likely("coco17", 3)
    evil = pickle.dumps([(1, [*columns, trap])], 0)
    for names in (evil, pickle.dumps(trap, 0), b"cos\nsystem\n(S'true'\ntR."):
        path = write_h5(tmp_path / "e.h5", columns, range(3), numbers(people), names=names)
        with pytest.raises(DataError, match="it asks for GLOBAL; nothing of it was run"):
            read_people(path)
    assert not trap.mark.exists()
    read_people(WRITERS["deeplabcut-h5"](tmp_path))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (b"", "damaged or unsafe"),
        (b"(lp0\n", "damaged or unsafe"),
        (b"a.", "damaged or unsafe"),
        (b"g7\n.", "damaged or unsafe"),
        (b"I5\n.", "none that are complete"),
        (pickle.dumps([(1, [("a", 3, "x")])], 0), "none that are complete"),
        (pickle.dumps([(1, columns_of(COCO)[:-1])], 0), "got 51 columns with 50 names"),
    ],
)
def test_damaged_names_of_columns(tmp_path, names, reason):
    path = write_h5(
        tmp_path / "d.h5", columns_of(COCO), range(3), numbers(likely("coco17", 3)), names=names
    )
    with pytest.raises(DataError, match=reason):
        read_people(path)


def _with(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    return path


def _as_scalar(file):
    frame = file["df_with_missing"]
    row = frame["table"][0]
    del frame["table"]
    frame["table"] = row


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f["df_with_missing"].attrs.__setitem__("pandas_type", "frame"),
         "of type frame .*give the csv"),
        (lambda f: f.copy("df_with_missing", "other"), "got 2, the first"),
        (lambda f: f["df_with_missing"].pop("table"), "of its own; give the csv"),
        (lambda f: f["df_with_missing/table"].attrs.__setitem__(
            "values_block_0_kind", pickle.dumps(columns_of(COCO)[::-1], 0).decode()),
         "two that differ"),
        (_as_scalar, "expected one pandas table of numbers"),
        (lambda f: f["df_with_missing/table"].attrs.__setitem__("values_block_0_kind", "c\nd\n."),
         "it asks for GLOBAL|damaged"),
    ],
    ids=["fixed", "two", "without", "order", "scalar", "code"],
)  # fmt: skip
def test_h5_of_another_form(tmp_path, change, reason):
    with pytest.raises(DataError, match=reason):
        read_people(_with(WRITERS["deeplabcut-h5"](tmp_path), change))


def test_h5_packed_by_a_plug_in(tmp_path):
    path = write_h5(
        tmp_path / "p.h5", columns_of(COCO), range(40), numbers(likely("coco17")),
        compression="lzf",
    )  # fmt: skip
    with pytest.raises(DataError, match=r"packed in a way .*, or give the csv"):
        read_people(path)


def _table(tmp_path, columns=None, index=range(3), values=None, levels=None):
    columns = columns or columns_of(COCO)
    values = np.ones((3, len(columns))) if values is None else values
    return write_csv(tmp_path / "t.csv", columns, index, values, levels)


def test_contradictions_of_a_csv_are_refused(tmp_path):
    animal = ["nose", "left_ear", "tail_base", *(f"spine{i}" for i in range(12))]
    twice = [*COCO, "LKnee"]
    cases = [
        (
            {"columns": columns_of(COCO, coords=("x", "y", "z"))},
            "got x, y, z, 0 of .*2D tables of the cameras",
        ),
        ({"columns": columns_of(COCO, coords=("x", "likelihood"))}, "got likelihood, x, 0 of"),
        ({"columns": [*columns_of(COCO), *columns_of(COCO, scorer="b")]}, "of 2 scorers"),
        ({"columns": [*columns_of(COCO), *columns_of(COCO[:1])]}, "each column once"),
        ({"columns": columns_of(COCO)[:-1]}, "1 of them lacking"),
        ({"columns": columns_of(animal)}, "tail_base, spine0.*spine8 and 3 more"),
        ({"columns": columns_of(twice)}, r"left_knee \(left_knee or LKnee\)"),
        ({"index": [0, 2, 1]}, "numbers of frames that rise"),
        ({"index": [0, 1, 1]}, "numbers of frames that rise"),
        ({"index": ["a/1.png", "b/1.png", "b/2.png"]}, "of 2 folders"),
        ({"index": ["0.0", "1.0", "2.0"]}, "numbers of frames that rise"),
        ({"levels": ("scorer", "parts", "coords")}, "got scorer, coords and"),
        ({"index": [], "values": np.ones((0, 51))}, "and 0 others"),
    ]
    for given, reason in cases:
        with pytest.raises(DataError, match=reason):
            read_people(_table(tmp_path, **given))


def test_damaged_csv_is_refused(tmp_path, count_refused):
    path = _table(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("1.0", "one", 1))
    with pytest.raises(
        DataError, match=r"expected numbers in the cells of .*'one' in row 1 below"
    ):
        read_people(path)
    path.write_text(text[:-20])
    with pytest.raises(DataError, match=r"got 4[0-9] in row 6"):
        read_people(path)
    rng = random.Random(3)

    def versions():
        for _ in range(200):
            damaged = bytearray(text.encode())
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged)
            yield

    assert count_refused(versions(), lambda: read_people(path)) > 50


def test_damaged_h5_gives_people_or_data_errors(tmp_path, count_refused):
    path = WRITERS["deeplabcut-h5"](tmp_path)
    raw, rng = path.read_bytes(), random.Random(5)

    def versions():
        for _ in range(6):
            damaged = bytearray(raw)
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(6000)] = rng.randrange(256)
            if rng.random() < 0.3:
                del damaged[rng.randrange(len(damaged)) :]
            path.write_bytes(damaged)
            yield

    assert count_refused(versions(), lambda: read_people(path)) > 0


def test_other_tables_are_not_taken(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("bodyparts,x,y\n1,2,3\n")
    with pytest.raises(DataError, match="known format"):
        read_people(path)
    assert open_source(path).kind == "table"
    assert COORDS == ("x", "y", "likelihood")
