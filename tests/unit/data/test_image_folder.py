"""Pictures on disk, with the labels of tiny published data sets, through the reader."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from oh50k_files import SIZES, pixels_of, records, seen_people, write_part
from pictures import spot
from PIL import Image
from published_npz import H36m, write_mpi_test, write_mpi_train
from python2_pickle import python2_dumps
from smpl_models import REST

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.images.crops import crop_around, crop_pixels
from lifting.data.images.photos import cut_photos
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sets.image_folder.config import Config as ImageFolderConfig
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.pw3d.config import Config as Pw3dConfig
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError

SIDE = 48
SUBJECTS = ("S1", "S5", "S8", "S9")
RECORDINGS = {"Photo 1": 3, "Walking": 4}
IDS = ("54138969", "55011271", "58860488", "60457274")
HEIGHTS = (1002, 1000, 1000, 1002)


def brightest(image):
    """Centre of what is bright, ``(n, 2)``, pixels of the picture."""
    light = image.float().mean(1)
    line = torch.arange(image.shape[-1]) + 0.5
    total = light.sum((1, 2))
    across, down = (light.sum(1) * line).sum(1), (light.sum(2) * line).sum(1)
    return torch.stack((across / total, down / total), dim=-1)


@pytest.fixture(scope="module")
def h36m(tmp_path_factory):
    """A folder of Human3.6M whose pictures show a spot at the head."""
    root = tmp_path_factory.mktemp("h36m")
    files = H36m(root, RECORDINGS, SUBJECTS)
    files.write_two_d()
    for subject in SUBJECTS:
        for name, frames in RECORDINGS.items():
            for i, camera in enumerate(IDS):
                pixels = files.pixels(subject, name, i)[:, 10]
                film = f"{subject}_{name.replace('Photo', 'TakingPhoto').replace(' ', '_')}"
                folder = root / subject / f"{film}.{camera}"
                for n in range(0, frames, 2):
                    file = folder / f"{film}.{camera}_{n + 1:06d}.jpg"
                    spot(file, pixels[n], (1000, HEIGHTS[i]))
    return root


def config_of(root, cache, **options):
    return DataConfig(
        name="image_folder", root=str(root), cache=str(cache), batch_size=8, flip=False,
        image_folder=ImageFolderConfig(size=SIDE, margin=1.25, **options),
        h36m=H36mConfig(two_d="gt", every=2, train_subjects=("S1", "S5"), val_subjects=("S8",),
                        test_subjects=("S9",)),
    )  # fmt: skip


def test_pictures_are_cut_around_the_person(h36m, tmp_path):
    module = PoseDataModule(config_of(h36m, tmp_path), 0)
    tracks = module.tracks("train")
    assert len(tracks) == 2 * 4 * (2 + 2)
    assert tracks.image.shape == (32, 3, SIDE, SIDE)
    assert tracks.image.dtype == torch.uint8
    assert tracks.extras == {}
    root = tracks.labels()[:, 0]
    cameras = tracks.cameras[tracks.camera.repeat_interleave(tracks.offsets.diff())]
    torch.testing.assert_close(tracks.crop, crop_around(root, cameras.intrinsics, 2500.0))
    heads = crop_pixels(tracks.keypoints_2d[:, 10:11], tracks.crop, SIDE)[:, 0]
    torch.testing.assert_close(brightest(tracks.image), heads, atol=0.6, rtol=0)
    batch = next(iter(module.train_dataloader()))
    assert batch.image.shape == (8, 3, SIDE, SIDE)
    assert batch.crop.shape == (8, 3)


def test_pictures_are_read_once(h36m, tmp_path, monkeypatch, caplog):
    config = config_of(h36m, tmp_path)
    first = load_tracks(config, "test")
    monkeypatch.setattr("lifting.data.sets.image_folder.reader.cut_photos", None)
    assert torch.equal(load_tracks(config, "test").image, first.image)
    monkeypatch.undo()
    path = next((h36m / "S9").rglob("*_000001.jpg"))
    path.touch()
    with caplog.at_level(logging.INFO):
        again = load_tracks(config, "test")
    assert "making 16 pictures of 48 pixels" in caplog.text
    assert torch.equal(again.image, first.image)


def test_other_places_are_named_by_a_pattern(h36m, tmp_path):
    for path in (h36m / "S9").rglob("*_000001.jpg"):
        _, film, camera = path.parent.name.replace("_", " ", 1).replace(".", " ").split(" ")
        place = tmp_path / "mine" / camera / film
        place.mkdir(parents=True, exist_ok=True)
        for source in path.parent.iterdir():
            number = int(source.stem[-6:]) + 4
            Image.open(source).save(place / f"{number}.png")
    for source in h36m.glob("*.npz"):
        (tmp_path / source.name).symlink_to(source)
    pattern = "mine/{camera}/{recording}/{frame}.png"
    config = config_of(tmp_path, tmp_path / "cache", files=pattern, first=5)
    usual = load_tracks(config_of(h36m, tmp_path / "cache"), "test")
    difference = load_tracks(config, "test").image.int() - usual.image.int()
    assert difference.abs().max() <= 2


def test_an_experiment_of_the_image_form_sees_them(h36m, tmp_path):
    config = replace(config_of(h36m, tmp_path), views="together")
    batch = next(iter(PoseDataModule(config, 0).train_dataloader()))
    assert batch.image.shape == (8, 4, 3, SIDE, SIDE)


def test_mpi_inf_3dhp_in_the_npz_form(tmp_path):
    known = write_mpi_train(tmp_path / "data_train_3dhp_ori.npz", {"S1 Seq1": 40}, ("0", "4"))
    test = write_mpi_test(tmp_path / "data_test_3dhp_ori.npz", {"TS5": 6})
    for camera in "04":
        folder = tmp_path / "S1/Seq1/imageFrames" / f"video_{camera}"
        for n in range(0, 40, 20):
            place = known["S1 Seq1", camera][1][n, 0]
            spot(folder / f"frame_{n + 1:06d}.jpg", place, (2048, 2048))
    _, pixels, valid = test["TS5"]
    folder = tmp_path / "mpi_inf_3dhp_test_set/TS5/imageSequence"
    for n in valid.nonzero()[0]:
        spot(folder / f"img_{n + 1:06d}.jpg", pixels[n, 0], (1920, 1080))
    mpi = Mpi3dhpConfig(
        annotation="annot3", train_subjects=("S1",), val_subjects=(),
        cameras=("0", "4"), every=20, test_sequences=("TS5",),
    )  # fmt: skip
    config = replace(
        config_of(tmp_path, tmp_path / "cache", labels="mpi_inf_3dhp"), mpi_inf_3dhp=mpi
    )
    for split, count in {"train": 4, "test": int(valid.sum())}.items():
        if split == "test":
            config = replace(config, mpi_inf_3dhp=replace(mpi, every=1))
        tracks = load_tracks(config, split)
        assert len(tracks) == count
        heads = crop_pixels(tracks.keypoints_2d[:, :1], tracks.crop, SIDE)[:, 0]
        torch.testing.assert_close(brightest(tracks.image), heads, atol=0.6, rtol=0)
    scaled = replace(config, mpi_inf_3dhp=replace(mpi, annotation="univ"))
    with pytest.raises(ConfigError, match=r"expected data\.mpi_inf_3dhp\.annotation 'annot3'"):
        load_tracks(scaled, "train")


def test_3dpw_leaves_out_frames_without_a_camera(tmp_path):
    frames = 4
    pose = np.eye(4)
    pose[1, 1] = pose[2, 2] = -1
    pose[:3, 3] = (0.2, 1.0, 4)
    joints = np.tile(REST, (frames, 1, 1))
    valid = np.array([True, True, False, True])
    data = {
        "sequence": "a_00", "genders": ["m"], "poses": [np.zeros((frames, 72))],
        "betas": [np.zeros(10)], "trans": [np.zeros((frames, 3))],
        "poses2d": [np.ones((frames, 3, 18))], "jointPositions": [joints.reshape(frames, 72)],
        "cam_intrinsics": np.array([[1960.0, 0, 540], [0, 1960, 960], [0, 0, 1]]),
        "cam_poses": np.tile(pose, (frames, 1, 1)), "campose_valid": [valid],
    }  # fmt: skip
    home = tmp_path / "sequenceFiles/test"
    home.mkdir(parents=True)
    (home / "a_00.pkl").write_bytes(python2_dumps(data))
    for n in (0, 1, 3):
        spot(tmp_path / f"imageFiles/a_00/image_{n:05d}.jpg", (540, 960), (1080, 1920))
    config = config_of(tmp_path, tmp_path / "cache", labels="3dpw")
    tracks = load_tracks(replace(config, pw3d=Pw3dConfig(two_d="gt")), "test")
    assert tracks.offsets.tolist() == [0, 3]
    assert tracks.image.shape[0] == 3
    place = crop_pixels(torch.tensor([[[540.0, 960.0]]]).expand(3, 1, 2), tracks.crop, SIDE)
    torch.testing.assert_close(brightest(tracks.image), place[:, 0], atol=0.6, rtol=0)


@pytest.mark.parametrize("joint", [8, 11, 16])
def test_3doh50k_has_the_pictures_that_its_labels_name(tmp_path, joint):
    seen = seen_people(4)
    made = records(seen)
    made["00002"]["smpl_joints_3d"] = np.full((24, 3), np.nan).tolist()
    write_part(tmp_path / "3doh50k/testset", made)
    smpl = {8: 12, 11: 16, 16: 21}[joint]
    for i in range(4):
        path = tmp_path / f"3doh50k/testset/images/{i:05d}.jpg"
        spot(path, pixels_of(seen[i, smpl], i), SIZES[i % 2])
    config = config_of(tmp_path, tmp_path / "cache", labels="3doh50k")
    tracks = load_tracks(config, "test")
    assert tracks.track_names == tuple(f"testset/images/0000{i}.jpg" for i in (0, 1, 3))
    assert tracks.image.shape == (3, 3, SIDE, SIDE)
    place = crop_pixels(tracks.keypoints_2d[:, joint : joint + 1], tracks.crop, SIDE)[:, 0]
    torch.testing.assert_close(brightest(tracks.image), place, atol=0.6, rtol=0)


def test_missing_pictures_are_named(h36m, tmp_path):
    config = config_of(h36m, tmp_path, first=9)
    with pytest.raises(MissingDataError, match=r"pictures of the track S9/Photo 1/54138969"):
        load_tracks(config, "test")
    config = config_of(h36m, tmp_path)
    config.h36m.every = 1
    with pytest.raises(MissingDataError, match=r"found none for 12 of them, such as .*_000002"):
        load_tracks(config, "test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": "{person}.jpg"}, r"files with \{subject\}"),
        ({"files": "{frame:q}.jpg"}, r"files with \{subject\}"),
        ({"threads": 0}, "threads from 1 to 64, got 0"),
    ],
)
def test_options_out_of_range_are_refused(h36m, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        load_tracks(config_of(h36m, tmp_path, **options), "test")


def squares(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def cut(path, *rows, size=(40, 30), side=4):
    count = len(rows)
    sizes = torch.tensor([size] * count)
    parts = cut_photos([path] * count, squares(*rows), sizes, side, 2)
    return torch.cat([part for (part,) in parts])


def test_a_square_is_averaged_and_black_outside(tmp_path):
    values = np.arange(40, dtype=np.uint8)[None, :, None].repeat(30, 0).repeat(3, 2) * 4
    path = tmp_path / "ramp.png"
    Image.fromarray(values).save(path)
    inside, outside = cut(path, (20.0, 15.0, 16.0), (0.0, 0.0, 8.0))
    # Pixels 12 to 28: sixteen columns in four, each the mean of those around its middle.
    wanted = 4 * (torch.tensor([14.0, 18, 22, 26]) - 0.5)
    torch.testing.assert_close(inside.float(), wanted.expand(3, 4, 4), atol=3, rtol=0)
    assert (outside[:, :2, :2] == 0).all()
    assert outside[0, 3, 3] > 4


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_other_colours_become_red_green_and_blue(tmp_path, mode):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30), (9, 9, 9)).convert(mode).save(path)
    assert (cut(path, (20.0, 15.0, 8.0)) == 9).all()


def test_pictures_that_cannot_be_used_are_named(tmp_path):
    good = tmp_path / "a.jpg"
    Image.new("RGB", (40, 30), (200, 10, 10)).save(good)
    with pytest.raises(DataError, match=r"expected a picture of 50 x 30 pixels .* got 40 x 30"):
        cut(good, (20.0, 15.0, 8.0), size=(50, 30))
    damaged = tmp_path / "b.jpg"
    damaged.write_bytes(good.read_bytes()[:200])
    for path in (damaged, tmp_path / "c.jpg"):
        (tmp_path / "c.jpg").write_text("no picture")
        with pytest.raises(DataError, match=r"JPEG or PNG picture in .* cannot be read"):
            cut(path, (20.0, 15.0, 8.0))
    Image.new("RGB", (40, 30)).save(tmp_path / "d.bmp")
    with pytest.raises(DataError, match="JPEG or PNG"):
        cut(tmp_path / "d.bmp", (20.0, 15.0, 8.0))
    with pytest.raises(MissingDataError, match=r"expected a picture at .*e\.jpg, found none"):
        cut(tmp_path / "e.jpg", (20.0, 15.0, 8.0))
