"""What is said of files that cannot be lifted: short, in words, before torch is imported."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from lifting.data.keypoints.read import read_video
from lifting.errors import DataError

UNKNOWN = {
    "numbers.json": json.dumps([[0.123456 + i, 2.5] for i in range(5000)]).encode(),
    "pose.json": json.dumps({"poses": [{"pts": [[1.25, 2.5]] * 17}] * 300}).encode(),
    "near.json": json.dumps([{"image_id": 3, "pose": [1.5] * 51}] * 9).encode(),
    "keypoints.csv": b"frame,a_x,a_y\n" + b"0,12.345678,3.5\n" * 500,
    "points.txt": b"these are words\n" * 50,
    "poses.pkl": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.",
    "empty.json": b"",
    "cut.json": b'[{"image_id": 1, "keypoints": [12.5, 3',
    "walk.bvh": b"HIERARCHY\nROOT Hips\n{\n",
    "clip.mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00",
    "scene.glb": b"glTF\x02\x00\x00\x00",
    "noise.h5": b"\x89HDF\r\n\x1a\n" + b"\x00" * 64,
    "cameras.toml": b"[cam_01]\nname = 'a'\n",
}


@pytest.fixture(params=[*UNKNOWN, "bare.npz", "shape.npy", "folder"])
def unknown(request, tmp_path):
    path = tmp_path / request.param
    if path.suffix == ".npz":
        np.savez(path, weights=np.arange(4000.0).reshape(1000, 4))
    elif path.suffix == ".npy":
        np.save(path, np.arange(6000.0).reshape(2, 1000, 3))
    elif path.suffix:
        path.write_bytes(UNKNOWN[request.param])
    else:
        (path / "inner").mkdir(parents=True)
    return path


def test_what_is_unknown_is_described_in_five_lines_without_its_values(unknown):
    with pytest.raises(DataError) as caught:
        read_video(unknown, image_size=(640, 480))
    message = str(caught.value)
    assert len(message.splitlines()) <= 5
    assert len(message) < 900
    assert message.startswith("expected ")
    for value in ("0.123456", "1.25", "12.345678", "3999", "[1.5"):
        assert value not in message
    if unknown.suffix in (".csv", ".h5", ".npy", ".npz"):
        assert "JSON" not in message.partition("\n")[0]


def test_the_nearest_format_and_what_it_has_are_named(tmp_path):
    path = tmp_path / "near.json"
    path.write_bytes(UNKNOWN["near.json"])
    with pytest.raises(DataError, match=r"a list of 9, each an object with image_id, pose\n.*"
                       r"nearest: .*, which has .*keypoints"):  # fmt: skip
        read_video(path, image_size=(640, 480))


def test_a_mistake_is_told_before_torch_is_imported(tmp_path):
    path = tmp_path / "pose.json"
    path.write_bytes(UNKNOWN["pose.json"])
    code = (
        "import sys; from lifting.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", code, "predict", "diffpose", "--keypoints", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: expected keypoints in a known format in")
    assert spent.ru_utime + spent.ru_stime - began.ru_utime - began.ru_stime < 1.5
