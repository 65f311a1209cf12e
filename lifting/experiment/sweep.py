"""A sweep file: one experiment under many settings, each with the same seeds. Imports no torch.

The first variant is always ``base``, the experiment with the file's own settings. All others are
laid over it: every combination of ``grid``, the named ``variants``, and the named
``test_variants``, which train nothing.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from lifting.errors import ConfigError, suggest
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import find_file, list_files, load_experiment, read_values
from lifting.experiment.schema import to_schema

SWEEPS = "sweep"  # folder of the sweep files, below that of the experiments
BASE_VARIANT = "base"
RESERVED = {
    "name": "runs are found again by it",
    "output": "say --output",
    "run": "the sweep names its runs",
    "seed": "list it under 'seeds'",
}


@dataclass
class SweepConfig:
    """Schema of a sweep file.

    Attributes:
        experiment: Name of the experiment that everything starts from, or the path of its file.
        description: One line.
        settings: Values by key, dots between sections, for all variants.
        seeds: Every variant is run with each of them.
        metrics: Scores that are compared, by their key in the record's ``metrics``.
        grid: Lists of values by key; each combination is a variant.
        variants: Values by key, by name of the variant.
        test_variants: The same, for variants that test the weights of ``base`` and train nothing.
    """

    experiment: str = ""
    description: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    metrics: tuple[str, ...] = ("mpjpe_mm", "pa_mpjpe_mm")
    grid: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, Any] = field(default_factory=dict)
    test_variants: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """One line of a sweep.

    Attributes:
        name: Its name.
        overrides: ``key=value``, laid over the base.
        trains: Whether it is trained; else it tests the weights of the base.
    """

    name: str
    overrides: tuple[str, ...] = ()
    trains: bool = True


class JobKey(NamedTuple):
    """Names a run of a sweep.

    Attributes:
        variant: Name of the variant.
        seed: Seed.
    """

    variant: str
    seed: int


@dataclass(frozen=True)
class Job:
    """A run of a sweep.

    Attributes:
        config: Its experiment.
        weights_of: The base's experiment, where its weights are tested.
    """

    config: ExperimentConfig
    weights_of: ExperimentConfig | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep whose runs are all valid.

    Attributes:
        name: Name of its file.
        description: One line.
        experiment: Name of the experiment, or the path of its file.
        overrides: ``key=value`` of all variants.
        seeds: Seeds.
        metrics: Scores that are compared.
        output: Folder of the runs and of the table.
        variants: The base, then the others.
        jobs: Every run: all variants with the first seed, then with the next.
    """

    name: str
    description: str
    experiment: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    output: Path
    variants: tuple[Variant, ...]
    jobs: dict[JobKey, Job] = field(default_factory=dict)


def find_sweep(name_or_path: str) -> Path:
    """The file of a sweep.

    Args:
        name_or_path: Name of a file in ``experiments/sweep``, or a path; the folder ``sweep`` may
            be left out of it.

    Raises:
        ConfigError: It does not exist; the message lists the names and the nearest.
    """
    given = Path(name_or_path)
    if given.suffix in (".yaml", ".yml"):
        places = (given, given.parent / SWEEPS / given.name)
        path = next((place for place in places if place.is_file()), None)
    else:
        path = find_file(f"{SWEEPS}/{name_or_path}.yaml")
    if path is not None:
        return path
    known = [p.stem for p in list_files(f"{SWEEPS}/*.yaml").values()]
    raise ConfigError(f"unknown sweep '{name_or_path}'; {suggest(given.stem, known)}")


def load_sweep(
    name_or_path: str, overrides: Sequence[str] = (), output: Path | None = None
) -> Sweep:
    """Read a sweep file and check every run of it.

    Args:
        name_or_path: As for :func:`find_sweep`.
        overrides: ``key=value`` for all variants, over the file's settings.
        output: Folder of the runs and of the table, by default ``outputs/sweep/NAME``.

    Raises:
        ConfigError: Unknown sweep, experiment or key, a wrong value, nothing to vary, or two
            variants of one name or of the same settings.
    """
    path = find_sweep(name_or_path)
    file = to_schema(SweepConfig, read_values(path))
    if not file.experiment:
        raise ConfigError(f"expected 'experiment' in {path}, got none; name the one to vary")
    for name in ("seeds", "metrics"):
        if not getattr(file, name):
            raise ConfigError(f"expected '{name}' in {path}, got none; list at least one")
        _refuse_twice(getattr(file, name), name, path)
    _refuse_reserved(overrides, "--set")
    points = _grid(file.grid, path)
    sweep = Sweep(
        name=path.stem,
        description=file.description,
        experiment=file.experiment,
        overrides=(*_assignments(file.settings, "settings", path), *overrides),
        seeds=file.seeds,
        metrics=file.metrics,
        output=(output or Path("outputs") / SWEEPS / path.stem).expanduser(),
        variants=(Variant(BASE_VARIANT), *points, *_named(file, path)),
    )
    _check_names(sweep.variants, path)
    loaded = _load_variants(sweep, points, path)
    for seed, variant in itertools.product(sweep.seeds, loaded):
        config = _with_seed(loaded[variant], variant, seed)
        base = None if variant.trains else sweep.jobs[JobKey(BASE_VARIANT, seed)].config
        sweep.jobs[JobKey(variant.name, seed)] = Job(config, base)
    return replace(sweep, variants=tuple(loaded))


def _named(file: SweepConfig, path: Path) -> list[Variant]:
    return [
        Variant(name, _assignments(values, f"{section}.{name}", path), trains)
        for section, trains in (("variants", True), ("test_variants", False))
        for name, values in getattr(file, section).items()
    ]


def _check_names(variants: Sequence[Variant], path: Path) -> None:
    if len(variants) == 1:
        raise ConfigError(f"expected a grid or variants in {path}, got none; name at least one")
    _refuse_twice([v.name for v in variants], "names of variants", path)
    for name in (v.name for v in variants if not v.name[:1].isalnum()):
        raise ConfigError(f"expected a letter first in {path}, got '{name}'; rename the variant")


def _grid(grid: Mapping[str, Any], path: Path) -> list[Variant]:
    """One variant for each combination of values."""
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"expected 'grid.{key}' in {path} to list values, got {values!r}; name some"
            )
    last = [key.rpartition(".")[2] for key in grid]
    short = last if len(set(last)) == len(last) else list(grid)
    points = []
    for values in itertools.product(*grid.values()) if grid else ():
        name = ", ".join(f"{k}={v}" for k, v in zip(short, values, strict=True))
        chosen = _assignments(dict(zip(grid, values, strict=True)), "grid", path)
        points.append(Variant(name, chosen))
    return points


def _assignments(values: Any, section: str, path: Path) -> tuple[str, ...]:
    """Overrides of a section of a sweep file."""
    if not isinstance(values, Mapping) or not (values or section == "settings"):
        raise ConfigError(
            f"expected keys and values in '{section}' of {path}, got {values!r}; name some"
        )
    overrides = tuple(_assignment(key, value) for key, value in values.items())
    _refuse_reserved(overrides, f"'{section}' of {path}")
    return overrides


def _assignment(key: str, value: Any) -> str:
    if key == "extends":
        names = value if isinstance(value, list) else [value]
        return f"extends={','.join(map(str, names))}"
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _refuse_reserved(overrides: Iterable[str], where: str) -> None:
    for item in overrides:
        key = item.partition("=")[0].strip()
        if key in RESERVED:
            raise ConfigError(f"expected no '{key}' in {where}, got '{item}'; {RESERVED[key]}")


def _refuse_twice(values: Sequence[Any], what: str, path: Path) -> None:
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if twice:
        raise ConfigError(f"expected different {what}, got '{twice[0]}' twice in {path}; cut one")


def _load_variants(
    sweep: Sweep, points: Iterable[Variant], path: Path
) -> dict[Variant, ExperimentConfig]:
    """The experiment of each variant, but for points of the grid that equal the base."""
    loaded: dict[Variant, ExperimentConfig] = {}
    seen: dict[str, Variant] = {}
    for variant in sweep.variants:
        try:
            config = _load(sweep, variant)
        except ConfigError as error:
            raise ConfigError(f"variant '{variant.name}' of {path}: {error}") from error
        same = seen.setdefault(json.dumps(asdict(config), sort_keys=True), variant)
        if same is variant:
            loaded[variant] = config
        elif same.name != BASE_VARIANT or variant not in points:
            raise ConfigError(
                f"expected variants of different settings in {path}, got the same for "
                f"'{same.name}' and '{variant.name}'; change or remove one"
            )
    return loaded


def _load(sweep: Sweep, variant: Variant) -> ExperimentConfig:
    """A variant's experiment with the first seed.

    Loading is slow, so the other seeds are put in later, where files do not refer to the seed.
    """
    place = _assignment("output", str(sweep.output))
    overrides = [*sweep.overrides, *variant.overrides, place]
    config = load_experiment(sweep.experiment, [*overrides, f"seed={sweep.seeds[0]}"])
    if variant.name == BASE_VARIANT or "extends=" in "".join(variant.overrides):
        for seed in sweep.seeds[1:]:
            other = load_experiment(sweep.experiment, [*overrides, f"seed={seed}"])
            if other != replace(config, seed=seed):
                raise ConfigError(
                    f"expected settings that do not follow the seed, got others with seed {seed}; "
                    "write their values out"
                )
    return config


def _with_seed(config: ExperimentConfig, variant: Variant, seed: int) -> ExperimentConfig:
    slug = re.sub(r"[^\w.+]+", "-", variant.name).strip("-")
    return replace(config, seed=seed, run=f"{slug}-seed{seed}")
