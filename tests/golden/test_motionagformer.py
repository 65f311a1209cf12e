"""MotionAGFormer against reference numbers, in our form and in the straightforward one."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch, flip_pose, root_relative
from lifting.geometry.camera import Camera
from lifting.methods.clip_config import LossWeights
from lifting.methods.clip_lifter import to_screen
from lifting.methods.clip_training import clip_losses
from lifting.methods.motionagformer.checkpoint import export_state, import_state
from lifting.methods.motionagformer.config import Config
from lifting.methods.motionagformer.graph import (
    frame_adjacency,
    joint_adjacency,
    similar_frames,
)
from lifting.methods.motionagformer.module import Module
from lifting.methods.motionagformer.network import MotionAgFormer
from lifting.methods.settings import ModuleSettings
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.nn.two_streams import as_sequences
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
from reference.motionagformer import ReferenceMotionAgFormer

FROZEN = Path(__file__).parent / "data" / "motionagformer.npz"
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
TERMS = {
    "pos": "position",
    "scale": "scale",
    "velocity": "velocity",
    "lv": "limb_variance",
    "lg": "limb_length",
    "a": "angle",
    "av": "angle_velocity",
}
JOINTS = len(H36M_17)
VIEWS = {"TS1": (2048.0, 2048.0), "TS5": (1920.0, 1080.0)}


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds motionagformer/")
    path = Path(folder) / "motionagformer" / f"{name}.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def part(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def config_of(g, **switches):
    sizes = {
        "width": int(g["cfg/dim_feat"]),
        "layers": int(g["cfg/n_layers"]),
        "heads": int(g["cfg/num_heads"]),
        "mlp_ratio": float(g["cfg/mlp_ratio"]),
        "representation": int(g["cfg/dim_rep"]),
        "neighbours": int(g["cfg/neighbour_num"]),
        "joint_graph": "released",
    }
    return Config(**(sizes | switches))


def build_module(g, official, **switches):
    """Our module in float64 and evaluation mode, with the weights of the file."""
    config = config_of(g, **switches)
    frames = int(g["cfg/n_frames"])
    module = Module(config, ModuleSettings("motionagformer", frames=frames, target="all"))
    network = module.network
    network.load_state_dict(import_state(official, network.state_dict(), config))
    exported = export_state(network.state_dict(), config)
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in official.items()}
    return module.double().eval()


def build_reference(g):
    network = ReferenceMotionAgFormer(
        joint_adjacency(H36M_17, released=True),
        int(g["cfg/n_frames"]),
        int(g["cfg/dim_feat"]),
        int(g["cfg/n_layers"]),
        int(g["cfg/num_heads"]),
        float(g["cfg/mlp_ratio"]),
        int(g["cfg/dim_rep"]),
        int(g["cfg/neighbour_num"]),
    )
    network.load_state_dict(part(g, "sd/"))
    return network.double().eval()


@pytest.fixture(scope="module")
def model():
    return read("model")


@pytest.fixture(scope="module")
def ours(model):
    return build_module(model, part(model, "sd/"))


@pytest.mark.golden
@torch.no_grad()
def test_forward(model, ours):
    g, x = model, model["x"].double()
    torch.testing.assert_close(ours.network(x), g["y"].double(), **CLOSE)
    torch.testing.assert_close(ours.network.encode(x), g["rep"].double(), **CLOSE)
    torch.testing.assert_close(build_reference(g)(x), g["y"].double(), **CLOSE)
    single = build_module(g, part(g, "sd/")).network.float()(x.float())
    torch.testing.assert_close(single, g["y_float32"], rtol=1e-4, atol=1e-5)


@pytest.mark.golden
@torch.no_grad()
def test_average_with_the_mirrored_input(model, ours):
    g, x = model, model["x"].double()
    both = ours.network(x), flip_pose(ours.network(flipped(x)), H36M_17)
    torch.testing.assert_close((both[0] + both[1]) / 2, g["y_tta"].double(), **CLOSE)
    ours.settings.flip_test = True
    answer = ours.infer(pixel_batch(x)).joints_3d
    ours.settings.flip_test = False
    torch.testing.assert_close(answer, 1000 * g["y_tta_rootzero"].double(), rtol=1e-9, atol=1e-8)


def flipped(x):
    return x[..., list(H36M_17.flip_index), :] * x.new_tensor((-1, 1, 1))


def pixel_batch(x):
    """A batch in images of 2 by 2 pixels, in which a pixel is one screen unit."""
    size = torch.full((len(x), 2), 2.0, dtype=x.dtype)
    lens = torch.tensor([2.0, 2, 1, 1, 0, 0, 0, 0, 0], dtype=x.dtype).repeat(len(x), 1)
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=x[..., :2] + 1,
        confidence=x[..., 2],
        camera=Camera(intrinsics=lens, size=size),
    )


@pytest.mark.golden
@torch.no_grad()
def test_activations(model, ours):
    g, found = model, {}
    layer = ours.network.layers[0]

    def keep(name, module):
        return module.register_forward_hook(lambda _, given, out: found.update({name: out}))

    graph, attention = layer.graph, layer.attention
    hooks = [
        keep("att_spatial", attention["joints"]),
        keep("att_temporal", attention["frames"]),
        keep("graph_spatial_mixer", graph["joints"].mixer),
        keep("graph_spatial", graph["joints"]),
        keep("graph_temporal_mixer", graph["frames"].mixer),
        keep("graph_temporal", graph["frames"]),
        keep("block0", layer),
        keep("z", graph["frames"].mixer_norm),
    ]
    ours.network(g["x"].double())
    for hook in hooks:
        hook.remove()
    both = torch.cat((found["att_temporal"], found["graph_temporal"]), dim=-1)
    found["fusion"] = layer.fusion.logits(both)
    names = [k for k in g if k.startswith("act/")]
    assert {k.removeprefix("act/") for k in names} == found.keys() - {"z"}
    for name in names:
        wanted = g[name].double()
        torch.testing.assert_close(
            found[name.removeprefix("act/")][: len(wanted), : wanted.shape[1]], wanted, **CLOSE
        )
    check_frame_graph(g, as_sequences(found["z"], "frames"))


def check_frame_graph(g, z):
    z = z[: len(g["temporal_similarity"])]
    torch.testing.assert_close(z @ z.mT, g["temporal_similarity"].double(), **CLOSE)
    adjacency = similar_frames(z, int(g["cfg/neighbour_num"]))
    torch.testing.assert_close(adjacency, g["temporal_adj"].double(), rtol=0, atol=0)
    root = adjacency.sum(-1, keepdim=True).rsqrt()
    torch.testing.assert_close(
        root * adjacency * root.mT, g["temporal_adj_norm"].double(), **CLOSE
    )


@pytest.mark.golden
def test_joint_graph(model, ours):
    adjacency = joint_adjacency(H36M_17, released=True).double()
    torch.testing.assert_close(adjacency, model["spatial_adj"].double(), rtol=0, atol=0)
    mixer = ours.network.layers[0].graph["joints"].mixer
    weights = mixer.spread(torch.eye(JOINTS, dtype=torch.float64), adjacency)
    # Made in single precision there.
    torch.testing.assert_close(weights, model["spatial_adj_norm"].double(), rtol=1e-6, atol=1e-7)


SWITCHES = {
    "use_temporal_similarity": {"frame_graph": "fixed"},
    "use_tcn": {"frame_graph": "tcn"},
    "graph_only": {"bare_graphs": True},
    "hierarchical": {"streams": "hierarchical"},
    "use_adaptive_fusion": {"streams": "mean"},
    "use_layer_scale": {"layer_scale": None},
    "qkv_bias": {"qkv_bias": True},
}


@pytest.mark.golden
@torch.no_grad()
def test_variants():
    g = read("variants")
    names = sorted({k.split("/")[0] for k in g if k.endswith("/y")})
    assert len(names) == 8
    for name in names:
        options = part(g, f"{name}/cfg/")
        chosen = {}
        for option in sorted(options):  # hierarchical after the mean that goes with it
            chosen |= SWITCHES.get(option, {})
        if "hierarchical" in options:
            chosen["streams"] = "hierarchical"
        if "temporal_connection_len" in options:
            chosen["links"] = int(options["temporal_connection_len"])
            links = frame_adjacency(int(g["cfg/n_frames"]), chosen["links"]).double()
            torch.testing.assert_close(links, g[f"{name}/temporal_adj"].double(), rtol=0, atol=0)
        module = build_module(g, part(g, f"{name}/sd/"), **chosen)
        answer = module.network(g["x"].double())
        torch.testing.assert_close(
            answer, g[f"{name}/y"].double(), **CLOSE, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.golden
@pytest.mark.parametrize("case", ["released", "all_terms"])
@pytest.mark.parametrize("form", ["ours", "reference"])
def test_training_step(model, case, form):
    """In training mode, by statistics of the batch."""
    g = read("train_step")
    if form == "ours":
        network = build_module(model, part(model, "sd/")).network.train()
    else:
        network = build_reference(model).train()
    given = {TERMS[name]: float(v) for name, v in part(g, f"{case}/lambda/").items()}
    amounts = LossWeights(**given)
    target = root_relative(g["target"].double(), H36M_17.root)
    answer = network(g["x"].double())
    losses = clip_losses(answer, target, None, amounts, H36M_17)
    total = sum(losses.values())
    total.backward()
    for theirs, name in TERMS.items():
        weight = getattr(amounts, name)
        if weight:
            found = losses[name].detach() / weight
            torch.testing.assert_close(found, g[f"{case}/loss/{theirs}"].double(), **CLOSE)
    torch.testing.assert_close(total.detach(), g[f"{case}/loss/total"].double(), **CLOSE)
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
    torch.testing.assert_close(norm, g[f"{case}/grad_norm"].double().reshape(()), **CLOSE)

    def by_official_name(values):
        return export_state(values, config_of(model)) if form == "ours" else values

    slopes = by_official_name({n: p.grad.clone() for n, p in network.named_parameters()})
    wanted = part(g, f"{case}/grad/")
    assert wanted
    for name, value in wanted.items():
        torch.testing.assert_close(slopes[name], value.double(), rtol=1e-8, atol=1e-10)
    if case == "released":
        torch.testing.assert_close(
            answer.detach(), g["released/pred_train_mode"].double(), **CLOSE
        )
        state = by_official_name(network.state_dict())
        buffers = part(g, "released/after_buffer/")
        assert buffers
        for name, value in buffers.items():
            torch.testing.assert_close(state[name], value.double(), **CLOSE)
        torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.01).step()
        after = by_official_name(network.state_dict())
        for name, value in part(g, "released/after/").items():
            firm = slopes[name].abs() > 1e-6  # a first step has the sign of the gradient
            torch.testing.assert_close(
                after[name][firm], value.double()[firm], rtol=1e-6, atol=1e-9
            )


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize("view", VIEWS)
def test_mpi_inf_3dhp(model, ours, view):
    """Units, mirror and centre frames of the other data set, which has the same graph."""
    g = read("mpi")
    root, joints = MPI_INF_3DHP_17.root, MPI_INF_3DHP_17.flip_index
    clips = g[f"{view}/clips_3d"].double()
    size = torch.tensor(VIEWS[view]).double().repeat(len(clips), 1)
    units = root_relative(to_screen(clips, size), root)
    torch.testing.assert_close(
        units, g[f"{view}/clips_3d_normalised"].double(), rtol=1e-6, atol=1e-7
    )
    if view == "TS1":
        mirrored = flip_pose(g["TS1/clips_2d"], MPI_INF_3DHP_17)
        torch.testing.assert_close(mirrored, g["flip_out"].to(mirrored), rtol=0, atol=1e-12)
        pair = g["test_input_pair"].double()
        torch.testing.assert_close(
            pair[:, 1], pair[:, 0][..., list(joints), :] * pair.new_tensor((-1, 1, 1)),
            rtol=0, atol=1e-12,
        )  # fmt: skip
        first, second = (ours.network(pair[:, i]) for i in range(2))
        mean = (first + flip_pose(second, MPI_INF_3DHP_17)) / 2
        torch.testing.assert_close(mean, g["test_out_full"].double(), **CLOSE)
        middle = mean[:, mean.shape[1] // 2, None] * (size[:, None, None, :1] / 2)
        others = torch.arange(len(joints)) != root  # the answer's own root does not count
        centred = denormalised(middle * others[:, None], size)
        wanted = g["test_out_centre_mm_rootrel"].double()
        torch.testing.assert_close(centred, wanted, rtol=1e-9, atol=1e-7)


def denormalised(pose, size):
    """A place in the image's middle is taken off again with the root."""
    return root_relative(pose, MPI_INF_3DHP_17.root)


@pytest.mark.golden
def test_scores():
    g = read("metrics")
    for i in range(len(g["pred_mm"])):
        pair = g["pred_mm"][i].double(), g["gt_mm"][i].double()
        assert mpjpe(*pair).item() == pytest.approx(g["mpjpe"][i].item(), rel=1e-9)
        assert pa_mpjpe(*pair).item() == pytest.approx(g["p_mpjpe"][i].item(), rel=1e-6)


def frozen_case():
    """Answer, losses and gradients of a small network in training."""
    rng = np.random.default_rng(13)
    draw = lambda *shape: torch.from_numpy(rng.uniform(-1, 1, shape))  # noqa: E731
    config = Config(width=12, layers=2, heads=3, mlp_ratio=2.0, representation=10)
    network = MotionAgFormer(H36M_17, 5, config).double()
    for parameter in network.parameters():
        parameter.data.copy_(draw(*parameter.shape) / parameter.shape[-1] ** 0.5)
    x, target = draw(2, 5, 17, 3), 0.4 * draw(2, 5, 17, 3)
    x.requires_grad_()
    answer = network(x)
    losses = clip_losses(answer, target, None, LossWeights(), H36M_17)
    sum(losses.values()).backward()
    norms = torch.stack([p.grad.norm() for p in network.parameters()])
    values = {"answer": answer, "losses": torch.stack(tuple(losses.values()))}
    return {k: v.detach() for k, v in {**values, "grad_x": x.grad, "grad_norms": norms}.items()}


@pytest.mark.golden
def test_own_frozen_output():
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN, allow_pickle=False) as arrays:
        wanted = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    found = frozen_case()
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-9)
