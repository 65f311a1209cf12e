"""Each corruption of keypoints against a case by hand, and which joints are hit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.errors import ConfigError
from lifting.studies.robustness.corruptions import corrupt, hit_cells, hit_order
from lifting.studies.robustness.plan import KEYPOINT_KINDS, Trials

TRIALS = Trials(seconds=0.1)  # five frames of the tiny tracks
ROWS = torch.arange(0, 48, 2)


def made(tracks, kind, rate, seed=0, trials=TRIALS):
    return corrupt(tracks, ROWS, kind, rate, trials, seed)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5, 1.0])
def test_the_rate_is_exact_on_the_scored_frames(tiny_tracks, rate):
    for kind in ("drop", "jitter", "freeze"):
        hit = made(tiny_tracks, kind, rate).affected[ROWS]
        assert hit.sum() == round(rate * len(ROWS) * 17)
    hit = made(tiny_tracks, "swap", rate).affected[ROWS]
    assert hit.sum() == 2 * round(rate * len(ROWS) * 6)


def test_a_higher_rate_hits_all_that_a_lower_one_did(tiny_tracks):
    order = hit_order(tiny_tracks.offsets, 17, 5, seed=3)
    assert len(order.unique()) == order.numel()
    few, many = (hit_cells(order, ROWS, rate) for rate in (0.1, 0.4))
    assert (many | ~few).all()
    assert many.sum() > few.sum()


def test_a_joint_is_hit_for_some_frames_at_a_time(tiny_tracks):
    starts = tiny_tracks.offsets[:-1]
    for hold, low, high in ((1, 0.8, 1.4), (6, 2.5, 7.0)):
        hit = hit_cells(hit_order(tiny_tracks.offsets, 17, hold, seed=0), ROWS, 0.15)
        begins = hit & ~hit.roll(1, 0)
        begins[starts] = hit[starts]
        assert low < hit.sum() / begins.sum() < high


def test_all_see_the_same_and_the_seed_decides(tiny_tracks):
    for kind in KEYPOINT_KINDS:
        one, same, other = (made(tiny_tracks, kind, 0.3, seed) for seed in (0, 0, 1))
        assert torch.equal(one.tracks.keypoints_2d, same.tracks.keypoints_2d)
        assert not torch.equal(one.tracks.keypoints_2d, other.tracks.keypoints_2d)
        moved = (one.tracks.keypoints_2d != tiny_tracks.keypoints_2d).any(-1)
        assert not (moved & ~one.affected).any()
    drop, freeze = (made(tiny_tracks, kind, 0.3).affected for kind in ("drop", "freeze"))
    assert torch.equal(drop, freeze)


def test_lost_joints_lie_amid_the_others_without_confidence(tiny_tracks):
    found = made(tiny_tracks, "drop", 0.4)
    row = int(found.affected.sum(1).argmax())
    lost = found.affected[row]
    middle = tiny_tracks.keypoints_2d[row][~lost].mean(0)
    torch.testing.assert_close(
        found.tracks.keypoints_2d[row][lost], middle.expand(int(lost.sum()), 2)
    )
    assert torch.equal(found.tracks.confidence == 0, found.affected)


def test_with_nothing_left_a_person_is_at_the_centre(tiny_tracks):
    found = made(tiny_tracks, "drop", 1.0)
    assert found.affected[ROWS].all()
    assert (found.tracks.keypoints_2d[ROWS] == 500).all()


def test_frozen_joints_stay_where_they_were_in_their_own_track(tiny_tracks):
    clean = tiny_tracks.keypoints_2d
    found = made(tiny_tracks, "freeze", 0.4)
    expected = clean.clone()
    for start in tiny_tracks.offsets[:-1].tolist():
        for row in range(start + 1, start + 12):
            hit = found.affected[row]
            expected[row, hit] = expected[row - 1, hit]
    assert torch.equal(found.tracks.keypoints_2d, expected)
    assert torch.equal(found.tracks.confidence, tiny_tracks.confidence)
    assert (expected != clean).any()


def test_exchanged_joints_take_their_partners_place_and_confidence(tiny_tracks):
    sure = torch.rand(48, 17, generator=torch.Generator().manual_seed(0))
    tracks = replace(tiny_tracks, confidence=sure)
    found = made(tracks, "swap", 0.5)
    skeleton = tracks.skeleton
    left, right = skeleton.index("left_wrist"), skeleton.index("right_wrist")
    hit = found.affected[:, left]
    assert 0 < hit.sum() < 48
    assert torch.equal(hit, found.affected[:, right])
    for a, b in ((left, right), (right, left)):
        assert torch.equal(found.tracks.keypoints_2d[hit, a], tracks.keypoints_2d[hit, b])
        assert torch.equal(found.tracks.confidence[hit, a], sure[hit, b])
        assert torch.equal(found.tracks.keypoints_2d[~hit, a], tracks.keypoints_2d[~hit, a])
    assert not found.affected[:, skeleton.root].any()


def test_jitter_is_a_share_of_the_box(tiny_tracks):
    keypoints = tiny_tracks.keypoints_2d
    side = (keypoints.amax(1) - keypoints.amin(1)).amax(-1)
    noise = (made(tiny_tracks, "jitter", 1.0).tracks.keypoints_2d - keypoints)[ROWS]
    relative = noise / side[ROWS, None, None]
    assert float(relative.std()) == pytest.approx(0.05, rel=0.1)
    assert abs(float(relative.mean())) < 0.005
    wide = made(tiny_tracks, "jitter", 1.0, trials=replace(TRIALS, jitter=0.1))
    torch.testing.assert_close(
        (wide.tracks.keypoints_2d - keypoints)[ROWS], 2 * noise, atol=1e-3, rtol=1e-4
    )


def test_mixtures_beside_the_keypoints_are_refused(tiny_tracks):
    tracks = replace(tiny_tracks, extras={"mixtures": torch.zeros(48, 17, 5, 5)})
    with pytest.raises(ConfigError, match=r"got mixtures .* set data\.mixtures=null"):
        made(tracks, "drop", 0.3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kinds": ("dorp",)}, "unknown corruption 'dorp'"),
        ({"rates": (0.0,)}, "one of them above 0, got 0"),
        ({"rates": (30.0,)}, "got 30; 0.3 is 30 %"),
        ({"levels": (0.95,)}, "shares from 0 to 0.9 for --levels"),
        ({"levels": ()}, "got none"),
        ({"seconds": 0.0}, "expected --seconds above 0, got 0.0"),
    ],
)
def test_trials_are_checked(changes, said):
    with pytest.raises(ConfigError) as error:
        Trials(**changes)
    assert said in str(error.value)
