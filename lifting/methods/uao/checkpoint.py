"""The authors' weights of GUMLP: a plain state dictionary, renamed and checked.

Nothing but tensors is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lifting.errors import CheckpointError
from lifting.files.tensors import PREFIX, State, check_names, load_tensors, state_of
from lifting.methods.conversion import Converted
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.config import Config
from lifting.methods.uao.network import Gumlp
from lifting.nn.graph import check_graph, from_official, to_official
from lifting.skeleton import Skeleton

FILES = ("weights",)
OWN_PREFIX = "network."
GRAPH = "A"
GRAPH_SUFFIX = ".gcn1.adj"
ENTER = ("up1", "up2")
LEAVE = ("down1", "down2")


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' file.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of another network.
    """
    (path,) = files
    converted = import_state(
        state_of(load_tensors(path), path), config, Skeleton.of(settings.skeleton)
    )
    state = {f"{OWN_PREFIX}{name}": value for name, value in converted.state.items()}
    return Converted(state, converted.unused)


def import_state(official: Mapping[str, Tensor], config: Config, skeleton: Skeleton) -> Converted:
    """Rename and reshape the authors' weights.

    Args:
        official: Weights by official name, with or without the prefix ``module.``. Adjacencies
            among them are compared with ours and not used.
        config: Configuration of the network they are for.
        skeleton: Its graph.

    Returns:
        Weights of :class:`Gumlp` by our names, and the names that were compared only.

    Raises:
        CheckpointError: A weight is missing, unknown or of another shape, or another graph.
    """
    given = {name.removeprefix(PREFIX): value for name, value in official.items()}
    graphs = tuple(n for n in given if n == GRAPH or n.endswith(GRAPH_SUFFIX))
    for name in graphs:
        check_graph(name, given[name], skeleton)
    names = dict(_names(config.blocks))
    check_names(set(given) - set(graphs), set(names.values()), "GUMLP")
    wanted = _shapes(config, skeleton)
    state: State = {}
    for ours, theirs in names.items():
        expected = tuple(to_official(ours, torch.empty(wanted[ours], device="meta")).shape)
        _check_shape(theirs, given[theirs], expected)
        state[ours] = from_official(ours, given[theirs])
    return Converted(state, graphs)


def export_state(state: Mapping[str, Tensor], config: Config) -> State:
    """Official names and shapes of our weights (or of anything of their shape)."""
    return {theirs: to_official(ours, state[ours]) for ours, theirs in _names(config.blocks)}


def _names(blocks: int) -> Iterator[tuple[str, str]]:
    """Pairs of our name and the official one."""
    for kind in ("weight", "bias"):
        for ours, theirs in _layers(blocks):
            yield f"{ours}.{kind}", f"{theirs}.{kind}"


def _layers(blocks: int) -> Iterator[tuple[str, str]]:
    pairs = (("encoder", "encoder"), ("pose_head", "pred_mu"), ("sigma_head", "pred_s"))
    for ours, theirs in pairs:
        yield f"{ours}.first", f"{theirs}.fc1"
        yield f"{ours}.second", f"{theirs}.fc5"
    yield "pose_norm", "GCN_MLP.norm_mu"
    yield "sigma_norm", "GCN_MLP.norm_s"
    for i in range(blocks):
        for ours, theirs in _block_layers():
            yield f"blocks.{i}.{ours}", f"GCN_MLP.blocks.{i}.{theirs}"


def _block_layers() -> Iterator[tuple[str, str]]:
    yield "graph_norm", "norm1"
    yield "channel_norm", "norm2"
    yield "spatial_norm", "norm3"
    yield "graph", "gcn1.conv1d"
    for ours, enter, leave in (("channel", ("down",), ("up",)), ("spatial", ENTER, LEAVE)):
        theirs = f"{ours}_mlp.linear"
        yield f"{ours}.middle", f"{theirs}_mid.linear.0"
        for i, (into, out) in enumerate(zip(enter, leave, strict=True)):
            yield f"{ours}.enter.{i}", f"{theirs}_{into}.linear.0"
            yield f"{ours}.leave.{i}", f"{theirs}_{out}.linear.0"


def _shapes(config: Config, skeleton: Skeleton) -> dict[str, torch.Size]:
    network = Gumlp(skeleton, config)
    return {name: value.shape for name, value in network.state_dict().items()}


def _check_shape(name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(value.shape) != expected:
        raise CheckpointError(
            f"expected {name} of shape {expected}, got {tuple(value.shape)}; set the widths of "
            "the method section to those of the file"
        )
