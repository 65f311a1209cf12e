from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from walkers import walkers

from lifting.errors import DataError
from lifting.export.chain import chain_of
from lifting.export.fitting import fill, fit
from lifting.export.formats.bvh import euler_degrees
from lifting.export.motion import y_up
from lifting.skeleton import COCO_17, H36M_17, SKELETONS, Skeleton


def forward(fitted):
    """Places of all nodes by plain forward kinematics, ``(F, N, 3)``."""
    chain = fitted.chain
    places, turns = [fitted.root], [fitted.rotations[:, 0]]
    for node, parent in list(enumerate(chain.parents))[1:]:
        places.append(places[parent] + turns[parent] @ fitted.offsets[node])
        turns.append(turns[parent] @ fitted.rotations[:, node])
    return np.stack(places, 1), np.stack(turns, 1)


def moved(seed=0, frames=50, bend=0.6):
    """A person of constant bones under known rotations, and the rotations."""
    rng = np.random.default_rng(seed)
    fitted = fit(y_up(walkers(frames=2).world.astype(float)), H36M_17, 0)
    time = np.linspace(0, 4, frames)[:, None, None]
    speed = rng.uniform(0.5, 2, (1, len(fitted.chain.names), 3))
    vectors = bend * np.sin(time * speed + rng.uniform(0, 6, speed.shape))
    vectors *= np.array(fitted.chain.own)[:, None]
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    rotations = turns.reshape(frames, -1, 3, 3)
    root = np.c_[time[:, 0, 0] * 500, np.full(frames, 900), -time[:, 0, 0] * 300]
    object.__setattr__(fitted, "rotations", rotations)
    object.__setattr__(fitted, "root", root)
    places, _ = forward(fitted)
    return places[:, fitted.chain.node_of_joint]


def test_constant_bones_are_met_exactly():
    points = moved()
    fitted = fit(points, H36M_17, 0)
    assert fitted.error.max() < 2.0  # the trunk's directions, left and right averaged
    assert np.nanmedian(fitted.error) < 0.1
    places, _ = forward(fitted)
    reached = places[:, fitted.chain.node_of_joint]
    np.testing.assert_allclose(np.linalg.norm(reached - points, axis=-1), fitted.error, atol=1e-6)


def test_procedural_people_are_met_within_millimetres():
    fitted = fit(y_up(walkers(frames=100, seed=3).world.astype(float)), H36M_17, 0)
    assert fitted.error.mean() < 2.0


def test_real_motion_is_met_within_two_millimetres():
    path = Path(os.environ.get("LIFTING_DATA", "")) / "cmu" / "cmu_h36m17.npz"
    if not path.is_file():
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/cmu_h36m17.npz")
    with np.load(path, allow_pickle=False) as file:
        points, starts = file["positions_mm"].astype(float), file["offsets"]
        recordings = np.flatnonzero(file["split"] == "test")[::3]
    errors = np.concatenate(
        [fit(y_up(points[starts[i] :][:50]), H36M_17, 0).error for i in recordings]
    )
    # A plain T as the rest pose leaves 19 mm.
    assert errors.mean() < 2.1
    assert np.percentile(errors, 95) < 8.0


def test_the_figure_turns_as_a_whole():
    points = moved()
    turn = Rotation.from_euler("y", 100, degrees=True).as_matrix()
    one, other = fit(points, H36M_17, 0), fit(points @ turn.T, H36M_17, 0)
    np.testing.assert_allclose(other.rotations[:, 0], turn @ one.rotations[:, 0], atol=1e-6)
    np.testing.assert_allclose(other.rotations[:, 1:], one.rotations[:, 1:], atol=1e-6)


def test_a_thigh_and_an_upper_arm_are_turned_to_their_hinges():
    fitted = fit(moved(), H36M_17, 0)
    places, turns = forward(fitted)
    names = fitted.chain.names
    for limb, axis in (
        (("left_hip", "left_knee", "left_ankle"), (1, 0, 0)),
        (("right_shoulder", "right_elbow", "right_wrist"), (0, 1, 0)),
        (("left_shoulder", "left_elbow", "left_wrist"), (0, -1, 0)),
    ):
        a, b, c = (places[:, names.index(joint)] for joint in limb)
        normal = np.cross(b - a, c - b)
        bend = np.arcsin(
            np.linalg.norm(normal, axis=-1)
            / (np.linalg.norm(b - a, axis=-1) * np.linalg.norm(c - b, axis=-1))
        )
        bent = np.degrees(bend) > 16
        assert bent.sum() > 5
        carried = turns[:, names.index(limb[0])] @ np.array(axis, float)
        unit = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
        assert (carried * unit).sum(-1)[bent].min() > 0.999


def test_straight_and_opposite_limbs_give_rotations():
    points = moved(bend=0.0, frames=3)
    wrist, elbow = H36M_17.index("left_wrist"), H36M_17.index("left_elbow")
    points[1, wrist] = 2 * points[1, elbow] - points[1, wrist]  # folded back on itself
    fitted = fit(points, H36M_17, 0)
    identity = fitted.rotations @ fitted.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-9)
    assert fitted.error[:, wrist].max() < 1.0


def test_gaps_are_interpolated_up_to_the_limit_and_held_beyond():
    points = np.cumsum(np.ones((20, 2, 3)), 0) * 10
    points[:, 1] += [0, 100, 0]
    points[3:5] = np.nan
    points[8:14] = np.nan
    points[16, 1] = np.nan
    filled = fill(points, 0, 2)
    np.testing.assert_allclose(filled.points[3, 0], 40)
    np.testing.assert_allclose(filled.points[8:14], np.broadcast_to(filled.points[7], (6, 2, 3)))
    np.testing.assert_allclose(filled.points[16, 1], (170, 270, 170))
    assert filled.interpolated.sum(0).tolist() == [2, 3]
    assert filled.held.sum(0).tolist() == [6, 6]
    ends = np.full((5, 1, 3), np.nan)
    ends[2] = 7.0
    assert (fill(ends, 0, 9).points == 7).all()


def test_joints_that_nobody_saw_follow_their_parents():
    points = moved()
    points[:, H36M_17.index("left_wrist")] = np.nan
    fitted = fit(points, H36M_17, 0)
    assert np.isfinite(fitted.rotations).all()
    facts = fitted.facts(0)
    assert facts["never_seen"] == ["left_wrist"]
    points[:, 0] = np.nan
    with pytest.raises(DataError, match="expected 'hip', on which all joints hang, in some"):
        fit(points, H36M_17, 0)


def test_angles_turn_back_into_the_rotations_and_do_not_jump():
    time = np.linspace(0, 20, 400)
    vectors = np.stack((3 * np.sin(time), time / 3, np.cos(1.7 * time)), -1)
    turns = Rotation.from_rotvec(vectors).as_matrix()[:, None]
    angles = euler_degrees(turns)
    back = Rotation.from_euler("ZXY", angles[:, 0], degrees=True).as_matrix()
    np.testing.assert_allclose(back, turns[:, 0], atol=1e-9)
    spun = Rotation.from_rotvec(
        np.radians(np.arange(0, 3600, 10))[:, None] * (0, 1, 0)
    ).as_matrix()[:, None]
    np.testing.assert_allclose(np.diff(euler_degrees(spun)[:, 0, 2]), 10, atol=1e-6)
    locked = Rotation.from_euler("ZXY", [30, 90, 0], degrees=True).as_matrix()[None, None]
    back = Rotation.from_euler("ZXY", euler_degrees(locked)[0, 0], degrees=True).as_matrix()
    np.testing.assert_allclose(back, locked[0, 0], atol=1e-6)


def test_skeletons_that_hang_on_the_hip_have_a_rest_pose():
    for name in ("h36m17", "mpi17", "mpi28", "humaneva15", "smpl24", "halpe26", "body25"):
        chain = chain_of(SKELETONS[name])
        assert sorted(chain.node_of_joint) == sorted(i for i, own in enumerate(chain.own) if own)
        assert len(set(chain.names)) == len(chain.names)
    with pytest.raises(DataError, match=r"hang on the hip .* coco17, whose root is 'nose'"):
        chain_of(COCO_17)
    with pytest.raises(DataError, match=r"place in a T pose is known .* got 'tail'"):
        chain_of(Skeleton("cat", ("hip", "tail"), (-1, 0), ()))
