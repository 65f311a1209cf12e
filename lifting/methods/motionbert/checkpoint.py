"""The authors' weights of MotionBERT, under the key ``model_pos``, renamed and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lifting.files.tensors import State
from lifting.methods.clip_checkpoint import as_module, read_weights, renamed
from lifting.methods.conversion import Converted
from lifting.methods.motionbert.config import Config
from lifting.methods.motionbert.lifter import places
from lifting.methods.motionbert.network import Dstformer
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import Skeleton

FILES = ("weights",)
KEY = "model_pos"

_STREAMS = {"joints_first": "blocks_st", "frames_first": "blocks_ts"}
_HALVES = {"joints": "s", "frames": "t"}
_PARTS = {
    "mixer_norm": "norm1_{}",
    "mixer.qkv": "attn_{}.qkv",
    "mixer.out": "attn_{}.proj",
    "mlp_norm": "norm2_{}",
    "expand": "mlp_{}.fc1",
    "contract": "mlp_{}.fc2",
}
_ENDS = {"embed": "joints_embed", "norm": "norm", "represent": "pre_logits.fc", "head": "head"}


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
    with torch.device("meta"):
        joints = len(Skeleton.of(settings.skeleton))
        network = Dstformer(joints, places(config, settings.frames), config)
    state = import_state(read_weights(path, KEY), network.state_dict(), config)
    return as_module(state, config)


def import_state(
    official: Mapping[str, Tensor], shapes: Mapping[str, Tensor], config: Config
) -> State:
    """Rename the authors' weights; shapes are the same.

    Args:
        official: By official name.
        shapes: Weights of :class:`Dstformer` of the sizes they are to have.
        config: Its depth and fusion.

    Raises:
        CheckpointError: A weight is missing, unknown, or of another shape.
    """
    return renamed(official, dict(_names(config)), shapes, "DSTformer")


def export_state(state: Mapping[str, Tensor], config: Config) -> State:
    """Official names of our weights, or of anything by our names; inverse of import_state."""
    return {theirs: state[ours] for ours, theirs in _names(config)}


def _names(config: Config) -> Iterator[tuple[str, str]]:
    """Our name and the official one of every weight."""
    yield "joint_position", "pos_embed"
    yield "frame_position", "temp_embed"
    for kind in ("weight", "bias"):
        for ours, theirs in _ENDS.items():
            yield f"{ours}.{kind}", f"{theirs}.{kind}"
        for i in range(config.depth):
            if config.fusion:
                yield f"layers.{i}.fusion.logits.{kind}", f"ts_attn.{i}.{kind}"
            for stream, blocks in _STREAMS.items():
                for half, letter in _HALVES.items():
                    for ours, theirs in _PARTS.items():
                        name = f"layers.{i}.{stream}.{half}.{ours}.{kind}"
                        yield name, f"{blocks}.{i}.{theirs.format(letter)}.{kind}"
