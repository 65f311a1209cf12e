"""Reads checkpoints without trusting them. No Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lifting.errors import CheckpointError
from lifting.experiment.folder import BEST, LAST
from lifting.experiment.load import method_config
from lifting.files.tensor_archive import read_tensor_archive
from lifting.methods.discovery import current_section, method_packages
from lifting.methods.lifter import CHECKPOINT_KEY, PoseLifter

_OTHER = {BEST: LAST, LAST: BEST}
_FACTS: dict[str, tuple[Any, str]] = {
    "method": (str, "a name"),
    "config": (dict, "a section of keys"),
    "settings": (dict | None, "a section of keys"),
    "skeleton": (str | dict | None, "a skeleton"),
    "fps": (int | float | None, "a number"),
    "frames": (int | None, "a whole number"),
    "normalisation": (str | None, "text"),
    "experiment": (dict | None, "a section of keys"),
}
# What building a method from senseless values raises; a size that no memory holds among them.
_MISFIT = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def read_checkpoint(path: Path, method: str | None = None) -> dict[str, Any]:
    """Read a checkpoint of a method; nothing in it is executed, and every byte of it is tested.

    One of an older version is said to be of the method that its weights belong to today.

    Args:
        path: The file.
        method: Name of the method whose weights it must hold; None takes any.

    Raises:
        CheckpointError: No such file, not a checkpoint, damaged, holding other than plain values
            and dense tensors of real numbers, or of another method. If it is one of the two of a
            run and the other is whole, the message names that.
    """
    try:
        checkpoint = _read(path)
    except CheckpointError as error:
        other = _other(path)
        if other is None:
            raise
        raise CheckpointError(
            f"{error}; the other checkpoint of the run is whole: --checkpoint {other}, or for a "
            f"new training --init-from {other}"
        ) from error
    found = checkpoint[CHECKPOINT_KEY]["method"]
    if method is not None and found != method:
        raise CheckpointError(
            f"expected a checkpoint of method '{method}', got one of '{found}' in "
            f"{path}; name an experiment of that method or another checkpoint"
        )
    return checkpoint


def _other(path: Path) -> Path | None:
    """The last checkpoint of a run beside its best, or the other way round, if it is whole."""
    if path.stem not in _OTHER:
        return None
    other = path.with_stem(_OTHER[path.stem])
    try:
        _read(other)
    except CheckpointError:
        return None
    return other


def _read(path: Path) -> dict[str, Any]:
    checkpoint = _load(path)
    facts, weights = checkpoint.get(CHECKPOINT_KEY), checkpoint.get("state_dict")
    if not isinstance(facts, dict) or not isinstance(weights, dict):
        raise CheckpointError(
            f"expected a checkpoint written by `lifting train`, got {path}, whose keys are "
            f"{sorted(map(str, checkpoint))[:8]}; official weights are imported by `lifting "
            "convert`"
        )
    strange = [k for k, v in weights.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if strange:
        raise CheckpointError(
            f"expected a tensor under every name in {path}, got something else under "
            f"{strange[:3]!r:.120}; take another checkpoint of the run"
        )
    with described(path):
        for key, (kinds, words) in _FACTS.items():
            if not isinstance(facts.get(key), kinds):
                raise TypeError(f"'{key}' is {facts.get(key)!r:.60}, which is not {words}")
        for key in ("fps", "frames"):
            if not 0 < (facts.get(key) or 1) < math.inf:
                raise ValueError(f"'{key}' is {facts[key]!r:.60}, which is no rate or length")
        if facts["method"] in method_packages():
            section = current_section({"name": facts["method"], **facts["config"]})
            method_config(section)
            facts["method"], facts["config"] = section.pop("name"), section
    return checkpoint


@contextmanager
def described(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong with what a checkpoint says of its method.

    Args:
        path: The checkpoint.

    Raises:
        CheckpointError: In place of errors of values and of their kind.
    """
    try:
        yield
    except CheckpointError:
        raise
    except _MISFIT as error:
        raise CheckpointError(
            f"expected {path} to describe the method that it belongs to, got: {error!s:.300}; "
            "take another checkpoint of the run, or a version of the method that fits it"
        ) from error


def method_config_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The method section that a checkpoint was trained with, its name included."""
    facts = checkpoint[CHECKPOINT_KEY]
    return {"name": facts["method"], **facts["config"]}


def load_weights(module: nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Copy a checkpoint's weights into a module, which answers as in the stage that they are of.

    Args:
        module: The module, built from a configuration.
        checkpoint: What :func:`read_checkpoint` gave.
        path: Where it came from, for the message.

    Raises:
        CheckpointError: Names, shapes or kinds of the weights differ, or a weight is not finite.
    """
    if isinstance(module, PoseLifter):
        facts = checkpoint.get(CHECKPOINT_KEY, {})
        stages = [stage for stage in module.stages() if stage.name == facts.get("stage")]
        if stages and stages != [module.stage]:
            module.begin_stage(stages[0])
        module.on_load_checkpoint(checkpoint)  # where weights of older versions get today's names
        module.processes = int(facts.get("processes", 1))
    given, wanted = checkpoint["state_dict"], module.state_dict()
    problems = [f"{k} is missing" for k in wanted if k not in given]
    problems += [f"{k} is not known" for k in given if k not in wanted]
    problems += [
        f"{k} is {tuple(v.shape)} instead of {tuple(wanted[k].shape)}"
        for k, v in given.items()
        if k in wanted and v.shape != wanted[k].shape
    ]
    problems += [
        f"{k} holds {_kind(v)} instead of {_kind(wanted[k])}"
        for k, v in given.items()
        if k in wanted and _kind(v) != _kind(wanted[k])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"expected weights that fit the configured network, got {path}, in which "
            f"{'; '.join(problems[:3])}{more}; use the configuration it was trained with (the "
            "config.yaml of its run)"
        )
    bad = [k for k, _ in module.named_parameters() if not bool(given[k].isfinite().all())]
    if bad:
        raise CheckpointError(
            f"expected finite weights in {path}, got others in {', '.join(bad[:3])}"
            f"{f' and {len(bad) - 3} more' if len(bad) > 3 else ''}; the training diverged or the "
            "file is damaged: take another checkpoint of the run"
        )
    module.load_state_dict(given)


def _kind(weights: Tensor) -> str:
    """What the numbers of a tensor are, in words."""
    if weights.is_meta or weights.is_quantized or weights.layout != torch.strided:
        return "no plain numbers"
    if weights.is_floating_point():
        return "real numbers"
    if weights.is_complex():
        return "complex numbers"
    return "yes and no" if weights.dtype == torch.bool else "whole numbers"


def _load(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise CheckpointError(
            f"expected a checkpoint, got the folder {path}; of a run, name checkpoints/best.ckpt"
        )
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint at {path}, which does not exist; train one")
    loaded = read_tensor_archive(path)
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"expected a checkpoint in {path}, got a {type(loaded).__name__}; take another file"
        )
    return loaded
