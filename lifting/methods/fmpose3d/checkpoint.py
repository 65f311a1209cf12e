"""The authors' weights of FMPose3D: a plain state dictionary, renamed and checked.

Nothing but tensors is ever unpickled. The code is under Apache-2.0, the weights are not: see
``LICENCE``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from lifting.errors import CheckpointError
from lifting.files.tensors import PREFIX, State, check_names, load_tensors, state_of
from lifting.methods.conversion import Converted
from lifting.methods.fmpose3d.config import Config
from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.methods.settings import ModuleSettings
from lifting.nn.graph import check_graph, from_official, to_official
from lifting.skeleton import Skeleton

FILES = ("weights",)
LICENCE = (
    "the authors' weights of FMPose3D are under CC BY-NC-ND 4.0: not for commercial use, and what "
    "is converted from them is for yourself alone; do not pass it on"
)
PUBLISHED = "the published network is that of the experiment fmpose3d_released"
OWN_PREFIX = "network."
GRAPH, GRAPH_SUFFIX = "A", ".gcn1.adj"
BLOCKS = "FMPose3D.blocks."
FREQUENCIES = "time.frequencies"
_LAYERS = (
    ("time.perceptron.first", "time_embed.proj.0"),
    ("time.perceptron.second", "time_embed.proj.2"),
    ("encoder.first", "encoder.fc1"),
    ("encoder.second", "encoder.fc2"),
    ("norm", "FMPose3D.norm_mu"),
    ("head.first", "pred_mu.fc1"),
    ("head.second", "pred_mu.fc2"),
)
_BLOCK = (
    ("graph_norm", "norm1"),
    ("graph", "gcn1.conv1d"),
    ("attention_norm", "norm_att1"),
    ("attention.qkv", "attn.qkv"),
    ("attention.projection", "attn.proj"),
    ("perceptron_norm", "norm_mlp"),
    ("enter", "mlp.fc1"),
    ("leave", "mlp.fc2"),
)

log = logging.getLogger(__name__)


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module from the authors' file; says under which terms they are.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of another network.
    """
    (path,) = files
    content = state_of(load_tensors(path), path)
    converted = import_state(content, config, Skeleton.of(settings.skeleton))
    log.warning("%s: %s", path, LICENCE)
    state = {f"{OWN_PREFIX}{name}": value for name, value in converted.state.items()}
    return Converted(state, converted.unused)


def import_state(official: Mapping[str, Tensor], config: Config, skeleton: Skeleton) -> Converted:
    """Rename and reshape the authors' weights.

    Args:
        official: Weights by official name, with or without the prefix ``module.``. Graphs among
            them are compared with ours and not used.
        config: Configuration of the network they are for.
        skeleton: Its graph.

    Returns:
        Weights of :class:`VelocityNetwork` by our names, and the names that were compared only.

    Raises:
        CheckpointError: A weight is missing, unknown or of another shape, or another graph; or the
            weights were trained for another end of the root's path.
    """
    if config.root_target != "absolute":
        raise CheckpointError(
            "expected method.root_target absolute, as published weights were trained, got "
            f"{config.root_target}; {PUBLISHED}"
        )
    given = {name.removeprefix(PREFIX): value for name, value in official.items()}
    graphs = tuple(n for n in given if n == GRAPH or n.endswith(GRAPH_SUFFIX))
    for name in graphs:
        check_graph(name, given[name], skeleton)
    layers = len({name.split(".")[2] for name in given if name.startswith(BLOCKS)})
    if layers != config.layers:
        raise CheckpointError(
            f"expected weights of {config.layers} layers, got {layers}; {PUBLISHED}, or set the "
            "sizes of the method section"
        )
    names = dict(_names(config.layers))
    check_names(set(given) - set(graphs), set(names.values()), "FMPose3D")
    wanted = export_state(VelocityNetwork(skeleton, config).state_dict(), config)
    state: State = {}
    for ours, theirs in names.items():
        value, expected = given[theirs], tuple(wanted[theirs].shape)
        if tuple(value.shape) != expected:
            raise CheckpointError(
                f"expected {theirs} of shape {expected}, got {tuple(value.shape)}; set the widths "
                "of the method section to those of the file"
            )
        state[ours] = from_official(ours, value)
    return Converted(state, graphs)


def export_state(state: Mapping[str, Tensor], config: Config) -> State:
    """Official names and shapes of our weights (or of anything of their shape)."""
    pairs = _names(config.layers)
    return {theirs: to_official(ours, state[ours]) for ours, theirs in pairs if ours in state}


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """Pairs of our name and the official one."""
    yield FREQUENCIES, "time_embed.B"
    blocks = tuple(
        (f"blocks.{i}.{ours}", f"{BLOCKS}{i}.{theirs}")
        for i in range(layers)
        for ours, theirs in _BLOCK
    )
    for ours, theirs in (*_LAYERS, *blocks):
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", f"{theirs}.{kind}"
