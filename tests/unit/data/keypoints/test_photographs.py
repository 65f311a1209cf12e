"""Images that are no video: each with a size, a camera and people of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detected import detected
from keypoint_files import coco as files

from lifting import lift, read_keypoints
from lifting.cli.main import main
from lifting.data.keypoints.look import look
from lifting.data.keypoints.read import read_video
from lifting.data.keypoints.tracks import read_person
from lifting.errors import ConfigError, DataError
from lifting.experiment.motion import _said
from lifting.poses import Poses

from .orders import real_data

SIZES = {"bus": (1280, 720), "cat": (1400, 900), "dog": (1280, 800)}
MARKED = files.flags(detected("coco17", frames=3, persons=2))


@pytest.fixture
def path(tmp_path):
    """Three photographs of two people."""
    path = files.annotations(tmp_path / "a.json", MARKED)
    content = json.loads(path.read_text())
    for image in content["images"]:
        name, (width, height) = [*SIZES.items()][int(image["file_name"][1:-4])]
        image.update(file_name=f"{name}.jpg", width=width, height=height)
    path.write_text(json.dumps(content))
    return path


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_each_image_has_its_own_camera_and_each_sighting_is_a_person(path):
    tracks = read_keypoints(path)
    assert tracks.source["photographs"] == "3 images of 3 sizes, no motion"
    assert tracks.offsets.diff().tolist() == [1] * 6
    assert tracks.first_frame.tolist() == [0, 0, 1, 1, 2, 2]
    assert tracks.cameras.size[tracks.camera].tolist() == [
        list(map(float, size)) for size in SIZES.values() for _ in range(2)
    ]
    lenses = tracks.cameras.intrinsics[tracks.camera]
    longer = tracks.cameras.size[tracks.camera].amax(1)
    torch.testing.assert_close(lenses[:, 0], 1.2 * longer)
    torch.testing.assert_close(lenses[:, 2:4], tracks.cameras.size[tracks.camera] / 2)
    assert tracks.camera_kind == "guessed"
    assert tracks.fps.isnan().all()
    assert len(set(tracks.subject.tolist())) == 6
    assert tracks.track_names[2] == "a/person2/cat.jpg"
    shown = np.array([person.filled.joints[0, :, :2] for person in read_video(path).persons])
    marked = MARKED.reshape(6, 17, 3)
    np.testing.assert_array_equal(shown[marked[..., 2] > 0], marked[marked[..., 2] > 0][:, :2])


def test_people_are_chosen_by_image(path):
    def nearer(content):  # who stands to the right
        for one in content["annotations"]:
            x, y = one["keypoints"][:2]  # of the nose
            one["bbox"] = [x - 100, y - 50, 200, 400 if x > 640 else 300]

    changed(path, nearer)
    largest = read_video(path, person="largest").persons
    assert [person.track for person in largest] == [1, 3, 5]
    (one,) = read_video(path, person=4).persons
    assert one.track == 4
    with pytest.raises(DataError, match=r"a person 6 .* got 6 people, numbered from 0"):
        read_video(path, person=6)
    with pytest.raises(ConfigError, match=r"'all', 'largest' or a number .* got 'longest'"):
        read_video(path, person="longest")


def test_what_takes_a_video_is_refused(path):
    with pytest.raises(ConfigError, match=r"no rate of the photographs in .* leave --fps"):
        read_video(path, fps=25)
    with pytest.raises(ConfigError, match=r"no gaps between the photographs .* leave --gap-fra"):
        read_video(path, gap_frames=10)
    with pytest.raises(ConfigError, match=r"camera for each .* leave --intrinsics \(intrinsics="):
        read_video(path, intrinsics=(900, 900, 640, 360))
    with pytest.raises(ConfigError, match=r"one size .* leave --image-size \(image_size="):
        read_video(path, image_size=(1280, 720))
    with pytest.raises(DataError, match=r"expected a video of one person .* got 3 images of 3"):
        read_person(path)


def test_frames_of_a_video_are_photographs_only_when_one_says_so(path):
    changed(path, lambda c: [i.update(file_name=f"f{n}.jpg") for n, i in enumerate(c["images"])])
    with pytest.raises(DataError, match=r"no single video: .* --photographs \(photographs=True\)"):
        read_video(path)
    assert len(read_video(path, photographs=True).persons) == 6
    for image in (one := json.loads(path.read_text()))["images"]:
        image.update(width=1280, height=720)
    path.write_text(json.dumps(one))
    assert len(read_video(path).persons) == 2
    alone = read_video(path, photographs=True, intrinsics=(900, 900, 640, 360))
    assert alone.facts["photographs"] == "3 images of 1 size, no motion"
    assert {view.lens.numbers[0] for view in alone.photographs} == {900.0}


def test_one_photograph_is_counted_as_one(path):
    def first(content):
        content["images"] = content["images"][:1]
        kept = content["images"][0]["id"]
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] == kept]

    changed(path, first)
    facts = read_video(path, photographs=True).facts
    assert facts["photographs"] == "1 image of 1 size, no motion"
    assert facts["people"] == "2 people in 1 image, each alone"


def test_of_many_people_is_said_how_many_are_not_named():
    assert [*_said({"scale": ["1.8 m"] * 8})] == ["size: " + "; ".join(["1.8 m"] * 8)]
    assert "".join(_said({"scale": ["1.8 m"] * 24})).endswith("1.8 m; and 16 more")


def test_people_outside_their_image_are_refused(path):
    changed(path, lambda c: [image.update(width=200, height=190 + n)
                             for n, image in enumerate(c["images"])])  # fmt: skip
    with pytest.raises(DataError, match="within its image, got x from"):
        read_video(path)


def test_a_look_says_what_they_are(path):
    found = look(path)
    assert found.problem is None
    assert found.facts["image size"] == "3 sizes"
    assert found.facts["images"] == "photographs: each is lifted by itself, without motion"
    assert found.facts["people"] == "6: 6 people in 3 images, each alone"
    assert found.track.tolist() == list(range(6))


def test_they_are_lifted_one_by_one(path, tmp_path, capsys):
    tracks = read_keypoints(path)
    poses = lift(tracks)
    one = lift(read_keypoints(path, person=3))
    np.testing.assert_allclose(poses.joints_3d[3], one.joints_3d[0], atol=1e-3)
    np.testing.assert_allclose(poses.trajectory[3], one.trajectory[0], rtol=1e-4)
    np.testing.assert_array_equal(poses.keypoints_2d, tracks.keypoints_2d)
    assert poses.world is None
    assert poses.contacts is None
    assert poses.meta["motion"]["world"].startswith("none: photographs share none")
    with pytest.raises(
        ConfigError, match=r"a model of single frames, got .* windows of 27, .* and no experiment"
    ):
        lift(tracks, model="temporal")
    for option in ({"up": (0, -1, 0)}, {"lookahead": 0}, {"moving_camera": True}):
        with pytest.raises(ConfigError, match=r"expected a video for --[\w-]+ .* got 3 images"):
            lift(tracks, motion=option)
    words = ["predict", "--keypoints", str(path), "--output", str(tmp_path / "out")]
    assert main([*words, "--export", "bvh,trc,glb,c3d,csv"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 images of 3 sizes, no motion" in said
    assert "photographs have no rate: files that need one say 30" in said
    assert "--fps" not in said
    written = Poses.load(tmp_path / "out" / "poses.npz")
    assert written.meta["source"]["photographs"] == "3 images of 3 sizes, no motion"
    assert written.image_size.tolist() == tracks.cameras.size[tracks.camera].tolist()
    assert len(list((tmp_path / "out").glob("*.bvh"))) == 6
    assert (tmp_path / "out" / "viewer.html").is_file()


def test_a_real_file():
    tracks = read_keypoints(real_data("real/coco/test_coco.json"))
    assert tracks.source["photographs"] == "4 images of 4 sizes, no motion"
    assert len(tracks.track_names) == 12
