"""EpipolarPose against reference numbers: geometry, network, labels, evaluation, refinement."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.geometry.alignment import center, similarity
from lifting.geometry.camera import world_to_camera
from lifting.geometry.epipolar import (
    decompose_essential,
    eight_point,
    essential_from_fundamental,
    recover_pose,
)
from lifting.geometry.hartley_sturm import correct_matches, triangulate_polynomial
from lifting.geometry.robust import robust_relative_pose
from lifting.geometry.triangulation import (
    RELEASED_ROUNDS,
    RELEASED_TOLERANCE_MM,
    fundamental_from_projections,
    triangulate_dlt,
    triangulate_least_squares,
)
from lifting.geometry.triangulation_consensus import triangulation_covariance
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.crop import (
    Crop,
    camera_to_image,
    image_to_camera,
    image_to_normalised,
    image_to_patch,
    normalised_to_image,
    normalised_to_patch,
    patch_to_image,
    person_box,
    root_depth,
)
from lifting.methods.epipolarpose.labels import RELEASED_ROOT, Labels, crop_labels, joint_loss
from lifting.methods.epipolarpose.network import PoseNetwork, image_confidence, soft_argmax
from lifting.methods.refinement.config import Config as UnitConfig
from lifting.methods.refinement.network import RefinementUnit, Refiner
from lifting.metrics.functional.position import mpjpe, n_mpjpe_procrustes_scale
from lifting.nn.resnet import FORMS
from lifting.skeleton import H36M_17
from reference import triangulation as reference

FROZEN = Path(__file__).parent / "data" / "epipolarpose.npz"
FROZEN_IMAGE = Path(__file__).parent / "data" / "epipolarpose_image.npz"
MILLIMETRES = {"rtol": 1e-7, "atol": 1e-6}
EXACT = {"rtol": 1e-7, "atol": 1e-9}


def released(keypoints, projections):
    return triangulate_least_squares(
        keypoints,
        projections,
        rounds=RELEASED_ROUNDS,
        tolerance=RELEASED_TOLERANCE_MM,
        accumulate=True,
    )


METHODS = {
    "linear_eigen": (lambda k, p: triangulate_dlt(k, p, normalise=False), reference.dlt),
    "linear_LS": (lambda k, p: triangulate_least_squares(k, p, rounds=1), reference.linear),
    "iterative_LS": (released, reference.iterative),
    "polynomial": (triangulate_polynomial, reference.polynomial),
}


def read(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds epipolarpose/")
    with np.load(Path(folder) / "epipolarpose" / f"{name}.npz", allow_pickle=False) as arrays:
        values = {key: np.asarray(arrays[key]) for key in arrays.files}
    words = {key: value.tolist() for key, value in values.items() if value.dtype.kind == "U"}
    return {**{k: torch.from_numpy(v) for k, v in values.items() if k not in words}, **words}


def cameras(g, second="P2"):
    return torch.stack((g["P1"], g[second]))


def views(g, noise):
    return torch.stack((g[f"u1_{noise}"], g[f"u2_{noise}"]), dim=1)


def pooled(g, noise):
    return g[f"u1_{noise}"].reshape(-1, 2), g[f"u2_{noise}"].reshape(-1, 2)


def rays(pixels, calibration):
    return (pixels - calibration[:2, 2]) / calibration.diagonal()[:2]


def lens(calibration):
    k = calibration
    return torch.stack((k[0, 0], k[1, 1], k[0, 2], k[1, 2], *torch.zeros(5, dtype=k.dtype)))


def up_to_sign(found, wanted):
    wanted = wanted / wanted.norm()
    return found * (found * wanted).sum().sign(), wanted


def degrees(rotation, wanted):
    cosine = ((rotation * wanted).sum() - 1) / 2
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


def status(found):
    """Codes of the released code: 1, or minus the sum of the numbers of the views behind."""
    behind = ~found.in_front()
    return torch.where(behind.any(-2), -(behind[..., 0, :] + 2 * behind[..., 1, :].int()), 1)


@pytest.mark.golden
@pytest.mark.parametrize("noise", ["clean", "noisy"])
@pytest.mark.parametrize("method", METHODS)
def test_triangulation(method, noise):
    g = read("triangulation")
    found = METHODS[method][0](views(g, noise), cameras(g))
    torch.testing.assert_close(found.points, g[f"{noise}/{method}"], **MILLIMETRES)
    assert found.in_front().all()


@pytest.mark.golden
@pytest.mark.parametrize("noise", ["clean", "noisy"])
@pytest.mark.parametrize("method", METHODS)
def test_triangulation_of_the_reference_form(method, noise):
    g = read("triangulation")
    keypoints, p = views(g, noise)[:3].numpy(), cameras(g).numpy()
    found = [reference.each_joint(METHODS[method][1], a, b, *p) for a, b in keypoints]
    found = torch.from_numpy(np.stack(found))
    torch.testing.assert_close(found, g[f"{noise}/{method}"][:3], **MILLIMETRES)


@pytest.mark.golden
def test_corrected_points_are_the_optimum():
    g = read("triangulation")
    fundamental = fundamental_from_projections(g["P1"], g["P2"])
    torch.testing.assert_close(*up_to_sign(fundamental, g["F_from_P"]), rtol=1e-9, atol=1e-15)
    found = correct_matches(g["u1_noisy"], g["u2_noisy"], fundamental)
    torch.testing.assert_close(found.first, g["corrected_u1"], rtol=0, atol=1e-8)
    torch.testing.assert_close(found.second, g["corrected_u2"], rtol=0, atol=1e-8)
    torch.testing.assert_close(found.cost, g["poly_cost_px2"], rtol=0, atol=1e-10)
    checked = found.cost.flatten()[g["lm_check_index"]]
    torch.testing.assert_close(checked, g["lm_check_cost_px2"], rtol=0, atol=1e-10)


@pytest.mark.golden
def test_sideways_motion():
    g = read("triangulation")
    keypoints = torch.stack((g["side_u1"], g["side_u2"]), dim=1)
    p = cameras(g, "side_P2")
    found = triangulate_polynomial(keypoints, p).points
    torch.testing.assert_close(found, g["side_polynomial"], **MILLIMETRES)
    found = triangulate_dlt(keypoints, p, normalise=False).points
    torch.testing.assert_close(found, g["side_linear_eigen"], **MILLIMETRES)


@pytest.mark.golden
def test_a_point_behind_a_camera():
    g = read("triangulation")
    found = released(torch.stack((g["behind_u1"], g["behind_u2"])), cameras(g))
    torch.testing.assert_close(found.points, g["behind_iterative"], rtol=1e-7, atol=1e-6)
    assert status(found).tolist() == g["behind_status"].tolist()


@pytest.mark.golden
def test_the_covariance_predicts_the_error():
    g = read("triangulation")
    expected = triangulation_covariance(g["X_world"], cameras(g), sigma=2.0)
    error = g["noisy/linear_LS"] - g["X_world"]
    square = (error[..., None, :] @ torch.linalg.solve(expected, error[..., None]))[..., 0, 0]
    # A chi-square variable of three degrees of freedom: mean 3, deviation sqrt(6 / 204) = 0.17.
    assert 2.5 < square.mean() < 3.5


@pytest.mark.golden
def test_fundamental_matrix():
    g = read("two_view")
    clean = eight_point(*pooled(g, "clean")).matrix
    torch.testing.assert_close(*up_to_sign(clean, g["F_true"]), rtol=0, atol=1e-10)
    torch.testing.assert_close(*up_to_sign(clean, g["F_8pt_clean"]), rtol=0, atol=1e-8)
    noisy = eight_point(*pooled(g, "noisy"))
    torch.testing.assert_close(*up_to_sign(noisy.matrix, g["F_8pt_noisy"]), rtol=0, atol=1e-7)
    assert noisy.ambiguity < 0.2


@pytest.mark.golden
def test_essential_matrix_and_its_poses():
    g = read("two_view")
    essential = essential_from_fundamental(g["F_true"], g["K1"], g["K2"])
    torch.testing.assert_close(*up_to_sign(essential, g["E_true"]), rtol=0, atol=1e-12)
    poses = decompose_essential(g["E_true"])
    turned = (poses.rotation[:, None] - g["cand_R"]).abs().amax((-2, -1))
    moved = (poses.translation[:, None] - g["cand_t"]).abs().amax(-1)
    assert ((torch.maximum(turned, moved) < 1e-9).sum(0) == 1).all()
    first, second = pooled(g, "clean")
    found = recover_pose(g["E_true"], rays(first, g["K1"]), rays(second, g["K2"]))
    assert sorted(found.votes.tolist()) == sorted(g["cheirality_votes"].tolist())
    torch.testing.assert_close(found.pose.rotation, g["recover_R"], rtol=0, atol=1e-9)
    torch.testing.assert_close(found.pose.translation, g["recover_t"], rtol=0, atol=1e-9)


@pytest.mark.golden
def test_robust_pose_is_no_worse_than_the_reference():
    g = read("two_view")
    found = robust_relative_pose(*pooled(g, "noisy"), lens(g["K1"]), lens(g["K2"]))
    angle = degrees(found.pose.rotation, g["R_rel"])
    for name in ("E5", "F_ransac", "F_lmeds"):
        assert angle < 1.2 * g[f"rot_err_deg_{name}"]
    assert found.inlier.all()


def frozen_case():
    """Three frames of five joints seen by two cameras with errors, through every method."""
    rng = np.random.default_rng(5)
    draw = lambda *shape: torch.from_numpy(rng.uniform(-1, 1, shape))  # noqa: E731
    turn = torch.linalg.qr(draw(3, 3)).Q
    turn = turn * torch.linalg.det(turn)
    k = torch.tensor([[1100.0, 0, 500], [0, 1100, 500], [0, 0, 1]], dtype=torch.float64)
    shift = torch.tensor([[0.0, 0, 4000], [300, -200, 4500]], dtype=torch.float64)
    p = torch.stack([
        k @ torch.cat((r, t[:, None]), dim=1)
        for r, t in zip((torch.eye(3, dtype=torch.float64), turn), shift, strict=True)
    ])  # fmt: skip
    seen = 500 * draw(3, 1, 5, 3) @ p[..., :3].mT + p[..., None, :, 3]
    keypoints = seen[..., :2] / seen[..., 2:] + 3 * draw(3, 2, 5, 2)
    found = {name: methods[0](keypoints, p).points for name, methods in METHODS.items()}
    found["normalised"] = triangulate_dlt(keypoints, p).points
    found["in_image"] = triangulate_least_squares(keypoints, p, draw(3, 2, 5).abs()).points
    flat = keypoints.transpose(0, 1).flatten(1, 2)
    found["fundamental"] = eight_point(*flat).matrix
    return found


def test_own_frozen_output():
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN, allow_pickle=False) as arrays:
        wanted = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    found = frozen_case()
    assert set(found) == set(wanted)
    for name in wanted:
        pair = (found[name], wanted[name])
        pair = up_to_sign(*pair) if name == "fundamental" else pair
        torch.testing.assert_close(*pair, rtol=1e-6, atol=1e-6)


# The network of images: soft-argmax, crops and labels, the network, evaluation.

LOSSES = {"smooth_l1": "smooth_l1", "l1": "l1", "mse": "squared"}


def pinhole(g, people):
    """Intrinsics of a file's f and c, for some people."""
    lens = torch.cat((g["f"], g["c"]), dim=-1).double()
    return torch.nn.functional.pad(lens, (0, 5)).expand(people, 9)


@pytest.mark.golden
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_soft_argmax_and_its_losses(layout):
    g = read("softargmax")
    joints = int(g["n_joints"])
    assert g["volume"].shape[1] == joints * int(g["depth_height_width"][0])
    volume = g["volume"].contiguous(memory_format=layout).requires_grad_()
    found = soft_argmax(volume, joints)
    torch.testing.assert_close(found, g["coords"], **EXACT)
    labels = Labels(g["target"].view_as(found), g["weights"].view_as(found))
    for name, kind in LOSSES.items():
        loss = joint_loss(found, labels, kind)
        torch.testing.assert_close(loss, g[f"{name}_loss"], **EXACT)
        (slope,) = torch.autograd.grad(loss, volume, retain_graph=True)
        torch.testing.assert_close(slope, g[f"{name}_grad_vol"], **EXACT)
        whole = joint_loss(found, labels, kind, average=False)
        torch.testing.assert_close(whole, g[f"{name}_loss_sum"], **EXACT)
        normed = joint_loss(found, labels, kind, norm=True)
        torch.testing.assert_close(normed, g[f"{name}_norm_loss"], **EXACT)


@pytest.mark.golden
def test_joints_in_the_patch():
    g = read("softargmax")
    wanted = g["cube_joint_location"]
    found = normalised_to_patch(soft_argmax(g["cube_volume"], wanted.shape[1]))
    torch.testing.assert_close(found.double(), wanted[..., :3], rtol=0, atol=2e-4)
    assert (wanted[..., 3] == 1).all()


@pytest.mark.golden
def test_crops_and_labels():
    g = read("labels")
    centre, size, rest = g["crops_cx_cy_w_h_scale_rotdeg"].split(2, dim=1)
    scale, angle = rest.unbind(1)
    crop = Crop(centre=centre, size=size, scale=scale, angle=torch.deg2rad(angle))
    there, back = image_to_patch(crop, rounded=True), patch_to_image(crop, rounded=True)
    torch.testing.assert_close(there, g["affine_img_to_patch"], **EXACT)
    torch.testing.assert_close(back, g["affine_patch_to_img"], **EXACT)
    points = g["points_img_xy_z_mm"].expand(len(centre), -1, -1)
    label = image_to_normalised(points, crop, rounded=True)
    torch.testing.assert_close(label, g["label"], **EXACT)
    again = normalised_to_image(label, crop, rounded=True)
    torch.testing.assert_close(again, points, rtol=0, atol=1e-9)
    # The released inverse leaves the scale of the crop in the depth.
    again[..., 2] /= scale[:, None]
    torch.testing.assert_close(again, g["roundtrip_img"], rtol=0, atol=1e-9)


@pytest.mark.golden
def test_boxes_and_image_joints():
    g = read("labels")
    joints = world_to_camera(g["X_world"], g["R"], g["C"][:, 0])
    torch.testing.assert_close(joints, g["cam_joints"], **MILLIMETRES)
    torch.testing.assert_close(joints[:, 0], g["pelvis"], **MILLIMETRES)
    intrinsics = pinhole(g, len(joints))
    seen = camera_to_image(joints, intrinsics, 0)
    torch.testing.assert_close(seen, g["img_joints"], **MILLIMETRES)
    box = person_box(joints[:, 0], intrinsics)
    sides = torch.stack((box.centre - box.size / 2, box.centre + box.size / 2), dim=-1)
    torch.testing.assert_close(sides.flatten(1), g["bbox_l_r_t_b"], **MILLIMETRES)
    torch.testing.assert_close(root_depth(box, intrinsics), joints[:, 0, 2], **MILLIMETRES)
    back = image_to_camera(seen, intrinsics, joints[:, 0, 2])
    torch.testing.assert_close(back, joints, **MILLIMETRES)


@pytest.mark.golden
def test_online_labels():
    g = read("self_supervision")
    centre = torch.stack((g["center_x"], g["center_y"]), dim=1)
    size = torch.stack((g["width"], g["height"]), dim=1)
    crop = Crop(centre=centre, size=size, scale=g["scale"], angle=torch.deg2rad(g["rot"]))
    count = g["patch_coords"].shape[1]
    found = soft_argmax(g["volumes"].float(), count).double()
    place = {"rtol": 0, "atol": 1e-3}  # the volumes are in half precision, the sums in single
    torch.testing.assert_close(normalised_to_patch(found), g["patch_coords"][..., :3], **place)
    image = normalised_to_image(found, crop, rounded=True)
    image[..., 2] /= crop.scale[:, None]
    torch.testing.assert_close(image, g["image_coords"][..., :3], rtol=0, atol=5e-3)
    # The rest from the file's own pixels, which are exact.
    pair = lambda v: v.unflatten(0, (2, -1)).transpose(0, 1)  # noqa: E731
    points = released(pair(g["image_coords"][..., :2]), pair(g["projection_matrix"])).points
    torch.testing.assert_close(points.repeat(2, 1, 1), g["X_triangulated"], **MILLIMETRES)
    joints = world_to_camera(g["X_triangulated"], g["R"], g["T"][..., 0])
    intrinsics = pinhole(g, len(joints))
    labels = crop_labels(joints, intrinsics, crop, RELEASED_ROOT, rounded=True)
    torch.testing.assert_close(labels.joints.float(), g["label"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(labels.weights.float(), g["label_weight"])
    # Ours is relative to the pelvis: the same x and y, depths shifted alike.
    root = 6
    ours = crop_labels(joints, intrinsics, crop, root, rounded=True).joints
    shifted = g["label"].double()
    shifted[..., 2] -= shifted[:, root : root + 1, 2].clone()
    torch.testing.assert_close(ours, shifted, rtol=0, atol=1e-6)


# Joints that the released evaluation calls "14": in Human3.6M's order without a foot and wrists.
FOURTEEN = {
    "h36m17": (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15),
    "mpii16": (*range(8), *range(10, 16)),
}


@pytest.mark.golden
@pytest.mark.parametrize("order", ["h36m17", "mpii16"])
def test_evaluation(order):
    g = read("h36m_eval")
    people, joints = g["gt_img_xyz"].shape[:2]
    rows = torch.arange(joints) if order == "h36m17" else g["h36m_to_mpii_perm"]
    root, chosen = rows.tolist().index(0), list(FOURTEEN[order])
    intrinsics, depth = pinhole(g, people), g["pelvis_cam"][:, 2]
    target, predicted = (
        center(image_to_camera(g[name], intrinsics, depth)[:, rows], root)
        for name in ("gt_img_xyz", "pred_img_xyz")
    )
    motion = similarity(predicted, target)
    # The released code brings the root of the aligned pose back onto the label's.
    aligned = center(motion.apply(predicted), root)
    scaled = center(motion.scale[:, None, None] * predicted, root)
    found = {}
    for name, pose in (("", predicted), ("_align", aligned), ("_norm", scaled)):
        found[f"hm36_17j{name}"] = mpjpe(pose, target)
        short = {"_align": "_al", "_norm": "_nm"}.get(name, name)
        found[f"hm36_17j_14{short}"] = mpjpe(pose[:, chosen], target[:, chosen])
    for axis, name in enumerate("xyz"):
        found[f"hm36_17j_{name}"] = (predicted - target)[..., axis].abs().mean()
    wanted = dict(zip(g[f"{order}/names"], g[f"{order}/values"], strict=True))
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=0, msg=name)
    nm = n_mpjpe_procrustes_scale(predicted, target, root=root)
    torch.testing.assert_close(nm, wanted["hm36_17j_norm"], rtol=1e-9, atol=0)


def hashed(count, number, salt):
    """The file's formula for weights, -1 to 1."""
    word = np.uint64(2**32 - 1)
    first = np.uint64(1000003 * number + 7919 * salt)
    z = (np.arange(count, dtype=np.uint64) + first) & word
    for _ in range(2):
        z = ((z ^ (z >> np.uint64(16))) * np.uint64(0x45D9F3B)) & word
    z = z ^ (z >> np.uint64(16))
    return torch.from_numpy(z.astype(np.float64) / 2**31 - 1)


def hashed_weight(name, shape, number, salt):
    value = hashed(int(np.prod(shape)), number, salt).view(shape)
    if len(shape) == 4:
        fan = 4 * shape[0] if name.startswith("deconv_layers") else int(np.prod(shape[1:]))
        return value * (6 / fan) ** 0.5
    if name.endswith("running_var"):
        return 1 + 0.3 * value
    if name.endswith("weight"):
        return 1 + 0.2 * value
    return 0.1 * value


def listed_network(g):
    """The network of the file's list of names and shapes."""
    shapes = {
        name: tuple(int(n) for n in text.split("x") if n)
        for name, text in zip(g["param_names"], g["param_shapes"], strict=True)
    }
    blocks = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{i}.")})
        for i in range(1, 5)
    )
    form = (blocks, "layer1.0.conv3.weight" in shapes)
    joints = len(g["joints"])
    config = Config(
        depth=next(depth for depth, known in FORMS.items() if known == form),
        width=shapes["conv1.weight"][0],
        head_width=shapes["deconv_layers.0.weight"][1],
        depth_cells=shapes["final_layer.bias"][0] // joints,
    )
    network = PoseNetwork(joints, config).double().eval()
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == shapes
    assert list(network.state_dict()) == g["param_names"]
    state = {
        name: hashed_weight(name, shape, number, int(g["salt"]))
        for number, (name, shape) in enumerate(shapes.items())
        if not name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=False)
    return network


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize("name", ["pose_resnet18", "pose_resnet50"])
def test_network(name):
    g = read(name)
    network, found = listed_network(g), {}
    parts = {"stem": network.maxpool, "deconv": network.deconv_layers}
    parts |= {f"layer{i}": network.get_submodule(f"layer{i}") for i in range(1, 5)}
    for part, module in parts.items():
        module.register_forward_hook(lambda _, __, out, part=part: found.update({part: out}))
    height, width = 4 * g["out_shape"][2], 4 * g["out_shape"][3]
    image = hashed(3 * int(height * width), 10007, int(g["salt"])).view(1, 3, height, width)
    cells = network.scores(image).cells
    assert tuple(cells.shape) == tuple(g["out_shape"].tolist())
    close = {"rtol": 0, "atol": 1e-9 * g["out_std"].item()}
    torch.testing.assert_close(cells[0, ::37, ::3, ::5], g["out_sub"], **close)
    for part, value in {"out": cells, **found}.items():
        keys = ("out_mean", "out_std") if part == "out" else (f"mean/{part}", f"std/{part}")
        torch.testing.assert_close(value.mean(), g[keys[0]], rtol=1e-9, atol=close["atol"])
        torch.testing.assert_close(value.std(), g[keys[1]], rtol=1e-9, atol=0)
    torch.testing.assert_close(network(image)[0], g["joints"], **EXACT)
    single = network.float().scores(image.float()).cells[0, ::37, ::3, ::5]
    close = {"rtol": 0, "atol": 1e-4 * g["out_std"].item()}
    torch.testing.assert_close(single.double(), g["out_sub"], **close)


@pytest.mark.parametrize(("depth", "count"), [(18, 15651968), (50, 34274944)])
def test_number_of_weights(depth, count):
    with torch.device("meta"):
        network = PoseNetwork(17, Config(depth=depth))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.golden
@pytest.mark.parametrize("activation", ["relu", "leaky"])
def test_refinement_unit(activation):
    g = read(f"refiner_{activation}")
    state = {k.removeprefix("sd/"): v for k, v in g.items() if k.startswith("sd/")}
    width, numbers = state["w1.weight"].shape
    unit = RefinementUnit(numbers, width, dropout=0.0, activation=activation).double()
    unit.load_state_dict(state)
    unit.eval()
    answers = unit(g["x"])
    torch.testing.assert_close(answers.first, g["eval_p1"], **EXACT)
    torch.testing.assert_close(answers.second, g["eval_p2"], **EXACT)
    unit.train()
    answers = unit(g["x"])
    torch.testing.assert_close(answers.first, g["train_p1"], **EXACT)
    torch.testing.assert_close(answers.second, g["train_p2"], **EXACT)
    loss = torch.stack([(answer - g["target"]).square().mean() for answer in answers]).sum()
    torch.testing.assert_close(loss, g["train_loss"], **EXACT)
    loss.backward()
    unused = {name for name in g["no_grad_params"] if name != "-"}
    wanted = {k.removeprefix("grad/") for k in g if k.startswith("grad/")}
    assert {name for name, p in unit.named_parameters() if p.grad is None} == unused
    assert {name for name, p in unit.named_parameters() if p.grad is not None} == wanted
    for name, parameter in unit.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, g[f"grad/{name}"], rtol=1e-7, atol=1e-8)


@pytest.mark.golden
def test_loss_of_the_refinement_unit_in_millimetres():
    g = read("refiner_relu")
    state = {k.removeprefix("sd/"): v for k, v in g.items() if k.startswith("sd/")}
    width, numbers = state["w1.weight"].shape
    config = UnitConfig(over="any", width=width, dropout=0.0)
    refiner = Refiner(H36M_17, config).double()
    assert refiner.input_mean.shape == (numbers,)
    refiner.unit.load_state_dict(state)
    rows = refiner.rows
    pose, target = torch.zeros(2, len(g["x"]), 17, 3, dtype=torch.float64)
    pose[:, rows], target[:, rows] = (g[k].view(-1, len(rows), 3) for k in ("x", "target"))
    torch.testing.assert_close(refiner.loss(pose, target), g["train_loss"], **EXACT)
    unit = refiner.eval().refine(pose)[:, rows].flatten(1)
    torch.testing.assert_close(unit, refiner.unit(g["x"]).second, **EXACT)


def frozen_image_case():
    """A small network of each head, its labels and losses, and a refinement unit, two steps."""
    rng = np.random.default_rng(11)
    draw = lambda *shape: torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32))  # noqa: E731

    def filled(module):
        for parameter in module.parameters():
            value, fan = draw(*parameter.shape), parameter[0].numel()
            parameter.data.copy_(1 + value / 4 if parameter.ndim < 2 else value * (6 / fan) ** 0.5)
        return module

    joints = draw(2, 17, 3) * torch.tensor([500.0, 800, 400]) + torch.tensor([0.0, 0, 4000])
    intrinsics = torch.tensor([1145.0, 1144, 512, 515, -0.2, 0.2, 0, 0.001, -0.001]).expand(2, 9)
    box = person_box(joints[:, 0], intrinsics)
    crop = Crop(centre=box.centre, size=box.size, scale=1 + draw(2) / 4, angle=draw(2))
    labels = crop_labels(joints, intrinsics, crop, 0, (draw(2, 17) > -0.5).float(), patch=64)
    found = {"labels": labels.joints, "weights": labels.weights, "box": box.size}
    images = draw(2, 3, 64, 64)
    for name, switches in (("volume", {"depth": 18}), ("flat", {"depth": 50, "volume": False})):
        network = filled(PoseNetwork(17, Config(width=4, head_width=8, depth_cells=8, **switches)))
        place = network(images)
        loss = joint_loss(place, labels)
        loss.backward()
        norms = torch.stack([p.grad.norm() for p in network.parameters()])
        found |= {f"{name}_joints": place, f"{name}_loss": loss, f"{name}_norms": norms}
        cells = network.eval().scores(images).cells
        found[f"{name}_confidence"] = image_confidence(cells, 17)
    centred = soft_argmax(draw(1, 6, 4, 5), 2, "center")
    refiner = Refiner(H36M_17, UnitConfig(over="any", width=8, dropout=0.0))
    filled(refiner.unit)
    poses = 400 * draw(4, 17, 3)
    refiner.fit_statistics([(poses, poses.flip(0))])
    found |= {"centred": centred, "refiner_loss": refiner.loss(poses, poses.flip(0))}
    found["refined"] = refiner.eval().refine(poses)
    return {k: v.detach() for k, v in found.items()}


def test_own_frozen_image_output():
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN_IMAGE, allow_pickle=False) as arrays:
        wanted = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}
    found = frozen_image_case()
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
