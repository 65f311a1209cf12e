"""Whole test tracks for people to look at, on request: a page, a film, rows of a table.

Page and film go to ``pictures/`` in the run's folder, and with the table to W&B.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.info import DataInfo
from lifting.experiment.dashboard import FILM_TRACKS, PAGE_TRACKS, TABLE_TRACKS
from lifting.experiment.panels import (
    COLUMNS,
    FOLDER,
    Samples,
    has_metric,
    joined,
    samples_of,
    wandb_loggers,
    worst_rows,
)
from lifting.experiment.processes import of_all
from lifting.metrics.functional.errors import JointErrors
from lifting.poses import Poses
from lifting.visualization.film import pose_film, save_film
from lifting.visualization.viewer.page import Clip, write_viewer

FILM_FRAMES = 100
"""Most that a film shows, from the first."""
_RATE = 25.0  # frames a second of a film, where that of the data is not known


class ShownTracks(Callback):
    """Shows predictions beside the truth. Put it after test-time optimisation in the list.

    Args:
        count: Tracks that are shown, at even steps of all.
        run_dir: Folder of the run.
    """

    def __init__(self, count: int, run_dir: Path) -> None:
        self.count = count
        self.folder = run_dir / FOLDER
        self._tracks = torch.zeros(0, dtype=torch.int64)
        self._kept: list[Samples] = []
        self._place = (0, 1)  # root, and frames between neighbours in a window

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Choose the tracks, and look at what the metrics are given."""
        info: DataInfo = trainer.datamodule.info("test")  # type: ignore[attr-defined]
        last = len(info.track_names) - 1
        self._tracks = torch.linspace(0, last, self.count).round().long()
        self._kept, self._place = [], (pl_module.skeleton.root, info.window_stride)
        pl_module.metrics["test"].watchers.append(self._keep)

    def _keep(self, prediction: Prediction, batch: PoseBatch, errors: JointErrors) -> None:
        """Keep all answered frames of the tracks that a batch has."""
        if batch.sequence is None or batch.keypoints_2d.ndim != 4 or batch.joints_3d is None:
            return
        of_tracks = torch.isin(batch.sequence, self._tracks.to(batch.sequence.device))
        root, stride = self._place
        targets = batch.joints_3d.shape[1]
        rows = of_tracks.nonzero()[:, 0]
        if len(rows) == 0:
            return
        row = rows.repeat_interleave(targets)
        shown = torch.arange(targets, device=row.device).repeat(len(rows))
        error = errors.error.float().masked_fill(~errors.valid, torch.nan)
        truth = root_relative(batch.joints_3d, root)
        found = samples_of(prediction, batch, truth, error, row, shown, stride)
        finite = found.error.isfinite() & found.predicted.flatten(1).isfinite().all(-1)
        self._kept.append(found.select(finite.nonzero()[:, 0]).cpu())

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw and log what was kept, of all processes."""
        pl_module.metrics["test"].watchers.remove(self._keep)
        shares = of_all(reduce(joined, self._kept) if self._kept else None)
        known = [share for share in shares if share is not None and len(share)]
        if not known or not trainer.is_global_zero or not has_metric(trainer, "test"):
            return
        samples = reduce(joined, known)
        info: DataInfo = trainer.datamodule.info("test")  # type: ignore[attr-defined]
        pages, films, rows = [], [], []
        for number, track in enumerate(sorted(set(samples.sequence.tolist())), 1):
            one = _in_order(samples, track)
            pages.append(self.folder / f"track_{number}.html")
            films.append(self.folder / f"track_{number}.gif")
            _write(one, info, pages[-1], films[-1])
            rows += worst_rows(one, info)
        for logger in wandb_loggers(trainer):
            from wandb import Html

            logger.log_table(TABLE_TRACKS, columns=list(COLUMNS), data=rows)
            logger.log_video(FILM_TRACKS, list(map(str, films)), format=["gif"] * len(films))
            shown: dict[str, Any] = {PAGE_TRACKS: [Html(str(p), inject=False) for p in pages]}
            logger.log_metrics(shown)


def _in_order(samples: Samples, track: int) -> Samples:
    """The frames of a track, each once."""
    index = (samples.sequence == track).nonzero()[:, 0]
    _, first = np.unique(samples.frame[index].numpy(), return_index=True)
    return samples.select(index[torch.from_numpy(first)])


def _write(samples: Samples, info: DataInfo, page: Path, film: Path) -> None:
    track = int(samples.sequence[0])
    name, rate = info.track_names[track], float(info.fps[track])
    steps = samples.frame.diff()
    step = int(steps.min()) if len(steps) else 1  # every so many frames is scored
    rate = rate / step if np.isfinite(rate) else _RATE
    up = samples.rotation[0, :, 2].double().numpy()
    both = {
        kind: Poses(
            skeleton=info.skeleton,
            joints_3d=points.numpy(),
            frame=torch.div(samples.frame, step, rounding_mode="floor").numpy(),
            track=np.zeros(len(samples), np.int64),
            track_names=(name,),
            fps=np.asarray(rate),
            keypoints_2d=samples.keypoints_2d.numpy(),
            confidence=samples.confidence.numpy(),
            up=up / np.linalg.norm(up),
        )
        for kind, points in (("prediction", samples.predicted), ("truth", samples.truth))
    }
    clips = [Clip(kind, poses) for kind, poses in both.items()]
    write_viewer(page, clips, title=f"{name}: prediction and truth")
    some = samples.select(torch.arange(min(len(samples), FILM_FRAMES)))
    titles = [
        f"{error:.1f} mm: {name}, frame {frame}"
        for error, frame in zip(some.error.tolist(), some.frame.tolist(), strict=True)
    ]
    frames = pose_film(
        some.truth, some.predicted, info.skeleton, rotation=some.rotation[0], titles=titles
    )
    save_film(list(frames), film, fps=rate)
