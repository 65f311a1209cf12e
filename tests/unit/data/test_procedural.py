"""Procedural motion: the checks of anatomy, physics, reproducibility and variety."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.data.config import DataConfig
from lifting.data.procedural import generator
from lifting.data.procedural.anthropometry import Bodies, sample_bodies
from lifting.data.procedural.curves import BodyCurves, Cast, minimum_jerk
from lifting.data.procedural.draws import Draws
from lifting.data.procedural.generator import CLIPS_PER_PERSON, generate_motion
from lifting.data.procedural.limbs import (
    SIDES,
    bent,
    hanging,
    joint_offsets,
    swivelled_pole,
    two_bone,
)
from lifting.data.procedural.locomotion import RUN, WALK, WALK_SPEED, stride_phase, walk, walk_pace
from lifting.data.procedural.primitives import PRIMITIVES
from lifting.data.sets.synthetic.config import Config as SyntheticConfig
from lifting.data.sets.synthetic.reader import cache_key, motion, split_seed
from lifting.errors import ConfigError
from lifting.geometry.kinematics import bone_lengths
from lifting.skeleton import H36M_17

J = {name: i for i, name in enumerate(H36M_17.joints)}
ANKLES = [J["left_ankle"], J["right_ankle"]]
KNEES = [J["left_knee"], J["right_knee"]]
HIPS = [J["left_hip"], J["right_hip"]]
FPS = 50.0


@pytest.fixture(scope="module")
def mixed():
    return generate_motion(48, 200, seed=11)


@pytest.fixture(scope="module")
def poses(mixed):
    return mixed.joints_3d.unflatten(0, (48, 200))


def only(monkeypatch, name):
    monkeypatch.setattr(generator, "MIX", {k: float(k == name) for k in generator.MIX})


def facing(poses):
    """Unit horizontal forward vector from the hip line: (left hip - right hip) x up."""
    left = poses[..., J["left_hip"], :] - poses[..., J["right_hip"], :]
    forward = torch.stack((left[..., 1], -left[..., 0], torch.zeros_like(left[..., 0])), dim=-1)
    return forward / forward.norm(dim=-1, keepdim=True)


def flexion(poses, first, second, third):
    """Angle between consecutive segments, degrees."""
    a = poses[..., second, :] - poses[..., first, :]
    b = poses[..., third, :] - poses[..., second, :]
    cosine = torch.cosine_similarity(a.double(), b.double(), dim=-1)
    return cosine.clamp(-1, 1).arccos().rad2deg()


def walking_cast(segments, seconds=4.0):
    frames = int(seconds * FPS)
    bodies = sample_bodies(Draws(5, torch.arange(segments)))
    segment = torch.arange(segments).repeat_interleave(frames)
    return Cast(
        draws=Draws(6, torch.arange(segments)),
        segment=segment,
        time=(torch.arange(frames) / FPS).repeat(segments),
        duration=torch.full((segments,), seconds),
        bodies=bodies.take(segment),
    )


def test_same_seed_gives_the_same_bits_and_another_seed_does_not():
    first, second = (generate_motion(5, 60, seed=3).joints_3d for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, generate_motion(5, 60, seed=4).joints_3d, atol=50)


def test_a_clip_does_not_depend_on_how_many_are_made(mixed):
    fewer = generate_motion(9, 200, seed=11)
    assert torch.equal(fewer.joints_3d, mixed.joints_3d[: 9 * 200])
    assert fewer.names == mixed.names[:9]


def test_clips_are_labelled_and_cut_correctly(mixed):
    assert mixed.joints_3d.shape == (48 * 200, 17, 3)
    assert mixed.joints_3d.dtype == torch.float32
    assert mixed.offsets.tolist() == [200 * i for i in range(49)]
    assert mixed.subject.tolist() == [i // CLIPS_PER_PERSON for i in range(48)]
    assert len(set(mixed.names)) == 48
    assert set(mixed.action_names) == set(PRIMITIVES)


def test_every_value_is_finite_above_the_floor_and_in_the_room(poses):
    assert torch.isfinite(poses).all()
    assert float(poses[..., 2].min()) > -20
    assert float(poses[..., 2].max()) < 3200
    assert float(poses[:, :, 0, :2].norm(dim=-1).quantile(0.95)) < 4000


def test_bones_of_a_clip_keep_their_length(poses):
    lengths = bone_lengths(poses.double(), H36M_17)[..., 1:]
    spread = (lengths - lengths.mean(1, keepdim=True)).abs() / lengths
    # Positions of some metres are stored in single precision: 0.25 um of rounding on 60 mm.
    assert float(spread.max()) < 2e-5


def test_forward_kinematics_in_double_precision_keeps_lengths_to_a_millionth():
    cast = walking_cast(4)
    curves = walk(cast)
    double = BodyCurves(*(getattr(curves, n).double() for n in vars(curves)))
    double.limbs = double.limbs / double.limbs.norm(dim=-2, keepdim=True)
    bodies = Bodies(*(getattr(cast.bodies, n).double() for n in vars(cast.bodies)))
    offsets = joint_offsets(double, bodies, torch.zeros(len(cast.time), dtype=torch.float64))
    measured = bone_lengths(offsets.permute(2, 0, 1), H36M_17)
    torch.testing.assert_close(measured, bodies.lengths.T, rtol=1e-6, atol=1e-6)


def test_people_share_bodies_within_and_differ_between(poses):
    lengths = bone_lengths(poses[:, 0], H36M_17)
    assert torch.allclose(lengths[0], lengths[CLIPS_PER_PERSON - 1], rtol=1e-4)
    assert not torch.allclose(lengths[0], lengths[CLIPS_PER_PERSON], rtol=1e-2)


@pytest.mark.parametrize("kind", ["human", "h36m"])
def test_bodies_have_human_proportions(kind):
    bodies = sample_bodies(Draws(2, torch.arange(2000)), kind)
    thigh, hip = bodies.bone("knee").mean(), bodies.bone("hip").mean()
    expected = (0.245 * 1689, 0.060 * 1689) if kind == "human" else (442.9, 132.9)
    assert float(thigh) == pytest.approx(expected[0], rel=0.02)
    assert float(hip) == pytest.approx(expected[1], rel=0.03)
    left, right = bodies.bone("elbow")
    assert 0.003 < float((left / right - 1).std()) < 0.02
    assert float(bodies.lengths[1:].min()) > 50


def test_nobody_moves_faster_than_people_do(poses):
    speed = poses.diff(dim=1).norm(dim=-1) * FPS / 1000
    assert float(speed.max()) < 12
    root = speed[..., 0]
    assert float(root.max()) < 7


def test_knees_and_elbows_stay_within_their_range(poses):
    for side in ("left", "right"):
        knee = flexion(poses, J[f"{side}_hip"], J[f"{side}_knee"], J[f"{side}_ankle"])
        elbow = flexion(poses, J[f"{side}_shoulder"], J[f"{side}_elbow"], J[f"{side}_wrist"])
        assert float(knee.max()) < 143
        assert float(elbow.max()) < 152
        # The central part must look like real motion: 10 to 97, and 16 to 109.
        assert 2 < float(knee.quantile(0.05)) < 20
        assert 60 < float(knee.quantile(0.95)) < 125
        assert 5 < float(elbow.quantile(0.05)) < 30
        assert 85 < float(elbow.quantile(0.95)) < 140


def test_knees_point_forward(poses):
    hip, knee, ankle = (poses[..., side, :] for side in (HIPS, KNEES, ANKLES))
    axis = torch.nn.functional.normalize(ankle - hip, dim=-1)
    bow = knee - hip - ((knee - hip) * axis).sum(-1, keepdim=True) * axis
    left = poses[..., [J["left_hip"]], :] - poses[..., [J["right_hip"]], :]
    ahead = torch.linalg.cross(axis, torch.nn.functional.normalize(left, dim=-1), dim=-1)
    bent_enough = bow.norm(dim=-1) > 30
    wrong = ((bow * ahead).sum(-1) < 0) & bent_enough
    assert float(wrong.float().mean()) < 0.003


def test_trunk_and_hip_angles_stay_within_clinical_limits(poses):
    forward = facing(poses)
    thigh = poses[..., KNEES, :] - poses[..., HIPS, :]
    sagittal = torch.atan2((thigh * forward[..., None, :]).sum(-1), -thigh[..., 2]).rad2deg()
    assert float((sagittal < -60).float().mean()) < 0.002
    assert float((sagittal > 135).float().mean()) < 0.01
    trunk = poses[..., J["thorax"], :] - poses[..., 0, :]
    tilt = torch.atan2((trunk * forward).sum(-1), trunk[..., 2]).rad2deg()
    assert float(tilt.min()) > -50
    assert float(tilt.max()) < 125


def test_feet_on_the_ground_do_not_cross(poses):
    ankle = poses[..., ANKLES, :]
    grounded = (ankle[..., 2] - ankle[..., 2].amin(-1, keepdim=True) < 20).all(-1)
    apart = (ankle[..., 0, :2] - ankle[..., 1, :2]).norm(dim=-1)
    assert float(((apart < 80) & grounded).float().mean()) < 0.01


def test_wrists_stay_out_of_the_trunk(poses):
    up = torch.nn.functional.normalize(poses[..., J["thorax"], :] - poses[..., 0, :], dim=-1)
    for side in ("left", "right"):
        wrist = poses[..., J[f"{side}_wrist"], :] - poses[..., 0, :]
        height = (wrist * up).sum(-1)
        beside = (wrist - height[..., None] * up).norm(dim=-1)
        inside = (beside < 90) & (height > 50) & (height < 350)
        assert float(inside.float().mean()) < 0.02


def test_standing_people_keep_both_ankles_near_the_floor(monkeypatch):
    only(monkeypatch, "gesture")
    clips = generate_motion(16, 150, seed=2)
    ankle = clips.joints_3d.view(16, 150, 17, 3)[:, :, ANKLES]
    rest = ankle[..., 2].amin((1, 2), keepdim=True)
    assert 50 < float(rest.mean()) < 110
    assert float((ankle[..., 2] - rest).mean()) < 30
    slip = (ankle[:, 1:, :, :2] - ankle[:, :-1, :, :2]).norm(dim=-1)
    assert float(slip.median()) < 0.5


def test_the_supporting_ankle_does_not_slip_in_walking(monkeypatch):
    only(monkeypatch, "walk")
    ankle = generate_motion(40, 200, seed=8).joints_3d.view(40, 200, 17, 3)[:, :, ANKLES]
    lower_by = ankle[..., 2].flip(-1) - ankle[..., 2]
    slips = []
    for clip, side in ((c, s) for c in range(40) for s in range(2)):
        on = np.flatnonzero(np.asarray(lower_by[clip, :, side] > 20))
        for step in np.split(on, np.flatnonzero(np.diff(on) > 1) + 1):
            place = ankle[clip, step, side, :2]
            slips.append(float((place - place[:1]).norm(dim=-1).max()))
    assert len(slips) > 150
    assert np.quantile(slips, 0.98) < 20
    assert np.median(slips) < 5


def test_people_walk_the_way_they_face(monkeypatch):
    only(monkeypatch, "walk")
    poses = generate_motion(40, 200, seed=8).joints_3d.view(40, 200, 17, 3)
    velocity = poses[:, 50:, 0] - poses[:, :-50, 0]
    cosine = torch.cosine_similarity(velocity, facing(poses)[:, 25:-25], dim=-1)
    assert float(cosine.mean()) > 0.95
    speed = velocity.norm(dim=-1) / 1000
    assert 0.7 < float(speed.mean()) < 1.6


def test_left_and_right_are_not_exchanged(poses):
    left = poses[..., J["left_shoulder"], :] - poses[..., J["right_shoulder"], :]
    hips = poses[..., J["left_hip"], :] - poses[..., J["right_hip"], :]
    assert float((torch.cosine_similarity(left, hips, dim=-1) > 0).float().mean()) > 0.995
    outward = torch.linalg.cross(torch.tensor((0.0, 0, 1)).expand_as(hips), facing(poses), dim=-1)
    assert float(((hips * outward).sum(-1) > 0).float().mean()) == 1.0


def test_series_are_the_tabled_ones_and_sides_are_half_a_stride_apart():
    phase = torch.linspace(0, 6.0, 25, dtype=torch.float64)
    for table in (WALK, RUN):
        for series in table.values():
            harmonics = enumerate(zip(series.cosine, series.sine, strict=True), 1)
            right = sum(a * (h * phase).cos() + b * (h * phase).sin() for h, (a, b) in harmonics)
            left, given = series.sides(phase)
            torch.testing.assert_close(given, right + torch.zeros_like(phase))
            torch.testing.assert_close(left, series.sides(phase + math.pi)[1])


@pytest.mark.parametrize("name", ["thigh", "knee"])
def test_walking_reproduces_the_tabled_curves(name):
    cast = walking_cast(150)
    curves = walk(cast)
    speed, stride = walk_pace(cast)
    phase = stride_phase(cast, stride)
    thigh, shank = (torch.atan2(s[:, 0], -s[:, 2]).rad2deg() for s in curves.limbs[:2])
    angle = (thigh if name == "thigh" else thigh - shank)[1]
    angle = angle / (speed / WALK_SPEED).sqrt()
    bins = (phase / (2 * math.pi) * 24).floor().long() % 24
    mean = torch.stack([angle[bins == b].mean() for b in range(24)])
    wave = WALK[name].sides((torch.arange(24) + 0.5) * (2 * math.pi / 24))[1]
    # Offsets are the person's own: some walk with bent knees, and knees are straightened.
    difference = (mean - mean.mean()) - (wave - wave.mean())
    assert float(difference.abs().max()) < 4.5
    assert float(torch.corrcoef(torch.stack((mean, wave)))[0, 1]) > 0.99


def test_a_jump_follows_gravity(monkeypatch):
    only(monkeypatch, "jump")
    poses = generate_motion(24, 150, seed=3).joints_3d.view(24, 150, 17, 3)
    rest = poses[..., ANKLES, 2].amin((1, 2))[:, None]
    clear = poses[..., ANKLES, 2].amin(-1) > rest + 60
    flying = clear[:, 2:] & clear[:, 1:-1] & clear[:, :-2]
    fall = poses[..., 0, 2].diff(dim=1, n=2) * FPS**2 / 1000
    assert int(flying.sum()) > 40
    assert float(fall[flying].median()) == pytest.approx(-9.81, abs=0.5)


def test_sitting_is_low_and_squatting_keeps_the_feet(monkeypatch):
    only(monkeypatch, "sit")
    sitting = generate_motion(16, 200, seed=3).joints_3d.view(16, 200, 17, 3)
    assert float((sitting[:, :, 0, 2] < 620).float().mean()) > 0.4
    only(monkeypatch, "squat")
    squats = generate_motion(16, 200, seed=3).joints_3d.view(16, 200, 17, 3)
    assert float(squats[:, :, 0, 2].amin(1).median()) < 700


def test_splits_share_no_people_and_no_motion():
    config = DataConfig(
        synthetic=SyntheticConfig(
            train_sequences=9, val_sequences=3, test_sequences=4, sequence_frames=30, seed=5
        )
    )
    parts = {split: motion(config, split) for split in ("train", "val", "test")}
    assert [len(p.names) for p in parts.values()] == [9, 3, 4]
    people = [set(p.subject_names) for p in parts.values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    lengths = [bone_lengths(p.joints_3d[0], H36M_17) for p in parts.values()]
    assert not torch.allclose(lengths[0], lengths[1], rtol=1e-3)
    assert not torch.allclose(lengths[0], lengths[2], rtol=1e-3)
    assert parts["val"].source["split"] == "val"


def test_split_seeds_never_meet():
    seeds = [split_seed(s, split) for s in range(50) for split in ("train", "val", "test")]
    assert len(set(seeds)) == len(seeds)


def test_cache_key_holds_what_decides_the_motion():
    config = DataConfig()
    key = cache_key(config, "train")
    assert key == cache_key(DataConfig(noise="coarse"), "train")
    for change in ({"seed": 1}, {"skeleton": "h36m"}, {"sequence_frames": 99}):
        assert key != cache_key(DataConfig(synthetic=SyntheticConfig(**change)), "train")
    assert key != cache_key(config, "val")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "expected count of at least 1, got 0"),
        ({"frames": 0}, "expected frames of at least 1, got 0"),
        ({"seed": -1}, "expected a seed from 0 to .* got -1"),
        ({"fps": 2.0}, "expected fps from 5 to 1000, got 2.0"),
        ({"skeleton": "h36n"}, "unknown body kind 'h36n'; did you mean 'h36m'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    given = {"count": 1, "frames": 10, "seed": 0} | arguments
    with pytest.raises(ConfigError, match=message):
        generate_motion(given.pop("count"), given.pop("frames"), **given)


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigError, match="unknown split 'tests'; did you mean 'test'"):
        split_seed(0, "tests")


@pytest.mark.parametrize(("frames", "fps"), [(1, 50.0), (2, 50.0), (7, 25.0), (300, 100.0)])
def test_any_length_and_rate_works(frames, fps):
    clips = generate_motion(3, frames, seed=1, fps=fps)
    assert clips.joints_3d.shape == (3 * frames, 17, 3)
    assert torch.isfinite(clips.joints_3d).all()


def test_draws_are_uniform_normal_and_independent():
    draws = Draws(1, torch.arange(20000))
    uniform, normal = draws.uniform("a", 2), draws.normal("b", 2)
    assert float(uniform.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(uniform.std()) == pytest.approx(12**-0.5, abs=0.01)
    assert float(normal.std()) == pytest.approx(1, abs=0.02)
    together = torch.cat((uniform, normal, draws.uniform("c", 1)), dim=1).T
    assert float((torch.corrcoef(together) - torch.eye(5)).abs().max()) < 0.03


def test_two_bone_limbs_meet_their_target_and_elbows_point_down_when_reaching():
    target = torch.tensor((350.0, 0.0, -40.0)).reshape(1, 3, 1).repeat(2, 1, 1)
    first, second = torch.full((2, 1), 280.0), torch.full((2, 1), 250.0)
    pole = swivelled_pole(target, torch.zeros(2, 1), sign=1)
    upper, fore = two_bone(target, first, second, pole, math.radians(148))
    torch.testing.assert_close(
        upper * first[:, None] + fore * second[:, None], target, rtol=0, atol=1e-3
    )
    assert float(upper[0, 2, 0]) < -0.3
    leg = swivelled_pole(
        torch.tensor((0.0, 0, -1)).reshape(1, 3, 1).repeat(2, 1, 1), torch.zeros(2, 1), -1
    )
    torch.testing.assert_close(leg[:, :, 0], torch.tensor((1.0, 0, 0)).expand(2, 3))


def test_outward_swivel_moves_elbows_and_knees_away_from_the_midline():
    down = torch.tensor((0.1, 0.0, -1)).reshape(1, 3, 1).repeat(2, 1, 1)
    for sign in (1, -1):
        pole = swivelled_pole(down, torch.full((2, 1), 0.6), sign)
        assert ((pole[:, 1] * SIDES) > 0).all()


def test_bent_is_hanging_when_straight_and_forward_when_flexed():
    angle = torch.tensor((0.3, 0.5))[:, None]
    zero = torch.zeros(2, 1)
    straight = bent(angle, 0.4 * angle, zero, zero)
    torch.testing.assert_close(straight, hanging(angle, 0.4 * angle))
    forward = bent(zero, zero, zero, torch.full((2, 1), math.pi / 2))
    torch.testing.assert_close(forward[:, :, 0], torch.tensor((1.0, 0, 0)).expand(2, 3))


def test_minimum_jerk_starts_and_ends_at_rest():
    u = torch.tensor((-1.0, 0.0, 0.5, 1.0, 2.0))
    assert minimum_jerk(u).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def normalised(poses):
    """Root-relative poses turned so that the hip line faces forward, double precision."""
    forward = facing(poses).double()
    left = torch.stack((-forward[..., 1], forward[..., 0], forward[..., 2]), dim=-1)
    relative = (poses - poses[:, :1]).double()
    parts = [(relative * axis[:, None]).sum(-1) for axis in (forward, left)]
    return torch.stack((*parts, relative[..., 2]), dim=-1)


def test_variety_is_like_that_of_real_motion():
    folder = os.environ.get("LIFTING_DATA")
    file = Path(folder or ".") / "cmu" / "cmu_h36m17.npz"
    if not folder or not file.is_file():
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/cmu_h36m17.npz")
    with np.load(file, allow_pickle=False) as data:
        starts, ends = data["offsets"][:-1], data["offsets"][1:]
        kept = [
            np.arange(a, b, 5)
            for a, b, action in zip(starts, ends, data["actions"], strict=True)
            if action != "climb"
        ]
        real = torch.from_numpy(data["positions_mm"][np.concatenate(kept)]).float()
    made = generate_motion(120, 250, seed=21).joints_3d[::5]
    real_sd, made_sd = normalised(real).std(0), normalised(made).std(0)
    moving = (real_sd > 40) & (made_sd > 0)
    ratio = (made_sd / real_sd)[moving]
    assert float(ratio.min()) > 0.5
    assert float(ratio.max()) < 2.2
    offset = (normalised(real).mean(0) - normalised(made).mean(0)).norm(dim=-1)
    assert float(offset.max()) < 160
