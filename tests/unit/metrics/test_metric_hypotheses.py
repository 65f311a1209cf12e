import itertools

import pytest
import torch
from torch.testing import assert_close

from lifting.errors import ConfigError, ShapeError
from lifting.metrics.functional import hypotheses as functions
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.metrics.single import JAgg, JBest, MeanOverHypotheses, PAgg, PBest


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(8)
    target = 300 * torch.randn(6, 3, 17, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(6, 5, 3, 17, 3, generator=generator, dtype=torch.float64)
    return target[:, None] + 60 * noise, target


@pytest.fixture
def mask():
    return torch.rand(6, 3, 17, generator=torch.Generator().manual_seed(1)) > 0.3


@pytest.mark.parametrize("kind", ["none", "similarity"])
@pytest.mark.parametrize("masked", [False, True])
def test_freer_choices_score_better(case, mask, kind, masked):
    poses, target = case
    errors = functions.hypothesis_errors(poses, target, mask if masked else None, align=kind)
    projected, keypoints = poses[..., :2], target[..., :2]
    joint = float(functions.j_best(errors))
    pose, sequence, batch = (
        float(functions.p_best(errors, w)) for w in ("pose", "sequence", "batch")
    )
    mean = float(functions.mean_over_hypotheses(errors))
    assert joint < pose < sequence < batch < mean
    assert joint < float(functions.j_agg(errors, projected, keypoints)) < mean


def test_one_hypothesis_is_the_ordinary_error(case, mask):
    poses, target = case
    one = poses[:, :1]
    for kind, plain in (("none", mpjpe), ("similarity", pa_mpjpe)):
        expected = plain(one[:, 0], target, mask)
        errors = functions.hypothesis_errors(one, target, mask, align=kind)
        assert_close(functions.j_best(errors), expected)
        assert_close(functions.p_best(errors), expected)
        assert_close(functions.p_agg(one, target, mask, align=kind), expected)
    assert bool(functions.diversity(one).pairwise.isnan())


def test_the_perfect_hypothesis_is_found_wherever_it_stands(case):
    poses, target = case
    poses = poses.clone()
    poses[:, 3] = target
    errors = functions.hypothesis_errors(poses, target)
    assert float(functions.p_best(errors, "batch")) == 0
    aggregated = functions.j_agg(errors, poses[..., :2], target[..., :2])
    assert float(aggregated) == 0
    assert float(functions.p_agg(poses, target)) > 10


@pytest.mark.parametrize("factory", [JBest, PBest, lambda: PBest("sequence"), PAgg,
                                     lambda: JBest("similarity"), MeanOverHypotheses])  # fmt: skip
def test_batches_do_not_matter_and_masked_nan_does_not_leak(factory, case, mask):
    poses, target = case
    whole, parts = factory(), factory()
    whole.update(poses, target, mask)
    spoilt = torch.where(mask[:, None, ..., None], poses, torch.nan)
    for index in torch.arange(6).split([1, 3, 2]):
        parts.update(spoilt[index], target[index], mask[index])
    assert_close(parts.compute(), whole.compute(), rtol=1e-9, atol=1e-9)


def test_the_published_p_best_depends_on_the_batch_size(case):
    poses, target = case
    whole, parts = PBest("batch"), PBest("batch")
    whole.update(poses, target)
    for index in range(6):
        parts.update(poses[index : index + 1], target[index : index + 1])
    assert float(parts.compute()) < float(whole.compute())
    assert not whole.sync_on_compute


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_diversity_counts_every_pair_once(case, number, mask):
    poses = case[0][:, :number]
    pairs = [
        (poses[:, a] - poses[:, b]).norm(dim=-1)[mask]
        for a, b in itertools.combinations(range(number), 2)
    ]
    found = functions.diversity(poses, mask)
    assert_close(found.pairwise, torch.stack(pairs).mean())
    spread = poses.movedim(1, 0)[:, mask].std(0, correction=0).mean(0)
    assert_close(found.axis_std, spread)


def test_j_agg_streams(case):
    poses, target = case
    errors = functions.hypothesis_errors(poses, target)
    metric = JAgg()
    for index in torch.arange(6).split(4):
        metric.update(poses[index], target[index], poses[index][..., :2], target[index][..., :2])
    expected = functions.j_agg(errors, poses[..., :2], target[..., :2])
    assert_close(metric.compute(), expected)


def test_errors_say_what_to_do(case):
    poses, target = case
    errors = functions.hypothesis_errors(poses, target)
    with pytest.raises(ConfigError, match="unknown window 'poses'; did you mean 'pose'"):
        functions.p_best(errors, "poses")
    with pytest.raises(ShapeError, match="expected hypotheses of shape"):
        functions.hypothesis_errors(poses[0], target)
    with pytest.raises(ShapeError, match="expected projected of shape"):
        functions.j_agg(errors, poses, target[..., :2])
