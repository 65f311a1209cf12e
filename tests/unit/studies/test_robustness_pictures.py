"""Windows before people, and what they hide."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.batch import PoseBatch
from lifting.data.images.advocc import occluder_texture
from lifting.studies.robustness.corruptions import (
    hidden_joints,
    hide,
    picture_texture,
    picture_windows,
    seen_joints,
    true_places,
)

SIZE = 1000  # large, so that rounding to pixels does not count
BOX = torch.tensor([[[100.0, 200], [500, 800], [300, 500]]]).repeat(40, 1, 1)
AREA = 400 * 600


def sides(windows):
    return (windows[:, 2:] - windows[:, :2]).double().unbind(-1)


@pytest.mark.parametrize("level", [0.1, 0.2, 0.4])
def test_an_object_hides_its_share_of_the_box(level):
    windows = picture_windows(BOX, SIZE, "occluder", level, seed=0)
    height, width = sides(windows)
    torch.testing.assert_close(
        height * width / AREA, torch.full((40,), level).double(), rtol=0.03, atol=0
    )
    assert (windows >= torch.tensor([200, 100, 200, 100])).all()
    assert (windows <= torch.tensor([800, 500, 800, 500])).all()
    assert len(windows.unique(dim=0)) > 30


@pytest.mark.parametrize("level", [0.1, 0.4])
def test_a_cut_goes_from_within_the_box_to_an_edge(level):
    windows = picture_windows(BOX, SIZE, "truncation", level, seed=0)
    top, left, bottom, right = (edge.round().long() for edge in (
        torch.tensor(200 + 600 * level), torch.tensor(100 + 400 * level),
        torch.tensor(800 - 600 * level), torch.tensor(500 - 400 * level),
    ))  # fmt: skip
    cuts = [[0, 0, SIZE, left], [0, 0, top, SIZE], [0, right, SIZE, SIZE], [bottom, 0, SIZE, SIZE]]
    assert {tuple(w) for w in windows.tolist()} == {tuple(int(v) for v in cut) for cut in cuts}


def test_nothing_is_hidden_at_level_zero_and_the_seed_decides():
    for kind in ("occluder", "truncation"):
        none = picture_windows(BOX, SIZE, kind, 0.0, seed=0)
        assert not hidden_joints(BOX, none).any()
        one, same, other = (picture_windows(BOX, SIZE, kind, 0.2, seed=s) for s in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_joints_within_the_window_are_hidden():
    windows = torch.tensor([[200, 100, 501, 301]])
    assert hidden_joints(BOX[:1], windows).tolist() == [[True, False, True]]


def test_textures_are_drawn_by_the_seed():
    first, same, other = (occluder_texture(32, seed) for seed in (0, 0, 1))
    assert first.dtype == torch.uint8
    assert first.float().std() > 10
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not picture_texture("truncation", 8, 0).any()


def test_pictures_are_hidden_in_the_order_of_the_batches(tiny_batch):
    images = torch.full((48, 3, 8, 8), 255, dtype=torch.uint8)
    batch: PoseBatch = replace(tiny_batch, image=images)
    windows = torch.zeros(48, 4, dtype=torch.int64)
    windows[30] = torch.tensor([2, 3, 4, 8])
    parts = list(hide((batch.rows(slice(0, 20)), batch.rows(slice(20, 48))), windows,
                      torch.zeros(3, 8, 8, dtype=torch.uint8)))  # fmt: skip
    black = torch.cat([part.image for part in parts]) == 0
    assert black.sum() == 3 * 2 * 5
    assert black[30, :, 2:4, 3:].all()
    assert (images == 255).all()


def test_joints_that_the_clean_picture_does_not_show_are_not_seen(tiny_tracks):
    root = tiny_tracks.keypoints_2d[:, :1]
    crop = torch.cat((root[:, 0], torch.full((48, 1), 400.0)), dim=-1)
    image = torch.zeros(48, 3, 16, 16, dtype=torch.uint8)
    tracks = replace(tiny_tracks, image=image, crop=crop)
    rows = torch.arange(0, 48, 5)
    places = true_places(tracks, rows)
    torch.testing.assert_close(places[:, 0], torch.full((10, 2), 8.0), atol=1e-3, rtol=0)
    offset = (tiny_tracks.keypoints_2d[rows] - root[rows]) / 400 * 16 + 8
    torch.testing.assert_close(places, offset, atol=1e-2, rtol=0)
    inside = ((places >= 0) & (places < 16)).all(-1)
    assert torch.equal(seen_joints(tracks, rows, places), inside)
    sight = torch.zeros(48, 17, dtype=torch.uint8)
    sight[:, 0] = 1
    told = seen_joints(replace(tracks, extras={"sight": sight}), rows, places)
    assert not told[:, 0].any()
    assert torch.equal(told[:, 1:], inside[:, 1:])
