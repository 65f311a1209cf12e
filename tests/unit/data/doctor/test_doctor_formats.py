"""Correct tiny files of every other format are clean; damage is named by its own row."""

from __future__ import annotations

import numpy as np
import published_npz
import pytest
from check_files import check_files
from oh50k_files import records, seen_people, write_part
from python2_pickle import python2_dumps
from smpl_models import PARENTS, REST, model_arrays
from walking import smpl_people

from lifting.cli.main import main
from lifting.data.config import DataConfig
from lifting.data.doctor.check import SPLITS, check
from lifting.data.sets import data_sets, find_set
from lifting.errors import ConfigError
from lifting.experiment.load import load_data
from lifting.skeleton import SMPL_24

GROUPS = tuple(
    f"{part}/{subject}" for part in ("Train", "Validate") for subject in ("S1", "S2", "S3")
)
FRAMES = 40


def row(rows, what):
    (found,) = [r for r in rows if r.what == what]
    return found


def not_ok(rows):
    return [r for r in rows if r.verdict != "ok"]


class TestHumanEva:
    @pytest.fixture
    def data(self, tmp_path):
        recordings = {"Walking 1 chunk0": 60, "Jog 1": 40, "Box 1 chunk2": 3}
        return published_npz.HumanEva(tmp_path, recordings, GROUPS)

    def test_clean(self, data):
        data.write_two_d()
        rows = check_files("humaneva", data.folder)
        assert not_ok(rows) == []
        assert "median 0.0" in row(rows, "reprojection 2D gt").found

    def test_shift_and_sides_without_intrinsics(self, data, complaints):
        data.write_two_d("gt", lambda pixels: np.roll(pixels, 4, axis=0))
        flip = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 14]
        data.write_two_d("other", lambda pixels: pixels[:, flip])
        rows = check_files("humaneva", data.folder)
        assert "time 2D gt" in complaints(rows)
        assert "+4 frames" in row(rows, "time 2D gt").found
        assert "left and right 2D other" in complaints(rows)
        assert row(rows, "left and right 2D gt").verdict == "ok"
        assert row(rows, "time 2D other").verdict == "ok"

    def test_missing_part(self, tmp_path, complaints):
        data = published_npz.HumanEva(tmp_path, {"Walking 1": 40}, GROUPS[:5])
        data.write_two_d()
        rows = check_files("humaneva", tmp_path)
        assert complaints(rows) == {"subjects", "subjects 2D gt"}
        assert row(rows, "subjects").found == "missing Validate.S3"


def pw3d_sequence(seed, frames=FRAMES):
    """A walker with SMPL's joints before a camera that moves."""
    rng = np.random.default_rng(seed)
    world = smpl_people(frames, seed)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = np.array([(1.0, 0, 0), (0, 0, -1), (0, 1, 0)])
    drift = np.cumsum(0.005 * rng.normal(size=(frames, 3)), axis=0)
    poses[:, :3, 3] = drift + np.array((0, 1, 4))
    seen = np.einsum("fij,fnj->fni", poses[:, :3, :3], world) + poses[:, None, :3, 3]
    lens = (1961.9, 1969.2, 540.0, 960.0)
    pixels = published_npz.projected(seen, lens)
    detections = np.zeros((frames, 3, 18))
    names = {1: 12, 2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 8: 2, 9: 5, 10: 8, 11: 1, 12: 4,
             13: 7, 0: 15, 14: 15, 15: 15, 16: 15, 17: 15}  # fmt: skip
    noise = rng.normal(scale=6, size=(frames, 18, 2))
    for coco, smpl in names.items():
        detections[:, :2, coco] = pixels[:, smpl] + noise[:, coco]
    detections[:, 2] = np.exp(-np.linalg.norm(noise, axis=-1) / 20)
    return {
        "sequence": "street_00", "genders": ["m"], "poses": [np.zeros((frames, 72))],
        "betas": [np.zeros(10)], "trans": [np.zeros((frames, 3))], "poses2d": [detections],
        "jointPositions": [world.reshape(frames, 72)],
        "cam_intrinsics": np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1]]),
        "cam_poses": poses, "campose_valid": [np.arange(frames) != 3],
        "img_frame_ids": np.arange(frames), "texture_maps": [],
    }  # fmt: skip


class TestPw3d:
    COUNTS = {"train": 1, "val": 1, "test": 1}  # noqa: RUF012

    def write(self, folder, change=lambda data: data):
        for i, part in enumerate(("train", "validation", "test")):
            home = folder / "sequenceFiles" / part
            home.mkdir(parents=True, exist_ok=True)
            data = change(pw3d_sequence(i))
            (home / f"street_0{i}.pkl").write_bytes(python2_dumps(data))
        return str(folder)

    def test_clean(self, tmp_path):
        rows = check_files("3dpw", self.write(tmp_path), self.COUNTS)
        assert not_ok(rows) == []
        assert "median" in row(rows, "reprojection 2D openpose").found

    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            (lambda d: {**d, "jointPositions": [1000 * d["jointPositions"][0]]}, "unit 3D"),
            (lambda d: {**d, "poses2d": [np.roll(d["poses2d"][0], 9, 0)]}, "time 2D openpose"),
            (lambda d: {**d, "poses2d": [d["poses2d"][0] * np.array((1, 1, 50))[:, None]]},
             "confidence 2D openpose"),
            (lambda d: {**d, "jointPositions": [
                d["jointPositions"][0].reshape(-1, 24, 3)[:, SMPL_24.flip_index].reshape(-1, 72)
            ]}, "left and right 3D"),
        ],
    )  # fmt: skip
    def test_damage(self, tmp_path, complaints, change, wanted):
        found = complaints(check_files("3dpw", self.write(tmp_path, change), self.COUNTS))
        assert found - {"reprojection 2D openpose"} == {wanted}

    def test_missing_and_damaged_sequences(self, tmp_path, complaints):
        root = self.write(tmp_path)
        path = tmp_path / "sequenceFiles" / "test" / "street_02.pkl"
        path.write_bytes(path.read_bytes()[:500])
        rows = check_files("3dpw", root)
        assert complaints(rows) == {
            "sequences train", "sequences val", "sequences test", "form test/street_02.pkl",
        }  # fmt: skip


class TestOh50k:
    COUNTS = {"train": FRAMES, "test": FRAMES}  # noqa: RUF012

    def write(self, folder, change=lambda made: made, **form):
        for i, part in enumerate(("trainset", "testset")):
            write_part(folder / part, change(records(seen_people(FRAMES, i), **form)))
        return str(folder)

    @pytest.mark.parametrize("frame", ["camera", "world"])
    def test_clean(self, tmp_path, frame):
        rows = check_files("3doh50k", self.write(tmp_path, frame=frame), self.COUNTS)
        assert not_ok(rows) == []
        assert row(rows, "labels train").found.startswith(f"frame of the {frame}, by reprojection")
        assert row(rows, "images test").found == "40"
        assert row(rows, "reader val").found == "2 frames in 2 tracks"

    @pytest.mark.parametrize(
        ("change", "wanted"),
        [
            (lambda r: r | {"scale": 0.01}, "labels"),
            (lambda r: r | {"intri": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "labels"),
            (lambda r: r | {"scale": None}, "form"),
            (lambda r: r | {"img_path": "images/x.jpg"}, "pictures"),
            (lambda r: r | {key: flipped(r[key]) for key in ("smpl_joints_2d", "smpl_joints_3d")},
             "left and right 3D"),
        ],
    )  # fmt: skip
    def test_damage(self, tmp_path, complaints, change, wanted):
        def all_of(made):
            return {name: change(record) for name, record in made.items()}

        rows = check_files("3doh50k", self.write(tmp_path, all_of, nested=False), self.COUNTS)
        assert complaints(rows) == {f"{wanted} train", f"{wanted} test"}

    def test_missing_images_and_invalid_people(self, tmp_path, complaints):
        def change(made):
            made["00004"]["smpl_joints_3d"] = np.full((24, 3), np.nan).tolist()
            return made

        rows = check_files("3doh50k", self.write(tmp_path, change))
        wanted = {f"{what} {part}" for what in ("images", "people") for part in ("train", "test")}
        assert complaints(rows) == wanted
        assert row(rows, "people test").found == "1 of 40 are not, first number 4"
        assert row(rows, "images train").expected == "50310 (published)"


def flipped(joints):
    return np.array(joints)[SMPL_24.flip_index, :].tolist()


class TestAmass:
    def write(self, folder, change=lambda name, values: values, count=2):
        rng = np.random.default_rng(0)
        np.savez(folder / "SMPLH_MALE.npz", **model_arrays(52, 90, 16))
        models = folder / "models" / "smplh" / "male"
        models.mkdir(parents=True)
        (folder / "SMPLH_MALE.npz").rename(models / "model.npz")
        for i in range(count):
            frames = 200
            poses = np.zeros((frames, 52, 3))
            poses[:, 0] = (np.pi / 2, 0, 0)
            swing = 0.5 * np.sin(np.arange(frames) / 15)
            poses[:, 1, 0], poses[:, 2, 0] = swing, -swing
            poses[:, 4, 0] = poses[:, 5, 0] = 0.6
            poses[:, 16:18, 2] = 0.1 * rng.normal(size=(1, 2))
            trans = np.zeros((frames, 3))
            trans[:, 1] = -0.012 * np.arange(frames)
            arrays = {"poses": poses.reshape(frames, -1), "trans": trans, "betas": np.zeros(16),
                      "gender": np.array("male"), "mocap_framerate": np.array(100.0)}  # fmt: skip
            home = folder / "amass" / "CMU" / f"{i:02d}"
            home.mkdir(parents=True)
            np.savez(home / "walk_poses.npz", **{k: change(k, v) for k, v in arrays.items()})
        return str(folder), str(folder / "models")

    def test_clean(self, tmp_path, complaints):
        root, models = self.write(tmp_path)
        rows = check_files("amass", root, body_model=models)
        # One part is enough for the doctor; the others are told of.
        assert {r.what for r in not_ok(rows)} <= {"files", "repeats 3D"}
        assert complaints(rows) <= {"repeats 3D"}
        assert row(rows, "body model").found == "model.npz"

    def test_damage(self, tmp_path, complaints):
        def change(name, values):
            return values * 1000 if name == "trans" else values

        root, models = self.write(tmp_path, change, count=1)
        assert complaints(check_files("amass", root, body_model=models)) == {"speed 3D"}

    def test_y_up(self, tmp_path, complaints):
        def change(name, values):
            if name == "poses":
                values[:, :3] = 0
            return values

        root, models = self.write(tmp_path, change, count=1)
        assert complaints(check_files("amass", root, body_model=models)) == {"vertical axis 3D"}

    def test_without_body_model_and_with_damaged_files(self, tmp_path, complaints, monkeypatch):
        monkeypatch.delenv("LIFTING_SMPL", raising=False)
        root, _ = self.write(tmp_path)
        path = tmp_path / "amass" / "CMU" / "01" / "walk_poses.npz"
        path.write_bytes(path.read_bytes()[:-80])
        rows = check_files("amass", root)
        assert complaints(rows) == {"form", "body model"}
        assert row(rows, "form").found == "1 of 2 files refused"
        assert "truncated" in row(rows, "form").advice


def test_synthetic_sample_is_clean():
    rows = check_files("synthetic")
    assert not_ok(rows) == []
    assert row(rows, "cameras 2D sample").found.endswith("views as expected")


WITHOUT_PATTERNS = {"image_folder", "images", "keypoint_rig", "synthetic"}


@pytest.mark.parametrize("name", sorted(set(data_sets()) - WITHOUT_PATTERNS))
def test_absent_files_of_every_data_set(tmp_path, name, complaints):
    rows = check(load_data(name, str(tmp_path))[0])
    found = {row.what for row in rows if row.verdict == "fail"}
    by_reading = find_set(name).command("check") is None  # a set without checks of its own
    assert found
    assert found <= ({f"reader {s}" for s in SPLITS} if by_reading else {"files", "file"})
    assert all(r.advice for r in rows if r.verdict != "ok")


def test_unknown_name():
    with pytest.raises(ConfigError, match="unknown data set 'h36'; did you mean 'h36m'"):
        check(DataConfig(name="h36"))


def test_command_prints_and_fails(tmp_path, capsys):
    data = published_npz.H36m(tmp_path, {"Walking 1": 40})
    data.write_two_d("gt")
    assert main(["data", "check", "h36m", "--root", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "recordings" in text
    assert "what to do" in text


def test_smpl_tree_of_the_tests_is_that_of_the_models():
    assert SMPL_24.parents == PARENTS
    assert len(REST) == len(SMPL_24)
