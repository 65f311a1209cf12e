"""COCO's results and annotations: categories, names, sizes, videos, and whole bodies in parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import SIZE, detected
from keypoint_files import coco as files

from lifting.data.keypoints.read import read_people, read_video
from lifting.errors import DataError
from lifting.skeleton import get_skeleton

from ..orders import real_data  # noqa: TID252

PEOPLE = detected("coco17", persons=2)
MARKED = files.flags(PEOPLE)


def rows(people):
    return people.reshape(-1, *people.shape[2:])


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def corners(people):
    x, y, w, h = np.array([files.box_of(person) for person in rows(people)]).T
    return np.stack((x, y, x + w, y + h), -1)


@pytest.mark.parametrize(
    ("image", "names"),
    [
        (lambda i: i, ["0", "1", "10"]),
        (lambda i: f"{i}.png", ["0.png", "1.png", "10.png"]),
        (lambda i: f"v_{i + 5:06d}", ["v_000005", "v_000006", "v_000015"]),
    ],
)
def test_every_number_of_results_comes_back(tmp_path, image, names):
    path = files.results(tmp_path / "r.json", PEOPLE, image=image)
    read = read_people(path)
    assert read.form == "coco-results"
    assert read.skeleton.name == "coco17"
    assert [read.frames[i] for i in (0, 1, 10)] == names
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    np.testing.assert_allclose(read.box, corners(PEOPLE))
    assert read.score.tolist() == [0.7, 0.8] * 40
    assert set(read.track.tolist()) == {-1}
    assert read.claims.image_size is None


def test_frames_are_in_natural_order_whatever_the_file_s(tmp_path):
    path = files.results(tmp_path / "r.json", PEOPLE[:, :1], image=lambda i: f"{i}.jpg")
    read = read_people(changed(path, list.reverse))
    assert list(read.frames) == [f"{i}.jpg" for i in range(40)]
    np.testing.assert_array_equal(read.joints, PEOPLE[:, 0])


def test_a_frame_that_nobody_was_seen_in_is_a_gap(tmp_path):
    path = files.results(tmp_path / "r.json", PEOPLE[:, :1])
    video = read_video(changed(path, lambda c: c.pop(20)), image_size=SIZE)
    assert video.when.number.tolist() == [*range(20), *range(21, 40)]


def test_numbers_of_entries_are_no_tracks(tmp_path):
    path = files.results(
        tmp_path / "r.json", PEOPLE, id=lambda i, k: 2 * i + k, track_id=lambda i, k: k + 5
    )
    assert read_people(path).track.tolist() == [5, 6] * 40
    drop = changed(path, lambda c: [entry.pop("track_id") for entry in c])
    assert set(read_people(drop).track.tolist()) == {-1}


def test_names_of_files_order_the_frames(tmp_path):
    path = files.results(
        tmp_path / "predictions.json", PEOPLE, image=lambda i: 900 - i,
        file_name=lambda i, k: f"{i}.jpg",
    )  # fmt: skip
    read = read_people(path)
    assert list(read.frames) == [f"{i}.jpg" for i in range(40)]
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))


@pytest.mark.parametrize(
    "change",
    [{"file_name": "7.jpg"}, {"file_name": None}, {"image_id": 77}],
    ids=["another's name", "no name", "another's number"],
)
def test_names_of_files_that_contradict_the_numbers(tmp_path, change):
    path = files.results(tmp_path / "predictions.json", PEOPLE, file_name=lambda i, k: f"{i}.jpg")
    changed(path, lambda c: c[5].update(change))
    with pytest.raises(DataError, match="one file_name for each image in"):
        read_people(path)


def test_other_categories_are_left_out_and_said(tmp_path):
    path = files.results(tmp_path / "r.json", PEOPLE)

    def add(content):
        content.insert(0, {"image_id": 0, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 1})
        content.append({"image_id": 50, "category_id": 0, "keypoints": [1.0] * 51, "score": 1})
        content[3].pop("category_id")
        content[4]["category_id"] = None

    read = read_people(changed(path, add))
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))
    assert read.frames[-1] == "50"
    assert read.claims.notes == ("left out, no persons: 2 entries of other categories",)


def test_categories_counted_from_zero(tmp_path):
    path = files.results(tmp_path / "r.json", PEOPLE, category_id=lambda i, k: 0)
    assert len(read_people(path).joints) == 80
    path = files.results(tmp_path / "r.json", PEOPLE, category_id=lambda i, k: 17 + k)
    with pytest.raises(DataError, match=r"people, category 1, in .*only category 17, 18;"):
        read_people(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1.0] * 50}, r"\(frame 2, person 1\).*51 numbers.*got 50"),
        ({"keypoints": None}, r"a list of keypoints .*\(frame 2, person 1\), got None"),
        ({"keypoints": [[1, 2, 3]] * 51}, r"a keypoint \(frame 2, person 1\).*a list of 3"),
        ({"score": "high"}, r"the score \(frame 2, person 1\).*got 'high'"),
        ({"bbox": [1, 2, 3]}, r"box of four numbers .*frame 2, person 1.*a list of 3"),
        ({"track_id": 1.5}, "whole number as track .*frame 2, person 1.*got 1.5"),
        ({"image_id": 2.5}, r"a whole number or a name as 'image_id' of entry 5 .*got 2.5"),
        ({"image_id": True}, r"a whole number or a name as 'image_id' of entry 5 .*got True"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    path = changed(files.results(tmp_path / "r.json", PEOPLE), lambda c: c[5].update(change))
    with pytest.raises(DataError, match=message):
        read_people(path)


def test_an_entry_of_another_kind(tmp_path):
    path = changed(files.results(tmp_path / "r.json", PEOPLE), lambda c: c.append(3))
    with pytest.raises(DataError, match=r"sighting 80 of .* to be an object, got 3"):
        read_people(path)


def test_every_number_of_annotations_comes_back(tmp_path):
    read = read_people(files.annotations(tmp_path / "a.json", MARKED))
    assert read.form == "coco-annotations"
    assert (read.skeleton.name, read.order.told_by) == ("coco17", "names in the file")
    assert list(read.frames) == [f"f{i}.jpg" for i in range(40)]
    np.testing.assert_array_equal(read.joints, rows(MARKED))
    np.testing.assert_allclose(read.box, corners(MARKED))
    assert read.frame.tolist() == np.repeat(range(40), 2).tolist()
    assert read.claims.image_size == SIZE
    assert read.claims.visibility
    assert not read.claims.ids


def test_flags_are_confidences_of_a_half_and_one(tmp_path):
    video = read_video(files.annotations(tmp_path / "a.json", MARKED[:, :1]))
    expected = np.select([MARKED[:, 0, :, 2] == 1, MARKED[:, 0, :, 2] == 2], [0.5, 1.0], 0.0)
    np.testing.assert_array_equal(video.people.joints[..., 2], expected)
    assert video.size == SIZE


def test_names_of_joints_beat_the_number(tmp_path):
    people = files.flags(detected("mpii16"))
    names = ["head_top" if name == "head" else name for name in get_skeleton("mpii16").joints]
    names = ["upper_neck" if name == "neck" else name for name in names]
    read = read_people(files.annotations(tmp_path / "a.json", people, names=names))
    assert (read.skeleton.name, read.order.told_by) == ("mpii16", "names in the file")


def test_annotated_images_of_nobody_are_frames(tmp_path):
    path = changed(files.annotations(tmp_path / "a.json", MARKED[:, :1]),
                   lambda c: c["annotations"].pop(2))  # fmt: skip
    read = read_people(path)
    assert len(read.frames) == 40
    assert read.frame.tolist() == [0, 1, *range(3, 40)]


def test_the_category_of_people_is_told_by_its_name(tmp_path):
    def other(content):
        content["categories"][0]["id"] = 4
        content["categories"].insert(0, {"id": 1, "name": "dog"})
        for entry in content["annotations"]:
            entry["category_id"] = 4
        content["annotations"].append({"image_id": 900, "category_id": 1, "bbox": [0, 0, 1, 1]})

    read = read_people(changed(files.annotations(tmp_path / "a.json", MARKED), other))
    np.testing.assert_array_equal(read.joints, rows(MARKED))
    assert read.claims.notes == ("left out, no persons: 1 entries of other categories",)


def test_people_without_keypoints_are_left_out_and_said(tmp_path):
    path = files.annotations(tmp_path / "a.json", MARKED)
    read = read_people(changed(path, lambda c: c["annotations"][3].pop("keypoints")))
    np.testing.assert_array_equal(read.joints, np.delete(rows(MARKED), 3, 0))
    assert read.claims.notes == ("people without keypoints left out: 1",)
    changed(path, lambda c: [entry.pop("keypoints", 0) for entry in c["annotations"]])
    with pytest.raises(DataError, match="boxes or outlines only; give the file of the keypoints"):
        read_people(path)


def test_confidences_in_place_of_flags_are_said(tmp_path):
    read = read_people(files.annotations(tmp_path / "a.json", PEOPLE))
    assert not read.claims.visibility
    assert read.claims.notes == ("third numbers are confidences, not 0, 1, 2",)
    np.testing.assert_array_equal(read.joints, rows(PEOPLE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][5].update(image_id=3),
            "image_id 3 of annotation 21, which",
        ),
        (lambda c: c["annotations"][5].pop("image_id"), "'image_id' of annotation 21 .*got None"),
        (lambda c: c["annotations"][5].update(keypoints="x"), "f2.jpg, annotation 21.* a list"),
        (
            lambda c: c["annotations"][5]["keypoints"].__setitem__(2, 7),
            r"0, 1 or 2 as the visibility .*image f2.jpg, annotation 21\).*got 7",
        ),
        (
            lambda c: c["annotations"][5].update(keypoints=[1.0] * 48),
            r"frame f2.jpg, person 1.*51 numbers.*got 48",
        ),
        (lambda c: c.pop("images"), "the list of images of .*got None"),
        (lambda c: c.update(annotations=3), "the list of annotations of .*got 3"),
        (lambda c: c["images"][0].update(width="w"), "'width' of image 0 of .* a number, got 'w'"),
        (lambda c: c["images"][0].update(file_name="f3.jpg"), "one file_name for each image"),
    ],
)
def test_damage_in_annotations_is_named(tmp_path, change, message):
    path = changed(files.annotations(tmp_path / "a.json", MARKED), change)
    with pytest.raises(DataError, match=message):
        read_people(path)


def test_images_of_several_sizes_are_read_but_are_no_video(tmp_path):
    path = files.annotations(tmp_path / "a.json", MARKED)
    changed(path, lambda c: c["images"][0].update(width=100))
    read = read_people(path)
    assert len(read.joints) == 80
    assert read.claims.image_size is None
    for size in (None, SIZE):
        with pytest.raises(DataError, match=r"images of one size .*got 2: 100 x 720, 1280 x 720"):
            read_video(path, image_size=size)


def test_whole_bodies_are_put_together(tmp_path):
    people = files.flags(detected("wholebody133", persons=2))
    path = files.annotations(tmp_path / "w.json", people, cut=files.in_parts)
    read = read_people(path)
    assert (read.skeleton.name, read.order.told_by) == ("wholebody133", "format")
    np.testing.assert_array_equal(read.joints, rows(people))

    def remove(content):
        content["annotations"][0]["face_valid"] = False
        content["annotations"][1]["lefthand_kpts"] = None
        del content["annotations"][2]["foot_kpts"]

    expected = rows(people).copy()
    expected[0, 23:91] = expected[1, 91:112] = expected[2, 17:23] = 0
    np.testing.assert_array_equal(read_people(changed(path, remove)).joints, expected)
    changed(path, lambda c: c["annotations"][4].update(righthand_kpts=[1.0] * 60))
    with pytest.raises(DataError, match=r"21 joints in 'righthand_kpts' .*f2.jpg, .*got 60"):
        read_people(path)


def test_posetrack_has_tracks_and_names(tmp_path):
    people = files.flags(detected("posetrack17", persons=2))
    read = read_people(files.posetrack(tmp_path / "p.json", people))
    assert (read.skeleton.name, read.order.told_by) == ("posetrack17", "names in the file")
    np.testing.assert_array_equal(read.joints, rows(people))
    assert read.track.tolist() == [0, 1] * 40
    assert read.claims.ids


@pytest.mark.parametrize("by_folder", [False, True])
def test_several_videos_are_listed(tmp_path, by_folder):
    def several(content):
        for i, image in enumerate(content["images"]):
            del image["vid_id"]
            if by_folder:
                image["file_name"] = f"val/{i % 8}_mpii/{i:06d}.jpg"
            else:
                image["vid_id"] = f"{i % 8:06d}"

    people = files.flags(detected("posetrack17"))
    path = changed(files.posetrack(tmp_path / "p.json", people), several)
    listed = "val/0_mpii, .*val/5_mpii" if by_folder else "000000, .*000005"
    with pytest.raises(DataError, match=rf"one video in .*got 8: {listed}, \.\.\.; keep"):
        read_people(path)


def test_a_real_file():
    read = read_people(real_data("real/coco/test_coco.json"))
    assert (read.skeleton.name, read.order.told_by) == ("coco17", "names in the file")
    assert len(read.joints) == 14
    assert [name.lstrip("0") for name in read.frames] == [
        "785.jpg", "40083.jpg", "196141.jpg", "197388.jpg",
    ]  # fmt: skip
    assert np.bincount(read.frame).tolist() == [1, 3, 5, 5]
    assert read.claims.visibility
    assert read.joints[1, :, 2].tolist() == [2, 2, 2, 0, 2, 2, 2, 0, 2, 2, 0, 1, 1, 2, 2, 2, 1]
    assert not read.joints[1, 3].any()
