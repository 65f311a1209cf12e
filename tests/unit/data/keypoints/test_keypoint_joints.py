"""Which joints a file is read as: by its name, by the file's own words, by count or positions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lifting.data.keypoints.read import read_people
from lifting.data.keypoints.tracks import read_keypoints
from lifting.errors import DataError
from lifting.skeleton import COCO_17

from .orders import clips, filmed, in_order, real_data

SIZE = (1088.0, 1920.0)


@pytest.fixture
def walker():
    """Makes the same real motion in the order of a set, ``(30, 1, joints, 3)``."""
    (joints,) = clips(np.random.default_rng(2), 1)

    def make(name):
        points = filmed(in_order(joints, name), np.random.default_rng(4))
        return np.concatenate((points, np.full((*points.shape[:2], 1), 0.8)), -1)[:, None]

    return make


@pytest.fixture
def balancing(tmp_path):
    """A real folder with the names that OpenPose itself gives its files."""
    folder = tmp_path / "cam01"
    folder.mkdir()
    files = sorted(real_data("real/pose2sim/pose-associated/cam01_json").glob("*.json"))
    for i, file in enumerate(files):
        (folder / f"cam01_{i:012d}_keypoints.json").write_bytes(file.read_bytes())
    return folder


def test_a_real_folder_of_body25b_is_told_from_body25(balancing, caplog):
    tracks = read_keypoints(balancing, image_size=SIZE)
    facts = tracks.source
    assert facts["detector_skeleton"] == "body25b"
    assert facts["joints_told_by"] == "positions"
    assert facts["joints"].startswith("25 joints: body25b (0.38), not ")
    assert not caplog.records


def test_a_real_folder_under_the_wrong_name_is_read_with_a_warning(balancing, caplog):
    tracks = read_keypoints(balancing, image_size=SIZE, skeleton="body25")
    assert tracks.source["detector_skeleton"] == "body25"
    assert tracks.source["joints"] == "25 joints: body25 by --skeleton"
    (record,) = caplog.records
    assert "is read as body25 (--skeleton), whose joints fit badly (1.47)" in record.getMessage()
    assert "body25b fits better (0.38)" in record.getMessage()
    caplog.clear()
    read_keypoints(balancing, image_size=SIZE, skeleton="body25b")
    assert not caplog.records


def test_real_files_whose_count_is_one_set_s(caplog):
    path = real_data("real/alphapose_halpe26/alphapose-results.json")
    tracks = read_keypoints(path, image_size=(1080.0, 1920.0))
    assert tracks.source["joints"] == "26 joints: halpe26 (0.37)"
    assert tracks.source["joints_told_by"] == "count"
    assert not caplog.records


def test_a_real_dance_as_a_plain_array(tmp_path):
    (path,) = real_data("real/video2bvh").glob("*.npy")
    dance = np.load(path)
    seen = (dance != 0).any(-1)
    np.savez(tmp_path / "d.npz", keypoints_2d=dance, confidence=seen.astype(float))
    tracks = read_keypoints(tmp_path / "d.npz", image_size=(1280.0, 1920.0))
    assert tracks.source["joints"] == "25 joints: body25 (0.28), not coco25 (1.47)"


def test_names_of_a_real_annotation_file(tmp_path):
    """Two people are too few to tell an order, which the names do."""
    path = real_data("real/coco/test_coco.json")
    content = json.loads(path.read_text())
    kept = content["annotations"][:2]
    ids = {entry["image_id"] for entry in kept}
    content["annotations"] = kept
    content["images"] = [image for image in content["images"] if image["id"] in ids]
    (tmp_path / "a.json").write_text(json.dumps(content))
    read = read_people(tmp_path / "a.json")
    assert (read.skeleton.name, read.order.told_by) == ("coco17", "names in the file")
    del content["categories"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"only 2 sightings .* of 5 needed.*--skeleton coco17 or"):
        read_people(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["coco17", "h36m17", "mpi17", "body25", "coco25", "coco18"])
def test_a_plain_array_has_no_default(tmp_path, writers, walker, name):
    path = writers.plain_npz(tmp_path / "p.npz", walker(name))
    read = read_people(path)
    assert (read.skeleton.name, read.order.told_by) == (name, "positions")


def test_a_plain_array_may_say_what_it_holds(tmp_path, writers, walker):
    people = walker("coco17")[:2]
    for words in ({"skeleton": np.array("coco17")}, {"joint_names": np.array(COCO_17.joints)}):
        read = read_people(writers.plain_npz(tmp_path / "p.npz", people, **words))
        assert (read.skeleton.name, read.order.told_by) == ("coco17", "names in the file")
    path = writers.plain_npz(tmp_path / "p.npz", people, skeleton=np.array("coco71"))
    with pytest.raises(DataError, match=r"name of a known skeleton .*got 'coco71'; did you mean"):
        read_people(path)
    assert read_people(path, "coco17").order.told_by == "--skeleton"
    path = writers.plain_npz(tmp_path / "p.npz", people, skeleton=np.array("body25"))
    with pytest.raises(DataError, match=r"the 25 joints of skeleton body25 .*got 17"):
        read_people(path)


def test_names_that_nobody_knows_leave_it_to_the_positions(tmp_path, writers, walker, caplog):
    names = np.array([f"point {i}" for i in range(17)])
    path = writers.plain_npz(tmp_path / "p.npz", walker("h36m17"), joint_names=names)
    assert read_people(path).skeleton.name == "h36m17"
    assert "have the names of no known set (point 0, point 1" in caplog.text


@pytest.mark.parametrize(
    "facts",
    [
        {"dataset_name": "mpii"},
        {"keypoint_id2name": {str(i): f"x{i}" for i in range(16)}, "dataset_name": "mpii"},
    ],
    ids=["known", "unknown"],
)
def test_mmpose_names_its_data_set(tmp_path, writers, walker, facts):
    path = writers.write(tmp_path, "mmpose-info", walker("mpii16")[:8])
    content = json.loads(path.read_text())
    content["meta_info"] = facts
    path.write_text(json.dumps(content))
    read = read_people(path)
    assert read.skeleton.name == "mpii16"
    known = "keypoint_id2name" not in facts
    assert read.order.told_by == ("names in the file" if known else "positions")


def test_what_cannot_be_told_is_refused_with_both_names(tmp_path, writers, walker):
    path = writers.coco_results(tmp_path / "c.json", walker("coco17")[:4])
    with pytest.raises(
        DataError,
        match=r"only 4 sightings .* to tell coco17 \(0\.\d\d\) and posetrack17 \(0\.\d\d\) apart; "
        r"name the order with --skeleton coco17 or --skeleton posetrack17",
    ):
        read_people(path)
    rng = np.random.default_rng(0)
    noise = np.concatenate((rng.uniform(0, 400, (60, 1, 17, 2)), np.ones((60, 1, 17, 1))), -1)
    path = writers.coco_results(tmp_path / "c.json", noise)
    with pytest.raises(DataError, match=r"got \w+ \(1\.\d+\) and \w+ \(1\.\d+\), which fit alike"):
        read_people(path)


def test_an_order_that_fits_badly_is_said(tmp_path, writers, walker, caplog):
    people = walker("coco17")[:, :, [*range(17), 3, 4, 5, 6, 7, 8, 9, 10, 11]]
    people = people[:, :, np.random.default_rng(0).permutation(26)]
    read = read_people(writers.write(tmp_path, "alphapose", people))
    assert read.skeleton.name == "halpe26"
    assert "fit halpe26 badly (1." in caplog.text


def test_a_video_upside_down_is_said(tmp_path, writers, walker, caplog):
    people = np.concatenate([walker("coco17")] * 4)
    people[..., 1] = 1000 - people[..., 1]
    path = writers.coco_results(tmp_path / "c.json", people)
    read_keypoints(path, image_size=(1000, 1000))
    assert "heads lie below ankles; y points up" in caplog.text
