"""What ``lifting data ...`` runs: list, describe, check and prepare data sets.

Everything returns plain rows; how they are printed is the command line's business. No torch is
imported, so the answers are quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifting.data.cmu_check import CheckRow, check_cmu
from lifting.data.cmu_file import CREDIT, FILE_NAME
from lifting.data.config import DATASETS, SyntheticConfig
from lifting.data.files import VARIABLE, find_file
from lifting.data.mocap.convert import TABLE, convert_folder
from lifting.data.splits import CMU_PUBLIC_SPLIT
from lifting.errors import ConfigError, MissingDataError, OutputError, suggest

NOTHING_NEEDED = "nothing: it is made when it is used, from the seed"
Fact = tuple[str, str]


@dataclass(frozen=True)
class DatasetRow:
    """One data set in the list.

    Attributes:
        name: Name for ``data.name``.
        summary: What it is.
        files: What must be there.
        state: ``ready``, or what to do.
    """

    name: str
    summary: str
    files: str
    state: str


@dataclass(frozen=True)
class Recipe:
    """How the commands treat one data set.

    Attributes:
        files: Names of its files; none for generated data.
        describe: Facts beyond the summary.
        check: Rows about the files under a root.
        prepare: Makes the file from source files; None when there is nothing to make.
    """

    files: tuple[str, ...]
    describe: Callable[[], list[Fact]]
    check: Callable[[str | None], list[CheckRow]]
    prepare: Callable[[Path, Path], list[Fact]] | None = None


def list_datasets() -> list[DatasetRow]:
    """The data sets that can be named, and whether their files are found."""
    return [
        DatasetRow(
            name, DATASETS[name], ", ".join(recipe.files) or "none", _state(name, recipe.files)
        )
        for name, recipe in sorted(_RECIPES.items())
    ]


def _state(name: str, files: tuple[str, ...]) -> str:
    try:
        for filename in files:
            find_file(name, filename, None)
    except MissingDataError:
        return f"not found: set {VARIABLE} or see `lifting data describe {name}`"
    return "ready"


def describe(name: str) -> list[Fact]:
    """What a data set holds, where its files are looked for, and its terms.

    Args:
        name: Data set.

    Raises:
        ConfigError: No data set has that name.
    """
    recipe = _recipe(name)
    return [("name", name), ("summary", DATASETS[name]), *recipe.describe()]


def check(name: str, root: str | None = None) -> list[CheckRow]:
    """Look at the files of a data set.

    Args:
        name: Data set.
        root: Its folder; None looks where the environment says.

    Raises:
        ConfigError: No data set has that name.
    """
    return _recipe(name).check(root)


def prepare(name: str, source: Path, output: Path | None = None) -> list[Fact]:
    """Make a data set's file from source files.

    Args:
        name: Data set.
        source: Folder of the source files.
        output: File (``.npz``) or folder to write to; None is the data folder of the
            environment, or the current folder without one.

    Returns:
        What was done.

    Raises:
        ConfigError: No data set has that name, or it needs no preparation.
        DataError: The source files are missing or malformed.
        OutputError: The output exists already or cannot be written.
    """
    recipe = _recipe(name)
    if recipe.prepare is None:
        raise ConfigError(f"data set '{name}' needs {NOTHING_NEEDED}; there is nothing to prepare")
    target = _output_file(name, recipe.files[0], output)
    if target.exists():
        raise OutputError(
            f"expected a new file for data set '{name}', got {target}, which exists; "
            "remove it or choose another --output"
        )
    return recipe.prepare(source, target)


def _output_file(name: str, filename: str, output: Path | None) -> Path:
    if output is not None:
        return output if output.suffix == ".npz" else output / filename
    base = os.environ.get(VARIABLE)
    return Path(base).expanduser() / name / filename if base else Path.cwd() / filename


def _recipe(name: str) -> Recipe:
    if name not in _RECIPES:
        raise ConfigError(f"unknown data set '{name}'; {suggest(name, _RECIPES)}")
    return _RECIPES[name]


def _describe_cmu() -> list[Fact]:
    split = CMU_PUBLIC_SPLIT
    return [
        ("files", FILE_NAME),
        ("looked for in", f"data.root, else {VARIABLE}/cmu, else {VARIABLE}"),
        ("content", "167 sequences, 65617 frames at 50 Hz, 17 joints, mm, world frame, z up"),
        ("parts", "by subject; a file records its own split, no subject is in two parts"),
        ("keypoints", "none recorded: virtual cameras film the motion (data.cameras, data.noise)"),
        ("make your own", "`lifting data prepare cmu --source DIR` from SS_TT.amc with SS.asf, "
                          f"or SS_TT.bvh; actions and frame rates from {TABLE} in DIR"),
        (f"split of your own ({split.name})",
         f"val {', '.join(map(str, sorted(split.val)))}; "
         f"test {', '.join(map(str, sorted(split.test)))}; train the rest"),
        ("terms", "free for all uses, mocap.cs.cmu.edu"),
        ("credit", CREDIT),
    ]  # fmt: skip


def _prepare_cmu(source: Path, output: Path) -> list[Fact]:
    report = convert_folder(source, output)
    parts = ", ".join(f"{part} {count}" for part, count in report.parts.items())
    facts = [
        ("written", str(report.output)),
        ("sequences", f"{report.sequences} ({parts})"),
        ("frames", str(report.frames)),
        ("split", CMU_PUBLIC_SPLIT.name),
        ("frames repaired", str(report.repaired_frames)),
        ("frames dropped", str(report.dropped_frames)),
        ("credit", CREDIT),
    ]
    return facts + [("skipped", f"{path}: {reason}") for path, reason in report.skipped]


def _describe_synthetic() -> list[Fact]:
    sizes = SyntheticConfig()
    return [
        ("files", f"needs {NOTHING_NEEDED}"),
        ("sequences", f"train {sizes.train_sequences}, val {sizes.val_sequences}, test "
                      f"{sizes.test_sequences}, {sizes.sequence_frames} frames each at 50 Hz"),
        ("options", "data.synthetic.* (sizes, seed, skeleton)"),
        ("terms", "none: procedural motion"),
    ]  # fmt: skip


def _check_synthetic(root: str | None) -> list[CheckRow]:
    return [CheckRow("files", "none", "none needed", "ok")]


_RECIPES: Mapping[str, Recipe] = {
    "cmu": Recipe((FILE_NAME,), _describe_cmu, check_cmu, _prepare_cmu),
    "synthetic": Recipe((), _describe_synthetic, _check_synthetic),
}
