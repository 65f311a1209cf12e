"""Plain npz and npy of every shape, and what they must not be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files import arrays as files

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError

REAL = Path(os.environ.get("LIFTING_DATA", "")) / "real/video2bvh"


def test_rtmlib_s_results_with_places_for_everyone(tmp_path):
    people = detected("halpe26", 6, 3)
    people[2] = np.nan
    people[4, 1:] = np.nan
    read = read_people(files.rtmlib(tmp_path, people))
    np.testing.assert_array_equal(read.joints, people[np.isfinite(people).all((-1, -2))])
    assert read.frame.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3, 4, 5, 5, 5]
    assert len(read.frames) == 6
    assert set(read.track) == {-1}
    assert not read.claims.ids


def test_the_documented_npz(tmp_path):
    people = detected("coco17")
    path = files.documented(tmp_path, people)
    read = read_people(path)
    np.testing.assert_array_equal(read.joints, people[:, 0])
    assert read.skeleton.name == "coco17"
    assert read.claims.image_size == SIZE
    assert read.claims.fps == 25


@pytest.mark.parametrize("key", ["keypoints", "kpts", "poses_2d", "pose2d", "arr_0"])
def test_other_keys_and_what_is_not_read(tmp_path, key):
    people = detected("halpe26", 3, 2)
    path = files.npz(
        tmp_path,
        **{key: people[..., :2]},
        conf=people[..., 2],
        resolution=np.array(SIZE),
        skeleton=np.array(b"halpe26"),
        track_ids=np.array([7, 9]),
        simcc=np.zeros(3),
        intrinsics=np.array([900.0, 900, 640, 360]),
    )
    read = read_people(path)
    np.testing.assert_array_equal(read.joints, people.reshape(-1, 26, 3))
    assert read.track.tolist() == [7, 9] * 3
    assert read.claims.ids
    assert read.claims.image_size == SIZE
    assert read.claims.intrinsics == (900, 900, 640, 360)
    assert read.order.told_by == "names in the file"
    assert read.claims.notes == ("not read: simcc",)


def test_names_of_joints_as_bytes(tmp_path):
    people = detected("aic14", 2)
    from_file = read_people(
        files.npz(
            tmp_path,
            keypoints=people[:, 0],
            joint_names=np.array(
                [f"{side} {joint}" for side in ("Right", "Left")
                 for joint in ("Shoulder", "Elbow", "Wrist")]
                + [f"{side} {joint}" for side in ("Right", "Left")
                   for joint in ("Hip", "Knee", "Ankle")] + ["head top", "neck"]
            ).astype("S"),
        )
    )  # fmt: skip
    assert from_file.skeleton.name == "aic14"


@pytest.mark.parametrize(
    ("take", "sure"),
    [
        (lambda people: people, True),
        (lambda people: people[:, 0], True),
        (lambda people: people[..., :2], False),
        (lambda people: people[:, 0, :, :2], False),
        (lambda people: people[:, 0].reshape(-1, 78), True),
        (lambda people: people[:, 0, :, :2].reshape(-1, 52), False),
        (lambda people: people[0, 0], True),
        (lambda people: people[0, 0, :, :2], False),
        (lambda people: people[:, 0].astype("float32"), True),
    ],
)
def test_every_shape_of_an_npy(tmp_path, take, sure):
    people = detected("halpe26", 5)
    array = take(people)
    expected = (people[:1] if array.ndim == 2 and len(array) == 26 else people)[:, 0].copy()
    if not sure:
        expected[..., 2] = 1
    read = read_people(files.npy(tmp_path, array))
    np.testing.assert_allclose(read.joints, expected, rtol=1e-6)


def test_zeros_are_absent_without_confidence_and_places_with_it(tmp_path):
    people = detected("halpe26", 3)
    people[0, 0, 5, :2] = 0
    without = read_people(files.npy(tmp_path, people[:, 0, :, :2]))
    assert without.joints[0, 5].tolist() == [0, 0, 0]
    assert (np.delete(without.joints[0, :, 2], 5) == 1).all()
    given = read_people(files.npy(tmp_path, people[:, 0]))
    assert given.joints[0, 5, 2] == people[0, 0, 5, 2]


@pytest.mark.skipif(not REAL.is_dir(), reason="set LIFTING_DATA to the folder of the real data")
def test_a_real_dance_asks_for_its_size():
    (path,) = REAL.glob("*.npy")
    read = read_people(path)
    dance = np.load(path)
    assert read.skeleton.name == "body25"
    assert read.joints.shape == (300, 25, 3)
    absent = (dance == 0).all(-1)
    assert absent.any()
    np.testing.assert_array_equal(read.joints[..., 2] == 0, absent)
    np.testing.assert_array_equal(read.joints[..., :2], dance)
    with pytest.raises(DataError, match="give --image-size WIDTH HEIGHT"):
        read_video(path)


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 0, 1), (2, 1, 0)])
def test_turned_arrays_are_refused(tmp_path, axes):
    array = detected("coco17")[:, 0, :, :2].transpose(axes)
    with pytest.raises(DataError, match=r"must be the last: transpose it"):
        read_people(files.npy(tmp_path, array))


@pytest.mark.parametrize("shape", [(2, 17), (3, 26), (2, 28), (2, 40, 1, 17)])
def test_turned_frames_are_refused(tmp_path, shape):
    with pytest.raises(DataError, match=r"must be the last: transpose it"):
        read_people(files.npy(tmp_path, np.ones(shape)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 17, 3), 1.5), "confidence from 0 to 1, got 1.5 to 1.5; .*not a 3D estimate"),
        (np.full((4, 17, 3), -0.1), "got -0.1 to -0.1; .*Wholebody3d returns the 2D last"),
        (np.ones((4, 66)), "33 joints of 2 numbers or 22 of 3: reshape it"),
        (np.ones((4, 17, 4)), r"got \(4, 17, 4\); give every frame"),
        (np.ones((0, 17, 2)), r"got \(0, 17, 2\)"),
        (np.ones((4, 500, 33, 2)), r"looks like \(cameras, frames, joints, 2 or 3\).*one camera"),
        (np.ones((1, 61, 17, 2)), "61 people in 1 frames"),
        (np.array([[1, None]]), r"pickled objects; .*padded with NaN"),
        (np.array([None, np.ones((2, 17, 2))], dtype=object), r"pickled .*padded with NaN"),
        (np.ones(5), r"known format .*an npy array of float64, shape \(5,\)"),
        (np.ones((4, 13, 2)), "got 13; name the order of the joints with --skeleton"),
    ],
)
def test_arrays_that_are_no_keypoints(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        read_people(files.npy(tmp_path, array))


def test_a_3d_estimate_is_not_read_for_its_scores(tmp_path):
    people = detected("wholebody133", 3, 2)
    scores, flat = people[..., 2], people[..., :2]
    deep = np.concatenate((flat, np.full((*flat.shape[:-1], 1), 0.5)), -1)
    with pytest.raises(DataError, match=r"two numbers a joint .*beside 'scores'.*Wholebody3d"):
        read_people(files.npz(tmp_path, keypoints=deep, scores=scores))
    read = read_people(files.npz(tmp_path, keypoints=deep, scores=scores, keypoints_2d=flat))
    np.testing.assert_array_equal(read.joints, people.reshape(-1, 133, 3))
    assert read.claims.notes == ("not read: keypoints",)
    again = read_people(files.npz(tmp_path, keypoints=people, scores=scores))
    np.testing.assert_array_equal(again.joints, read.joints)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scores": np.ones((3, 2, 16))}, r"'scores' .* \(3, 2, 17\), got \(3, 2, 16\)"),
        ({"scores": np.array([None])}, "numbers in 'scores' .*pickled"),
        ({"track_ids": np.arange(3)}, r"each of 2 people in 'track_ids' .*shape \(3,\)"),
        ({"track_ids": np.array([4, 4])}, r"shape \(2,\) with 1 different"),
        ({"intrinsics": np.ones(5)}, r"\(4,\) or \(9,\), got \(5,\)"),
        ({"image_size": np.ones(3)}, r"\(2,\), got \(3,\)"),
        ({"skeleton": np.array("coco71")}, "a known skeleton .*got 'coco71'; did you mean"),
        ({"skeleton": np.array("body25")}, "the 25 joints of skeleton body25 .*got 17"),
    ],
)
def test_arrays_beside_the_keypoints(tmp_path, more, message):
    path = files.npz(tmp_path, keypoints=detected("coco17", 3, 2)[..., :2], **more)
    with pytest.raises(DataError, match=message):
        read_people(path)
