"""MotionBERT: sizes, image answers, pretraining, import of weights, and that it can learn."""

from dataclasses import replace

import pytest
import torch

from lifting.batch import root_relative
from lifting.errors import CheckpointError, ConfigError, MissingDataError, ShapeError
from lifting.experiment.load import load_experiment, method_config
from lifting.geometry.camera import normalize_screen, project
from lifting.methods.clip_config import LossWeights
from lifting.methods.clip_lifter import (
    BONES_MM,
    ORACLE_FACTOR,
    from_image,
    mm_per_pixel,
    to_image,
)
from lifting.methods.clip_training import clip_losses
from lifting.methods.motionbert.checkpoint import convert, export_state
from lifting.methods.motionbert.config import Config
from lifting.methods.motionbert.corruption import DetectorNoise, NoiseDraws, crop_scale, disturb
from lifting.methods.motionbert.module import PRETRAIN, Module
from lifting.methods.motionbert.network import Dstformer
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.clip_loss import limb_lengths
from lifting.nn.two_streams import SelfAttention, StreamFusion
from lifting.skeleton import H36M_17
from reference.motionbert import ReferenceAttention

FRAMES = 5
SMALL = {"width": 16, "depth": 1, "heads": 2, "representation": 16}


def make_module(frames=FRAMES, target="all", **switches):
    torch.manual_seed(0)
    config = Config(**(SMALL | switches))
    return Module(config, ModuleSettings("motionbert", frames=frames, target=target))


def preset(*overrides):
    return load_experiment("motionbert_released", list(overrides))


# --- sizes ------------------------------------------------------------------------------------


def formula(c, ratio, rep, depth, places):
    block = 2 * (4 * c * c + 4 * c) + 2 * (2 * ratio * c * c + ratio * c + c) + 8 * c
    head = 2 * c + (c + 1) * rep + 3 * rep + 3
    return 4 * c + 17 * c + places * c + 2 * depth * block + depth * (4 * c + 2) + head


@pytest.mark.parametrize(
    ("overrides", "numbers"),
    [((), 42_466_317), (("extends=overlay/motionbert_lite_released",), 16_001_549)],
)
def test_sizes_are_the_released_ones(overrides, numbers):
    config = method_config(preset(*overrides).method)
    with torch.device("meta"):
        state = Dstformer(17, config.max_frames, config).state_dict()
    assert len(state) == 260
    sizes = config.width, int(config.mlp_ratio), config.representation, config.depth
    assert sum(v.numel() for v in state.values()) == numbers == formula(*sizes, config.max_frames)


def test_released_presets_have_the_released_settings():
    full = preset()
    lite = preset("extends=overlay/motionbert_lite_released")
    learnt = preset("extends=overlay/motionbert_pretraining_released")
    assert (full.data.frames, full.data.train_every, full.data.batch_size) == (243, 81, 32)
    assert (full.optimizer.lr, full.optimizer.gamma, full.trainer.max_epochs) == (2e-4, 0.99, 120)
    assert (lite.optimizer.lr, lite.trainer.max_epochs) == (5e-4, 60)
    assert (lite.method["root"], full.method["root"]) == ("first_frame", "relative")
    module = Module(
        replace(method_config(learnt.method), **SMALL),
        ModuleSettings("motionbert", frames=243, target="all"),
    )
    stages = [(s.name, s.epochs, s.lr) for s in module.stages()]
    assert stages == [("pretrain", 90, 5e-4), ("train", None, None)]


def test_starts_with_the_mean_of_both_streams():
    layer = make_module().network.layers[0]
    a, b = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    torch.testing.assert_close(layer.fusion(a, b), (a + b) / 2)
    torch.nn.init.normal_(layer.fusion.logits.weight)
    share = layer.fusion.logits(torch.cat((a, b), -1)).softmax(-1)
    torch.testing.assert_close(layer.fusion(a, b), share[..., :1] * a + share[..., 1:] * b)
    assert isinstance(layer.fusion, StreamFusion)


@pytest.mark.parametrize("length", [2, 17, 31, 32])
@pytest.mark.parametrize("over", ["joints", "frames"])
def test_attention_is_the_same_fused_or_not(length, over):
    torch.manual_seed(0)
    ours, plain = SelfAttention(12, 3, over), ReferenceAttention(12, 3, over)
    plain.qkv, plain.proj = ours.qkv, ours.out
    shape = (2, 3, length) if over == "joints" else (2, length, 3)
    x = torch.randn(*shape, 12, requires_grad=True)
    answers = ours(x), plain(x)
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(y.square().sum(), x)[0] for y in answers]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)


# --- windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "targets"), [("middle", 1), ("all", FRAMES)])
def test_prediction_is_root_relative_millimetres(target, targets, make_batch):
    module = make_module(target=target).eval()
    answer = module.predict(make_batch(FRAMES)).joints_3d
    assert answer.shape == (8, targets, 17, 3)
    assert (answer[..., H36M_17.root, :] == 0).all()
    whole = make_module().eval().predict(make_batch(FRAMES)).joints_3d
    torch.testing.assert_close(answer, whole if targets > 1 else whole[:, 2:3])


def test_confidence_is_read_unless_it_is_not_to_be(make_batch):
    batch = make_batch(FRAMES)
    seen = replace(batch, confidence=torch.full(batch.keypoints_2d.shape[:-1], 0.5))
    for reads in (True, False):
        module = make_module(confidence=reads).eval()
        plain, half = (module.predict(b).joints_3d for b in (batch, seen))
        assert torch.equal(plain, half) is not reads


def test_windows_have_a_place_in_time_each():
    network = make_module(max_frames=7).network
    assert network.frame_position.shape == (1, 7, 1, 16)
    x = torch.randn(1, 7, 17, 3)
    short = network(x[:, :4])
    assert short.shape == (1, 4, 17, 3)
    with pytest.raises(ShapeError, match=r"at most 7 frames, got .*\(1, 8, 17, 3\)"):
        network(torch.randn(1, 8, 17, 3))
    with pytest.raises(ConfigError, match=r"max_frames=3 frames, got data.frames=5"):
        make_module(max_frames=3)


# --- image answers ----------------------------------------------------------------------------


def test_image_target_is_a_place_and_a_depth(make_batch):
    batch = make_batch(FRAMES, FRAMES)
    pose, camera = batch.joints_3d, batch.camera
    image = to_image(pose, camera.intrinsics, camera.size, H36M_17.root)
    pinhole = camera.intrinsics.clone()
    pinhole[:, 4:] = 0
    seen = normalize_screen(project(pose, pinhole[:, None]), camera.size[:, None])
    torch.testing.assert_close(image[..., :2], seen)
    factor = mm_per_pixel(pose[..., H36M_17.root, 2], camera.intrinsics)
    again = from_image(image, camera.size, factor, H36M_17.root)
    true = root_relative(pose, H36M_17.root)
    torch.testing.assert_close(again[..., 2], true[..., 2], rtol=1e-4, atol=1e-2)
    # Joints as far away as the root have their true place; others seem nearer or farther.
    flat = pose.clone()
    flat[..., 2] = pose[..., H36M_17.root, None, 2]
    image = to_image(flat, camera.intrinsics, camera.size, H36M_17.root)
    again = from_image(image, camera.size, factor, H36M_17.root)
    ratio = camera.intrinsics[:, :2] / camera.intrinsics[:, :2].mean(-1, keepdim=True)
    wanted = root_relative(flat, H36M_17.root)[..., :2] * ratio[:, None, None]
    torch.testing.assert_close(again[..., :2], wanted, rtol=1e-4, atol=1e-1)


def test_image_answers_have_the_size_of_the_training(make_batch):
    module, batch = make_module(answer="image").eval(), make_batch(FRAMES, FRAMES)
    assert module.bones_mm.item() == pytest.approx(BONES_MM)
    module.bones_mm.fill_(3000.0)
    answer = module.predict(batch)
    bones = limb_lengths(answer.joints_3d, H36M_17.bones).sum(-1)
    torch.testing.assert_close(bones, torch.full_like(bones, 3000.0))
    assert set(answer.extras) == {ORACLE_FACTOR}
    assert not module.predict(replace(batch, joints_3d=None)).extras
    told = module.describe()
    assert told["scale"] == "mean size of the people of the training"
    assert "scale" not in make_module().describe()


def test_true_factor_gives_back_the_true_size(make_batch):
    """A network that answers the target itself is right but for what is off the axis."""
    module, batch = make_module(answer="image").eval(), make_batch(FRAMES, FRAMES)
    target = module.network_target(batch)
    module.estimate = lambda _: target
    answer = module.predict(batch)
    true = root_relative(batch.joints_3d, H36M_17.root)
    error = (answer.extras[ORACLE_FACTOR] - true).norm(dim=-1).mean()
    alike = (answer.joints_3d - true).norm(dim=-1).mean()
    assert error < 40 < alike  # these people have bones of several metres


def test_depth_of_the_first_frame_holds_for_a_window(make_batch):
    module = make_module(answer="image", root="first_frame")
    batch = make_batch(FRAMES, FRAMES)
    depth = torch.linspace(4000, 5000, FRAMES)
    batch.joints_3d[..., 2] += (depth - batch.joints_3d[:, :, 0, 2])[..., None]
    target = module.network_target(batch)
    assert (target[:, 0, 0, 2] == 0).all()
    assert (target[:, :, 0, 2].diff(dim=1) > 0).all()
    relative = make_module(answer="image").network_target(batch)
    torch.testing.assert_close(root_relative(target, 0), relative, rtol=1e-4, atol=1e-5)
    answer = module.eval().predict(batch).joints_3d
    assert (answer[..., 0, :] == 0).all()


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["metric", "image"])
def test_one_batch_can_be_learnt(answer, make_batch, learn):
    module = make_module(answer=answer, width=32, loss=LossWeights(velocity=0.0))
    first, last = learn(module, make_batch(FRAMES, FRAMES), decay=1.0, steps=60)
    assert last < 0.85 * first


def test_labels_that_do_not_count_change_nothing(make_batch, without_trainer):
    module, batch = without_trainer(make_module()), make_batch(FRAMES, FRAMES)
    visible = torch.ones(batch.joints_3d.shape[:-1], dtype=torch.bool)
    visible[:, 3:] = False
    losses = []
    for shift in (0.0, 500.0):
        moved = batch.joints_3d.clone()
        moved[:, 3:, 4] += shift
        losses.append(
            module.training_step(replace(batch, joints_3d=moved, visible=visible), 0).item()
        )
    assert losses[0] == losses[1]


def test_terms_without_a_weight_are_not_computed(make_batch):
    module, batch = make_module(loss=LossWeights(1, 0, 2, 0, 0, 0, 0)), make_batch(FRAMES, FRAMES)
    answer = module.estimate(batch)
    terms = module.losses(answer, batch)
    assert set(terms) == {"position", "velocity"}
    still = clip_losses(answer[:, :1], answer[:, :1] + 1, None, LossWeights(), H36M_17)
    assert still["velocity"].item() == 0


def test_pretraining_hides_and_disturbs(make_batch, without_trainer, monkeypatch):
    module = without_trainer(
        make_module(pretrain_epochs=1, answer="image", from_2d=0, mask_joints=0.4)
    )
    assert [s.name for s in module.stages()] == ["pretrain", "train"]
    module.begin_stage(Stage(PRETRAIN))
    given, forward = [], module.network.forward
    monkeypatch.setattr(
        module.network, "forward", lambda x, place: given.append(x) or forward(x, place)
    )
    batch = make_batch(FRAMES, FRAMES)
    loss = module.training_step(batch, 0)
    loss.backward()
    labelled, cropped = given
    hidden = (labelled == 0).all(-1)
    assert 0.2 < hidden.float().mean() < 0.7
    torch.testing.assert_close(labelled[~hidden], module.network_input(batch)[~hidden])
    assert cropped.abs().max() <= 1
    assert all(p.grad is not None for p in module.parameters())
    module.begin_stage(Stage("train"))
    module.training_step(batch, 0)
    assert (given[-1] != 0).all()


def test_pretraining_by_the_errors_of_a_file(make_batch, without_trainer, tmp_path):
    path = tmp_path / "synthetic_noise.pth"
    noise = {"mean": torch.zeros(17, 2), "std": torch.full((17, 2), 0.1), "weight": torch.ones(17)}
    torch.save(noise, path)
    module = without_trainer(make_module(pretrain_epochs=1, noise_file=str(path)))
    module.begin_stage(Stage(PRETRAIN))
    batch = make_batch(FRAMES, FRAMES)
    disturbed, clean = module._disturbed(batch), module.network_input(batch)
    error = (disturbed - clean)[..., :2]
    assert 0.03 < error.std() < 0.2
    assert disturbed[..., 2].std() > 0.01
    assert module.training_step(batch, 0).isfinite()
    torch.save({**noise, "std": torch.ones(16, 2)}, path)
    with pytest.raises(CheckpointError, match=r"'std' of shape \(17, 2\).*got \(16, 2\)"):
        module.begin_stage(Stage(PRETRAIN))
    with pytest.raises(ConfigError, match=r"data.target 'all' with method.noise_file"):
        make_module(target="middle", noise_file=str(path))


def test_errors_lie_on_lines_between_key_frames():
    noise = DetectorNoise(torch.zeros(17, 2), torch.zeros(17, 2), torch.zeros(17))
    draws = NoiseDraws.draw(torch.zeros(2, 53, 17, 2))
    draws = draws._replace(shake=torch.zeros_like(draws.shake))
    place = disturb(torch.zeros(2, 53, 17, 2), noise, draws)[..., :2]
    assert place.abs().max() <= 0.03
    torch.testing.assert_close(place[:, 1:-1:2], (place[:, :-2:2] + place[:, 2::2]) / 2)


def test_crops_need_four_keypoints():
    x = torch.rand(2, 1, 17, 3)
    x[0, :, 3:, 2] = 0
    found = crop_scale(x, torch.ones(2))
    assert not found[0].any()
    assert found[1, ..., :2].abs().max() == pytest.approx(1)


# --- weights of the authors -------------------------------------------------------------------


def save(path, state, **beside):
    torch.save({"epoch": 1, "lr": 1e-4, "optimizer": {}, "min_loss": 1.0, **beside} | state, path)
    return path


def test_published_weights_are_read(tmp_path, make_batch):
    module = make_module(answer="image")
    official = export_state(module.network.state_dict(), module.config)
    weights = {f"module.{name}": value for name, value in official.items()}
    path = save(tmp_path / "best_epoch.bin", {"model_pos": weights})
    settings = module.settings
    found = convert([path], module.config, settings).state
    other = make_module(answer="image")
    torch.nn.init.normal_(other.network.head.weight)
    other.load_state_dict(found)
    batch = make_batch(FRAMES)
    assert torch.equal(
        module.eval().predict(batch).joints_3d, other.eval().predict(batch).joints_3d
    )
    for change, message in (
        ({"depth": 2}, r"missing .* check which network"),
        ({"width": 32}, r"pos_embed of shape \(1, 17, 32\), got \(1, 17, 16\)"),
        ({"max_frames": 9}, r"temp_embed of shape \(1, 9, 1, 16\), got \(1, 5, 1, 16\)"),
        ({"fusion": False}, r"unknown"),
    ):
        with pytest.raises(CheckpointError, match=message):
            convert([path], replace(module.config, **change), settings)
    for content, message in (
        ({"model": weights}, "under 'model_pos'"),
        ({"model_pos": {"head.weight": 3}}, "a tensor under every name"),
    ):
        with pytest.raises(CheckpointError, match=message):
            convert([save(tmp_path / "other.bin", content)], module.config, settings)
    with pytest.raises(MissingDataError, match=r"nowhere.bin, found no file"):
        convert([tmp_path / "nowhere.bin"], module.config, settings)


class Unsafe:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "unsafe.bin"
    torch.save({"model_pos": Unsafe()}, path)
    with pytest.raises(CheckpointError, match="refused"):
        convert([path], Config(**SMALL), ModuleSettings("motionbert", frames=FRAMES))
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"width": 15}, "width"),
        ({"depth": 0}, "depth"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
        ({"max_frames": 0}, "max_frames"),
        ({"mask_frames": 1.0}, "mask_frames"),
        ({"pretrain_epochs": -1}, "pretrain_epochs"),
        ({"from_2d": 3}, "from_2d"),
        ({"root": "first_frame"}, "root"),
        ({"loss": {"velocity": -1.0}}, "loss.velocity"),
        ({"loss": {"position": 0.0, "scale": 0.0, "velocity": 0.0}}, "loss.position"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**(SMALL | options))
