"""The page's data, as the page reads them, against what went in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from lifting.cli.main import main
from lifting.errors import ConfigError
from lifting.poses import Poses
from lifting.skeleton import H36M_17
from lifting.visualization.viewer.page import Clip, write_viewer

VIEWER = resources.files("lifting.visualization.viewer")
LENS = np.array([1000.0, 1000.0, 500.0, 400.0])
EVIL = "</script><img src=x onerror=alert(1)>"
TILT = np.radians(20)
# Standing straight, relative to the hip, z up; h36m17's order.
STANDING = np.array(
    [
        (0, 0, 0), (-130, 0, 0), (-130, 0, -430), (-130, 0, -860), (130, 0, 0), (130, 0, -430),
        (130, 0, -860), (0, 0, 250), (0, 0, 480), (0, -60, 590), (0, 0, 690), (170, 0, 470),
        (170, 0, 190), (170, 0, -60), (-170, 0, 470), (-170, 0, 190), (-170, 0, -60),
    ],
    float,
)  # fmt: skip


def rotation(tilt):
    """World (z up) to a camera that looks along +y and down by ``tilt``."""
    ahead = np.array((0, np.cos(tilt), -np.sin(tilt)))
    right = np.array((1.0, 0, 0))
    return np.stack((right, np.cross(ahead, right), ahead))


@pytest.fixture
def world():
    """Two people in five frames, upright on the floor, 3 m apart."""
    places = np.array([[(-1500 + 20 * t, 100 * t, 930) for t in range(5)],
                       [(1500, -200 * t, 930) for t in range(5)]], float)  # fmt: skip
    return (places[:, :, None] + STANDING).reshape(10, 17, 3)


@pytest.fixture
def poses(world):
    centre = np.array((0, -6000, 2500.0))
    local = (world - centre) @ rotation(TILT).T
    return Poses(
        skeleton=H36M_17,
        joints_3d=local - local[:, :1],
        trajectory=local[:, 0],
        keypoints_2d=local[..., :2] / local[..., 2:] * 1000 + LENS[2:],
        confidence=np.full((10, 17), 0.5),
        sigma=np.full((10, 17), 40.0),
        frame=np.tile(np.arange(7, 12), 2),
        track=np.repeat((0, 1), 5),
        track_names=("ann", "bob"),
        fps=np.array(25.0),
        intrinsics=LENS,
        image_size=np.array([1000, 800]),
        meta={"method": "tiny"},
    )


def opened(path):
    """What the page's script finds in its data element."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    return json.loads(found.group(1))


def unpacked(packed, *shape):
    kinds = {"i4": "<i4", "f4": "<f4", "i2": "<i2", "u2": "<u2", "u1": "u1"}
    values = np.frombuffer(base64.b64decode(packed["data"]), kinds[packed["type"]])
    if "scale" not in packed:
        return values.reshape(shape)
    unknown = {"i2": -32768, "u2": 65535, "u1": 255}[packed["type"]]
    return np.where(values == unknown, np.nan, values * packed["scale"]).reshape(shape)


def written(tmp_path, *clips, **options):
    write_viewer(tmp_path / "page.html", [Clip(*clip) for clip in clips], **options)
    return opened(tmp_path / "page.html")


def joints_of(clip):
    rows = len(unpacked(clip["frame"], -1))
    root = unpacked(clip["root"], rows, 1, 3)
    return (root + unpacked(clip["offsets"], rows, -1, 3)) * 1000


def test_people_stand_on_the_ground_where_they_are(poses, world, tmp_path):
    page = written(tmp_path, ("walk", poses))
    [clip] = page["clips"]
    found = joints_of(clip)
    across, height = found[..., :2] - found[:1, :1, :2], found[..., 2]
    np.testing.assert_allclose(across, world[..., :2] - world[:1, :1, :2], atol=0.3)
    np.testing.assert_allclose(height, world[..., 2], atol=1)  # ankles of 70 mm, ground at zero
    assert (page["title"], clip["fps"], clip["joints"]) == ("walk", 25, list(H36M_17.joints))
    assert unpacked(clip["frame"], 10).tolist() == [*range(7, 12)] * 2
    people = [(one["name"], one["first"], one["end"]) for one in clip["people"]]
    assert people == [("ann", 0, 5), ("bob", 5, 10)]
    np.testing.assert_allclose(unpacked(clip["sigma"], 10, 17), 0.04, atol=1e-5)
    np.testing.assert_allclose(unpacked(clip["confidence"], 10, 17), 0.5, atol=0.01)
    found = unpacked(clip["keypoints"], 10, 17, 2)
    np.testing.assert_allclose(found, poses.keypoints_2d, atol=0.1)
    [camera] = clip["cameras"]
    np.testing.assert_allclose(camera["rotation"], rotation(TILT), atol=0.001)
    np.testing.assert_allclose(camera["position"][2], 2.5, atol=0.01)


def test_up_ground_and_contacts_of_the_file_count(poses, world, tmp_path):
    up = rotation(TILT) @ (0, 0, 1)
    turn = np.array(((1, 0, 0), (0, np.cos(0.1), -np.sin(0.1)), (0, np.sin(0.1), np.cos(0.1))))
    contacts = np.where(np.arange(17) == 6, 0.9, 0.2) * np.ones((10, 1))
    known = replace(
        poses, up=up, ground=float(up @ rotation(TILT) @ (0, 6000, -2500)), contacts=contacts
    )
    [clip] = written(tmp_path, ("known", known))["clips"]
    np.testing.assert_allclose(joints_of(clip)[..., 2], world[..., 2], atol=0.3)
    assert (unpacked(clip["contacts"], 10, 17) == (np.arange(17) == 6)).all()
    tilted = replace(known, up=turn @ up)
    heights = joints_of(written(tmp_path, ("tilted", tilted))["clips"][0])[..., 2]
    assert np.abs(heights - world[..., 2]).max() > 50


def test_what_is_not_known_is_not_shown(poses, tmp_path):
    joints = poses.joints_3d.copy()
    joints[2, 16] = np.nan
    joints[3] = np.nan
    [clip] = written(tmp_path, ("gap", replace(poses, joints_3d=joints)))["clips"]
    assert unpacked(clip["frame"], 9).tolist() == [7, 8, 9, 11, *range(7, 12)]
    unknown = np.isnan(unpacked(clip["offsets"], 9, 17, 3))
    assert unknown[2, 16].all()
    assert unknown.sum() == 3


def test_people_without_a_place_stand_side_by_side(poses, tmp_path):
    bare = replace(poses, trajectory=None, fps=np.array(np.nan), meta={})
    [clip] = written(tmp_path, ("bare", bare))["clips"]
    roots = joints_of(clip)[:, 0]
    np.testing.assert_allclose(roots[:5, 0], -600, atol=1)
    np.testing.assert_allclose(roots[5:, 0], 600, atol=1)
    assert not clip["placed"]
    assert clip["cameras"] == []
    assert clip["notes"] == [
        "Places are not known: people stand side by side.",
        "Frames a second are not known: played at 30.",
    ]


def test_one_person_without_a_place_stays_at_a_spot(poses, tmp_path):
    bare = replace(poses, trajectory=None, people=("ann", "ann"), frame=np.arange(10))
    [clip] = written(tmp_path, ("bare", bare))["clips"]
    np.testing.assert_allclose(joints_of(clip)[:, 0, :2], 0, atol=1)
    assert clip["notes"] == ["Places are not known: the person stays at a spot."]


def test_a_world_is_taken_as_it_is_and_that_of_a_camera_is_levelled(poses, world, tmp_path):
    turn = rotation(TILT)
    rig = {
        "rotation": turn[None], "position": np.array([[0, -6000, 2500.0]]),
        "camera_names": ("left",), "trajectory": None,
    }  # fmt: skip
    given = replace(poses, world=world, meta={"world": "given"}, **rig)
    first = world @ turn.T
    own = {**rig, "rotation": np.eye(3)[None]}
    level = replace(poses, world=first, meta={"world": "first camera, scale by stature"}, **own)
    for one, error in ((given, 0.3), (level, 1)):
        [clip] = written(tmp_path, ("rig", one))["clips"]
        np.testing.assert_allclose(joints_of(clip)[..., 2], world[..., 2], atol=error)
        assert [camera["name"] for camera in clip["cameras"]] == ["left"]
    np.testing.assert_allclose(clip["cameras"][0]["rotation"], turn, atol=0.001)


def test_the_camera_of_a_world_without_one_is_found(poses, world, tmp_path):
    standing = replace(poses, world=world, meta={"world": "z up"})
    [clip] = written(tmp_path, ("settled", standing))["clips"]
    [camera] = clip["cameras"]
    np.testing.assert_allclose(camera["rotation"], rotation(TILT), atol=0.001)
    np.testing.assert_allclose(camera["position"], (0, -6, 2.5), atol=0.002)
    path = poses.trajectory + 40 * np.arange(10)[:, None]
    moving = replace(standing, trajectory=path)
    assert written(tmp_path, ("moving", moving))["clips"][0]["cameras"] == []


def test_a_second_file_lies_on_the_first(poses, world, tmp_path):
    other = replace(poses, joints_3d=poses.joints_3d * np.float32(1.1))
    clips = written(tmp_path, ("truth", poses), ("lifted", other))["clips"]
    root, its = (joints_of(clip)[:, 0] for clip in clips)
    np.testing.assert_allclose(root, its, atol=0.3)
    spin = np.array(((0, -1, 0), (1, 0, 0), (0, 0, 1.0)))
    turned = replace(poses, world=world @ spin.T, trajectory=None, meta={"world": "given"})
    clips = written(tmp_path, ("truth", turned), ("lifted", poses))["clips"]
    one, two = map(joints_of, clips)
    np.testing.assert_allclose(one, two, atol=1)
    assert "no common frame" in clips[1]["notes"][-1]


def test_rates_that_differ_meet_in_time(poses, tmp_path):
    fast = replace(poses, fps=np.array(50.0), frame=poses.frame * 2)
    clips = written(tmp_path, ("a", poses), ("b", fast))["clips"]
    assert clips[0]["frame"]["data"] == clips[1]["frame"]["data"]


def test_pieces_of_a_person_are_one_person(poses, tmp_path):
    pieces = replace(poses, people=("ann", "ann"), frame=np.arange(10))
    [clip] = written(tmp_path, ("pieces", pieces))["clips"]
    [person] = clip["people"]
    assert (person["name"], person["from"], person["to"]) == ("ann", 0, 9)


def test_names_cannot_leave_their_place(poses, tmp_path):
    evil = replace(poses, track_names=(EVIL, "<!--"), meta={"method": EVIL, "source": "<b>"})
    page = written(tmp_path, (EVIL, evil), title=EVIL)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    blank = VIEWER.joinpath("viewer.html").read_text(encoding="utf-8")
    assert text.count("</script>") == blank.count("</script>")
    assert "<img" not in text
    assert "<!--" not in text
    assert page["title"] == page["clips"][0]["people"][0]["name"] == EVIL


def test_the_bundle_is_what_it_says():
    facts = json.loads(VIEWER.joinpath("viewer.json").read_text(encoding="utf-8"))
    page = VIEWER.joinpath("viewer.html").read_text(encoding="utf-8")
    assert hashlib.sha256(page.encode()).hexdigest() == facts["sha256"]
    assert len(page.encode()) == facts["bytes"] < 1_500_000
    source = VIEWER.joinpath("source")
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in source.iterdir()
        if re.fullmatch(r".*\.(js|css|html|mjs)|package.*\.json", path.name)
    }
    assert files == facts["sources"], "run `make viewer`, and commit what it writes"
    [three] = facts["holds"]
    assert f'"three": "{three["version"]}"' in source.joinpath("package.json").read_text()
    assert "The MIT License" in VIEWER.joinpath(three["text"]).read_text(encoding="utf-8")
    assert f"three.js {three['version']}, MIT" in page


def test_the_policy_allows_its_own_script_and_nothing_else():
    page = VIEWER.joinpath("viewer.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for kind, element in (("script-src", "<script>(.*?)</script>"),
                          ("style-src", "<style>(.*?)</style>")):  # fmt: skip
        [inside] = re.findall(element, page, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules.pop(kind) == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip


def test_five_thousand_frames_of_three_people_are_small(tmp_path):
    rows = 15_000
    joints = np.random.default_rng(0).normal(0, 400, (rows, 17, 3))
    crowd = Poses(
        skeleton=H36M_17, joints_3d=joints - joints[:, :1], trajectory=joints[:, 0] + 4000,
        frame=np.tile(np.arange(5000), 3), track=np.repeat((0, 1, 2), 5000),
        track_names=("a", "b", "c"), fps=50.0,
    )  # fmt: skip
    write_viewer(tmp_path / "page.html", [Clip("crowd", crowd)])
    facts = json.loads(VIEWER.joinpath("viewer.json").read_text(encoding="utf-8"))
    assert (tmp_path / "page.html").stat().st_size - facts["bytes"] < 2.5e6


def test_the_command_writes_a_page(poses, tmp_path, capsys):
    poses.save(tmp_path / "poses.npz")
    replace(poses, skeleton="h36m17").save(tmp_path / "b" / "poses.npz")
    file, other = str(tmp_path / "poses.npz"), str(tmp_path / "b" / "poses.npz")
    assert main(["view", file]) == 0
    assert f"written: {tmp_path / 'viewer.html'} (0.6 MB)" in capsys.readouterr().out
    assert opened(tmp_path / "viewer.html")["title"] == "poses"
    assert main(["view", file, other, "--output", str(tmp_path / "both"), "--title", "Two"]) == 0
    page = opened(tmp_path / "both" / "viewer.html")
    assert page["title"] == "Two"
    assert [clip["name"] for clip in page["clips"]] == [tmp_path.name, "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.npz"], "none.npz"),
        (["poses.npz"] * 3, "or two to compare, got 3"),
        (["poses.npz", "--output", "page.txt"], "expected a page (.html) or a folder"),
        (["other.npz"], "expected poses that lifting saved"),
    ],
)
def test_the_command_says_what_is_wrong(words, message, poses, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poses.save(tmp_path / "poses.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert main(["view", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_one_or_two_clips(poses, tmp_path):
    with pytest.raises(ConfigError, match=r"one file of poses .* or two .* got 0"):
        write_viewer(tmp_path / "page.html", [])


def test_nobody_is_a_page_too(poses, tmp_path):
    none = replace(
        poses,
        **{name: getattr(poses, name)[:0] for name in ("joints_3d", "frame", "track", "sigma",
           "trajectory", "keypoints_2d", "confidence")},
    )  # fmt: skip
    [clip] = written(tmp_path, ("empty", none))["clips"]
    assert clip["people"] == []
