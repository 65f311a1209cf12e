"""Every format read back exactly, and what each may hold beside the usual."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.tracks import read_keypoints
from lifting.skeleton import COCO_17, H36M_17, get_skeleton
from lifting.skeleton.convert import remap_joints


def test_every_number_of_every_format_comes_back(tmp_path, writers, form):
    _, _, joints, skeleton, several, sized = writers.formats[form]
    people = writers.people(12, joints, persons=2 if several else 1)
    read = read_people(writers.write(tmp_path, form, people), skeleton)
    expected = people[:1] if form == "mmpose-image" else people
    expected = expected.copy()
    if form == "coco-annotations":
        expected[..., 2] = 2
    if read.claims.relative:
        expected /= [*writers.size, 1]
    assert read.skeleton is get_skeleton(skeleton)
    assert len(read.frames) == len(expected)
    np.testing.assert_array_equal(read.joints, expected.reshape(-1, joints, 3))
    assert read.frame.tolist() == np.repeat(range(len(expected)), expected.shape[1]).tolist()
    assert read.claims.image_size == (writers.size if sized else None)


def test_tracks_are_the_mapped_joints_of_the_detector(tmp_path, writers, form):
    _, _, joints, skeleton, _, sized = writers.formats[form]
    people = writers.people(12, joints)
    path = writers.write(tmp_path, form, people)
    size = None if sized else writers.size
    tracks = read_keypoints(path, skeleton=skeleton, image_size=size, fps=24)
    expected = torch.from_numpy(people[: len(tracks), 0])
    if form == "coco-annotations":
        expected[..., 2] = 1
    points, confidence = remap_joints(
        expected[..., :2], get_skeleton(skeleton), H36M_17, expected[..., 2]
    )
    torch.testing.assert_close(tracks.keypoints_2d, points.float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(tracks.confidence, confidence.float(), rtol=0, atol=1e-6)
    assert len(tracks) == (1 if form == "mmpose-image" else 12)
    assert tracks.joints_3d is None
    assert tracks.fps == 24
    assert tracks.track_names == ("clip",)
    assert tracks.source["detector_skeleton"] == skeleton
    assert tracks.source["frames_filled"] == "0"
    assert tracks.cameras.size.tolist() == [list(writers.size)]


@pytest.mark.parametrize("style", ["cmu", "open"])
def test_alphapose_imitations_of_openpose(tmp_path, writers, style):
    people = writers.people(11, 18, persons=2)
    path = writers.alphapose_by_image(tmp_path / "a.json", people, style=style)
    np.testing.assert_array_equal(read_people(path, "coco18").joints, people.reshape(-1, 18, 3))


@pytest.mark.parametrize(
    ("key", "layout"), [("pose_landmarks", "group"), ("poseLandmarks", "list")]
)
def test_other_lists_of_landmarks(tmp_path, writers, key, layout):
    people = writers.people(3, 33)
    path = writers.mediapipe(tmp_path / "m.json", people, key=key, form=layout)
    np.testing.assert_array_equal(
        read_people(path).joints, (people / [*writers.size, 1]).reshape(-1, 33, 3)
    )


def test_landmarks_of_several_people_and_of_none(tmp_path, writers):
    people = list(writers.people(3, 33, persons=2))
    people[1] = people[1][:0]
    read = read_people(writers.mediapipe(tmp_path / "m.json", people, form="group"))
    assert read.frame.tolist() == [0, 0, 2, 2]
    assert len(read.frames) == 3


@pytest.mark.parametrize(
    ("joints", "whole", "kept", "skeleton"),
    [(136, "halpe136", 26, "halpe26"), (133, "wholebody133", 17, "coco17")],
)
def test_whole_body_sets_are_kept_or_cut_to_the_body(
    tmp_path, writers, joints, whole, kept, skeleton
):
    people = writers.people(2, joints)
    path = writers.coco_results(tmp_path / "w.json", people)
    read = read_people(path)
    assert read.skeleton.name == whole
    np.testing.assert_array_equal(read.joints, people[:, 0])
    body = read_people(path, skeleton)
    assert body.skeleton.name == skeleton
    np.testing.assert_array_equal(body.joints, people[:, 0, :kept])
    both = [read_keypoints(path, image_size=writers.size, skeleton=s) for s in (None, skeleton)]
    torch.testing.assert_close(both[0].keypoints_2d, both[1].keypoints_2d)


def test_openpose_of_eighteen_joints(tmp_path, writers):
    read = read_people(writers.openpose(tmp_path / "o", writers.people(3, 18)), "coco18")
    assert read.skeleton.name == "coco18"


def test_openpose_single_file_and_empty_frames(tmp_path, writers):
    people = list(writers.people(3, 25))
    people[1] = people[1][:0]
    folder = writers.openpose(tmp_path / "o", people)
    (folder / "notes.json").write_text("{}")
    read = read_people(folder, "body25")
    assert read.frames == [f"clip_{i:012d}" for i in range(3)]
    assert read.frame.tolist() == [0, 2]
    single = read_people(folder / f"clip_{2:012d}_keypoints.json", "body25")
    np.testing.assert_array_equal(single.joints, people[2])


def test_frames_are_in_natural_order(tmp_path, writers):
    people = writers.people(12, 17)
    path = writers.coco_results(tmp_path / "n.json", people, name=lambda i: f"{i}.jpg")
    entries = json.loads(path.read_text())
    path.write_text(json.dumps(entries[::-1]))
    read = read_people(path, "coco17")
    assert list(read.frames) == [f"{i}.jpg" for i in range(12)]
    np.testing.assert_array_equal(read.joints, people[:, 0])


def test_annotated_images_without_anyone_are_frames(tmp_path, writers):
    path = writers.write(tmp_path, "coco-annotations", writers.people(5, 17))
    content = json.loads(path.read_text())
    del content["annotations"][2]
    joints = content["annotations"][0]["keypoints"]
    joints[:3] = [0, 0, 0]
    joints[3 * COCO_17.index("left_knee") + 2] = 1
    content["annotations"].append({"image_id": 700, "category_id": 3, "bbox": [0, 0, 5, 5]})
    path.write_text(json.dumps(content))
    tracks = read_keypoints(path, skeleton="coco17")
    assert len(tracks) == 5
    assert tracks.source["frames_filled"] == "1"
    assert tracks.confidence[2].max() == 0
    assert tracks.confidence[0, H36M_17.index("neck")] == 0  # the nose is absent
    assert tracks.confidence[0, H36M_17.index("left_knee")] == 0.5  # hidden, not absent


def test_a_list_without_scores_and_with_twos_holds_visibility(tmp_path, writers):
    people = writers.people(3, 17)
    people[..., 2] = 2
    path = writers.coco_results(tmp_path / "v.json", people)
    entries = json.loads(path.read_text())
    for entry in entries:
        del entry["score"]
    path.write_text(json.dumps(entries))
    tracks = read_keypoints(path, skeleton="coco17", image_size=writers.size)
    assert tracks.source["confidences_clipped"] == "0"
    assert bool((tracks.confidence == 1).all())


@pytest.mark.parametrize("track", [7, 7.0, [7], [[7, 3]]])
def test_forms_of_track_numbers(tmp_path, writers, track):
    path = writers.write(tmp_path, "alphapose", writers.people(1, 26))
    entries = json.loads(path.read_text())
    entries[0]["idx"] = track
    path.write_text(json.dumps(entries))
    assert read_people(path).track.tolist() == [7]


@pytest.mark.parametrize("track", [None, -1, [-1], []])
def test_absent_track_numbers(tmp_path, writers, track):
    path = writers.write(tmp_path, "alphapose", writers.people(1, 26))
    entries = json.loads(path.read_text())
    entries[0]["idx"] = track
    path.write_text(json.dumps(entries))
    assert read_people(path).track.tolist() == [-1]


def test_boxes_come_as_corners_from_either_form(tmp_path, writers):
    people = writers.people(1, 17)
    corners = [*people[0, 0, :, :2].min(0), *people[0, 0, :, :2].max(0)]
    for form in ("coco-results", "mmpose-video", "mmpose-image"):
        box = read_people(writers.write(tmp_path, form, people), "coco17").box
        np.testing.assert_allclose(box, [corners], rtol=1e-12)


def test_plain_npz_of_another_order_and_its_camera(tmp_path, writers):
    lens = np.array([900.0, 910, 320, 240, 0.1, 0, 0, 0, 0])
    path = writers.plain_npz(tmp_path / "p.npz", writers.people(4, 25), intrinsics=lens)
    tracks = read_keypoints(path, skeleton="body25")
    assert tracks.cameras.intrinsics[0].tolist() == pytest.approx(lens.tolist())
    assert tracks.source["intrinsics"] == "of the file"


def test_encodings_with_a_mark_are_read(tmp_path, writers):
    path = writers.coco_results(tmp_path / "u.json", writers.people(2, 17))
    expected = read_people(path, "coco17").joints
    path.write_text(path.read_text(), encoding="utf-16")
    np.testing.assert_array_equal(read_people(path, "coco17").joints, expected)


def test_people_are_counted_within_their_frame(tmp_path, writers):
    read = read_people(writers.write(tmp_path, "alphapose", writers.people(3, 26, persons=2)))
    assert read.where(3) == "frame 1.jpg, person 1"
