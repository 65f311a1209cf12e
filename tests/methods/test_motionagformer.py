"""MotionAGFormer: sizes, graphs, windows of one length, import of weights, that it can learn."""

from dataclasses import replace

import pytest
import torch

from lifting.errors import CheckpointError, ConfigError, ShapeError
from lifting.experiment.load import load_experiment, method_config
from lifting.methods.clip_config import LossWeights
from lifting.methods.clip_lifter import ORACLE_FACTOR
from lifting.methods.motionagformer.checkpoint import convert, export_state
from lifting.methods.motionagformer.config import Config
from lifting.methods.motionagformer.graph import (
    GraphMixer,
    frame_adjacency,
    joint_adjacency,
    similar_frames,
)
from lifting.methods.motionagformer.module import Module
from lifting.methods.motionagformer.network import MotionAgFormer
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17, HUMANEVA_15

FRAMES = 5
SMALL = {"width": 16, "layers": 1, "heads": 2, "representation": 16}


def make_module(frames=FRAMES, target="all", **switches):
    torch.manual_seed(0)
    config = Config(**(SMALL | switches))
    return Module(config, ModuleSettings("motionagformer", frames=frames, target=target))


SIZES = {
    "xs": (27, 2_241_531, 801),
    "s": (81, 4_817_119, 1725),
    "b": (243, 11_723_811, 1065),
    "l": (243, 19_007_111, 1725),
    "b, 81 frames": (81, 11_718_627, 1065),
    "l, 81 frames": (81, 18_998_687, 1725),
}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_the_released_ones(size):
    letter, _, other = size.partition(", ")
    overrides = [] if letter == "l" else [f"extends=overlay/motionagformer_{letter}_released"]
    overrides += ["data.frames=81"] if other else []
    experiment = load_experiment("motionagformer_released", overrides)
    frames, numbers, tensors = SIZES[size]
    assert (experiment.data.frames, experiment.optimizer.lr) == (frames, 5e-4)
    assert experiment.data.train_every == (frames // 3 if not other else 81)
    config = method_config(experiment.method)
    assert config.joint_graph == "released"
    with torch.device("meta"):
        network = MotionAgFormer(H36M_17, frames, config)
    assert sum(p.numel() for p in network.parameters()) == numbers
    assert len(network.state_dict()) == tensors


def test_released_graph_of_joints_lacks_three_ways():
    ours = joint_adjacency(H36M_17, released=False)
    released = joint_adjacency(H36M_17, released=True)
    assert torch.equal(ours, ours.T)
    assert not (released & ~ours).any()
    names = H36M_17.joints
    missing = {(names[i], names[j]) for i, j in (ours & ~released).nonzero().tolist()}
    assert missing == {
        ("hip", "left_hip"), ("thorax", "left_shoulder"), ("thorax", "right_shoulder"),
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"17 joints with method.joint_graph 'released', got 15"):
        joint_adjacency(HUMANEVA_15, released=True)


def test_frames_that_are_alike_are_neighbours():
    z = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])[None]
    wanted = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 1, 1]])
    assert torch.equal(similar_frames(z, 2)[0], wanted)
    assert similar_frames(torch.ones(1, 4, 2), 2).all()  # equally alike, all of them
    assert similar_frames(z, 9).all()
    assert not similar_frames(z.requires_grad_(), 2).requires_grad
    assert frame_adjacency(4, 1).long().tolist() == [
        [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1],
    ]  # fmt: skip


@pytest.mark.parametrize("constant", [True, False])
def test_graph_mixer_equals_its_definition(constant):
    torch.manual_seed(0)
    adjacency = joint_adjacency(H36M_17, released=True) if constant else None
    mixer = GraphMixer(6, 17, "joints", adjacency, 3).double().eval()
    mixer.norm.running_mean.normal_()
    mixer.norm.running_var.uniform_(0.5, 2)
    z = torch.randn(2, 17, 6, dtype=torch.float64)
    links = adjacency.double() if constant else similar_frames(z, 3)
    root = torch.diag_embed(links.sum(-1) ** -0.5)
    mixed = root @ links @ root @ mixer.others(z) + mixer.own(z)
    torch.testing.assert_close(mixer(z[None])[0], torch.relu(z + mixer.norm(mixed)))


@pytest.mark.parametrize("frame_graph", ["similarity", "fixed", "tcn"])
@pytest.mark.parametrize("streams", ["adaptive", "mean", "hierarchical"])
def test_every_form_answers_and_learns(frame_graph, streams, make_batch, without_trainer):
    form = {"frame_graph": frame_graph, "streams": streams}
    module = without_trainer(make_module(**form, layer_scale=None))
    batch = make_batch(FRAMES, FRAMES)
    module.training_step(batch, 0).backward()
    assert all(p.grad is not None for p in module.parameters())
    answer = module.eval().predict(batch).joints_3d
    assert answer.shape == (8, FRAMES, 17, 3)
    assert (answer[..., H36M_17.root, :] == 0).all()


def test_one_batch_can_be_learnt(make_batch, learn):
    module = make_module(width=32, layer_scale=1.0, loss=LossWeights(velocity=0.0))
    first, last = learn(module, make_batch(FRAMES, FRAMES), decay=1.0, steps=60)
    assert last < 0.85 * first


def test_windows_have_one_length(make_batch):
    module = make_module().eval()
    with pytest.raises(ShapeError, match=r"frames=5.*\(8, 6, 17, 3\)|\(8, 6, 17, 3\).*5"):
        module.predict(make_batch(6))
    middle = make_module(target="middle").eval().predict(make_batch(FRAMES)).joints_3d
    whole = module.predict(make_batch(FRAMES)).joints_3d
    torch.testing.assert_close(middle, whole[:, 2:3])
    image = make_module(answer="image").eval().predict(make_batch(FRAMES, FRAMES))
    assert set(image.extras) == {ORACLE_FACTOR}


FORMS = [
    {},
    {"bare_graphs": True},
    {"frame_graph": "tcn"},
    {"streams": "hierarchical", "layer_scale": None, "qkv_bias": True},
]


@pytest.mark.parametrize("form", FORMS)
def test_published_weights_are_read(form, tmp_path, make_batch):
    module = make_module(**form).eval()
    official = export_state(module.network.state_dict(), module.config)
    path = tmp_path / "motionagformer-s-h36m.pth.tr"
    weights = {f"module.{name}": value for name, value in official.items()}
    beside = {"epoch": 3, "lr": 1e-4, "optimizer": {}, "min_mpjpe": 40.0, "wandb_id": "a"}
    torch.save({**beside, "model": weights}, path)
    other = make_module(**form).eval()
    torch.nn.init.normal_(other.network.head.weight)
    other.load_state_dict(convert([path], module.config, module.settings).state)
    batch = make_batch(FRAMES)
    assert torch.equal(module.predict(batch).joints_3d, other.predict(batch).joints_3d)
    for change, message in (({"layers": 2}, "missing"), ({"width": 32}, "of shape")):
        with pytest.raises(CheckpointError, match=message):
            convert([path], replace(module.config, **change), module.settings)
    if form == {}:
        longer = replace(module.settings, frames=9)
        with pytest.raises(CheckpointError, match=r"shape \(9,\), got \(5,\).*data.frames"):
            convert([path], module.config, longer)
        torch.save({**beside, "model_pos": weights}, path)
        with pytest.raises(CheckpointError, match="weights under 'model' in"):
            convert([path], module.config, module.settings)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"width": 15}, "width"),
        ({"width": 6, "streams": "hierarchical"}, "width"),
        ({"width": 10, "frame_graph": "tcn"}, "width"),
        ({"layers": 0}, "layers"),
        ({"neighbours": 0}, "neighbours"),
        ({"links": 0}, "links"),
        ({"mlp_ratio": 0.0}, "mlp_ratio"),
        ({"root": "first_frame"}, "root"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**(SMALL | options))
