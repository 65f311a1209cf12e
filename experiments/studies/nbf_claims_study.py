"""Trainings of the claims, errors of first guess and fits on clean and hidden people, the table.

Every training and every score is kept, so a study that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from lifting.atomic import write_text
from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.experiment.build import prepare_process
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import RECORD_FILE
from lifting.experiment.record import read_record
from lifting.experiment.trained import trained_module
from lifting.methods.nbf.module import Module
from lifting.studies.frames import Frames
from lifting.studies.measure import PLAIN as SEARCHING
from lifting.studies.measure import (
    Answer,
    choose_device,
    measure,
    scored_checkpoint,
    trained_run,
)
from lifting.studies.page import MISSING, caption, machine, markdown, write_page
from lifting.studies.plan import Plan
from lifting.studies.robustness.plan import ADVOCC, Trials
from lifting.studies.robustness.search import search
from nbf_claims_plan import (
    BOTH,
    CONSTANT,
    FEATURES,
    GUESS,
    LIKELIHOODS,
    PLAIN,
    POSE_DEPENDENT,
    ROBUST,
    ClaimsPlan,
)

NAME = "nbf_claims"
CLEAN = "clean"
_OCCLUDED = ("advocc@40", "advocc@80")
_KEEPS_MM = 1.0
TITLES = (
    "features", "answer", "clean", "AdvOcc@40 seen", "AdvOcc@40 hidden", "AdvOcc@80 seen",
    "AdvOcc@80 hidden",
)  # fmt: skip
CLAIM_TITLES = ("claim", "pictures", "gain by seed, mm", "holds")
SCORES_FILE = "claims.json"


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
            folder = trained_run(config)
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
        errors = measure(first, frames.batches(plan.batch, device), answer).errors
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


@dataclass(frozen=True)
class Verdict:
    """A claim on one kind of pictures.

    Attributes:
        claim: In words.
        pictures: Which pictures.
        gains_mm: What the claimed better answer is better by, seed after seed; seen joints.
        least_mm: What every gain must exceed; below zero where the claim is only that nothing is
            lost.
    """

    claim: str
    pictures: str
    gains_mm: tuple[float, ...]
    least_mm: float = 0.0

    @property
    def holds(self) -> int:
        """Seeds in which it holds."""
        return sum(gain > self.least_mm for gain in self.gains_mm)


def verdicts(runs: Sequence[Trained]) -> list[Verdict]:
    """The three claims on all pictures, the first beside both guesses that a fit starts from.

    Args:
        runs: Of both kinds of features with the same seeds.
    """
    scores = [score for run in runs for score in run.scores]
    ours = (POSE_DEPENDENT, ROBUST)
    found = []
    for claim, other in (
        ("fitting improves the first guess", (POSE_DEPENDENT, GUESS)),
        ("fitting improves the mean of both guesses", (POSE_DEPENDENT, BOTH)),
        ("pose-dependent features beat constant ones", (CONSTANT, ROBUST)),
        ("the robust likelihood beats the plain one", (POSE_DEPENDENT, PLAIN)),
    ):
        for pictures in (CLEAN, *_OCCLUDED):
            better, worse = (_errors(scores, *row, pictures) for row in (ours, other))
            seeds = sorted(better.keys() & worse.keys())
            gains = tuple(worse[seed] - better[seed] for seed in seeds)
            # Clean pictures show all of a body, so there a fit need only do no harm.
            least = -_KEEPS_MM if pictures == CLEAN else 0.0
            found.append(Verdict(claim, pictures, gains, least))
    return found


def table(runs: Sequence[Trained]) -> list[tuple[str, ...]]:
    """Rows of cells under ``TITLES``, mm."""
    scores = [score for run in runs for score in run.scores]
    rows = []
    for features in (POSE_DEPENDENT, CONSTANT):
        for answer in (GUESS, BOTH, ROBUST, PLAIN):
            own = [s for s in scores if (s.features, s.answer) == (features, answer)]
            if own:
                cells = [_cell(own, CLEAN, _seen)]
                for pictures in _OCCLUDED:
                    cells += [_cell(own, pictures, _seen), _cell(own, pictures, _hidden)]
                rows.append((features, answer, *cells))
    return rows


def write_claims(runs: Sequence[Trained], plan: ClaimsPlan) -> tuple[Path, ...]:
    """Write the table as Markdown and JSON into the plan's folder.

    Returns:
        The two files.

    Raises:
        OutputError: They cannot be written.
    """
    where, found = machine(), verdicts(runs)
    trained = fmean(run.train_cpu_seconds for run in runs) / 60
    fitted = fmean(run.fitted_a_second for run in runs)
    lines = [
        f"`{plan.command}`",
        "",
        f"Mean errors of joints, mm, over seeds {', '.join(map(str, plan.seeds))} (standard "
        f"deviation); {plan.pictures} test pictures; synthetic-advocc: a square of 40 or 80 "
        "pixels of 224, scaled to the picture, where the first guess of the same training is "
        f"worst, stride {plan.stride}; hidden are the joints under it. A training took "
        f"{trained:.1f} CPU minutes; {fitted:.1f} pictures were fitted a CPU second; "
        f"{caption(where)}.",
        "",
        *markdown(TITLES, table(runs)),
        "",
        *markdown(CLAIM_TITLES, map(_line, found), left=4),
    ]
    values = {
        "plan": {**asdict(plan), "output": str(plan.output)},
        "machine": where,
        "runs": [asdict(run) for run in runs],
        "verdicts": [{**asdict(verdict), "holds": verdict.holds} for verdict in found],
    }
    return write_page(plan.output, NAME, lines, values)


def _line(verdict: Verdict) -> tuple[str, ...]:
    gains = ", ".join(f"{gain:+.1f}" for gain in verdict.gains_mm)
    return (
        verdict.claim, verdict.pictures, gains, f"{verdict.holds} of {len(verdict.gains_mm)}",
    )  # fmt: skip


def _errors(
    scores: Sequence[Score], features: str, answer: str, pictures: str
) -> dict[int, float]:
    """Errors of the seen joints by seed."""
    wanted = (features, answer, pictures)
    return {s.seed: s.seen_mm for s in scores if (s.features, s.answer, s.pictures) == wanted}


def _seen(score: Score) -> float | None:
    return score.seen_mm


def _hidden(score: Score) -> float | None:
    return score.hidden_mm


def _cell(scores: Sequence[Score], pictures: str, error: Callable[[Score], float | None]) -> str:
    values = [v for s in scores if s.pictures == pictures and (v := error(s)) is not None]
    if not values:
        return MISSING
    spread = f" ({stdev(values):.1f})" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"
