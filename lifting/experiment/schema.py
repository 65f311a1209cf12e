"""From plain YAML values to the dataclasses of a configuration, with errors a person can act on.

OmegaConf does the conversion; this module finds the key that is wrong and words it. Imports no
torch.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lifting.data.sets import find_set
from lifting.errors import ConfigError, suggest
from lifting.experiment.config import AUTO, ExperimentConfig
from lifting.skeleton import get_skeleton
from lifting.tto.config import check_tto

Check = tuple[Callable[[Any], bool], str]
PRECISIONS = (
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "64",
)  # fmt: skip
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
_COUNT: Check = (lambda v: v >= 1, "a whole number from 1")
_NOT_NEGATIVE: Check = (lambda v: v >= 0, "0 or more")
_POSITIVE: Check = (lambda v: v > 0, "more than 0")
_LIMIT: Check = (lambda v: v is None or v >= 1, "null for all, or a whole number from 1")
_FRACTION: Check = (lambda v: 0 <= v <= 1, "between 0 and 1")
_DECAY: Check = (lambda v: 0 <= v < 1, "from 0 to below 1")
_FOLDER: Check = (
    lambda v: v is None or re.fullmatch(r"[\w][\w.+-]{,99}", v) is not None,
    "a name fit for a folder: letters, digits, '.', '_', '+', '-', at most 100 of them",
)
_SEED: Check = (lambda v: 0 <= v < 2**32, "from 0 to 4294967295")
CHECKS: dict[str, Check] = {
    "name": _FOLDER,
    "run": _FOLDER,
    "seed": _SEED,
    "data.fps": (lambda v: v is None or 1 <= v <= 1000, "null, or from 1 to 1000"),
    "data.frames": (lambda v: v >= 1 and v % 2 == 1, "an odd number from 1, to have a middle"),
    "data.window_stride": _COUNT,
    "data.train_recordings": _NOT_NEGATIVE,
    "data.train_every": _COUNT,
    "data.eval_every": _COUNT,
    "data.batch_size": _COUNT,
    "data.epoch_batches": _LIMIT,
    "data.eval_batch_size": _COUNT,
    "data.bone_jitter": _NOT_NEGATIVE,
    "data.workers": _NOT_NEGATIVE,
    "data.noise_seed": _SEED,
    "optimizer.lr": _POSITIVE,
    "optimizer.matrix_lr": _POSITIVE,
    "optimizer.betas": (lambda v: all(0 <= b < 1 for b in v), "two numbers from 0 to below 1"),
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.gamma": _POSITIVE,
    "optimizer.every": _COUNT,
    "optimizer.final": _FRACTION,
    "optimizer.warmup_steps": _NOT_NEGATIVE,
    "trainer.max_epochs": _COUNT,
    "trainer.epoch_scale": _POSITIVE,
    "trainer.max_steps": (lambda v: v == -1 or v >= 1, "-1 for no limit, or from 1"),
    "trainer.limit_train_batches": _LIMIT,
    "trainer.limit_val_batches": _LIMIT,
    "trainer.limit_test_batches": _LIMIT,
    "trainer.accelerator": (lambda v: v in ACCELERATORS, "one of " + ", ".join(ACCELERATORS)),
    "trainer.devices": _COUNT,
    "trainer.strategy": (
        lambda v: not any(word in v for word in ("fork", "spawn", "notebook")),
        "one that starts a command for each device, such as auto or ddp",
    ),
    "trainer.precision": (lambda v: v in PRECISIONS, "one of " + ", ".join(PRECISIONS)),
    "trainer.gradient_clip": _NOT_NEGATIVE,
    "trainer.accumulate": _COUNT,
    "trainer.check_val_every": _COUNT,
    "trainer.patience": _NOT_NEGATIVE,
    "trainer.monitor": (
        lambda v: v.startswith("val/"),
        "a key of the validation split, such as val/mpjpe_mm (the test split never chooses)",
    ),
    "trainer.threads": (
        lambda v: v == AUTO or (isinstance(v, int) and v >= 0),
        "auto, or a whole number from 0",
    ),
    "trainer.ema.decay": _DECAY,
    "wandb.timeout": _POSITIVE,
    "panels.worst": _NOT_NEGATIVE,
    "panels.every": _NOT_NEGATIVE,
    "panels.tracks": _NOT_NEGATIVE,
}

# `${key}` with nothing in it that could ask a resolver, which reads the environment and more.
_NAMES_A_KEY = re.compile(r"\$\{[^${}:]*\}")
_DEEPEST, _REFERENCES = 32, 24
_INTEGERS = 2**63

T = TypeVar("T")
_MADE: dict[type[Any], tuple[Any, Any]] = {}
# A list in the place of a mapping is a TypeError of OmegaConf's.
_WRONG_VALUE = (OmegaConfBaseException, TypeError)
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def check_values(config: ExperimentConfig) -> None:
    """Check every value that has a range.

    Raises:
        ConfigError: A value is out of range; names the key, what it may be, and what it is.
    """
    find_set(config.data.name)
    if config.data.skeleton is not None:
        get_skeleton(config.data.skeleton)
    for key, (holds, words) in CHECKS.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if not holds(value):
            raise ConfigError(
                f"expected '{key}' to be {words}, got {value!r}; correct it in the file or with "
                f"{key}=VALUE"
            )
    check_tto(config.tto)


def to_schema(schema: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Build a configuration dataclass from plain values; missing keys take their default.

    A dataclass may name keys that it once had in a class variable ``removed``, a mapping to their
    defaults. Files of older runs hold them: they are dropped where they have that value.

    Args:
        schema: The dataclass.
        values: Nested mappings of plain values, interpolations resolved.
        prefix: Full key of the section, for messages.

    Raises:
        ConfigError: An unknown key, one that was removed, or a value of the wrong type.
    """
    check_plain(values, prefix)
    values = _without_removed(schema, values, prefix)
    _check_keys(schema, values, prefix)
    try:
        structured, defaults = _made(schema)
        merged = OmegaConf.merge(structured, _changed(values, defaults))
        built: T = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except _WRONG_VALUE as error:
        _check_values(schema, values, prefix)
        raise ConfigError(f"invalid section '{prefix}': {first_line(error)}") from error
    check_plain(dataclasses.asdict(built), prefix)  # type: ignore[call-overload]
    return built


def plain_defaults(schema: type[Any]) -> dict[str, Any]:
    """Default values of a configuration dataclass as nested plain mappings.

    Raises:
        ConfigError: The dataclass itself is not one OmegaConf can hold.
    """
    try:
        defaults: dict[str, Any] = copy.deepcopy(_made(schema)[1])
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"expected {schema.__name__} to hold plain fields, got: {first_line(error)}"
        ) from error
    return defaults


def _changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values that are not the default anyway: OmegaConf converts each one at some cost."""
    changed = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value = _changed(value, default)
            if not value:
                continue
        elif key in defaults and type(value) is type(default) and repr(value) == repr(default):
            continue
        changed[key] = value
    return changed


def _made(schema: type[Any]) -> tuple[Any, Any]:
    """What OmegaConf makes of a dataclass, and its plain defaults, once: they take their time."""
    if schema not in _MADE:
        structured = OmegaConf.structured(schema)
        _MADE[schema] = structured, OmegaConf.to_container(structured)
    return _MADE[schema]


def to_container(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings of plain values, interpolations resolved.

    Args:
        values: The same, in which ``${key}`` stands for another key's value.

    Raises:
        ConfigError: As of :func:`check_plain`; or an interpolation has no value, or a mandatory
            value is missing.
    """
    if not check_plain(values):
        return copy.deepcopy(dict(values))
    try:
        created = OmegaConf.create(dict(values))
        return OmegaConf.to_container(created, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"expected a value for '{error.full_key}', got: {first_line(error)}; give it with "
            f"{error.full_key}=VALUE"
        ) from error
    except RecursionError as error:
        raise ConfigError(
            "expected references that end at a value, got some that lead back to themselves; "
            "write the value in the place of one ${...}"
        ) from error


def check_plain(values: Any, prefix: str = "", of: str = "the configuration") -> int:
    """Check what a stranger's text may hold, before anything of it is resolved or converted.

    A ``${...}`` names another key and nothing else: resolvers read the environment, or run code.

    Args:
        values: Nested mappings and lists of plain values.
        prefix: Full key of the section, for messages.
        of: What it is a part of, for messages.

    Returns:
        How many values stand for another: references, and the sign of a missing one.

    Raises:
        ConfigError: A resolver, a number or text that no key takes, or values nested too deep.
    """
    references = 0
    waiting = [(values, prefix, 0)]
    while waiting:
        value, key, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ConfigError(
                f"expected at most {_DEEPEST} levels in {of}, got more below '{key:.60}'; write "
                "it with fewer"
            )
        if isinstance(value, Mapping):
            waiting += [(v, _full(key, k), depth + 1) for k, v in value.items()]
            waiting += [(k, key, depth + 1) for k in value if isinstance(k, str)]
        elif isinstance(value, list | tuple):
            waiting += [(v, f"{key}[{i}]", depth + 1) for i, v in enumerate(value)]
        else:
            references += _check_one(value, key, of)
    if references > _REFERENCES:
        raise ConfigError(
            f"expected at most {_REFERENCES} references such as ${{key}} in {of}, got "
            f"{references}; write the values in their place"
        )
    return references


def _check_one(value: Any, key: str, of: str) -> int:
    """Check one value; returns how many references to other keys it holds."""
    if isinstance(value, float) and not math.isfinite(value):
        wanted, got = "a finite number", f"{value}"
    elif isinstance(value, int) and abs(value) >= _INTEGERS:
        wanted, got = "a number of 64 bits", f"one of {value.bit_length()}"
    elif isinstance(value, str) and "\0" in value:
        wanted, got = "text", "the sign that ends all text (NUL)"
    elif isinstance(value, str) and "${" in value:
        inner, left = value, ""
        while left != inner:
            left, inner = inner, _NAMES_A_KEY.sub("_", inner)
        if "${" not in left:
            return value.count("${")
        wanted, got = "${...} to name another key", f"{value!r:.80}, which asks for something else"
    else:
        return int(value == MISSING)
    raise ConfigError(f"expected {wanted} for '{key:.80}' in {of}, got {got}; write a plain value")


def first_line(error: Exception) -> str:
    """What an error says, without the details that follow."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _without_removed(schema: type[Any], values: Any, prefix: str) -> Any:
    """The values without keys that were removed, in this section and in those within."""
    if not isinstance(values, Mapping):
        return values
    removed: Mapping[str, object] = getattr(schema, "removed", {})
    hints = get_type_hints(schema)
    kept = {}
    for key, value in values.items():
        if key in removed:
            if value != removed[key]:
                raise ConfigError(
                    f"expected no key '{_full(prefix, key)}', which was removed (what it did as "
                    f"{removed[key]!r} is always done now), got {value!r}; leave it out"
                )
        elif dataclasses.is_dataclass(hints.get(key)):
            kept[key] = _without_removed(hints[key], value, _full(prefix, key))
        else:
            kept[key] = value
    return kept


def _check_keys(schema: type[Any], values: Any, prefix: str) -> None:
    """Name the first key that is unknown, the section that is none, or the list that holds lists.

    OmegaConf takes anything but single values of the wrong type for an item of a list.
    """
    if not isinstance(values, Mapping):
        hint = "; to change the data set say extends=data/NAME" if prefix == "data" else ""
        raise ConfigError(
            f"expected '{prefix}' to be a section of keys, got {values!r}; write "
            f"{prefix}.KEY=VALUE{hint}"
        )
    hints = get_type_hints(schema)
    names = [f.name for f in dataclasses.fields(schema)]
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"unknown key '{_full(prefix, key)}'; {suggest(str(key), names)}")
        if dataclasses.is_dataclass(hints[key]):
            _check_keys(hints[key], value, _full(prefix, key))
        elif _holds_lists(value) and _of_single_values(hints[key]):
            raise _wrong_value(_full(prefix, key), hints[key], value)


def _holds_lists(value: Any) -> bool:
    inner = value if isinstance(value, list | tuple) else ()
    return any(isinstance(item, Mapping | list | tuple) for item in inner)


def _of_single_values(hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(map(_of_single_values, args))
    return origin in (tuple, list) and bool(args) and args[0] in _WORDS


def _check_values(schema: type[Any], values: Mapping[str, Any], prefix: str) -> None:
    """Name the first key that holds a value of the wrong type."""
    hints = get_type_hints(schema)
    for key, value in values.items():
        if dataclasses.is_dataclass(hints[key]):
            _check_values(hints[key], value, _full(prefix, key))
        else:
            _check_value(key, value, _full(prefix, key), hints[key])


def _full(prefix: str, key: object) -> str:
    return f"{prefix}.{key}" if prefix else str(key)


def _check_value(key: str, value: Any, full: str, hint: Any) -> None:
    # A schema of this key alone: one of all sections of the data takes a tenth of a second.
    alone = dataclasses.make_dataclass("Alone", [(key, hint, dataclasses.field(default=MISSING))])
    try:
        OmegaConf.merge(OmegaConf.structured(alone), {key: value})
    except _WRONG_VALUE as error:
        raise _wrong_value(full, hint, value) from error


def _wrong_value(full: str, hint: Any, value: Any) -> ConfigError:
    return ConfigError(
        f"expected '{full}' to be {type_words(hint)}, got {value!r} ({type(value).__name__}); "
        f"correct it in the file or with {full}=VALUE"
    )


def type_words(hint: Any) -> str:
    """What a type annotation asks for, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (Union, types.UnionType):
        some = [type_words(a) for a in args if a is not type(None)]
        return " or ".join(some) + (" or null" if type(None) in args else "")
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f"a list of {len(args)} values, each {type_words(args[0])}"
    if origin in (tuple, list):
        return f"a list, each {type_words(args[0])}" if args else "a list"
    return "a section of keys"
