"""Finds an experiment file, resolves what it extends, applies overrides and validates the result.

Imports no torch, so a configuration error shows in well under a second.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lifting.atomic import write_text
from lifting.data.config import DataConfig, sections_in_use, without_unused
from lifting.data.sets import data_sets, find_set
from lifting.errors import ConfigError, suggest
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import CONFIG_FILE, is_run
from lifting.experiment.schema import (
    check_plain,
    check_values,
    first_line,
    plain_defaults,
    to_container,
    to_schema,
)
from lifting.methods.discovery import current_section, load_config_class, method_names
from lifting.methods.settings import BuiltOn
from lifting.metrics.protocol import get_protocol

EXPERIMENTS_VARIABLE = "LIFTING_EXPERIMENTS"
OWN = "experiments"
_PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = _PACKAGE / "_experiments"  # made by the wheel
CHECKOUT = _PACKAGE.parent / OWN
BASE = "base"
_LARGEST = 1024**2
# What reading text as YAML raises: constructors of its tags let errors of Python through.
_NO_YAML = (
    YAMLError, OmegaConfBaseException, ArithmeticError, AttributeError, LookupError,
    RecursionError, TypeError, ValueError,
)  # fmt: skip
METHOD_SECTIONS = ("method", "base")
"""The method section, and within it that of a method that it is built on."""


def experiment_folders() -> list[Path]:
    """Folders of experiment files, in the order in which a file is looked for.

    The one that the environment variable LIFTING_EXPERIMENTS names, ``experiments`` in the current
    folder, and what the package ships: ``_experiments`` in it, or ``experiments`` beside it in a
    checkout. A file of an earlier folder stands before one of its name in a later.

    Raises:
        ConfigError: The folder that the variable names does not exist, or there is none at all.
    """
    named = os.environ.get(EXPERIMENTS_VARIABLE)
    if named and not Path(named).is_dir():
        raise ConfigError(
            f"expected a folder of experiment files, got {named}, which is none; set "
            f"{EXPERIMENTS_VARIABLE} to one, or unset it"
        )
    shipped = SHIPPED if SHIPPED.is_dir() else CHECKOUT
    places = [Path(named)] if named else []
    places += [place for place in (Path(OWN), shipped) if place.is_dir()]
    if not places:
        raise ConfigError(
            f"expected experiment files in ./{OWN} or {SHIPPED}, got neither folder; install the "
            f"package again, or set {EXPERIMENTS_VARIABLE}"
        )
    return list({place.resolve(): place for place in places}.values())


def find_file(name: str) -> Path | None:
    """A file of the experiments, for example ``data/cmu.yaml``; None where no folder has it.

    Args:
        name: Path within a folder of :func:`experiment_folders`.
    """
    places = (folder / name for folder in experiment_folders())
    return next((place for place in places if _is_file(place)), None)


def _is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def list_files(pattern: str) -> dict[str, Path]:
    """YAML files of all folders by name, one that stands before another of its name alone.

    Args:
        pattern: Of the path within a folder, for example ``data/*.yaml``.

    Returns:
        The files by their path within the folder, without the ending.
    """
    found: dict[str, Path] = {}
    for folder in experiment_folders():
        for path in folder.glob(pattern):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return dict(sorted(found.items()))


def list_experiments() -> dict[str, str]:
    """One-line description of every experiment, or what is wrong with its file, by name."""
    return {n: _description(f) for n, f in list_files("*.yaml").items() if n != BASE}


def _description(file: Path) -> str:
    try:
        return str(read_values(file).get("description", ""))
    except ConfigError as error:
        return f"broken: {error}"


def load_experiment(
    name_or_path: str, overrides: Sequence[str] = (), *, method: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Read, compose, override and validate an experiment.

    Args:
        name_or_path: Name of a file in the folders of experiments, or the path of a YAML file.
        overrides: ``key=value`` with dots between sections, the last one wins;
            ``extends=data/cmu`` lays further files over the experiment first. What such a file
            changes in one method stands beside it under the method's name, as
            ``overlay/smoke_epipolarpose`` beside ``overlay/smoke``, and is laid over after it.
        method: Values of the method section that stand between the file and the overrides, for
            example those that a checkpoint was trained with.

    Returns:
        The validated experiment; its method section holds every key of the method's ``Config``.
        That of a run's ``config.yaml`` has the run's surroundings as ``output``.

    Raises:
        ConfigError: Unknown experiment, key or method, a wrong type or value, or broken YAML.
    """
    path = find_experiment(name_or_path)
    overlays, assignments = _split_overrides(overrides)
    values = _compose(path, ())
    values.setdefault("name", path.stem)
    if path.name == CONFIG_FILE:
        values = _with_output(values, path)
    above: dict[str, Any] = {} if method is None else {"method": dict(method)}
    for assignment in assignments:
        above = _merge(above, assignment)
    section = above.get("method")
    named = section.get("name") if isinstance(section, Mapping) else None
    if overlays and named is not None:  # keys of another method go before overlays bring its own
        values = _merge(values, {"method": {"name": named}})
    for overlay in overlays:
        where = f"'extends' of the overrides of {path.stem}"
        for file in _with_own(_extended(overlay, path, where), _merge(values, above)):
            values = _merge(values, _shared(_compose(file, ())))
    return _validated(_merge(values, above))


def load_values(values: Mapping[str, Any]) -> ExperimentConfig:
    """The experiment that plain values describe, such as those of :func:`to_plain`.

    Raises:
        ConfigError: Unknown method or key, or a value of the wrong type.
    """
    return _validated(dict(values))


def load_data(name: str, root: str | None = None) -> tuple[DataConfig, Path]:
    """The data section that a file of ``experiments/data`` gives, and the file.

    Args:
        name: Name of a file there, or of a data set; of several files of one data set, the one of
            its name, else the first.
        root: Folder of the data set's files, where it is not the file's.

    Raises:
        ConfigError: There is no such file or data set, or its values are wrong.
    """
    path = _data_file(name)
    values = _merge(plain_defaults(DataConfig), _data_values(path))
    data = to_schema(DataConfig, to_container({"data": values})["data"], "data")
    data.root = data.root if root is None else root
    return data, path


def data_files(protocol: str | None) -> list[str]:
    """Names of the files of ``experiments/data`` whose benchmark a protocol belongs to.

    Args:
        protocol: Its name; what follows a slash is a variant.

    Raises:
        ConfigError: None was named, or no file has it.
    """
    if protocol is None:
        raise ConfigError(
            "expected a protocol or a data file, got none; give --data or --protocol"
        )
    get_protocol(protocol)
    rules = {
        path.stem: str(_compose(path, ()).get("protocol", ""))
        for path in list_files("data/*.yaml").values()
    }
    benchmark = protocol.split("/")[0]
    found = sorted(name for name, rule in rules.items() if rule.split("/")[0] == benchmark)
    if not found:
        raise ConfigError(
            f"expected a data file with protocol '{protocol}', got none; name one with --data: "
            f"{', '.join(sorted(rules))}"
        )
    return found


def load_scoring(
    name: str, overrides: Sequence[str], protocol: str | None = None
) -> ExperimentConfig:
    """An experiment without a method, in which answers from elsewhere are scored.

    Args:
        name: As of :func:`load_data`.
        overrides: ``key=value`` with dots between sections; single frames are scored.
        protocol: Rules of the benchmark; None for those of the file.

    Raises:
        ConfigError: There is no such file or data set or protocol, or its values are wrong.
    """
    values = _compose(_data_file(name), ())
    overlays, assignments = _split_overrides(overrides)
    if overlays:
        raise ConfigError(f"expected values, got extends={overlays[0]}; name data by --data")
    for assignment in assignments:
        values = _merge(values, assignment)
    if protocol is not None:
        values["protocol"] = protocol
    own = {"data": {"frames": 1, "target": "middle", "windows": "centred"}}
    plain = to_container(_merge(_merge(plain_defaults(ExperimentConfig), values), own))
    config = to_schema(ExperimentConfig, plain)
    get_protocol(config.protocol)
    check_values(config)
    return config


def _data_file(name: str) -> Path:
    """The file of ``experiments/data`` of a name, or of a data set."""
    files = {path.stem: path for path in list_files("data/*.yaml").values()}
    path = files.get(name)
    if path is None:
        wanted = find_set(name)
        of_it = [p for p in files.values() if _data_values(p).get("name") == wanted.name]
        path = next((p for p in of_it if p.stem == wanted.section), next(iter(of_it), None))
    if path is None:
        raise ConfigError(f"unknown data file '{name}'; {suggest(name, files)}")
    return path


def _data_values(path: Path) -> dict[str, Any]:
    return dict(_compose(path, ()).get("data", {}))


def find_experiment(name_or_path: str) -> Path:
    """The file of an experiment.

    Raises:
        ConfigError: It does not exist; the message lists the names and the nearest.
    """
    given = Path(name_or_path)
    if given.suffix in (".yaml", ".yml"):
        if _is_file(given):
            return given
        raise ConfigError(f"expected an experiment file, got {given}, which does not exist")
    path = find_file(f"{name_or_path}.yaml") if name_or_path else None
    if path is None:
        known = suggest(name_or_path, [name for name in list_files("*.yaml") if name != BASE])
        raise ConfigError(f"unknown experiment '{name_or_path}'; {known}")
    return path


def method_config(section: Mapping[str, Any], key: str = "method") -> Any:
    """The method's own ``Config`` of a method section.

    Args:
        section: ``name`` and the keys of the ``Config``.
        key: Where the section stands, for messages.

    Raises:
        ConfigError: Unknown method or key, or a value of the wrong type, also in the section of a
            method that this one is built on.
    """
    values = {k: v for k, v in section.items() if k != "name"}
    config = to_schema(load_config_class(str(section["name"])), values, key)
    if isinstance(config, BuiltOn):
        below = config.base_method()
        if not isinstance(below, Path):
            method_config(below, f"{key}.base")
    return config


def to_plain(config: ExperimentConfig) -> dict[str, Any]:
    """The experiment as nested mappings, lists and plain values; unused data sections left out."""
    plain = asdict(config)  # which has been checked, and resolved
    unused = {one.section for one in data_sets().values()} - sections_in_use(config.data)
    plain["data"] = {k: v for k, v in plain["data"].items() if k not in unused}
    return plain


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of nested mappings with its value, dots between sections."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_run(config: ExperimentConfig) -> dict[str, Any]:
    """The same as a run keeps it: all but ``output``, since a run may be moved."""
    return {key: value for key, value in to_plain(config).items() if key != "output"}


def to_yaml(config: ExperimentConfig) -> str:
    """The experiment as the text of a YAML file."""
    return _as_yaml(to_plain(config))


def save_resolved(config: ExperimentConfig, path: Path) -> None:
    """Write the experiment into its run's folder, as a YAML file that loads again to the same.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, _as_yaml(to_run(config)))


def _as_yaml(plain: dict[str, Any]) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(plain))


def _validated(values: dict[str, Any]) -> ExperimentConfig:
    section = values.get("method")
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        raise ConfigError(
            f"expected 'method.name', got method: {section!r}; {suggest('', method_names())}"
        )
    section = current_section(section)
    name = str(section["name"])
    values = {**values, "method": section}
    defaults = plain_defaults(ExperimentConfig)
    defaults["method"] = {"name": name, **plain_defaults(load_config_class(name))}
    plain = to_container(_merge(defaults, values))
    checked = asdict(method_config(plain["method"]))
    plain["method"] = {}
    config = to_schema(ExperimentConfig, plain)
    config.method = {"name": name, **to_container(checked)}
    check_values(config)
    without_unused(config.data)
    return config


def _with_output(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """A run's values with the ``output`` that the run now lies in; that of older runs is past."""
    if ".." in path.parts or len(path.parts) < 3:
        path = path.resolve()
    if path.parent.parent.name == values["name"]:
        return {**values, "output": str(path.parents[2])}
    return {k: v for k, v in values.items() if k != "output" or not is_run(path.parent)}


def _compose(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """A file's values over those of the files it extends, in their order."""
    path = path.resolve()
    if path in chain:
        circle = " -> ".join(p.stem for p in (*chain, path))
        raise ConfigError(f"expected 'extends' without a circle, got {circle}; cut one of them")
    values = read_values(path)
    parents = values.pop("extends", [])
    if isinstance(parents, str):
        parents = [parents]
    if not isinstance(parents, list) or not all(isinstance(p, str) for p in parents):
        raise ConfigError(f"expected 'extends' in {path} to list names, got {parents!r}")
    merged: dict[str, Any] = {}
    for parent in parents:
        file = _extended(parent, path, f"'extends' of {path}")
        merged = _merge(merged, _shared(_compose(file, (*chain, path))))
    return _merge(merged, values)


def _shared(values: dict[str, Any]) -> dict[str, Any]:
    """What an extended file passes on: all but its own name and description."""
    return {k: v for k, v in values.items() if k not in ("name", "description")}


def _extended(name: str, origin: Path, where: str) -> Path:
    """The file that ``extends`` names: in a folder of experiments, else beside the origin."""
    beside = origin.parent / f"{name}.yaml"
    path = find_file(f"{name}.yaml") or (beside if _is_file(beside) else None)
    if path is None:
        folder, slash, _ = name.rpartition("/")
        try:
            near = list_files(f"{folder}{slash}*.yaml")
        except (NotImplementedError, OSError, ValueError):  # no folder of experiments
            near = {}
        known = suggest(name[:200], near or list_files("*/*.yaml"))
        raise ConfigError(f"unknown file '{name:.200}' in {where}; {known}")
    return path


def _with_own(overlay: Path, values: Mapping[str, Any]) -> list[Path]:
    """An overlay, and its file for the experiment's method if there is one."""
    section = values.get("method")
    name = section.get("name") if isinstance(section, Mapping) else None
    if name not in method_names():
        return [overlay]
    own = overlay.with_stem(f"{overlay.stem}_{name}")
    return [overlay, own] if own.is_file() else [overlay]


def read_values(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, nothing extended or checked.

    Raises:
        ConfigError: It is no YAML mapping, or cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(
                f"expected at most {_LARGEST} bytes of keys and values in {path}, got "
                f"{path.stat().st_size}; check that it is the right file"
            )
        values = copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except ConfigError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a readable text file, got {path}: {error}") from error
    except _NO_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or first_line(error)
        raise ConfigError(f"expected YAML in {path}{place}, got: {problem}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"expected keys and values in {path}, got a {type(values).__name__}")
    check_plain(values, of=str(path))
    return values


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """What YAML says; a file that many extend is parsed once, which takes most of loading it."""
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))


def _split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of overlays, and one nested mapping for each assignment."""
    overlays: list[str] = []
    assignments: list[dict[str, Any]] = []
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise ConfigError(f"expected an override as key=value, got '{item}'")
        if key.strip() == "extends":
            overlays.extend(filter(None, value.strip("[] ").replace(" ", "").split(",")))
            continue
        try:
            parsed = OmegaConf.to_container(OmegaConf.from_dotlist([item]))
        except _NO_YAML as error:
            raise ConfigError(
                f"expected a YAML value in the override, got '{item:.200}': {first_line(error)}"
            ) from error
        check_plain(parsed, of=f"the override '{item:.80}'")
        assignments.append(parsed)  # type: ignore[arg-type]
    return overlays, assignments


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged; lists and values of the upper one replace.

    So does a method section of another method than the lower one's, whose keys are not its own.
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            named = key in METHOD_SECTIONS and "name" in old
            other = named and value.get("name", old["name"]) != old["name"]
            merged[key] = value if other else _merge(old, value)
        else:
            merged[key] = value
    return merged
