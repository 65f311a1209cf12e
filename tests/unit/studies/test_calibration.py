from __future__ import annotations

import numpy as np
import pytest

from lifting.errors import DataError
from lifting.studies.calibration import (
    Calibration,
    Doubt,
    fit_affine,
    fit_temperature,
    quality,
)


def made_up(scale: float, shift: float, count: int = 40_000, seed: int = 0) -> Doubt:
    """Joints whose mean error is the exponential of ``scale * log_sigma + shift``."""
    generator = np.random.default_rng(seed)
    log_sigma = generator.normal(3.5, 0.6, count)
    return Doubt(log_sigma, generator.exponential(np.exp(scale * log_sigma + shift)))


def test_a_known_temperature_is_recovered():
    scale, shift = fit_temperature(made_up(1.0, 0.7))
    assert scale == 1
    assert shift == pytest.approx(0.7, abs=0.02)


def test_a_known_scale_and_shift_are_recovered():
    assert fit_affine(made_up(0.6, 1.2)) == pytest.approx((0.6, 1.2), abs=0.05)
    assert fit_affine(made_up(1.8, -2.5)) == pytest.approx((1.8, -2.5), abs=0.06)


def test_the_fit_is_the_best_of_its_likelihood():
    doubt = made_up(0.7, 0.9, count=500)
    best = fit_affine(doubt)
    least = quality(doubt, best).likelihood
    for scale, shift in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02), (0.02, -0.07)):
        near = Calibration(best.scale + scale, best.shift + shift)
        assert quality(doubt, near).likelihood > least
    assert quality(doubt, fit_temperature(doubt)).likelihood > least


def test_a_calibrated_error_is_observed():
    seen, held_out = made_up(0.6, 1.2), made_up(0.6, 1.2, seed=1)
    before = quality(held_out, Calibration(1.0, 0.0))
    after = quality(held_out, fit_affine(seen))
    assert after.likelihood < before.likelihood
    assert after.gap_mm < 0.1 * before.gap_mm
    assert after.spearman == pytest.approx(before.spearman)
    assert after.reliability.observed == pytest.approx(after.reliability.expected, rel=0.1)
    assert (np.diff(after.reliability.expected) > 0).all()


def test_correlations_against_numpy():
    doubt = made_up(1.0, 0.0, count=300)
    found = quality(doubt, Calibration(2.0, -1.0))
    expected = np.exp(2 * doubt.log_sigma - 1)
    assert found.pearson == pytest.approx(np.corrcoef(expected, doubt.error)[0, 1])
    ranks = [values.argsort().argsort() for values in (expected, doubt.error)]
    assert found.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert found.likelihood == pytest.approx((doubt.error / expected + np.log(expected)).mean())


def test_an_error_expected_alike_everywhere_gets_a_temperature():
    doubt = Doubt(np.full(10, 2.0), np.full(10, np.exp(3.0)))
    assert fit_affine(doubt) == pytest.approx((1.0, 1.0))


def test_errors_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="expected finite errors of 2 joints"):
        fit_temperature(Doubt(np.array([1.0, np.nan]), np.ones(2)))
    with pytest.raises(DataError, match="none above zero"):
        fit_affine(Doubt(np.ones(2), np.zeros(2)))
