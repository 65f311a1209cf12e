"""The authors' weights of MotionAGFormer, under the key ``model``, renamed and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from lifting.files.tensors import State
from lifting.methods.clip_checkpoint import as_module, read_weights, renamed
from lifting.methods.conversion import Converted
from lifting.methods.motionagformer.config import BRANCHES, Config
from lifting.methods.motionagformer.network import MotionAgFormer
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import Skeleton

FILES = ("weights",)
KEY = "model"

_HALVES = {"joints": "spatial", "frames": "temporal"}
_KINDS = ("weight", "bias")
_STATISTICS = (*_KINDS, "running_mean", "running_var", "num_batches_tracked")
_ENDS = {"embed": "joints_embed", "norm": "norm", "represent": "rep_logit.fc", "head": "head"}
_BLOCK = {"mixer_norm": "norm1", "mlp_norm": "norm2", "expand": "mlp.fc1", "contract": "mlp.fc2"}


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' file.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: A file is absent.
        CheckpointError: The file is unsafe, damaged, or of another network.
    """
    (path,) = files
    skeleton = Skeleton.of(settings.skeleton)
    shapes = MotionAgFormer(skeleton, settings.frames, config).state_dict()
    return as_module(import_state(read_weights(path, KEY), shapes, config), config)


def import_state(
    official: Mapping[str, Tensor], shapes: Mapping[str, Tensor], config: Config
) -> State:
    """Rename the authors' weights; convolutions over time lose the axis of joints.

    Args:
        official: By official name.
        shapes: Weights of :class:`MotionAgFormer` of the sizes they are to have.
        config: Its layers and switches.

    Raises:
        CheckpointError: A weight is missing, unknown, or of another shape.
    """
    flat = {k: v[..., 0] if v.ndim == 4 and v.shape[-1] == 1 else v for k, v in official.items()}
    return renamed(flat, dict(_names(config)), shapes, "MotionAGFormer")


def export_state(state: Mapping[str, Tensor], config: Config) -> State:
    """Official names and shapes of our weights, or of anything by our names."""
    names = {ours: theirs for ours, theirs in _names(config) if ours in state}
    flat = {theirs: state[ours] for ours, theirs in names.items()}
    return {k: v[..., None] if v.ndim == 3 and ".mixer." in k else v for k, v in flat.items()}


def _names(config: Config) -> Iterator[tuple[str, str]]:
    """Our name and the official one of every weight."""
    yield "joint_position", "pos_embed"
    yield from _all(_ENDS, "", "", _KINDS)
    for i in range(config.layers):
        for half, theirs in _HALVES.items():
            for stream, letter in (("attention", "att"), ("graph", "graph")):
                ours, official = f"layers.{i}.{stream}.{half}.", f"layers.{i}.{letter}_{theirs}."
                bare = stream == "graph" and config.bare_graphs
                if not bare:
                    yield from _block(config, ours, official)
                inside = "" if bare else "mixer."
                yield from _mixer(config, stream, half, ours + inside, official + inside)
        if config.streams == "adaptive":
            yield from _all({"fusion.logits": "fusion"}, f"layers.{i}.", f"layers.{i}.", _KINDS)


def _block(config: Config, ours: str, official: str) -> Iterator[tuple[str, str]]:
    yield from _all(_BLOCK, ours, official, _KINDS)
    if config.layer_scale is not None:
        yield f"{ours}mixer_scale", f"{official}layer_scale_1"
        yield f"{ours}mlp_scale", f"{official}layer_scale_2"


def _mixer(
    config: Config, stream: str, half: str, ours: str, official: str
) -> Iterator[tuple[str, str]]:
    if stream == "attention":
        yield from _all({"qkv": "qkv"}, ours, official, _KINDS if config.qkv_bias else _KINDS[:1])
        yield from _all({"out": "proj"}, ours, official, _KINDS)
    elif half == "frames" and config.frame_graph == "tcn":
        enter = {f"enter.{i}": f"branches.{i}.0" for i in range(BRANCHES)}
        over = {f"over_time.{i}": f"branches.{i}.3.conv" for i in range(2)}
        yield from _all(enter | over, ours, official, _KINDS)
        norms = {f"enter_norm.{i}": f"branches.{i}.1" for i in range(BRANCHES)}
        norms |= {f"leave_norm.{i}": f"branches.{i}.3.bn" for i in range(2)}
        norms["leave_norm.2"] = "branches.2.4"
        yield from _all(norms, ours, official, _STATISTICS)
    else:
        yield from _all({"own": "U", "others": "V"}, ours, official, _KINDS)
        yield from _all({"norm": "batch_norm"}, ours, official, _STATISTICS)


def _all(
    parts: Mapping[str, str], ours: str, official: str, kinds: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for our, their in parts.items():
        for kind in kinds:
            yield f"{ours}{our}.{kind}", f"{official}{their}.{kind}"
