"""The authors' weights, and this method's own, for the two networks.

The authors save a list ``[model, optimiser, epoch, step, ema]``, and for the video context encoder
a mapping with the key ``model_pos``; model keys carry the prefix ``module.``. Nothing but tensors
and plain values is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lifting.errors import CheckpointError
from lifting.files.tensors import State, check_names, load_tensors, strip_prefix
from lifting.methods.conversion import Converted
from lifting.methods.diffpose.config import Config
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import import_mixste_state, model_part
from lifting.skeleton import H36M_17, Skeleton

FILES = ("denoiser", "context encoder")
OWN_KEY = "lifting"
DEAD_IN_CONTEXT = tuple(f"temb.dense.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias"))


@dataclass(frozen=True)
class Imported:
    """Weights read from a file.

    Attributes:
        state: Weights by our names.
        dead: Official names present in the file that no computation uses.
    """

    state: State
    dead: tuple[str, ...] = field(default=())


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' two files.

    Args:
        files: Those of the denoiser and of the context encoder.
        config: Configuration of the networks they are for.
        settings: Of the module.

    Raises:
        MissingDataError: A file is absent.
        CheckpointError: A file is unsafe, damaged, or of another network.
    """
    denoiser, context = files
    parts = {
        "context": _read_any_context(context, config),
        "denoiser": read_denoiser(denoiser, config.denoiser_layers or config.layers),
    }
    return Converted(
        {f"network.{p}.{k}": v for p, part in parts.items() for k, v in part.state.items()},
        tuple(f"{p}: {name}" for p, part in parts.items() for name in part.dead),
    )


def read_context(path: Path, layers: int, *, video: bool = False) -> Imported:
    """Context encoder weights from the authors' file or from a checkpoint of this method.

    Args:
        path: The file.
        layers: Depth of the encoder.
        video: The encoder is the one of windows.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or holds something else.
    """
    content = load_tensors(path)
    if isinstance(content, dict) and OWN_KEY in content:
        return Imported(_own_part(content, "network.context.", path))
    if not video:
        return _import(content, layers, path, timed=False)
    return Imported(import_mixste_state(model_part(content, path), layers))


def load_context(
    network: nn.Module, path: Path, config: Config, skeleton: Skeleton = H36M_17
) -> None:
    """Fill a context encoder from the authors' file or from a checkpoint of this method.

    Args:
        network: The encoder.
        path: The file.
        config: Configuration of the encoder.
        skeleton: Joints of the encoder. The authors' and older files are of Human3.6M's.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of an encoder of another form or size, or
            of other joints.
    """
    content = load_tensors(path)
    facts = content.get(OWN_KEY, {}) if isinstance(content, dict) else {}
    trained = Skeleton.of(facts.get("skeleton", H36M_17.plain()))
    if trained != skeleton:
        raise CheckpointError(
            f"expected a context encoder of {skeleton.name}, got one of {trained.name} in {path}; "
            f"set data.skeleton={trained.name} to convert the data, or train one on these joints"
        )
    given, wanted = _read_any_context(path, config).state, network.state_dict()
    check_names(set(given), set(wanted))
    for name, value in given.items():
        if value.shape != wanted[name].shape:
            raise CheckpointError(
                f"expected {name} of shape {tuple(wanted[name].shape)}, got "
                f"{tuple(value.shape)} in {path}; give the size it was trained with in the method "
                "section, and its window in data.frames"
            )
    network.load_state_dict(given)


def read_denoiser(path: Path, layers: int) -> Imported:
    """Denoiser weights from the authors' file or from a checkpoint of this method.

    Args:
        path: The file.
        layers: Depth of the denoiser.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or holds something else.
    """
    content = load_tensors(path)
    if isinstance(content, dict) and OWN_KEY in content:
        return Imported(_own_part(content, "network.denoiser.", path))
    return _import(content, layers, path, timed=True)


def import_state(official: Mapping[str, Tensor], layers: int, *, timed: bool) -> Imported:
    """Rename and reshape the authors' weights.

    Args:
        official: Weights by official name, with or without the prefix ``module.``.
        layers: Depth of the network.
        timed: True for the denoiser, False for the context encoder.

    Raises:
        CheckpointError: A weight is missing, unknown, or of a shape that cannot be renamed.
    """
    given = strip_prefix(official)
    dead = () if timed else tuple(n for n in DEAD_IN_CONTEXT if n in given)
    expected = {name for group in _names(layers, timed).values() for name in group}
    check_names(set(given) - set(dead), expected)
    state: State = {}
    for ours, group in _names(layers, timed).items():
        parts = [_squeeze(name, given[name]) for name in group]
        state[ours] = parts[0] if len(parts) == 1 else torch.cat(parts)
    return Imported(state, dead=dead)


def export_state(state: Mapping[str, Tensor], layers: int, *, timed: bool) -> State:
    """Official names and shapes of our weights (or of anything of their shape), inverse of import.

    Args:
        state: Tensors by our names.
        layers: Depth of the network.
        timed: True for the denoiser, False for the context encoder.
    """
    official: State = {}
    for ours, group in _names(layers, timed).items():
        for name, part in zip(group, state[ours].chunk(len(group)), strict=True):
            is_graph = ".gconv.weight" in name or name in _ENDS
            is_offset = ".gconv.bias" in name or name in _END_OFFSETS
            shape = part[:, None] if is_graph else part[None, None] if is_offset else part
            official[name] = shape
    return official


_ENDS = ("gconv_input.weight", "gconv_output.weight")
_END_OFFSETS = ("gconv_input.bias", "gconv_output.bias")


def _names(layers: int, timed: bool) -> dict[str, tuple[str, ...]]:
    """Our name of each weight -> official names, which are concatenated."""
    return dict(_name_pairs(layers, timed))


def _name_pairs(layers: int, timed: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind in ("weight", "bias"):
        yield f"input.{kind}", (f"gconv_input.{kind}",)
        yield f"output.{kind}", (f"gconv_output.{kind}",)
        for i in range(layers):
            linears = f"atten_layers.{i}.self_attn.linears"
            yield f"layers.{i}.attention.qkv.{kind}", tuple(f"{linears}.{n}.{kind}" for n in "012")
            yield f"layers.{i}.attention.out.{kind}", (f"{linears}.3.{kind}",)
            forward = f"atten_layers.{i}.feed_forward"
            yield f"layers.{i}.graph.expand.{kind}", (f"{forward}.gconv1.fc.{kind}",)
            yield f"layers.{i}.graph.contract.{kind}", (f"{forward}.gconv2.fc.{kind}",)
            yield f"layers.{i}.first.{kind}", (f"gconv_layers.{i}.gconv1.gconv.{kind}",)
            yield f"layers.{i}.second.{kind}", (f"gconv_layers.{i}.gconv2.gconv.{kind}",)
            if timed:
                yield f"layers.{i}.time.{kind}", (f"gconv_layers.{i}.temb_proj.{kind}",)
        if timed:
            yield f"embed.first.{kind}", (f"temb.dense.0.{kind}",)
            yield f"embed.second.{kind}", (f"temb.dense.1.{kind}",)
    for i in range(layers):
        yield f"layers.{i}.graph.adjacency", (f"atten_layers.{i}.feed_forward.A_hat",)
        for j, ours in enumerate(("attention_norm", "graph_norm")):
            norm = f"atten_layers.{i}.sublayer.{j}.norm"
            yield f"layers.{i}.{ours}.gain", (f"{norm}.a_2",)
            yield f"layers.{i}.{ours}.offset", (f"{norm}.b_2",)


def _read_any_context(path: Path, config: Config) -> Imported:
    video = config.context == "mixste"
    return read_context(path, config.context_layers if video else config.layers, video=video)


def _own_part(content: Mapping[str, Any], prefix: str, path: Path) -> State:
    owner = content[OWN_KEY].get("method")
    weights = content.get("state_dict", {})
    part = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    if owner != "diffpose" or not part:
        raise CheckpointError(
            f"expected a diffpose checkpoint with weights '{prefix}*' in {path}, got one of "
            f"'{owner}' with {len(part)} of them; give a checkpoint of this method"
        )
    return part


def _import(content: Any, layers: int, path: Path, *, timed: bool) -> Imported:
    if not (isinstance(content, list) and content and isinstance(content[0], dict)):
        raise CheckpointError(
            f"expected the list [model, optimiser, epoch, step, ema] in {path}, got "
            f"{type(content).__name__}; give the authors' frame checkpoint"
        )
    return import_state(content[0], layers, timed=timed)


def _squeeze(name: str, value: Tensor) -> Tensor:
    """Drop the axes of size one that the official graph convolutions carry."""
    is_offset = value.ndim == 3 and value.shape[:2] == (1, 1)
    is_graph = value.ndim == 4 and value.shape[1] == 1
    if is_offset:
        return value[0, 0]
    if is_graph:
        return value[:, 0]
    if value.ndim > 2:
        raise CheckpointError(
            f"expected {name} of shape (3, 1, in, out), (1, 1, out), (out, in) or (out,), got "
            f"{tuple(value.shape)}; check which network the file is for"
        )
    return value
