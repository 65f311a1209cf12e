"""3DNBF's features, banks, contrast, likelihood and rotations."""

import math

import pytest
import torch
from torch.nn import functional

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.nbf.body_pose import matrix_of_six, rotation_vector, six_of_matrix
from lifting.methods.nbf.contrast import (
    Rows,
    background_contrast,
    background_pixels,
    feature_nll,
    info_nce,
    noise_regulariser,
    observed_features,
    pairwise_background,
    pairwise_kernels,
    pairwise_orientations,
    part_loss,
    pixel_features,
    sampled_info_nce,
)
from lifting.methods.nbf.features import FeatureBank, Orientation, expected_features
from lifting.methods.nbf.image_network import make_extractor
from lifting.methods.nbf.objective import (
    Scores,
    negative_log_likelihood,
    vmf_log_normaliser,
)
from lifting.methods.nbf.render import RenderOptions, render
from lifting.methods.nbf.selection import RayGrid


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda *size: torch.randn(*size, generator=generator)


def unit(values):
    return functional.normalize(values, dim=-1)


# Orientation


def test_posterior_turns_with_the_limb(draw):
    limbs = unit(draw(50, 3))
    for project in ("soft", "normalised"):
        weights = Orientation(project=project).weights(limbs)
        torch.testing.assert_close(weights.sum(-1), torch.ones(50))
        turned = Orientation(project=project).weights(limbs * torch.tensor([1.0, 1, -1]))
        torch.testing.assert_close(turned, weights[:, [2, 1, 0, 3]])  # only +z and -z change


def test_a_limb_along_x_is_undecided():
    along = torch.tensor([[1.0, 0, 0]], requires_grad=True)
    weights = Orientation().weights(along)
    torch.testing.assert_close(weights, torch.full((1, 4), 0.25))
    assert torch.autograd.grad(weights[0, 0], along)[0].isfinite().all()


def test_labels_are_the_likeliest(draw):
    limbs = unit(draw(50, 3))
    circle = Orientation(count=8)
    assert torch.equal(circle.labels(limbs), circle.weights(limbs).argmax(-1))
    z = torch.tensor([0.0, 0.5, -0.5])
    bins = Orientation("z_bins3", 3)
    assert bins.labels(torch.stack((z, 0 * z, z), dim=-1)).tolist() == [0, 1, 2]


def test_one_orientation_forgets_the_pose(draw):
    bank = draw(1, 5, 8)
    limb = torch.tensor([0, 1, 2, 3, 8])
    for limbs in unit(draw(2, 4, 9, 3)):
        found = expected_features(Orientation(count=1).weights(limbs), limb, bank)
        torch.testing.assert_close(found, bank.expand(4, -1, -1))


def test_three_bins_are_three():
    with pytest.raises(ConfigError, match="3 with z_bins3, got 4"):
        Orientation("z_bins3", 4)


# Bank


def test_only_rows_that_were_seen_move(draw):
    bank = FeatureBank(2, 5, 8, clutter=7)
    before = bank.features.clone()
    observed = unit(draw(3, 5, 8))
    visible = torch.zeros(3, 5, dtype=torch.bool)
    visible[:, :2] = True
    observed[:, 4] = math.nan
    labels = torch.tensor([[0, 1, 0, 1, 0]]).expand(3, -1)
    bank.update(observed, visible, labels)
    moved = (bank.features != before).any(-1)
    assert moved.nonzero().tolist() == [[0, 0], [1, 1]]
    torch.testing.assert_close(bank.features.norm(dim=-1), torch.ones(2, 5))
    cosine = (bank.features[0, 0] * observed[:, 0].mean(0)).sum()
    assert cosine > (before[0, 0] * observed[:, 0].mean(0)).sum()
    assert bank.seen[0, 0] == 3
    assert bank.seen.sum() == 6


def test_background_overwrites_the_oldest(draw):
    bank = FeatureBank(1, 2, 8, clutter=7)
    rows = unit(draw(10, 8))
    bank.remember(rows[:5])
    bank.remember(rows[5:9])
    torch.testing.assert_close(bank.clutter, rows[[7, 8, 2, 3, 4, 5, 6]])
    assert bank.place == 2
    bank.remember(unit(draw(20, 8)))
    torch.testing.assert_close(bank.clutter.norm(dim=-1), torch.ones(7))
    other = FeatureBank(1, 2, 8, clutter=7)
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.clutter, bank.clutter)
    assert other.place == bank.place


def test_background_centres(draw):
    bank = FeatureBank(1, 2, 3, clutter=90)
    axes = torch.eye(3).repeat(30, 1)
    bank.remember(unit(axes + 0.05 * draw(90, 3)))
    assert (bank.background(3) @ torch.eye(3)).amax(0).min() > 0.99
    torch.testing.assert_close(bank.background(), unit(bank.clutter.mean(0, keepdim=True)))


# Contrast


@pytest.fixture
def seen(draw):
    visible = torch.ones(4, 5, dtype=torch.bool)
    visible[0, 1] = False
    labels = torch.tensor([[0, 1, 0, 1, 0], [1, 1, 0, 0, 0]]).repeat(2, 1)
    return unit(draw(4, 5, 8)), visible, labels


def test_contrast_falls_towards_the_own_row(draw, seen):
    observed, visible, labels = seen
    bank, clutter = unit(draw(2, 5, 8)), unit(draw(20, 8))
    none = torch.zeros(5, 5, dtype=torch.bool)
    own = bank[labels, torch.arange(5)]
    far, _ = info_nce(observed, visible, labels, Rows(bank, clutter, none))
    near, _ = info_nce(unit(observed + 3 * own), visible, labels, Rows(bank, clutter, none))
    assert near < far
    neighbours = none.clone()
    neighbours[0, 1] = neighbours[1, 0] = True
    fewer, each = info_nce(observed, visible, labels, Rows(bank, clutter, neighbours))
    assert fewer < far
    assert feature_nll(own, visible, labels, bank, 10.0).item() == pytest.approx(-10, abs=1e-4)
    hidden, _ = info_nce(observed, none[:4], labels, Rows(bank, clutter, none))
    assert hidden == 0
    generator = torch.Generator().manual_seed(0)
    rows = Rows(bank, clutter, none)
    whole = sampled_info_nce(observed, visible, labels, rows, 9, generator)
    torch.testing.assert_close(whole, far)
    assert sampled_info_nce(observed, none[:4], labels, rows, 2, generator) == 0
    assert each.shape == (4, 5)


def test_no_visible_kernel_still_has_a_graph(draw, seen):
    observed, _, labels = seen
    observed.requires_grad_(True)
    nothing = torch.zeros(4, 5, dtype=torch.bool)
    neighbours = torch.zeros(5, 5, dtype=torch.bool)
    rows = Rows(unit(draw(2, 5, 8)), draw(3, 8), neighbours)
    loss, _ = info_nce(observed, nothing, labels, rows)
    (slope,) = torch.autograd.grad(loss, observed)
    assert slope.abs().max() == 0


def test_hinged_pairs_push_no_further_than_right_angles(seen):
    _, visible, labels = seen
    corners = torch.eye(8)[:5].expand(4, -1, -1)
    assert pairwise_kernels(corners, visible) == 0
    same = torch.ones(4, 5, 8) / 8**0.5
    assert pairwise_kernels(same, visible).item() == pytest.approx(1)
    assert pairwise_orientations(same, visible, labels).item() == pytest.approx(1)
    assert pairwise_background(same, visible, -same[:, :2]) == 0


def test_noise_regulariser_is_the_mean_cosine(draw):
    noise, bank = unit(draw(3, 4, 8)), unit(draw(2, 5, 8))
    found = noise_regulariser(noise, bank)
    torch.testing.assert_close(found, torch.einsum("bnc,okc->bnok", noise, bank).mean())


def test_parts_count_the_background_first():
    logits = torch.full((1, 3, 1, 2), -20.0)
    logits[0, 0, 0, 0] = logits[0, 2, 0, 1] = 20
    assert part_loss(logits, torch.tensor([[[-1, 1]]])) < 1e-4
    assert part_loss(logits, torch.tensor([[[0, 1]]])) > 10


def test_a_pixel_of_the_body_may_count_more_than_one_beside_it():
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 0] = 2.0  # certain of the background everywhere
    parts = torch.tensor([[[-1, -1, -1, 1]]])
    missed = part_loss(logits, torch.tensor([[[1, 1, 1, 1]]]))
    right = part_loss(logits, torch.tensor([[[-1, -1, -1, -1]]]))
    torch.testing.assert_close(part_loss(logits, parts), (3 * right + missed) / 4)
    torch.testing.assert_close(part_loss(logits, parts, 3.0), (3 * right + 3 * missed) / 6)


# What an image shows


def two_kernels():
    """Two small kernels side by side, and a map whose features are the pixels' own."""
    means = torch.tensor([[[-500.0, 0, 4000], [500, 0, 4000]]])
    precisions = torch.eye(3).expand(1, 2, 3, 3) / 150**2
    grid = RayGrid(8, 8, torch.full((1, 2), 16.0), torch.full((1, 2), 4.0))
    return render(means, precisions, grid, RenderOptions(count=2))


def test_observed_features_are_those_of_the_pixels():
    rendering = two_kernels()
    side = torch.arange(64) % 8 < 4
    feature_map = torch.stack((side, ~side), dim=-1).float()[None].requires_grad_(True)
    found = observed_features(feature_map, rendering)
    assert found.visible.all()
    assert found.features[0].diagonal().min() > 0.99
    (slope,) = torch.autograd.grad(found.features.square().sum(), feature_map)
    assert slope.isfinite().all()
    hidden = observed_features(feature_map, rendering, side[None])
    assert hidden.visible.tolist() == [[False, True]]


def test_background_is_off_the_body_and_more_often_beside_it():
    background = torch.ones(2, 12, 12, dtype=torch.bool)
    background[0, 4:6, 4:6] = False
    background[1] = False
    generator = torch.Generator().manual_seed(0)
    even = background_pixels(background, 4000, generator)
    assert background[0].flatten()[even[0]].all()
    assert even[1].unique().numel() == 144  # a body that fills the image leaves no choice
    near = background_pixels(background, 4000, generator, near=4.0)
    assert background[0].flatten()[near[0]].all()
    beside = torch.zeros(12, 12, dtype=torch.bool)
    beside[2:8, 2:8] = True
    count = int(beside.sum()) - 4
    for pixels, factor in ((even, 1), (near, 4)):
        share = beside.flatten()[pixels[0]].float().mean()
        expected = factor * count / (factor * count + 140 - count)
        assert abs(float(share) - expected) < 0.04
    values = torch.arange(144.0)[None, :, None].expand(2, -1, -1)
    assert torch.equal(pixel_features(values, near)[..., 0], near.float())


def test_background_that_looks_like_a_kernel_is_pushed_away(draw):
    bank, own = unit(draw(2, 5, 8)), unit(draw(1, 8))
    alike = background_contrast(own.expand(1, 3, 8), bank, own, 0.07)
    noise = bank[0, :3][None].clone().requires_grad_(True)
    other = background_contrast(noise, bank, own, 0.07)
    assert alike < other
    (slope,) = torch.autograd.grad(other, noise)
    moved = unit(noise.detach() - 0.3 * slope)
    assert background_contrast(moved, bank, own, 0.07) < other


# Likelihood


def test_a_bad_pixel_costs_little_under_the_occlusion_model():
    body = torch.tensor([[0.9, 0.9, 0.9], [0.9, 0.9, -0.9]])
    scores = Scores(body, torch.full_like(body, 0.3))
    opacity = torch.ones_like(body)
    costs = {
        model: negative_log_likelihood(scores, opacity, model).diff().item()
        for model in ("mixture", "max", "softmax", "plain")
    }
    assert costs["plain"] == pytest.approx(18)
    for model in ("mixture", "max", "softmax"):
        assert costs[model] == pytest.approx(6, abs=1)


def test_cold_mixture_is_the_maximum(draw):
    scores = Scores(unit(draw(3, 9, 2))[..., 0], unit(draw(3, 9, 2))[..., 0])
    opacity = draw(3, 9).sigmoid()
    cold = negative_log_likelihood(scores, opacity, "mixture", temperature=1e-3)
    torch.testing.assert_close(
        cold, negative_log_likelihood(scores, opacity, "max"), rtol=0, atol=0.01
    )


def test_density_integrates_to_one_on_the_sphere():
    kappa, points = 3.0, torch.linspace(-1, 1, 20001, dtype=torch.float64)
    density = torch.exp(kappa * points + vmf_log_normaliser(kappa, 3))
    assert float(torch.trapezoid(2 * math.pi * density, points)) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ConfigError, match="above 0, got 0"):
        vmf_log_normaliser(0.0, 3)


# Network and rotations


@pytest.mark.parametrize(
    ("backbone", "stride", "width"),
    [("tiny", 4, 48), ("tiny", 2, 32), ("resnet50", 4, 256), ("resnet50", 2, 128)],
)
def test_extractor_gives_unit_features(backbone, stride, width):
    torch.manual_seed(0)
    extractor = make_extractor(backbone, 16, stride).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found = extractor(images)
        rows, columns = 64 // stride, 96 // stride
        assert found.features.shape == (2, rows * columns, 16)
        assert found.decoded.shape == (2, width, rows, columns)
        assert [m.shape[1] for m in found.coarse] == list(extractor.coarse_channels)
        assert [m.shape[2] for m in found.coarse] == [4, 2]
        torch.testing.assert_close(
            found.features.norm(dim=-1), torch.ones(2, rows * columns), rtol=0, atol=1e-4
        )
        alone = extractor(images[1:]).features
        torch.testing.assert_close(alone[0], found.features[1], rtol=0, atol=1e-4)
        for mine, theirs in zip(extractor.coarse(images), found.coarse, strict=True):
            torch.testing.assert_close(mine, theirs)
    with pytest.raises(ShapeError, match=r"multiples of 32, got .*60"):
        extractor(torch.randn(2, 3, 60, 96))


def test_six_numbers_and_vectors_are_rotations(draw):
    turns = draw(40, 3)
    turns[0] = 0
    turns[1] = torch.tensor([math.pi - 1e-3, 0, 0])
    turns = torch.where(turns.norm(dim=-1, keepdim=True) > math.pi, turns / 2, turns)
    matrices = axis_angle_to_matrix(turns.double())
    torch.testing.assert_close(rotation_vector(matrices), turns.double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(matrix_of_six(six_of_matrix(matrices)), matrices)
    found = matrix_of_six(draw(40, 6).double())
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand(40, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(40).double())
