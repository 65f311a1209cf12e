"""Which teachers and students a table of triangulated labels compares. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lifting.data.config import TeacherConfig
from lifting.errors import ConfigError, suggest
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import load_experiment

MONITOR = "val/n_mpjpe_mm"
TRUTH, REFINED = "truth", "refined"


@dataclass(frozen=True)
class TeacherKind:
    """One teacher.

    Attributes:
        key: Names its file.
        words: What it is told.
        changes: Options that differ from the experiment's.
        holds_out: Also measure the error in a view that took no part.
    """

    key: str
    words: str
    changes: dict[str, str | int]
    holds_out: bool = False


@dataclass(frozen=True)
class StudentKind:
    """One student.

    Attributes:
        key: Names its folder.
        words: What it is trained on.
        overrides: Of the experiment.
        over: Key of the student that a refinement unit goes on top of; None trains a student.
    """

    key: str
    words: str
    overrides: tuple[str, ...]
    over: str | None = None


TEACHERS: tuple[TeacherKind, ...] = (
    TeacherKind("given", "known extrinsics", {"cameras": "given"}, holds_out=True),
    TeacherKind("pooled", "intrinsics only, pooled frames", {"cameras": "intrinsics"}, True),
    TeacherKind("one", "intrinsics only, one frame", {"cameras": "intrinsics", "pool_frames": 1}),
    TeacherKind("sizes", "sizes of images only, pooled frames", {"cameras": "sizes"}),
)


@dataclass(frozen=True)
class Plan:
    """A table.

    Attributes:
        command: Command line that repeats it.
        experiment: Name of the experiment whose student and data are compared.
        overrides: For all of its runs.
        recordings: Training recordings, 0 for all.
        rigs: Recordings of the test split that teachers are measured on, 0 for all.
        epochs: Length of every training, None for the experiment's.
        held_out: Name of the view that is held out.
        students: Keys of the students; empty for all.
        output: Folder of the table and of its runs.
    """

    command: str
    experiment: str
    overrides: tuple[str, ...]
    recordings: int
    rigs: int
    epochs: int | None
    held_out: str
    students: tuple[str, ...]
    output: Path

    def student_kinds(self) -> tuple[StudentKind, ...]:
        """The students that were asked for.

        Raises:
            ConfigError: A key is unknown.
        """
        kinds = self.all_kinds()
        for key in self.students:
            if key not in {k.key for k in kinds}:
                raise ConfigError(
                    f"unknown student '{key}'; {suggest(key, [k.key for k in kinds])}"
                )
        return tuple(k for k in kinds if not self.students or k.key in self.students)

    def all_kinds(self) -> tuple[StudentKind, ...]:
        """All students, the one that is trained on the truth first."""
        labels = "data.labels=epipolar"
        return (
            StudentKind(TRUTH, "3D truth", ("data.labels=truth",)),
            StudentKind(
                "given", "labels, known extrinsics", (labels, "data.teacher.cameras=given")
            ),
            StudentKind(
                "intrinsics",
                "labels, intrinsics only",
                (labels, "data.teacher.cameras=intrinsics"),
            ),
            StudentKind(
                "held_out",
                f"labels, known extrinsics, {self.held_out} held out",
                (labels, f"data.teacher.held_out={self.held_out}"),
            ),
            StudentKind("two_d", "labels of exact 2D", (labels, "data.noise=none")),
            StudentKind(
                REFINED,
                "labels, known extrinsics; refinement unit on 3D truth",
                ("data.labels=truth", "method.name=refinement", "trainer.gradient_clip=1"),
                over="given",
            ),
        )

    def config(self, kind: StudentKind, over: Path | None = None) -> ExperimentConfig:
        """The experiment of a student.

        Args:
            kind: The student.
            over: Checkpoint that a refinement unit goes on top of.

        Raises:
            ConfigError: An override is wrong.
        """
        return load_experiment(self.experiment, self._overrides(kind.key, kind.overrides, over))

    def teacher(self, kind: TeacherKind) -> TeacherConfig:
        """Options of a teacher: the experiment's, but for what it is told."""
        base = self.data().data.teacher
        return replace(base, held_out=None, **kind.changes)  # type: ignore[arg-type]

    def data(self) -> ExperimentConfig:
        """The experiment whose test split teachers are measured on."""
        return load_experiment(self.experiment, list(self.overrides))

    def _overrides(self, key: str, own: Sequence[str], over: Path | None) -> list[str]:
        found = [*self.overrides, f"trainer.monitor={MONITOR}"]
        found += [f"output={self.output / 'students' / key}", *own]
        if self.recordings:
            found.append(f"data.train_recordings={self.recordings}")
        if self.epochs is not None:
            found.append(f"trainer.max_epochs={self.epochs}")
        if over is not None:
            found.append(f"method.over={over}")
        return found
