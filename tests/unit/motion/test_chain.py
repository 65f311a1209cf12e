"""The chain on people who walk before a camera, whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifting.data.config import DataConfig
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion
from lifting.errors import ConfigError, DataError
from lifting.experiment.motion import Chain, frames_ahead
from lifting.motion.body import lengths_of, stature_of, typical, with_lengths
from lifting.motion.camera_path import read_camera_path
from lifting.motion.chain import People, settle
from lifting.motion.clean import clean_keypoints, hold_missing
from lifting.motion.contact import bend
from lifting.motion.ground import given_up, up_of_bodies, with_guessed_lens
from lifting.motion.options import STAGES, MotionOptions, read_heights
from lifting.motion.smooth import Window, smooth
from lifting.skeleton import H36M_17

FPS = 50.0
LEGS = (3, 6)


@pytest.fixture(scope="module")
def walker():
    return film(generate_motion(1, 100, seed=1, fps=FPS), rig="h36m", noise="none", seed=3)


@pytest.fixture(scope="module")
def people(walker):
    """The first view, lifted without a fault, in keypoints without noise."""
    joints = walker.joints_3d[:100].numpy().astype(np.float64)
    return People(
        skeleton=H36M_17,
        joints_3d=joints - joints[:, :1],
        keypoints_2d=walker.keypoints_2d[:100].numpy().astype(np.float64),
        confidence=np.ones((100, 17)),
        intrinsics=np.repeat(walker.cameras.intrinsics[:1].numpy().astype(np.float64), 100, 0),
        track=np.zeros(100, dtype=np.int64),
        frame=np.arange(100),
        person=np.zeros(100, dtype=np.int64),
        names=(0,),
        fps=FPS,
    )


@pytest.mark.parametrize("ahead", [0, 3, 9])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_window_knows_nothing_beyond_its_frames(degree, ahead):
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(60, 2, 3)), rng.uniform(0, 1, (60, 2))
    track = np.repeat([0, 1], 30)
    window, tolerance = Window(9, ahead, degree), np.ones((60, 1))
    before = smooth(values, weights, track, window, tolerance=tolerance)
    values[20:30] += 5
    values[30:] -= 7
    after = smooth(values, weights, track, window, tolerance=tolerance)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[: 20 - ahead], other[: 20 - ahead])
    assert (before.values[20 - ahead] != after.values[20 - ahead]).all()


def test_steady_motion_has_no_lag_and_an_outlier_no_say():
    line = np.arange(40.0)[:, None, None] * np.array([2.0, -1.0])
    wild = line.copy()
    wild[20] += 400
    for ahead in (0, 8):
        found = smooth(
            wild, np.ones((40, 1)), np.zeros(40), Window(8, ahead), tolerance=np.full((40, 1), 9.0)
        )
        good = np.r_[3:20, 21:40]
        np.testing.assert_allclose(found.values[good], line[good], atol=0.05)
        assert found.away[20, 0] > 300
    np.testing.assert_allclose(found.slope[10, 0], [2, -1], atol=0.05)


def test_keypoints_are_cleaned(people):
    points, confidence = people.keypoints_2d.copy(), people.confidence.copy()
    points[40, 5] += 80
    confidence[60:63, 7] = 0
    found = clean_keypoints(points, confidence, people.track, FPS)
    assert np.argwhere(found.outliers).tolist() == [[40, 5]]
    assert found.confidence[40, 5] == 0
    assert np.linalg.norm(found.keypoints_2d[40, 5] - people.keypoints_2d[40, 5]) < 8
    assert found.filled.sum() == 3
    still = clean_keypoints(points, confidence, people.track, FPS, smoothed=False)
    moved = (still.keypoints_2d != points).any(-1)
    assert np.argwhere(moved).tolist() == [[40, 5]]


def test_what_is_missing_is_held_as_far_as_it_is_known():
    values = np.arange(12.0).reshape(6, 1, 2)
    seen = np.array([0, 1, 0, 0, 1, 0], dtype=bool)[:, None]
    track = np.zeros(6)
    far = hold_missing(values, seen, track, 5)[:, 0, 0]
    np.testing.assert_allclose(far, [2, 2, 4, 6, 8, 8])
    near = hold_missing(values, seen, track, 1)[:, 0, 0]
    np.testing.assert_allclose(near, [2, 2, 2, 6, 8, 8])
    at_once = hold_missing(values, seen, track, 0)[:, 0, 0]
    np.testing.assert_allclose(at_once[1:], [2, 2, 2, 8, 8])


def test_people_without_a_fault_stand_where_they_are(people, walker):
    found = settle(people, MotionOptions())
    truth = walker.joints_3d[:100].numpy()
    assert np.linalg.norm(found.trajectory - truth[:, 0], axis=-1).mean() < 60
    up = walker.cameras.rotation[0].numpy()[:, 2]
    assert np.rad2deg(np.arccos(found.up[-1] @ up)) < 5
    assert 0 < found.up_deg[-1] < 10
    low = found.world[:, LEGS, 2].min(1)
    assert np.median(low) == pytest.approx(80, abs=25)
    assert np.median(found.world[:, 10, 2] - low) > 1200
    whole = found.joints_3d + found.trajectory[:, None]
    turned = np.einsum("nij,nkj->nki", found.rotation, whole)
    gap = found.world - turned
    np.testing.assert_allclose(gap - gap[:1, :1], 0, atol=1e-6)
    stands = found.contacts > 0.5
    assert 0.2 < stands.mean() < 0.9
    step = np.linalg.norm(np.diff(whole[:, LEGS], axis=0), axis=-1) * FPS
    assert np.median(step[stands[1:] & stands[:-1]]) < 100


def test_bones_keep_their_length_and_people_their_height(people):
    rng = np.random.default_rng(0)
    noisy = people.joints_3d + rng.normal(size=people.joints_3d.shape) * 10
    noisy[:, 0] = 0
    found = settle(replace(people, joints_3d=noisy), MotionOptions(height=1.9))
    lengths = lengths_of(found.joints_3d, H36M_17)
    assert np.ptp(lengths, axis=0).max() < 1e-3
    assert stature_of(lengths, H36M_17).mean() == pytest.approx(1900, rel=1e-3)
    knee = settle(replace(people, joints_3d=noisy), MotionOptions(bone_lengths={"left_knee": 400}))
    index = [H36M_17.index(f"{side}_knee") for side in ("left", "right")]
    np.testing.assert_allclose(lengths_of(knee.joints_3d, H36M_17)[:, index], 400, atol=1e-6)
    assert "known bones" in knee.facts["scale"][0]


def test_a_height_places_people_whose_depths_are_answered_too_small(people, walker):
    truth = walker.joints_3d[:100, 0, 2].numpy()
    tall = stature_of(lengths_of(people.joints_3d, H36M_17), H36M_17).mean() / 1000
    flat = replace(people, joints_3d=people.joints_3d * (1, 1, 0.8))
    usual = typical(lengths_of(flat.joints_3d, H36M_17), flat.person, causal=False)
    off = 1000 * tall / stature_of(usual[0], H36M_17) - 1  # by the bones of most frames
    assert off > 0.025
    for lookahead, share in ((None, 0.6), (5, 0.8)):
        found = settle(flat, MotionOptions(height=tall, lookahead=lookahead))
        assert np.median(found.trajectory[:, 2] / truth) - 1 < share * off


@pytest.mark.parametrize("stage", [None, *STAGES])
@pytest.mark.parametrize("lookahead", [0, 7])
def test_no_stage_knows_more_of_the_future_than_it_may(walker, people, lookahead, stage):
    """What comes later is changed beyond recognition; a lifter of single frames stands between."""
    without = () if stage is None else (stage,)
    options = MotionOptions(
        without=without, lookahead=lookahead, height=None if without == ("scale",) else 1.8
    )
    changed, cut = 60, 60 - lookahead

    def run(points, confidence):
        one = options.ahead().clean
        clean = clean_keypoints(
            points, confidence, people.track, FPS, one,
            replaced=options.uses("clean"), smoothed=options.uses("smooth"),
        )  # fmt: skip
        depth = people.joints_3d[..., 2:]
        flat = (clean.keypoints_2d - clean.keypoints_2d[:, :1]) * 4.0
        pose = np.concatenate((flat, depth), -1)
        lifted = replace(
            people, joints_3d=pose, keypoints_2d=clean.keypoints_2d, confidence=clean.confidence
        )
        moving = settle(lifted, options)
        names = (
            "joints_3d", "trajectory", "world", "contacts", "up", "up_deg", "ground_mm",
            "ground_sigma_mm", "rotation",
        )  # fmt: skip
        found = {name: getattr(moving, name) for name in names}
        return {**found, "keypoints": clean.keypoints_2d}

    points, confidence = people.keypoints_2d.copy(), people.confidence.copy()
    confidence[50:63, 4] = 0  # a gap whose end is not known in time
    before = run(points, confidence)
    points[changed:] = points[changed:, ::-1] * 0.5 + 200
    confidence[changed:, ::2] = 0
    after = run(points, confidence)
    for name, value in before.items():
        if value is not None:
            np.testing.assert_array_equal(value[:cut], after[name][:cut], name)
    assert not np.array_equal(before["joints_3d"][changed:], after["joints_3d"][changed:])


def test_a_model_of_windows_looks_ahead_too(walker):
    data = DataConfig(frames=27)
    assert frames_ahead(data, 1.0) == 13
    assert frames_ahead(data, 2.0) == 30
    assert frames_ahead(DataConfig(frames=27, target="all"), 1.0) == 26
    assert frames_ahead(data, None) == 0
    with pytest.raises(ConfigError, match=r"looks 13 ahead; give --lookahead 13 or more"):
        Chain.begin(walker, MotionOptions(lookahead=5), data, FPS)
    chain = Chain.begin(walker, MotionOptions(lookahead=20), data, FPS)
    assert chain.options.lookahead == 7
    assert chain.facts["delay_ms"] == 400
    assert chain.options.moving_camera  # four cameras of a data set share no world


def test_a_camera_that_moves_leaves_no_world(people):
    found = settle(people, MotionOptions(moving_camera=True))
    assert found.world is None
    assert found.up is None
    assert found.trajectory is not None
    assert "the camera moves" in found.facts["world"]


def test_poses_of_a_camera_give_the_world(people, walker, tmp_path):
    """A camera that turns about its own axis and rises sees what one at rest does."""
    file, count = tmp_path / "camera.npz", 100
    rest, centre = walker.cameras.rotation[0].numpy(), walker.cameras.position[0].numpy()
    world = (people.joints_3d + walker.joints_3d[:100, :1].numpy()) @ rest + centre
    angle = np.linspace(0, 0.2, count)
    roll = np.zeros((count, 3, 3))
    roll[:, 0, 0] = roll[:, 1, 1] = np.cos(angle)
    roll[:, 0, 1], roll[:, 1, 0] = -np.sin(angle), np.sin(angle)
    roll[:, 2, 2] = 1
    turn = roll @ rest
    place = centre + np.linspace(0, 1, count)[:, None] * np.array([0, 0, 300])
    seen = np.einsum("nij,nkj->nki", turn, world - place[:, None])
    lens = people.intrinsics.copy()
    lens[:, 4:] = 0
    pixels = seen[..., :2] / seen[..., 2:] * lens[:, None, :2] + lens[:, None, 2:4]
    order = np.random.default_rng(0).permutation(count)
    np.savez(file, rotation=turn[order], position=place[order], frame=order + 7)
    moving = replace(
        people, joints_3d=seen - seen[:, :1], keypoints_2d=pixels, intrinsics=lens,
        cameras=read_camera_path(file, np.arange(count) + 7),
    )  # fmt: skip
    found = settle(moving, MotionOptions())
    assert np.linalg.norm(found.world - world, axis=-1).mean() < 60
    np.testing.assert_allclose(
        found.trajectory + found.joints_3d[:, 5],
        np.einsum("nij,nj->ni", turn, found.world[:, 5] - place), atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(found.up, turn[:, :, 2], atol=1e-6)
    assert found.ground_mm[-1] == pytest.approx(0, abs=40)
    with pytest.raises(DataError, match=r"none for 1, the first of them 107; give them all"):
        read_camera_path(file, np.arange(101) + 7)
    np.savez(file, rotation=turn * 2, position=place)
    with pytest.raises(DataError, match="expected rotations, world to camera"):
        read_camera_path(file, np.arange(count))


def test_up_as_given_holds(people):
    found = settle(people, MotionOptions(up=(0, -2, 0)))
    np.testing.assert_allclose(found.up, np.broadcast_to([0, -1, 0], (100, 3)), atol=1e-6)


def test_lying_and_upside_down_people_leave_up_to_the_camera(people):
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    for times, without in ((1, "contacts"), (2, "contacts"), (2, "")):  # 2: feet above the hip
        pose = people.joints_3d @ np.linalg.matrix_power(turn, times).T
        found = settle(replace(people, joints_3d=pose), MotionOptions(without=without))
        np.testing.assert_allclose(found.up[-1], [0, -1, 0], atol=1e-6)
        assert found.up_deg[-1] > 20


def test_people_who_lie_now_and_then_make_up_less_sure(people):
    first = [settle(people, MotionOptions(without="contacts")).up_deg[-1]]
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    for frames in (20, 60):
        pose = people.joints_3d.copy()
        pose[:frames] = pose[:frames] @ turn.T
        found = settle(replace(people, joints_3d=pose), MotionOptions(without="contacts"))
        first.append(found.up_deg[-1])
    assert first[0] < 6
    assert first[0] + 3 < first[1] < first[2]


def test_bodies_and_a_camera_that_contradict_one_another_are_less_sure():
    straight, frame = np.ones(50), np.arange(50)
    stated = []
    for angle in (0.0, 10.0, 40.0):
        lean = np.deg2rad(angle)
        axis = np.broadcast_to([np.sin(lean), -np.cos(lean), 0.0], (50, 3))
        found = up_of_bodies(axis, straight, frame, FPS, np.array([0.0, -1.0, 0.0]), causal=False)
        stated.append(found.tilt[0])
    assert stated[0] == pytest.approx(stated[1])
    assert stated[2] > 3 * stated[1]


def test_a_guessed_lens_makes_a_tilted_camera_less_sure():
    covariance, forward = np.full((1, 2, 2), 1e-6) * np.eye(2), np.array([0.0, 0.0, 1.0])
    stated = []
    for pitch in np.deg2rad([0.0, 20.0]):
        up = given_up(np.array([0.0, -np.cos(pitch), -np.sin(pitch)]), 1)
        stated.append(with_guessed_lens(up._replace(covariance=covariance), forward).tilt[0])
    # The slope of a plane is as wrong as depths are: tan 20 degrees, 30 % off, in radians.
    leaned = np.rad2deg(0.3 * np.sin(pitch) * np.cos(pitch)) * np.sqrt(np.pi / 4)
    assert stated[0] < 0.2
    assert stated[1] == pytest.approx(leaned, rel=0.01)


def test_a_guessed_lens_is_known_to_the_chain(people):
    known, guessed = (
        settle(replace(people, guessed=guess), MotionOptions()).up_deg[-1]
        for guess in (False, True)
    )
    assert guessed > known + 0.3
    given = settle(replace(people, guessed=True), MotionOptions(up=(0, -1, 0)))
    assert given.up_deg[-1] < 0.01


def test_nothing_seen_is_nowhere(people):
    found = settle(replace(people, confidence=np.zeros((100, 17))), MotionOptions())
    assert np.isnan(found.trajectory).all()
    assert np.isnan(found.world).all()
    assert np.isfinite(found.joints_3d).all()


def test_one_frame_is_enough(people):
    rows = {
        name: getattr(people, name)[:1]
        for name in ("joints_3d", "keypoints_2d", "confidence", "intrinsics", "track", "frame")
    }
    for lookahead in (None, 0):
        found = settle(
            replace(people, **rows, person=people.person[:1]), MotionOptions(lookahead=lookahead)
        )
        assert np.isfinite(found.world).all()
        assert found.facts["ground"].startswith("under the lower foot, taken to stand")


def test_sizes_that_nobody_has_are_told(people, caplog):
    with pytest.raises(
        ConfigError, match=r"left_knee=800, right_knee=800 mm, which make person 0"
    ):
        settle(people, MotionOptions(bone_lengths={"left_knee": 800}))
    settle(people, MotionOptions())
    assert not caplog.records
    settle(replace(people, joints_3d=people.joints_3d * 2), MotionOptions())
    assert "m tall as the method answers, not from 0.5 to 2.5 m; give --height" in caplog.text


def test_two_bones_reach_as_far_as_they_can():
    top, middle, end = np.array([[0.0, 0, 0]]), np.array([[0.0, 10, 400]]), np.array([[0, 0, 800]])
    for aim, reached in (((100, 0, 700), True), ((0, 0, 2000), False)):
        knee, foot = bend(top, middle, end, np.array([aim]))
        np.testing.assert_allclose(
            np.linalg.norm(knee - top), np.linalg.norm(middle - top), rtol=1e-6
        )
        np.testing.assert_allclose(
            np.linalg.norm(foot - knee), np.linalg.norm(end - middle), rtol=1e-6
        )
        assert (np.linalg.norm(foot - aim) < 1e-6) == reached


def test_lengths_are_set_along_the_bones(people):
    lengths = np.full((100, 17), 100.0)
    lengths[:, 8] = np.nan
    found = with_lengths(people.joints_3d, lengths, H36M_17)
    own = lengths_of(found, H36M_17)
    np.testing.assert_allclose(own[:, [1, 2, 3, 7]], 100)
    np.testing.assert_allclose(own[:, 8], lengths_of(people.joints_3d, H36M_17)[:, 8])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1780", r"0\.5 to 2\.5 metres, got 1780; 1780 mm are 1\.78 m"),
        (3, r"0\.5 to 2\.5 metres, got 3;"),
        (0.3, r"0\.5 to 2\.5 metres"),
        ("tall", r"height in metres, or one a person, got tall"),
        ("0=1.7,0=1.8", r"one a person, got 0=1\.7"),
        ("a=1.7", "one a person"),
        (True, "one a person"),
        (float("nan"), r"0\.5 to 2\.5 metres"),
    ],
)
def test_heights_of_nobody_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        read_heights(given)


def test_heights_belong_to_people(people):
    assert read_heights("0=1.78, 12=1.65") == {0: 1.78, 12: 1.65}
    assert read_heights(1.78) == {-1: 1.78}
    with pytest.raises(ConfigError, match=r"people in the video \(0\), got one of person 3"):
        settle(people, MotionOptions(height="3=1.8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"without": "feat"}, "got 'feat'; did you mean 'feet'"),
        ({"lookahead": -1}, "from 0 to 1000 frames, got -1"),
        ({"up": (0, 0, 0)}, "three numbers that point up"),
        ({"up": 3}, "three numbers that point up"),
        ({"bone_lengths": {"left_knee": 0.43}}, "from 10 to 1500 mm, got left_knee=0.43"),
        ({"height": 1.8, "without": "scale"}, "stage scale beside --height"),
        ({"bone_lengths": {"left_knee": 430}, "without": "all"}, "stage scale beside --bone"),
        (
            {"height": 1.8, "bone_lengths": {"left_knee": 430}},
            "--height .* or --bone .*, got both",
        ),
        ({"up": (0, -1, 0), "without": "ground"}, "stage ground beside --up"),
        ({"up": (0, -1, 0), "without": "root"}, "stage root beside --up"),
        ({"moving_camera": True, "without": "root"}, "stage root beside --moving-camera"),
        ({"camera_poses": "a.npz", "without": "all"}, "stage root beside --camera-poses"),
        ({"up": (0, -1, 0), "moving_camera": True}, "--up .* or --moving-camera .*, got both"),
    ],
)
def test_options_of_no_use_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MotionOptions(**options)


def test_stages_are_switched_off():
    assert MotionOptions(without="all").without == STAGES
    assert not MotionOptions(without="feet,smooth").uses("feet")
