"""Which joints are these: the rule on real files and on real motion in every order."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree

from lifting.data.keypoints.plausibility import (
    CONTRADICTED,
    exchanged_sides,
    score,
    seen_joints,
    tell,
    upside_down,
)
from lifting.skeleton import COCO_17, SKELETONS, get_skeleton, sets_of

from .orders import EVERY, clips, filmed, in_order, real_data

PLAIN = tuple(get_skeleton(name) for name in ("coco17", "h36m17", "mpi17"))


def loop_score(points, seen, skeleton):
    """The rule for one frame, joint by joint, with SciPy's least tree."""
    here = np.flatnonzero(seen)
    if len(here) < 6:
        return np.nan
    far = np.linalg.norm(points[here, None] - points[None, here], axis=-1)
    least = minimum_spanning_tree(far).sum()
    length, first = {}, None
    for joint in here:
        parent = skeleton.parents[joint]
        while parent >= 0 and not seen[parent]:
            parent = skeleton.parents[parent]
        if parent < 0 and first is None:
            first = joint
            continue
        start = first if parent < 0 else parent
        length[joint] = np.linalg.norm(points[joint] - points[start])
    uneven = [
        abs(length[a] - length[b]) / (length[a] + length[b])
        for a, b in zip(skeleton.left, skeleton.right, strict=True)
        if a in length and b in length
    ]
    return np.log(sum(length.values()) / least) + 0.5 * (np.mean(uneven) if uneven else 0)


@pytest.mark.parametrize("name", ["coco17", "body25b", "mpi15", "coco25", "kinect25", "h36m17"])
@pytest.mark.parametrize("share", [0.0, 0.35, 0.7])
def test_score_is_that_of_the_plain_loop(name, share):
    skeleton = get_skeleton(name)
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 500, (40, len(skeleton), 2))
    seen = rng.random(points.shape[:2]) >= share
    points[~seen] = np.nan
    expected = [loop_score(p, s, skeleton) for p, s in zip(points, seen, strict=True)]
    np.testing.assert_allclose(score(points, seen, skeleton), expected, rtol=1e-12)


def test_score_knows_no_scale_and_needs_six_joints():
    rng = np.random.default_rng(0)
    points, seen = rng.uniform(0, 1, (3, 17, 2)), np.ones((3, 17), bool)
    np.testing.assert_allclose(
        score(points, seen, COCO_17), score(900 * points + 70, seen, COCO_17), rtol=1e-9
    )
    seen[:, 5:] = False
    assert np.isnan(score(points, seen, COCO_17)).all()
    assert np.isnan(score(points * 0, np.ones((3, 17), bool), COCO_17)).all()


def test_joints_that_count():
    points = np.array([[[1.0, 2], [0, 0], [np.nan, 1], [0, 5], [3, 3]]])
    confidence = np.array([[0.9, 0.9, 0.9, 0.06, 0.05]])
    assert seen_joints(points, confidence).tolist() == [[True, False, False, True, False]]


def test_hands_and_faces_do_not_count():
    rng = np.random.default_rng(0)
    points, seen = rng.uniform(0, 500, (4, 133, 2)), np.ones((4, 133), bool)
    found = score(points, seen, get_skeleton("wholebody133"))
    np.testing.assert_allclose(found, score(points[:, :23], seen[:, :23], get_skeleton("coco23")))


def openpose_joints(folder):
    rows = [
        np.reshape(person["pose_keypoints_2d"], (-1, 3))
        for file in sorted(folder.glob("*.json"))
        for person in json.loads(file.read_text())["people"]
        if "pose_keypoints_2d" in person
    ]
    return np.stack(rows)


@pytest.fixture(scope="module")
def recordings():
    """Real files, ``(T, joints, 3)`` by name."""
    found = {
        f"body25b {i}": openpose_joints(real_data(f"real/pose2sim/pose-associated/cam0{i}_json"))
        for i in range(1, 5)
    }
    path = real_data("real/alphapose_halpe26/alphapose-results.json")
    people = json.loads(path.read_text())
    found["halpe26"] = np.array([p["keypoints"] for p in people]).reshape(-1, 26, 3)
    (path,) = real_data("real/video2bvh").glob("*.npy")
    dance = np.load(path).astype(np.float64)
    found["body25"] = np.concatenate((dance, np.ones((*dance.shape[:2], 1))), -1)
    return found


def test_real_files_are_what_they_are(recordings):
    for name, joints in recordings.items():
        told = tell(joints[..., :2], joints[..., 2], sets_of(joints.shape[1]))
        assert told.decided
        assert told.best.name == name.split()[0]
        assert 0.2 < told.scores[told.best.name] < 0.6
        assert all(v > 1 for k, v in told.scores.items() if k != told.best.name)
        assert not exchanged_sides(joints[..., :2], joints[..., 2], told.best)
        assert not upside_down(joints[..., :2], joints[..., 2], told.best)


@pytest.mark.parametrize("candidates", [sets_of(17), PLAIN], ids=["all", "plain"])
def test_coco_s_joints_of_real_clips(recordings, candidates):
    found = Counter()
    for name, joints in recordings.items():
        if name == "body25":
            continue
        for start in range(0, len(joints) - 29, 30):
            clip = joints[start : start + 30, :17]
            told = tell(clip[..., :2], clip[..., 2], candidates)
            found[told.best.name, told.decided] += 1
    assert found == {("coco17", True): 18}


def test_posetrack_s_joints_of_real_clips(recordings):
    for name, places in {"body25b": (17, 18), "halpe26": (18, 17)}.items():
        for joints in (v for k, v in recordings.items() if k.startswith(name)):
            order = [0, *places, 3, 4, *range(5, 17)]
            for start in range(0, len(joints) - 29, 30):
                clip = joints[start : start + 30][:, order]
                if (clip[..., 0, 2] > 0.05).mean() < 0.5:
                    continue  # without a nose it cannot be told from COCO's joints
                clip[:, 3:5] = 0
                told = tell(clip[..., :2], clip[..., 2], sets_of(17))
                assert told.best.name == "posetrack17"


@pytest.mark.parametrize(("missing", "noise"), [(0.0, 0.0), (0.1, 5.0)])
def test_real_motion_in_every_order(missing, noise):
    """Wrong at most one in 200, refused at most one in 20; a name contradicted one in 200."""
    rng = np.random.default_rng(3)
    total, wrong, refused, contradicted = 0, [], [], []
    for joints in clips(rng, 40):
        seed = int(rng.integers(2**30))
        for name in EVERY:
            ours = np.random.default_rng(seed)
            points = filmed(in_order(joints, name), ours)
            points += noise * ours.normal(size=points.shape)
            confidence = (ours.random(points.shape[:2]) >= missing).astype(float)
            told = tell(points, confidence, sets_of(points.shape[1]))
            total += 1
            if not told.decided:
                refused.append(name)
            elif told.best.name != name:
                wrong.append((name, told.best.name))
            behind = told.scores[name] - told.scores[told.best.name]
            if told.best.name != name and behind >= CONTRADICTED:
                contradicted.append(name)
    assert len(wrong) <= 0.005 * total, Counter(wrong)
    assert len(refused) <= 0.05 * total, Counter(refused)
    assert len(contradicted) <= 0.005 * total, Counter(contradicted)


def test_a_face_that_is_hidden_is_not_taken_for_missing_hips():
    """COCO's joints from behind, whose eyes and nose are absent, begin like Human3.6M's legs."""
    rng = np.random.default_rng(5)
    for joints in clips(rng, 20):
        points = filmed(in_order(joints, "coco17"), rng)
        confidence = np.ones(points.shape[:2])
        confidence[:, :3] = 0
        assert tell(points, confidence, PLAIN).best.name == "coco17"


def test_eyes_in_few_frames_are_not_taken_for_a_neck(recordings):
    """Without hips a bowed head's eyes lie like a neck: what few of them say counts little."""
    coco = recordings["body25b 2"][:, :17]
    found = set()
    for seed in range(20):
        gone = np.random.default_rng(seed).random(coco.shape[:2]) < 0.6
        told = tell(coco[..., :2], np.where(gone, 0, coco[..., 2]), sets_of(17))
        found.add(told.best.name if told.decided else "undecided")
    assert found == {"coco17", "undecided"}


def test_too_few_frames_and_nobody_decide_nothing():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 500, (4, 17, 2))
    told = tell(points, np.ones((4, 17)), PLAIN)
    assert told.usable == 4
    assert not told.decided
    nobody = tell(points, np.zeros((4, 17)), PLAIN)
    assert nobody.usable == 0
    assert not nobody.decided
    assert set(nobody.scores) == {"coco17", "h36m17", "mpi17"}


def test_every_set_is_scored():
    rng = np.random.default_rng(0)
    for skeleton in SKELETONS.values():
        points = rng.uniform(0, 500, (3, len(skeleton), 2))
        assert np.isfinite(score(points, np.ones(points.shape[:2], bool), skeleton)).all()


def test_faces_seen_from_behind_and_heads_below_feet_are_noticed(recordings):
    points, skeleton = recordings["body25"][..., :2], get_skeleton("body25")
    # The same dance from behind: the picture mirrored with the names left as they are.
    turned = np.concatenate((points, points * [-1, 1]))
    sure = np.ones(turned.shape[:2])
    sure[300:] = 0.6
    assert not exchanged_sides(turned, sure, skeleton)
    assert exchanged_sides(turned * [-1, 1], sure, skeleton)
    assert not exchanged_sides(turned * [-1, 1], np.ones(sure.shape), skeleton)
    assert not exchanged_sides(turned[290:310] * [-1, 1], sure[290:310], skeleton)
    assert upside_down(points * [1, -1], sure[:300], skeleton)
    assert not upside_down(points[:50] * [1, -1], sure[:50], skeleton)


def test_joints_that_lie_like_a_face_are_no_legs():
    """Crouching and climbing people's scores alone do not tell COCO's joints from Human3.6M's."""
    rng = np.random.default_rng(8)
    found = Counter()
    for joints in clips(rng, 60):
        seed = int(rng.integers(2**30))
        for skeleton in PLAIN:
            points = filmed(in_order(joints, skeleton.name), np.random.default_rng(seed))
            told = tell(points, np.ones(points.shape[:2]), PLAIN)
            found[skeleton.name, told.best.name, told.decided] += 1
    assert found == {(skeleton.name, skeleton.name, True): 60 for skeleton in PLAIN}
