import json

import numpy as np
import pytest
import torch

import lifting
from lifting.cli.main import main
from lifting.data.procedural.generator import generate_motion
from lifting.errors import DataError
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.rotation import look_at
from lifting.teacher.options import TeacherOptions

NAMES = ("left", "middle", "right")
FEW = ["--pool-frames", "40", "--shifts", "2"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Three keypoint files, a file of cameras, and the joints."""
    folder = tmp_path_factory.mktemp("recording")
    joints = generate_motion(1, 40, seed=0, fps=25.0).joints_3d
    joints = joints - joints[:, 0].mean(0) * torch.tensor([1.0, 1.0, 0.0])
    place = torch.tensor([[4200.0, -1500, 1400], [4000, 2500, 1600], [-500, 4800, 1300]])
    turn = look_at(place, torch.tensor([[0.0, 0, 900]]).expand(3, 3))
    lens = torch.tensor([1145.0, 1145, 500, 500, 0, 0, 0, 0, 0]).expand(3, 9)
    local = world_to_camera(joints.flatten(0, 1).expand(3, -1, -1), turn, place)
    pixels = project(local, lens).reshape(3, 40, 17, 2)
    pixels = pixels + torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    facts = {}
    for name, seen, c, r in zip(NAMES, pixels, place, turn, strict=True):
        np.savez(folder / f"{name}.npz", keypoints_2d=seen.numpy())
        facts[name] = {
            "image_size": [1000, 1000], "intrinsics": [1145, 1145, 500, 500],
            "rotation": r.tolist(), "position": c.tolist(),
        }  # fmt: skip
    (folder / "cameras.json").write_text(json.dumps(facts))
    return folder, joints


def files(folder):
    return [str(folder / f"{name}.npz") for name in NAMES]


def test_a_rig_is_solved_and_reported(recording, tmp_path, capsys):
    folder, joints = recording
    cameras = str(folder / "cameras.json")
    out = tmp_path / "out"
    given = ["--cameras", cameras, "--output", str(out), *FEW, "--held-out", "--viewer"]
    assert main(["rig", "solve", *files(folder), *given]) == 0
    printed = capsys.readouterr().out
    assert "# Rig of 3 cameras: good" in printed
    names = {"solution.npz", "report.md", "report.json", "rig.png", "viewer.html"}
    assert {path.name for path in out.iterdir()} == names
    assert all(f"written: {out / name}" in printed for name in names)
    with np.load(out / "solution.npz", allow_pickle=False) as archive:
        error = np.linalg.norm(archive["joints"] - joints.numpy(), axis=-1)
    assert error.mean() < 10
    assert (out / "report.md").read_text() in printed
    facts = json.loads((out / "report.json").read_text())["facts"]
    assert facts["known"] == "all"
    assert set(facts["held_out_px"]) == set(NAMES)
    assert max(facts["held_out_px"].values()) < 5
    assert f"--cameras {cameras} " in printed
    (out / "rig.png").unlink()
    assert main(["rig", "report", str(out / "solution.npz")]) == 0
    again = capsys.readouterr().out
    assert (out / "report.md").read_text() in again
    assert (out / "rig.png").stat().st_size > 10_000
    assert main(["rig", "report", str(out / "solution.npz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quality"]["verdict"] == "good"
    assert told["written"] == [str(out / "rig.png")]


def test_python_solves_the_same(recording, tmp_path):
    folder, joints = recording
    options = TeacherOptions(pool_frames=40, shifts=2)
    poses = lifting.solve_rig(files(folder), folder / "cameras.json", options=options)
    assert poses.camera_names == NAMES
    assert poses.meta["quality"]["verdict"] == "good"
    assert poses.meta["world"] == "given"
    assert np.linalg.norm(poses.world - joints.numpy(), axis=-1).mean() < 10
    assert (poses.joints_3d[:, 0] == 0).all()
    assert np.nanmedian(poses.reprojection_error()) < 2
    poses.save(tmp_path / "poses.npz")
    again = lifting.Poses.load(tmp_path / "poses.npz")
    np.testing.assert_array_equal(again.world, poses.world)
    with pytest.raises(DataError, match="expected"):
        lifting.solve_rig(files(folder)[:1])


def test_less_is_told_and_bones_are_given(recording, tmp_path, capsys):
    folder, _ = recording
    given = ["--cameras", str(folder / "cameras.json"), "--output", str(tmp_path), *FEW]
    for size in (["--height", "1.9"], ["--bone", "left_knee=500"]):
        assert main(["rig", "solve", *files(folder), *given, *size]) == 2
        assert f"expected no {size[0]} beside cameras whose places" in capsys.readouterr().err
    given += ["--told", "intrinsics", "--bone", "left_knee=500"]
    assert main(["rig", "solve", *files(folder), *given, "--height", "1.9"]) == 2
    assert "expected --height or --bone, got both" in capsys.readouterr().err
    assert main(["rig", "solve", *files(folder), *given]) == 0
    printed = capsys.readouterr().out
    assert "| scale | 1 given bone lengths, by least squares |" in printed
    assert "| known of the cameras | intrinsics |" in printed
    assert "--told intrinsics --bone left_knee=500`." in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["left.npz"], "at least two views, got 1"),
        (["left.npz", "none.npz"], "none.npz"),
        (["left.npz", "left.npz"], "a file of its own name for each camera"),
        (["left.npz", "right.npz", "--bone", "left_knee=long"], "expected --bone JOINT=MM"),
        (["left.npz", "right.npz", "--stature", "1780"], "expected --height in metres"),
        (["left.npz", "right.npz", "--height", "1780"], "1780 mm are 1.78 m"),
        (["left.npz", "right.npz", "--height", "0=1.7"], "expected one height"),
        (["left.npz", "right.npz", "--sigma", "-1"], "expected sigma above 0, got -1"),
        (["left.npz", "right.npz", "--cameras", "cameras.json"], "got 'middle'"),
        (["left.npz", "short.npz"], "files that do not number them, got left: 40, short: 30"),
        (["left.npz", "right.npz", "--no-size"], "width and height of the video"),
    ],
)
def test_mistakes_are_explained(recording, tmp_path, capsys, words, message):
    folder, _ = recording
    with np.load(folder / "left.npz") as archive:
        np.savez(folder / "short.npz", keypoints_2d=archive["keypoints_2d"][:30])
    size = [] if "--no-size" in words else ["--image-size", "1000", "1000"]
    words = [w for w in words if w != "--no-size"]
    paths = [str(folder / w) if w.endswith((".npz", ".json")) else w for w in words]
    assert main(["rig", "solve", *paths, *size, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_of_another_file(recording, capsys):
    folder, _ = recording
    assert main(["rig", "report", str(folder / "left.npz")]) == 2
    assert "expected a solved rig of format 1" in capsys.readouterr().err
    assert main(["rig", "report", str(folder / "solution.npz")]) == 2
    assert "make one with 'lifting rig solve'" in capsys.readouterr().err
