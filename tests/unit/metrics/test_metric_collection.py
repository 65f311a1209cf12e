import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from lifting.batch import PoseBatch, Prediction
from lifting.errors import ConfigError, DataError, ShapeError
from lifting.geometry.camera import Camera
from lifting.metrics.clusters import fit_pss
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.functional import calibration, hypotheses, position, ranking, structure
from lifting.metrics.functional import threshold as thresholds
from lifting.metrics.protocol import Protocol, get_protocol
from lifting.skeleton import H36M_17, HUMANEVA_15, MPI_INF_3DHP_17

ACTIONS = ("Walking", "Eating", "Walking", "SittingDown")


def sample(count=24, frames=2, *, number=0, sigma=False, extra=False, seed=0, skeleton=H36M_17):
    """A prediction and its batch."""
    generator = torch.Generator().manual_seed(seed)
    joints = len(skeleton)
    labels = 250 * torch.randn(count, frames, joints, 3, generator=generator)
    labels[..., 2] += 4000
    root = skeleton.root
    target = labels - labels[:, :, root : root + 1]
    predicted = target + 60 * torch.randn(target.shape, generator=generator)
    predicted[:, :, root] = 0
    batch = PoseBatch(
        skeleton=skeleton,
        keypoints_2d=torch.zeros(count, frames, joints, 2),
        camera=Camera(intrinsics=torch.zeros(count, 9), size=torch.zeros(count, 2)),
        joints_3d=labels,
        visible=torch.rand(count, frames, joints, generator=generator) > 0.2,
        action=torch.randint(0, 3, (count,), generator=generator),
    )
    several = None
    if number:
        noise = torch.randn(count, number, frames, joints, 3, generator=generator)
        several = predicted[:, None] + 30 * noise
    prediction = Prediction(
        skeleton=skeleton,
        joints_3d=predicted,
        sigma=5 + 90 * torch.rand(count, frames, joints, generator=generator) if sigma else None,
        hypotheses=several,
        extras={"context": 1.2 * predicted} if extra else {},
    )
    return prediction, batch, target


def scored(*samples, protocol="default", **options):
    metrics = PoseMetrics(get_protocol(protocol), H36M_17, ACTIONS, **options)
    for prediction, batch, *_ in samples:
        metrics.update(prediction, batch)
    return metrics


def part(prediction, batch, index):
    """Some samples of a prediction and its batch."""

    def pick(value):
        return None if value is None else value[index]

    return (
        Prediction(
            skeleton=H36M_17,
            joints_3d=prediction.joints_3d[index],
            sigma=pick(prediction.sigma),
            hypotheses=pick(prediction.hypotheses),
            extras={k: v[index] for k, v in prediction.extras.items()},
        ),
        PoseBatch(
            skeleton=H36M_17,
            keypoints_2d=batch.keypoints_2d[index],
            camera=Camera(
                intrinsics=batch.camera.intrinsics[index], size=batch.camera.size[index]
            ),
            joints_3d=batch.joints_3d[index],
            visible=pick(batch.visible),
            action=pick(batch.action),
        ),
    )


def test_scores_are_those_of_the_pure_functions():
    prediction, batch, target = sample()
    values = scored((prediction, batch)).compute()
    pair = (prediction.joints_3d, target, batch.visible)
    assert_close(values["mpjpe_mm"], position.mpjpe(*pair))
    assert_close(values["pa_mpjpe_mm"], position.pa_mpjpe(*pair))
    assert_close(values["n_mpjpe_mm"], position.n_mpjpe(*pair))
    assert_close(values["pck_150mm"], thresholds.pck(*pair))
    assert_close(values["auc"], thresholds.auc(*pair))
    assert_close(values["pa_pck_150mm"], thresholds.pck(*pair, align="similarity"))
    assert_close(values["cps"], thresholds.cps(*pair))
    bones = structure.bone_mae(prediction.joints_3d, target, H36M_17, batch.visible)
    assert_close(values["bone_mae_mm"], bones)
    even = structure.symmetry(prediction.joints_3d, H36M_17, batch.visible)
    assert_close(values["symmetry_mm"], even)
    assert float(values["n_poses"]) == 48
    assert all(isinstance(v, Tensor) and v.ndim == 0 for v in values.values())


def test_equal_names_are_one_action_and_actions_average_unweighted():
    prediction, batch, target = sample()
    metrics = scored((prediction, batch))
    values = metrics.compute()
    by_action = {}
    for name, indices in (("Walking", (0, 2)), ("Eating", (1,))):
        chosen = torch.isin(batch.action, torch.tensor(indices))
        pair = (prediction.joints_3d[chosen], target[chosen], batch.visible[chosen])
        by_action[name] = position.mpjpe(*pair)
        assert_close(values[f"mpjpe_mm/{name}"], by_action[name])
        assert metrics.per_action()[name]["pa_mpjpe_mm"] == pytest.approx(
            float(position.pa_mpjpe(*pair))
        )
        assert metrics.per_action()[name]["auc"] == pytest.approx(float(thresholds.auc(*pair)))
    assert_close(values["mpjpe_action_mm"], torch.stack(list(by_action.values())).mean())
    assert float(values["n_actions"]) == 2
    assert set(metrics.per_action()) == {"Walking", "Eating"}


def test_names_that_differ_behind_a_digit_or_read_like_a_key_are_scored_apart():
    prediction, batch, target = sample(count=32)
    names = (
        "turn 90 left",
        "turn 180 right",
        "test",
        "val",
        "train",
        "oracle",
        "a/b",
        "joint/hip",
    )
    batch.action = torch.arange(32) % len(names)
    metrics = PoseMetrics(get_protocol("default"), H36M_17, names)
    metrics.update(prediction, batch)
    values = metrics.compute()
    expected = []
    for index, name in enumerate(names):
        rows = batch.action == index
        expected.append(
            position.mpjpe(prediction.joints_3d[rows], target[rows], batch.visible[rows])
        )
        assert metrics.per_action()[name]["mpjpe_mm"] == pytest.approx(float(expected[-1]))
        key = "action/joint/hip" if name == "joint/hip" else name
        assert_close(values[f"mpjpe_mm/{key}"], expected[-1])
    assert_close(values["mpjpe_action_mm"], torch.stack(expected).mean())
    assert float(values["mpjpe_mm/joint/hip"]) == 0
    assert "n_actions" not in values


def test_joints_are_named():
    prediction, batch, target = sample()
    metrics = scored((prediction, batch))
    wrist = H36M_17.index("left_wrist")
    error = (prediction.joints_3d - target).norm(dim=-1)[..., wrist]
    expected = float(error[batch.visible[..., wrist]].double().mean())
    assert metrics.per_joint()["left_wrist"] == pytest.approx(expected, rel=1e-6)
    found = metrics.compute()["mpjpe_mm/joint/left_wrist"]
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert metrics.per_joint()["hip"] == 0


def test_batches_and_order_do_not_matter():
    prediction, batch, _ = sample(number=4, sigma=True, extra=True)
    whole = scored((prediction, batch)).compute()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(3))
    parts = scored(*(part(prediction, batch, i) for i in order.split([1, 9, 14]))).compute()
    assert set(whole) == set(parts)
    for key, value in whole.items():
        assert_close(parts[key], value, rtol=1e-9, atol=1e-9, msg=key)


def test_further_answers_are_scored_beside_the_main_one():
    prediction, batch, target = sample(extra=True)
    values = scored((prediction, batch)).compute()
    context = prediction.extras["context"]
    expected = position.mpjpe(context, target, batch.visible)
    assert_close(values["context_mpjpe_mm"], expected)
    expected = position.pa_mpjpe(context, target, batch.visible)
    assert_close(values["context_pa_mpjpe_mm"], expected)


def test_hypotheses_are_scored_with_their_number_in_the_key():
    prediction, batch, target = sample(number=4)
    values = scored((prediction, batch)).compute()
    errors = hypotheses.hypothesis_errors(prediction.hypotheses, target, batch.visible)
    assert_close(values["oracle/p_best@H4_mm"], hypotheses.p_best(errors))
    assert_close(values["oracle/j_best@H4_mm"], hypotheses.j_best(errors))
    spread = hypotheses.diversity(prediction.hypotheses, batch.visible)
    assert_close(values["diversity_mm"], spread.pairwise)
    mean = hypotheses.p_agg(prediction.hypotheses, target, batch.visible)
    assert_close(values["p_agg_mpjpe_mm"], mean)
    prediction.joints_3d = prediction.hypotheses.double().mean(1).float()
    assert "p_agg_mpjpe_mm" not in scored((prediction, batch)).compute()


def test_sigma_is_scored_without_the_root():
    prediction, batch, target = sample(count=200, sigma=True)
    values = scored((prediction, batch)).compute()
    joints = batch.visible.clone()
    joints[..., 0] = False
    mean, sigma, label = prediction.joints_3d[joints], prediction.sigma[joints], target[joints]
    assert_close(values["nll"], calibration.gaussian_nll(mean, sigma, label).mean())
    coverage = calibration.coverage_histogram(mean, sigma, label)
    assert_close(values["ece_axis"], calibration.calibration_error(coverage).ece)
    error = (mean.double() - label.double()).norm(dim=-1)
    exact = ranking.sparsification(sigma, error)
    assert_close(values["ause_mm"], exact.ause_mm, rtol=1e-3, atol=0)
    correlation = ranking.spearman(sigma, error)
    assert_close(values["sigma_spearman"], correlation, rtol=0, atol=2e-3)
    without = scored(sample(count=3)).compute()
    assert not {"nll", "ece_axis", "ause_mm", "sigma_spearman"} & set(without)


def test_clusters_add_the_structure_score():
    prediction, batch, target = sample()
    batch.visible = None
    poses = target.flatten(0, 1)
    clusters = fit_pss(poses, 5, joint_names=H36M_17.joints, root="hip", n_init=1)
    values = scored((prediction, batch), clusters=[clusters]).compute()
    predicted = prediction.joints_3d.flatten(0, 1)
    hits = structure.structure_matches(predicted, poses, clusters.centers)
    assert float(values["pss_5"]) == pytest.approx(100 * float(hits.double().mean()))
    with pytest.raises(ConfigError, match="joints of the clusters"):
        PoseMetrics(get_protocol("default"), MPI_INF_3DHP_17, (), [clusters])


@pytest.mark.parametrize("name", ["3dpw", "3doh50k"])
def test_joint_subsets_of_smpl_protocols(name):
    prediction, batch, target = sample()
    values = scored((prediction, batch), protocol=name).compute()
    keep = [j for j in range(17) if j not in (0, 7, 9)]
    pair = (prediction.joints_3d[..., keep, :], target[..., keep, :], batch.visible[..., keep])
    assert_close(values["mpjpe_mm"], position.mpjpe(*pair))
    assert_close(values["pa_mpjpe_mm"], position.pa_mpjpe(*pair))
    assert "mpjpe_mm/joint/hip" not in values


def test_joint_subsets_of_protocols():
    prediction, batch, target = sample()
    keep = [j for j in range(17) if j not in (0, 7, 9)]
    pair = (prediction.joints_3d[..., keep, :], target[..., keep, :], batch.visible[..., keep])
    values = scored((prediction, batch), protocol="3dhp").compute()
    assert_close(values["pck_150mm"], thresholds.pck(*pair))
    whole = (prediction.joints_3d, target, batch.visible)
    assert_close(values["mpjpe_mm"], position.mpjpe(*whole))
    aligned = position.joint_errors(*whole, align="similarity")
    counts = thresholds.threshold_histogram(aligned, (150.0,))[keep].sum(0)
    assert_close(values["pa_pck_150mm"], thresholds.percentage_below(counts)[0])


def test_mean_over_frames_where_a_protocol_asks_for_it():
    prediction, batch, target = sample()
    protocol = Protocol(id="made up", skeleton="h36m17", root="hip", pooling="frame")
    metrics = PoseMetrics(protocol, H36M_17, ACTIONS)
    metrics.update(prediction, batch)
    pair = (prediction.joints_3d, target, batch.visible)
    assert_close(metrics.compute()["mpjpe_mm"], position.mpjpe(*pair, pooling="frame"))


def test_views_and_missing_actions():
    prediction, batch, target = sample(count=12, frames=2)
    plain = scored((prediction, batch)).compute()
    views = Prediction(skeleton=H36M_17, joints_3d=prediction.joints_3d.reshape(6, 2, 2, 17, 3))
    batch.joints_3d = batch.joints_3d.reshape(6, 2, 2, 17, 3)
    batch.visible = batch.visible.reshape(6, 2, 2, 17)
    batch.action = None
    found = scored((views, batch)).compute()
    assert_close(found["mpjpe_mm"], plain["mpjpe_mm"])
    assert "mpjpe_action_mm" not in found
    batch.action = torch.tensor([0, 0, 0, 1, 1, 1])
    found = scored((views, batch)).compute()
    pair = (prediction.joints_3d[6:], target[6:], batch.visible.reshape(12, 2, 17)[6:])
    assert_close(found["mpjpe_mm/Eating"], position.mpjpe(*pair))


def test_other_skeletons():
    for skeleton, protocol in ((MPI_INF_3DHP_17, "3dhp"), (HUMANEVA_15, "humaneva"),
                               (HUMANEVA_15, "default")):  # fmt: skip
        prediction, batch, target = sample(skeleton=skeleton)
        metrics = PoseMetrics(get_protocol(protocol), skeleton, ACTIONS)
        metrics.update(prediction, batch)
        expected = position.mpjpe(prediction.joints_3d, target, batch.visible)
        assert_close(metrics.compute()["mpjpe_mm"], expected)


def test_a_prediction_that_is_not_finite_shows():
    prediction, batch, _ = sample()
    batch.visible = None
    prediction.joints_3d[3, 1, 4] = torch.nan
    values = scored((prediction, batch)).compute()
    assert float(values["n_nonfinite"]) == 1
    for key in ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm", "mpjpe_action_mm", "pck_150mm", "auc",
                "cps", "bone_mae_mm"):  # fmt: skip
        assert bool(values[key].isnan()), key
    assert bool(values["mpjpe_mm/joint/hip"].isfinite())


def test_masked_values_do_not_leak():
    prediction, batch, _ = sample(number=3, sigma=True, extra=True)
    clean = scored((prediction, batch)).compute()
    hidden = ~batch.visible
    hidden[..., 0] = False
    prediction.joints_3d[hidden] = torch.nan
    prediction.extras["context"][hidden] = torch.nan
    prediction.sigma[hidden] = torch.nan
    prediction.hypotheses[hidden[:, None].expand(prediction.hypotheses.shape[:-1])] = torch.nan
    batch.joints_3d[hidden] = torch.inf
    values = scored((prediction, batch)).compute()
    for key, value in clean.items():
        assert_close(values[key], value, msg=key)


def test_nothing_scored_is_nan_with_a_warning_and_reset_forgets():
    metrics = scored()
    with pytest.warns(UserWarning, match="no pose was scored"):
        assert bool(metrics.compute()["mpjpe_mm"].isnan())
    assert metrics.per_joint() == {}
    assert metrics.per_action() == {}
    first = sample()
    metrics.update(*first[:2])
    once = metrics.compute()
    assert metrics.per_joint()
    metrics.reset()
    metrics.to("cpu").update(*first[:2])
    assert_close(metrics.compute()["mpjpe_mm"], once["mpjpe_mm"], rtol=0, atol=0)
    metrics.update(*sample(seed=1)[:2])
    assert metrics.per_joint()["neck"] != pytest.approx(float(once["mpjpe_mm/joint/neck"]))


def test_sums_cross_inference_mode():
    prediction, batch, _ = sample(number=3, sigma=True, extra=True)
    expected = scored((prediction, batch), (prediction, batch)).compute()
    metrics = scored()
    with torch.inference_mode():
        metrics.update(prediction, batch)
    metrics.update(prediction, batch)
    for key, value in metrics.compute().items():
        assert_close(value, expected[key], msg=key)


def test_errors_say_what_to_do():
    prediction, batch, _ = sample()
    metrics = scored()
    short = Prediction(skeleton=H36M_17, joints_3d=prediction.joints_3d[:, :1])
    with pytest.raises(ShapeError, match="expected target of shape"):
        metrics.update(short, batch)
    several = Prediction(
        skeleton=H36M_17, joints_3d=prediction.joints_3d, hypotheses=torch.zeros(3, 2, 2, 17, 3)
    )
    with pytest.raises(ShapeError, match=r"expected hypotheses of shape .* batch=24"):
        metrics.update(several, batch)
    bad = scored()
    batch.joints_3d[0, 0, 3] = torch.nan
    batch.visible[0, 0, 3] = True
    bad.update(prediction, batch)
    with pytest.raises(DataError, match="expected finite labels where they count as visible"):
        bad.compute()
    batch.joints_3d = None
    with pytest.raises(DataError, match="expected 3D labels in the batch to score, got none"):
        metrics.update(prediction, batch)


@pytest.mark.gpu
def test_processor_and_gpu_agree_and_update_does_not_wait():
    prediction, batch, _ = sample(number=3, sigma=True, extra=True)
    here = scored((prediction, batch)).compute()
    there = PoseMetrics(get_protocol("default"), H36M_17, ACTIONS).to("cuda")
    prediction.joints_3d = prediction.joints_3d.cuda()
    prediction.sigma, prediction.hypotheses = prediction.sigma.cuda(), prediction.hypotheses.cuda()
    prediction.extras = {k: v.cuda() for k, v in prediction.extras.items()}
    batch.joints_3d, batch.visible = batch.joints_3d.cuda(), batch.visible.cuda()
    batch.action = batch.action.cuda()
    there.update(prediction, batch)
    there.reset()
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.update(prediction, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for key, value in there.compute().items():
        assert_close(value.cpu(), here[key], rtol=1e-9, atol=1e-9, msg=key)
