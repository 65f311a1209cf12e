"""Worst samples are the worst ones, and the callback draws them with the bars and curves."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.info import DataInfo
from lifting.experiment import panels
from lifting.experiment.config import PanelsConfig
from lifting.experiment.loggers import CsvLog
from lifting.experiment.panels import (
    COLUMNS,
    PanelsCallback,
    WorstSamples,
    read_curves,
    worst_rows,
    worst_rows_of,
)
from lifting.geometry.camera import Camera
from lifting.methods.settings import ModuleSettings
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.protocol import get_protocol
from lifting.skeleton import H36M_17


def window_batch(samples=6, frames=5, targets=5, *, sequence=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    joints = 300 * torch.randn(samples, targets, 17, 3, generator=generator)
    camera = Camera(intrinsics=torch.ones(samples, 9), size=torch.full((samples, 2), 1000.0))
    index = torch.arange(samples)
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=torch.rand(samples, frames, 17, 2, generator=generator) * 1000,
        joints_3d=joints,
        camera=camera,
        sequence=index if sequence is None else torch.tensor(sequence),
        action=index % 2,
        frame=10 * index,
    )


def off_by(batch, errors):
    """A prediction whose every joint but the root is wrong by the sample's and frame's error."""
    pose = root_relative(batch.joints_3d, 0).clone()
    pose[..., 1:, 0] += torch.as_tensor(errors, dtype=torch.float32).reshape(len(batch), -1, 1)
    return Prediction(skeleton=H36M_17, joints_3d=pose)


def look(worst, prediction, batch):
    """Give a batch with the errors that the metrics find in it."""
    metrics = PoseMetrics(get_protocol("default"), H36M_17, ("walk", "sit"))
    metrics.watchers.append(worst.update)
    metrics.update(prediction, batch)


def test_worst_samples_are_found_over_batches():
    worst = WorstSamples(3, root=0)
    for seed, errors in enumerate(([5, 50, 1], [40, 2, 3], [60, 4, 4])):
        batch = window_batch(3, 1, 1, sequence=[3 * seed, 3 * seed + 1, 3 * seed + 2], seed=seed)
        look(worst, off_by(batch, errors), batch)
    expected = torch.tensor((60.0, 50.0, 40.0)) * 16 / 17
    torch.testing.assert_close(worst.samples.error, expected)
    assert worst.samples.sequence.tolist() == [6, 1, 3]
    assert worst.samples.frame.tolist() == [0, 10, 0]


def test_a_track_shows_only_its_worst_sample():
    worst = WorstSamples(4, root=0)
    batch = window_batch(5, 1, 1, sequence=[7, 7, 7, 8, 8])
    look(worst, off_by(batch, [10, 30, 20, 5, 6]), batch)
    look(worst, off_by(batch, [10, 3, 40, 5, 6]), batch)
    assert worst.samples.sequence.tolist() == [7, 8]
    torch.testing.assert_close(worst.samples.error, torch.tensor((40.0, 6.0)) * 16 / 17)


def test_unknown_tracks_count_as_different():
    rows = worst_rows_of(torch.tensor((1.0, 3.0, 2.0)), torch.tensor((-1, -1, -1)), 2)
    assert rows.tolist() == [1, 2]
    assert worst_rows_of(torch.tensor((1.0, 3.0, 2.0)), None, 2).tolist() == [1, 2]


def test_the_worst_frame_of_a_window_is_shown_with_its_own_input():
    batch = window_batch(2, 5, 5)
    errors = torch.tensor(((1.0, 1, 1, 90, 1), (1, 2, 1, 1, 1)))
    worst = WorstSamples(1, root=0, window_stride=2)
    look(worst, off_by(batch, errors), batch)
    kept = worst.samples
    torch.testing.assert_close(kept.keypoints_2d[0], batch.keypoints_2d[0, 3])
    torch.testing.assert_close(kept.truth[0], root_relative(batch.joints_3d[0, 3], 0))
    assert kept.frame.tolist() == [0 + (3 - 2) * 2]
    torch.testing.assert_close(kept.error, torch.tensor([94.0 / 5 * 16 / 17]))


def test_the_middle_input_belongs_to_a_middle_answer():
    batch = window_batch(2, 5, 1)
    worst = WorstSamples(1, root=0)
    look(worst, off_by(batch, [1, 9]), batch)
    torch.testing.assert_close(worst.samples.keypoints_2d[0], batch.keypoints_2d[1, 2])
    assert worst.samples.frame.tolist() == [10]


def test_invalid_labels_and_non_finite_answers_are_passed_over():
    batch = window_batch(3, 1, 1)
    prediction = off_by(batch, [10, 20, 30])
    prediction.joints_3d[2, 0, 4] = torch.nan
    batch.visible = torch.ones(3, 1, 17, dtype=torch.bool)
    batch.visible[1] = False
    worst = WorstSamples(3, root=0)
    look(worst, prediction, batch)
    assert worst.samples.sequence.tolist() in ([0], [2, 0], [0, 2])
    assert worst.samples.error.isfinite().all()
    assert worst.samples.truth.isfinite().all()


def test_zero_samples_keep_nothing():
    batch = window_batch(2, 1, 1)
    none = WorstSamples(0, root=0)
    look(none, off_by(batch, [1, 2]), batch)
    assert none.samples is None


def test_the_table_names_track_action_and_joint():
    batch = window_batch(2, 1, 1)
    prediction = off_by(batch, [1, 9])
    prediction.joints_3d[1, 0, 13] += 500.0
    worst = WorstSamples(2, root=0)
    look(worst, prediction, batch)
    info = DataInfo(
        skeleton=H36M_17, action_names=("walk", "sit"), subject_names=(), source={},
        fps=torch.tensor([50.0]), track_names=("one",),
    )  # fmt: skip
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in worst_rows(worst.samples, info)]
    assert [row["rank"] for row in rows] == [1, 2]
    assert rows[0]["worst_joint"] == "left_wrist"
    assert rows[0]["worst_joint_mm"] > 800
    assert (rows[0]["track"], rows[1]["track"]) == ("-", "one")  # an index without a name
    assert (rows[0]["action"], rows[0]["frame"]) == ("sit", 10)


def test_curves_are_read_by_step_and_the_last_row_of_a_step_counts(tmp_path):
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        action = "val/mpjpe_mm/walk_mm"
        writer = csv.DictWriter(file, ["step", "val/mpjpe_mm", action, "val/auc"])
        writer.writeheader()
        for step, value in ((10, 5.0), (0, 9.0), (10, 4.0)):
            writer.writerow({"step": step, "val/mpjpe_mm": value, action: 1})
        writer.writerow({"step": 11, "val/auc": 0.3})
    curves = read_curves(tmp_path / "metrics.csv", "val/", "_mm")
    assert list(curves) == ["val/mpjpe_mm"]
    np.testing.assert_array_equal(curves["val/mpjpe_mm"].steps, (0, 10))
    np.testing.assert_array_equal(curves["val/mpjpe_mm"].values, (9, 4))
    assert read_curves(tmp_path / "absent.csv", "val/", "_mm") == {}


@pytest.fixture
def parts(tiny_method, tiny_tracks):
    from tiny_method.config import Config
    from tiny_method.module import Module

    torch.manual_seed(0)
    module = Module(Config(), ModuleSettings(method="tiny_method"))
    tracks = dict.fromkeys(("train", "val", "test"), tiny_tracks)
    return module, PoseDataModule(DataConfig(eval_batch_size=20), 0, tracks=tracks)


def trainer_with(folder, callback, **options):
    return pl.Trainer(
        accelerator="cpu", max_epochs=2, callbacks=[callback], logger=[CsvLog(folder)],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, default_root_dir=folder, use_distributed_sampler=False, **options,
    )  # fmt: skip


def test_a_test_draws_worst_samples_and_bars(parts, tmp_path):
    module, data = parts
    callback = PanelsCallback(PanelsConfig(worst=2), tmp_path)
    trainer_with(tmp_path, callback).test(module, data, verbose=False)
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == [
        "actions.png",
        "joints.png",
        "test_worst_1.png",
        "test_worst_2.png",
    ]
    for name in names:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert min(picture.size) > 100
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_a_training_draws_curves_and_samples_when_asked(parts, tmp_path):
    module, data = parts
    callback = PanelsCallback(PanelsConfig(worst=1, every=2), tmp_path)
    trainer_with(tmp_path, callback).fit(module, data)
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert len(names) == 2
    assert names[0] == "curves.png"
    assert names[1].startswith("val_step")


def test_the_worst_samples_are_those_of_all_processes(parts, tmp_path, monkeypatch, undrawn):
    module, data = parts
    other = WorstSamples(2, root=0)
    batch = window_batch(2, 1, 1, sequence=[0, 1])
    look(other, off_by(batch, [9e4, 8e4]), batch)
    drawn = []
    monkeypatch.setattr(panels, "of_all", lambda mine: [mine, None, other.samples])
    monkeypatch.setattr(panels, "worst_rows", lambda found, _: drawn.append(found) or [])
    callback = PanelsCallback(PanelsConfig(worst=2), tmp_path)
    trainer_with(tmp_path, callback).test(module, data, verbose=False)
    torch.testing.assert_close(drawn[0].error, torch.tensor((9e4, 8e4)) * 16 / 17)


def test_no_samples_are_drawn_when_none_are_wanted(parts, tmp_path):
    module, data = parts
    callback = PanelsCallback(PanelsConfig(worst=0), tmp_path)
    trainer_with(tmp_path, callback).test(module, data, verbose=False)
    assert not list((tmp_path / "pictures").glob("*worst*"))


def test_pictures_show_what_an_earlier_callback_left_in_the_prediction(parts, tmp_path):
    """Test-time optimisation comes first in the list and replaces the answer."""
    module, data = parts

    class Perfect(pl.Callback):
        def on_test_batch_end(self, trainer, module, outputs, batch, *_):
            outputs.joints_3d = module.target(batch)

    seen = []

    class Spy(PanelsCallback):
        def _draw_worst(self, trainer, module, split):
            seen.append(self._worst.samples.error)

    trainer = trainer_with(tmp_path, Perfect())
    trainer.callbacks.append(Spy(PanelsConfig(worst=3), tmp_path))
    trainer.test(module, data, verbose=False)
    torch.testing.assert_close(seen[0], torch.zeros(3))


def test_panels_show_actions_whatever_they_are_called(parts, tiny_tracks, tmp_path, monkeypatch):
    module, _ = parts
    names = ("test", "a/b $x^")
    tracks = replace(tiny_tracks, action_names=names, track_names=("$_", "b", "c", "d"))
    data = PoseDataModule(DataConfig(eval_batch_size=20), 0, tracks={"test": tracks})
    shown = []
    bars = panels.action_chart
    monkeypatch.setattr(
        panels, "action_chart", lambda v, **k: shown.append(dict(v)) or bars(v, **k)
    )
    callback = PanelsCallback(PanelsConfig(worst=4), tmp_path)
    trainer_with(tmp_path, callback).test(module, data, verbose=False)
    assert set(shown[0]) == set(names)
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6
