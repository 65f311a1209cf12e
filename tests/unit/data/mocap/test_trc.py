"""TRC files in every variant of the header, real ones, and damaged ones."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap.markers import read_trc
from lifting.errors import DataError, LiftingError, MissingDataError

NAMES = ("LHip", "RHip", "Head")


def trc(rows=None, *, units="m", rate="50.00", names=NAMES, frames="4", markers="3", gap=True,
        first=1, tab="\t", trailing=True, row_tail=""):  # fmt: skip
    """A file written from the form's public description; row i has marker j at (i, j, 0.5)."""
    if rows is None:
        rows = [[f"{v}" for j in range(len(NAMES)) for v in (i, j, 0.5)] for i in range(4)]
    over = "\t\t\t".join(names) + ("\t\t" if trailing else "")
    if tab == " ":
        over = " ".join(names)
    head = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate"]
    lines = [
        tab.join(["PathFileType", "4", "(X/Y/Z)", "a.trc"]),
        "\t".join(head),
        "\t".join([rate, rate, frames, markers, units, rate]),
        tab.join(["Frame#", "Time", over]),
        "\t\t" + "\t".join(f"{axis}{j + 1}" for j in range(len(rows[0]) // 3) for axis in "XYZ"),
        *([""] if gap else []),
        *(tab.join([str(first + i), f"{i / 50:.6f}", *row]) + row_tail
          for i, row in enumerate(rows)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@pytest.fixture
def read(tmp_path):
    def place(text):
        path = tmp_path / "a.trc"
        path.write_text(text, encoding="utf-8")
        return read_trc(path)

    return place


@pytest.mark.parametrize("variant", [
    {}, {"gap": False}, {"trailing": False}, {"tab": " "}, {"row_tail": "\t"}, {"first": 0},
    {"first": 731}, {"rate": "50"}, {"gap": False, "trailing": False, "row_tail": "\t\t"},
])  # fmt: skip
def test_every_variant_reads_alike(read, variant):
    motion = read(trc(**variant))
    assert (motion.form, motion.names, motion.fps, motion.unit_mm) == ("trc", NAMES, 50.0, 1000.0)
    assert motion.rotations is None
    assert motion.up is None
    assert motion.notes == ()
    np.testing.assert_array_equal(motion.positions[3, 2], [3, 2, 0.5])
    # (0, 0, 0.5) is a place, not a missing marker
    assert np.isfinite(motion.positions).all()


def test_first_line_may_have_tabs_or_blanks_and_a_mark_of_unicode(read):
    text = trc().replace("PathFileType\t4\t(X/Y/Z)\t", "\ufeffPathFileType  4\t(X/Y/Z) ")
    assert read(text).names == NAMES
    assert read(trc(names=("Hüfte", "RHip", "Head"))).names[0] == "Hüfte"
    assert read(trc().replace("\n", "\r\n")).names == NAMES


@pytest.mark.parametrize(
    "cells", [["", "", ""], ["NaN"] * 3, ["nan", "1", "2"], ["0", "0.0", "0"]]
)
def test_missing_markers_are_nan(read, cells):
    rows = [["1", "2", "3", *cells, "7", "8", "9"], ["1"] * 9, ["2"] * 9, ["3"] * 9]
    motion = read(trc(rows))
    missing = np.isnan(motion.positions).all(axis=-1)
    assert missing.sum() == 1
    assert missing[0, 1]
    assert motion.names == NAMES


def test_missing_last_marker_with_and_without_its_tabs(read):
    rows = [["1", "2", "3", "4", "5", "6", "", "", ""], ["1"] * 9, ["2"] * 9, ["3"] * 9]
    whole, cut = read(trc(rows)), read(trc([rows[0][:6], *rows[1:]]))
    np.testing.assert_array_equal(whole.positions, cut.positions)
    assert whole.notes == cut.notes == ()


@pytest.mark.parametrize(
    ("units", "mm"), [("m", 1000), ("mm", 1), ("cm", 10), ("inches", 25.4), ("Meters", 1000)]
)
def test_units(read, units, mm):
    assert read(trc(units=units)).unit_mm == mm


@pytest.mark.parametrize(("scale", "mm"), [(1, 1000), (1000, 1)])
@pytest.mark.parametrize("units", ["", "furlong"])
def test_unit_by_range_with_a_note(read, units, scale, mm):
    rows = [[str(scale * v) for v in (i + 1, 2, 3) * 3] for i in range(4)]
    motion = read(trc(rows, units=units))
    assert motion.unit_mm == mm
    assert "names no known unit" in motion.notes[0]


def test_columns_count_where_the_header_disagrees(read):
    motion = read(trc(frames="9", markers="5", names=("A", "B", "C", "D")))
    assert motion.names == ("A", "B", "C")
    assert [n.split(",")[0] for n in motion.notes] == [
        "NumFrames says 9", "NumMarkers says 5", "the line of names holds 4",
    ]  # fmt: skip
    motion = read(trc(names=("A", "B")))
    assert motion.names == ("A", "B")
    assert motion.positions.shape == (4, 2, 3)
    assert "unlabelled" in motion.notes[1]


def test_rate_by_time_or_with_a_note(read):
    assert read(trc(rate="")).fps == 50.0
    assert "no DataRate" in read(trc(rate="")).notes[0]
    motion = read(trc(rate="100"))
    assert motion.fps == 100
    assert "Time rises as at 50" in motion.notes[0]
    with pytest.raises(DataError, match=r"expected a rate above 0.*got 0"):
        read(trc(rate="0"))


@pytest.mark.parametrize(("old", "new", "message"), [
    ("PathFileType", "Path", r"a\.trc, line 1: expected PathFileType, got 'Path'"),
    ("Frame#", "Bild", r"line 4: expected Frame#.*got 'Bild'"),
    ("X1\tY1", "Y1\tX1", r"line 5: expected a finite number.*got 'Y1'"),
    ("0.020000\t1\t0", "0.020000\t1,5\t0", r"line 8: expected a finite number.*got '1,5'"),
    ("0.020000\t1\t0", "0.020000\tinf\t0", r"line 8: expected a finite number.*got 'inf'"),
    ("0.020000\t1\t0", "0.020000\t1e9\t0", r"line 8: expected a finite number.*got '1e9'"),
    ("0.060000\t3\t0", "0.060000\t0", r"line 10: expected Frame#, Time and three.*10 cells"),
])  # fmt: skip
def test_malformed_lines_are_named(read, old, new, message):
    text = trc()
    assert old in text
    with pytest.raises(DataError, match=message):
        read(text.replace(old, new))


def test_cut_files(read, tmp_path):
    for lines in range(7):
        with pytest.raises(DataError, match="cut short"):
            read("\n".join(trc().split("\n")[:lines]))
    with pytest.raises(MissingDataError, match="found none"):
        read_trc(tmp_path / "none.trc")


def test_mutated_files_raise_nothing_else(read, damage):
    rng, refused = random.Random(5), []
    for _ in range(300):
        try:
            read(damage(trc(), rng))
        except LiftingError as error:
            refused.append(len(str(error)))
    assert 30 < len(refused) < 300
    assert max(refused) < 500


@pytest.mark.parametrize("name", [
    "S00_P00_T01_BalancingTrial_0-100.trc",
    "S00_P00_T01_BalancingTrial_0-100_filt_butterworth.trc",
])  # fmt: skip
def test_real_files(name):
    root = os.environ.get("LIFTING_DATA")
    path = Path(root or "", "real", "pose2sim", name)
    if not root or not path.is_file():
        pytest.skip(f"LIFTING_DATA does not hold real/pose2sim/{name}")
    motion = read_trc(path)
    assert motion.positions.shape == (100, 21, 3)
    assert (motion.fps, motion.unit_mm) == (60.0, 1000.0)
    assert motion.notes == ()
    assert np.isfinite(motion.positions).all()
    index = {n: i for i, n in enumerate(motion.names)}
    body = motion.positions[:, index["Head"]] - motion.positions[:, index["RAnkle"]]
    assert np.abs(np.median(body, axis=0)).argmax() == 1  # y up
    if "filt" not in name:
        nose = motion.positions[0, index["Nose"]]
        np.testing.assert_allclose(nose[[2, 0, 1]], [-1.197035, -0.053115, 1.557268], atol=1e-6)
