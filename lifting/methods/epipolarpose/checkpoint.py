"""The authors' weights of the network and of the refinement unit, and weights to start from.

Our names are the authors', which for the residual network are torchvision's. A file of theirs is
a bare state dictionary (``best``, ``final state``) or one under ``state_dict`` beside epoch and
optimiser. Nothing but tensors and plain values is ever unpickled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lifting.errors import CheckpointError
from lifting.files.tensors import State, load_tensors, state_of
from lifting.methods.conversion import Converted
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.settings import ModuleSettings
from lifting.nn.resnet import FORMS
from lifting.skeleton import MPII_16, Skeleton

FILES = ("network",)
OWN_KEY = "lifting"
NETWORK, FROZEN = "student.network.", "student.frozen."
UNIT = "refiner.unit."
COUNTER = "num_batches_tracked"
CLASSIFIER = "fc."
OF_UNIT = "linear_stages."
LAST = "final_layer."

log = logging.getLogger(__name__)


class Started(NamedTuple):
    """What a file gave to a network.

    Attributes:
        taken: Names of the weights that were copied.
        left: Names in the file that the network has in another shape or not at all.
        fresh: Names of the network that the file does not have, or in another shape.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    fresh: tuple[str, ...]


def convert(files: Sequence[Path], config: Config, settings: ModuleSettings) -> Converted:
    """Weights of a module of the image form from the authors' file.

    Args:
        files: The one file.
        config: Configuration of the network they are for.
        settings: Of the module.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of another network.
    """
    (path,) = files
    if config.form != "image":
        raise CheckpointError(
            f"expected method.form 'image' for the authors' network, got '{config.form}'; convert "
            "with method.form=image, or name the file in method.start"
        )
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
            "expected weights of the network, got those of the refinement unit; it starts from "
            "them with method.refiner_start"
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
    return _start(network, _own_or_official(path, NETWORK), path, needed="conv1.weight")


def start_unit(unit: nn.Module, path: Path) -> Started:
    """Copy into a refinement unit what fits of a file.

    The statistics that standardise poses are not among it; they are measured before training.

    Args:
        unit: To start.
        path: The authors' file, or a checkpoint of this method.

    Raises:
        MissingDataError: No such file.
        CheckpointError: The file is unsafe, damaged, or of another unit.
    """
    return _start(unit, _own_or_official(path, UNIT), path, needed="w1.weight")


def _own_or_official(path: Path, prefix: str) -> State:
    content = load_tensors(path)
    weights = state_of(content, path)
    if isinstance(content, Mapping) and OWN_KEY in content:
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return weights


def _start(network: nn.Module, given: State, path: Path, needed: str) -> Started:
    wanted = network.state_dict()
    fits = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    if needed not in fits:
        came = tuple(given[needed].shape) if needed in given else "none"
        raise CheckpointError(
            f"expected {needed} of shape {tuple(wanted[needed].shape)} in {path}, got {came}; "
            "give weights of a network of these sizes, or set the sizes of the method section to "
            "theirs"
        )
    network.load_state_dict(fits, strict=False)
    left = tuple(k for k in given if k not in fits and not k.startswith(CLASSIFIER))
    fresh = tuple(k for k in wanted if k not in fits and not k.endswith(COUNTER))
    if left or fresh:
        log.warning(
            "%s: %d weights taken; %d of the file do not fit (%s); %d start anew (%s)",
            path, len(fits), len(left), _few(left), len(fresh), _few(fresh),
        )  # fmt: skip
    return Started(tuple(fits), left, fresh)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


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
