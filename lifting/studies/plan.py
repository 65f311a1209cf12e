"""What a study of trained runs looks at: runs, frames and variants. Imports no torch."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lifting.data.config import DataConfig
from lifting.data.sets import find_set
from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import CHECKPOINTS, CONFIG_FILE, RECORD_FILE, check_writable
from lifting.experiment.load import load_experiment
from lifting.experiment.record import read_record
from lifting.tto.config import RootRule, TtoConfig, check_tto

WEIGHTS = f"{CHECKPOINTS}/best.ckpt"
OFF = "off"
PROJECTION, UNIFORM, UNCERTAINTY = (
    "projection only", "+ uniform anchor", "uncertainty anchor (UAO)",
)  # fmt: skip
VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        PROJECTION: {"weight_anchor": 0.0},
        UNIFORM: {"anchor_weighting": "uniform"},
        UNCERTAINTY: {"anchor_weighting": "uncertainty"},
    }
)
ROOTS: Mapping[RootRule, str] = MappingProxyType({"solve": "solved root", "gt": "true root"})


@dataclass(frozen=True)
class Plan:
    """How a study looks at its runs.

    Attributes:
        command: Command line that repeats it.
        poses: Frames that are scored, the same for all runs; None for all.
        seed: Of their choice.
        batch: Poses that are optimised together.
        output: Folder of tables and charts.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    command: str
    poses: int | None
    seed: int
    batch: int
    output: Path
    device: str = "auto"


@dataclass(frozen=True)
class Budget:
    """What a training cost.

    Attributes:
        seconds: Wall time.
        samples: Training samples seen, all stages together.
    """

    seconds: float
    samples: int


@dataclass(frozen=True)
class View:
    """A run's experiment on one kind of 2D input.

    Attributes:
        config: The experiment.
        exact: The keypoints are exact projections of the truth, which no camera delivers.
    """

    config: ExperimentConfig
    exact: bool


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        label: Name of the method, with the folder's where a study has several of one method.
        folder: Its folder.
        views: The data's own keypoints and, where those are not exact, exact ones.
        budget: What the training cost; None without a record.
    """

    label: str
    folder: Path
    views: tuple[View, ...]
    budget: Budget | None

    @property
    def config(self) -> ExperimentConfig:
        """The experiment on the data's own keypoints."""
        return self.views[0].config

    @property
    def name(self) -> str:
        """Experiment and folder, for captions."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def study_of(arguments: argparse.Namespace, *, exact: bool = False) -> tuple[list[Run], Plan]:
    """The runs and the plan that a command line asks for.

    Args:
        arguments: With the options of :func:`lifting.studies.command.add_study`.
        exact: Look at exact keypoints, too.

    Raises:
        ConfigError: A folder is no trained run, or an override does not fit.
        OutputError: The results cannot be written.
    """
    check_output(arguments.output)
    data = [f"extends=data/{arguments.data}"] if arguments.data else []
    runs = load_runs(arguments.runs, [*data, *arguments.overrides], exact=exact)
    return runs, Plan(
        command=arguments.command(arguments),
        poses=None if arguments.full else arguments.poses,
        seed=arguments.seed,
        batch=arguments.batch,
        output=arguments.output,
        device=arguments.device,
    )


def check_output(folder: Path) -> None:
    """Check that a folder, which need not be there yet, can be written to.

    Raises:
        OutputError: It cannot.
    """
    place = folder.absolute()
    check_writable(next(parent for parent in (place, *place.parents) if parent.exists()))


def load_runs(
    folders: Sequence[Path], overrides: Sequence[str] = (), *, exact: bool = True
) -> list[Run]:
    """Read what the runs of a study are.

    Args:
        folders: Folders of finished runs.
        overrides: ``key=value`` settings for all of them, such as ``extends=data/cmu``.
        exact: With a view of exact keypoints beside the data's own.

    Raises:
        ConfigError: A folder is no trained run, or an override does not fit.
    """
    distinct = list(dict.fromkeys(folder.resolve() for folder in folders))
    for folder in distinct:
        missing = [name for name in (CONFIG_FILE, WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"expected the folder of a trained run, outputs/<experiment>/<date>-<name>, got "
                f"{folder} without {' and '.join(missing)}; train one with `lifting train`"
            )
    files = [str(folder / CONFIG_FILE) for folder in distinct]
    trained = [load_experiment(file) for file in files]
    tested = [load_experiment(file, overrides) for file in files] if overrides else trained
    names = [str(config.method["name"]) for config in trained]
    several = Counter(names)
    return [
        Run(
            label=name if several[name] == 1 else f"{name} {folder.name}",
            folder=folder,
            views=_views(tested[i])[: None if exact else 1],
            budget=_budget(folder, trained[i]),
        )
        for i, (name, folder) in enumerate(zip(names, distinct, strict=True))
    ]


def variant_of(config: TtoConfig, variant: str, root: RootRule, **changes: Any) -> TtoConfig:
    """A run's settings as one variant of the study.

    Args:
        config: The run's own.
        variant: One of ``VARIANTS``.
        root: Where the pose is placed.
        changes: Further fields that differ.

    Raises:
        ConfigError: The settings contradict each other.
    """
    changed = replace(config, enabled=True, root=root, **{**VARIANTS[variant], **changes})
    check_tto(changed)
    return changed


def exact_keypoints(data: DataConfig) -> DataConfig | None:
    """The data section with exact keypoints in the test split.

    Returns:
        None where they are exact already.
    """
    exact = find_set(data.name).fact("exact")
    if exact is not None:
        found: DataConfig | None = exact(data)
        return found
    return None if data.noise == "none" else replace(data, noise="none")


def _views(own: ExperimentConfig) -> tuple[View, ...]:
    exact = exact_keypoints(own.data)
    if exact is None:
        return (View(own, exact=True),)
    return View(own, exact=False), View(replace(own, data=exact), exact=True)


def _budget(folder: Path, trained: ExperimentConfig) -> Budget | None:
    if not (folder / RECORD_FILE).is_file():
        return None
    spent = read_record(folder / RECORD_FILE).budget
    if not spent:
        return None
    step = trained.data.batch_size * trained.trainer.accumulate
    return Budget(seconds=float(spent["seconds"]), samples=int(spent["steps"]) * step)
