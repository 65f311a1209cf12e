"""A closer look at a trained run, for ``lifting leaderboard --look``.

Beside the score of its test: how it moves, what lost and wrong joints do to it, what test-time
optimisation gains, and what an answer costs.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lifting.atomic import write_text
from lifting.data.datamodule import spread_recordings
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError
from lifting.experiment.trained import trained_model
from lifting.files.checks import Size
from lifting.files.json_file import load_json
from lifting.studies.measure import (
    Scene,
    answered_frames,
    optimised_answer,
    paired_change,
    plain_answer,
    scenes,
)
from lifting.studies.plan import WEIGHTS, Plan, load_runs
from lifting.studies.robustness.corruptions import corrupt
from lifting.studies.robustness.plan import DROP, JITTER, KeypointKind, Trials

LOOK_FILE = "look.json"
SHARE = 0.2
"""Of the joints that are lost, and of those that are wrong."""
SLOW_MS = 60.0
"""Of the processor a pose, above which optimisation, many times as dear, is left out."""
MOTION = ("mpjve_mm_per_second", "acceleration_error_mm_per_second2")
LOST, WRONG, OPTIMISED = "lost_change_mm", "wrong_change_mm", "optimised_change_mm"
MULTIPLY_ADDS, MEMORY = "multiply_adds", "memory_mb"
_BATCH = 64
_POSES = 256
_KINDS: dict[str, KeypointKind] = {LOST: DROP, WRONG: JITTER}


def closer_look(folder: Path, poses: int) -> dict[str, float]:
    """What is found of a run, kept in its folder for the next time.

    Args:
        folder: Of the finished run.
        poses: Frames that are looked at.

    Returns:
        By key, what applies to the method: ``poses``; errors of motion on whole recordings of
        about so many frames; changes of MPJPE, mm, where a share of the joints is lost or wrong,
        and by optimisation on a quarter of the frames; ``multiply_adds`` a pose; and
        ``memory_mb``, of the tensors while about 256 poses are lifted.

    Raises:
        CheckpointError: The weights do not fit the run's configuration.
        DataError: What was kept is no longer readable.
    """
    path = folder / LOOK_FILE
    if path.is_file():
        kept: Any = load_json(path, Size(1))
        if isinstance(kept, dict) and kept.get("poses") == poses:
            return {str(key): float(value) for key, value in kept.items()}
    plan = Plan(command="", poses=poses, seed=0, batch=_BATCH, output=folder, device="cpu")
    (scene,) = scenes(load_runs([folder], exact=False), plan)
    found = {"poses": float(poses), **_motion(scene, poses), **_cost(scene)}
    if not scene.module.reads_pictures:
        found |= _changes(scene, poses)
    write_text(path, json.dumps(found, indent=2) + "\n")
    return found


def _motion(scene: Scene, poses: int) -> dict[str, float]:
    """Errors of velocity and acceleration, on every frame of some recordings."""
    config = scene.run.config
    config = replace(config, data=replace(config.data, eval_every=1))
    some = _recordings(scene.frames.tracks, poses)
    module, data = trained_model(config, scene.run.folder / WEIGHTS, some)
    module.eval()
    data.setup("test")
    metrics, answer = module.new_metrics(data.info("test")), plain_answer(module)
    for batch in data.test_dataloader():
        metrics.update(answer(batch), batch)
    values = metrics.compute()
    return {key: float(values[key]) for key in MOTION if key in values}


def _recordings(tracks: PoseTracks, poses: int) -> PoseTracks:
    """Whole recordings, evenly spread, of about so many frames."""
    count = len(torch.unique(tracks.recording))
    mean = int(tracks.offsets[-1]) / count
    return spread_recordings(tracks, max(1, min(count, round(poses / mean))))


def _changes(scene: Scene, poses: int) -> dict[str, float]:
    """How MPJPE changes with bad keypoints, and after optimisation."""
    frames, answer = scene.frames, plain_answer(scene.module)
    clean = scene.measure(answer)
    found, trials = {}, Trials()
    for key, kind in _KINDS.items():
        made = corrupt(frames.tracks, frames.rows, kind, SHARE, trials, 0)
        other = replace(scene, frames=frames.showing(made.tracks))
        found[key], _ = paired_change(
            other.measure(answer).errors, clean.errors, frames.recordings()
        )
    if clean.pose_ms > SLOW_MS:
        return found
    few = replace(scene, frames=frames.thinned(max(1, poses // 4)))
    try:
        after = few.measure(
            optimised_answer(scene.module, replace(scene.run.config.tto, enabled=True))
        )
    except ConfigError:  # a method that optimisation does not apply to
        return found
    before = few.measure(answer)
    found[OPTIMISED], _ = paired_change(after.errors, before.errors, few.frames.recordings())
    return found


def _cost(scene: Scene) -> dict[str, float]:
    """Multiply-adds of a pose, and memory."""
    module, answered = scene.module, answered_frames(scene.module)
    batch = next(scene.batches(max(1, _POSES // answered)))
    answer = plain_answer(module)
    # Products within a fused kernel are not counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        answer(batch)
    with _Held() as held:
        answer(batch)
    poses = len(batch) * answered
    return {MULTIPLY_ADDS: counter.get_total_flops() / 2 / poses, MEMORY: held.most / 2**20}


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that were made since, and are not yet gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do it, and count what it made."""
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._add(value)
        self.most = max(self.most, self.now)
        return made

    def _add(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place and place not in self.known:
            self.known.add(place)
            self.now += size
            weakref.finalize(storage, self._remove, place, size)

    def _remove(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size
