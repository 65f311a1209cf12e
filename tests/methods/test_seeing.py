"""Methods that see a person in place of the picture, state their error, or see a window."""

from dataclasses import replace

import pytest
import torch

from lifting.errors import ConfigError
from lifting.experiment.build import make_module
from lifting.methods.discovery import load_config_class, load_lifter_class
from lifting.methods.settings import ModuleSettings
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

SMALL = {
    "simple_baseline": {"channels": 16, "dropout": 0.0, "expected_error": True},
    "videopose3d": {"filter_widths": (3, 3), "channels": 16, "dropout": 0.0,
                    "expected_error": True},
    "uao": {"hidden": 16, "blocks": 2, "encoder_hidden": 8, "channel_hidden": 8, "head_hidden": 8,
            "channel_dropout": 0.0, "spatial_dropout": 0.0, "drop_path": 0.0},
}  # fmt: skip
CASES = [
    *((name, kind, {}) for name in SMALL for kind in ("person", "turned")),
    ("uao", "turned", {"sees": "window"}),
    ("uao", "screen", {"sees": "window"}),
]


def build(name, kind, options, **settings):
    torch.manual_seed(0)
    config = load_config_class(name)(**SMALL[name], input=kind, **options)
    return make_module(config, ModuleSettings(name, frames=9, **settings))


def with_confidence(batch):
    known = torch.full(batch.keypoints_2d.shape[:-1], 0.8)
    return replace(batch, confidence=known)


@pytest.mark.parametrize(("name", "kind", "options"), CASES)
def test_learns_answers_and_does_not_see_missing_joints(
    name, kind, options, make_batch, without_trainer
):
    module = without_trainer(build(name, kind, options))
    batch = with_confidence(make_batch(frames=9))
    batch.confidence[:, :, 6] = 0
    loss = module.training_step(batch, 0)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    answer = module.predict(batch)
    assert answer.joints_3d.shape == (8, 1, 17, 3)
    assert answer.sigma.shape == (8, 1, 17)
    assert (answer.sigma > 0).all()
    assert (answer.joints_3d[:, :, module.skeleton.root].abs() < 1e-3).all()
    elsewhere = batch.keypoints_2d.clone()
    elsewhere[:, :, 6] += 500
    other = module.predict(replace(batch, keypoints_2d=elsewhere))
    assert torch.equal(other.joints_3d, answer.joints_3d) is (kind != "screen")


@pytest.mark.parametrize("name", SMALL)
def test_what_is_published_is_the_default_and_knows_no_camera(name):
    Config, Lifter = load_config_class(name), load_lifter_class(name)
    assert not Lifter.uses_camera(Config())
    assert Lifter.uses_camera(Config(input="person"))
    plain = build(name, "screen", {})
    assert plain.normalisation == Lifter.normalisation
    assert build(name, "turned", {}).normalisation != plain.normalisation
    with pytest.raises(ConfigError, match=r"method.hidden_focal to be from 0 to 1, got 1\.5"):
        Config(hidden_focal=1.5)


def test_the_focal_length_is_hidden_in_training_only(make_batch):
    module, batch = build("simple_baseline", "person", {"hidden_focal": 1.0}), make_batch(9)
    assert (module.train().see(batch).whole[..., -1] == 0).all()
    assert (module.eval().see(batch).whole[..., -1] == 1).all()
    half = build("simple_baseline", "person", {"hidden_focal": 0.5}).train()
    flags = torch.cat([half.see(batch).whole[:, 0, -1] for _ in range(60)])
    assert 0.4 < flags.mean() < 0.6


@pytest.mark.parametrize("kind", ["person", "turned"])
def test_sliding_over_frames_equals_single_windows(kind, make_batch):
    batch = with_confidence(make_batch(frames=9))
    middle, whole = (
        build("videopose3d", kind, {}, target=t).eval().predict(batch) for t in ("middle", "all")
    )
    torch.testing.assert_close(whole.joints_3d[:, 4:5], middle.joints_3d, rtol=0, atol=1e-2)
    torch.testing.assert_close(whole.sigma[:, 4:5], middle.sigma, rtol=0, atol=1e-2)


def test_a_window_is_seen_whole_and_answered_in_its_middle(make_batch):
    module, batch = build("uao", "person", {"sees": "window"}).eval(), make_batch(frames=9)
    answer = module.predict(batch).joints_3d
    last = batch.keypoints_2d.clone()
    last[:, -1, 3] += 40
    assert not torch.equal(module.predict(replace(batch, keypoints_2d=last)).joints_3d, answer)
    with pytest.raises(ConfigError, match=r"target=middle with method.sees=window, got all"):
        build("uao", "person", {"sees": "window"}, target="all")


@pytest.mark.parametrize("options", [{}, {"sees": "window"}])
def test_test_time_optimisation_moves_what_is_seen(options, make_batch):
    module, batch = build("uao", "turned", options).eval(), with_confidence(make_batch(frames=9))
    result = refine(module, batch, TtoConfig(enabled=True, root="solve", iterations=2))
    assert result.pose.shape == (8, 1, 17, 3)
    assert (result.after <= result.before).all()
    assert (result.after < result.before).any()


def test_the_expected_error_is_learnt(make_batch, learn):
    module = build("simple_baseline", "person", {"hidden_focal": 0.0})
    batch = with_confidence(make_batch(frames=9))
    learn(module, batch, steps=60, lr=1e-3)
    answer = module.eval().predict(batch)
    error = (answer.joints_3d - module.target(batch)).norm(dim=-1)[..., 1:].mean()
    stated = LENGTH_PER_AXIS * answer.sigma[..., 1:].mean()
    assert 0.4 < (stated / error).item() < 2.5
