"""The module of a method that is built on another one, whichever that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Latents, Refinable
from lifting.tto.refine import refinable


class ModuleOnBase(LiftingModule):
    """Passes on what the other method has of its own: callbacks, and latents to optimise.

    Its configuration is :class:`lifting.methods.settings.BuiltOn`. A subclass gives ``below``.
    """

    @property
    def below(self) -> LiftingModule:
        """The other method."""
        raise NotImplementedError

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Those of the method below."""
        return self.below.configure_callbacks()

    def random_tables(self) -> dict[str, Tensor]:
        """Those of the method below."""
        return self.below.random_tables()

    @property
    def lr_scale(self) -> Mapping[str, float]:
        """Factor of the learning rate for each latent of the method below."""
        return self._latents().lr_scale

    def encode(self, batch: PoseBatch) -> Latents:
        """Start of test-time optimisation: the latents of the method below."""
        return self._latents().encode(batch)

    def decode(self, latents: Latents, batch: PoseBatch) -> Decoded:
        """Poses of the latents by the method below; differentiable, each sample on its own.

        Args:
            latents: What :meth:`encode` gave, moved.
            batch: For cameras and crops.
        """
        return self._latents().decode(latents, batch)

    def _latents(self) -> Refinable:
        return refinable(self.below, TtoConfig())
