"""Trainings of the claims, and the errors of first guess and fits on clean and hidden people.

Every training and every score is kept, so a study that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lifting.atomic import write_text
from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.experiment.build import prepare_process
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import RECORD_FILE, finished_run, mark_finished
from lifting.experiment.record import read_record
from lifting.experiment.run import train
from lifting.experiment.trained import trained_module
from lifting.methods.nbf.module import Module
from lifting.studies.frames import Frames
from lifting.studies.measure import choose_device
from lifting.studies.plan import Plan
from lifting.studies.robustness.measure import PLAIN as SEARCHING
from lifting.studies.robustness.measure import Answer, measure
from lifting.studies.robustness.plan import ADVOCC, Trials
from lifting.studies.robustness.search import search
from lifting.studies.trained import scored_checkpoint
from nbf_claims_plan import (
    BOTH,
    FEATURES,
    GUESS,
    LIKELIHOODS,
    POSE_DEPENDENT,
    ROBUST,
    ClaimsPlan,
)

SCORES_FILE = "claims.json"
CLEAN = "clean"


@dataclass(frozen=True)
class Score:
    """Errors of one answer of one training.

    Attributes:
        features: Pose-dependent or constant.
        seed: Of the training.
        answer: First guess, or fitted with one of the likelihoods.
        pictures: ``clean``, or ``advocc@`` and the side of the square.
        seen_mm: MPJPE of the joints that the square does not hide; of all in clean pictures.
        hidden_mm: Mean error of the joints it hides; None in clean pictures.
        clean_mm: Mean error of the same seen joints in the clean pictures.
    """

    features: str
    seed: int
    answer: str
    pictures: str
    seen_mm: float
    hidden_mm: float | None
    clean_mm: float


@dataclass(frozen=True)
class Trained:
    """A training and its scores.

    Attributes:
        folder: Folder of the run.
        features: Pose-dependent or constant.
        seed: Of the training.
        train_cpu_seconds: Processor time of the training.
        fitted_a_second: Pictures fitted a processor second, with the robust likelihood.
        scores: Of all answers.
    """

    folder: str
    features: str
    seed: int
    train_cpu_seconds: float
    fitted_a_second: float
    scores: tuple[Score, ...]


def trained(plan: ClaimsPlan) -> Iterator[Trained]:
    """Train and score, seed after seed; what is finished is not repeated.

    Raises:
        ConfigError: The experiment cannot be followed.
    """
    for seed in plan.seeds:
        for features in FEATURES:
            config = plan.config(features, seed)
            folder = finished_run(config) or mark_finished(train(config).run_dir, config)
            yield _kept(folder, plan) or _scored(folder, config, features, seed, plan)


def _kept(folder: Path, plan: ClaimsPlan) -> Trained | None:
    """Scores of a run on the same pictures, if it has them."""
    file = folder / SCORES_FILE
    if not file.is_file():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    if values.pop("scored") != plan.scored():
        return None
    scores = tuple(Score(**score) for score in values.pop("scores"))
    return Trained(**values, scores=scores)


def _scored(
    folder: Path, config: ExperimentConfig, features: str, seed: int, plan: ClaimsPlan
) -> Trained:
    prepare_process(config)
    device = choose_device("auto")
    modules = {
        name: _module(folder, plan.fitting(features, seed, name)).to(device)
        for name in LIKELIHOODS
        if features == POSE_DEPENDENT or name == ROBUST  # no claim looks at the others
    }
    first = next(iter(modules.values()))
    # What a test with mirrored pictures gives: both guesses that a fit starts from, averaged.
    both = _module(folder, plan.config(features, seed, ["flip_test=true"])).to(device)
    answers: dict[str, Answer] = {SEARCHING: _guess(first), BOTH: both.infer}
    answers |= {name: _fitted(module) for name, module in modules.items()}
    frames = Frames(
        config,
        "test",
        every=config.data.eval_every,
        poses=plan.pictures,
        seed=0,
        weights=scored_checkpoint(folder),
    )
    scores, seconds = [], 0.0
    for name, answer in answers.items():
        started = time.process_time()
        errors = measure(first, frames.batches(plan.batch, device), answer)
        if name == next(iter(LIKELIHOODS)):
            seconds = time.process_time() - started
        mean = float(errors.position[errors.valid].mean())
        scores.append(Score(features, seed, _name(name), CLEAN, mean, None, mean))
    how = Plan(command=plan.command, poses=plan.pictures, seed=0, batch=plan.batch,
               output=plan.output)  # fmt: skip
    trials = Trials(kinds=(ADVOCC,), searched=plan.pictures, stride=plan.stride)
    for found in search(folder.name, first, frames, answers, trials, how):
        seen, hidden = found.seen, found.hidden
        assert seen.mm is not None
        assert seen.clean_mm is not None
        scores.append(
            Score(features, seed, _name(found.answer), f"{ADVOCC}@{found.occluder}", seen.mm,
                  hidden.mm, seen.clean_mm)
        )  # fmt: skip
    budget = read_record(folder / RECORD_FILE).budget
    result = Trained(
        folder=folder.name,
        features=features,
        seed=seed,
        train_cpu_seconds=float(budget["cpu_seconds"]),
        fitted_a_second=len(frames.rows) / seconds,
        scores=tuple(scores),
    )
    values = {**asdict(result), "scored": plan.scored()}
    write_text(folder / SCORES_FILE, json.dumps(values, indent=2) + "\n")
    return result


def _module(folder: Path, config: ExperimentConfig) -> Module:
    """A run's module, which fits as an experiment says."""
    module, _ = trained_module(config, scored_checkpoint(folder))
    assert isinstance(module, Module)
    return module.eval()


def _guess(module: Module) -> Answer:
    """The first guess alone, which is what looks for the worst places."""

    def answer(batch: PoseBatch) -> Prediction:
        _, start = module.network.guess(batch)
        joints = module.network.body.joints(*start).joints[:, None]
        return Prediction(
            skeleton=module.skeleton, joints_3d=root_relative(joints, module.skeleton.root)
        )

    return answer


def _fitted(module: Module) -> Answer:
    def answer(batch: PoseBatch) -> Prediction:
        return Prediction(skeleton=module.skeleton, joints_3d=module.fit(batch).pose)

    return answer


def _name(answer: str) -> str:
    return GUESS if answer == SEARCHING else answer
