"""MMPose in all forms, and Sapiens."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detected import detected
from keypoint_files import mmpose as files

from lifting.data.keypoints.read import read_people
from lifting.errors import DataError
from lifting.skeleton import get_skeleton


def some(persons=2, frames=5, name="coco17"):
    """Nobody is seen in frame 2."""
    people = list(detected(name, frames, persons))
    people[2] = people[2][:0]
    return people


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("write", "first"),
    [
        (files.demo_video, 1), (files.inferencer_video, 0), (files.before_one, 0),
        (files.with_arrays, 0),
    ],
)  # fmt: skip
def test_every_number_of_a_video_comes_back(tmp_path, write, first):
    people = some()
    read = read_people(write(tmp_path, people), "coco17")
    np.testing.assert_array_equal(read.joints, np.concatenate(people))
    assert list(read.frames) == [str(first + i) for i in range(5)]
    assert read.frame.tolist() == [0, 0, 1, 1, 3, 3, 4, 4]
    assert read.track.tolist() == [0, 1] * 4
    np.testing.assert_array_equal(read.box, [files.box_of(p) for p in np.concatenate(people)])
    assert set(read.score) == {0.75 if write is files.before_one else 0.98}
    assert not read.claims.ids


@pytest.mark.parametrize("write", [files.inferencer_images, files.sapiens_images])
def test_every_number_of_a_folder_of_images_comes_back(tmp_path, write):
    people = some(frames=12)
    read = read_people(write(tmp_path, people), "coco17")
    np.testing.assert_array_equal(read.joints, np.concatenate(people))
    assert read.frame.tolist() == np.repeat([0, 1, *range(3, 12)], 2).tolist()
    assert len(read.frames) == 12
    assert read.frames[10] in ("photo_10", "000010")


@pytest.mark.parametrize(
    "write", [files.demo_image, files.inferencer_image, files.sapiens_image]
)  # fmt: skip
def test_an_image_is_a_frame(tmp_path, write):
    people = detected("coco17", 1, 3)
    read = read_people(write(tmp_path, people), "coco17")
    np.testing.assert_array_equal(read.joints, people[0])
    assert read.frame.tolist() == [0, 0, 0]


def test_frames_are_by_number_and_those_left_out_are_gaps(tmp_path):
    people = detected("coco17", 12)
    path = files.inferencer_video(tmp_path, people)
    read = read_people(change(path, lambda frames: (frames.reverse(), frames.pop(5))), "coco17")
    assert list(read.frames) == [*map(str, range(6)), *map(str, range(7, 12))]
    np.testing.assert_array_equal(read.joints, np.delete(people[:, 0], 6, 0))


@pytest.mark.parametrize(("joints", "name"), [(133, "wholebody133"), (308, "goliath308")])
def test_sapiens_by_count(tmp_path, joints, name):
    read = read_people(files.sapiens_images(tmp_path, detected(name, 3)))
    assert (read.skeleton.name, read.joints.shape[1]) == (name, joints)
    assert read.form == "sapiens"


def test_sapiens_of_17_joints_is_coco_by_its_format(tmp_path):
    read = read_people(files.sapiens_image(tmp_path, detected("coco17", 1)))
    assert (read.skeleton.name, read.order.told_by) == ("coco17", "format")


@pytest.mark.parametrize(
    ("data_set", "name", "words"),
    [
        ("mpii", "mpii16", {"neck": "upper_neck", "head": "head_top"}),
        ("crowdpose", "crowdpose14", {"head": "top_head"}),
        ("aic", "aic14", {"head": "head_top"}),
        ("posetrack18", "posetrack17", {"neck": "head_bottom", "head": "head_top"}),
        ("mpi_inf_3dhp", "mpi17", {"pelvis": "root"}),
        ("halpe26", "halpe26", {}),
    ],
)
def test_names_and_data_sets_tell_the_joints(tmp_path, data_set, name, words):
    people = detected(name, 2)
    joints = get_skeleton(name).joints
    facts = files.meta("own", [words.get(joint, joint) for joint in joints])
    for stated in (facts, {"dataset_name": data_set}):
        read = read_people(files.demo_video(tmp_path, people, stated))
        assert (read.skeleton.name, read.order.told_by) == (name, "names in the file")


@pytest.mark.parametrize(
    "stated", [files.meta("h36m", files.H36M_NAMES), {"dataset_name": "h36m"}]
)
def test_the_legs_of_its_human36m_are_not_exchanged(tmp_path, stated):
    people = detected("h36m17", 4)
    read = read_people(files.demo_video(tmp_path, people, stated))
    assert read.skeleton.name == "h36m17"
    np.testing.assert_array_equal(read.joints, people[:, 0])
    assert ("exchange" in " ".join(read.claims.notes)) == ("keypoint_id2name" in stated)


def test_names_of_another_number_of_joints_are_refused(tmp_path):
    path = files.demo_video(tmp_path, detected("halpe26", 2))
    with pytest.raises(
        DataError, match=r"frame 1, person 0.*'keypoint_id2name' names, 17, got 26"
    ):
        read_people(path)
    path = files.demo_video(tmp_path, detected("halpe26", 2), {"dataset_name": "coco"})
    with pytest.raises(DataError, match=r"the 17 joints of skeleton coco17 .*got 26"):
        read_people(path)


def test_files_of_a_folder_must_agree(tmp_path):
    folder = files.sapiens_images(tmp_path, detected("coco17", 3))
    files.demo_image(folder, detected("coco17", 1))
    with pytest.raises(DataError, match=r"one image in every file .*other names of joints in"):
        read_people(folder)
    (folder / "results_photo.json").unlink()
    files.inferencer_video(folder, detected("coco17", 3))
    with pytest.raises(DataError, match=r"frames of a video .*in clip.json; give the video"):
        read_people(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {"keypoints": [[1, 2, 3]] * 17},
            "pairs x, y .*frame 1, person 0.*a 3D estimator",
        ),
        ({"keypoints": [[1, 2, 3]] * 17, "keypoint_scores": ...}, "third number is no confidence"),
        ({"keypoints": [[1, 2, -0.3]] * 17, "keypoint_scores": ...}, "is no confidence"),
        (
            {"keypoints": ..., "keypoints_3d": [[1, 2, 3]] * 17},
            "'keypoints' .*frame 1, person 0.* a list, got None",
        ),
        ({"keypoint_scores": [1]}, r"frame 1, person 0\), got 17 keypoints and 1 scores"),
        ({"keypoint_scores": None}, "'keypoint_scores' .*frame 1, person 0.* to be a list"),
        ({"keypoints": [[1, 2]] * 16}, "got 16 keypoints and 17 scores"),
        ({"keypoints": [[1, "2"]] * 17}, r"a keypoint \(frame 1, person 0\).* got '2'"),
        ({"bbox": [1, 2, 3]}, r"box of four numbers .*frame 1, person 0.*got a list of 3"),
        ({"bbox_score": "high"}, r"the score \(frame 1, person 0\)"),
        ({"track_id": 0.5}, "whole number as track"),
    ],
)
def test_a_wrong_instance_is_named(tmp_path, edit, message):
    def apply(content):
        person = content[1]["instances"][0]
        for key, value in edit.items():
            if value is ...:
                del person[key]
            else:
                person[key] = value

    path = change(files.inferencer_video(tmp_path, detected("coco17", 3)), apply)
    with pytest.raises(DataError, match=message):
        read_people(path, "coco17")


def test_triples_without_scores_are_confidences(tmp_path):
    people = detected("coco17", 3)

    def apply(content):
        for frame, seen in zip(content, people, strict=True):
            frame["instances"] = [{"keypoints": seen[0].tolist(), "bbox": [[0, 0, 1, 1]]}]

    read = read_people(change(files.inferencer_video(tmp_path, people), apply), "coco17")
    np.testing.assert_array_equal(read.joints, people[:, 0])


def test_absent_numbers_are_nan(tmp_path):
    def apply(content):
        content[0]["instances"][0]["keypoints"][3] = [None, float("nan")]

    path = change(files.inferencer_video(tmp_path, detected("coco17", 2)), apply)
    read = read_people(path, "coco17")
    assert np.isnan(read.joints[0, 3, :2]).all()
    assert np.isfinite(read.joints[1]).all()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda content: content[0].pop("frame_id"),
            "'frame_id' of frame 0 .*got frame_id None",
        ),
        (
            lambda content: content[1].update(frame_id=0),
            "frame_id 0 twice",
        ),
        (lambda content: content[1].update(frame_id=-1), "a whole number"),
        (
            lambda content: content[1].update(instances={}),
            "'instances' of frame 1 .* an empty",
        ),
        (lambda content: content.append(3), "frame 2 of .* to be an object, got 3"),
    ],
)
def test_a_wrong_frame_is_named(tmp_path, edit, message):
    path = change(files.inferencer_video(tmp_path, detected("coco17", 2)), edit)
    with pytest.raises(DataError, match=message):
        read_people(path, "coco17")


def test_a_video_without_anyone(tmp_path):
    path = files.demo_video(tmp_path, [[], []])
    with pytest.raises(DataError, match="2 frames without anyone"):
        read_people(path)
