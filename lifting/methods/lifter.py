"""What lifts: a network with its units and joints, and how a batch is answered. No Lightning.

A method's training derives from it, see ``base``; with weights it needs nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from lifting.batch import (
    PoseBatch,
    Prediction,
    flip_batch,
    flip_per_joint,
    flip_pose,
    root_relative,
)
from lifting.errors import ConfigError, DataError
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.expected_error import Lifted, axis_deviation
from lifting.nn.inputs import Seen, see, words_of
from lifting.nn.units import from_network_units
from lifting.skeleton import Skeleton

CHECKPOINT_KEY = "lifting"
"""Of a checkpoint: whose weights they are, and how they were trained."""


class PoseLifter(nn.Module):
    """A lifting method under evaluation.

    Args:
        config: The method's own ``Config``.
        settings: What the run gives to every method.

    Raises:
        ConfigError: The root of the skeleton is no hip.
    """

    normalisation = "screen units: half image widths from the centre"
    """How pixels become the network's input; stored with weights and compared."""

    reads_pictures = False
    """Whether an answer is read from pictures instead of keypoints."""

    def __init__(self, config: Any, settings: ModuleSettings) -> None:
        super().__init__()
        self.claim: dict[str, Any] = {}  # what a checkpoint says of its training; set by the run
        self.processes = 1  # that trained the weights together
        self.config = config
        self.settings = settings
        self.skeleton: Skeleton = Skeleton.of(settings.skeleton)
        if not self.skeleton.has_hip:  # a nose is never the root
            root = self.skeleton.joints[self.skeleton.root]
            raise refused_skeleton(
                f"a skeleton whose root is the hip, not the {root}", self.skeleton
            )
        self.stage = self.stages()[-1]

    @abstractmethod
    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift a batch, without the mirrored average.

        Args:
            batch: Pixels and cameras; labels must not be read.

        Returns:
            Root-relative millimetres.
        """

    def describe(self) -> dict[str, Any]:
        """What a record shall say of the answers of :meth:`predict`, as the module now gives them.

        Override for a method that samples or takes steps, or that has more to say.

        Returns:
            Plain values. ``hypotheses`` (poses drawn for one answer, 1 without any), ``steps``
            (sampling or refinement steps of one answer, or None), ``aggregation`` (how hypotheses
            become one answer, None where there is one) and, where an answer is told something of
            the truth, ``oracle_flags`` (what, by name) have fields of their own in the record;
            all other keys become extras.
        """
        return {"hypotheses": 1, "steps": None, "aggregation": None}

    @classmethod
    def uses_camera(cls, config: Any) -> bool:
        """Whether an answer of :meth:`predict` depends on the intrinsics of the camera.

        The size of the image is none of them. Override for a method that reads them; it is asked
        before anything is built. Test-time optimisation reads them besides, see ``TtoConfig``.

        Args:
            config: The method's own ``Config``.
        """
        return False

    def random_tables(self) -> dict[str, Tensor]:
        """Random numbers that every answer of :meth:`predict` is drawn by, by name.

        An extra of that name in a batch takes the place of a table, in its shape. Override for a
        method that samples.
        """
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """Parts of the training in order; override for a method that trains in several fits."""
        return (Stage("train"),)

    def begin_stage(self, stage: Stage) -> None:
        """Make the module ready for a stage: freeze, unfreeze, choose the loss."""
        self.stage = stage

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give the weights of older versions their names of today; override where there are any.

        Args:
            checkpoint: As it was read; its ``state_dict`` is changed.
        """

    def infer(self, batch: PoseBatch) -> Prediction:
        """Lift a batch, averaged with its mirrored self when the settings ask for it.

        Raises:
            DataError: The batch has other joints than the method.
        """
        self.check_joints(batch)
        prediction = self.predict(batch)
        if not self.settings.flip_test:
            return prediction
        mirrored = self.predict(flip_batch(batch, self.skeleton))
        return _average(prediction, mirrored, self.skeleton)

    def check_joints(self, batch: PoseBatch) -> None:
        """Refuse input of other joints than the method's."""
        if batch.skeleton != self.skeleton:
            raise DataError(
                f"expected input with the joints of {self.skeleton.name}, got "
                f"{batch.skeleton.name}; PoseDataModule(..., skeleton=module.skeleton) converts it"
            )


class SeeingLifter(PoseLifter):
    """A method whose network sees keypoints by one of :mod:`lifting.nn.inputs`.

    Args:
        config: The method's own ``Config``, with ``input`` and ``hidden_focal``.
        settings: What the run gives to every method.
    """

    def __init__(self, config: Any, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        self.normalisation = words_of(config.input)

    @classmethod
    def uses_camera(cls, config: Any) -> bool:
        """Whether the network is told the focal length."""
        return bool(config.input != "screen")

    def see(self, batch: PoseBatch) -> Seen:
        """What the network sees; in training the focal length of some samples is not told."""
        told = None
        if self.training and self.config.input != "screen":
            device = batch.keypoints_2d.device
            told = torch.rand(len(batch), device=device) >= self.config.hidden_focal
        return see(self.config.input, batch, told)

    def in_camera(self, answer: Lifted, seen: Seen) -> Lifted:
        """An answer relative to its root, in the axes of the camera.

        Args:
            answer: Of the network.
            seen: By it, of the frames that are answered.
        """
        return answer._replace(pose=seen.back(root_relative(answer.pose, self.skeleton.root)))

    def prediction(self, answer: Lifted) -> Prediction:
        """An answer in mm."""
        log_error = answer.log_error
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=from_network_units(answer.pose),
            sigma=None if log_error is None else from_network_units(axis_deviation(log_error)),
        )


def refused_skeleton(expected: str, skeleton: Skeleton) -> ConfigError:
    """The error of a method that is given a skeleton it cannot be built for.

    Args:
        expected: What it needs.
        skeleton: What it got.
    """
    return ConfigError(
        f"expected {expected}, got {skeleton.name}; set data.skeleton=h36m17 to convert the data"
    )


def _average(a: Prediction, b: Prediction, skeleton: Skeleton) -> Prediction:
    """Mean of a prediction and the mirrored input's, which is mirrored back first."""
    hypotheses = None
    if a.hypotheses is not None and b.hypotheses is not None:
        hypotheses = (a.hypotheses + flip_pose(b.hypotheses, skeleton)) / 2
    sigma = None
    if a.sigma is not None and b.sigma is not None:
        sigma = (a.sigma + flip_per_joint(b.sigma, skeleton)) / 2
    return Prediction(
        skeleton=a.skeleton,
        joints_3d=(a.joints_3d + flip_pose(b.joints_3d, skeleton)) / 2,
        sigma=sigma,
        hypotheses=hypotheses,
        trajectory=a.trajectory,
        extras={k: (v + flip_pose(b.extras[k], skeleton)) / 2 for k, v in a.extras.items()},
    )
