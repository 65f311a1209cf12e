"""Rows and areas by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifting.studies.measure import Errors
from lifting.studies.robustness.study import Trial, area_under, areas_of, row_of

VALID = torch.tensor([[True, True, True], [True, True, False]])
MOVING = torch.tensor([False, True, True])


def errors(position, best=None):
    values = torch.tensor(position, dtype=torch.float64) * VALID
    return Errors(values, VALID, values / 2, VALID, best, 0 if best is None else 4)


CLEAN = errors([[0, 10, 20], [0, 30, 99]])
BAD = errors([[0, 40, 30], [0, 30, 99]], torch.tensor([7.0, 9]))
HIT = torch.tensor([[True, True, False], [False, False, True]])


def row(rate, found, run="uao"):
    trial = Trial("drop", rate, HIT, ~HIT)
    return row_of(run, "plain", trial, found, CLEAN, MOVING, np.array([0, 1]))


def test_a_row_tells_hit_joints_from_the_others_without_the_root():
    found = row(0.5, BAD)
    assert found.mpjpe_mm == pytest.approx(100 / 5)
    assert found.pa_mpjpe_mm == pytest.approx(50 / 5)
    assert found.change_mm == pytest.approx(40 / 5)
    # A resample of the first recording alone gains 40 of 3 joints, of the second nothing.
    assert found.interval_mm == pytest.approx((0, 40 / 3))
    assert (found.hit.joints, found.hit.mm, found.hit.clean_mm) == (1, 40, 10)
    assert (found.rest.joints, found.rest.mm, found.rest.clean_mm) == (2, 30, 25)
    assert found.share == 0.5
    assert (found.best_mm, found.hypotheses) == (8, 4)


def test_a_group_without_a_labelled_joint_has_no_error():
    trial = Trial("drop", 0.1, torch.tensor([[True, False, False], [False, False, True]]), HIT)
    found = row_of("uao", "plain", trial, BAD, CLEAN, MOVING, np.array([0, 1]))
    assert (found.hit.joints, found.hit.mm) == (0, None)


def test_the_area_of_a_line_and_of_a_bent_curve():
    assert area_under([0, 0.5], [80, 120]) == pytest.approx((100, 1.25))
    assert area_under([0, 0.1, 0.5], [50, 50, 50]) == pytest.approx((50, 1))
    # (60 * 0.1 + 80 * 0.4) / 0.5
    assert area_under([0, 0.1, 0.5], [50, 70, 90]) == pytest.approx((76, 1.52))


def test_every_curve_has_an_area():
    rows = [row(0.0, CLEAN), row(0.0, CLEAN, "other"), row(0.5, BAD), row(0.5, CLEAN, "other")]
    first, second = areas_of(rows)
    assert (first.run, first.kind, first.mm) == ("uao", "drop", pytest.approx(16))
    assert (first.ratio, first.pa_mm, first.pa_ratio) == pytest.approx((16 / 12, 8, 16 / 12))
    assert (second.run, second.ratio) == ("other", 1)
