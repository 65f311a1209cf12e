"""Names of the video context encoder's weights, here and in the authors' files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from lifting.files.tensors import State, check_names, strip_prefix

_STACKS = {"over_joints": "STEblocks", "over_frames": "TTEblocks"}
_POSITIONS = {"joint_position": "Spatial_pos_embed", "frame_position": "Temporal_pos_embed"}
_ENDS = {
    "embed": "Spatial_patch_to_embedding",
    "joints_norm": "Spatial_norm",
    "frames_norm": "Temporal_norm",
    "output_norm": "head.0",
    "output": "head.1",
}
_PARTS = {
    "attention_norm": "norm1",
    "qkv": "attn.qkv",
    "out": "attn.proj",
    "mlp_norm": "norm2",
    "expand": "mlp.fc1",
    "contract": "mlp.fc2",
}


def import_video_state(official: Mapping[str, Tensor], layers: int) -> State:
    """Rename the authors' weights; shapes are the same.

    Args:
        official: Weights by official name, with or without the prefix ``module.``.
        layers: Depth of the network.

    Raises:
        CheckpointError: A weight is missing or unknown, or a value is no tensor.
    """
    given, names = strip_prefix(official), dict(_names(layers))
    check_names(set(given), set(names.values()))
    return {ours: given[theirs] for ours, theirs in names.items()}


def export_video_state(state: Mapping[str, Tensor], layers: int) -> State:
    """Official names of our weights, inverse of import_video_state."""
    return {theirs: state[ours] for ours, theirs in _names(layers)}


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """Our name and the official one of every weight."""
    yield from _POSITIONS.items()
    for kind in ("weight", "bias"):
        for ours, theirs in _ENDS.items():
            yield f"{ours}.{kind}", f"{theirs}.{kind}"
        for stack, their_stack in _STACKS.items():
            for i in range(layers):
                for ours, theirs in _PARTS.items():
                    yield f"{stack}.{i}.{ours}.{kind}", f"{their_stack}.{i}.{theirs}.{kind}"
