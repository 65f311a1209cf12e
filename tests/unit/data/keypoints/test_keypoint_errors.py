"""What is refused, in words."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from lifting.data.keypoints.look import look
from lifting.data.keypoints.tracks import read_keypoints
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.files import json_file
from lifting.files.checks import Size


def read(path, skeleton="coco17", **options):
    """With the order named, which random numbers do not tell."""
    return read_keypoints(path, skeleton=skeleton, **options)


def save(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected complete JSON in .*, got a file that is empty; write it again"),
        ("<html>", "begins with b'<html>'"),
        ('[{"image_id": 1', "expected complete JSON"),
        ("[" * 100_000, "RecursionError"),
        ('[{"image_id": 1, "keypoints": [' + "9" * 5000 + "]}]", "expected complete JSON"),
        ("version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        ("3", "in a known format in .*, got JSON: 3"),
        ("[]", "in a known format in .*, got JSON: a list of 0"),
        ({"a": 1}, "got JSON: an object of 1 with a\n"),
        ([{"b": 1}], "got JSON: a list of 1, each an object with b\n"),
        ({"annotations": [], "images": []}, "without anyone"),
        ({"annotations": 3}, "the list of images of .* to be a list, got None"),
        ({"instance_info": [3]}, "expected frame 0 of .* to be an object, got 3"),
        ([{"frame_id": 0, "instances": {}}], "'instances' of frame 0 .* to be a list"),
        ([{"frame_id": "a", "instances": []}], "a whole number as 'frame_id' of frame 0"),
        ([{"frame_id": 1, "instances": []}] * 2, "frame_id 1 twice"),
        ([{"image_id": None, "keypoints": []}], "'image_id' of entry 0 .*got None"),
        ([{"image_id": 1}], r"known format .*\nnearest: .*, which has keypoints"),
        ([{"image_id": 1, "keypoints": None}], r"list of keypoints .*frame 1, person 0.*None"),
        ([{"image_id": 1, "keypoints": []}], r"x, y and confidence of every joint .*got 0"),
        ([{"landmarks": [[1, 2]]}], "a landmark as x, y, z, visibility"),
        ({"people": {}}, "'people' of .* to be a list"),
        ({"1.jpg": {"bodies": [{"joints": "no"}]}}, r"'joints' \(frame 1.jpg, person 0\)"),
    ],
)
def test_files_that_are_no_keypoints(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(save(tmp_path / "x.json", content), image_size=(640, 480))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [1.0] * 50}, r"\(frame 2, person 0\).*51 numbers.*got 50 numbers"),
        ({"keypoints": [1.0] * 48}, r"as many for every person .*got 48 numbers"),
        ({"keypoints": ["1.0"] * 51}, r"a keypoint \(frame 2, person 0\).* got '1.0'"),
        ({"keypoints": [10**400] * 51}, r"a keypoint \(frame 2.*to be a number, got 1000"),
        ({"keypoints": [[1.0]] * 51}, r"a keypoint \(frame 2.*got a list of 1"),
        ({"keypoints": [1e9] * 51}, r"within 1000000 pixels .*nose \(frame 2, person 0\)"),
        ({"score": "high"}, r"the score \(frame 2, person 0\).*got 'high'"),
        ({"bbox": [1, 2, 3]}, r"box of four numbers .*frame 2.*got a list of 3"),
        ({"bbox": [1, 2, 3, "4"]}, r"the box \(frame 2"),
        ({"track_id": 1.5}, "whole number as track .*frame 2.*got 1.5"),
        ({"track_id": "a"}, r"the track \(frame 2, person 0\)"),
    ],
)
def test_a_wrong_person_is_named(tmp_path, writers, change, message):
    path = writers.coco_results(tmp_path / "c.json", writers.people(4, 17), track="track_id")
    entries = json.loads(path.read_text())
    entries[2] |= change
    with pytest.raises(DataError, match=message):
        read(save(path, entries), image_size=writers.size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [[1, 2, 3]] * 17}, "pairs x, y .*not those of a 3D estimator"),
        ({"keypoint_scores": [1]}, r"frame 1, person 0\), got 17 keypoints and 1 scores"),
        ({"keypoint_scores": None}, "'keypoint_scores' .*frame 1, person 0.* to be a list"),
    ],
)
def test_a_wrong_instance_is_named(tmp_path, writers, change, message):
    path = writers.write(tmp_path, "mmpose-video", writers.people(3, 17))
    content = json.loads(path.read_text())
    content[1]["instances"][0] |= change
    with pytest.raises(DataError, match=message):
        read(save(path, content), image_size=writers.size)


def test_a_number_of_joints_nobody_knows(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 21))
    with pytest.raises(DataError, match=r"14, 15, .*, 308 joints.*got 21; name .*--skel"):
        read_keypoints(path, image_size=writers.size)
    with pytest.raises(DataError, match=r"the 17 joints of skeleton coco17 .*got 21"):
        read_keypoints(path, image_size=writers.size, skeleton="coco17")
    with pytest.raises(ConfigError, match=r"unknown skeleton 'coco7'.*did you mean 'coco17'"):
        read_keypoints(path, image_size=writers.size, skeleton="coco7")


def test_the_image_size_is_needed_and_must_agree(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    with pytest.raises(DataError, match=r"got none.*give --image-size WIDTH HEIGHT"):
        read(path)
    with pytest.raises(DataError, match=r"width and height from 1 .*got \(0, 5\)"):
        read(path, image_size=(0, 5))
    with pytest.raises(DataError, match=r"within the image of 50 x 40, got x from"):
        read(path, image_size=(50, 40))
    path = writers.write(tmp_path, "npz", writers.people(2, 17))
    with pytest.raises(DataError, match=r"that .* says, \(640.0, 480.0\), got \(480, 640\)"):
        read(path, image_size=(480, 640))


def test_annotations_of_several_sizes(tmp_path, writers):
    path = writers.write(tmp_path, "coco-annotations", writers.people(3, 17))
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 100
    with pytest.raises(DataError, match=r"images of one size .*got 2: 100 x 480, 640 x 480"):
        read(save(path, content))
    found = look(path, "coco17")
    assert found.facts["image size"] == "2 sizes"
    assert "they are no single video" in str(found.problem)


@pytest.mark.parametrize(
    ("kind", "change"), [("unit", lambda v: v), ("signed", lambda v: 2 * v - 1)]
)
def test_scaled_positions_are_told_or_declared(tmp_path, writers, kind, change):
    people = writers.people(3, 25)
    expected = read(writers.openpose(tmp_path / "a", people), "body25", image_size=writers.size)
    people[..., :2] = change(people[..., :2] / writers.size)
    folder = writers.openpose(tmp_path / "b", people)
    for told in ("auto", kind):
        tracks = read(folder, "body25", image_size=writers.size, coordinates=told)
        torch.testing.assert_close(tracks.keypoints_2d, expected.keypoints_2d, rtol=0, atol=1e-3)
        assert tracks.source["coordinates"] == kind
    path = writers.coco_results(tmp_path / "c.json", people[:, :, :17])
    with pytest.raises(DataError, match=rf"exported scaled; declare --coordinates {kind}"):
        read(path, image_size=writers.size)


def test_landmarks_in_pixels_are_told_or_declared(tmp_path, writers):
    people = writers.people(3, 33)
    path = tmp_path / "m.npz"
    values = np.concatenate((people[:, 0, :, :2], people[:, 0, :, [2, 2]].transpose(1, 2, 0)), -1)
    np.savez(path, landmarks=values)
    tracks = read_keypoints(path, image_size=writers.size)
    assert "landmarks are in pixels" in tracks.source["notes"]
    tracks = read_keypoints(path, image_size=writers.size, coordinates="pixels")
    assert tracks.source["format"] == "mediapipe"


def test_frames_of_two_videos_in_a_folder(tmp_path, writers):
    folder = writers.openpose(tmp_path / "o", writers.people(2, 25))
    writers.openpose(folder, writers.people(2, 25), name="other")
    with pytest.raises(DataError, match=r"one video .*got 2: clip_\*, other_\*;"):
        read(folder, "body25", image_size=writers.size)


def test_folders_without_frames(tmp_path):
    with pytest.raises(DataError, match=r"a file for every frame .*got 0 of them; give the fold"):
        read(tmp_path, image_size=(640, 480))
    (tmp_path / "cam1").mkdir()
    with pytest.raises(DataError, match=r"got 0 of them; give one of its folders \(cam1\)"):
        read(tmp_path, image_size=(640, 480))
    save(tmp_path / "0.json", {"pose": []})
    with pytest.raises(DataError, match=r"got a folder of 1 files, each JSON: an object of 1"):
        read(tmp_path, image_size=(640, 480))


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingDataError, match="found none; check the path"):
        read(tmp_path / "no.json", image_size=(640, 480))


def test_nobody_with_any_confidence(tmp_path, writers):
    people = writers.people(2, 17)
    people[..., 2] = 0
    path = writers.coco_results(tmp_path / "c.json", people)
    with pytest.raises(DataError, match=r"expected someone .*2 sightings without any"):
        read(path, image_size=writers.size)


def test_files_beyond_the_limits(tmp_path, writers, monkeypatch):
    path = writers.coco_results(tmp_path / "c.json", writers.people(20, 17))
    folder = writers.openpose(tmp_path / "o", writers.people(20, 25))
    for source in (path, folder):
        with pytest.raises(DataError, match=r"at most 0\.001 MB in .*, or give --max-size 1"):
            read(source, image_size=writers.size, size=Size(0.001))
        with pytest.raises(DataError, match=r"at most 19 frames in .*, got 20; cut it into"):
            read(source, image_size=writers.size, size=Size(frames=19))
    monkeypatch.setattr(json_file, "_FREE", 3)
    monkeypatch.setattr(json_file, "_BYTES_A_VALUE", 10**9)
    with pytest.raises(DataError, match=r"as many values as a detector writes .*got more than"):
        read(path, image_size=writers.size)


def test_a_claim_is_judged_before_anything_is_made_of_it(tmp_path, memory_below):
    path = tmp_path / "p.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("keypoints_2d.npy", "w") as stream,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 17, 2)}
        np.lib.format.write_array_header_1_0(stream, header)
        for _ in range(34):
            stream.write(bytes(10**6))
    assert path.stat().st_size < 100_000
    with memory_below(10_000_000), pytest.raises(DataError, match=r"500000 frames .*got 1000000"):
        read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps from 1 to 1000 frames a second, got 0; correct --fps"),
        ({"fps": float("nan")}, "fps from 1 to 1000 .*got nan"),
        ({"coordinates": "metres"}, "one of auto, pixels, unit, signed, got 'metres'"),
        ({"skeleton": "smpl24"}, "joints of skeleton smpl24"),
    ],
)
def test_options_of_no_use(tmp_path, writers, options, message):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    with pytest.raises((ConfigError, DataError), match=message):
        read(path, image_size=writers.size, **options)


def test_intrinsics_are_given_guessed_or_refused(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    guessed = read(path, image_size=writers.size)
    assert guessed.cameras.intrinsics.tolist() == [[768, 768, 320, 240, 0, 0, 0, 0, 0]]
    assert "guessed: focal length 1.2" in guessed.source["intrinsics"]
    given = read(path, image_size=writers.size, intrinsics=(500, 510, 300, 200))
    assert given.cameras.intrinsics.tolist() == [[500, 510, 300, 200, 0, 0, 0, 0, 0]]
    assert given.source["intrinsics"] == "given"
    for bad in ((1, 2, 3), (0, 1, 2, 3), (1, 1, float("inf"), 3)):
        with pytest.raises(DataError, match=r"'intrinsics' for .*give --intrinsics FX FY CX CY"):
            read(path, image_size=writers.size, intrinsics=bad)


@pytest.mark.parametrize(
    "lens", [(1, 1, 0, 0), (1.2, 1.2, 0.5, 0.5), (13e3, 800, 320, 240), (800, 800, 320, 481)]
)
def test_intrinsics_of_no_camera_are_refused(tmp_path, writers, lens):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    words = r"in pixels, fx and fy from 128 to 12800 .* 640 x 480, got .* \(given\); give --intr"
    with pytest.raises(DataError, match=words):
        read(path, image_size=writers.size, intrinsics=lens)
    stated = writers.plain_npz(tmp_path / "p.npz", writers.people(2, 17), intrinsics=lens)
    with pytest.raises(DataError, match=r"\(of the file\); correct them there"):
        read(stated)


def test_numbers_that_are_no_triples(tmp_path, writers):
    path = writers.coco_results(tmp_path / "c.json", writers.people(2, 17))
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["keypoints"] = [1.0] * 77
    with pytest.raises(DataError, match=r"got 77 numbers, which is not a multiple of 3"):
        read(save(path, entries), image_size=writers.size)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"keypoints_2d": None, "confidence": None}, "an npz with image_size"),
        ({"confidence": np.ones((2, 16))}, r"'confidence' .* \(2, 17\), got \(2, 16\)"),
        ({"image_size": np.array([1, 2, 3])}, r"'image_size' .* \(2,\), got \(3,\)"),
        ({"image_size": np.array([np.nan, 1])}, "finite numbers in 'image_size'"),
        ({"intrinsics": np.ones(5)}, r"'intrinsics' .* \(4,\) or \(9,\), got \(5,\)"),
        ({"intrinsics": np.full(9, np.inf)}, "finite numbers in 'intrinsics'"),
        ({"keypoints_2d": np.ones((2, 17, 3))}, "two numbers a joint .* beside 'confidence'"),
        (
            {"keypoints_2d": np.ones((2, 16, 2)), "confidence": None},
            "17 joints of skeleton coco17 .*got 16",
        ),
        ({"skeleton": np.ones(())}, "'skeleton' of .* to be characters"),
        ({"keypoints_2d": np.ones((0, 17, 2)), "confidence": None}, r"got \(0, 17, 2\)"),
        ({"keypoints_2d": np.full((2, 17, 2), np.nan)}, "2 frames without anyone"),
        ({"keypoints_2d": np.array([None])}, "pickled objects"),
    ],
)
def test_arrays_of_another_form(tmp_path, writers, arrays, message):
    path = writers.plain_npz(tmp_path / "p.npz", writers.people(2, 17), **arrays)
    with pytest.raises(DataError, match=message):
        read(path)


def test_landmark_arrays_of_another_form(tmp_path):
    np.savez(tmp_path / "m.npz", landmarks=np.ones((2, 33, 6)))
    with pytest.raises(DataError, match=r"\(frames, 33, 2 to 5\), got \(2, 33, 6\)"):
        read_keypoints(tmp_path / "m.npz", image_size=(640, 480))
