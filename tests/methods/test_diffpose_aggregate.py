"""How DiffPose's hypotheses become one answer, against loops over joints and hypotheses."""

import math
from dataclasses import replace

import pytest
import torch

from lifting.batch import flip_batch, flip_pose, root_relative
from lifting.geometry.camera import project
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.module import Module
from lifting.methods.settings import ModuleSettings
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.protocol import get_protocol
from lifting.nn.hypotheses import (
    Posterior,
    WeightedKeypoints,
    average,
    by_projection,
    posterior_shares,
    projection_errors,
)
from lifting.skeleton import H36M_17

SMALL = Config(hidden=8, layers=1, hypotheses=4, context_epochs=0)
ANY = Posterior(1.0, 0)


@pytest.fixture
def made():
    """Errors ``(4, 3, 17)`` and hypotheses of three poses."""
    generator = torch.Generator().manual_seed(0)
    hypotheses = torch.randn(4, 3, 17, 3, generator=generator)
    return hypotheses, 10 * torch.rand(4, 3, 17, generator=generator)


# --- rules -----------------------------------------------------------------------------------


def test_best_by_joint_and_by_pose(made):
    hypotheses, errors = made
    weights = torch.rand(3, 17, generator=torch.Generator().manual_seed(1))
    joint = by_projection(hypotheses, "best_joint", errors, weights, ANY)
    pose = by_projection(hypotheses, "best_pose", errors, weights, ANY)
    for i in range(3):
        for j in range(17):
            best = min(range(4), key=lambda h: errors[h, i, j].item())
            assert torch.equal(joint[i, j], hypotheses[best, i, j])
        cost = [
            sum(weights[i, j].item() * errors[h, i, j].item() for j in range(17)) for h in range(4)
        ]
        assert torch.equal(pose[i], hypotheses[cost.index(min(cost)), i])
    assert not torch.equal(joint, pose)
    weights = torch.zeros(3, 17)
    weights[:, 9] = 1
    alone = by_projection(hypotheses, "best_pose", errors, weights, ANY)
    assert torch.equal(alone[:, 9], joint[:, 9])
    assert not torch.equal(alone, pose)


@pytest.mark.parametrize("kept", [0, 1, 2, 4, 9])
def test_posterior_mean(made, kept):
    hypotheses, errors = made
    got = by_projection(hypotheses, "posterior", errors, torch.ones(3, 17), Posterior(0.3, kept))
    for i in range(3):
        for j in range(17):
            order = sorted(range(4), key=lambda h: errors[h, i, j].item())
            chosen = order[: kept or 4]
            weight = {h: math.exp(-0.3 * errors[h, i, j].item()) for h in chosen}
            total = sum(weight.values())
            wanted = sum(weight[h] / total * hypotheses[h, i, j] for h in chosen)
            torch.testing.assert_close(got[i, j], wanted)


def test_limits_of_the_posterior_are_the_mean_and_the_best(made):
    hypotheses, errors = made
    ones = torch.ones(3, 17)
    flat = by_projection(hypotheses, "posterior", errors, ones, Posterior(0.0, 0))
    torch.testing.assert_close(flat, average(hypotheses, "mean"))
    best = by_projection(hypotheses, "best_joint", errors, ones, ANY)
    for sharp in (Posterior(1e4, 0), Posterior(0.1, 1)):
        got = by_projection(hypotheses, "posterior", errors, ones, sharp)
        torch.testing.assert_close(got, best)
    shares = posterior_shares(errors, Posterior(0.5, 2))
    assert ((shares > 0).sum(0) == 2).all()
    torch.testing.assert_close(shares.sum(0), ones)


def test_averages(made):
    hypotheses, _ = made
    assert torch.equal(average(hypotheses[:3], "median"), hypotheses[:3].sort(dim=0).values[1])
    torch.testing.assert_close(average(hypotheses, "mean"), sum(hypotheses) / 4)


# --- projection ------------------------------------------------------------------------------


def evidence_of(batch):
    keypoints = batch.keypoints_2d
    return WeightedKeypoints(
        keypoints, torch.ones_like(keypoints[..., 0]), batch.camera.intrinsics[:, None]
    )


def test_the_true_pose_projects_onto_the_keypoints_wherever_its_root_is(make_batch):
    batch = make_batch()
    truth = root_relative(batch.joints_3d, 0)
    generator = torch.Generator().manual_seed(7)
    hypotheses = truth + 100 * torch.randn(4, 8, 1, 17, 3, generator=generator)
    hypotheses[2] = truth
    errors = projection_errors(hypotheses, evidence_of(batch))
    assert errors.shape == (4, 8, 1, 17)
    assert errors[2].max() < 0.05
    assert errors[[0, 1, 3]].mean() > 5
    for how in ("best_joint", "best_pose"):
        chosen = by_projection(hypotheses, how, errors, torch.ones(8, 1, 17), ANY)
        far = (chosen - truth).norm(dim=-1).mean()
        assert far < (30 if how == "best_joint" else 1e-3)


def test_errors_from_a_known_root(make_batch):
    batch = make_batch()
    truth, root = root_relative(batch.joints_3d, 0), batch.joints_3d[..., 0, :]
    hypotheses = truth + 50 * torch.randn(2, 8, 1, 17, 3)
    errors = projection_errors(hypotheses, evidence_of(batch), root)
    lens = batch.camera.intrinsics[:, None]
    for h in range(2):
        seen = project(hypotheses[h] + root[..., None, :], lens)
        wanted = (seen - batch.keypoints_2d).norm(dim=-1)
        torch.testing.assert_close(errors[h], wanted)
    behind = projection_errors(hypotheses, evidence_of(batch), root - 9000)
    assert behind.isfinite().all()


def test_keypoints_without_weight_do_not_place_the_root(make_batch):
    batch = make_batch()
    truth, evidence = root_relative(batch.joints_3d, 0)[None], evidence_of(batch)
    spoiled = evidence.keypoints.clone()
    spoiled[..., 5, :] += 300
    weights = evidence.weights.clone()
    weights[..., 5] = 0
    errors = projection_errors(truth, evidence._replace(keypoints=spoiled, weights=weights))
    rest = [j for j in range(17) if j != 5]
    assert errors[..., rest].max() < 0.05
    assert errors[..., 5].min() > 290


# --- the module ------------------------------------------------------------------------------


def make_module(flip_test=False, **change):
    torch.manual_seed(0)
    settings = ModuleSettings("diffpose", flip_test=flip_test)
    module = Module(replace(SMALL, **change), settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


@pytest.mark.parametrize("how", ["mean", "median", "best_joint", "best_pose", "posterior"])
def test_predictions_read_no_labels(how, make_batch):
    module, batch = make_module(aggregation=how), make_batch()
    batch.confidence = torch.rand(8, 1, 17)
    other = replace(batch, joints_3d=1e3 * torch.randn_like(batch.joints_3d))
    blind = replace(batch, joints_3d=None)
    with torch.no_grad():
        answers = [module.predict(b) for b in (batch, other, blind)]
    assert torch.equal(answers[0].joints_3d, answers[1].joints_3d)
    assert torch.equal(answers[0].joints_3d, answers[2].joints_3d)
    assert set(answers[0].extras) == {"context"}
    hypotheses = answers[0].hypotheses.transpose(0, 1)
    if how in ("mean", "median"):
        wanted = average(hypotheses, how)
    else:
        evidence = evidence_of(batch)._replace(weights=batch.confidence)
        errors = projection_errors(hypotheses, evidence)
        wanted = by_projection(hypotheses, how, errors, batch.confidence, Posterior(0.5, 0))
    torch.testing.assert_close(answers[0].joints_3d, wanted)


def test_windows_are_aggregated_frame_by_frame(make_batch):
    batch = make_batch(frames=3, targets=3)
    batch.confidence = torch.rand(8, 3, 17)
    config = replace(SMALL, aggregation="best_pose")
    poses = []
    for target in ("all", "middle"):
        torch.manual_seed(0)
        module = Module(config, ModuleSettings("diffpose", frames=3, target=target))
        with torch.no_grad():
            module.network.denoiser.output.weight.add_(0.1)
            poses.append(module.eval().predict(batch).joints_3d)
    torch.testing.assert_close(poses[0][:, 1:2], poses[1])


def test_the_labelled_root_has_its_own_name(make_batch):
    module, batch = make_module(aggregation="best_joint", oracle_root=True), make_batch()
    plain = make_module(aggregation="best_joint")
    moved = replace(batch, joints_3d=batch.joints_3d + torch.tensor([400.0, -300, 700]))
    with torch.no_grad():
        answer, other = module.predict(batch), module.predict(moved)
        assert torch.equal(answer.joints_3d, plain.predict(batch).joints_3d)
    assert set(answer.extras) == {"context", "oracle_root"}
    assert torch.equal(answer.joints_3d, other.joints_3d)
    assert not torch.equal(answer.extras["oracle_root"], other.extras["oracle_root"])
    evidence = evidence_of(batch)
    hypotheses = answer.hypotheses.transpose(0, 1)
    errors = projection_errors(hypotheses, evidence, batch.joints_3d[..., 0, :])
    wanted = by_projection(hypotheses, "best_joint", errors, evidence.weights, ANY)
    torch.testing.assert_close(answer.extras["oracle_root"], wanted)


def test_scores_of_spread_and_oracles_have_names_of_their_own(make_batch):
    module, batch = make_module(aggregation="best_joint", oracle_root=True), make_batch()
    metrics = PoseMetrics(get_protocol("default"), H36M_17, ("walk",))
    with torch.no_grad():
        answer = module.predict(batch)
    metrics.update(answer, batch)
    values = {k: v.item() for k, v in metrics.compute().items()}
    truth = root_relative(batch.joints_3d, 0)

    def error(pose):
        return (pose - truth).norm(dim=-1)

    own = (answer.hypotheses - truth[:, None]).norm(dim=-1)
    wanted = {
        "mpjpe_mm": error(answer.joints_3d).mean(),
        "oracle_root_mpjpe_mm": error(answer.extras["oracle_root"]).mean(),
        "oracle/j_best@H4_mm": own.amin(1).mean(),
        "oracle/p_best@H4_mm": own.mean(-1).amin(1).mean(),
        "p_agg_mpjpe_mm": error(answer.hypotheses.mean(1)).mean(),
    }
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value.item(), rel=1e-4), name
    assert values["oracle/j_best@H4_mm"] < values["oracle/p_best@H4_mm"]
    for name in ("nll", "ece_axis", "ause_mm", "sigma_spearman", "diversity_mm"):
        assert math.isfinite(values[name])


def test_mirrored_input_gives_the_mirrored_evidence(make_batch):
    """With as good as no network between, aggregation is the same on the mirrored side."""
    batch = make_batch()
    truth = root_relative(batch.joints_3d, 0)
    hypotheses = truth + 80 * torch.randn(3, 8, 1, 17, 3)
    turned = flip_batch(batch, H36M_17)
    errors = projection_errors(hypotheses, evidence_of(batch))
    other = projection_errors(flip_pose(hypotheses, H36M_17), evidence_of(turned))
    torch.testing.assert_close(other[..., list(H36M_17.flip_index)], errors, rtol=1e-3, atol=0.05)
    with torch.no_grad():
        answer = make_module(flip_test=True, aggregation="posterior").infer(batch)
    assert answer.joints_3d.isfinite().all()
