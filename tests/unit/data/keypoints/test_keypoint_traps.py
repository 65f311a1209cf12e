"""Files that could be read, and would be wrong: each is refused, put right or told of."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from detected import SIZE, detected

from lifting.data.keypoints.look import look
from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError
from lifting.skeleton import get_skeleton

COCO = get_skeleton("coco17").joints


def results(people, name=str, **more):
    """COCO results of ``(frames, persons, joints, 3)``."""
    return [
        {"image_id": name(i), "category_id": 1, "keypoints": p.reshape(-1).tolist(), "score": 0.9}
        | {key: value(i, k) for key, value in more.items()}
        for i, frame in enumerate(people)
        for k, p in enumerate(frame)
    ]


def written(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("count", [2, 40])
def test_a_folder_of_results_is_not_read_by_its_first_file(tmp_path, count):
    people = detected("coco17", 40)
    for i in range(count):
        written(tmp_path / "f" / f"{i}.json", results(people))
    with pytest.raises(DataError, match=rf"one file of COCO .* for a video, got {count} of them"):
        read_video(tmp_path / "f", image_size=SIZE)


@pytest.mark.parametrize("absent", [(0, 0, 0.3), (-1, -1, 0), (700, 20, 0)])
def test_an_absent_joint_keeps_no_place(tmp_path, absent):
    people = detected("coco17", 40)
    wrist = people[:, 0, 9].copy()
    people[5:30, 0, 9] = absent
    video = read_video(written(tmp_path / "a.json", results(people)), image_size=SIZE)
    found = video.persons[0].filled.joints[:, 9]
    assert (found[5:30, 2] == 0).all()
    assert np.abs(found[5:30, :2] - wrist[5:30, :2]).max() < 60  # between where it was seen


def test_arrays_of_ultralytics_have_unsure_joints_in_the_corner(tmp_path):
    people = detected("coco17", 40)[:, 0]
    people[5:30, 9] = (0, 0, 0.45)
    np.save(tmp_path / "a.npy", people)
    video = read_video(tmp_path / "a.npy", image_size=SIZE)
    assert (video.persons[0].filled.joints[5:30, 9, 2] == 0).all()


@pytest.mark.parametrize("written_as", ["coco", "npz"])
def test_names_in_an_order_of_their_own_are_put_in_the_set_s(tmp_path, written_as):
    people = detected("coco17", 40)
    order = [COCO.index(name.replace("left", "L").replace("right", "left").replace("L", "right"))
             for name in COCO]  # fmt: skip
    names, mixed = [COCO[i] for i in order], people[:, :, order]
    if written_as == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, keypoints=mixed[..., :2], scores=mixed[..., 2], joint_names=names)
    else:
        mixed[..., 2] = 2
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(40)],
            "annotations": [
                {"image_id": i, "id": i, "category_id": 1, "keypoints": f[0].reshape(-1).tolist()}
                for i, f in enumerate(mixed)
            ],
            "categories": [{"id": 1, "name": "person", "keypoints": names}],
        }
        path = written(tmp_path / "a.json", content)
    read = read_people(path)
    assert read.skeleton.name == "coco17"
    np.testing.assert_allclose(read.joints[..., :2], people[:, 0, :, :2], atol=1e-3)


def test_names_that_are_nobody_s_are_refused(tmp_path):
    people = detected("coco17", 40)
    names = [f"paw_{i}" for i in range(17)]
    np.savez(tmp_path / "a.npz", keypoints=people[..., :2], joint_names=names)
    with pytest.raises(DataError, match="expected the joints of a person"):
        read_people(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", keypoints=people[..., :2], joint_names=names[:16])
    with pytest.raises(DataError, match=r"a name for each of 17 joints .*, got 16"):
        read_people(tmp_path / "b.npz")


def test_two_people_who_are_never_in_one_frame_are_two(tmp_path):
    people = detected("coco17", 60)
    people[30:, :, :, :2] = people[30:, :, :, :2] * 0.4 + (950, 100)
    video = read_video(written(tmp_path / "a.json", results(people)), image_size=SIZE)
    assert [len(p.filled.joints) for p in video.persons] == [30, 30]
    assert "who is shown jumps" in video.facts["people"]


def test_two_videos_in_a_list_are_refused(tmp_path):
    people = detected("coco17", 40)
    path = written(tmp_path / "a.json", results(people, lambda i: f"{'ab'[i // 20]}_{i % 20}.jpg"))
    with pytest.raises(DataError, match=r"frames of one video in .*, got 2: a_\*, b_\*"):
        read_video(path, image_size=SIZE)


def test_names_of_no_order_are_one_video_still(tmp_path):
    path = written(
        tmp_path / "a.json", results(detected("coco17", 20), lambda i: f"{i:x}z{i}q.png")
    )
    assert len(read_people(path).frames) == 20


def test_frames_that_became_people_are_refused(tmp_path):
    people = detected("coco17", 40)[:, 0]
    np.save(tmp_path / "batch.npy", people[None])
    with pytest.raises(DataError, match=r"got \(1, 40, 17, 3\), whose 40 people move as one"):
        read_video(tmp_path / "batch.npy", image_size=SIZE)
    everyone = detected("coco17", 40, 6)
    np.save(tmp_path / "turned.npy", everyone.transpose(1, 0, 2, 3))
    with pytest.raises(DataError, match=r"exchange its first two axes"):
        read_video(tmp_path / "turned.npy", image_size=SIZE)
    np.save(tmp_path / "right.npy", everyone)
    assert len(read_video(tmp_path / "right.npy", image_size=SIZE).persons) == 6
    entries = results(people[:, None], lambda i: 0)
    with pytest.raises(DataError, match=r"\d+ of which repeat another; the file lacks"):
        read_video(written(tmp_path / "a.json", entries), image_size=SIZE)


def test_ids_that_are_places_in_a_list_are_not_believed(tmp_path):
    people = detected("coco17", 40, 2)
    people[1::2] = people[1::2, ::-1]
    path = written(tmp_path / "a.json", results(people, track_id=lambda i, k: k))
    video = read_video(path, image_size=SIZE)
    assert video.facts["people"].endswith("the file's ids change between people 78 times")
    for person in video.persons:
        assert np.abs(np.diff(person.filled.joints[:, 0, 0])).max() < 20


@pytest.mark.parametrize("name", ["frame_{:03}_of_60.jpg", "a{:04}b7.png", "{:05}"])
def test_the_number_that_changes_is_that_of_the_frame(tmp_path, name):
    people = np.delete(detected("coco17", 60), slice(20, 35), 0)
    numbers = np.delete(np.arange(60), slice(20, 35))
    path = written(tmp_path / "a.json", results(people, lambda i: name.format(numbers[i])))
    video = read_video(path, image_size=SIZE)
    assert video.facts["frame_numbers"] == "from the names"
    assert video.persons[0].filled.offsets.tolist() == [0, 20, 45]


def test_an_image_on_its_side_is_refused(tmp_path, caplog):
    people = detected("coco17", 40)
    people[..., :2] += (0, 250)
    path = written(tmp_path / "a.json", results(people))
    with pytest.raises(DataError, match=r"within the image of 1280 x 720.*y from .* to 771;"):
        read_video(path, image_size=SIZE)
    with caplog.at_level(logging.WARNING):
        read_video(path, image_size=(8000, 8000))
    assert "everyone is in the upper left corner" in caplog.text


def test_sides_that_are_exchanged_are_told_where_people_stand_near_the_middle(tmp_path, caplog):
    people = detected("coco17", 40)
    low, high = people[..., :2].min((0, 1, 2)), people[..., :2].max((0, 1, 2))
    people[..., :2] -= (low + high) / 2 - np.array([640, 360])
    wide = people.copy()
    wide[::20, :, 9, 0] = 1200
    path = written(tmp_path / "a.json", results(wide))
    with caplog.at_level(logging.WARNING):
        read_video(path, image_size=(1280, 1280))
        assert not caplog.text
        read_video(path, image_size=(1100, 1280))
    assert not caplog.text
    wide[::4, :, 9, 0] = 1200
    with caplog.at_level(logging.WARNING):
        read_video(written(tmp_path / "b.json", results(wide)), image_size=(1100, 1280))
    assert "1.5 % of the joints lie outside the image of 1100 x 1280, and would fit" in caplog.text
    assert "with width and height (or x and y) exchanged; check --image-size" in caplog.text


def test_y_that_points_up_from_the_top_is_told(tmp_path):
    people = detected("coco17", 40)
    people[..., 1] *= -1
    path = written(tmp_path / "a.json", results(people))
    with pytest.raises(DataError, match="y must point down from the top of the image"):
        read_video(path, image_size=SIZE)


def test_joints_far_outside_and_confidences_that_are_none_are_told(tmp_path, caplog):
    people = detected("coco17", 40)
    people[3, 0, 9, :2] = (-5000, 100)
    people[..., 2] *= 100
    with caplog.at_level(logging.WARNING):
        video = read_video(written(tmp_path / "a.json", results(people)), image_size=SIZE)
    assert video.facts["joints_far_outside"] == "1"
    assert "confidences reach" in caplog.text
    assert np.abs(video.persons[0].filled.joints[..., :2]).max() < 1500


def test_scaled_arrays_must_be_declared(tmp_path):
    people = detected("coco17", 40)[:, 0, :, :2] / SIZE
    np.save(tmp_path / "a.npy", people)
    with pytest.raises(DataError, match="declare --coordinates unit"):
        read_video(tmp_path / "a.npy", image_size=SIZE)


def test_facts_of_a_file_are_not_overruled_in_silence(tmp_path):
    people = detected("coco17", 40)[:, 0, :, :2]
    facts = {"image_size": SIZE, "fps": 25, "intrinsics": (900, 900, 640, 360)}
    np.savez(tmp_path / "a.npz", keypoints_2d=people, **facts)
    for option, other, words in (
        ("fps", 50, "25 frames a second"), ("intrinsics", (500, 500, 640, 360), "900, 900, 640"),
        ("image_size", (720, 1280), r"\(1280.0, 720.0\)"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_video(tmp_path / "a.npz", **{option: other})
    np.savez(tmp_path / "b.npz", keypoints_2d=people, fps=0)
    with pytest.raises(DataError, match="from 1 to 1000 frames a second"):
        read_video(tmp_path / "b.npz", image_size=SIZE)
    np.savez(tmp_path / "b.npz", keypoints_2d=people, fps=np.nan)  # as poses.npz of no known rate
    assert read_video(tmp_path / "b.npz", image_size=SIZE, fps=25).fps == 25


def test_looking_tells_what_lifting_would_refuse(tmp_path):
    np.save(tmp_path / "a.npy", detected("coco17", 40)[:, 0, :, :2])
    video = read_video(tmp_path / "a.npy", image_size=SIZE)
    assert video.facts["frame_numbers"] == "places in the array"
    assert "needs --image-size" in look(tmp_path / "a.npy").facts["image size"]
    assert "within the image of 64 x 48" in str(
        look(tmp_path / "a.npy", image_size=(64, 48)).problem
    )
