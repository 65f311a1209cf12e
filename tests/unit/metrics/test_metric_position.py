import math
import warnings

import pytest
import torch
from torch.testing import assert_close

from lifting.errors import ConfigError, DataError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.metrics.functional import errors, position, structure, temporal, threshold
from lifting.metrics.single import (
    MPJPE,
    MPJVE,
    NMPJPE,
    PAMPJPE,
    Acceleration,
    ActionMPJPE,
    NMPJPEProcrustesScale,
    PerJointMPJPE,
    PooledPosition,
)
from lifting.metrics.single_scores import (
    AUC,
    CPS,
    PCK,
    BoneMAE,
    BoneTemporalStd,
    DHPScores,
    Symmetry,
    ThresholdCounts,
)
from lifting.skeleton import H36M_17

FACTORIES = {
    "mpjpe": MPJPE,
    "mpjpe_frame": lambda: MPJPE(pooling="frame"),
    "pa": PAMPJPE,
    "rigid": lambda: PAMPJPE(scale=False),
    "n": NMPJPE,
    "n_procrustes": NMPJPEProcrustesScale,
    "joints": lambda: PerJointMPJPE(17),
    "pck": lambda: PCK(17),
    "pa_pck": lambda: PCK(17, align="similarity"),
    "auc": lambda: AUC(17),
    "cps": CPS,
    "bones": lambda: BoneMAE(H36M_17),
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(11)


@pytest.fixture
def pair(generator):
    target = 300 * torch.randn(40, 17, 3, generator=generator, dtype=torch.float64)
    predicted = target + 70 * torch.randn(40, 17, 3, generator=generator, dtype=torch.float64)
    return predicted - predicted[:, :1], target - target[:, :1]


@pytest.fixture
def mask(generator):
    return torch.rand(40, 17, generator=generator) > 0.3


@pytest.mark.parametrize("name", FACTORIES)
def test_batches_and_order_do_not_matter(name, pair, mask, generator):
    whole = FACTORIES[name]()
    whole.update(*pair, mask)
    parts = FACTORIES[name]()
    order = torch.randperm(40, generator=generator)
    for index in order.split([1, 6, 13, 20]):
        parts.update(pair[0][index], pair[1][index], mask[index])
    assert_close(parts.compute(), whole.compute(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FACTORIES)
def test_what_stands_behind_the_mask_does_not_leak(name, pair, mask):
    clean = FACTORIES[name]()
    clean.update(*pair, mask)
    predicted, target = pair[0].clone(), pair[1].clone()
    predicted[~mask] = torch.nan
    target[~mask] = torch.inf
    spoilt = FACTORIES[name]()
    spoilt.update(predicted, target, mask)
    assert bool(clean.compute().isfinite().all())
    assert torch.equal(clean.compute(), spoilt.compute())


@pytest.mark.parametrize("name", FACTORIES)
def test_nothing_scored_is_nan_with_a_warning(name, pair):
    metric = FACTORIES[name]()
    metric.update(*pair, torch.zeros(40, 17, dtype=torch.bool))
    with pytest.warns(UserWarning, match="was given no valid sample"):
        value = metric.compute()
    assert bool(value.isnan().all())


@pytest.mark.parametrize("name", FACTORIES)
def test_no_gradient_is_kept(name, pair):
    metric = FACTORIES[name]()
    metric.update(pair[0].clone().requires_grad_(), pair[1])
    assert not metric.compute().requires_grad


def test_scrambled_predictions_score_badly(pair):
    scrambled = pair[0].roll(1, 0)
    for name, better in (("mpjpe", -1), ("pa", -1), ("n", -1), ("pck", 1), ("auc", 1), ("cps", 1)):
        right, wrong = FACTORIES[name](), FACTORIES[name]()
        right.update(*pair)
        wrong.update(scrambled, pair[1])
        assert better * float(right.compute() - wrong.compute()) > 10


def test_hand_made_errors():
    target = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[[3.0, 4, 0], [0, 0, 0]], [[0, 0, 12], [5, 0, 0]]])
    assert float(position.mpjpe(predicted, target)) == (5 + 0 + 12 + 5) / 4
    mask = torch.tensor([[True, False], [True, True]])
    assert float(position.mpjpe(predicted, target, mask)) == (5 + 12 + 5) / 3
    frame = position.mpjpe(predicted, target, mask, pooling="frame")
    assert float(frame) == (5 + (12 + 5) / 2) / 2


def test_every_similarity_is_forgiven_by_pa_and_every_scale_by_n(pair, generator):
    target = pair[1]
    turn = axis_angle_to_matrix(torch.randn(40, 3, generator=generator).double())
    moved = 0.3 * target @ turn.mT + 1000 * torch.rand(40, 1, 3, generator=generator)
    assert float(position.pa_mpjpe(moved, target)) < 1e-9
    assert float(position.pa_mpjpe(moved, target, scale=False)) > 50
    assert float(position.n_mpjpe(5 * target, target)) < 1e-9
    a, b = position.n_mpjpe(pair[0], target), position.n_mpjpe(7 * pair[0], target)
    assert_close(a, b)
    assert float(position.n_mpjpe(-target, target)) < 1e-9
    assert float(position.negative_scale_rate(-target, target)) == 1


def test_alignments_are_ordered(pair):
    squared = {
        kind: float(position.joint_errors(*pair, align=kind).error.square().sum())
        for kind in ("none", "scale", "rigid", "similarity")
    }
    assert squared["similarity"] <= squared["rigid"] <= squared["none"]
    assert squared["similarity"] <= squared["scale"] <= squared["none"]


def test_the_root_counts_unless_excluded(pair):
    with_root, without = MPJPE(), MPJPE(exclude=(0,))
    with_root.update(*pair)
    without.update(*pair)
    assert_close(with_root.compute() * 17 / 16, without.compute())


@pytest.mark.parametrize("kind", ["none", "scale", "rigid", "similarity"])
def test_policies_for_predictions_that_are_not_finite(kind, pair):
    predicted = pair[0].clone()
    predicted[3, 5, 1] = torch.nan
    predicted[4, 6] = -torch.inf
    good = torch.ones(40, 17, dtype=torch.bool)
    good[3, 5] = good[4, 6] = False
    values = {}
    for policy in ("propagate", "skip", "penalise"):
        metric = PooledPosition(kind, nan_policy=policy, cap_mm=500)
        metric.update(predicted, pair[1])
        values[policy] = metric.compute()
        assert int(metric.n_nonfinite) == 2
    assert bool(values["propagate"].isnan())
    expected = errors.pool(position.joint_errors(*pair, good, align=kind))
    assert_close(values["skip"], expected)
    total = 40 * 17
    assert_close(values["penalise"], (expected * (total - 2) + 1000) / total)


def test_a_pose_of_nothing_but_nan_is_not_hidden_by_the_alignment(pair):
    predicted = pair[0].clone()
    predicted[2] = torch.nan
    assert bool(position.pa_mpjpe(predicted, pair[1]).isnan())
    others = torch.arange(40) != 2
    skipped = position.pa_mpjpe(predicted, pair[1], nan_policy="skip")
    assert_close(skipped, position.pa_mpjpe(pair[0][others], pair[1][others]))


def test_poses_with_too_few_joints_are_left_out_and_counted(pair):
    mask = torch.ones(40, 17, dtype=torch.bool)
    mask[0, 2:] = False
    mask[1] = False
    metric = PAMPJPE()
    metric.update(*pair, mask)
    assert int(metric.n_excluded) == 1
    assert_close(metric.compute(), position.pa_mpjpe(pair[0][2:], pair[1][2:]))


def test_precision_survives_half_a_million_poses_in_float32():
    target = torch.zeros(5000, 17, 3)
    predicted = torch.full_like(target, 0.1) + torch.tensor([1e3, 0, 0])
    metric = MPJPE()
    for _ in range(20):
        metric.update(predicted, target)
    expected = math.sqrt(float(predicted[0, 0].double().square().sum()))
    assert abs(float(metric.compute()) - expected) < 1e-9


def test_thresholds_are_strict_and_perfection_misses_the_zero_threshold():
    target = torch.zeros(1, 2, 3)
    predicted = torch.tensor([[[150.0, 0, 0], [149.9, 0, 0]]])
    assert float(threshold.pck(predicted, target)) == 50
    assert abs(float(threshold.auc(target, target)) - 3000 / 31) < 1e-9
    assert float(threshold.auc(target, target, endpoint="exclude0")) == 100
    assert float(threshold.auc(predicted / 1000, target)) == pytest.approx(3000 / 31)


def test_counts_agree_with_comparing_at_every_threshold(pair, mask):
    found = position.joint_errors(*pair, mask)
    metric = ThresholdCounts(17)
    metric.update(*pair, mask)
    expected = [
        100 * ((found.error < t) & found.valid).sum() / found.valid.sum()
        for t in metric.thresholds
    ]
    assert_close(metric.compute(), torch.stack(expected).double(), rtol=1e-6, atol=0)
    with pytest.raises(ConfigError, match="expected ascending thresholds in mm"):
        threshold.threshold_histogram(found, (5.0, 1.0))


def test_a_prediction_that_is_not_finite_misses(pair):
    predicted = pair[1].clone()
    predicted[:20] = torch.nan
    assert float(threshold.pck(predicted, pair[1])) == 50
    assert float(threshold.cps(predicted, pair[1])) == 150
    skipping = PCK(17, nan_policy="skip")
    skipping.update(predicted, pair[1])
    assert float(skipping.compute()) == 100


def test_groups_weigh_joints_alike():
    target = torch.zeros(10, 17, 3)
    predicted = torch.full_like(target, 500.0)
    predicted[:, 0] = 1.0
    metric = DHPScores()
    metric.update(predicted, target)
    scores = metric.compute()
    assert scores["pck/Head"] == 100
    assert scores["pck/Neck"] == 0
    assert scores["pck/total"] == pytest.approx(100 / 14)


def test_action_mean_is_unweighted_and_missing_actions_are_left_out(pair):
    action = torch.zeros(40, dtype=torch.int64)
    action[:4] = 1
    predicted = pair[1].clone()
    predicted[4:, :, 0] += 10
    predicted[:4, :, 0] += 50
    metric = ActionMPJPE(["Sitting", "SittingDown", "Walking"])
    metric.update(predicted, pair[1], action)
    scores = metric.compute()
    assert float(scores["action_mean"]) == pytest.approx(30)
    assert float(scores["frame_mean"]) == pytest.approx((36 * 10 + 4 * 50) / 40)
    assert int(scores["n_actions"]) == 2
    assert bool(scores["action/Walking"].isnan())


def test_errors_by_joint_and_axis(pair):
    metric = PerJointMPJPE(17)
    shifted = pair[1].clone()
    shifted[:, 3, 1] -= 8
    metric.update(shifted, pair[1])
    assert float(metric.compute()[3]) == pytest.approx(8)
    assert float(metric.axes()[3, 1]) == pytest.approx(8)
    assert float(metric.compute().sum() + metric.axes().sum()) == pytest.approx(16)


def test_velocity_within_sequences_only(pair):
    predicted, target = pair[0], pair[1]
    sequence = torch.tensor([0] * 15 + [1] * 24 + [2])
    found = temporal.mpjve(predicted, target, sequence=sequence)
    metric = MPJVE()
    for part in (slice(0, 15), slice(15, 39), slice(39, 40)):
        metric.update(predicted[part], target[part])
    assert_close(metric.compute(), found)
    assert abs(float(found - temporal.mpjve(predicted, target))) > 1e-3
    second = temporal.acceleration_error(predicted, target, sequence=sequence)
    accelerations = Acceleration()
    for part in (slice(0, 15), slice(15, 39), slice(39, 40)):
        accelerations.update(predicted[part], target[part])
    assert_close(accelerations.compute(), second)


def test_a_difference_needs_all_its_frames(pair):
    mask = torch.ones(40, 17, dtype=torch.bool)
    mask[10, 4] = False
    found = temporal.difference_errors(*pair, mask, order=2)
    gone = (~found.valid).nonzero().tolist()
    assert gone == [[8, 4], [9, 4], [10, 4]]
    predicted = pair[0].clone()
    predicted[10, 4] = torch.nan
    assert bool(temporal.mpjve(predicted, pair[1]).isnan())
    assert_close(temporal.mpjve(predicted, pair[1], mask), temporal.mpjve(*pair, mask))


def test_single_frames_have_no_velocity(pair):
    metric = MPJVE()
    metric.update(pair[0][:1], pair[1][:1])
    with pytest.warns(UserWarning, match="MPJVE was given no valid sample"):
        assert bool(metric.compute().isnan())
    metric.update(pair[0][:2], pair[1][:2])
    assert_close(metric.compute(), temporal.mpjve(pair[0][:2], pair[1][:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bool(temporal.acceleration_error(pair[0][:2], pair[1][:2]).isnan())


def test_bones_ignore_motion_and_symmetry_sees_one_long_leg(pair, generator):
    predicted, target = pair
    turn = axis_angle_to_matrix(torch.randn(3, generator=generator).double())
    assert float(structure.bone_mae(target @ turn.T + 5, target, H36M_17)) < 1e-9
    assert float(structure.bone_mae(1.1 * target, target, H36M_17, relative=True)) == (
        pytest.approx(0.1)
    )
    even = torch.zeros(1, 17, 3, dtype=torch.float64)
    even[0, 3, 1] = 60
    metric = Symmetry(H36M_17)
    metric.update(even)
    assert float(metric.compute()) == pytest.approx(10)
    steady = BoneTemporalStd(H36M_17, sequences=3)
    sequence = torch.tensor([0] * 25 + [2] * 15)
    steady.update(predicted, sequence)
    parts = [structure.bone_temporal_std(p, H36M_17) for p in predicted.split([25, 15])]
    assert_close(steady.compute(), torch.stack(parts).mean())


def test_errors_say_what_to_do(pair):
    with pytest.raises(ConfigError, match=r"unknown nan_policy 'drop'; .*known: penalise"):
        MPJPE(nan_policy="drop")
    with pytest.raises(ConfigError, match="unknown weight 'frame'; did you mean 'frames'"):
        MPJVE(weight="frame")
    with pytest.raises(ConfigError, match="expected an order of at least 1, got 0"):
        temporal.difference_errors(*pair, order=0)
    with pytest.raises(ShapeError, match=r"expected target of shape \(40 17 3\)"):
        position.mpjpe(pair[0], pair[1][:3])
    target = pair[1].clone()
    target[0, 0] = torch.nan
    with pytest.raises(DataError, match="expected finite labels where the mask is True, got 1"):
        position.mpjpe(pair[0], target)


@pytest.mark.gpu
@pytest.mark.parametrize("name", FACTORIES)
def test_processor_and_gpu_agree(name, pair, mask):
    here, there = FACTORIES[name](), FACTORIES[name]().cuda()
    here.update(*pair, mask)
    there.update(*(t.cuda() for t in (*pair, mask)))
    assert_close(there.compute().cpu(), here.compute(), rtol=1e-9, atol=1e-9)


def test_pckh_counts_joints_within_half_a_head_of_the_picture():
    target = torch.tensor([[[0.0, 0], [0, 20], [50, 50], [80, 80]]]).repeat(3, 1, 1)
    moved = torch.tensor([[0.0, 0], [0, 0], [6, 8], [8, 8]])  # the head is 20 pixels long
    predicted = target + torch.stack((torch.zeros(4, 2), moved, moved * math.nan))
    assert threshold.pckh(predicted, target, (0, 1)).tolist() == [100, 75, 0]
    mask = torch.tensor([[True] * 4, [False, False, True, True], [False] * 4])
    found = threshold.pckh(predicted, target, (0, 1), mask)
    assert found[:2].tolist() == [100, 50]
    assert found[2].isnan()
    # As large in a picture of another size.
    assert threshold.pckh(3 * predicted[:2], 3 * target[:2], (0, 1)).tolist() == [100, 75]
    with pytest.raises(ShapeError, match="expected"):
        threshold.pckh(predicted[:, :3], target, (0, 1))
