"""Methods that answer all frames of a window at once, under training."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lifting.batch import PoseBatch, answered_frames, root_relative
from lifting.methods.base import LiftingModule
from lifting.methods.clip_config import LossWeights
from lifting.methods.clip_lifter import ClipLifter, to_image
from lifting.nn import clip_loss as losses
from lifting.nn.pose_loss import pose_loss
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose3D


class ClipTraining(ClipLifter, LiftingModule):
    """Trains the network of a :class:`ClipLifter`; a method's ``Module`` derives from both."""

    def on_fit_start(self) -> None:
        """Find the mean size of the people, by which an answer without a length gets one."""
        if self.config.answer == "image":
            tracks = self.trainer.datamodule.tracks("train")  # type: ignore[attr-defined]
            bones = losses.limb_lengths(tracks.labels(), self.skeleton.bones).sum(-1)
            usable = bones.isfinite()
            if tracks.visible is not None:
                usable &= tracks.visible.all(-1)
            if usable.any():
                self.bones_mm.copy_(bones[usable].mean())

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the loss terms, of shape ``()``."""

        def losses(part: PoseBatch, place: int | None) -> dict[str, Tensor]:
            answer = answered_frames(self.estimate(part, place), self.settings.target)
            return self.losses(answer, part)

        terms = self.losses_with_stills(batch, self.config.stills, losses)
        return self.log_losses(terms, batch)

    def losses(self, answer: Pose3D, batch: PoseBatch) -> dict[str, Tensor]:
        """The terms that count, times their weights.

        Args:
            answer: Of the network, to the frames that are targets.
            batch: With labels.
        """
        target = self.network_target(batch)
        weights = self.label_weights(batch)
        return clip_losses(answer, target, weights, self.config.loss, self.skeleton)

    def network_target(self, batch: PoseBatch) -> Pose3D:
        """Labels in the units of the network's answer, ``(batch, targets, joints, 3)``."""
        relative = self.target(batch)
        if self.config.answer == "metric":
            return relative / MM_PER_METRE
        assert batch.joints_3d is not None  # the target had them
        camera, root = batch.camera, self.skeleton.root
        image = to_image(batch.joints_3d, camera.intrinsics, camera.size, root)
        if self.config.root == "relative":
            return root_relative(image, root)
        # Depths are by each frame's own scale; the root's way from the first frame by the first's.
        depth = batch.joints_3d[..., root, 2]
        focal = camera.intrinsics[:, :2].mean(-1, keepdim=True)
        moved = (depth / depth[:, :1] - 1) * focal * 2 / camera.size[:, :1]
        image[..., 2] += moved[..., None]
        return image


def clip_losses(
    answer: Pose3D,
    target: Pose3D,
    weights: PerJoint | None,
    amounts: LossWeights,
    skeleton: Skeleton,
) -> dict[str, Tensor]:
    """The terms that have a weight, each times that.

    Args:
        answer: ``(batch, frames, joints, 3)``.
        target: Same shape and unit.
        weights: Of the labels, ``(batch, frames, joints)``; None where all count alike.
        amounts: Weight of each term.
        skeleton: Gives limbs and the angles between them.
    """
    bones, pairs = skeleton.bones, losses.meeting_bones(skeleton)
    terms: dict[str, Callable[[], Tensor]] = {
        "position": lambda: pose_loss(answer, target, weights, "distance"),
        "scale": lambda: losses.scale_loss(answer, target, weights),
        "velocity": lambda: losses.velocity_loss(answer, target, weights),
        "limb_variance": lambda: losses.limb_variance(answer, bones),
        "limb_length": lambda: losses.limb_loss(answer, target, weights, bones),
        "angle": lambda: losses.angle_loss(answer, target, weights, bones, pairs),
        "angle_velocity": lambda: losses.angle_velocity_loss(
            answer, target, weights, bones, pairs
        ),
    }
    wanted = {name: getattr(amounts, name) for name in terms}
    return {name: wanted[name] * term() for name, term in terms.items() if wanted[name]}
