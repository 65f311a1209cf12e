"""Whole test tracks on request: a page and a film of prediction and truth, in the run's folder."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from lifting.batch import Prediction, root_relative
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.experiment import shown_tracks
from lifting.experiment.config import PanelsConfig
from lifting.experiment.loggers import CsvLog
from lifting.experiment.shown_tracks import ShownTracks
from lifting.methods.settings import ModuleSettings
from lifting.metrics.functional.errors import JointErrors
from lifting.skeleton import H36M_17
from lifting.visualization.film import pose_film, save_film


@pytest.fixture
def tested(tiny_method, tiny_tracks, tmp_path, monkeypatch):
    """Tests an untrained module while so many tracks are shown; gives the pictures."""
    from tiny_method.config import Config
    from tiny_method.module import Module

    monkeypatch.setattr(shown_tracks, "FILM_FRAMES", 3)
    torch.manual_seed(0)
    module = Module(Config(), ModuleSettings(method="tiny_method"))

    def test(count, **options):
        data = PoseDataModule(DataConfig(**options), 0, tracks={"test": tiny_tracks})
        trainer = pl.Trainer(
            accelerator="cpu", callbacks=[ShownTracks(count, tmp_path)], logger=[CsvLog(tmp_path)],
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
            default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.test(module, data, verbose=False)
        assert module.metrics["test"].watchers == []
        return tmp_path / "pictures"

    return test


def clips(page):
    text = re.search(r'application/json">(.*?)</script>', page.read_text(), re.S)[1]
    return json.loads(text)


def test_predictions_are_shown_beside_the_truth(tested):
    pictures = tested(2, eval_batch_size=20)
    names = {path.name for path in pictures.iterdir()}
    assert names == {"track_1.html", "track_1.gif", "track_2.html", "track_2.gif"}
    shown = clips(pictures / "track_1.html")
    assert shown["title"] == "a/view0: prediction and truth"
    assert [clip["name"] for clip in shown["clips"]] == ["prediction", "truth"]
    assert [clip["fps"] for clip in shown["clips"]] == [50, 50]
    assert clips(pictures / "track_2.html")["title"].startswith("b/view1")
    with Image.open(pictures / "track_1.gif") as film:
        assert film.n_frames == 3
        assert film.info["duration"] == 20


def test_frames_that_are_not_scored_make_no_gaps(tested):
    (clip, _) = clips(tested(1, eval_every=3) / "track_1.html")["clips"]
    assert clip["fps"] == pytest.approx(50 / 3)
    assert np.frombuffer(base64.b64decode(clip["frame"]["data"]), "<i4").tolist() == [0, 1, 2, 3]


def test_frames_of_windows_that_overlap_are_shown_once(tiny_tracks):
    batch = TrackBatches(tiny_tracks, GatherOptions(frames=5, all_targets=True)).gather(
        torch.tensor([0, 1, 2])
    )
    shown = ShownTracks(1, Path())
    shown._tracks, shown._place = torch.tensor([0]), (0, 1)
    truth = root_relative(batch.joints_3d, 0)
    error = truth.new_zeros(truth.shape[:-1])
    errors = JointErrors(error, error == 0, error == 1, error[..., 0] == 1)
    shown._keep(Prediction(skeleton=H36M_17, joints_3d=truth), batch, errors)
    once = shown_tracks._in_order(shown._kept[0], 0)
    assert len(shown._kept[0]) > len(once)
    assert once.frame.diff().min() == 1


def test_nothing_is_shown_unless_it_is_asked_for():
    assert PanelsConfig().tracks == 0


def test_a_film_moves_and_holds(tmp_path):
    truth = 300 * torch.randn(3, 17, 3, generator=torch.Generator().manual_seed(0))
    pictures = list(pose_film(truth, truth + 30, H36M_17, titles=["a", "b", "c"]))
    assert len({picture.tobytes() for picture in pictures}) == 3
    save_film(pictures, tmp_path / "new" / "film.gif", fps=10, hold_ms=500)
    with Image.open(tmp_path / "new" / "film.gif") as film:
        assert (film.n_frames, film.info["duration"]) == (3, 500)
        film.seek(1)
        assert film.info["duration"] == 100
