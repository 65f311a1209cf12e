"""MotionBERT against reference numbers, in our form and in the straightforward one."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch, flip_pose, root_relative
from lifting.data.window import inner_windows
from lifting.geometry.camera import Camera, normalize_screen
from lifting.methods.clip_config import LossWeights
from lifting.methods.clip_lifter import from_image, to_screen
from lifting.methods.clip_training import clip_losses
from lifting.methods.motionbert.checkpoint import export_state, import_state
from lifting.methods.motionbert.config import Config
from lifting.methods.motionbert.corruption import (
    ConfidenceModel,
    DetectorNoise,
    NoiseDraws,
    crop_scale,
    disturb,
    hide,
)
from lifting.methods.motionbert.module import Module
from lifting.methods.motionbert.network import Dstformer
from lifting.methods.settings import ModuleSettings
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.nn import clip_loss
from lifting.skeleton import H36M_17
from reference.motionbert import ReferenceDstformer

FROZEN = Path(__file__).parent / "data" / "motionbert.npz"
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
BONES = H36M_17.bones
PAIRS = clip_loss.meeting_bones(H36M_17)
TALL = ("54138969", "60457274")  # cameras of 1000 by 1002 pixels, the others 1000 by 1000
SHIFTED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds motionbert/")
    with np.load(Path(folder) / "motionbert" / f"{name}.npz", allow_pickle=False) as arrays:
        return {
            key: arrays[key] if arrays[key].dtype.kind == "U" else torch.from_numpy(arrays[key])
            for key in arrays.files
        }


def doubles(arrays):
    """The same with all numbers in float64, as the network they were made by."""
    return {
        k: v.double() if getattr(v, "is_floating_point", bool)() else v for k, v in arrays.items()
    }


def official_state(arrays):
    return {k.removeprefix("sd/"): v for k, v in arrays.items() if k.startswith("sd/")}


def config_of(g, **switches):
    return Config(
        width=int(g["cfg/dim_feat"]),
        depth=int(g["cfg/depth"]),
        heads=int(g["cfg/num_heads"]),
        mlp_ratio=float(g["cfg/mlp_ratio"]),
        representation=int(g["cfg/dim_rep"]),
        max_frames=int(g["cfg/maxlen"]),
        **switches,
    )


def build_module(g, **switches):
    """Our module in float64 and evaluation mode, with the weights of the file."""
    config = config_of(g, **switches)
    settings = ModuleSettings("motionbert", frames=int(g["cfg/T"]), target="all")
    module = Module(config, settings)
    official = official_state(g)
    if not config.fusion:
        official = {k: v for k, v in official.items() if not k.startswith("ts_attn.")}
    network = module.network
    network.load_state_dict(import_state(official, network.state_dict(), config))
    exported = export_state(network.state_dict(), config)
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in official.items()}
    return module.double().eval()


def build_reference(g):
    config = config_of(g)
    network = ReferenceDstformer(
        len(H36M_17),
        config.max_frames,
        config.width,
        config.depth,
        config.heads,
        config.mlp_ratio,
        config.representation,
    )
    network.load_state_dict(official_state(g))
    return network.double().eval()


@pytest.fixture(scope="module")
def model():
    return doubles(read("model"))


@pytest.mark.golden
@pytest.mark.parametrize("form", ["ours", "reference"])
@torch.no_grad()
def test_forward(model, form):
    g = model
    network = build_module(g).network if form == "ours" else build_reference(g)
    torch.testing.assert_close(network(g["x"]), g["y"], **CLOSE)
    half = g["x"].shape[1] // 2
    torch.testing.assert_close(network(g["x"][:, :half]), g["y_short"], **CLOSE)
    single = network.float()(g["x"].float())
    torch.testing.assert_close(single.double(), g["y_float32"], rtol=1e-4, atol=1e-5)


@pytest.mark.golden
@torch.no_grad()
def test_representation_and_mean_of_streams(model):
    g = model
    torch.testing.assert_close(build_module(g).network.encode(g["x"]), g["rep"], **CLOSE)
    mean = build_module(g, fusion=False).network
    torch.testing.assert_close(mean(g["x"]), g["y_mean_fusion"], **CLOSE)


@pytest.mark.golden
@torch.no_grad()
def test_activations(model):
    g, found = model, {}
    network = build_module(g).network

    def keep(name, part):
        part.register_forward_hook(lambda _, given, out: found.update({name: out.flatten(0, 1)}))

    first = network.layers[0]
    first.register_forward_pre_hook(
        lambda _, given: found.update({"embed": given[0].flatten(0, 1)})
    )
    a, b = first.joints_first, first.frames_first
    keep("st0_attn_s", a["joints"].mixer)
    keep("st0_attn_t", a["frames"].mixer)
    keep("st0", a["frames"])
    keep("ts0", b["joints"])
    keep("norm", network.norm)
    network(g["x"])
    logits = first.fusion.logits(torch.cat((found["st0"], found["ts0"]), dim=-1))
    found |= {"fusion_logits0": logits, "alpha0": logits.softmax(-1)}
    names = [k for k in g if k.startswith("act/")]
    assert {k.removeprefix("act/") for k in names} == set(found)
    for name in names:
        values = found[name.removeprefix("act/")]
        torch.testing.assert_close(values[: len(g[name])], g[name], **CLOSE)


def pixel_batch(x, joints_3d=None):
    """A batch in images of 2 by 2 pixels, in which a pixel is one screen unit."""
    size = torch.full((len(x), 2), 2.0, dtype=x.dtype)
    lens = torch.tensor([2.0, 2, 1, 1, 0, 0, 0, 0, 0], dtype=x.dtype).repeat(len(x), 1)
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=x[..., :2] + 1,
        confidence=x[..., 2],
        camera=Camera(intrinsics=lens, size=size),
        joints_3d=joints_3d,
    )


@pytest.mark.golden
@torch.no_grad()
def test_average_with_the_mirrored_input(model):
    g = model
    module = build_module(g)
    module.settings.flip_test = True
    answer = module.infer(pixel_batch(g["x"])).joints_3d
    torch.testing.assert_close(answer, 1000 * g["y_tta_rootzero"], rtol=1e-9, atol=1e-8)
    both = (module.network(g["x"]), module.network(flipped(g["x"])))
    mean = (both[0] + flip_pose(both[1], H36M_17)) / 2
    torch.testing.assert_close(mean, g["y_tta"], **CLOSE)


def flipped(x):
    return x[..., list(H36M_17.flip_index), :] * x.new_tensor((-1, 1, 1))


@pytest.mark.golden
def test_losses_and_their_gradients():
    g = read("losses")
    target, found = g["target"], {}
    for theirs, ours in TERMS.items():
        predicted = g["pred"].clone().requires_grad_()
        amounts = LossWeights(**{name: float(name == ours) for name in TERMS.values()})
        (loss,) = clip_losses(predicted, target, None, amounts, H36M_17).values()
        loss.backward()
        torch.testing.assert_close(loss.detach(), g[f"loss/{theirs}"], **CLOSE)
        torch.testing.assert_close(predicted.grad, g[f"grad/{theirs}"], **CLOSE)
        alone = clip_losses(g["pred"][:, :1], target[:, :1], None, amounts, H36M_17)[ours]
        found[theirs] = alone.double()
    singles = {k: v for k, v in g.items() if k.startswith("single_frame/")}
    assert set(singles) == {f"single_frame/{name}" for name in found}
    for name, value in found.items():
        torch.testing.assert_close(value, g[f"single_frame/{name}"].double(), **CLOSE)


@pytest.mark.golden
def test_weights_of_labels_leave_out_what_they_hide():
    """Terms by weights of one or zero are those of the frames that are left."""
    g = read("losses")
    amounts = LossWeights(1, 1, 1, 0, 1, 1, 1)
    half = g["pred"].shape[1] // 2
    weights = torch.ones(g["pred"].shape[:-1], dtype=torch.bool)
    weights[:, half:] = False
    hidden = clip_losses(g["pred"], g["target"], weights, amounts, H36M_17)
    cut = clip_losses(g["pred"][:, :half], g["target"][:, :half], None, amounts, H36M_17)
    for name, value in cut.items():
        torch.testing.assert_close(hidden[name], value, **CLOSE)


@pytest.mark.golden
def test_limbs_angles_and_image_loss():
    g = read("losses")
    lengths = clip_loss.limb_lengths(g["pred"], BONES)
    torch.testing.assert_close(lengths, g["limb_lengths"], **CLOSE)
    angles = clip_loss.limb_angles(g["pred"], BONES, PAIRS)
    torch.testing.assert_close(angles.sort(-1).values, g["angles"].sort(-1).values, **CLOSE)
    predicted = g["pred"].clone().requires_grad_()
    loss = clip_loss.image_loss(predicted[..., :2], g["target"][..., :2], g["conf"][..., 0])
    loss.backward()
    torch.testing.assert_close(loss.detach(), g["loss/2d_weighted"], **CLOSE)
    torch.testing.assert_close(predicted.grad, g["grad/2d_weighted"], **CLOSE)


@pytest.mark.golden
def test_scores_of_frames():
    g = read("losses")
    for i, (plain, aligned) in enumerate(
        zip(g["metric/mpjpe_per_frame"], g["metric/p_mpjpe_per_frame"], strict=True)
    ):
        pair = 1000 * g["pred"][0, i], 1000 * g["target"][0, i]
        assert mpjpe(*pair).item() == pytest.approx(1000 * plain.item(), rel=1e-9)
        assert pa_mpjpe(*pair).item() == pytest.approx(1000 * aligned.item(), rel=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("case", ["released", "all_terms"])
@pytest.mark.parametrize("form", ["ours", "reference"])
def test_training_step(model, case, form):
    g = doubles(read("train_step"))
    network = build_module(model).network if form == "ours" else build_reference(model)
    given = {n: g.get(f"{case}/lambda/{n}") for n in TERMS}
    amounts = LossWeights()
    if given["lv"] is not None:
        names = {"pos": 1.0, **{k: float(v) for k, v in given.items() if v is not None}}
        amounts = LossWeights(**{TERMS[k]: v for k, v in names.items()})
    target = root_relative(g["target"], H36M_17.root)
    answer = network(g["x"])
    losses = clip_losses(answer, target, None, amounts, H36M_17)
    total = sum(losses.values())
    total.backward()
    for theirs, ours in TERMS.items():
        weight = getattr(amounts, ours)
        if weight:
            torch.testing.assert_close(
                losses[ours].detach() / weight, g[f"{case}/loss/{theirs}"], **CLOSE
            )
    torch.testing.assert_close(total.detach(), g[f"{case}/loss/total"], **CLOSE)
    if case == "released":
        torch.testing.assert_close(answer.detach(), g["released/pred"], **CLOSE)
        torch.testing.assert_close(target, g["released/target_rootrel"], **CLOSE)
    norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters()])
    torch.testing.assert_close(norm, g[f"{case}/grad_norm"].reshape(()), **CLOSE)

    def by_official_name(value):
        values = {name: value(p) for name, p in network.named_parameters()}
        return export_state(values, config_of(model)) if form == "ours" else values

    slopes = by_official_name(lambda p: p.grad)
    checked = [k for k in g if k.startswith(f"{case}/grad/")]
    assert checked
    for key in checked:
        torch.testing.assert_close(slopes[key.removeprefix(f"{case}/grad/")], g[key], **CLOSE)
    if case == "released":
        slopes = {k: v.clone() for k, v in slopes.items()}
        torch.optim.AdamW(network.parameters(), lr=2e-4, weight_decay=0.01).step()
        after = by_official_name(lambda p: p.detach())
        for key in (k for k in g if k.startswith("released/after/")):
            name = key.removeprefix("released/after/")
            firm = slopes[name].abs() > 1e-6  # a first step has the sign of the gradient
            torch.testing.assert_close(after[name][firm], g[key][firm], rtol=1e-6, atol=1e-9)


# --- the released data and evaluation ---------------------------------------------------------


def sizes(cameras):
    """Width and height, ``(frames, 2)``."""
    return torch.tensor(
        [[1000.0, 1002.0 if c in TALL else 1000.0] for c in cameras.tolist()]
    ).double()


@pytest.mark.golden
def test_normalisation_of_data():
    g = read("evaluation")
    index, size = g["test_clip_index"], sizes(g["in/camera_name"])
    screen = normalize_screen(g["in/joint_2d"], size)
    given = torch.cat((screen, g["in/confidence"][..., None]), dim=-1)
    torch.testing.assert_close(given.float()[index], g["test_input"], rtol=0, atol=2e-7)
    label = to_screen(g["in/joint3d_image"][:, None], size)[:, 0]
    torch.testing.assert_close(label.float()[index], g["test_label"], rtol=0, atol=2e-7)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("case", "root", "flip", "gt_2d"),
    [
        ("rootrel_flip", "relative", True, False),
        ("rootrel", "relative", False, False),
        ("global_gt2d", "first_frame", True, True),
    ],
)
@torch.no_grad()
def test_released_evaluation(model, case, root, flip, gt_2d):
    g = doubles(read("evaluation"))
    index = g["test_clip_index"]
    module = build_module(model, answer="image", root=root)
    answer = module.network(g["test_input"])
    if flip:
        mirrored = flip_pose(module.network(flipped(g["test_input"])), H36M_17)
        answer = (answer + mirrored) / 2
    if gt_2d:
        answer[..., :2] = g["test_input"][..., :2]
    size = sizes(g["in/camera_name"])[index[:, 0]]
    pose = from_image(module._rooted(answer), size, g["in/2.5d_factor"][index], H36M_17.root)
    label = root_relative(g["in/joints_2.5d_image"], H36M_17.root)
    plain, aligned = released_scores(pose, label, g, index)
    torch.testing.assert_close(plain, g[f"{case}/mpjpe_mm"], rtol=1e-9, atol=0)
    torch.testing.assert_close(aligned, g[f"{case}/p_mpjpe_mm"], rtol=1e-6, atol=0)


def released_scores(pose, label, g, index):
    """Means over actions of means over frames, each the mean over the clips that hold it.

    Of a frame that a clip holds twice the last counts.
    """
    errors = defaultdict(list)
    for clip, rows in zip(pose, index.tolist(), strict=True):
        for row, predicted in dict(zip(rows, clip, strict=True)).items():
            pair = predicted, label[row]
            errors[row].append(torch.stack((mpjpe(*pair), pa_mpjpe(*pair))))
    by_action = defaultdict(list)
    for row, values in errors.items():
        if str(g["in/source"][row])[:-6] not in SHIFTED:
            by_action[str(g["in/action"][row])].append(torch.stack(values).mean(0))
    return torch.stack([torch.stack(v).mean(0) for v in by_action.values()]).mean(0)


@pytest.mark.golden
def test_windows_of_long_sequences_are_the_released_ones():
    """Shorter sequences are resampled at random there, and have their edges repeated here."""
    g = read("evaluation")
    source, frames = g["in/source"].tolist(), g["train_clip_index"].shape[1]
    starts = [0, *(i for i in range(1, len(source)) if source[i] != source[i - 1]), len(source)]
    offsets = torch.tensor(starts)
    found = inner_windows(offsets, frames, max(frames // 3, 1))
    long = offsets.diff()[found.track] >= frames
    rows = (found.middle[long] - frames // 2)[:, None] + torch.arange(frames)
    released = g["train_clip_index"]
    straight = (released.diff(dim=1) == 1).all(1)
    torch.testing.assert_close(rows, released[straight], rtol=0, atol=0)


# --- pretraining ------------------------------------------------------------------------------


@pytest.mark.golden
def test_masks():
    g = read("augment")
    draws = g["rand_joint"], g["rand_frame"], g["mask_ratio"].item(), g["mask_T_ratio"].item()
    torch.testing.assert_close(hide(g["x"], *draws), g["masked"], rtol=0, atol=0)


@pytest.mark.golden
def test_noise_of_a_detector():
    g = read("augment")
    noise = DetectorNoise(g["noise_mean"], g["noise_std"], g["noise_weight"])
    names = ("sel", "gauss", "unif", "delta", "conf_gauss")
    draws = NoiseDraws(*(g[f"draw_{name}"] for name in names))
    model = ConfidenceModel(*(g[f"d2c_{name}"].item() for name in "abms"))
    torch.testing.assert_close(disturb(g["x"][..., :2], noise, draws, model), g["noisy"], **CLOSE)
    assert model == pytest.approx(ConfidenceModel(), rel=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize(("name", "ratio"), [("unit", 1.0), ("half", 0.5), ("wide", 1.5)])
def test_crops(name, ratio):
    g = read("augment")
    found = crop_scale(g["crop_in"][None], torch.tensor([ratio]).double())[0]
    torch.testing.assert_close(found, g[f"crop_{name}"], **CLOSE)


@pytest.mark.golden
def test_mirrored_clips():
    g = read("augment")
    torch.testing.assert_close(flipped(g["flip_in"]), g["flip_out"], rtol=0, atol=0)


def frozen_case():
    """Answer, losses and gradients of a small network with every part in use."""
    rng = np.random.default_rng(11)
    draw = lambda *shape: torch.from_numpy(rng.uniform(-1, 1, shape))  # noqa: E731
    config = Config(width=12, depth=2, heads=3, representation=10)
    network = Dstformer(len(H36M_17), 6, config).double()
    for parameter in network.parameters():
        parameter.data.copy_(draw(*parameter.shape) / parameter.shape[-1] ** 0.5)
    x, target = draw(2, 5, 17, 3), 0.4 * draw(2, 5, 17, 3)
    x.requires_grad_()
    answer = network(x)
    amounts = LossWeights(1.0, 0.5, 2.0, 0.1, 0.1, 0.1, 0.1)
    losses = clip_losses(answer, target, None, amounts, H36M_17)
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
