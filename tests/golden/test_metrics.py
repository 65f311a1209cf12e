"""Reference numbers of released evaluation code, and of our own reference where there is none.

The shared vectors are found through LIFTING_GOLDEN; one small frozen case of our own outputs
(made by this package once the shared vectors passed) is always checked.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lifting.data.sets.h36m.files import parse_name
from lifting.geometry.alignment import align, similarity
from lifting.metrics import calibration, single, single_scores
from lifting.metrics.clusters import lloyd_step
from lifting.metrics.functional import errors, ranking
from lifting.metrics.functional import position as position_functions
from lifting.metrics.functional import structure as structure_functions
from lifting.metrics.functional import temporal as temporal_functions
from lifting.metrics.functional import threshold as threshold_functions
from lifting.metrics.functional.ranking import (
    ranking_sums,
    sparsification_from_sums,
    spearman_from_sums,
)
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17

pytestmark = pytest.mark.golden

RAISED = -999.0
FROZEN = Path(__file__).parent / "data" / "metrics.npz"


def load(name):
    folder = os.environ.get("LIFTING_GOLDEN")
    if not folder:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds metrics/")
    return tensors(Path(folder) / "metrics" / f"{name}.npz")


def tensors(path):
    with np.load(path, allow_pickle=False) as archive:
        content = {k: archive[k] for k in archive.files}
    return {k: v if v.dtype.kind == "U" else torch.from_numpy(v) for k, v in content.items()}


def near(found, expected, rtol=1e-6, atol=1e-6):
    expected = torch.as_tensor(expected).double()
    assert_close(torch.as_tensor(found).double(), expected, rtol=rtol, atol=atol, equal_nan=True)


def streamed(metric, *tensors_, batch=7):
    count = len(tensors_[0])
    for start in range(0, count, batch):
        metric.update(*(t[start : start + batch] for t in tensors_))
    return metric.compute()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_position_errors(dtype):
    data = load("random")
    predicted, target = data["pred"].to(dtype), data["gt"].to(dtype)
    tolerance = {"rtol": 1e-6} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-3}
    near(position_functions.mpjpe(predicted, target), data["vp_mpjpe"], **tolerance)
    near(streamed(single.MPJPE(), predicted, target), data["vp_mpjpe"], **tolerance)
    near(streamed(single.PAMPJPE(), predicted, target), data["vp_p_mpjpe"], **tolerance)
    near(streamed(single.NMPJPE(), predicted, target), data["vp_n_mpjpe"], **tolerance)
    weighted = position_functions.weighted_mpjpe(predicted, target, data["weights"])
    near(weighted, data["vp_weighted_mpjpe"], **tolerance)
    if dtype == torch.float32:
        near(position_functions.mpjpe(predicted, target), data["vp_mpjpe_f32"], **tolerance)
        near(position_functions.pa_mpjpe(predicted, target), data["vp_p_mpjpe_f32"], **tolerance)
        near(position_functions.n_mpjpe(predicted, target), data["vp_n_mpjpe_f32"], **tolerance)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("none", "frame_mpjpe"), ("similarity", "frame_p_mpjpe"), ("scale", "frame_n_mpjpe"),
     ("rigid", "frame_pa_noscale")],
)  # fmt: skip
def test_errors_by_frame(kind, key):
    data = load("random")
    found = position_functions.joint_errors(data["pred"], data["gt"], align=kind)
    near(errors.per_pose(found), data[key])


def test_joint_errors_and_masked_fit():
    data = load("random")
    predicted, target, mask = data["pred"], data["gt"], data["mask"].bool()
    near(position_functions.joint_errors(predicted, target).error, data["joint_error"])
    valid_only = position_functions.joint_errors(predicted, target, mask, align="similarity")
    near(errors.per_pose(valid_only), data["frame_p_mpjpe_valid_only"])


@pytest.mark.parametrize("name", ["none", "scale", "procrustes"])
@pytest.mark.parametrize("masked", [False, True])
def test_mmpose_alignments(name, masked):
    data = load("random")
    predicted, target = data["pred"], data["gt"]
    mask = data["mask"].bool() if masked else torch.ones_like(data["mask"], dtype=torch.bool)
    kind = "similarity" if name == "procrustes" else name
    suffix = f"{name}_{'mask' if masked else 'full'}"
    metric = single.PooledPosition(kind, fit="all")
    near(streamed(metric, predicted, target, mask), data[f"mm_mpjpe_{suffix}"])
    found = position_functions.joint_errors(predicted, target, mask, align=kind, fit="all")
    counts = threshold_functions.threshold_histogram(found, threshold_functions.AUC_THRESHOLDS_MM)
    pooled = counts.sum(0)
    near(threshold_functions.percentage_below(pooled)[-1], data[f"mm0_pck150_{suffix}"])
    near(threshold_functions.area(pooled), data[f"mm0_auc_{suffix}"])


def test_pck_of_mmpose_by_joint():
    data = load("random")
    joints = data["pred"].shape[1]
    metric = single_scores.PCK(joints)
    streamed(metric, data["pred"], data["gt"], data["mask"].bool())
    share = metric.per_joint()[:, 0] / 100
    near(share, data["mm1_pck150_per_joint"])
    near(share.mean(), data["mm1_pck150_mean_of_joints"])
    assert len(share) == int(data["mm1_pck_joint_count"])


def test_procrustes_parameters():
    data = load("random")
    motion = similarity(data["pred"], data["gt"])
    near(motion.scale, data["procrustes_b"])
    near(motion.rotation.mT, data["procrustes_T"])
    near(motion.translation, data["procrustes_c"])
    moved = align(data["pred"], data["gt"])
    near(moved, data["aligned"])
    centred = data["gt"] - data["gt"].mean(1, keepdim=True)
    residual = (moved - data["gt"]).square().sum((1, 2)) / centred.square().sum((1, 2))
    near(residual, data["procrustes_d"])


def test_epipolarpose_norm():
    data = load("random")
    found = position_functions.procrustes_scale_errors(data["pred"], data["gt"])
    near(errors.per_pose(found), data["frame_epi_norm"])
    near(
        streamed(single.NMPJPEProcrustesScale(), data["pred"], data["gt"]),
        data["frame_epi_norm"].mean(),
    )


def test_differences_along_time():
    data = load("random")
    near(temporal_functions.mpjve(data["pred"], data["gt"]), data["vp_velocity"])
    near(temporal_functions.acceleration_error(data["pred"], data["gt"]), data["accel_error"])
    near(temporal_functions.mean_motion(data["pred"], 2), data["accel_pred"])
    metric = single.Acceleration()
    metric.update(data["pred"], data["gt"])
    near(metric.compute(), data["accel_error"])


def test_cps():
    data = load("random")
    found = position_functions.joint_errors(data["pred"], data["gt"], align="similarity")
    near(found.error.amax(-1), data["pose_max_pa_error"])
    counts = threshold_functions.cps_histogram(found, len(data["cps_thresholds"]))
    near(threshold_functions.percentage_below(counts) / 100, data["cps_curve"])
    near(streamed(single_scores.CPS(), data["pred"], data["gt"]), data["cps_area_1_300"])


def test_groups_of_mpi_inf_3dhp():
    data = load("random")
    scores = streamed(single_scores.DHPScores(MPI_INF_3DHP_17), data["pred"], data["gt"])
    names = [k.removeprefix("pck/") for k in scores if k.startswith("pck/")]
    near([scores[f"pck/{n}"] for n in names], data["dhp_pck_groups"])
    near([scores[f"auc/{n}"] for n in names], data["dhp_auc_groups"])
    near(streamed(single.MPJPE(), data["pred"], data["gt"]), data["dhp_mpjpe_17"])


def test_degenerate_poses_where_the_references_give_a_number():
    data = load("degenerate")
    functions = {
        "vp_mpjpe": {},
        "vp_p_mpjpe": {"align": "similarity"},
        "vp_n_mpjpe": {"align": "scale"},
        "mm_p_mpjpe": {"align": "similarity"},
        "mm_n_mpjpe": {"align": "scale"},
        "epi_pa_scale": {"align": "similarity"},
        "epi_pa_noscale": {"align": "rigid"},
    }
    for column, name in enumerate(data["columns"]):
        options = functions[str(name)]
        found = position_functions.joint_errors(data["pred"], data["gt"], **options)
        expected = data["values"][:, column]
        known = expected.isfinite() & (expected != RAISED)
        near(errors.per_pose(found)[known], expected[known])


def test_degenerate_poses_under_our_policy():
    data = load("degenerate")
    row = {str(name): i for i, name in enumerate(data["names"])}
    found = errors.per_pose(
        position_functions.joint_errors(data["pred"], data["gt"], align="similarity")
    )
    target = data["gt"] - data["gt"].mean(1, keepdim=True)
    distance = target.norm(dim=-1).mean(-1)
    for name in ("pred_constant", "pred_zero", "both_constant"):
        near(found[row[name]], distance[row[name]])
    near(found[row["gt_constant"]], 0.0)
    for name in ("nan_joint", "inf_joint"):
        assert found[row[name]].isnan()
    scaled = position_functions.joint_errors(data["pred"], data["gt"], align="scale")
    zero = row["pred_zero"]
    near(errors.per_pose(scaled)[zero], data["gt"][zero].norm(dim=-1).mean())


def test_action_table():
    data = load("per_action")
    names = [str(n) for n in data["seq_names"]]
    lengths = data["seq_lengths"].tolist()
    action = torch.arange(len(names)).repeat_interleave(data["seq_lengths"])
    actions = [parse_name(name)[0] for name in names]  # as the reader names them
    assert sorted(set(actions)) == sorted(str(n) for n in data["action_names"])
    columns = [str(c) for c in data["columns"]]
    for column, kind in (("mpjpe", "none"), ("p_mpjpe", "similarity"), ("n_mpjpe", "scale")):
        metric = single.ActionMPJPE(actions, kind)
        scores = streamed(metric, data["pred"], data["gt"], action)
        at = columns.index(column)
        found = torch.stack([scores[f"action/{n}"] for n in data["action_names"]])
        near(found, data["action_table"][:, at])
        near(scores["action_mean"], data["action_mean"][at])
        if kind == "none":
            near(scores["frame_mean"], data["frame_mean_mpjpe"])
    by_joint = single.PerJointMPJPE(data["pred"].shape[1])
    near(streamed(by_joint, data["pred"], data["gt"]), data["per_joint_mpjpe"])
    _check_velocity(data, names, lengths)


def _check_velocity(data, names, lengths):
    exact = single.MPJVE()
    published = {str(n): single.MPJVE(weight="frames") for n in data["action_names"]}
    parts = zip(data["pred"].split(lengths), data["gt"].split(lengths), names, strict=True)
    for predicted, target, name in parts:
        exact.update(predicted, target)
        published[parse_name(name)[0]].update(predicted, target)
    near(exact.compute(), data["mpjve_exact_within_sequences"])
    found = torch.stack([metric.compute() for metric in published.values()])
    near(found, data["action_table"][:, [str(c) for c in data["columns"]].index("mpjve")])
    wrong = temporal_functions.mpjve(data["pred"], data["gt"])
    near(wrong, data["mpjve_if_concatenated_wrong"])
    sequence = torch.arange(len(names)).repeat_interleave(data["seq_lengths"])
    within = temporal_functions.mpjve(data["pred"], data["gt"], sequence=sequence)
    near(within, data["mpjve_exact_within_sequences"])


def test_streaming_is_not_a_mean_of_batch_means():
    data = load("per_action")
    found = streamed(single.MPJPE(), data["pred"], data["gt"], batch=16)
    near(found, data["frame_mean_mpjpe"])
    batches = zip(data["pred"].split(16), data["gt"].split(16), strict=True)
    means = torch.stack([position_functions.mpjpe(p, t) for p, t in batches])
    near(means.mean(), data["mean_of_batch16_means_wrong"])


def test_hypotheses():
    data = load("hypotheses")
    target = data["gt"]
    for step in range(data["pred"].shape[1]):
        poses = data["pred"][:, step]
        expected = {k: v[step] for k, v in data.items() if v.ndim == 1}
        for prefix, kind in (("", "none"), ("p2_", "similarity")):
            near(streamed(single.JBest(kind), poses, target), expected[f"{prefix}jbest"])
            near(streamed(single.PAgg(kind), poses, target), expected[f"{prefix}pagg"])
            official = single.PBest("batch", kind)
            official.update(poses, target)
            near(official.compute(), expected[f"{prefix}pbest_official_batch_level"])
        aggregated = single.JAgg()
        aggregated.update(poses, target, data["reproj_2d"][:, step], data["target_2d"])
        near(aggregated.compute(), expected["jagg"])
        for window in ("pose", "sequence"):
            found = streamed(single.PBest(window), poses, target, batch=1)
            near(found, expected[f"pbest_per_{window}"])
        mean = streamed(single.MeanOverHypotheses(), poses, target, batch=1)
        near(mean, expected["mean_over_hypotheses_error"])


def test_pose_structure_score():
    data = load("pss")
    near(structure_functions.unit_pose(data["pred"]), data["pred_normalised"])
    near(structure_functions.unit_pose(data["gt"]), data["gt_normalised"])
    sizes = [int(k.removeprefix("centers_")) for k in data if k.startswith("centers_")]
    for size in sizes:
        centers = data[f"centers_{size}"]
        clear = (data[f"margin_pred_{size}"] >= 1e-12) & (data[f"margin_gt_{size}"] >= 1e-12)
        for kind in ("pred", "gt"):
            features = structure_functions.unit_pose(data[kind])
            found = structure_functions.nearest_center(features, centers)
            assert torch.equal(found[clear], data[f"{kind}_label_{size}"][clear])
        hits = structure_functions.structure_matches(data["pred"], data["gt"], centers)
        assert torch.equal(hits[clear], data[f"match_{size}"].bool()[clear])
        near(hits.double().mean(), data[f"pss_{size}"])
        train = structure_functions.unit_pose(data["train_poses"])
        labels = structure_functions.nearest_center(train, centers)
        near((train - centers[labels]).square().sum(), data[f"inertia_{size}"])


def test_lloyd_steps():
    data = load("kmeans_lloyd")
    centers = data["init"]
    for _ in range(24):
        centers = lloyd_step(data["data"], centers)
    labels = structure_functions.nearest_center(data["data"], centers)
    assert torch.equal(labels, data["labels"])
    near((data["data"] - centers[labels]).square().sum(), data["inertia"])
    near(lloyd_step(data["data"], centers), data["centers"])


def test_bones():
    data = load("bones")
    assert tuple(data["parents"].tolist()) == H36M_17.parents
    pair = errors.pose_pair(data["pred"], data["gt"])
    difference, lengths, _ = structure_functions.bone_differences(pair, H36M_17)
    near(lengths, data["bone_len_gt"])
    near(difference, (data["bone_len_pred"] - data["bone_len_gt"]).abs())
    near(difference.mean(0), data["bone_mae_per_bone"])
    near(streamed(single_scores.BoneMAE(H36M_17), data["pred"], data["gt"]), data["bone_mae"])
    relative = single_scores.BoneMAE(H36M_17, relative=True)
    near(streamed(relative, data["pred"], data["gt"]), data["bone_rel"])
    near(streamed(single_scores.Symmetry(H36M_17), data["pred"]), data["sym_pred"])
    near(streamed(single_scores.Symmetry(H36M_17), data["gt"]), data["sym_gt"])
    steady = single_scores.BoneTemporalStd(H36M_17, sequences=2)
    sequence = torch.ones(len(data["pred"]), dtype=torch.int64)
    near(streamed(steady, data["pred"], sequence), data["bone_temporal_std_pred"])
    found = structure_functions.bone_temporal_std(data["pred"], H36M_17)
    near(found, data["bone_temporal_std_pred"])


def test_gaussian_calibration():
    data = load("calibration")
    joints = (data["mu"], data["sigma"], data["y"])
    near(streamed(calibration.GaussianNLL(), *joints, batch=701), data["nll_per_joint"])
    for region in ("axis", "radial"):
        found = streamed(calibration.Coverage(region), *joints, batch=701)
        near(found.coverage, data[f"coverage_{region}"])
        near(found.ece, data[f"ece_{region}"])
        near(found.signed, (data[f"coverage_{region}"] - data["levels"]).mean())
    near(streamed(calibration.Temperature(), *joints, batch=701), data["temperature_opt"])


def test_uncertainty_ranking():
    data = load("calibration")
    uncertainty, error = data["uncertainty"], data["point_error"]
    found = ranking.sparsification(uncertainty, error)
    near(torch.tensor(ranking.FRACTIONS), data["fractions"])
    near(found.curve, data["spars_curve"])
    near(found.oracle, data["oracle_curve"])
    scores = streamed(calibration.UncertaintyRanking(), uncertainty, error, batch=701)
    near(scores["ause"], data["ause"])
    near(scores["ause_mm"], data["ause_mm"])
    near(scores["spearman"], data["spearman"])
    sums = ranking_sums(uncertainty, error, torch.ones_like(error, dtype=torch.bool))
    near(sparsification_from_sums(sums).ause_mm, data["ause_mm"], rtol=1e-3)
    near(spearman_from_sums(sums), data["spearman"], rtol=0, atol=2e-3)


def test_sample_scores():
    data = load("calibration")
    count, samples = data["samples"].shape[:2]
    metric = calibration.SampleScores(samples)
    scores = streamed(metric, data["samples"], data["y"][:count], batch=90)
    near(scores["crps_mm"], data["crps_axis"])
    near(scores["energy_mm"], data["energy_score"])
    assert int(scores["rank_histogram"].sum()) == count * 3


def frozen_case():
    """Everything the package says of a small made-up case."""
    generator = torch.Generator().manual_seed(20)
    target = 300 * torch.randn(12, 17, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(12, 5, 17, 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(12, 17, generator=generator) > 0.2
    target = target - target[:, :1]
    poses = target[:, None] + 80 * noise
    predicted = poses[:, 0]
    found = {
        kind: position_functions.joint_errors(predicted, target, mask, align=kind).error
        for kind in ("none", "scale", "rigid", "similarity")
    }
    found["velocity"] = temporal_functions.mpjve(predicted, target, mask)
    found["pck"] = threshold_functions.pck(predicted, target, mask)
    found["auc"] = threshold_functions.auc(predicted, target, mask)
    found["cps"] = threshold_functions.cps(predicted, target, mask)
    found["bones"] = structure_functions.bone_mae(predicted, target, H36M_17, mask)
    found["p_best"] = streamed(single.PBest(), poses[:, :, None], target[:, None])
    found["diversity"] = streamed(single.Diversity(), poses[:, :, None])
    return {"target": target, "poses": poses, **found}


def test_frozen_outputs():
    expected = tensors(FROZEN)
    found = frozen_case()
    assert set(expected) == set(found)
    for name, value in expected.items():
        assert_close(torch.as_tensor(found[name]), value, rtol=1e-9, atol=1e-9, msg=name)
