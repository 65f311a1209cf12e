"""Tiny data, a tiny method and a tiny experiment; nothing here reaches a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"
# Writers of the data sets' files, importable by their names.
FORMATS = str(Path(__file__).parent / "fixtures_formats")
if FORMATS not in sys.path:
    sys.path.append(FORMATS)

TINY_EXPERIMENT = """\
description: a test of the layers around a method
method:
  name: tiny_method
data:
  batch_size: 32
  eval_batch_size: 64
  synthetic:
    train_sequences: 2
    val_sequences: 1
    test_sequences: 1
    sequence_frames: 24
optimizer:
  lr: 1.0e-3
trainer:
  max_epochs: 3
  accelerator: cpu
  threads: 1
  progress: false
wandb:
  mode: disabled
panels:
  worst: 0
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tests share few cores; small operators gain nothing from more threads."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _wandb_stays_here(tmp_path_factory):
    """W&B writes to a temporary folder and never looks for a network."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("wandb")
    patch.setenv("WANDB_MODE", "offline")
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
        patch.setenv(f"WANDB_{name}", str(folder))
    yield
    patch.undo()


@pytest.fixture
def tiny_tracks():
    """Labelled tracks: two recordings of a wobbling pose, each seen by two cameras."""
    import torch

    from lifting.data.sequence import PoseTracks
    from lifting.geometry.camera import Camera, project
    from lifting.skeleton import get_skeleton

    skeleton = get_skeleton("h36m17")
    generator = torch.Generator().manual_seed(0)
    frames, tracks = 12, 4
    pose = 250 * torch.randn(1, len(skeleton), 3, generator=generator)
    joints = pose + 20 * torch.randn(frames * tracks, len(skeleton), 3, generator=generator)
    joints = joints + torch.tensor([0.0, 0.0, 4000.0])
    camera = Camera(
        intrinsics=torch.tensor([[1100.0, 1100, 500, 500, 0, 0, 0, 0, 0]]).repeat(2, 1),
        size=torch.tensor([[1000.0, 1000]]).repeat(2, 1),
    )
    return PoseTracks(
        skeleton=skeleton,
        joints_3d=joints,
        keypoints_2d=project(joints, camera.intrinsics[:1]),
        confidence=torch.ones(frames * tracks, len(skeleton)),
        offsets=torch.arange(tracks + 1) * frames,
        cameras=camera,
        camera=torch.tensor([0, 1, 0, 1]),
        recording=torch.tensor([0, 0, 1, 1]),
        subject=torch.zeros(tracks, dtype=torch.int64),
        action=torch.tensor([0, 0, 1, 1]),
        track_names=("a/view0", "a/view1", "b/view0", "b/view1"),
        subject_names=("S1",),
        action_names=("walk", "sit"),
        fps=50.0,
        source={"dataset": "tiny", "split": "test", "two_d": "projected"},
        extras={},
    )


@pytest.fixture
def tiny_batch(tiny_tracks):
    """All frames of the tiny tracks as one batch of single-frame windows."""
    import torch

    from lifting.data.gather import GatherOptions, TrackBatches

    batches = TrackBatches(tiny_tracks, GatherOptions())
    return batches.gather(torch.arange(len(batches)))


@pytest.fixture
def tiny_method(monkeypatch):
    """Makes the method of ``tests/fixtures/tiny_method`` known under its name."""
    from lifting.methods import discovery

    known = {**discovery.method_packages(), "tiny_method": "tiny_method"}
    monkeypatch.setattr(discovery, "method_packages", lambda: known)
    monkeypatch.syspath_prepend(FIXTURES)
    return "tiny_method"


@pytest.fixture
def tiny_experiment(tiny_method, tmp_path, monkeypatch):
    """A folder of experiments with one, ``tiny``, whose runs and caches are temporary."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    text = f"{TINY_EXPERIMENT}output: {tmp_path / 'outputs'}\n"
    (folder / "tiny.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(folder))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    return "tiny"


@pytest.fixture
def fitted(tiny_experiment):
    """Fits the last stage of ``tiny`` with no run around it, and gives the trainer."""
    from lifting.experiment.build import build_data, build_module, build_trainer
    from lifting.experiment.callbacks import stage_callbacks
    from lifting.experiment.load import load_experiment

    def fit(folder, *overrides, processes=1, resume=None, callbacks=(), loggers=()):
        config = load_experiment(tiny_experiment, list(overrides))
        if processes > 1:  # quicker than commands of their own; what they write counts
            config.trainer.devices, config.trainer.strategy = processes, "ddp_fork"
        data = build_data(config)
        module = build_module(config, data.skeleton)
        module.begin_stage(module.stages()[-1])
        own = stage_callbacks(
            config.trainer, seed=0, stage="train", monitor=config.trainer.monitor, folder=folder
        )
        trainer = build_trainer(config, folder, callbacks=[*own, *callbacks], loggers=loggers)
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        return trainer

    return fit


@pytest.fixture
def undrawn(monkeypatch):
    """Charts are not drawn: they cost as much as a tiny training, and say nothing here."""
    from lifting.experiment.panels import PanelsCallback

    for name in ("_draw_bars", "on_fit_end"):
        monkeypatch.setattr(PanelsCallback, name, lambda *_: None)
