"""Heatmaps, crops, and mixtures fitted to them."""

import pytest
import torch

from lifting.data.detections import Detections
from lifting.data.heatmaps import (
    Crop,
    frame_to_map,
    map_to_frame,
    person_crops,
    render_heatmaps,
)
from lifting.data.mixtures import detection_mixtures, fit_mixtures, mixtures_to_frame
from lifting.errors import ConfigError, DataError, ShapeError
from lifting.skeleton import H36M_17


def gaussian(centre, spread, size=(64, 48)):
    """A map of ``size`` (height, width) with a Gaussian at (u, v)."""
    v = torch.arange(size[0])[:, None] - centre[1]
    u = torch.arange(size[1]) - centre[0]
    return (-(u**2 + v**2) / (2 * spread**2)).exp()


@pytest.fixture
def people():
    generator = torch.Generator().manual_seed(0)
    return 200 + 400 * torch.rand(5, 17, 2, generator=generator)


def render(people, confidence=1.0, **options):
    confidence = torch.full(people.shape[:2], confidence)
    options.setdefault("generator", torch.Generator().manual_seed(1))
    size = options.get("size", (64, 64))
    crop = person_crops(people, size=size)
    return render_heatmaps(people, confidence, H36M_17, crop, **options), crop


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (72, 96)])
def test_crops_hold_the_person_with_a_margin_and_go_back(people, size):
    crop = person_crops(people, size=size)
    inside = frame_to_map(people, crop)
    torch.testing.assert_close(map_to_frame(inside, crop), people, atol=1e-3, rtol=0)
    extent = (inside.amax(1) - inside.amin(1)) / torch.tensor(size)
    torch.testing.assert_close(extent.amax(-1), torch.full((5,), 0.8))
    middle = (inside.amax(1) + inside.amin(1)) / 2
    torch.testing.assert_close(
        middle, (torch.tensor(size) - 1).expand(5, 2) / 2, atol=1e-3, rtol=0
    )


def test_the_first_cell_has_its_centre_half_a_cell_from_the_corner():
    crop = Crop(torch.tensor([[100.0, 50.0]]), torch.tensor([4.0]))
    origin = map_to_frame(torch.zeros(1, 1, 2), crop)
    torch.testing.assert_close(origin, torch.tensor([[[102.0, 52.0]]]))


def test_maps_have_the_shape_asked_for_and_peak_at_the_joint(people):
    maps, crop = render(people, size=(48, 64), background=0.0)
    assert maps.shape == (5, 17, 64, 48)
    assert maps.amin((2, 3)).max() < 0.01  # no map is level
    centre = frame_to_map(people, crop)
    spine = H36M_17.index("spine")
    # a midline joint has no partner; a false second mode is rare and lower
    index = maps[:, spine].flatten(1).argmax(1)
    found = torch.stack((index % 48, index // 48), dim=-1)
    assert (found - centre[:, spine]).abs().max() <= 0.5 + 1e-3


def test_the_peak_is_as_high_as_the_confidence(people):
    maps, _ = render(people, 0.8, background=0.0)
    spine = maps[:, H36M_17.index("spine")].amax((1, 2))
    assert ((spine > 0.7) & (spine <= 0.81)).sum() >= 4


def test_unsure_joints_also_show_at_their_partner(people):
    sure, crop = render(people, 0.9, background=0.0)
    unsure, _ = render(people, 0.4, background=0.0)
    knee, other = H36M_17.index("left_knee"), H36M_17.index("right_knee")
    place = frame_to_map(people, crop)[:, other].round().long()
    far = (people[:, knee] - people[:, other]).norm(dim=-1) > 150
    assert far.sum() >= 3
    rows = torch.arange(5)[far]
    there = place[far]
    at_partner = unsure[rows, knee, there[:, 1], there[:, 0]]
    assert (at_partner > 0.03).all()
    assert sure[rows, knee, there[:, 1], there[:, 0]].median() < 1e-3


def test_answers_stretch_along_their_bone_only():
    pose = torch.zeros(1, 17, 2)
    pose[0] = torch.tensor([300.0, 300.0])
    knee, hip = H36M_17.index("right_knee"), H36M_17.index("right_hip")
    pose[0, hip] = torch.tensor([300.0, 100.0])
    pose[0, knee] = torch.tensor([300.0, 300.0])
    pose[0, H36M_17.index("left_knee")] = torch.tensor([500.0, 500.0])
    maps, _ = render(pose.expand(20, 17, 2), background=0.0)
    fitted = fit_mixtures(maps[:, [knee]], kernels=1)[:, 0, 0]
    ratio = (fitted[:, 4] / fitted[:, 3]).sort().values[2:-2]
    assert ratio.min() >= 0.98
    assert 1.15 < ratio.mean() < 1.35
    torch.testing.assert_close(
        fitted[:, 3].median(), torch.tensor(2.0), atol=0.2, rtol=0
    )  # cut at 5 % of the peak


def test_wider_maps_for_less_certain_detections(people):
    crop = person_crops(people)
    options = {"background": 0.0, "sigma": crop.cell[:, None].expand(5, 17) * 0.1}
    narrow, _ = render(people, **options)
    options["sigma"] = crop.cell[:, None].expand(5, 17) * 10.0
    wide, _ = render(people, **options)
    spine = H36M_17.index("spine")
    areas = [(m[:, spine] > 0.5).sum((1, 2)).float().mean() for m in (narrow, wide)]
    assert areas[1] > 3 * areas[0]


def test_maps_repeat_with_the_seed(people):
    assert torch.equal(render(people)[0], render(people)[0])
    other, _ = render(people, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(render(people)[0], other)


def test_mixtures_recover_two_known_modes():
    maps = (0.7 * gaussian((12.0, 20.5), 2.0) + 0.3 * gaussian((34.5, 45.0), 2.5))[None, None]
    fitted = fit_mixtures(maps, kernels=2)[0, 0]
    centres = torch.tensor([[12.0, 20.5], [34.5, 45.0]])
    torch.testing.assert_close(fitted[:, 1:3], centres, atol=0.02, rtol=0)
    # cells below a twentieth of 0.7 are cut off: moments of a Gaussian within a radius
    height, spread = torch.tensor([0.7, 0.3]), torch.tensor([2.0, 2.5])
    limit = (height / 0.035).log()
    kept = 1 - (-limit).exp()
    mass = height * spread.square() * kept
    torch.testing.assert_close(fitted[:, 0], mass / mass.sum(), atol=0.02, rtol=0)
    cut = spread * (1 - limit * (1 - kept) / kept).sqrt()
    torch.testing.assert_close(fitted[:, 3:], cut[:, None].expand(2, 2), atol=0.05, rtol=0)


def test_maps_are_fitted_independently_of_their_neighbours(people):
    maps, _ = render(people)
    together = fit_mixtures(maps)
    alone = torch.stack([fit_mixtures(m[None])[0] for m in maps])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


def test_mixture_moments_are_those_of_the_map(people):
    maps, _ = render(people, 0.9)
    fitted = fit_mixtures(maps)
    assert fitted.shape == (5, 17, 5, 5)
    torch.testing.assert_close(fitted[..., 0].sum(-1), torch.ones(5, 17))
    assert (fitted[..., 0].diff(dim=-1) <= 0).all()
    assert fitted[..., 3:].min() >= 0.5**0.5 - 1e-6
    kept = torch.where(maps >= 0.05 * maps.amax((2, 3), keepdim=True), maps, 0.0)
    mean = (fitted[..., :1] * fitted[..., 1:3]).sum(2)
    share = kept / kept.sum((2, 3), keepdim=True)
    cells = torch.arange(64.0)
    expected = torch.stack((share.sum(2) @ cells, share.sum(3) @ cells), dim=-1)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0)


def test_mixtures_go_back_to_pixels_and_screen_units(people):
    maps, crop = render(people, 1.0, background=0.0)
    fitted = fit_mixtures(maps, kernels=3)
    size = torch.tensor([1000.0, 1002.0]).expand(5, 2)
    framed = mixtures_to_frame(fitted, crop, size)
    spine = H36M_17.index("spine")
    mean = (framed[:, spine, :, :1] * framed[:, spine, :, 1:3]).sum(1)
    error = (mean - people[:, spine]).norm(dim=-1)
    assert error.median() < 0.2 * crop.cell.max()
    spread = fitted[..., 3:] * crop.cell[:, None, None, None] / 500
    torch.testing.assert_close(framed[..., 3:], spread)


def test_few_peaks_many_kernels_and_empty_maps_stay_finite():
    maps = torch.stack((gaussian((5.0, 6.0), 2.0, (12, 12)), torch.zeros(12, 12)))[None]
    fitted = fit_mixtures(maps, kernels=7)
    assert fitted.isfinite().all()
    torch.testing.assert_close(fitted[..., 0].sum(-1), torch.ones(1, 2))
    mean = (fitted[0, 1, :, :1] * fitted[0, 1, :, 1:3]).sum(0)
    torch.testing.assert_close(mean, torch.tensor([5.5, 5.5]), atol=0.05, rtol=0)


def test_bad_maps_are_refused():
    good = torch.ones(1, 1, 8, 8)
    with pytest.raises(DataError, match="not negative"):
        fit_mixtures(good - 2)
    with pytest.raises(DataError, match="finite"):
        fit_mixtures(good * float("nan"))
    with pytest.raises(DataError, match="finite"):
        fit_mixtures(good * float("inf"))
    with pytest.raises(ConfigError, match="kernels=0"):
        fit_mixtures(good, kernels=0)
    with pytest.raises(ShapeError, match="expected heatmaps"):
        fit_mixtures(good[0])
    with pytest.raises(ShapeError, match="expected keypoints_2d"):
        render(torch.zeros(2, 16, 2))


def test_mixtures_of_plain_detections():
    generator = torch.Generator().manual_seed(0)
    points = 1000 * torch.rand(4000, 17, 2, generator=generator)
    sigma = torch.full((4000, 17), 6.0)
    found = Detections(points, torch.ones(4000, 17), sigma, torch.zeros(4000, 17).bool())
    width = torch.full((4000,), 1000.0)
    mixtures = detection_mixtures(found, H36M_17, width, partner=True, generator=generator)
    assert mixtures.shape == (4000, 17, 5, 5)
    torch.testing.assert_close(mixtures[..., 0].sum(-1), torch.ones(4000, 17))
    assert torch.equal(mixtures[:, :, 0, 1:3], points)
    assert torch.equal(mixtures[:, :, 4, 1:3], points[:, list(H36M_17.flip_index)])
    scatter = (mixtures[:, :, 1:4, 1:3] - points[:, :, None]).std()
    torch.testing.assert_close(scatter, torch.tensor(15.0), atol=0.2, rtol=0)
    expected = torch.tensor([6.0, 9, 9, 9, 6]) / 500
    torch.testing.assert_close(mixtures[0, 0, :, 3], expected)
    exact = found._replace(sigma=torch.zeros_like(sigma))
    sharp = detection_mixtures(exact, H36M_17, width, partner=False, generator=generator)
    assert torch.equal(sharp[..., 1:3], points[:, :, None].expand(-1, -1, 5, -1))
    torch.testing.assert_close(sharp[..., 3:], torch.full((4000, 17, 5, 2), 1 / 500))
