"""The authors' weights of the network, and weights to start from.

Our names are the authors', which for the residual network are torchvision's. A file of theirs is
a bare state dictionary (``best``, ``final state``) or one under ``state_dict`` beside epoch and
optimiser. Nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lifting.errors import CheckpointError
from lifting.files.tensors import State, load_tensors, state_of
from lifting.methods.conversion import Converted
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.settings import ModuleSettings
from lifting.nn.resnet import FORMS
from lifting.nn.start import COUNTER, Started, start_from
from lifting.skeleton import MPII_16, Skeleton

FILES = ("network",)
NETWORK, FROZEN = "student.network.", "student.frozen."
OF_UNIT = "linear_stages."
LAST = "final_layer."


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
    state = import_network(state_of(load_tensors(path), path), config, settings.skeleton)
    prefixes = (NETWORK, FROZEN) if config.labels == "online" else (NETWORK,)
    return Converted({f"{p}{name}": value for p in prefixes for name, value in state.items()})


def import_network(
    official: Mapping[str, torch.Tensor], config: Config, skeleton: str | dict[str, Any]
) -> State:
    """Check the authors' weights and complete them.

    Args:
        official: By official name, without the prefix.
        config: Configuration of the network they are for.
        skeleton: Joints of labels and answers, a name or plain values.

    Returns:
        Weights of :class:`PoseNetwork`.

    Raises:
        CheckpointError: A weight is missing, unknown, or of another shape.
    """
    if any(name.startswith(OF_UNIT) for name in official):
        raise CheckpointError(
            "expected weights of the network, got those of the refinement unit; the method "
            "'refinement' starts from them with method.start"
        )
    _check_depth(official, config)
    joints = len(MPII_16) if config.joints == MPII_16.name else len(Skeleton.of(skeleton))
    with torch.device("meta"):
        wanted = PoseNetwork(joints, config).state_dict()
    zero = torch.zeros((), dtype=torch.int64)
    given = {name: zero for name in wanted if name.endswith(COUNTER)} | dict(official)
    missing, unknown = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or unknown:
        raise CheckpointError(
            f"expected {len(wanted)} weights, got {len(missing)} missing {missing[:3]} and "
            f"{len(unknown)} unknown {unknown[:3]}; check which network the file is for"
        )
    _check_joints(given, joints, config)
    for name, value in given.items():
        if value.shape != wanted[name].shape:
            raise CheckpointError(
                f"expected {name} of shape {tuple(wanted[name].shape)}, got {tuple(value.shape)}; "
                "set the widths of the method section to those of the file"
            )
    return given


def start_network(network: PoseNetwork, path: Path) -> Started:
    """Copy into a network what fits of a file; what does not fit is named in the log.

    Args:
        network: To start.
        path: The authors' file, a residual network's by torchvision's names, or a checkpoint of
            this method.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe or damaged, or has nothing of the residual network.
    """
    prefixes = (NETWORK, f"base.{NETWORK}")  # also below a refinement unit
    return start_from(network, path, prefixes, needed="conv1.weight")


def _check_depth(given: Mapping[str, object], config: Config) -> None:
    """Say which residual network a file is of, if it is another one."""
    blocks = tuple(
        len({name.split(".")[1] for name in given if name.startswith(f"layer{i}.")})
        for i in range(1, 5)
    )
    bottleneck = "layer1.0.conv3.weight" in given
    for depth, form in FORMS.items():
        if form == (blocks, bottleneck) and depth != config.depth:
            raise CheckpointError(
                f"expected a residual network of {config.depth} layers, got one of {depth}; set "
                f"method.depth={depth}"
            )


def _check_joints(given: Mapping[str, torch.Tensor], joints: int, config: Config) -> None:
    channels = len(given[f"{LAST}weight"])
    cells = config.depth_cells if config.volume else 1
    if channels != joints * cells:
        raise CheckpointError(
            f"expected {joints} joints of {cells} cells in {LAST}weight, got {channels} channels "
            f"({channels / cells:g} joints); a model of the 16 joints of MPII is read with "
            "method.joints=mpii16, one of 17 with method.joints=skeleton, and either starts a "
            "training as method.start, its last layer anew"
        )
