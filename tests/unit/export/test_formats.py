from __future__ import annotations

import csv
import errno
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from walkers import walkers

from lifting.atomic import not_written
from lifting.errors import ConfigError, DataError, LiftingError, OutputError
from lifting.export import check_names, chosen, exports
from lifting.export import motion as motion_module
from lifting.export.formats import json as json_format
from lifting.export.motion import export_poses, motion_of
from lifting.export.names import PROFILES, named
from lifting.poses import Poses
from lifting.skeleton import COCO_17, H36M_17, SKELETONS, Skeleton

ALL = ("bvh", "c3d", "csv", "csv-wide", "glb", "json", "npz", "trc")


def document(path):
    """The JSON of a GLB."""
    data = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", data)
    assert (magic, version, total) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<II", data, 12)
    assert kind == 0x4E4F534A
    return json.loads(data[20 : 20 + size])


def test_every_format_is_written_with_what_it_holds(tmp_path):
    assert set(ALL) <= set(exports())
    written = export_poses(walkers(2), ALL, tmp_path)
    names = {path.name for path in written.files}
    assert names == {
        "poses_person_0.bvh", "poses_person_1.bvh", "poses.c3d", "poses.csv", "poses_wide.csv",
        "poses.glb", "poses.json", "poses.npz", "poses_person_0.trc", "poses_person_1.trc",
        "poses.meta.json",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == names
    assert written.remarks[0] == "frame: world: z up, of a test"
    assert "constant bones are" in written.remarks[-1]
    about = json.loads((tmp_path / "poses.meta.json").read_text())
    assert about["files"]["bvh"] == ["poses_person_0.bvh", "poses_person_1.bvh"]
    assert about["animation"]["person 0"]["distance_mean_mm"] < 3
    assert about["scale"] == "that of the world"
    assert Poses.load(tmp_path / "poses.npz").people == ("person 0", "person 1")


def test_each_of_long_files_is_named_when_it_is_begun(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "lifting")
    export_poses(walkers(), "json,trc", tmp_path)
    assert "writing" not in caplog.text
    monkeypatch.setattr(motion_module, "LONG", 40)
    export_poses(walkers(), "json,trc", tmp_path)
    assert caplog.messages == ["fitting a skeleton to 40 rows", "writing json", "writing trc"]


def test_axes_of_each_program(tmp_path):
    poses = walkers()
    export_poses(poses, "bvh,trc,csv,json", tmp_path)
    x, y, z = poses.world[0, 0].tolist()
    motion = (tmp_path / "poses.bvh").read_text().partition("MOTION\n")[2].splitlines()
    assert motion[:2] == ["Frames: 40", "Frame Time: 0.040000000000"]
    first = [float(v) for v in motion[2].split()[:3]]
    np.testing.assert_allclose(first, [x / 10, z / 10, -y / 10], atol=1e-4)
    row = (tmp_path / "poses.trc").read_text().splitlines()[6].split("\t")
    np.testing.assert_allclose([float(v) for v in row[2:5]], [y / 1000, z / 1000, x / 1000],
                               atol=1e-6)  # fmt: skip
    with (tmp_path / "poses.csv").open() as file:
        row = next(csv.DictReader(file))
    assert (row["joint"], row["frame"], row["sigma_mm"]) == ("hip", "0", "")
    np.testing.assert_allclose([float(row[f"{a}_mm"]) for a in "xyz"], [x, y, z], atol=1e-3)
    found = json.loads((tmp_path / "poses.json").read_text())
    assert (found["frame"], found["up"]) == ("world", "z")
    person = found["people"][0]
    joint = np.array(person["joints_3d"]) + np.array(person["root"])[:, None]
    np.testing.assert_allclose(joint, poses.world, atol=0.0015)


def test_json_in_pieces_is_one_document(tmp_path, monkeypatch):
    export_poses(walkers(2), "json", tmp_path, stem="whole")
    monkeypatch.setattr(json_format, "_ROWS", 7)
    export_poses(walkers(2), "json", tmp_path, stem="parts")
    whole, parts = (json.loads((tmp_path / f"{name}.json").read_text()) for name in
                    ("whole", "parts"))  # fmt: skip
    assert whole == parts
    assert [len(person["joints_3d"]) for person in parts["people"]] == [40, 40]


def test_a_camera_and_a_root_alone_are_said_and_stand_upright(tmp_path):
    upright = walkers(placed=False)
    turned = upright.joints_3d[..., [0, 2, 1]] * np.float32([1, -1, 1])  # a camera, y down
    at = np.tile(np.float32([100, 200, 4000]), (40, 1))
    camera = replace(upright, joints_3d=turned, trajectory=at)
    motion = motion_of(camera)
    np.testing.assert_allclose(motion.people[0].joints[:, 0], np.tile([100, 4000, -200], (40, 1)))
    written = export_poses(camera, "trc,json", tmp_path)
    assert written.remarks[0].startswith("frame: camera: the camera is the origin")
    row = (tmp_path / "poses.trc").read_text().splitlines()[6].split("\t")
    np.testing.assert_allclose([float(v) for v in row[2:5]], [0.1, -0.2, -4.0], atol=1e-6)
    assert json.loads((tmp_path / "poses.json").read_text())["up"] == "-y"
    root = replace(upright, joints_3d=turned)
    written = export_poses(root, "json", tmp_path)
    assert written.remarks[0].startswith("frame: root-relative")
    assert written.remarks[1].startswith("scale: assumed: that of the people whom the weights")
    assert json.loads((tmp_path / "poses.json").read_text())["people"][0]["root"] is None
    points = motion_of(root).people[0].joints
    ankles = [H36M_17.index("left_ankle"), H36M_17.index("right_ankle")]
    assert points[:, ankles, 2].min() == pytest.approx(80)


def test_what_placed_people_says_their_frame_and_scale():
    poses = walkers()
    facts = {"world": "z up, origin below the camera", "scale": ["person 0: 1.8 m", "person 1: b"]}
    motion = motion_of(replace(poses, meta={"motion": facts}))
    assert motion.frame_in_words == "world: z up, origin below the camera"
    assert motion.scale_in_words == "person 0: 1.8 m; person 1: b"
    moving = replace(poses, world=None, meta={"motion": {"world": "none: the camera moves"}})
    assert motion_of(moving).frame_in_words.endswith("not known (world: none: the camera moves)")


def test_a_rig_in_the_frame_of_its_first_camera_is_no_world():
    poses = walkers()
    rig = replace(
        poses, rotation=np.eye(3)[None], position=np.zeros((1, 3)), camera_names=("a",),
        trajectory=poses.world[:, 0],
    )  # fmt: skip
    assert motion_of(rig).frame == "camera"
    turn = np.array([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]])
    assert motion_of(replace(rig, rotation=turn)).frame == "world"


def test_gaps_and_unknown_joints_of_each_format(tmp_path):
    poses = walkers(frames=60)
    world = poses.world.copy()
    world[5, 16] = np.nan
    kept = np.r_[0:10, 14:20, 40:60]
    rows = {n: getattr(poses, n)[kept] for n in ("joints_3d", "frame", "track")}
    gappy = replace(poses, world=world[kept], **rows)
    written = export_poses(gappy, "trc,csv,json,bvh,c3d", tmp_path)
    lines = (tmp_path / "poses.trc").read_text().splitlines()[6:]
    assert len(lines) == 60
    assert lines[5].endswith("\tNaN\tNaN\tNaN")
    assert lines[12].split("\t")[2:] == ["NaN"] * 51
    with (tmp_path / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36 * 17
    assert rows[5 * 17 + 16]["x_mm"] == ""
    text = (tmp_path / "poses.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["people"][0]["joints_3d"][5][16] == [None] * 3
    about = json.loads((tmp_path / "poses.meta.json").read_text())["animation"]["person 0"]
    assert about["interpolated"] == {"all joints": [[10, 13]], "right_wrist": [[5, 5]]}
    assert about["held"] == {"all joints": [[20, 39]]}
    assert "2 gaps interpolated, 1 gaps held" in written.remarks[-1]
    held = (tmp_path / "poses.bvh").read_text().partition("MOTION\n")[2].splitlines()[2:]
    assert len(set(held[19:40])) == 1


def test_pieces_of_a_person_are_one_and_frames_that_were_left_out_are_no_gap(tmp_path):
    poses = walkers(2, frames=10)
    sampled = replace(
        poses, frame=np.r_[0:50:5, 100:150:5], people=("person 3", "person 3"), fps=50.0
    )
    person = motion_of(sampled).people[0]
    assert (person.name, person.step, person.fps, len(person)) == ("person 3", 5, 10.0, 30)
    assert np.isnan(person.joints[10:20]).all()
    both = replace(poses, people=("a", "a"))
    with pytest.raises(DataError, match="each frame of 'a' once"):
        motion_of(both)


def test_one_frame_and_an_unknown_rate(tmp_path):
    written = export_poses(walkers(frames=1, fps=np.nan), ALL, tmp_path)
    assert "frames a second are not known: 30 are assumed (--fps)" in written.remarks
    assert "Frames: 1\nFrame Time: 0.033333333333\n" in (tmp_path / "poses.bvh").read_text()


def test_c3d_is_split_where_readers_would_lose_frames_or_labels(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    frames = 65_600
    legs = Skeleton("leg", ("hip", "left_knee"), (-1, 0), ())
    points = np.zeros((frames, 2, 3))
    points[:, 0, 0] = np.arange(frames) / 4
    long = Poses(
        skeleton=legs, joints_3d=points - points[:, :1], world=points, fps=50.0,
        frame=np.arange(frames), track=np.zeros(frames, int), track_names=("a",),
    )  # fmt: skip
    files = export_poses(long, "c3d", tmp_path).files[:-1]
    assert [f.name for f in files] == ["poses_frame1.c3d", "poses_frame65535.c3d"]
    parts = [ezc3d.c3d(str(file)) for file in files]
    counts = [part["data"]["points"].shape[2] for part in parts]
    assert counts == [65_534, 66]
    assert parts[1]["data"]["points"][0, 0, 0] == 65_534 / 4
    assert parts[1]["header"]["points"]["first_frame"] == 65_534
    crowd = export_poses(walkers(16, frames=2), "c3d", tmp_path / "crowd").files[:-1]
    assert len(crowd) == 2
    labels = [ezc3d.c3d(str(f))["parameters"]["POINT"]["LABELS"]["value"] for f in crowd]
    assert [len(names) for names in labels] == [255, 17]
    assert labels[1][0] == "person_15:hip"
    with pytest.raises(DataError, match="one rate of all people for c3d, got 25, 50 frames"):
        export_poses(walkers(2, fps=[25.0, 50.0]), "c3d", tmp_path)


def test_glb_describes_each_person_and_its_binary_part(tmp_path):
    export_poses(walkers(2), "glb", tmp_path)
    found = document(tmp_path / "poses.glb")
    assert [len(skin["joints"]) for skin in found["skins"]] == [20, 20]
    assert len(found["meshes"]) == 2
    assert found["scenes"][0]["extras"]["lifting"]["frame"].startswith("world")
    for view in found["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= found["buffers"][0]["byteLength"]


@pytest.mark.parametrize("profile", PROFILES)
def test_names_of_other_programs_differ_from_one_another(profile, tmp_path):
    for name in ("h36m17", "mpi17", "mpi28", "humaneva15", "smpl24", "halpe26"):
        names = named(SKELETONS[name].joints, profile)
        assert len(set(names)) == len(names)
    export_poses(walkers(frames=2), "bvh,glb,trc,c3d,csv", tmp_path, profile=profile)
    joint = {"h36m": "left_elbow", "mixamo": "LeftForeArm", "vrm": "leftLowerArm",
             "blender": "forearm.L", "opensim": "LElbow"}[profile]  # fmt: skip
    assert f"JOINT {joint}\n" in (tmp_path / "poses.bvh").read_text()
    assert joint in [node["name"] for node in document(tmp_path / "poses.glb")["nodes"]]
    assert joint in (tmp_path / "poses.csv").read_text()


def test_mixamo_names_hang_as_its_rigs_do(tmp_path):
    export_poses(walkers(frames=2), "bvh", tmp_path, profile="mixamo")
    words = (tmp_path / "poses.bvh").read_text().split()
    joints = [words[i + 1] for i, word in enumerate(words) if word in ("ROOT", "JOINT")]
    assert joints[joints.index("Spine1") :] == [
        "Spine1", "Neck", "Head", "HeadTop_End", "LeftShoulder", "LeftArm", "LeftForeArm",
        "LeftHand", "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("formats", "profile", "message"),
    [
        ("bhv", None, "unknown export 'bhv'; did you mean 'bvh'"),
        ("", None, "expected formats to export, got none; give some of bvh, c3d"),
        ("bvh", "maximo", "unknown joint names 'maximo'; did you mean 'mixamo'"),
    ],
)
def test_what_cannot_be_asked_for(formats, profile, message):
    with pytest.raises(ConfigError, match=message):
        chosen(formats, profile)


def test_a_missing_extra_is_said_before_the_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"package ezc3d to write c3d, .*'lifting\[c3d\]'"):
        chosen("csv,c3d")


def test_names_and_skeletons_that_a_format_cannot_hold():
    odd = Skeleton("odd", ("hip", "left knee"), (-1, 0), ())
    with pytest.raises(DataError, match="bvh can hold, got 'left knee' with ' '; rename"):
        check_names(chosen("bvh"), odd)
    with pytest.raises(DataError, match=r"trc can hold, got 'left\\tknee'"):
        check_names(chosen("trc"), Skeleton("odd", ("hip", "left\tknee"), (-1, 0), ()))
    with pytest.raises(DataError, match="root is 'nose'; export c3d"):
        check_names(chosen("glb"), COCO_17)
    check_names(chosen("csv,c3d,json"), odd)


def test_nothing_to_export_and_absurd_frames(tmp_path):
    nobody = walkers(placed=False)
    nobody = replace(nobody, joints_3d=np.full_like(nobody.joints_3d, np.nan))
    with pytest.raises(DataError, match="somebody whose joints are known to export, got nobody"):
        export_poses(nobody, "csv", tmp_path)
    far = replace(walkers(frames=2), frame=[0, 7], people=("a",))
    assert len(motion_of(far).people[0]) == 2
    far = replace(walkers(frames=3), frame=[0, 1, 10**9], people=("a",))
    with pytest.raises(DataError, match="at most 2,000,000 frames from first to last, got 0 to"):
        motion_of(far)


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("kept")
    for name in ALL:
        with pytest.raises(OutputError, match="file, which is a file and not a folder; choose"):
            export_poses(walkers(frames=2), name, tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_space_helps_where_there_is_none():
    read_only = not_written("a.bvh", OSError(errno.EROFS, "Read-only file system"))
    assert "got 'Read-only file system'; choose another folder" in str(read_only)
    full = not_written("a.bvh", OSError(errno.ENOSPC, "No space left on device"))
    assert "got 'No space left on device'; free some space or choose" in str(full)


@pytest.mark.parametrize("name", ALL)
def test_a_full_disk_leaves_no_half_file(tmp_path, name):
    resource = pytest.importorskip("resource")
    poses, limits = walkers(frames=200), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"expected to write .* free some space or choose"):
            export_poses(poses, name, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_people_of_any_name_get_files_that_differ(tmp_path):
    poses = walkers(3, frames=2, people=("../Äb", "../äb", "x" * 300))
    files = export_poses(poses, "trc", tmp_path).files
    assert len({path.name.lower() for path in files}) == 4
    assert all(path.parent == tmp_path and path.is_file() for path in files)


def test_an_installed_package_adds_a_format(tmp_path, monkeypatch):
    info = tmp_path / "lab_export-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-export\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lifting.exports]\nlab = lab_export\n")
    (tmp_path / "lab_export.py").write_text(
        "from lifting.atomic import write_text\n"
        "from lifting.export import Export\n"
        "def write(motion, stem):\n"
        "    path = stem.with_suffix('.lab')\n"
        "    write_text(path, str(len(motion.people)))\n"
        "    return [path]\n"
        "EXPORTS = (Export('lab', 'the format of our lab', write),)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    exports.cache_clear()
    try:
        export_poses(walkers(2, frames=2), ["lab"], tmp_path / "out")
        assert (tmp_path / "out" / "poses.lab").read_text() == "2"
    except LiftingError as error:
        pytest.fail(str(error))
    finally:
        exports.cache_clear()
