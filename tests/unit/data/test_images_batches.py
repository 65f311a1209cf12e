"""Pictures in batches: gathering, mirroring, views together, files of the cache, the command."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lifting.batch import MIRRORED, flip_batch
from lifting.cli.main import main
from lifting.data.augment import mirror_samples
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.gather import GatherOptions, TrackBatches, ViewBatches
from lifting.data.images.crops import crop_pixels
from lifting.data.images.render import Pictures
from lifting.data.images.store import stored_pictures
from lifting.data.sampler import BatchKey
from lifting.data.sets.images.config import Config as ImagesConfig
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import camera_to_world
from lifting.skeleton import H36M_17
from lifting.visualization.sheets import image_sheet


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    images = ImagesConfig(size=32, train_images=32, val_images=8, test_images=8, instants=2)
    return DataConfig(
        name="images", cameras="random", noise="none", batch_size=8, flip=False,
        cache=str(tmp_path_factory.mktemp("images")), images=images,
    )  # fmt: skip


def test_a_batch_gathers_the_pictures_of_its_frames(config):
    module = PoseDataModule(config, 0)
    tracks = module.tracks("train")
    batch = TrackBatches(tracks, GatherOptions()).gather(torch.tensor((5, 0, 30)))
    assert batch.image.dtype == torch.uint8
    assert batch.image.shape == (3, 3, 32, 32)
    for i, row in enumerate((5, 0, 30)):
        assert torch.equal(batch.image[i], tracks.image[row])
        torch.testing.assert_close(batch.crop[i], tracks.crop[row])
        torch.testing.assert_close(batch.joints_3d[i, 0], tracks.labels()[row])
    assert batch.extras["sight"].shape == (3, 1, 17)
    loaded = next(iter(module.train_dataloader()))
    assert loaded.image.shape == (8, 3, 32, 32)


def test_a_window_shows_its_middle_frame(config):
    tracks = PoseDataModule(config, 0).tracks("train")
    batch = TrackBatches(tracks, GatherOptions(frames=3)).gather(torch.tensor((6, 7)))
    assert batch.keypoints_2d.shape[:2] == (2, 3)
    assert torch.equal(batch.image, tracks.image[6:8])


def test_mirrored_pictures_show_the_mirrored_joints(config):
    tracks = PoseDataModule(config, 0).tracks("train")
    gathered = TrackBatches(tracks, GatherOptions())
    batch = gathered.gather(torch.arange(4))
    flipped = flip_batch(batch, H36M_17)
    assert torch.equal(flipped.image, batch.image.flip(-1))
    before = crop_pixels(batch.keypoints_2d[:, 0], batch.crop, 32)
    after = crop_pixels(flipped.keypoints_2d[:, 0], flipped.crop, 32)
    mirrored = before[:, list(H36M_17.flip_index)] * torch.tensor((-1.0, 1.0))
    torch.testing.assert_close(after, mirrored + torch.tensor((32.0, 0.0)), atol=1e-2, rtol=0)
    mirror_samples(batch, torch.tensor((1, 3)), H36M_17)
    for i in range(4):
        wanted = flipped if i in (1, 3) else gathered.gather(torch.arange(4))
        assert torch.equal(batch.image[i], wanted.image[i])
        torch.testing.assert_close(batch.crop[i], wanted.crop[i])
    assert batch.extras[MIRRORED].tolist() == [False, True, False, True]


def test_keypoint_data_carry_no_pictures(tmp_path):
    synthetic = DataConfig(cache=str(tmp_path))
    synthetic.synthetic.train_sequences, synthetic.synthetic.sequence_frames = 1, 20
    batch = next(iter(PoseDataModule(replace(synthetic, flip=True), 0).train_dataloader()))
    assert batch.image is None
    assert batch.crop is None


def test_views_are_gathered_together(config):
    module = PoseDataModule(replace(config, views="together"), 0)
    batch = next(iter(module.train_dataloader()))
    assert batch.image.shape == (8, 4, 3, 32, 32)
    assert batch.keypoints_2d.shape == (8, 4, 1, 17, 2)
    assert batch.subject.shape == (8,)
    assert batch.camera.rotation.shape == (8, 4, 3, 3)
    world = camera_to_world(batch.joints_3d[:, :, 0], batch.camera.rotation, batch.camera.position)
    assert float((world - world[:, :1]).abs().max()) < 0.5
    assert len(module.train_dataloader().dataset) == 8
    assert next(iter(module.val_dataloader())).image.ndim == 4


def test_views_together_are_not_mirrored_and_need_company(config):
    module = PoseDataModule(replace(config, views="together", flip=True), 0)
    with pytest.raises(ConfigError, match=r"as they are, got data\.flip=True; set it to 0"):
        module.train_dataloader()
    alone = PoseDataModule(config, 0).tracks("train").select(torch.tensor((0, 4, 8)))
    with pytest.raises(DataError, match="two or more synchronised views"):
        ViewBatches(TrackBatches(alone, GatherOptions()))


def test_incomplete_recordings_are_left_out_of_views(config):
    some = torch.tensor((0, 1, 2, 3, 4, 5, 8, 9, 10, 11))
    tracks = PoseDataModule(config, 0).tracks("train").select(some)
    views = ViewBatches(TrackBatches(tracks, GatherOptions()))
    assert views.views == 4
    assert len(views) == 2 * config.images.instants
    batch = views[BatchKey(0, 0, torch.tensor((1, 2)))]
    assert torch.equal(batch.image[1, 3], tracks.image[18])
    assert batch.frame.tolist() == [1, 0]


def test_damaged_and_foreign_files_are_made_again(config, tmp_path, caplog):
    made = []

    def make():
        made.append(1)
        yield from parts

    image = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    parts = [_pictures(image[:1]), _pictures(image[1:])]
    shapes = ((2, 3, 4, 4), (2, 4, 4))
    for _ in range(2):
        found = stored_pictures({"a": 1}, shapes, make, tmp_path)
        assert torch.equal(found.image, image)
    assert len(made) == 1
    file = next(tmp_path.glob("*-image.npy"))
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert torch.equal(stored_pictures({"a": 1}, shapes, make, tmp_path).image, image)
    assert "damaged" in caplog.text
    assert len(made) == 2
    np.save(file, np.zeros((5, 3, 4, 4), dtype=np.uint8))
    assert torch.equal(stored_pictures({"a": 1}, shapes, make, tmp_path).image, image)
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    with caplog.at_level(logging.WARNING):
        shapes = ((1, 3, 4, 4), (1, 4, 4))
        found = stored_pictures({}, shapes, lambda: iter([_pictures(image)]), blocked)
    assert torch.equal(found.image, image)
    assert "cannot keep pictures" in caplog.text


def _pictures(image):
    return Pictures(image, image[:, 0])


def test_sheet_lays_pictures_out():
    images = np.arange(3 * 3 * 2 * 2, dtype=np.uint8).reshape(3, 3, 2, 2)
    sheet = image_sheet(images, columns=2)
    assert sheet.shape == (6, 6, 3)
    assert (sheet[:2, 4:] == images[1].transpose(1, 2, 0)).all()
    assert (sheet[4:, :2] == images[2].transpose(1, 2, 0)).all()
    assert (sheet[4:, 4:] == 255).all()
    with pytest.raises(DataError, match="at least one picture"):
        image_sheet(images[:0])


def test_command_draws_a_sheet(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    output = tmp_path / "sheet.png"
    words = [
        "data",
        "picture",
        "images",
        "--poses",
        "8",
        "--split",
        "val",
        "--output",
        str(output),
    ]
    assert main(words) == 0
    with Image.open(output) as picture:
        assert picture.size == (8 * 130 - 2, 128)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
