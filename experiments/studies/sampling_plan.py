"""Which answers a study of sampling compares. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import method_config
from lifting.studies.plan import Run

METHOD = "diffpose"
TEACHER_STEPS, STUDENT_STEPS = (1, 2, 3, 5, 10), (1, 2, 3, 5)

Answerer = Literal["context encoder", "teacher", "student"]
CONTEXT: Final = "context encoder"
TEACHER: Final = "teacher"
STUDENT: Final = "student"


@dataclass(frozen=True)
class Grid:
    """What is tried on every run.

    Attributes:
        teacher: Steps of the denoiser; None is ``TEACHER_STEPS`` as far as the run has levels.
        student: Calls of the student; None is ``STUDENT_STEPS`` in the same way.
        hypotheses: Their number; None leaves the run's own.
        bf16: Also answer with products in bfloat16.
        compiled: Also answer with compiled networks.
    """

    teacher: tuple[int, ...] | None = None
    student: tuple[int, ...] | None = None
    hypotheses: int | None = None
    bf16: bool = False
    compiled: bool = False


@dataclass(frozen=True)
class Answer:
    """One way to an answer.

    Attributes:
        by: Who answers.
        steps: Asked for; 0 for the context encoder alone.
        bf16: Products in bfloat16, else float32.
        compiled: Networks are compiled.
    """

    by: Answerer
    steps: int
    bf16: bool = False
    compiled: bool = False

    @property
    def plain(self) -> Answer:
        """The same in float32, not compiled."""
        return Answer(self.by, self.steps)

    @property
    def run_as(self) -> str:
        """Precision, and whether it is compiled, in words."""
        return ("bfloat16" if self.bf16 else "float32") + ", compiled" * self.compiled


def own_answer(run: Run) -> Answer:
    """The denoiser's answer in the steps that the run was made with.

    Raises:
        ConfigError: The run is of another method, or does not sample.
    """
    return Answer(TEACHER, _checked(run).sampling_steps)


def answers(run: Run, grid: Grid) -> list[Answer]:
    """All answers of a run: float32 ones first, by who gives them and by steps.

    Raises:
        ConfigError: The run is of another method, does not sample, or cannot take so many steps.
    """
    own = _checked(run)
    level = own.start_level
    taught = _steps(grid.teacher, TEACHER_STEPS, level)
    teacher = [Answer(TEACHER, n) for n in sorted({own.sampling_steps, *taught})]
    student: list[Answer] = []
    if own.student != "none":
        known = {own.student_steps} if own.student_steps else set()
        asked = known | set(_steps(grid.student, STUDENT_STEPS, level))
        student = [Answer(STUDENT, n) for n in sorted(asked)]
    elif grid.student is not None:
        raise ConfigError(
            f"expected a run with a student for --student-steps, got {run.name} without; train "
            "one with method.student=consistency"
        )
    plain = [Answer(CONTEXT, 0), *teacher, *student]
    for answer in plain:
        method_config(answer_config(run.config, answer, grid).method)
    few = [own_answer(run), *student[:1]]
    others = [
        replace(answer, bf16=bf16, compiled=compiled)
        for bf16, compiled in _variants(grid)
        for answer in few
    ]
    return [*plain, *others]


def answer_config(config: ExperimentConfig, answer: Answer, grid: Grid) -> ExperimentConfig:
    """The experiment of a run as one answer needs it.

    Args:
        config: The run's.
        answer: Which one.
        grid: Says how many hypotheses.
    """
    changed: dict[str, Any] = dict(config.method)
    if answer.by == STUDENT:
        changed["student_steps"] = answer.steps
    elif answer.by == TEACHER:
        changed["sampling_steps"] = answer.steps
        if changed.get("student", "none") != "none":
            changed["student_steps"] = 0
    if grid.hypotheses is not None:
        changed["hypotheses"] = grid.hypotheses
    return replace(config, method=changed)


def _steps(asked: Sequence[int] | None, usual: Sequence[int], level: int) -> tuple[int, ...]:
    return tuple(n for n in usual if n <= level) if asked is None else tuple(asked)


def _variants(grid: Grid) -> list[tuple[bool, bool]]:
    """Combinations of bfloat16 and compilation beside float32."""
    wanted = []
    if grid.bf16:
        wanted.append((True, False))
    if grid.compiled:
        wanted.append((False, True))
    if grid.bf16 and grid.compiled:
        wanted.append((True, True))
    return wanted


def _checked(run: Run) -> Any:
    """The method section of a run that samples."""
    name = run.config.method["name"]
    if name != METHOD:
        raise ConfigError(
            f"expected runs of '{METHOD}', got {run.name} of '{name}', which samples nothing"
        )
    config = method_config(run.config.method)
    if config.process != "diffusion":
        raise ConfigError(
            f"expected runs with method.process 'diffusion', got '{config.process}' in "
            f"{run.name}, which takes no steps"
        )
    return config
