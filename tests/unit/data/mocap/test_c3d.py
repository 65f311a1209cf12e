"""C3D files: written by ezc3d, real ones, and damaged ones; the library runs in a child."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap import markers as reader
from lifting.data.mocap.markers import read_c3d
from lifting.errors import ConfigError, DataError, LiftingError, MissingDataError
from lifting.files.sandbox import Limits, MatRequest, read_mats

ezc3d = pytest.importorskip("ezc3d", reason="needs pip install 'lifting[c3d]'")


def write(path, labels=(" LHip ", "*12", "Head"), units=("mm",), rate=29.97, frames=5, gone=()):
    """Marker j of frame i is at (100 i, 200 j, 300); ``gone`` are missing (frame, marker)."""
    file = ezc3d.c3d()
    points = np.ones((4, len(labels), frames))
    points[0], points[1] = 100.0 * np.arange(frames), 200.0 * np.arange(len(labels))[:, None]
    points[2] = 300.0
    residuals = np.zeros((1, len(labels), frames))
    for frame, marker in gone:
        points[:3, marker, frame], residuals[0, marker, frame] = np.nan, -1
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(labels)
    if units:
        file["parameters"]["POINT"]["UNITS"]["value"] = list(units)
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = residuals
    file.write(str(path))
    return path


def test_labels_units_rate_and_missing(tmp_path):
    motion = read_c3d(write(tmp_path / "a.c3d", gone=[(2, 0), (4, 2)]))
    assert (motion.form, motion.names, motion.unit_mm) == ("c3d", ("LHip", "Head"), 1.0)
    assert (motion.fps, motion.up, motion.rotations) == (29.97, None, None)
    assert "1 of 3 markers left out" in motion.notes[0]
    missing = np.isnan(motion.positions).all(axis=-1)
    assert np.argwhere(missing).tolist() == [[2, 0], [4, 1]]
    np.testing.assert_allclose(motion.positions[3, 1], [300, 400, 300])


def test_zeros_with_a_residual_of_minus_one_are_missing(tmp_path):
    path = write(tmp_path / "a.c3d", labels=("A", "B"))
    file = ezc3d.c3d(str(path))
    file["data"]["points"][:3, 1, 2] = 0
    file["data"]["points"][:3, 1, 3] = 0
    file["data"]["meta_points"]["residuals"][0, 1, 2] = -1
    file.write(str(path))
    positions = read_c3d(path).positions
    assert np.isnan(positions[2, 1]).all()
    np.testing.assert_array_equal(positions[3, 1], 0)


@pytest.mark.parametrize(
    ("units", "mm"), [(("m",), 1000), (("cm", "cm", "cm"), 10), ((), 1), (("parsec",), 1)]
)
def test_units(tmp_path, units, mm):
    motion = read_c3d(write(tmp_path / "a.c3d", units=units))
    assert motion.unit_mm == mm
    assert any("no known unit" in note for note in motion.notes) == (units in ((), ("parsec",)))


def test_a_unit_for_each_marker(tmp_path):
    assert read_c3d(write(tmp_path / "a.c3d", units=("m", "m", "m"))).unit_mm == 1000
    mixed = read_c3d(write(tmp_path / "a.c3d", units=("mm", "mm", "m")))
    assert mixed.unit_mm == 1
    assert "no known unit (mm, mm, m)" in mixed.notes[1]


def test_many_labels_and_a_label_twice(tmp_path):
    labels = [f"M{i}" for i in range(299)] + ["M0"]
    motion = read_c3d(write(tmp_path / "a.c3d", labels=labels))
    assert motion.names == tuple(labels[:299])
    np.testing.assert_allclose(motion.positions[1, 298], [100, 200 * 298, 300])


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(MissingDataError, match="found none"):
        read_c3d(tmp_path / "none.c3d")
    other = tmp_path / "other.c3d"
    other.write_bytes(b"HIERARCHY\n" * 100)
    with pytest.raises(DataError, match=r"C3D file in .*other\.c3d.*begins with b'HI'"):
        read_c3d(other)
    with pytest.raises(DataError, match="got 0 labelled of 1 in 5 frames"):
        read_c3d(write(tmp_path / "a.c3d", labels=("*1",)))
    monkeypatch.setattr(reader, "MAX_C3D_BYTES", 100)
    with pytest.raises(DataError, match="expected at most 100 bytes"):
        read_c3d(other)
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'lifting\[c3d\]'"):
        read_c3d(other)


def test_mutated_files_raise_nothing_else(tmp_path, monkeypatch):
    """Some of these end ezc3d by a crash, others keep it busy without end."""
    rng = random.Random(1)
    whole = write(tmp_path / "whole.c3d").read_bytes()
    requests = []
    for number in range(200):
        data = bytearray(whole)
        if number % 4 == 0:
            del data[rng.randrange(1, len(data)) :]
        for _ in range(rng.randrange(1, 5) if number % 4 else 0):
            data[rng.randrange(min(len(data), 1600))] = rng.randrange(256)
        path = tmp_path / f"{number}.c3d"
        path.write_bytes(data)
        requests.append(MatRequest(path, reader._DIMENSIONS))
    refused = []
    # One child reads many; the reader itself then judges what came back.
    answers = read_mats(requests, Limits(seconds=0.5))
    for request, answer in zip(requests, answers, strict=True):

        def given(path, axes, limits, answer=answer):
            if isinstance(answer, DataError):
                raise answer
            return answer

        monkeypatch.setattr(reader, "read_mat", given)
        try:
            read_c3d(request.path)
        except LiftingError as error:
            refused.append(len(str(error)))
    assert 40 < len(refused) < 200
    assert max(refused) < 800


@pytest.mark.parametrize(("name", "shape", "rate", "mm", "missing"), [
    ("walkingOptiTrack", (3361, 12, 3), 160.0, 1.0, 0.0743),
    ("sample_static", (700, 41, 3), 69.9, 1000.0, 0.2050),
])  # fmt: skip
def test_real_files(name, shape, rate, mm, missing):
    root = os.environ.get("LIFTING_DATA")
    path = Path(root or "", "real", "kineticstoolkit", f"{name}.c3d")
    if not root or not path.is_file():
        pytest.skip(f"LIFTING_DATA does not hold real/kineticstoolkit/{name}.c3d")
    motion = read_c3d(path)
    assert motion.positions.shape == shape
    assert (motion.fps, motion.unit_mm, motion.notes) == (rate, mm, ())
    assert np.isnan(motion.positions).any(axis=-1).mean() == pytest.approx(missing, abs=1e-4)


def test_against_an_independent_reader(tmp_path):
    c3d = pytest.importorskip("c3d", reason="needs pip install c3d")
    path = write(tmp_path / "a.c3d", labels=("A", "B"), gone=[(1, 1)])
    ours = read_c3d(path)
    with path.open("rb") as stream:
        theirs = c3d.Reader(stream)
        assert tuple(label.strip() for label in theirs.point_labels) == ours.names
        frames = np.stack([points for _, points, _ in theirs.read_frames()])
    missing = frames[..., 3] < 0
    np.testing.assert_array_equal(missing, np.isnan(ours.positions).any(axis=-1))
    np.testing.assert_allclose(frames[~missing][:, :3], ours.positions[~missing], atol=1e-3)
