"""EpipolarPose's geometry against reference numbers: triangulation and two views."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.benchmark.reference import triangulation as reference
from lifting.geometry.epipolar import (
    decompose_essential,
    eight_point,
    essential_from_fundamental,
    recover_pose,
)
from lifting.geometry.hartley_sturm import correct_matches, triangulate_polynomial
from lifting.geometry.projective import fundamental_from_projections
from lifting.geometry.robust import robust_relative_pose
from lifting.geometry.triangulation import (
    RELEASED_ROUNDS,
    RELEASED_TOLERANCE_MM,
    triangulate_dlt,
    triangulate_least_squares,
)
from lifting.geometry.triangulation_error import triangulation_covariance

FROZEN = Path(__file__).parent / "data" / "epipolarpose.npz"
MILLIMETRES = {"rtol": 1e-7, "atol": 1e-6}


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
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


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
