"""Time and memory of loading the training split of Human3.6M: from its files, and from the cache.

The recordings are not distributed, so files of the same form and size are made of random numbers:
390 thousand frames of 32 joints, seen by four cameras. Each load runs in a fresh process.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from lifting.actions import H36M_ACTIONS
from timing import BenchRow

SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TAKES = 2
FRAMES = 2600  # a recording: 5 subjects, 30 recordings, 4 cameras make 1.56 million
CAMERAS = 4
_ROOM_METRES, _IMAGE_PIXELS, _THIGH_METRES = 2.0, 1000.0, 0.45
_LOAD = """
import json, resource, sys, time
import torch
from lifting.data.config import DataConfig
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sources import load_tracks
torch.set_num_threads(int(sys.argv[3]))
options = H36mConfig(two_d="gt", val_subjects=())
config = DataConfig(name="h36m", root=sys.argv[1], cache=sys.argv[2], h36m=options)
start = time.perf_counter()
tracks = load_tracks(config, "train")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"frames": len(tracks), "seconds": seconds, "gigabytes": peak / 1e6}))
"""


def rows() -> Iterator[BenchRow]:
    """Wall seconds and peak memory of the process, first load and second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_stand_in(folder, FRAMES)
        note = f"{FRAMES * len(SUBJECTS) * len(H36M_ACTIONS) * TAKES * CAMERAS} frames, 1 thread"
        for turn in ("files", "cache"):
            result = load_once(folder, folder / "cache")
            yield BenchRow(f"load h36m from {turn}", None, result["seconds"], "s", note)
            yield BenchRow(f"peak memory, {turn}", None, result["gigabytes"], "GB", note)


def load_once(folder: Path, cache: Path, threads: int = 1) -> dict[str, float]:
    """Load the training split in a fresh process.

    Args:
        folder: Folder of the files.
        cache: Folder of the cache.
        threads: Threads of torch.

    Returns:
        ``frames``, ``seconds``, and ``gigabytes`` of resident memory at the peak.
    """
    command = [sys.executable, "-c", _LOAD, str(folder), str(cache), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_stand_in(folder: Path, frames: int) -> None:
    """Write a 3D and a ``gt`` 2D file with random numbers of plausible size.

    Args:
        folder: Where to.
        frames: Frames of each of the 150 recordings.
    """
    rng = np.random.default_rng(0)
    world = rng.uniform(-_ROOM_METRES, _ROOM_METRES, (frames, 32, 3)).astype(np.float32)
    world[:, 2] = world[:, 1] + np.array((0, 0, -_THIGH_METRES), np.float32)  # a right thigh
    pixels = rng.uniform(0, _IMAGE_PIXELS, (frames, 17, 2)).astype(np.float32)
    three_d = {s: {name: world + np.float32(i) for name in _names()} for i, s in _numbered()}
    _write(folder / "data_3d_h36m.npz", {"positions_3d": three_d})
    del three_d
    two_d = {
        s: {name: [pixels + np.float32(i) for _ in range(CAMERAS)] for name in _names()}
        for i, s in _numbered()
    }
    symmetry = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    metadata = {"num_joints": 17, "keypoints_symmetry": symmetry}
    _write(folder / "data_2d_h36m_gt.npz", {"positions_2d": two_d, "metadata": metadata})


def _numbered() -> Iterator[tuple[int, str]]:
    return enumerate(SUBJECTS)


def _names() -> list[str]:
    return [f"{action} {take}" for action in H36M_ACTIONS for take in range(1, TAKES + 1)]


def _write(path: Path, containers: dict[str, object]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, value in containers.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                _write_object(stream, value)


def _write_object(stream: IO[bytes], value: object) -> None:
    box = np.empty((), dtype=object)
    box[()] = value
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header)
    pickle.dump(box, stream, protocol=3)
