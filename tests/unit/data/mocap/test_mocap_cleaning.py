"""Glitches, cuts, filter, frame rate, bone lengths and floor."""

from __future__ import annotations

import numpy as np
import pytest

from lifting.data.mocap import cleaning


def still(frames=240):
    rng = np.random.default_rng(0)
    return np.tile(rng.normal(size=(1, 17, 3)) * 300, (frames, 1, 1))


def test_short_glitch_is_interpolated():
    pose = still()
    pose[:, :, 0] += np.arange(240)[:, None] * 5.0
    damaged = pose.copy()
    damaged[100:102, 13] += 500
    repaired = cleaning.repair(damaged, 120)
    assert repaired.repaired_frames == 2
    assert repaired.dropped_frames == 0
    np.testing.assert_allclose(repaired.pieces[0], pose, atol=1e-9)


def test_jump_cuts_and_short_pieces_are_dropped():
    pose = still(400)
    pose[150:] += 2000
    pose[360:] += 2000
    repaired = cleaning.repair(pose, 120)
    assert [len(piece) for piece in repaired.pieces] == [150, 210]
    assert repaired.dropped_frames == 40
    assert cleaning.repair(pose[:100], 120).pieces == []


def test_first_frame_far_away_is_left_out():
    pose = still(200)
    pose[0] += 3000
    repaired = cleaning.repair(pose, 120)
    assert [len(piece) for piece in repaired.pieces] == [199]


def test_low_pass_keeps_slow_motion_in_place_and_removes_fast():
    time = np.arange(600) / 120
    slow, fast = np.sin(2 * np.pi * 2 * time), np.sin(2 * np.pi * 40 * time)
    pose = np.broadcast_to((slow + fast)[:, None, None], (600, 17, 3))
    filtered = cleaning.low_pass(pose, 120)
    np.testing.assert_allclose(filtered[100:-100, 0, 0], slow[100:-100], atol=2e-3)
    assert np.array_equal(cleaning.low_pass(pose, 30), pose)


@pytest.mark.parametrize(("frames", "fps", "count"), [(343, 120, 143), (86, 60, 71), (50, 50, 50)])
def test_resampling_keeps_the_time(frames, fps, count):
    time = np.arange(frames) / fps
    pose = np.broadcast_to(np.sin(3 * time)[:, None, None], (frames, 17, 3))
    resampled = cleaning.resample(pose, fps)
    assert len(resampled) == count
    np.testing.assert_allclose(resampled[:, 4, 1], np.sin(3 * np.arange(count) / 50), atol=1e-5)


def test_bone_lengths_are_set_and_directions_kept():
    rng = np.random.default_rng(1)
    pose, lengths = rng.normal(size=(5, 17, 3)) * 300, rng.uniform(100, 400, 17)
    lengths[0] = 0
    changed = cleaning.with_bone_lengths(pose, lengths)
    np.testing.assert_allclose(cleaning.bone_lengths(changed), np.tile(lengths, (5, 1)))
    np.testing.assert_array_equal(changed[:, 0], pose[:, 0])
    again = cleaning.with_bone_lengths(changed, np.array([0, *[1.0] * 16]))
    expected = cleaning.with_bone_lengths(pose, np.array([0, *[1.0] * 16]))
    np.testing.assert_allclose(again, expected, atol=1e-9)


def test_ground_puts_the_hip_over_the_origin_and_the_ankle_at_eight_centimetres():
    pose = cleaning.ground(still(50) + np.array([500, -900, 300]))
    np.testing.assert_allclose(pose[:, 0, :2].mean(axis=0), 0, atol=1e-9)
    assert pose[:, [3, 6], 2].min() == pytest.approx(80)
