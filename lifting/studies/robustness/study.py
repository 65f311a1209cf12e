"""All runs before all corruptions, each beside the same run before the clean input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.errors import ConfigError
from lifting.experiment.callbacks import seed_everywhere
from lifting.methods.base import LiftingModule
from lifting.studies.frames import Frames, common_period, test_frames
from lifting.studies.measure import choose_device, load_trained
from lifting.studies.plan import Plan, Run
from lifting.studies.robustness.corruptions import corrupt
from lifting.studies.robustness.measure import (
    OPTIMISED,
    PLAIN,
    Answer,
    Errors,
    measure,
    moving_joints,
    optimised_answer,
    plain_answer,
    scored_joints,
)
from lifting.studies.robustness.pictures import (
    hidden_joints,
    hide,
    picture_texture,
    picture_windows,
    seen_joints,
    true_places,
)
from lifting.studies.robustness.plan import ADVOCC, Trials, with_zero
from lifting.studies.robustness.result import Row, Trial, row_of
from lifting.studies.robustness.search import Found, search
from lifting.tto.contract import Fitting


@dataclass(frozen=True)
class _Scene:
    """A method before the chosen frames."""

    run: Run
    module: LiftingModule
    frames: Frames
    plan: Plan
    trials: Trials

    def batches(self) -> Iterator[PoseBatch]:
        return self.frames.batches(self.plan.batch, torch.device(self.module.device))

    def hidden(self, windows: Tensor, texture: Tensor) -> Iterator[PoseBatch]:
        return hide(self.batches(), windows, texture)

    def answers(self, *, pictures: bool) -> dict[str, Answer]:
        """Plain, and optimised if asked for and possible without a look at clean keypoints."""
        answers = {PLAIN: plain_answer(self.module)}
        if self.trials.tto and (not pictures or isinstance(self.module, Fitting)):
            config = replace(self.run.config.tto, enabled=True)
            answers[OPTIMISED] = optimised_answer(self.module, config)
        return answers

    def scored(self, cells: Tensor) -> Tensor:
        """Columns of the scored joints, of ``(poses, joints)``."""
        return cells[:, list(scored_joints(self.module))]

    def row(self, name: str, trial: Trial, errors: Errors, clean: Errors) -> Row:
        moving, recordings = moving_joints(self.module), self.frames.recordings()
        return row_of(self.run.label, name, trial, errors, clean, moving, recordings)


def rows(runs: Sequence[Run], plan: Plan, trials: Trials) -> Iterator[Row | Found]:
    """Measure all runs; methods of pictures before pictures, the others before keypoints.

    Args:
        runs: Runs that see the same frames.
        plan: How they are looked at; its seed also is that of the corruptions.
        trials: What is tried.

    Raises:
        ConfigError: A run takes none of the chosen corruptions.
    """
    device = choose_device(plan.device)
    every = common_period(runs)
    for run in runs:
        scene = _Scene(run, load_trained(run, device), test_frames(run, plan, every), plan, trials)
        pictures = reads_pictures(scene.module, next(scene.batches()))
        own = (*trials.picture_kinds, *({ADVOCC} & set(trials.kinds)))
        if not (own if pictures else trials.keypoint_kinds):
            reads = "pictures" if pictures else "keypoints"
            raise ConfigError(
                f"expected a corruption of {reads} for '{run.label}', got "
                f"{', '.join(trials.kinds)}; choose others with --kinds"
            )
        yield from _picture_rows(scene) if pictures else _keypoint_rows(scene)


def reads_pictures(module: LiftingModule, batch: PoseBatch) -> bool:
    """Whether a method's answer hangs on the pictures of a batch.

    Args:
        module: The method, in evaluation mode.
        batch: Windows, with pictures or without.
    """
    if batch.image is None:
        return False
    found = []
    for image in (batch.image, torch.zeros_like(batch.image)):
        seed_everywhere(module.settings.seed, "test")
        found.append(plain_answer(module)(replace(batch, image=image)).joints_3d)
    return not torch.equal(*found)


def _keypoint_rows(scene: _Scene) -> Iterator[Row]:
    """Rows of corrupted keypoints."""
    frames, trials = scene.frames, scene.trials
    answers = scene.answers(pictures=False)
    clean = {name: measure(scene.module, scene.batches(), a) for name, a in answers.items()}
    for kind in trials.keypoint_kinds:
        for rate in with_zero(trials.rates):
            made = corrupt(frames.tracks, frames.rows, kind, rate, trials, scene.plan.seed)
            other = replace(scene, frames=frames.showing(made.tracks))
            hit = scene.scored(made.affected[frames.rows])
            yield from _rows(scene, other.batches, answers, clean, Trial(kind, rate, hit, ~hit))


def _picture_rows(scene: _Scene) -> Iterator[Row | Found]:
    """Rows of hidden pictures, then those of the worst places."""
    frames, trials, seed = scene.frames, scene.trials, scene.plan.seed
    answers = scene.answers(pictures=True)
    image = frames.tracks.image
    assert image is not None
    size = image.shape[-1]
    places = true_places(frames.tracks, frames.rows)
    seen = scene.scored(seen_joints(frames.tracks, frames.rows, places))
    clean = {name: measure(scene.module, scene.batches(), a) for name, a in answers.items()}
    for kind in trials.picture_kinds:
        for level in with_zero(trials.levels):
            windows = picture_windows(places, size, kind, level, seed)
            texture = picture_texture(kind, size, seed)
            hit = scene.scored(hidden_joints(places, windows))
            batches = partial(scene.hidden, windows, texture)
            trial = Trial(kind, level, hit, seen & ~hit)
            yield from _rows(scene, batches, answers, clean, trial)
    if ADVOCC in trials.kinds:
        yield from search(scene.run.label, scene.module, frames, answers, trials, scene.plan)


def _rows(
    scene: _Scene,
    batches: Callable[[], Iterator[PoseBatch]],
    answers: Mapping[str, Answer],
    clean: Mapping[str, Errors],
    trial: Trial,
) -> Iterator[Row]:
    """A row of each answer."""
    for name, answer in answers.items():
        errors = clean[name]
        if trial.rate > 0:
            errors = measure(scene.module, batches(), answer)
        yield scene.row(name, trial, errors, clean[name])
