"""Sizes of the two networks, and how a denoiser is told of the context. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lifting.methods.diffpose.config import Config


@dataclass(frozen=True)
class Hearing:
    """How the layers of a denoiser are told of the context.

    Attributes:
        kind: ``add``, beside the diffusion step; ``concat``, beside the pose, and once;
            ``cross_attention``, in a sub-layer of its own.
        channels: Channels of what they are told.
    """

    kind: Literal["add", "concat", "cross_attention"]
    channels: int


@dataclass(frozen=True)
class NetworkSize:
    """Size and regularisation of a trunk; see ``Config`` for the meaning of each.

    Attributes:
        feed_forward: Whether layers have the learned-adjacency sub-layer.
    """

    hidden: int = 96
    layers: int = 5
    heads: int = 4
    dropout: float = 0.25
    inner_dropout: float = 0.1
    feed_forward: bool = True

    @classmethod
    def of(cls, config: Config) -> NetworkSize:
        """The size a configuration asks for."""
        return cls(
            config.hidden, config.layers, config.heads, config.dropout, config.inner_dropout
        )

    @classmethod
    def of_denoiser(cls, config: Config) -> NetworkSize:
        """The size a configuration asks for in the denoiser, where that differs."""
        return replace(
            cls.of(config),
            layers=config.denoiser_layers or config.layers,
            feed_forward=config.block == "released",
        )
