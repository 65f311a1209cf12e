"""The refinement unit: a residual perceptron from a 3D pose to a better one, for any method.

It needs 3D labels, so that what it refines is no longer without supervision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lifting.errors import ConfigError, DataError, check_shape
from lifting.methods.refinement.config import Config
from lifting.nn.dropout import Dropout
from lifting.skeleton import MPII_16, Skeleton
from lifting.typing import PerJoint, Pose3D

RATE_DECAY, RATE_STEPS = 0.96, 100_000
LEAST_SPREAD_MM = 1e-3

Activation = Literal["relu", "leaky"]


class TwoAnswers(NamedTuple):
    """What the unit says half-way and at its end.

    Attributes:
        first: ``(batch, numbers)``.
        second: ``(batch, numbers)``, the answer.
    """

    first: Tensor
    second: Tensor


class RefinerBlock(nn.Module):
    """Two pairs of hidden layers, each pair around a shortcut.

    Args:
        width: Of all layers.
        dropout: Probability of dropping a value.
        activation: After each normalisation.
    """

    def __init__(self, width: int, dropout: float, activation: Activation) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"w{i}", nn.Linear(width, width))
            self.add_module(f"batch_norm{i}", nn.BatchNorm1d(width))
        self.after = _after(dropout, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``(batch, width)``."""
        middle = x + self._hidden(2, self._hidden(1, x))
        return middle + self._hidden(4, self._hidden(3, middle))

    def _hidden(self, i: int, x: Tensor) -> Tensor:
        x = self.get_submodule(f"w{i}")(x)
        return self.after(self.get_submodule(f"batch_norm{i}")(x))


class RefinementUnit(nn.Module):
    """The unit in standardised numbers, with the parameter names of the released code.

    Args:
        numbers: Of a pose, in and out (published: 45).
        width: Of the hidden layers.
        dropout: Probability of dropping a hidden value.
        activation: ``relu`` (released) or ``leaky`` (paper).

    Source: EpipolarPose, section 3.3 and released code.
    """

    def __init__(
        self,
        numbers: int,
        width: int = 1024,
        dropout: float = 0.5,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.w1 = nn.Linear(numbers, width)
        self.batch_norm1 = nn.BatchNorm1d(width)
        self.linear_stages = nn.ModuleList(
            RefinerBlock(width, dropout, activation) for _ in range(2)
        )
        self.w2 = nn.Linear(width, numbers)
        self.w3 = nn.Linear(numbers, width)
        self.batch_norm3 = nn.BatchNorm1d(width)
        self.w4 = nn.Linear(width, numbers)
        self.after = _after(dropout, activation)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> TwoAnswers:
        """Both answers to ``(batch, numbers)``."""
        start = self.after(self.batch_norm1(self.w1(x)))
        half = self.linear_stages[0](start)
        first = self.w2(half)
        again = self.after(self.batch_norm3(self.w3(first)))
        end = start + self.linear_stages[1](half + again + start)
        return TwoAnswers(first, self.w4(end))


class Refiner(nn.Module):
    """The unit in millimetres, with the statistics that standardise its input and its labels.

    Args:
        skeleton: Joints of the poses.
        config: Sizes of the unit, and which joints it refines.

    Raises:
        ConfigError: The skeleton lacks a joint of the published fifteen.
    """

    rows: Tensor
    fitted: Tensor

    def __init__(self, skeleton: Skeleton, config: Config) -> None:
        super().__init__()
        rows = refined_joints(skeleton, config.joints)
        self.register_buffer("rows", torch.tensor(rows), persistent=False)
        numbers = 3 * len(rows)
        self.unit = RefinementUnit(numbers, config.width, config.dropout, config.activation)
        for name in ("input", "target"):
            self.register_buffer(f"{name}_mean", torch.zeros(numbers))
            self.register_buffer(f"{name}_spread", torch.ones(numbers))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def fit_statistics(self, pairs: Iterable[tuple[Pose3D, Pose3D]]) -> None:
        """Measure mean and deviation of every coordinate, of the input and of the labels.

        Args:
            pairs: Poses and their labels, ``(*batch, joints, 3)`` each, root-relative, mm.

        Raises:
            DataError: There is no pair.
        """
        count, sums = 0, None
        for pair in pairs:
            numbers = torch.stack([self._numbers(pose).double() for pose in pair])
            found = torch.stack((numbers.sum(1), numbers.square().sum(1)))
            sums = found if sums is None else sums + found
            count += numbers.shape[1]
        if sums is None or not count:
            raise DataError(
                "expected labelled poses to standardise the refinement unit by, got none; train "
                "it on a labelled training split"
            )
        mean = sums[0] / count
        spread = (sums[1] / count - mean.square()).clamp(min=0).sqrt()
        for i, name in enumerate(("input", "target")):
            getattr(self, f"{name}_mean").copy_(mean[i])
            getattr(self, f"{name}_spread").copy_(spread[i].clamp(min=LEAST_SPREAD_MM))
        self.fitted.fill_(True)

    def refine(self, joints: Pose3D) -> Pose3D:
        """Better poses.

        Args:
            joints: ``(*batch, joints, 3)``, camera frame, root-relative, mm.

        Returns:
            Same shape; joints that the unit does not know stay.
        """
        answer = self.unit(self._standard(joints, "input")).second
        numbers = answer * self.target_spread + self.target_mean
        found = numbers.reshape(*joints.shape[:-2], -1, 3).to(joints)
        return joints.index_copy(-2, self.rows, found)

    def loss(self, joints: Pose3D, target: Pose3D, visible: PerJoint | None = None) -> Tensor:
        """Mean squared error of both answers, in standardised numbers.

        Args:
            joints: Poses to refine, ``(*batch, joints, 3)``, root-relative, mm.
            target: Labels of the same form.
            visible: ``(*batch, joints)`` bool, labels that count; None for all.

        Returns:
            A scalar.
        """
        answers = self.unit(self._standard(joints, "input"))
        wanted = self._standard(target, "target")
        if visible is None:
            visible = torch.ones_like(target[..., 0], dtype=torch.bool)
        known = self._numbers(visible[..., None].expand(target.shape))
        weights = known.to(wanted) / known.sum().clamp(min=1)
        wanted = torch.where(known, wanted, 0.0)
        return torch.stack([(weights * (a - wanted).square()).sum() for a in answers]).sum()

    def _standard(self, pose: Pose3D, name: str) -> Tensor:
        mean, spread = getattr(self, f"{name}_mean"), getattr(self, f"{name}_spread")
        return (self._numbers(pose) - mean) / spread

    def _numbers(self, pose: Tensor) -> Tensor:
        """The refined joints' coordinates, ``(samples, numbers)``."""
        check_shape("pose", pose, "*batch joints 3")
        return pose.index_select(-2, self.rows).reshape(-1, 3 * len(self.rows))


def refined_joints(skeleton: Skeleton, which: Literal["published", "all"]) -> tuple[int, ...]:
    """Indices of the joints that a unit refines, in its order.

    Args:
        skeleton: Joints of the poses.
        which: The 15 joints of MPII without the hip, or all without the root.

    Raises:
        ConfigError: The skeleton lacks one of the 15.
    """
    if which == "all":
        return tuple(j for j in range(len(skeleton)) if j != skeleton.root)
    wanted = [name for j, name in enumerate(MPII_16.joints) if j != MPII_16.root]
    missing = [name for name in wanted if name not in skeleton.joints]
    if missing:
        raise ConfigError(
            f"expected a skeleton with the refinement unit's joints, got {skeleton.name} without "
            f"{', '.join(missing)}; set method.joints to all, or "
            "data.skeleton=h36m17 to convert the data"
        )
    return tuple(skeleton.index(name) for name in wanted)


def refiner_rate(step: int) -> float:
    """Factor on the learning rate at an optimiser step, counted from 0.

    Source: EpipolarPose, released code: set at the first step and at every 100,000th.
    """
    return float(RATE_DECAY ** ((step + 1) // RATE_STEPS))


def _after(dropout: float, activation: Activation) -> nn.Sequential:
    kind = nn.LeakyReLU() if activation == "leaky" else nn.ReLU()
    return nn.Sequential(kind, Dropout(dropout))
