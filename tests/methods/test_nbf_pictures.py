"""Recorded fits: the guess first, the answer last, nothing changed; and where the square goes."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch.utils.data import DataLoader

from lifting.batch import PoseBatch
from lifting.data.images.advocc import occluder_texture, window_mask
from lifting.data.info import DataInfo
from lifting.errors import ConfigError
from lifting.geometry.camera import Camera, project
from lifting.methods.nbf import pictures
from lifting.methods.nbf.body_pose import flip_depth
from lifting.methods.nbf.config import Config
from lifting.methods.nbf.crop import CropView
from lifting.methods.nbf.fitting import Recorder, fit_bodies
from lifting.methods.nbf.module import Module
from lifting.methods.nbf.pictures import (
    FILM_FITS,
    PICTURES_FITS,
    FitView,
    spread,
    worst_squares,
)
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17
from lifting.tto.callback import TestTimeOptimization
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status

PEOPLE, SIDE = 4, 32
LENS = torch.tensor([1145.0, 1145, 512, 515, 0, 0, 0, 0, 0])
TINY = Config(
    body="light", features=8, clutter=16, head_width=16, first_steps=4, second_steps=5
)  # fmt: skip
VIEW = FitView(people=2, stride=72, frames=4, side=48)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Module(TINY, ModuleSettings("nbf")).eval()


@pytest.fixture
def batch(module):
    """Noise, and labels that stand before it."""
    generator = torch.Generator().manual_seed(0)
    lens = LENS.expand(PEOPLE, 9)
    place = torch.tensor([200.0, 100.0, 5000.0]).expand(PEOPLE, 3)
    crop = torch.cat((project(place[:, None], lens)[:, 0], 2200 * LENS[0] / place[:, 2:]), dim=1)
    found = PoseBatch(skeleton=H36M_17,
        keypoints_2d=torch.zeros(PEOPLE, 1, 17, 2),
        camera=Camera(intrinsics=lens, size=torch.full((PEOPLE, 2), 1000.0)),
        image=torch.randint(
            256, (PEOPLE, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8
        ),
        crop=crop,
    )  # fmt: skip
    _, start = module.network.guess(found)
    joints = module.network.body.joints(*start).joints
    joints = joints + 100 * torch.randn(joints.shape, generator=generator)
    return replace(found, joints_3d=joints[:, None])


def recorded(module, batch, options=None):
    features, start = module.network.guess(batch)
    model = module.network.fit_model()
    if options is not None:
        model = replace(model, options=replace(model.options, **options))
    grid, recorder = CropView.of_batch(batch).grid(TINY.stride), Recorder()
    found = fit_bodies(model, features, grid, (start,), watch=recorder)
    return recorder, start, found, fit_bodies(model, features, grid, (start,))


def test_watching_changes_nothing(module, batch):
    _, _, watched, plain = recorded(module, batch)
    for one, other in zip((*watched.body, *watched[1:]), (*plain.body, *plain[1:]), strict=True):
        assert torch.equal(one, other)


def test_a_course_runs_from_the_guess_to_the_answer(module, batch):
    recorder, start, found, _ = recorded(module, batch, {"least_evidence": 0.0})
    assert recorder.steps == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]
    course = recorder.course(start, found)
    assert len(course) == 1 + len(recorder.steps)
    for first, given, last, answer in zip(course[0], start, course[-1], found.body, strict=True):
        assert torch.equal(first, given)
        assert torch.equal(last, answer)
    moved = (found.status == Status.MOVED) & (found.won == 0)
    assert moved.any()
    turned = (course[5].rotations[:, 0] - start.rotations[:, 0]).abs().amax((1, 2))
    assert (turned[moved] > 0).any()  # the first stage turns
    torch.testing.assert_close(  # and bends nothing
        course[5].rotations[moved, 1:], start.rotations[moved, 1:], rtol=0, atol=1e-5
    )


def test_the_start_that_won_is_followed(module, batch):
    recorder, start, found, _ = recorded(module, batch, {"least_evidence": 0.0})
    twin = flip_depth(start, module.network.body.mirror)
    won = found._replace(
        won=torch.tensor([1, 0, 1, 0]),
        iterations=torch.tensor([9, 9, 9, 0]),
        status=torch.full((PEOPLE,), Status.MOVED),
    )
    begun = recorder.course(start, won)[1].rotations
    torch.testing.assert_close(begun[::2], twin.rotations[::2], rtol=0, atol=1e-5)
    torch.testing.assert_close(begun[1::2], start.rotations[1::2], rtol=0, atol=1e-5)
    assert torch.equal(recorder.course(start, won)[-1].rotations[3], start.rotations[3])
    unseen = won._replace(status=torch.full((PEOPLE,), Status.UNOBSERVED))
    assert torch.equal(recorder.course(start, unseen)[-1].rotations, start.rotations)


def test_the_square_hides_joints_where_it_harms_most(module, batch):
    network, texture = module.network, occluder_texture(SIDE, 0)
    view = CropView.of_batch(batch)
    chosen = worst_squares(network, batch, VIEW, texture)
    sides = chosen[:, 2:] - chosen[:, :2]
    assert (sides.amax(-1) == round(80 * SIDE / 224)).all()
    pixels = (view.project(batch.joints_3d[:, 0]) + 1) / 2 * SIDE
    inside = window_mask(chosen, SIDE, SIDE)
    x, y = pixels.long().clamp(0, SIDE - 1).unbind(-1)
    assert inside[torch.arange(PEOPLE)[:, None], y, x].any(-1).all()
    unlabelled = replace(batch, joints_3d=None)
    assert worst_squares(network, unlabelled, VIEW, texture).shape == (PEOPLE, 4)


def test_pictures_are_of_the_guess_and_of_the_answer(module, batch):
    shown = module.fit_pictures(batch, VIEW)
    assert [(p.person, p.case) for p in shown] == [
        (0, "clean"), (0, "occluded"), (1, "clean"), (1, "occluded")
    ]  # fmt: skip
    clean, occluded = shown[:2]
    assert (clean.image == batch.image[0].numpy()).all()
    changed = (clean.image != occluded.image).any(0)
    assert changed.any()
    assert changed.sum() <= round(80 * SIDE / 224) ** 2
    first, last = clean.frames[0], clean.frames[-1]
    assert (first.step, last.step, len(clean.frames)) == (0, 9, 4)
    few = batch.rows(slice(2))
    result = module.fit(few)
    error = (result.start[0, 0] - few.joints_3d[0, 0] + few.joints_3d[0, 0, :1]).norm(dim=-1)
    assert first.error_mm == pytest.approx(float(error.mean()), rel=1e-4)
    error = (result.pose[0, 0] - few.joints_3d[0, 0] + few.joints_3d[0, 0, :1]).norm(dim=-1)
    assert last.error_mm == pytest.approx(float(error.mean()), rel=1e-3)
    assert first.ratio.shape == first.opacity.shape == (SIDE // 4, SIDE // 4)
    assert first.limbs.shape == (48, 48, 9)
    assert first.limbs.sum(-1, dtype=int).max() > 200
    assert module.fit_pictures(replace(batch, joints_3d=None), VIEW)[0].frames[0].error_mm is None


class Data(pl.LightningDataModule):
    """The same batch twice."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def info(self, split):
        return DataInfo(
            skeleton=H36M_17, action_names=(), subject_names=(), track_names=(), source={},
            fps=torch.tensor([50.0]),
        )  # fmt: skip

    def test_dataloader(self):
        return DataLoader([self.batch, self.batch], batch_size=None)


@pytest.mark.parametrize(
    ("wanted", "optimises", "shown"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_fits_of_the_first_batch_of_a_test_are_drawn_and_logged(
    module, batch, tmp_path, monkeypatch, wanted, optimises, shown
):
    asked, logged = [], {}

    class Logger(DummyLogger):
        def log_image(self, key, images, **options):
            logged[key] = images

        def log_video(self, key, videos, **options):
            logged[key] = videos

    def few(given, offer=module.fit_pictures):
        asked.append(given)
        return offer(given, replace(VIEW, people=1, frames=2))

    monkeypatch.setattr(module, "fit_pictures", few)
    monkeypatch.setattr(pictures, "WandbLogger", Logger)
    module.pictures = tmp_path / "pictures" if wanted else None
    trainer = pl.Trainer(
        accelerator="cpu", logger=[Logger()], enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=[TestTimeOptimization(TtoConfig(enabled=True))] if optimises else [],
    )  # fmt: skip
    trainer.test(module, Data(batch.rows(slice(2))), verbose=False)
    files = [tmp_path / "pictures" / name for name in ("fits.png", "fits.gif")]
    assert len(asked) == shown  # of several batches
    assert [file.is_file() for file in files] == [shown, shown]
    paths = {PICTURES_FITS: [str(files[0])], FILM_FITS: [str(files[1])]}
    assert logged == (paths if shown else {})


def test_what_is_spread_and_refused():
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(2, 5) == [0, 1]
    with pytest.raises(ConfigError, match="occluder of 1 to 224 pixels, got 300"):
        FitView(occluder=300)
    with pytest.raises(ConfigError, match="two frames"):
        FitView(frames=1)
