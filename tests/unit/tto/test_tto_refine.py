from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from lifting.batch import PoseBatch
from lifting.errors import ConfigError, DataError, ShapeError
from lifting.skeleton import H36M_17
from lifting.tto.adapter import InputLatent
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Status
from lifting.tto.refine import refinable, refine

FAR = {"iterations": 15, "lr": 3e-3}


def part(batch: PoseBatch, index) -> PoseBatch:
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=batch.keypoints_2d[index],
        confidence=batch.confidence[index],
        joints_3d=batch.joints_3d[index],
        camera=batch.camera[index],
    )


class Own(nn.Module):
    """A method with latents of its own: the pose itself, in metres."""

    skeleton = H36M_17

    def __init__(self, start, *, log_sigma=None, root=None, prior=False):
        super().__init__()
        self.lr_scale = {"pose": 2.0}
        self.start, self.log_sigma, self.root, self.prior = start, log_sigma, root, prior
        self.copies = []

    def encode(self, batch):
        rows = len(batch)
        return {"pose": self.start.repeat(rows // len(self.start), 1, 1, 1) / 1000}

    def decode(self, latents, batch):
        pose = 1000 * latents["pose"]
        rows = len(pose) // len(self.start)

        def all_rows(value):
            return None if value is None else value.repeat(rows, *(1,) * (value.dim() - 1))

        prior = pose.square().mean((1, 2, 3)) if self.prior else None
        return Decoded(pose, all_rows(self.log_sigma), all_rows(self.root), prior)


def own(batch, **options):
    truth = batch.joints_3d - batch.joints_3d[..., :1, :]
    generator = torch.Generator().manual_seed(1)
    start = truth + 40 * torch.randn(truth.shape, generator=generator)
    start[..., 0, :] = 0
    return Own(start, **options)


def test_projection_alone_reduces_the_distance_from_the_keypoints(people):
    batch, module = people
    result = refine(module, batch, TtoConfig(weight_anchor=0, **FAR))
    assert (result.residual_after < result.residual_before).all()
    assert (result.after < result.before).all()
    assert (result.status == Status.MOVED).all()
    assert (result.iterations == FAR["iterations"]).all()


def test_the_anchor_holds(people):
    batch, module = people
    loose = refine(module, batch, TtoConfig(weight_anchor=0, **FAR))
    tight = refine(module, batch, TtoConfig(weight_anchor=1, accept=False, **FAR))

    def moved(result):
        return (result.pose - result.start).norm(dim=-1).mean()

    assert moved(tight) < 0.3 * moved(loose)


def test_sure_joints_are_held_and_others_move(people):
    batch, _ = people
    log_sigma = torch.full((len(batch), 1, 17), 2.0)
    log_sigma[..., 8:] = 7.0
    method = own(batch, log_sigma=log_sigma)
    config = TtoConfig(root="gt", weight_anchor=0.02, **FAR)
    result = refine(method, batch, config)
    moved = (result.pose - result.start).norm(dim=-1).mean((0, 1))
    assert moved[8:].min() > 3 * moved[1:8].max()


def test_nothing_moves_without_projection(people):
    """The anchor is zero at the start, and so must be its gradient: no step into nowhere."""
    batch, _ = people
    result = refine(own(batch), batch, TtoConfig.faithful(weight_projection=0))
    assert torch.equal(result.pose, result.start)
    assert (result.after == 0).all()


@pytest.mark.parametrize("root", ["gt", "solve", "latent"])
@pytest.mark.parametrize("flip", [False, True])
def test_a_sample_alone_is_as_in_its_batch(people, root, flip):
    batch, module = people
    config = TtoConfig(root=root, tolerance=1e-3, **FAR)
    whole = refine(module, batch, config, flip=flip)
    for index in (0, 4):
        alone = refine(module, part(batch, slice(index, index + 1)), config, flip=flip)
        torch.testing.assert_close(alone.pose, whole.pose[index, None], rtol=0, atol=0.05)
        assert alone.iterations == whole.iterations[index]


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_chunks_of_a_batch_give_what_the_batch_gives(people, chunk, monkeypatch):
    batch, lifter = people
    config = TtoConfig(enabled=True, history=True, tolerance=0.02, iterations=6)
    whole = refine(lifter, batch, config, flip=True)
    monkeypatch.setattr("lifting.tto.refine.CHUNK", chunk)
    parts = refine(lifter, batch, config, flip=True)
    for name, value in whole._asdict().items():
        wanted = getattr(parts, name)
        if value is None:
            assert wanted is None
        else:
            torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-2)


def test_a_broken_neighbour_changes_nothing(people):
    batch, module = people
    config = TtoConfig(**FAR)
    clean = refine(module, batch, config)
    batch.keypoints_2d[2] = torch.nan
    batch.confidence[3] = 0
    broken = refine(module, batch, config)
    others = torch.tensor([0, 1, 4, 5])
    assert torch.equal(broken.pose[others], clean.pose[others])


@pytest.mark.parametrize("lr", [1e-3, 1.0])
def test_never_worse_than_the_start_with_acceptance(people, lr):
    batch, module = people
    result = refine(module, batch, TtoConfig(iterations=6, lr=lr, history=True))
    assert (result.after <= result.before).all()
    assert torch.equal(result.history[0], result.before)
    torch.testing.assert_close(result.history.amin(0), result.after)
    kept = result.status == Status.KEPT
    assert torch.equal(result.pose[kept], result.start[kept])
    far = refine(module, batch, TtoConfig(iterations=6, lr=1.0, accept=False))
    assert (far.after > far.before).any()


def test_no_iterations_change_nothing(people):
    batch, module = people
    result = refine(module, batch, TtoConfig(iterations=0))
    assert torch.equal(result.pose, result.start)
    torch.testing.assert_close(result.pose, module.eval().predict(batch).joints_3d)


def test_samples_stop_on_their_own(people):
    batch, module = people
    result = refine(module, batch, TtoConfig(iterations=40, lr=3e-3, tolerance=5e-3))
    stopped = result.iterations < 40
    assert stopped.any()
    assert (result.status[stopped] == Status.CONVERGED).all()
    assert len(result.iterations.unique()) > 1


def test_mirrored_copies_agree_with_a_symmetric_method(people):
    """A method whose latent is the pose answers its mirrored copy by the pose mirrored."""
    from lifting.batch import flip_pose

    batch, _ = people
    method = own(batch)

    def encode(rows):
        start = method.start / 1000
        return {"pose": torch.cat((start, flip_pose(start, H36M_17)))}

    config = TtoConfig(**FAR)
    plain = refine(method, batch, config)
    method.encode = encode
    both = refine(method, batch, config, flip=True)
    torch.testing.assert_close(both.pose, plain.pose, rtol=0, atol=0.02)
    assert len(both.pose) == len(batch)


def test_finalise_makes_the_answer_of_the_copies(people):
    batch, _ = people
    method = own(batch)
    method.finalise = lambda poses: poses[0]
    first = refine(method, batch, TtoConfig(), flip=True)
    assert torch.equal(first.pose, refine(method, batch, TtoConfig(), flip=False).pose)


def test_a_predicted_root_is_used(people):
    batch, _ = people
    root = batch.joints_3d[..., :1, :]
    told = refine(own(batch), batch, TtoConfig(root="gt", **FAR))
    said = refine(own(batch, root=root), batch, TtoConfig(root="external", **FAR))
    assert torch.equal(told.pose, said.pose)
    with pytest.raises(ConfigError, match=r"set tto\.root=solve"):
        refine(own(batch), batch, TtoConfig(root="external"))


def test_the_prior_pulls(people):
    batch, _ = people
    config = TtoConfig(weight_projection=0, weight_prior=1e-4, **FAR)
    result = refine(own(batch, prior=True), batch, config)
    assert (result.pose.square().mean((1, 2, 3)) < result.start.square().mean((1, 2, 3))).all()


def test_orthography_needs_no_camera(people):
    batch, module = people
    batch.camera.intrinsics = torch.zeros_like(batch.camera.intrinsics)
    result = refine(module, batch, TtoConfig(camera="orthographic", weight_anchor=0, **FAR))
    assert (result.residual_after < result.residual_before).all()
    assert result.root is None


def test_weights_are_optimised_and_put_back(people):
    batch, module = people
    before = {k: v.clone() for k, v in module.state_dict().items()}
    config = TtoConfig(optimise="weights", weights_lr=1e-3, iterations=10, weight_anchor=0)
    result = refine(module, batch, config)
    assert result.after.mean() < result.before.mean()
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert not module.layers[0].bias.requires_grad
    assert module.layers[0].weight.requires_grad


def test_latent_and_weights_together_go_further(people):
    batch, module = people
    some = {"weights_lr": 1e-3, "iterations": 6, "weight_anchor": 0.0}
    after = {
        kind: refine(module, batch, TtoConfig(optimise=kind, **some)).after.mean()
        for kind in ("latent", "both")
    }
    assert after["both"] < after["latent"]


def test_the_solved_root_is_near_the_true_one(people):
    batch, _ = people
    result = refine(own(batch), batch, TtoConfig(iterations=0))
    error = (result.root - batch.joints_3d[..., :1, :]).norm(dim=-1)
    assert error.median() < 300
    assert (result.root[..., 2] > 3000).all()


def test_the_module_is_given_back_as_it_was(people):
    batch, module = people
    module.train()
    module.drop.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    module.layers[2].weight.grad = torch.ones_like(module.layers[2].weight)
    for fail in (False, True):
        module.fail = fail
        if fail:
            with pytest.raises(RuntimeError, match="no memory"):
                refine(module, batch, TtoConfig())
        else:
            refine(module, batch, TtoConfig())
        assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
        assert [p.requires_grad for p in module.layers.parameters()] == [True, False, True, True]
        assert module.training
        assert module.norm.training
        assert not module.drop.training
        assert torch.equal(module.layers[2].weight.grad, torch.ones(51, 64))
        assert all(p.grad is None for p in module.norm.parameters())


def test_it_works_inside_inference_mode(people):
    batch, module = people
    expected = refine(module, batch, TtoConfig(**FAR)).pose
    with torch.inference_mode():
        inside = PoseBatch(
            skeleton=H36M_17,
            keypoints_2d=batch.keypoints_2d.clone(),
            confidence=batch.confidence.clone(),
            joints_3d=batch.joints_3d.clone(),
            camera=batch.camera.map(torch.clone),
        )
        assert torch.equal(refine(module, inside, TtoConfig(**FAR)).pose, expected)


def test_autocast_around_it_changes_nothing(people):
    batch, module = people
    expected = refine(module, batch, TtoConfig(**FAR)).pose
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(refine(module, batch, TtoConfig(**FAR)).pose, expected)


def test_the_method_may_compute_in_half_precision(people):
    batch, module = people
    full = refine(module, batch, TtoConfig(iterations=4))
    half = refine(
        module,
        batch,
        TtoConfig(iterations=4),
        precision=lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    )
    assert half.pose.dtype == torch.float32
    assert (half.residual_after < half.residual_before).all()
    torch.testing.assert_close(half.pose, full.pose, rtol=0, atol=20)


def test_the_middle_frame_of_a_window_is_compared(people):
    batch, module = people
    window = replace(batch, keypoints_2d=batch.keypoints_2d.repeat(1, 3, 1, 1), confidence=None)
    window.keypoints_2d[:, [0, 2]] += 100

    class Middle(InputLatent):
        skeleton = H36M_17

        def decode(self, latents, batch):
            answer = super().decode(latents, batch)
            return Decoded(answer.pose[:, 1:2])

    class Host(nn.Module):
        skeleton = H36M_17

        def __init__(self):
            super().__init__()
            self.network, self.latent = module, Middle(module)
            self.lr_scale = {}
            self.encode, self.decode = self.latent.encode, self.latent.decode

    result = refine(Host(), window, TtoConfig(**FAR), targets=1)
    torch.testing.assert_close(
        result.pose, refine(module, batch, TtoConfig(**FAR)).pose, rtol=0, atol=0.02
    )
    with pytest.raises(ShapeError, match="all 3 frames of a window or the middle one"):
        refine(module, window, TtoConfig(), targets=2)


# What a method must offer.


def test_a_part_of_the_contract_is_named(people):
    batch, module = people
    module.encode = lambda batch: {}
    with pytest.raises(ConfigError, match=r"got only encode; add decode, lr_scale or set"):
        refine(module, batch, TtoConfig())
    assert isinstance(refinable(module, TtoConfig(latent="input")), InputLatent)


def test_a_module_without_joints_is_refused(people):
    batch, module = people
    del module.skeleton
    with pytest.raises(ConfigError, match="expected a module with a `skeleton`"):
        refine(module, batch, TtoConfig())


def test_a_module_with_nothing_is_refused():
    with pytest.raises(ConfigError, match="expected a module with `predict` or with encode"):
        refinable(nn.Linear(2, 2), TtoConfig())


def test_wrong_answers_are_named(people):
    batch, _ = people
    method = own(batch)
    method.encode = lambda batch: {"pose": torch.zeros(6, 1, 17, 3, dtype=torch.int64)}
    with pytest.raises(DataError, match="latent 'pose' to be of floating point"):
        refine(method, batch, TtoConfig())
    method.encode = lambda batch: {}
    with pytest.raises(DataError, match="expected latents to optimise, got none"):
        refine(method, batch, TtoConfig())
    method = own(batch, log_sigma=torch.zeros(6, 17))
    with pytest.raises(ShapeError, match="decoded log_sigma"):
        refine(method, batch, TtoConfig())
    method = own(batch)
    method.start = method.start[..., :16, :]
    with pytest.raises(ShapeError, match="decoded pose"):
        refine(method, batch, TtoConfig())


# Bad input.


def test_a_missing_camera_says_what_to_give(people):
    batch, module = people
    batch.camera.intrinsics[1, 0] = 0
    with pytest.raises(DataError, match=r"focal length above 0.*fx, fy, cx, cy.*tto.focal=guess"):
        refine(module, batch, TtoConfig())
    batch.camera.intrinsics[1] = torch.nan
    with pytest.raises(DataError, match="focal length above 0"):
        refine(module, batch, TtoConfig())
    result = refine(module, batch, TtoConfig(focal="guess"))
    assert (result.status == Status.MOVED).all()
    batch.camera.size[0] = 0
    with pytest.raises(DataError, match="expected image sizes above 0"):
        refine(module, batch, TtoConfig())


def test_labels_are_needed_for_the_true_root_only(people):
    batch, module = people
    unlabelled = replace(batch, joints_3d=None)
    with pytest.raises(DataError, match=r"set tto\.root=solve"):
        refine(module, unlabelled, TtoConfig(root="gt"))
    assert refine(module, unlabelled, TtoConfig()).pose.isfinite().all()


def test_a_method_never_sees_labels(people):
    batch, module = people
    seen = []
    predict = module.predict
    module.predict = lambda b: (seen.append(b.joints_3d), predict(b))[1]
    refine(module, batch, TtoConfig(root="gt"))
    assert seen
    assert all(labels is None for labels in seen)


def test_keypoints_that_are_not_numbers_are_masked(people):
    batch, module = people
    batch.keypoints_2d[0, 0, 5] = torch.nan
    batch.keypoints_2d[1, 0, :3, 1] = torch.inf
    batch.confidence[2, 0, 4] = torch.nan
    given = batch.keypoints_2d.clone()
    result = refine(module, batch, TtoConfig(**FAR))
    assert result.pose.isfinite().all()
    assert result.masked.tolist() == [1, 3, 1, 0, 0, 0]
    assert (result.status == Status.MOVED).all()
    torch.testing.assert_close(batch.keypoints_2d, given, rtol=0, atol=0, equal_nan=True)


def test_a_keypoint_far_outside_the_image_is_no_catastrophe(people):
    batch, module = people
    batch.keypoints_2d[0, 0, 5] = 1e5
    result = refine(module, batch, TtoConfig(**FAR))
    assert result.pose[1:].isfinite().all()
    assert result.root.isfinite().all()


def test_a_pose_that_nobody_saw_stays(people):
    batch, module = people
    batch.confidence[1] = 0
    batch.keypoints_2d[4] = torch.nan
    batch.confidence[5, 0, 3:] = 0
    result = refine(module, batch, TtoConfig(min_keypoints=4, **FAR))
    moved, kept = Status.MOVED, Status.UNOBSERVED
    assert result.status.tolist() == [moved, kept, moved, moved, kept, kept]
    still = result.status == kept
    assert torch.equal(result.pose[still], result.start[still])
    assert (result.iterations[still] == 0).all()
    assert result.pose.isfinite().all()


def test_a_start_that_is_not_finite_stays(people):
    batch, _ = people
    method = own(batch)
    method.start[3, 0, 2, 1] = torch.nan
    result = refine(method, batch, TtoConfig(**FAR))
    assert result.status[3] == Status.NOT_FINITE
    assert (result.status[[0, 1, 2, 4, 5]] == Status.MOVED).all()
    assert result.pose[[0, 1, 2, 4, 5]].isfinite().all()


def test_joints_behind_the_camera_are_held_and_counted(people):
    batch, _ = people
    root = batch.joints_3d[..., :1, :].clone()
    root[2, ..., 2] = -500
    result = refine(own(batch, root=root), batch, TtoConfig(root="external", **FAR))
    assert result.status[2] == Status.BEHIND
    assert result.behind[2] > 0
    assert (result.behind[[0, 1, 3, 4, 5]] == 0).all()
    assert result.pose.isfinite().all()
