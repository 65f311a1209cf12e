"""The Python interface, beside the commands that it must answer alike."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lifting
from lifting import Poses, interface, lift, load_model, read_keypoints, solve_rig
from lifting.cli.main import main
from lifting.errors import CheckpointError, ConfigError, DataError, LiftingError, MissingDataError
from lifting.experiment import answers
from lifting.experiment.interruption import interruption
from lifting.experiment.load import load_experiment
from lifting.experiment.prediction import lift_into, model_of
from lifting.motion.options import STAGES
from lifting.skeleton import COCO_17, H36M_17

REPOSITORY = Path(__file__).parents[2]
SIZE = (1000, 800)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Folder with a smoke-trained run of a shipped experiment."""
    folder = tmp_path_factory.mktemp("interface")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_CACHE", str(folder / "cache"))
        quiet = ["wandb.mode=disabled", "panels.worst=0"]
        words = ["extends=overlay/smoke", f"output={folder / 'outputs'}", *quiet]
        assert main(["train", "simple_baseline", *words]) == 0
    return folder / "outputs"


@pytest.fixture(scope="module")
def model(outputs):
    return load_model(outputs / "simple_baseline")


@pytest.fixture
def points():
    """Two people who move, in Human3.6M's joints, with a joint and a frame that were missed."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(-60, 60, (2, 17, 2)) + np.array([[[300, 400]], [[700, 400]]])
    frames = shape + np.arange(9)[:, None, None, None] * 2.0
    frames[3, 0, 5] = np.nan
    frames[5, 1] = np.nan
    return frames.astype(np.float32)


def assert_same(one: Poses, other: Poses) -> None:
    for name in ("joints_3d", "keypoints_2d", "confidence", "frame", "track", "intrinsics"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert one.track_names == other.track_names


def test_the_package_is_light():
    code = (
        "import sys, lifting; assert lifting.__version__; "
        "assert 'lift' in dir(lifting); assert 'Poses' in lifting.__all__; "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'lft'"):
        lifting.lft  # noqa: B018


def test_a_lifter_takes_no_trainer(outputs, points, tmp_path):
    own = tmp_path / "keypoints.npz"
    np.savez(own, keypoints_2d=points, image_size=np.array(SIZE), skeleton="h36m17", fps=25)
    output = tmp_path / "poses.npz"
    run = next((outputs / "simple_baseline").iterdir())
    code = (
        "import sys; from lifting.cli.main import main; status = main(sys.argv[1:]); "
        "heavy = {'pytorch_lightning', 'torchmetrics', 'wandb', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    words = ["predict", str(run / "config.yaml"), "--keypoints", str(own), "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    trained = model_of(
        load_experiment(str(run / "config.yaml")), run / "checkpoints" / "best.ckpt", alone=False
    )
    assert_same(lift(read_keypoints(own), model=trained), Poses.load(output))


def test_arrays_files_and_the_command_answer_alike(outputs, model, points, tmp_path):
    own = tmp_path / "keypoints.npz"
    np.savez(own, keypoints_2d=points, image_size=np.array(SIZE), skeleton="h36m17", fps=25)
    output = tmp_path / "poses.npz"
    run = next((outputs / "simple_baseline").iterdir())
    command = ["predict", str(run / "config.yaml"), "--keypoints", str(own)]
    command += ["--checkpoint", str(run / "checkpoints" / "best.ckpt"), "--output", str(output)]
    assert main(command) == 0
    written = Poses.load(output)
    assert len(written) == 18
    assert written.skeleton == H36M_17
    assert written.fps == 25
    assert written.image_size.tolist() == list(SIZE)
    assert written.meta["intrinsics"] == "guessed"
    assert np.isfinite(written.joints_3d).all()
    assert (written.joints_3d[:, 0] == 0).all()
    found = lift(points, image_size=SIZE, skeleton="h36m17", fps=25, model=model)
    assert_same(found, written)
    assert_same(lift(read_keypoints(own), model=model), written)
    named = lift(points, image_size=SIZE, skeleton=H36M_17.joints, fps=25, model=model.checkpoint)
    assert_same(named, written)
    found.save(tmp_path / "again.npz")
    assert_same(Poses.load(tmp_path / "again.npz"), written)


def test_options_mean_what_they_mean_for_files(model, points):
    one = lift(
        points, image_size=SIZE, skeleton="h36m17", person="1", model=model,
        intrinsics=(900, 900, 500, 400), confidence=np.full(points.shape[:3], 0.5),
    )  # fmt: skip
    assert len(one) == 9
    assert one.intrinsics[:4].tolist() == [900, 900, 500, 400]
    assert one.meta["intrinsics"] == "true"
    assert one.confidence.max() == 0.5
    assert np.isnan(one.fps)
    single = lift(points[:, 0], image_size=SIZE, skeleton="coco17", model=model)
    assert single.skeleton == H36M_17  # converted to the joints of the weights
    assert "coco17" in single.meta["source"]["two_d"]
    assert len(COCO_17) == 17


@pytest.mark.parametrize(
    ("keypoints", "options", "error", "message"),
    [
        (np.zeros((2, 17, 9)), {}, DataError, r"frames, joints, 2 or 3\).* \(2, 17, 9\)"),
        (np.zeros((2, 9, 17)), {}, DataError, "must be the last: transpose it"),
        (np.array(3.0), {}, DataError, r"got \(1,\); give every frame and joint"),
        (np.array(["a"]), {}, DataError, "array of numbers as keypoints, got <U1; pad with NaN"),
        (np.ones((4, 17, 2)), {}, ConfigError, "expected image_size=.*got none; give it"),
        (np.ones((4, 17, 2)), {"image_size": SIZE, "fps": -1}, ConfigError, "fps from 1 to 1000"),
        (
            np.ones((4, 17, 2)),
            {"image_size": (0, 9), "skeleton": "h36m17"},
            DataError,
            "from 1 to 100000 pixels",
        ),
        (np.ones((4, 17, 2)), {"image_size": SIZE, "skeleton": "x"}, ConfigError, "unknown skel"),
        (
            np.ones((4, 17, 2)),
            {"image_size": SIZE, "confidence": np.ones((4, 16))},
            DataError,
            r"shape \(4, 17\), got \(4, 16\)",
        ),
        (
            np.ones((4, 17, 2)),
            {"image_size": SIZE, "skeleton": "h36m17", "intrinsics": (1, 2)},
            DataError,
            "finite numbers in 'intrinsics'",
        ),
    ],
)
def test_what_is_wrong_is_said(keypoints, options, error, message):
    with pytest.raises(error, match=message):
        lift(keypoints, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"skeleton": ["hip", "head"]},
            DataError,
            "name for each of 17 joints .*got 2; .*skeleton=",
        ),
        ({"skeleton": []}, DataError, "name for each of 17 joints .*got 0"),
        ({"skeleton": 17}, ConfigError, "skeleton to be the name of a joint set, .*got 17"),
        ({"image_size": 1000}, ConfigError, r"image_size, got 1000; give image_size=\(width"),
        ({"image_size": ("a", "b")}, ConfigError, "numbers in image_size, got "),
        ({"intrinsics": 5}, ConfigError, r"intrinsics, got 5; give intrinsics=\(fx"),
        ({"person": 1.5}, ConfigError, r"number of a track, got 1\.5; correct .*person="),
        ({"person": True}, ConfigError, "got True"),
        ({"fps": "25"}, ConfigError, "fps from 1 to 1000 .*got '25'; correct .*fps="),
        ({"fps": [25]}, ConfigError, r"got \[25\]"),
        ({"fps": True}, ConfigError, "got True"),
        ({"fps": 1e-9}, ConfigError, "got 1e-09"),
        ({"size": 3}, ConfigError, r"expected size as a .*got 3; give size=Size"),
        ({"intrinsic": 3}, ConfigError, "got 'intrinsic'; did you mean 'intrinsics'"),
        ({"imagesize": 3}, ConfigError, "got 'imagesize'; did you mean 'image_size'"),
    ],
)
def test_options_of_another_kind_are_refused(points, tmp_path, options, error, message):
    own = tmp_path / "own.npz"
    np.savez(own, keypoints_2d=points)
    given = {"image_size": SIZE, "skeleton": "h36m17", **options}
    with pytest.raises(error, match=message):
        read_keypoints(own, **given)
    if not options.keys() & {"size", "intrinsic", "imagesize"}:
        with pytest.raises(error, match=message):
            lift(points, **given)


def test_names_of_another_number_of_joints_are_refused(points, tmp_path):
    np.savez(tmp_path / "own.npz", keypoints_2d=points, joint_names=np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"name for each of 17 joints in .*got 2"):
        read_keypoints(tmp_path / "own.npz", image_size=SIZE)
    found = read_keypoints(tmp_path / "own.npz", image_size=SIZE, skeleton=H36M_17.joints)
    assert "h36m17" in found.source["two_d"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[[1.0, 2.0]], [[1.0]]], "numbers as keypoints, got what is none.*pad"),
        ("keypoints.json", "array as keypoints, got the path 'keypoints.json'; .*read_keypoints"),
        (None, "array of numbers as keypoints, got object"),
    ],
)
def test_what_is_no_array_is_refused(given, message):
    with pytest.raises(LiftingError, match=message):
        lift(given, image_size=SIZE)


def test_arrays_of_any_library_are_taken(points, model):
    size = torch.tensor(SIZE)
    plain = lift(points, image_size=SIZE, skeleton="h36m17", model=model, person="0")
    tensor = torch.tensor(points, requires_grad=True)
    found = lift(tensor, image_size=size, skeleton="h36m17", model=model, person=0)
    assert_same(found, plain)
    masked = np.ma.masked_array(np.nan_to_num(points, nan=5.0), np.isnan(points))
    for given in (masked, list(masked)):
        found = lift(
            given, image_size=np.array(SIZE), skeleton="h36m17", model=model, person=np.int64(0)
        )
        assert_same(found, plain)


def test_people_move_in_a_world_unless_told_otherwise(points, model):
    given = {"image_size": SIZE, "skeleton": "h36m17", "model": model}
    late = lift(points, **given, motion={"lookahead": 3})
    assert late.meta["motion"]["delay_ms"] == 100
    assert (late.up.shape, late.up_sigma.shape) == ((18, 3), (18,))
    found = lift(points, **given, motion={"height": "0=1.8,1=1.6"})
    assert found.trajectory.shape == (18, 3)
    assert found.world.shape == (18, 17, 3)
    assert found.meta["motion"]["scale"] == [
        "person 0: 1.8 m, as given",
        "person 1: 1.6 m, as given",
    ]
    assert np.isfinite(found.contacts).all(0).nonzero()[0].tolist() == [3, 6]
    assert found.flag_names == ("filled", "outlier")
    assert found.flags[3, 5] == 1
    np.testing.assert_array_equal(found.keypoints_read[0], points[0, 0])
    assert np.linalg.norm(found.up) == pytest.approx(1)
    assert 0 < found.up_sigma < 40
    row = found.trajectory + found.joints_3d[:, 7]  # any point, as high above the ground
    np.testing.assert_allclose(row @ found.up - found.ground, found.world[:, 7, 2], atol=2)
    alone = lift(points, **given, motion={"without": "all"}, person=1)
    assert alone.trajectory is None
    assert alone.world is None
    one = lift(points, **given, motion={"height": {1: 1.7}}, person=1)
    assert one.meta["motion"]["scale"] == ["person 1: 1.7 m, as given"]
    with pytest.raises(ConfigError, match=r"people in the video \(0, 1\), got one of person 2"):
        lift(points, **given, motion={"height": {2: 1.7}})
    with pytest.raises(ConfigError, match="did you mean 'height'"):
        lift(points, **given, motion={"heigt": 1.7})


def test_what_is_said_of_nobody_is_refused_before_the_work(points, model, tmp_path, monkeypatch):
    def lifted(*_arguments, **_options):
        raise AssertionError("lifted before it was refused")

    monkeypatch.setattr("lifting.experiment.prediction.answer", lifted)
    given = {"image_size": SIZE, "skeleton": "h36m17", "model": model}
    poses = tmp_path / "camera.npz"
    np.savez(poses, rotation=np.tile(np.eye(3), (2, 1, 1)), position=np.zeros((2, 3)))
    for motion, message in (
        ({"height": {2: 1.7}}, r"people in the video \(0, 1\), got one of person 2"),
        ({"bone_lengths": {"left_kne": 430}}, "did you mean 'left_knee'"),
        ({"camera_poses": poses}, "for every frame in .*, got none for 7, the first of them 2"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            lift(points, **given, motion=motion)


def test_a_delay_holds_from_keypoints_to_the_world(points, model):
    """What is known later is changed, in a gap's end, too; what is answered before stays."""
    one = np.concatenate((points, points[::-1]))[:, 0].copy()
    one[8:12, 9] = np.nan
    other = one.copy()
    other[12:] += np.random.default_rng(1).normal(0, 50, other[12:].shape)
    given = {"image_size": SIZE, "skeleton": "h36m17", "fps": 50, "model": model}
    for lookahead in (0, 4):
        motion = {"lookahead": lookahead, "height": 1.7}
        before, after = (lift(seen, **given, motion=motion) for seen in (one, other))
        for name in ("keypoints_2d", "confidence", "joints_3d", "trajectory", "world", "contacts",
                     "up", "up_sigma"):  # fmt: skip
            first, second = (getattr(poses, name) for poses in (before, after))
            np.testing.assert_array_equal(
                first[: 12 - lookahead], second[: 12 - lookahead], f"{name}, {lookahead} ahead"
            )
            assert not np.array_equal(first[12:], second[12:], equal_nan=True)


def test_a_lifting_that_was_stopped_goes_on(points, model, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(answers, "KEEP_EVERY_S", 0.0)
    own, output, part = (tmp_path / n for n in ("own.npz", "poses.npz", "poses.part.npz"))
    np.savez(own, keypoints_2d=points, image_size=np.array(SIZE), skeleton="h36m17", fps=25)
    tracks = read_keypoints(own)
    small = replace(model.config.data, eval_batch_size=6)
    slow = replace(model, config=replace(model.config, data=small))
    kind, batches = type(model.module), []
    infer = kind.infer

    def stopped(self, batch):
        batches.append(len(batch))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return infer(self, batch)

    def stopped_again(_poses):
        assert output.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "infer", stopped)
    with pytest.raises(KeyboardInterrupt):
        lift_into(output, slow, tracks)
    assert part.exists()
    assert not output.exists()
    with pytest.raises(ConfigError, match=r"same weights and options in .*without --resume"):
        lift_into(output, slow, tracks, hypotheses=True, resume=True)
    before = len(batches)
    with pytest.raises(KeyboardInterrupt):  # in an export
        lift_into(output, slow, tracks, resume=True, then=stopped_again)
    assert len(batches) == before + 1
    assert part.exists()
    assert re.search("; go on with `lifting .* --resume`", interruption.message())
    lift_into(output, slow, tracks, resume=True)
    assert len(batches) == before + 2
    assert not part.exists()
    assert not interruption.kept
    assert_same(Poses.load(output), lift_into(tmp_path / "again.npz", slow, tracks, resume=True))
    assert re.search(r"no .*again\.part\.npz to go on with: lifting from the beg", caplog.text)


def test_joints_that_do_not_count_are_noted(points, model):
    given = {"image_size": SIZE, "skeleton": "h36m17", "model": model}
    noted = "joints_far_outside: 1"
    assert not [n for n in lift(points, **given).meta["notes"] if "outside" in n]
    points[3, 0, 4] = (-9000, 200)
    assert noted in lift(points, **given).meta["notes"]


def test_averaging_with_the_mirrored_keypoints_has_a_switch(points):
    """Averaged answers are as symmetric as what is seen; those of one pass are not."""
    swap = list(H36M_17.flip_index)
    mirrored = points[..., swap, :] * (-1, 1) + (SIZE[0], 0)
    given = {"image_size": SIZE, "skeleton": "h36m17", "model": "single"}
    for without, averaged in ((STAGES, True), (("flip", *STAGES), False)):
        one, other = (lift(p, **given, motion={"without": without}) for p in (points, mirrored))
        gap = np.abs(one.joints_3d - other.joints_3d[:, swap] * (-1, 1, 1)).max()
        assert (gap < 0.01) == averaged
        assert one.meta["answers"]["flip_averaging"] == averaged
    assert load_model("single").module.settings.flip_test


def test_long_work_says_how_far_it_is(points, model, monkeypatch, caplog):
    monkeypatch.setattr(answers, "SAY_EVERY_S", 0.0)
    caplog.set_level("INFO", "lifting")
    small = replace(model.config.data, eval_batch_size=8)
    slow = replace(model, config=replace(model.config, data=small))
    lift(points, image_size=SIZE, skeleton="h36m17", model=slow)
    assert re.findall(r"(\d+) of 18 samples lifted, about \d+ s left", caplog.text) == ["6", "12"]


@pytest.mark.parametrize("call", [read_keypoints, load_model])
def test_paths_are_paths(call):
    with pytest.raises(ConfigError, match=r"expected a path of .*, got None; give it as text"):
        call(None)


def test_options_go_to_who_reads(points, tmp_path, model):
    own = tmp_path / "own.npz"
    np.savez(own, keypoints_2d=points, skeleton="h36m17")
    tracks = read_keypoints(own, image_size=SIZE)
    with pytest.raises(ConfigError, match=r"fps when keypoints are read, .* give it to read_keyp"):
        lift(tracks, fps=25, model=model)


def test_models_are_found(outputs, model, tmp_path):
    run = next((outputs / "simple_baseline").iterdir())
    best = run / "checkpoints" / "best.ckpt"
    assert model.checkpoint == best
    assert load_model(run).checkpoint == best
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(best.read_bytes())
    assert load_model(alone).config.method == model.config.method
    with pytest.raises(ConfigError, match=r"expected a run with weights"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "none.ckpt")


def test_a_folder_without_runs_gets_advice_that_fits(outputs, tmp_path, monkeypatch):
    run = next((outputs / "simple_baseline").iterdir())
    with pytest.raises(ConfigError, match=r"experiments in it, such as .*simple_baseline$"):
        load_model(outputs)
    with pytest.raises(ConfigError, match=f"got none; give its run, {run}, or a file in it"):
        load_model(run / "checkpoints")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="`lifting train simple_baseline` makes outputs/simple"):
        load_model(".")


def test_a_method_of_one_answer_has_no_hypotheses(points, model, caplog):
    given = {"image_size": SIZE, "skeleton": "h36m17", "person": 0}
    assert lift(points, **given, model=model, hypotheses=True).hypotheses is None
    assert "simple_baseline gives one answer" in caplog.text


@pytest.mark.parametrize(
    ("files", "options", "error", "message"),
    [
        ("left.npz", {}, ConfigError, "list of keypoint files, one a camera, got 'left.npz'"),
        ([], {}, ConfigError, "files of two or more cameras, got none"),
        ([3, 4], {}, ConfigError, "expected a path of the keypoints of a camera, got 3"),
        (["a.npz", "b.npz"], {"cameras": {}}, ConfigError, r"a path of cameras, got \{\}"),
        (["a.npz", "b.npz"], {"cameras": "c.json"}, MissingDataError, "keypoint file .* a.npz"),
        (["a", "b"], {"reading": {"fsp": 25}}, ConfigError, "'reading.fsp'; did you mean 'fps'"),
        (["a", "b"], {"options": {"shift": 2}}, ConfigError, "did you mean 'shifts'"),
        (["a", "b"], {"options": {"shifts": "x"}}, ConfigError, "options.shifts"),
        (["a", "b"], {"reading": 3}, ConfigError, "expected reading as a dictionary .*got 3"),
    ],
)
def test_what_is_no_rig_is_refused(files, options, error, message):
    with pytest.raises(error, match=message):
        solve_rig(files, **options)


def test_a_rig_has_the_rate_of_its_files(tmp_path, monkeypatch):
    """Of two views that share a person; what is solved of them is not looked at."""
    solved = []
    monkeypatch.setattr(interface, "solve_views", lambda views, options: solved.append(options))
    monkeypatch.setattr(interface, "poses_of_rig", lambda solution, views, fps: fps)
    rng = np.random.default_rng(0)
    shape = rng.uniform(300, 500, (17, 2)) + np.arange(30)[:, None, None]

    def rate(rates, **options):
        files = [tmp_path / f"{name}.npz" for name in "ab"]
        for file, fps in zip(files, rates, strict=True):
            facts = {} if fps is None else {"fps": fps}
            np.savez(file, keypoints_2d=shape, image_size=SIZE, skeleton="h36m17", **facts)
        return solve_rig(files, **options)

    assert rate((50, 50)) == 50
    assert rate((50, None), options={"shifts": 2}) == 50
    assert solved[-1].shifts == 2
    assert rate((None, None)) is None
    assert rate((None, None), reading={"fps": 25, "person": 0}) == 25
    with pytest.raises(DataError, match="got frames a second of a: 50, b: 25; bring"):
        rate((50, 25))
    with pytest.raises(DataError, match="expected the 50 frames a second"):
        rate((50, 50), reading={"fps": 25})


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_example_of_the_readme_runs(points, tmp_path, monkeypatch):
    """As a user would have it: keypoints in the current folder, and the weights of the package."""
    blocks = [b for b in python_blocks((REPOSITORY / "README.md").read_text()) if "lift(" in b]
    if not blocks:
        pytest.fail("expected a block of Python with lift() in README.md")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFTING_WEIGHTS", str(tmp_path / "own"))
    np.save("keypoints.npy", points[:, 0])
    for block in blocks:
        assert len(block.strip().splitlines()) <= 8
        exec(compile(block, "README.md", "exec"), {})
    assert Poses.load("poses.npz").joints_3d.shape == (9, 17, 3)
