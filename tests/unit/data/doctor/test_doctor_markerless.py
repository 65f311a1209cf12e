"""Uneven bones of markerless capture are sound; damage in the same data still shows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import published_npz
import pytest
import walking

from lifting.data.doctor.check import check_takes
from lifting.data.doctor.takes import MARKERLESS_MM, Bodies, Keypoints, Sight, Take
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.data.sets.cmu.files import read_cmu_file
from lifting.skeleton import MPI_INF_3DHP_17

LENS = (1500.0, 1500.0, 1024.0, 1024.0)
WHOLE_LENS = np.array([*LENS, 0, 0, 0, 0, 0])
FRAMES, TAKES = 300, 6
KNEE, ANKLE = (MPI_INF_3DHP_17.index(f"left_{joint}") for joint in ("knee", "ankle"))


def walkers(index):
    return 1000 * walking.people(FRAMES, index)


def recorded(index):
    """Sequences of the CMU file, mm."""
    folder = os.environ.get("LIFTING_DATA")
    path = Path(folder or "", "cmu", FILE_NAME)
    if not folder or not path.is_file():
        pytest.skip(f"set LIFTING_DATA to the folder that holds cmu/{FILE_NAME}")
    file = read_cmu_file(path)
    longest = np.argsort(-np.diff(file.offsets), kind="stable")[index]
    joints = file.positions[file.offsets[longest] :][:FRAMES].astype(np.float64)
    return joints - joints[:, :1].mean(axis=0) + (0, 0, 950)


def specimen(world_of, noise_mm, change=lambda index, joints: joints):
    """Six recordings of three people before a level camera, in the joints of 3DHP."""
    rng = np.random.default_rng(0)
    turn = np.array([(1.0, 0, 0), (0, 0, -1), (0, 1, 0)])  # x right, z up -> y down
    sights = []
    for index in range(TAKES):
        joints = world_of(index // 2)[:, published_npz.TO_MPI] @ turn.T + (0, 1000, 5000)
        joints += rng.normal(scale=noise_mm / np.sqrt(2), size=joints.shape)
        joints = change(index, joints)
        take = Take(subject=f"S{index // 2}", name=f"Seq{index % 2}", action="", joints=joints)
        pixels = published_npz.projected(joints, LENS)
        sights.append(
            Sight(take=take, camera="0", keypoints=pixels, size=(2048.0, 2048.0), lens=WHOLE_LENS)
        )
    bodies = Bodies(
        label="3D", skeleton=MPI_INF_3DHP_17, unit="mm", up="-y", fps=25.0, bone_share=0.1,
        takes=tuple(s.take for s in sights), bone_mm=MARKERLESS_MM, bone_reason="markerless",
    )  # fmt: skip
    keypoints = Keypoints(label="2D", layout=MPI_INF_3DHP_17, skeleton=MPI_INF_3DHP_17,
                          residual_px=10.0, sights=tuple(sights))  # fmt: skip
    return bodies, [keypoints]


def stretched(share):
    """A shank that is 150 mm too long in some frames of every recording."""

    def change(index, joints):
        rows = np.random.default_rng(index).random(len(joints)) < share
        shank = joints[:, ANKLE] - joints[:, KNEE]
        shank /= np.linalg.norm(shank, axis=-1, keepdims=True)
        joints[rows, ANKLE] += 150 * shank[rows]
        return joints

    return change


def row(rows, what):
    (found,) = [r for r in rows if r.what == what]
    return found


@pytest.mark.parametrize("world_of", [walkers, recorded])
@pytest.mark.parametrize("noise_mm", [21, 43])
def test_uneven_bones_are_sound(complaints, world_of, noise_mm):
    bodies, keypoints = specimen(world_of, noise_mm)
    rows = check_takes(bodies, keypoints)
    assert complaints(rows) == set()
    bones = row(rows, "bone lengths 3D")
    assert bones.verdict == "ok"
    assert bones.expected.endswith("4 spreads of at most 45 mm: markerless")
    rigid = check_takes(replace(bodies, bone_mm=0.0), keypoints)
    assert row(rigid, "bone lengths 3D").verdict == "fail"


@pytest.mark.parametrize("world_of", [walkers, recorded])
@pytest.mark.parametrize(("noise_mm", "share"), [(21, 0.005), (43, 0.02)])
def test_a_joint_that_is_off_in_some_frames(complaints, world_of, noise_mm, share):
    rows = check_takes(*specimen(world_of, noise_mm, stretched(share)))
    assert complaints(rows) == {"bone lengths 3D"}


@pytest.mark.parametrize("noise_mm", [21, 43])
def test_a_recording_of_somebody_else(complaints, noise_mm):
    def change(index, joints):
        return joints if index != 3 else (joints - joints[:, :1]) * 1.25 + joints[:, :1]

    rows = check_takes(*specimen(walkers, noise_mm, change))
    assert complaints(rows) == {"bone lengths 3D"}
    assert "S1/Seq" in row(rows, "bone lengths 3D").found


@pytest.mark.parametrize("noise_mm", [21, 43])
def test_another_order_of_joints(complaints, noise_mm):
    rows = check_takes(*specimen(walkers, noise_mm, lambda i, joints: joints[:, ::-1].copy()))
    assert "joint order 3D" in complaints(rows)
