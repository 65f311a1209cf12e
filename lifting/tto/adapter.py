"""A method as the optimisation sees it: held still, its latents its own, or else its 2D input.

Its answers are checked, and come in single precision and in the unmirrored frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch, Prediction
from lifting.errors import ConfigError, check_shape
from lifting.geometry.camera import denormalize_screen, normalize_screen
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.skeleton import Skeleton
from lifting.tto.contract import Decoded, Latents, Refinable
from lifting.tto.observe import Scene


def skeleton_of(module: nn.Module) -> Skeleton:
    """Joints of a method's poses.

    Raises:
        ConfigError: The module does not say.
    """
    skeleton = getattr(module, "skeleton", None)
    if not isinstance(skeleton, Skeleton):
        raise ConfigError(
            f"expected a module with a `skeleton` for test-time optimisation, got "
            f"{type(module).__module__}; set it to the joints that `predict` answers in"
        )
    return skeleton


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradient for any weight, and gradients enabled around them.

    Also inside inference mode, whose tensors cannot be differentiated: clone what came out of it.
    Flags are restored one by one whatever happens, since parts of a module may differ.

    Args:
        module: The module to hold still.
    """
    wanted = [(p, p.requires_grad) for p in module.parameters()]
    training = [(part, part.training) for part in module.modules()]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            module.eval()
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield
    finally:
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
        for part, mode in training:
            part.training = mode


@contextmanager
def lent_weights(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Weights that may be changed in place and are put back bit by bit.

    Args:
        module: The module, already frozen.

    Yields:
        Its floating-point parameters, now asking for gradients.
    """
    weights = [p for p in module.parameters() if p.is_floating_point()]
    kept = [p.detach().clone() for p in weights]
    try:
        for parameter in weights:
            parameter.requires_grad_(True)
        yield weights
    finally:
        with torch.no_grad():
            for parameter, value in zip(weights, kept, strict=True):
                parameter.copy_(value)
                parameter.requires_grad_(False)


KEYPOINTS = "keypoints_2d"
LEAST_SIGMA_MM = 10.0


@runtime_checkable
class Predictor(Protocol):
    """Whatever lifts a batch."""

    def predict(self, batch: PoseBatch) -> Prediction:
        """Lift a batch, without the mirrored average."""
        ...


class InputLatent:
    """Moves a method's keypoints, and decodes them with the whole method.

    The expected error is the method's own where it gives one, at least 10 mm and constant in the
    latent: for a method that draws several poses it is their spread, which tells nothing below.

    Args:
        predictor: The method.

    Source: released code of the uncertainty-aware optimisation, for its own network.
    """

    lr_scale: Mapping[str, float] = {}

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def encode(self, batch: PoseBatch) -> Latents:
        """The keypoints, screen units, ``(samples, frames, joints, 2)``."""
        return {KEYPOINTS: normalize_screen(batch.keypoints_2d, batch.camera.size[:, None])}

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """The method's answer to moved keypoints."""
        pixels = denormalize_screen(latents[KEYPOINTS], batch.camera.size[:, None])
        # A method in half precision takes its keypoints so; the latent itself stays in single.
        moved = replace(batch, keypoints_2d=pixels.to(batch.keypoints_2d.dtype))
        answer = self.predictor.predict(moved)
        log_sigma = None
        if answer.sigma is not None:
            error = LENGTH_PER_AXIS * answer.sigma.detach()
            log_sigma = error.clamp(min=LEAST_SIGMA_MM).log()
        trajectory = answer.trajectory
        root = None if trajectory is None else trajectory[:, :, None]
        return Decoded(pose=answer.joints_3d, log_sigma=log_sigma, root=root)


Precision = Callable[[], AbstractContextManager[object]]


class Decoder:
    """Decodes latents, and mirrors the answers to mirrored copies back.

    Its tables are made once: the loop must not wait for their way to the device.

    Args:
        method: What decodes.
        scene: What was encoded.
        skeleton: Joints of the poses.
        copies: 2 if the second half of the samples are mirrored copies, else 1.
        precision: Makes the context that the method computes in.
    """

    def __init__(
        self,
        method: Refinable,
        scene: Scene,
        skeleton: Skeleton,
        *,
        copies: int,
        precision: Precision,
    ) -> None:
        self.method, self.scene, self.skeleton, self.precision = method, scene, skeleton, precision
        device = scene.observations.uv.device
        self.plain = len(scene.batch) // copies
        self.index = torch.tensor(skeleton.flip_index, device=device)
        self.sign = torch.tensor((-1.0, 1.0, 1.0), device=device)

    def rows(self, index: Tensor) -> Decoder:
        """The same for some samples.

        Args:
            index: Their indices, ``(chosen,)``, in ascending order. They are counted on the host.
        """
        part = Decoder(
            self.method,
            self.scene.rows(index),
            self.skeleton,
            copies=1,
            precision=self.precision,
        )
        part.plain = int((index < self.plain).sum())
        return part

    def __call__(self, latents: Latents) -> Decoded:
        """Answer to latents.

        Raises:
            ShapeError: The method's answer has another shape than promised.
        """
        with self.precision():
            answer = self.method.decode(latents, self.scene.batch)
        samples, frames, joints, _ = self.scene.observations.uv.shape
        shape = f"{samples} {frames} {joints}"
        check_shape("decoded pose", answer.pose, f"{shape} 3")
        log_sigma, root = answer.log_sigma, answer.root
        if log_sigma is not None:
            check_shape("decoded log_sigma", log_sigma, shape)
            log_sigma = self._unmirror(log_sigma[..., None])[..., 0]
        if root is not None:
            check_shape("decoded root", root, f"{samples} {frames} 1 3")
            root = self._unmirror(root, exchange=False)
        if answer.prior is not None:
            check_shape("decoded prior", answer.prior, str(samples))
        return Decoded(self._unmirror(answer.pose), log_sigma, root, answer.prior)

    def _unmirror(self, values: Tensor, *, exchange: bool = True) -> Tensor:
        """Values of joints in single precision; positions change the sign of x."""
        values = values.float()
        if self.plain == len(values):
            return values
        back = values[self.plain :]
        if exchange:
            back = back.index_select(-2, self.index)
        if back.shape[-1] == 3:
            back = back * self.sign
        return torch.cat((values[: self.plain], back))
