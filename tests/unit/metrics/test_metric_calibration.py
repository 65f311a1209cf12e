import math

import pytest
import torch
from torch.testing import assert_close

from lifting.errors import ConfigError, ShapeError
from lifting.metrics.calibration import (
    ConfidenceECE,
    Coverage,
    GaussianNLL,
    SampleScores,
    Temperature,
    UncertaintyRanking,
)
from lifting.metrics.functional import calibration, ranking
from lifting.metrics.functional.ranking import (
    ranking_sums,
    sparsification_from_sums,
    spearman_from_sums,
)


@pytest.fixture
def gaussian():
    generator = torch.Generator().manual_seed(2)
    mean = 200 * torch.randn(20000, 3, generator=generator, dtype=torch.float64)
    sigma = 5 + 60 * torch.rand(20000, generator=generator, dtype=torch.float64)
    noise = torch.randn(20000, 3, generator=generator, dtype=torch.float64)
    return mean, sigma, mean + sigma[:, None] * noise


def test_a_true_gaussian_is_calibrated_and_others_are_not(gaussian):
    mean, sigma, target = gaussian
    for region in ("axis", "radial"):
        found = {}
        for factor in (0.5, 1.0, 2.0):
            metric = Coverage(region)
            metric.update(mean, factor * sigma, target)
            found[factor] = metric.compute()
        assert float(found[1.0].ece) < 0.01
        assert float(found[0.5].signed) < -0.15
        assert float(found[2.0].signed) > 0.15
    temperature = Temperature()
    temperature.update(mean, 0.5 * sigma, target)
    assert float(temperature.compute()) == pytest.approx(2, rel=0.02)
    expected = calibration.optimal_temperature(mean, 0.5 * sigma, target)
    assert_close(temperature.compute(), expected)


def test_likelihood_by_hand_and_its_floor():
    zero = torch.zeros(1, 3)
    found = calibration.gaussian_nll(zero, torch.tensor([2.0]), torch.tensor([[2.0, 0, 0]]))
    expected = 3 * (math.log(2) + math.log(2 * math.pi) / 2) + 0.5
    assert float(found) == pytest.approx(expected)
    floor = calibration.gaussian_nll(zero, torch.zeros(1), zero)
    assert float(floor) == pytest.approx(3 * (math.log(1e-3) + math.log(2 * math.pi) / 2))
    one = calibration.gaussian_nll(zero, torch.tensor([5.0]), zero + 1)
    three = calibration.gaussian_nll(zero, torch.full((1, 3), 5.0), zero + 1)
    assert_close(one, three)


def test_limits_are_quantiles():
    for level, limit in zip(calibration.LEVELS, calibration.RADIAL_LIMITS, strict=True):
        share = math.erf(limit / math.sqrt(2))
        share -= math.sqrt(2 / math.pi) * limit * math.exp(-limit * limit / 2)
        assert share == pytest.approx(level, abs=1e-13)


@pytest.mark.parametrize("factory", [GaussianNLL, Coverage, lambda: Coverage("radial"),
                                     Temperature])  # fmt: skip
def test_batches_and_masked_values_do_not_matter(factory, gaussian):
    mean, sigma, target = (t[:500] for t in gaussian)
    keep = torch.rand(500, generator=torch.Generator().manual_seed(0)) > 0.4
    whole, parts = factory(), factory()
    whole.update(mean[keep], sigma[keep], target[keep])
    spoilt = torch.where(keep[:, None], target, torch.nan)
    for index in torch.arange(500).split([1, 99, 400]):
        parts.update(mean[index], sigma[index], spoilt[index], keep[index])
    for a, b in zip(*map(as_tuple, (parts.compute(), whole.compute())), strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-9)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def test_a_useful_uncertainty_beats_a_useless_one(gaussian):
    mean, sigma, target = gaussian
    error = (target - mean).norm(dim=-1)
    useful, perfect, useless = (UncertaintyRanking() for _ in range(3))
    useful.update(sigma, error)
    perfect.update(error, error)
    useless.update(sigma.roll(1), error)
    assert float(perfect.compute()["ause_mm"]) == pytest.approx(0, abs=1e-9)
    assert float(perfect.compute()["spearman"]) == pytest.approx(1)
    assert float(useful.compute()["ause_mm"]) < 0.5 * float(useless.compute()["ause_mm"])
    assert abs(float(useless.compute()["spearman"])) < 0.03
    empty = ranking.sparsification(sigma[:0], error[:0])
    assert bool(empty.ause_mm.isnan())


def test_histograms_agree_with_sorting(gaussian):
    mean, sigma, target = gaussian
    error = (target - mean).norm(dim=-1)
    valid = torch.rand(len(error), generator=torch.Generator().manual_seed(0)) > 0.2
    halves = [ranking_sums(*(t[i] for t in (sigma, error, valid)))
              for i in torch.arange(len(error)).split(7000)]  # fmt: skip
    sums = type(halves[0])(*(sum(parts) for parts in zip(*halves, strict=True)))
    exact = ranking.sparsification(sigma[valid], error[valid])
    found = sparsification_from_sums(sums)
    assert_close(found.ause_mm, exact.ause_mm, rtol=1e-3, atol=0)
    assert_close(found.curve, exact.curve, rtol=1e-3, atol=0)
    assert_close(found.oracle, exact.oracle, rtol=1e-3, atol=0)
    rank = ranking.spearman(sigma[valid], error[valid])
    assert_close(spearman_from_sums(sums), rank, rtol=0, atol=2e-3)


def test_rank_correlation_shares_ranks_of_ties():
    first = torch.tensor([1.0, 2, 2, 3])
    assert ranking.mean_ranks(first).tolist() == [0, 1.5, 1.5, 3]
    assert float(ranking.spearman(first, -first)) == pytest.approx(-1)
    assert bool(ranking.spearman(first, torch.ones(4)).isnan())
    assert bool(ranking.spearman(first[:1], first[:1]).isnan())


def test_sample_scores_against_all_pairs():
    generator = torch.Generator().manual_seed(4)
    samples = torch.randn(30, 7, 3, generator=generator, dtype=torch.float64)
    target = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    near = (samples - target[:, None]).abs().mean(1)
    pairs = (samples[:, :, None] - samples[:, None]).abs().mean((1, 2))
    assert_close(calibration.crps(samples, target), near - pairs / 2)
    near = (samples - target[:, None]).norm(dim=-1).mean(1)
    pairs = (samples[:, :, None] - samples[:, None]).norm(dim=-1).mean((1, 2))
    assert_close(calibration.energy_score(samples, target), near - pairs / 2)
    metric = SampleScores(7)
    for index in torch.arange(30).split(11):
        metric.update(samples[index], target[index])
    assert_close(metric.compute()["energy_mm"], (near - pairs / 2).mean())
    certain = target[:, None].expand(30, 7, 3)
    assert_close(calibration.crps(certain, target), torch.zeros(30, 3).double())


def test_ranks_and_intervals_of_calibrated_samples_are_even():
    generator = torch.Generator().manual_seed(6)
    draws = torch.randn(4000, 20, 3, generator=generator)
    samples, target = draws[:, 1:], draws[:, 0]
    counts = calibration.rank_histogram(samples, target, generator).double()
    assert float((counts / counts.mean() - 1).abs().max()) < 0.15
    tied = calibration.rank_histogram(torch.zeros(4000, 3, 1), torch.zeros(4000, 1), generator)
    assert float((tied.double() / 1000 - 1).abs().max()) < 0.15
    observed = calibration.sample_coverage(samples, target)
    assert bool((observed.diff() > 0).all())
    assert abs(float(observed[9]) - 0.5) < 0.06


def test_detector_confidence():
    generator = torch.Generator().manual_seed(7)
    confidence = torch.rand(50000, generator=generator)
    correct = torch.rand(50000, generator=generator) < confidence
    honest, boastful = ConfidenceECE(), ConfidenceECE()
    for index in torch.arange(50000).split(20000):
        honest.update(confidence[index], correct[index])
        boastful.update(torch.ones_like(confidence[index]), correct[index])
    assert float(honest.compute()) < 0.01
    assert float(boastful.compute()) == pytest.approx(0.5, abs=0.01)
    none = ConfidenceECE()
    none.update(confidence[:0], correct[:0])
    with pytest.warns(UserWarning, match="ConfidenceECE was given no valid sample"):
        value = none.compute()
    assert bool(value.isnan())


def test_errors_say_what_to_do(gaussian):
    with pytest.raises(ConfigError, match="unknown region 'axes'; did you mean 'axis'"):
        calibration.coverage_histogram(*gaussian, region="axes")
    with pytest.raises(ShapeError, match="expected sigma of shape"):
        calibration.gaussian_nll(gaussian[0], gaussian[1][:5], gaussian[2])
    with pytest.raises(ShapeError, match="expected samples of shape"):
        calibration.crps(gaussian[0][:, None, :2], gaussian[2])
