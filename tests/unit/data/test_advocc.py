"""The square that slides over images, and the worst place it finds."""

import math

import pytest
import torch

from lifting.data.images.advocc import (
    occlude,
    occluder_windows,
    scored_joints,
    window_mask,
    worst_windows,
)
from lifting.errors import ConfigError


def test_windows_cover_the_image_and_stay_inside():
    windows = occluder_windows(64, 80, 40)
    assert windows.shape == (25, 4)
    assert windows.max() == 64
    assert window_mask(windows, 64, 64).any(0).all()
    side = windows[:, 2:] - windows[:, :2]
    assert (side > 0).all()
    assert side.max() == 23  # 80 pixels of 224


def test_only_the_window_is_pasted_over():
    images = torch.zeros(2, 3, 8, 8)
    windows = torch.tensor([[1, 2, 4, 6], [6, 6, 8, 8]])
    texture = torch.arange(1, 49.0).view(3, 4, 4)
    found = occlude(images, windows, texture)
    torch.testing.assert_close(found[0, :, 1:4, 2:6], texture[:, :3])
    torch.testing.assert_close(found[1, :, 6:, 6:], texture[:, :2, :2])
    assert (found != 0).sum() == 3 * (12 + 4)
    assert torch.equal((found != 0)[:, 0], window_mask(windows, 8, 8))


def test_joints_on_the_edge_are_scored_and_those_outside_are_not():
    keypoints = torch.tensor([[[3.0, 3], [2, 3], [6, 3], [-1, 3], [3, 8]]])
    found = scored_joints(keypoints, torch.tensor([[2, 2, 5, 6]]), 8)
    assert found.tolist() == [[False, True, True, False, False]]


def test_the_worst_window_of_each_image_and_metric():
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[2] = 0
    windows = occluder_windows(16, 80, 40)

    def measure(occluded, sample, window):
        changed = (occluded - images[sample]).abs().sum((1, 2, 3))
        left = -window[:, 1].float()
        return {"changed": changed, "left": torch.where(sample == 1, math.nan, left)}

    found = worst_windows(images, measure, windows, torch.ones(3, 16, 16), chunk=7)
    each = torch.stack(
        [
            (occlude(images, w.expand(3, 4), torch.ones(3, 16, 16)) - images).abs().sum((1, 2, 3))
            for w in windows
        ]
    )
    torch.testing.assert_close(found["changed"].error, each.amax(0))
    assert torch.equal(found["changed"].window, windows[each.argmax(0)])
    assert found["left"].window[0, 1] == 0
    assert found["left"].error.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(("occluder", "stride"), [(0, 10), (300, 10), (40, 0)])
def test_refusals(occluder, stride):
    with pytest.raises(ConfigError, match="occluder of 1 to 224 pixels"):
        occluder_windows(64, occluder, stride)
