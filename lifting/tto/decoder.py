"""A method's answers to latents, checked, in single precision and in the unmirrored frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from lifting.errors import check_shape
from lifting.skeleton import Skeleton
from lifting.tto.contract import Decoded, Latents, Refinable
from lifting.tto.observe import Scene

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
        compiled: Compile the method's decoding, once for every shape.
    """

    def __init__(
        self,
        method: Refinable,
        scene: Scene,
        skeleton: Skeleton,
        *,
        copies: int,
        precision: Precision,
        compiled: bool = False,
    ) -> None:
        self.method, self.scene, self.skeleton, self.precision = method, scene, skeleton, precision
        self.compiled = compiled
        self.decode = torch.compile(method.decode, dynamic=False) if compiled else method.decode
        device = scene.observations.uv.device
        self.plain = len(scene.batch) // copies
        self.index = torch.tensor(skeleton.flip_index, device=device)
        self.sign = torch.tensor((-1.0, 1.0, 1.0), device=device)

    def rows(self, index: Tensor) -> Decoder:
        """The same for some samples.

        Args:
            index: Their indices, in ascending order. They are counted on the host.
        """
        part = Decoder(
            self.method,
            self.scene.rows(index),
            self.skeleton,
            copies=1,
            precision=self.precision,
            compiled=self.compiled,
        )
        part.plain = int((index < self.plain).sum())
        return part

    def __call__(self, latents: Latents) -> Decoded:
        """Answer to latents.

        Raises:
            ShapeError: The method's answer has another shape than promised.
        """
        with self.precision():
            answer = self.decode(latents, self.scene.batch)
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
