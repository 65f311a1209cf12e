"""FMPose3D against reference numbers: network, loss, steps, hypotheses and their aggregation."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch
from lifting.geometry.camera import Camera, project
from lifting.methods.fmpose3d.aggregate import expectation
from lifting.methods.fmpose3d.checkpoint import export_state, import_state
from lifting.methods.fmpose3d.config import Config
from lifting.methods.fmpose3d.flow import flow_loss, integrate, path_at, sample
from lifting.methods.fmpose3d.module import Module
from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.methods.settings import ModuleSettings
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.nn.graph import partitioned_adjacency
from lifting.nn.hypotheses import average
from lifting.skeleton import H36M_17
from reference.fmpose3d import ReferenceVelocity

FROZEN = Path(__file__).parent / "data" / "fmpose3d.npz"
EXACT = {"rtol": 1e-9, "atol": 1e-11}
BLOCK = "FMPose3D.blocks."
SETTINGS = ModuleSettings("fmpose3d")
pytestmark = pytest.mark.golden


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds fmpose3d/")
    with np.load(Path(folder) / "fmpose3d" / f"{name}.npz", allow_pickle=False) as arrays:
        named = {key: arrays[key] for key in arrays.files}
    return {k: v if v.dtype.kind == "U" else torch.from_numpy(v) for k, v in named.items()}


def official_state(arrays):
    return {k.removeprefix("sd/"): v for k, v in arrays.items() if k.startswith("sd/")}


def config_of(arrays, **switches):
    """The sizes of a network from the shapes of its weights, its sampling from the file."""
    state = official_state(arrays)
    layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith(BLOCK))
    sizes = {
        "width": len(state["encoder.fc2.bias"]),
        "layers": layers,
        "perceptron": len(state[f"{BLOCK}0.mlp.fc1.bias"]),
        "time_width": 2 * len(state["time_embed.B"]),
        "steps": int(arrays["cfg/steps"]),
        "hypotheses": int(arrays["cfg/N"]),
        "kept": int(arrays["cfg/topk"]),
        "temperature": float(arrays["cfg/exp_temp"]),
    }
    return Config(**{**sizes, **switches})


def build_module(**switches):
    """Module in evaluation mode and float64, with the weights of the file."""
    arrays = read("model")
    config = config_of(arrays, **switches)
    module = Module(config, SETTINGS).double()
    module.network.load_state_dict(import_state(official_state(arrays), config, H36M_17).state)
    return module.double().eval()


def build_network():
    return build_module().network


def pixel_batch(screen, camera=None, truth=None):
    """A batch in images of 2 by 2 pixels, in which a pixel is one screen unit; mm."""
    size = torch.full((len(screen), 2), 2.0, dtype=torch.float64)
    lens = torch.tensor([[2.0, 2, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    lens = lens.repeat(len(screen), 1) if camera is None else camera.clone()
    lens[:, 2:4] += 1
    if truth is not None:
        truth = 1000 * truth
        truth[..., 1:, :] += truth[..., :1, :]
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=screen + 1,
        joints_3d=truth,
        camera=Camera(intrinsics=lens, size=size),
    )


def test_graph():
    g = read("model")
    torch.testing.assert_close(partitioned_adjacency(H36M_17), g["graph_A"], **EXACT)
    ours = partitioned_adjacency(H36M_17).float()
    assert torch.equal(ours, g["graph_A_float32"])
    assert torch.equal(ours, g["sd/A"])
    edges = {tuple(sorted(pair)) for pair in g["edges"].tolist()}
    found = {tuple(sorted(pair)) for pair in ours.sum(0).nonzero().tolist()}
    assert found == edges


def test_numbers_and_names_of_the_weights():
    g = read("model")
    state = official_state(g)
    module = build_module()
    graphs = [k for k in state if k == "A" or k.endswith(".adj")]
    assert export_state(module.network.state_dict(), module.config).keys() == (
        state.keys() - graphs
    )
    buffers = {*graphs, "time_embed.B"}
    expected = sum(v.numel() for k, v in state.items() if k not in buffers)
    assert sum(p.numel() for p in module.network.parameters()) == expected


@torch.no_grad()
def test_forward_and_activations():
    g = read("model")
    network, found = build_network(), {}
    block = network.blocks[0]
    parts = {"time_embed": network.time, "encoder": network.encoder, "gcn0": block.graph}
    parts |= {"attn0": block.attention, "block0": block, "features": network.norm}
    for name, part in parts.items():
        part.register_forward_hook(lambda _, inputs, out, name=name: found.update({name: out}))
    velocity = network(g["pose_2d"][:, 0], g["y_t"][:, 0], g["t"].flatten())
    torch.testing.assert_close(velocity, g["v"][:, 0], **EXACT)
    names = {k.removeprefix("act/") for k in g if k.startswith("act/")}
    assert names == set(found)
    for name in names:
        wanted = g[f"act/{name}"]
        torch.testing.assert_close(found[name], wanted.view(found[name].shape), **EXACT)


@torch.no_grad()
def test_frames_do_not_see_one_another():
    g = read("model")
    uv, pose, time = (g[f"{name}_F3"].flatten(0, 1) for name in ("pose_2d", "y_t", "t"))
    velocity = build_network()(uv, pose, time.flatten())
    torch.testing.assert_close(velocity, g["v_F3"].flatten(0, 1), **EXACT)


@torch.no_grad()
def test_forward_in_float32():
    g = read("model")
    arguments = (g["pose_2d"][:, 0], g["y_t"][:, 0], g["t"].flatten())
    velocity = build_network().float()(*(value.float() for value in arguments))
    torch.testing.assert_close(velocity, g["v_float32"][:, 0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_forward_of_the_reference_form():
    g = read("model")
    config = config_of(g)
    network = ReferenceVelocity(g["sd/A"], config).double()
    network.load_state_dict(official_state(g))
    arguments = (g["pose_2d"][:, 0], g["y_t"][:, 0], g["t"].flatten())
    torch.testing.assert_close(network.double().eval()(*arguments), g["v"][:, 0], **EXACT)


@pytest.mark.parametrize("target", ["root_absolute", "root_zero"])
def test_path_and_loss(target):
    g = read("train_step")
    wanted = {k.removeprefix(f"{target}/"): v for k, v in g.items() if k.startswith(target)}
    module = build_module()
    module.config.root_target = target.removeprefix("root_")
    truth = g["root_absolute/gt_3D"]
    end = module.path_end(pixel_batch(g["pose_2d"], truth=truth))
    torch.testing.assert_close(end, wanted["gt_3D"], **EXACT)
    path = path_at(wanted["x0"][:, 0], end[:, 0], wanted["t"].flatten())
    torch.testing.assert_close(path.state, wanted["y_t"][:, 0], **EXACT)
    torch.testing.assert_close(path.velocity, wanted["v_target"][:, 0], **EXACT)
    velocity = module.network(g["pose_2d"][:, 0], path.state, path.time)
    torch.testing.assert_close(velocity, wanted["v_pred"][:, 0], **EXACT)
    loss = flow_loss(module.network, g["pose_2d"][:, 0], path, None)
    torch.testing.assert_close(loss, wanted["loss"], **EXACT)
    loss.backward()
    norm = torch.stack([p.grad.norm() for p in module.network.parameters()]).norm()
    torch.testing.assert_close(norm, wanted["grad_norm"], **EXACT)


def test_training_step():
    """Gradients, and the weights after a step of Adam where their sign is no rounding."""
    g = read("train_step")
    module = build_module()
    network, config = module.network, module.config
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, amsgrad=True)
    wanted = {k.removeprefix("root_absolute/"): v for k, v in g.items()}
    path = path_at(wanted["x0"][:, 0], wanted["gt_3D"][:, 0], wanted["t"].flatten())
    flow_loss(network, g["pose_2d"][:, 0], path, None).backward()
    gradients = export_state({k: p.grad for k, p in network.named_parameters()}, config)
    optimizer.step()
    after = export_state(network.state_dict(), config)
    names = [k.removeprefix("grad/") for k in wanted if k.startswith("grad/")]
    assert names
    for name in names:
        torch.testing.assert_close(gradients[name], wanted[f"grad/{name}"], **EXACT)
        clear = wanted[f"grad/{name}"].abs() > 1e-6
        found, expected = after[name][clear], wanted[f"after/{name}"][clear]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-8)


@torch.no_grad()
def test_euler_steps():
    g, network = read("sampling"), build_network()
    counts = {k.split("/")[1] for k in g if k.endswith("/states")}
    assert len(counts) > 1
    for name in counts:
        states, times = g[f"euler/{name}/states"][:, :, 0], g[f"euler/{name}/t"]
        steps = len(times)
        torch.testing.assert_close(times, torch.arange(steps).double() / steps, **EXACT)
        torch.testing.assert_close(states[0], g["euler/y0"][:, 0], **EXACT)
        for i, time in enumerate(times):
            velocity = network(g["pose_2d"][:, 0], states[i], time[None])
            torch.testing.assert_close(states[i] + velocity / steps, states[i + 1], **EXACT)
        found = integrate(network, g["pose_2d"][:, 0], states[0], steps)
        torch.testing.assert_close(found, g[f"euler/{name}/y1"][:, 0], **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("form", ["flip", "noflip"])
def test_hypotheses_and_their_aggregation(form):
    """The authors' test loop, whose noise is that of the file, through ``predict``."""
    g = read("sampling")
    mirrored = form == "flip"
    several = mirrored or int(read("model")["cfg/N"]) > 1
    module = build_module(flip=mirrored, root="truth" if several else "estimated")
    noise, wanted = g[f"{form}/noise"][:, :, 0], g[f"{form}/hyp"][:, :, 0]
    if mirrored:  # theirs: plain and mirrored in turn, the mirrored answer listed first
        noise = torch.cat((noise[0::2], noise[1::2]))
        wanted = torch.cat((wanted[1::2], wanted[0::2]))
    batch = pixel_batch(g["pose_2d"], g["cam"], g["gt_3D"])
    batch.extras["noise"] = noise
    answer = module.predict(batch)
    found = answer.hypotheses if several else answer.joints_3d[:, None]
    torch.testing.assert_close(found[:, :, 0].transpose(0, 1) / 1000, wanted, **EXACT)
    oracle = answer.extras["oracle_root"] if several else answer.joints_3d
    torch.testing.assert_close(oracle / 1000, g[f"{form}/agg"], rtol=1e-7, atol=1e-9)
    assert torch.allclose(answer.joints_3d, oracle) is not several
    target = 1000 * g[f"{form}/target_rootrel"]
    for i in range(len(target)):
        plain, aligned = (g[f"{form}/{p}_mm_per_sample"][i].item() for p in ("p1", "p2"))
        assert mpjpe(oracle[i], target[i]).item() == pytest.approx(plain, rel=1e-6)
        assert pa_mpjpe(oracle[i], target[i]).item() == pytest.approx(aligned, rel=1e-6)


@torch.no_grad()
def test_mean_over_actions():
    """Position errors by action are those of the authors; their aligned ones are a batch mean."""
    g = read("sampling")
    actions = [name.split(" ")[0] for name in g["action"]]
    errors = g["flip/p1_mm_per_sample"]
    means = []
    for name in sorted(set(actions)):
        rows = torch.tensor([a == name for a in actions])
        means.append(errors[rows].mean())
        torch.testing.assert_close(means[-1], g[f"flip/p1_mm/{name}"], **EXACT)
        aligned = g["flip/p2_mm_per_sample"].mean()
        torch.testing.assert_close(aligned, g[f"flip/p2_mm/{name}"], **EXACT)
    torch.testing.assert_close(torch.stack(means).mean(), g["flip/p1_mm_action_mean"], **EXACT)


@torch.no_grad()
def test_mean_of_a_plain_and_a_mirrored_draw():
    """The authors' interface for images."""
    g = read("sampling")
    module = build_module(hypotheses=1, aggregation="mean")
    batch = pixel_batch(g["pose_2d"])
    batch.extras["noise"] = g["api/noise"][:, :, 0]
    answer = module.predict(batch).joints_3d / 1000
    wanted = g["api/out"].clone()
    wanted[..., 0, :] = 0
    torch.testing.assert_close(answer, wanted, **EXACT)


@torch.no_grad()
def test_reprojection_and_aggregation():
    g = read("aggregation")
    hypotheses, truth = g["hyp"], g["gt_3D"]
    placed = hypotheses[:, :, 0] + truth[:, 0, :1]
    torch.testing.assert_close(project(placed, g["cam"]), g["reproj"], **EXACT)
    module = build_module()
    batch = pixel_batch(g["pose_2d"], g["cam"], truth)
    errors = module.screen_errors(1000 * hypotheses, batch, batch.joints_3d[..., 0, :])
    others = slice(1, None)  # theirs is zero at the root
    torch.testing.assert_close(
        errors[:, :, 0, others], g["dist"][..., others], rtol=1e-7, atol=1e-9
    )
    for kept, temperature, wanted in zip(g["rpea/k"], g["rpea/temp"], g["rpea/out"], strict=True):
        found = expectation(hypotheses, g["dist"][:, :, None], int(kept), float(temperature))
        torch.testing.assert_close(found, wanted, **EXACT)
    torch.testing.assert_close(average(hypotheses, "mean"), g["mean"], **EXACT)
    module.config.aggregation, module.config.root = "best_joint", "truth"
    best = module._oracles(1000 * hypotheses, batch)["oracle_root"]
    torch.testing.assert_close(best / 1000, g["best_by_2d"], **EXACT)


def test_position_errors():
    g = read("aggregation")
    aligned = [
        pa_mpjpe(1000 * a, 1000 * b).item() / 1000
        for a, b in zip(g["p_mpjpe_in"], g["p_mpjpe_gt"], strict=True)
    ]
    assert aligned == pytest.approx(g["p_mpjpe"].tolist(), rel=1e-9)


def frozen_case():
    """Loss, gradients and hypotheses of a small network."""
    rng = np.random.default_rng(7)
    draw = lambda *shape: torch.from_numpy(rng.uniform(-1, 1, shape))  # noqa: E731
    config = Config(width=16, layers=2, heads=4, perceptron=24, time_width=8, steps=2)
    network = VelocityNetwork(H36M_17, config).double().eval()
    network.time.frequencies.copy_(draw(4))
    for parameter in network.parameters():
        parameter.data.copy_(draw(*parameter.shape) / parameter.shape[-1] ** 0.5)
    uv, pose, noise = draw(3, 17, 2), draw(3, 17, 3), draw(4, 3, 17, 3)
    path = path_at(noise[0], pose, (1 + draw(3)) / 2)
    loss = flow_loss(network, uv, path, None)
    loss.backward()
    norms = torch.stack([p.grad.norm() for p in network.parameters()])
    found = sample(network, uv.expand(4, -1, -1, -1), noise, config.steps)
    answer = expectation(found, draw(4, 3, 17).abs(), 3, 0.1)
    values = {"loss": loss, "grad_norms": norms, "hypotheses": found, "answer": answer}
    return {k: v.detach() for k, v in values.items()}


def test_own_frozen_output():
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN, allow_pickle=False) as arrays:
        wanted = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    found = frozen_case()
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9)
