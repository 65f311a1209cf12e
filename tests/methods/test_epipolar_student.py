"""The student of triangulated labels: its losses, its switches, and the guard against collapse."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from lifting.batch import LABEL_WEIGHT, PoseBatch, Prediction
from lifting.cli.main import main
from lifting.errors import CollapseError, ConfigError, DataError
from lifting.experiment.build import make_module
from lifting.experiment.load import method_config
from lifting.experiment.without_truth import CollapseGuard
from lifting.geometry.camera import Camera, project
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.epipolar_student.config import Config
from lifting.methods.epipolar_student.losses import (
    best_rotation,
    best_scale,
    bone_change_loss,
    cross_view_loss,
    label_loss,
    reprojection_loss,
    symmetry_loss,
    velocity_loss,
)
from lifting.methods.epipolar_student.student import fold_views
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17

SETTINGS = ModuleSettings("epipolar_student")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = {"name": "simple_baseline", "channels": 64, "dropout": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def poses(*shape, seed=0):
    """Root-relative poses, metres."""
    pose = 0.3 * torch.randn(*shape, 17, 3, generator=generator(seed))
    return pose - pose[..., :1, :]


def rotations(*shape, seed=1):
    return axis_angle_to_matrix(torch.randn(*shape, 3, generator=generator(seed)))


def views_batch(instants=6, views=3):
    """People seen by several cameras at once, labelled in the frame of each."""
    world = 1000 * poses(instants)
    turn = rotations(views)
    joints = torch.einsum("vij,bkj->bvki", turn, world) + torch.tensor([0.0, 0, 5000])
    lens = torch.tensor([1100.0, 1100, 500, 500, 0, 0, 0, 0, 0]).expand(instants, views, 9)
    camera = Camera(
        intrinsics=lens,
        size=torch.full((instants, views, 2), 1000.0),
        rotation=turn.expand(instants, views, 3, 3),
        position=-torch.einsum("vji,j->vi", turn, torch.tensor([0.0, 0, 5000])).expand(
            instants, views, 3
        ),
    )
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(joints, lens)[:, :, None],
        joints_3d=joints[:, :, None],
        confidence=torch.ones(instants, views, 1, 17),
        subject=torch.arange(instants),
        camera=camera,
    )


def make(**switches):
    torch.manual_seed(0)
    return make_module(Config(base=SMALL, **switches), SETTINGS)


def test_label_loss_is_the_published_one_below_its_threshold():
    predicted, target = 0.1 * poses(4, 1), 0.1 * poses(4, 1, seed=1)
    weights = torch.rand(4, 1, 17, generator=generator())
    squared = 0.5 * (predicted - target).square().sum(-1)
    wanted = (weights * squared).sum() / weights.sum()
    torch.testing.assert_close(label_loss(predicted, target, weights), wanted)
    far = label_loss(predicted, target + 100, weights, "distance")
    assert 150 < far < 200
    hidden = target.clone()
    hidden[..., 3, :] = torch.nan
    weights[..., 3] = 0
    assert label_loss(predicted, hidden, weights).isfinite()
    assert label_loss(predicted, target, torch.zeros_like(weights)) == 0


def test_best_scale_makes_a_scaled_pose_equal_and_may_be_held_fixed():
    target, weights = poses(5, 2), torch.rand(5, 2, 17, generator=generator())
    small = (0.3 * target).requires_grad_()
    scale = best_scale(small, target, weights)
    torch.testing.assert_close(scale.flatten(), torch.full((5,), 1 / 0.3))
    assert scale.requires_grad
    assert not best_scale(small, target, weights, gradient=False).requires_grad
    assert (best_scale(0 * target, target, weights) == 1).all()


def test_cross_view_loss_vanishes_for_one_pose_in_several_frames():
    world, turn = poses(4, 1), rotations(4, 3)
    seen = torch.einsum("bvij,btkj->bvtki", turn, world)
    weights = torch.ones(seen.shape[:-1])
    assert cross_view_loss(seen, weights, turn) < 1e-6
    assert cross_view_loss(seen, weights, None) < 1e-5
    wrong = torch.eye(3).expand(4, 3, 3, 3)
    assert cross_view_loss(seen, weights, wrong) > 0.1
    # A rotation explains no mirror image.
    mirrored = seen * torch.tensor([-1.0, 1, 1])
    mixed = torch.stack((seen[:, 0], mirrored[:, 1]), dim=1)
    assert cross_view_loss(mixed, weights[:, :2], None) > 0.05


def test_best_rotation_finds_the_rotation_and_has_its_gradient():
    first, turn = poses(3, 1), rotations(3)
    second = torch.einsum("bij,btkj->btki", turn, first)
    found = best_rotation(first, second, torch.ones(3, 1, 17))
    torch.testing.assert_close(found, turn, atol=1e-4, rtol=0)
    pair = (first[:1].double().requires_grad_(), poses(1, 1, seed=5).double().requires_grad_())
    ones = torch.ones(1, 1, 17, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: best_rotation(a, b, ones).diagonal(), pair)


def test_reprojection_loss_knows_shape_but_not_scale():
    batch = fold_views(views_batch()).batch
    pose = (batch.joints_3d - batch.joints_3d[..., :1, :]) / 1000
    seen = (batch.keypoints_2d, batch.confidence, batch.camera)
    assert reprojection_loss(pose, *seen) < 1e-3
    assert reprojection_loss(2 * pose, *seen) < 1e-3
    assert reprojection_loss(pose.flip(-2), *seen) > 0.05
    other = poses(*pose.shape[:2], seed=3).requires_grad_()
    reprojection_loss(other, *seen).backward()
    assert other.grad.isfinite().all()


def test_losses_of_the_body_and_of_time():
    still = poses(2, 1).expand(-1, 4, -1, -1)
    assert bone_change_loss(still, H36M_17) < 1e-7
    grown = still * torch.tensor([1.0, 1.1, 1.0, 1.1]).view(1, 4, 1, 1)
    assert bone_change_loss(grown, H36M_17) > 0.01
    mirror = still[..., list(H36M_17.flip_index), :] * torch.tensor([-1.0, 1, 1])
    both = (still + mirror) / 2
    assert symmetry_loss(both, H36M_17) < 1e-6
    assert symmetry_loss(still, H36M_17) > 0.01
    weights = torch.ones(2, 4, 17)
    assert velocity_loss(still + 1, still, weights) < 1e-6
    assert velocity_loss(grown, still, weights) > 0.01


def test_student_learns_the_labels_of_several_views_with_every_loss():
    module = make(cross_view=0.1, reprojection=0.1, bones=0.1, symmetry=0.1, loss="distance")
    batch = views_batch()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    labels = []
    for _ in range(80):
        optimizer.zero_grad()
        losses = module.lifting.losses(batch)
        assert set(losses) == {"label", "cross_view", "reprojection", "bones", "symmetry"}
        torch.stack(tuple(losses.values())).sum().backward()
        optimizer.step()
        labels.append(float(losses["label"].detach()))
    assert labels[-1] < 0.6 * labels[0]


def test_weights_of_labels_decide_what_is_learnt():
    module, batch = make(), fold_views(views_batch()).batch
    spoilt = replace(batch, joints_3d=batch.joints_3d.clone())
    spoilt.joints_3d[..., 5, :] += 9000
    weight = torch.ones(len(batch), 1, 17)
    weight[..., 5] = 0
    extras = {LABEL_WEIGHT: weight}
    plain, changed = (
        module.lifting.losses(replace(b, extras=extras))["label"] for b in (batch, spoilt)
    )
    torch.testing.assert_close(plain, changed)
    assert module.lifting.losses(spoilt)["label"] > 2 * plain


@pytest.mark.parametrize(("scale", "least", "most"), [("free", 0, 1e-6), ("metric", 0.01, 1)])
def test_a_free_scale_ignores_the_scale_of_the_labels(scale, least, most, monkeypatch):
    module, batch = make(scale=scale).eval(), fold_views(views_batch()).batch
    small = 0.4 * (batch.joints_3d - batch.joints_3d[..., :1, :])
    monkeypatch.setattr(
        module.lifting.lifter, "predict", lambda b: Prediction(skeleton=H36M_17, joints_3d=small)
    )
    assert least <= float(module.lifting.losses(batch)["label"]) <= most


def test_views_of_a_step_are_drawn_and_folded():
    batch = views_batch(instants=5, views=4)
    folded = fold_views(batch, torch.tensor([2, 0]))
    assert folded.number == 2
    assert torch.equal(folded.batch.keypoints_2d[1], batch.keypoints_2d[0, 0])
    assert torch.equal(folded.batch.camera.rotation[2], batch.camera.rotation[1, 2])
    assert folded.batch.subject.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert fold_views(folded.batch).number == 1
    module = make(views=2, cross_view=1.0)
    assert module.lifting.losses(batch)["cross_view"].isfinite()


def test_a_loss_says_what_it_needs():
    single = fold_views(views_batch()).batch
    for name, needed in (
        ("cross_view", "data.views together"), ("bones", "data.target all, or data.views"),
        ("velocity", "data.target all and data.frames above 1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"expected {needed}.* method.{name}"):
            make(**{name: 1.0}).lifting.losses(single)
    batch = views_batch()
    batch.camera.rotation = batch.camera.position = None
    with pytest.raises(DataError, match="set it to procrustes"):
        make(cross_view=1.0).lifting.losses(batch)
    with pytest.raises(DataError, match="expected labels in the batch"):
        make().lifting.losses(replace(single, joints_3d=None))


def test_mistakes_of_the_switches():
    with pytest.raises(ConfigError, match="the training collapses"):
        Config(label=0, cross_view=1.0)
    with pytest.raises(ConfigError, match=r"symmetry to be not negative, got -1"):
        Config(symmetry=-1)
    with pytest.raises(ConfigError, match="unknown method 'simple_basline'"):
        method_config({"name": "epipolar_student", "base": {"name": "simple_basline"}})
    base = {"name": "simple_baseline", "chanels": 3}
    with pytest.raises(ConfigError, match=r"unknown key 'method\.base\.chanels'; .*channels"):
        method_config({"name": "epipolar_student", "base": base})
    with pytest.raises(ConfigError, match=r"expected method\.base to be a method section"):
        Config(base={"channels": 3})
    for old in ("form", "keypoint"):
        with pytest.raises(ConfigError, match=rf"expected no method\.{old}, .*name=refinement"):
            Config.successor({"name": "epipolar_student", old: "over"})
    with pytest.raises(ConfigError, match="got diffpose, which is trained in several stages"):
        make_module(Config(base={"name": "diffpose"}), SETTINGS)


def test_weights_and_switches_come_back_from_a_checkpoint():
    module = make(symmetry=0.5)
    again = Config(**asdict(module.config))
    assert again == module.config
    other = make_module(again, SETTINGS)
    other.load_state_dict(module.state_dict())
    batch = fold_views(views_batch()).batch
    a, b = (m.eval().predict(batch).joints_3d for m in (module, other))
    assert torch.equal(a, b)
    assert not any(name.startswith("base") for name in module.state_dict())
    assert set(module.encode(batch)) == set(other.encode(batch))


def labelled(joints):
    camera = Camera(intrinsics=torch.ones(len(joints), 9), size=torch.ones(len(joints), 2))
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=torch.zeros(*joints.shape[:-1], 2),
        joints_3d=joints,
        camera=camera,
    )


@pytest.mark.parametrize(
    ("answer", "size", "spread"),
    [
        (lambda y: y, 1.0, 1.0),
        (lambda y: 0.05 * y, 0.05, 0.05),
        (lambda y: y.mean(0, keepdim=True).expand_as(y) * 8, None, 0.0),
    ],
    ids=["sound", "point", "mean pose"],
)
def test_guard_measures_size_and_spread(answer, size, spread):
    guard = CollapseGuard(0)
    module = type("Module", (), {"more_scores": {}})()
    strategy = type("S", (), {"reduce": staticmethod(lambda x, reduce_op: x)})
    trainer = type("T", (), {"strategy": strategy, "sanity_checking": False})
    target = 1000 * poses(40, 1)
    for part in (slice(0, 15), slice(15, 40)):
        guard.add(
            Prediction(skeleton=H36M_17, joints_3d=answer(target)[part]),
            labelled(target[part] + 300),
        )
    guard.on_validation_epoch_end(trainer, module)
    logged = module.more_scores
    assert logged["val/answer_spread"] == pytest.approx(spread, abs=1e-5)
    if size is not None:
        assert logged["val/answer_size"] == pytest.approx(size, rel=1e-5)


def test_guard_warns_and_stops_after_several_validations_in_a_row(caplog):
    guard = CollapseGuard(0, patience=3)
    guard.judge(0.05, 0.5)
    guard.judge(0.5, 0.05)
    guard.judge(0.5, 0.5)
    assert guard.below == 0
    assert caplog.text.count("expected answers at least 0.1 times") == 2
    guard.judge(0.5, 0.0)
    resumed = CollapseGuard(0, patience=3)
    resumed.load_state_dict(guard.state_dict())
    resumed.judge(0.5, 0.0)
    with pytest.raises(CollapseError, match="in 3 validations in a row: the training has coll"):
        resumed.judge(0.5, 0.0)


def test_a_training_that_stays_a_point_is_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    switches = {
        "output": tmp_path, "optimizer.lr": 1e-12, "trainer.max_epochs": 5,
        "trainer.max_steps": -1, "data.synthetic.train_sequences": 1, "wandb.mode": "disabled",
        "data.synthetic.sequence_frames": 10, "data.noise": "none",
    }  # fmt: skip
    given = [f"{key}={value}" for key, value in switches.items()]
    assert main(["train", "epipolarpose", "extends=overlay/smoke", *given]) == 2
    assert "the training has collapsed" in capsys.readouterr().err
