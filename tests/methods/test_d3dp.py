"""D3DP: released size, hypotheses and their aggregation, its loss, the authors' files."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from lifting.batch import flip_batch, flip_pose, root_relative
from lifting.cli.main import main
from lifting.errors import ConfigError, ShapeError
from lifting.experiment.build import build_module
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.load import load_experiment
from lifting.geometry.camera import project
from lifting.methods.d3dp import lifter as lifter_module
from lifting.methods.d3dp.checkpoint import TABLES, export_state
from lifting.methods.d3dp.config import Config
from lifting.methods.d3dp.diffusion import cosine_betas, signal_shares, visited_levels
from lifting.methods.d3dp.module import Module
from lifting.methods.settings import ModuleSettings
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.protocol import get_protocol
from lifting.skeleton import H36M_17, Skeleton
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

SMALL = Config(width=16, layers=1, heads=2, hypotheses=3, sampling_steps=2, drop_path=0.0)
SIZES = ["method.width=16", "method.layers=1", "method.heads=2", "data.frames=5"]


def make_module(frames=5, target="all", seed=0, **switches):
    torch.manual_seed(0)
    settings = ModuleSettings("d3dp", frames=frames, target=target, seed=seed)
    module = Module(replace(SMALL, **switches), settings).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def test_released_size_is_the_published_one():
    config = load_experiment("d3dp_released", ["method.hypotheses=1", "method.root=estimated"])
    with torch.device("meta"):
        network = build_module(config).network
    assert sum(p.numel() for p in network.parameters()) == 34_835_459
    official = export_state(network.state_dict(), 8)
    assert len(official) == len(network.state_dict()) == 208
    assert len(official) + len(TABLES) == 220
    assert official["pose_estimator.time_mlp.1.weight"].shape == (1024, 512)
    assert official["pose_estimator.Spatial_patch_to_embedding.weight"].shape == (512, 5)


# --- schedule --------------------------------------------------------------------------------


def test_the_signal_fades_from_all_to_nothing():
    shares = signal_shares(1000)
    assert (shares.diff() < 0).all()
    assert shares[0].item() == pytest.approx(0.99995872, abs=1e-8)
    assert shares[998].item() == pytest.approx(2.43e-6, rel=1e-2)
    assert shares[999].item() == pytest.approx(2.43e-9, rel=1e-2)


@pytest.mark.parametrize("levels", [50, 1000])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_levels_fall_from_the_last_to_before_the_first(levels, steps):
    visited = visited_levels(levels, steps)
    assert len(visited) == steps + 1
    assert (visited[0], visited[-1]) == (levels - 1, -1)
    assert all(a > b for a, b in pairwise(visited))


# --- answers ---------------------------------------------------------------------------------


@torch.no_grad()
def test_an_answer_has_hypotheses_and_their_spread(make_batch):
    answer = make_module().infer(make_batch(frames=5))
    assert answer.joints_3d.shape == (8, 5, 17, 3)
    assert answer.hypotheses.shape == (8, 3, 5, 17, 3)
    for pose in (answer.joints_3d, answer.hypotheses):
        assert (pose[..., H36M_17.root, :] == 0).all()
    others = [joint for joint in range(17) if joint != H36M_17.root]
    deviation = answer.hypotheses.var(dim=1).mean(dim=-1).sqrt()
    torch.testing.assert_close(answer.sigma, deviation)
    assert (answer.sigma[..., others] > 0).all()


@torch.no_grad()
def test_an_answer_depends_on_nothing_around_it(make_batch):
    batch, module = make_batch(frames=5), make_module()
    whole = module.infer(batch).joints_3d
    assert torch.equal(module.infer(batch).joints_3d, whole)
    alone = module.infer(batch.rows(slice(2, 3))).joints_3d
    torch.testing.assert_close(alone, whole[2:3], rtol=1e-4, atol=1e-2)
    assert not torch.allclose(make_module(seed=1).infer(batch).joints_3d, whole, atol=1.0)


@torch.no_grad()
def test_one_hypothesis_is_an_ordinary_lifter(make_batch):
    module = make_module(hypotheses=1, sampling_steps=1)
    answer = module.infer(make_batch(frames=5))
    assert answer.hypotheses is None
    assert answer.sigma is None
    assert module.describe() == {"hypotheses": 1, "steps": 1, "aggregation": None}


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_chunks_answer_as_one_by_one(make_batch, monkeypatch, size):
    batch = make_batch(frames=5)
    answers = []
    for few in (1, size):
        monkeypatch.setattr(lifter_module, "chunk_size", lambda run, count, key, few=few: few)
        answers.append(make_module(hypotheses=6).infer(batch).hypotheses)
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-2)


@torch.no_grad()
def test_a_mirrored_window_and_noise_have_the_mirrored_answer(make_batch):
    batch, module = make_batch(frames=5), make_module(aggregation="mean")
    found = module.answer(batch, module.noise)
    mirrored = module.answer(flip_batch(batch, H36M_17), flip_pose(module.noise, H36M_17))
    back = flip_pose(mirrored.joints_3d, H36M_17)
    torch.testing.assert_close(back, found.joints_3d, rtol=1e-4, atol=1e-2)
    plain = make_module(aggregation="mean", flip="none").answer(batch, module.noise)
    assert not torch.allclose(plain.joints_3d, found.joints_3d, atol=1.0)


@torch.no_grad()
def test_limits_hold_for_every_coordinate(make_batch):
    answer = make_module(clamp=0.05).infer(make_batch(frames=5))
    assert answer.hypotheses.abs().max().item() == pytest.approx(50, abs=1e-3)


@torch.no_grad()
def test_without_fresh_noise_one_start_leads_to_one_answer(make_batch):
    module, batch = make_module(eta=0.0), make_batch(frames=5)
    other = module.noise.clone()
    other[1:] += 1
    again = module.answer(batch, other)
    assert torch.equal(again.hypotheses, module.infer(batch).hypotheses)
    moved = make_module().answer(batch, other).hypotheses
    assert not torch.allclose(moved, make_module().infer(batch).hypotheses, atol=1.0)


# --- aggregation -----------------------------------------------------------------------------


def placed_errors(hypotheses, batch, root):
    lens = batch.camera.intrinsics[:, None, None].expand(-1, *hypotheses.shape[1:3], -1)
    away = project(hypotheses + root[:, None, :, None], lens) - batch.keypoints_2d[:, None]
    return away.norm(dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("aggregation", ["best_joint", "best_pose"])
def test_the_true_root_answers_beside_and_never_instead(make_batch, aggregation):
    batch = make_batch(frames=5, targets=5)
    truth = make_module(aggregation=aggregation, root="truth").infer(batch)
    estimated = make_module(aggregation=aggregation).infer(batch)
    assert torch.equal(truth.joints_3d, estimated.joints_3d)
    assert estimated.extras == {}
    assert set(truth.extras) == {"oracle_root"}
    unlabelled = replace(batch, joints_3d=None)
    again = make_module(aggregation=aggregation, root="truth").infer(unlabelled)
    assert again.extras == {}
    assert torch.equal(again.joints_3d, truth.joints_3d)
    root = batch.joints_3d[..., H36M_17.root, :]
    errors = placed_errors(truth.hypotheses, batch, root)
    if aggregation == "best_pose":
        errors = errors.mean(dim=-1, keepdim=True).expand_as(errors)
    for sample in range(2):
        for joint in range(1, 17):
            best = errors[sample, :, 0, joint].argmin()
            wanted = truth.hypotheses[sample, best, 0, joint]
            assert torch.equal(truth.extras["oracle_root"][sample, 0, joint], wanted)


@torch.no_grad()
def test_what_the_truth_chose_is_scored_apart(make_batch):
    batch = make_batch(frames=5, targets=5)
    scores = PoseMetrics(get_protocol("default"), H36M_17, ())
    scores.update(make_module(root="truth").infer(batch), batch)
    names = set(scores.compute())
    assert {"oracle/p_best@H3_mm", "oracle/j_best@H3_mm", "oracle_root_mpjpe_mm"} <= names


@torch.no_grad()
@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_averages_are_of_all_hypotheses(make_batch, aggregation):
    answer = make_module(aggregation=aggregation).infer(make_batch(frames=5))
    wanted = answer.hypotheses.mean(dim=1)
    if aggregation == "median":
        wanted = answer.hypotheses.median(dim=1).values
    torch.testing.assert_close(answer.joints_3d, wanted, rtol=1e-5, atol=1e-3)


# --- training --------------------------------------------------------------------------------


def test_one_window_can_be_learnt(make_batch, learn):
    batch = make_batch(frames=5, targets=5).rows(slice(0, 1))
    module = make_module(gradient="plain", width=64, clamp=3.0)
    torch.manual_seed(0)
    learn(module, batch, lr=3e-3, decay=0.99, steps=200)
    with torch.no_grad():
        answer = module.eval().infer(batch)
    error = (answer.joints_3d - module.target(batch)).norm(dim=-1).mean()
    assert error < 0.7 * module.target(batch).norm(dim=-1).mean()


def test_the_released_gradient_is_that_of_half_the_square(make_batch, without_trainer):
    batch, found = make_batch(frames=5, targets=5), {}
    for gradient in ("plain", "released"):
        module = without_trainer(make_module(gradient=gradient))
        torch.manual_seed(3)
        loss = module.training_step(batch, 0)
        loss.backward()
        found[gradient] = loss.detach(), module.network.first.weight.grad
    plain, slope = found["plain"]
    torch.testing.assert_close(found["released"][0], plain * plain)
    torch.testing.assert_close(found["released"][1], plain * slope)


def test_labels_that_do_not_count_give_no_gradient(make_batch, without_trainer):
    batch = make_batch(frames=5, targets=5)
    batch.visible = torch.ones(8, 5, 17, dtype=torch.bool)
    batch.visible[:, :, 3] = False
    losses = []
    for shift in (0.0, 500.0):
        batch.joints_3d[:, :, 3] += shift
        module = without_trainer(make_module(flip="none"))
        answer = module.denoised_once(
            batch.keypoints_2d / 1000, module.target(batch) / 1000,
            torch.zeros(8, dtype=torch.long), torch.zeros(8, 5, 17, 3),
        )  # fmt: skip
        away = (answer - module.target(batch) / 1000).norm(dim=-1)
        losses.append(away[batch.visible].mean())
        torch.manual_seed(3)
        module.training_step(batch, 0).backward()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    assert losses[0] != losses[1]  # the noisy label is still an input


@torch.no_grad()
def test_validation_draws_once_unless_told_otherwise(make_batch):
    batch = make_batch(frames=5, targets=5)
    quick, whole = make_module(), make_module(quick_validation=False)
    found = quick.validation_step(batch, 0)
    assert found.hypotheses is None
    one = make_module(hypotheses=1, sampling_steps=1)
    wanted = one.answer(batch, quick.noise[:1, :1])
    assert torch.equal(found.joints_3d, wanted.joints_3d)
    assert whole.validation_step(batch, 0).hypotheses.shape[1] == 3


def test_windows_are_answered_whole():
    with pytest.raises(ConfigError, match=r"expected data\.target 'all'.*set data\.target to all"):
        make_module(target="middle")


def test_windows_of_another_length_are_refused(make_batch):
    with pytest.raises(ShapeError, match=r"frames=5, joints=17, got \(8, 7, 17, 2\)"):
        make_module().predict(make_batch(frames=7))


def test_optimisation_moves_the_keypoints(make_batch):
    batch = make_batch(frames=5).rows(slice(0, 2))
    module = make_module(sampling_steps=1)
    with torch.no_grad():
        plain = module.infer(batch).joints_3d
    config = TtoConfig(enabled=True, lr=1e-2, iterations=2)
    found = refine(module, batch, config, targets=5).pose
    assert found.isfinite().all()
    assert not torch.equal(root_relative(found, H36M_17.root), plain)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"layers": 0}, "layers"),
        ({"width": 15}, "width"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"diffusion_steps": 1, "sampling_steps": 1}, "diffusion_steps"),
        ({"clamp": 0.0}, "clamp"),
        ({"eta": 1.5}, "eta"),
        ({"hypotheses": 0}, "hypotheses"),
        ({"sampling_steps": 1001}, "sampling_steps"),
        ({"root": "truth", "aggregation": "mean"}, "root"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


# --- the authors' files ----------------------------------------------------------------------


def official_file(path, levels=1000, **extra):
    """A file of the authors' form, and the network it holds."""
    network = make_module().network
    weights = {f"module.{k}": v for k, v in export_state(network.state_dict(), 1).items()}
    weights |= {f"module.{name}": torch.zeros(levels).double() for name in TABLES}
    weights["module.betas"] = cosine_betas(levels)
    torch.save({"epoch": 3, "lr": 4e-5, "model_pos": weights, **extra}, path)
    return network


def converted(path, output, *more):
    sizes = [word for size in (*SIZES, *more) for word in ("--set", size)]
    return main(["convert", "d3dp_released", str(path), "--output", str(output), *sizes])


def test_the_authors_file_becomes_a_checkpoint(tmp_path, capsys):
    path, output = tmp_path / "d3dp.bin", tmp_path / "d3dp.ckpt"
    network = official_file(path, random_state=np.random.RandomState(3))
    assert converted(path, output) == 0
    assert "not used: betas" in capsys.readouterr().out
    checkpoint = read_checkpoint(output, "d3dp")
    state = checkpoint["state_dict"]
    assert set(state) == {f"network.{name}" for name in network.state_dict()}
    assert all(torch.equal(state[f"network.{k}"], v) for k, v in network.state_dict().items())
    facts = checkpoint["lifting"]
    assert Skeleton.of(facts["skeleton"]) == H36M_17
    assert facts["fps"] == 50


def test_other_files_are_refused(tmp_path, capsys):
    path, output = tmp_path / "d3dp.bin", tmp_path / "d3dp.ckpt"
    official_file(path, levels=500)
    assert converted(path, output) == 2
    assert "expected betas of the cosine schedule of 1000 levels" in capsys.readouterr().err
    official_file(path)
    assert converted(path, output, "method.layers=2") == 2
    assert "24 missing ['pose_estimator.STEblocks.1" in capsys.readouterr().err
    assert converted(path, output, "method.width=32") == 2
    assert "instead of" in capsys.readouterr().err
    torch.save({"model_pos": [1]}, path)
    assert converted(path, output) == 2
    assert "expected a mapping with weights under 'model_pos'" in capsys.readouterr().err
    assert not output.exists()
