"""The switches of DiffPose. Imports no torch.

Defaults are our own form, a refiner trained around the context encoder's answer;
``experiments/diffpose_released.yaml`` sets the released one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.errors import ConfigError


@dataclass
class Config:
    """Configuration of DiffPose.

    Attributes:
        hidden: Width of both networks; a multiple of ``heads``.
        layers: Attention and graph-convolution layers of both networks.
        heads: Attention heads.
        dropout: Dropout on the output of the attention and feed-forward sub-layers.
        inner_dropout: Dropout on attention weights and inside the graph-convolution blocks.
        shared_init: Start the query, key, value and output projections of a layer, and the
            attention and feed-forward parts of all layers, from identical weights, as the
            released construction does.
        representation: Diffused channels: ``uvxyz`` (released) or ``xyz`` with clean u, v beside.
        conditioning: ``concat`` appends the context encoder's pose to the denoiser's input;
            ``none`` is the released form.
        centre: Where the forward process contracts to: ``origin`` (released) or ``context``,
            the context encoder's pose (the published shift with a single component).
        forward_noise: ``gaussian_scaled`` multiplies unit noise by ``uv_scale`` and ``xyz_scale``;
            ``gaussian`` is unit noise on every channel.
        uv_scale: Standard deviation of the 2D detection, screen units, which scales its noise.
        xyz_scale: Standard deviation of the noise on x, y and z, metres.
        diffusion_steps: Number of steps T of the forward process.
        beta_shape: How the noise variances rise with the step.
        beta_start: Noise variance of the first step.
        beta_end: Noise variance of the last step.
        prediction: What the denoiser is trained for: the (scaled) noise, or the clean pose
            relative to ``centre``.
        loss: ``squared`` sums squares over joints and channels (released); ``distance`` is the
            mean per-joint Euclidean distance, for ``representation: xyz`` only.
        init: Start of the reverse process: ``context_point`` (released) or ``context_noise``,
            the context pose with noise of the first sampled level really added.
        sampling_steps: Steps n of the sampler.
        start_level: Level R below which the sampled steps are spread.
        skip: Spread of the sampled steps: ``uniform`` or ``quad``.
        eta: 0 is deterministic DDIM, 1 ancestral sampling.
        hypotheses: Number N of samples drawn for each pose.
        aggregation: How the hypotheses become one answer.
        context_epochs: Epochs of the context stage; 0 skips the stage.
        context_loss: ``distance`` (mean per-joint distance) or ``squared`` (mean squared error).
        context_lr: Learning rate of the context stage; None takes the optimiser section's.
        context_checkpoint: File with a trained context encoder: the authors', or a checkpoint of
            this method. Skips the context stage.
        tto_latent: What test-time optimisation moves: ``conditioning``, the 2D pose that context
            encoder and denoiser are given, the noise held; ``noise``, what sampling starts from,
            the 2D pose held. The context stage has the former only.
    """

    hidden: int = 96
    layers: int = 5
    heads: int = 4
    dropout: float = 0.25
    inner_dropout: float = 0.1
    shared_init: bool = False
    representation: Literal["uvxyz", "xyz"] = "xyz"
    conditioning: Literal["none", "concat"] = "concat"
    centre: Literal["origin", "context"] = "context"
    forward_noise: Literal["gaussian_scaled", "gaussian"] = "gaussian_scaled"
    uv_scale: float = 0.0
    xyz_scale: float = 0.05
    diffusion_steps: int = 51
    beta_shape: Literal["linear", "quad", "const", "sigmoid", "jsd"] = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.2
    prediction: Literal["eps", "x0"] = "x0"
    loss: Literal["squared", "distance"] = "squared"
    init: Literal["context_point", "context_noise"] = "context_noise"
    sampling_steps: int = 3
    start_level: int = 51
    skip: Literal["uniform", "quad"] = "uniform"
    eta: float = 0.0
    hypotheses: int = 5
    aggregation: Literal["mean", "median"] = "mean"
    context_epochs: int = 10
    context_loss: Literal["distance", "squared"] = "distance"
    context_lr: float | None = None
    context_checkpoint: str | None = None
    tto_latent: Literal["conditioning", "noise"] = "conditioning"

    def __post_init__(self) -> None:
        for name in (
            "hidden", "layers", "heads", "diffusion_steps", "sampling_steps", "start_level",
            "hypotheses",
        ):  # fmt: skip
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("dropout", "inner_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "between 0 and below 1")
        for name in ("uv_scale", "eta", "context_epochs"):
            self._require(name, getattr(self, name) >= 0, "not negative")
        self._require("xyz_scale", self.xyz_scale > 0, "above 0")
        self._require("hidden", self.hidden % self.heads == 0, f"a multiple of heads={self.heads}")
        self._require("hidden", self.hidden >= 4, "at least 4, as the step embedding needs")
        self._require("beta_start", 0 < self.beta_start < 1, "between 0 and 1")
        self._require("beta_end", self.beta_start <= self.beta_end < 1, "beta_start to below 1")
        self._require(
            "start_level",
            self.start_level <= self.diffusion_steps,
            f"at most diffusion_steps={self.diffusion_steps}",
        )
        self._require(
            "sampling_steps",
            self.sampling_steps <= self.start_level,
            f"at most start_level={self.start_level}",
        )
        self._require(
            "loss",
            self.loss == "squared" or self.representation == "xyz",
            "'squared' with representation 'uvxyz', whose channels have no common unit",
        )

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ConfigError(
                f"expected method.{name} to be {expected}, got {getattr(self, name)!r}; "
                "change it in the method section"
            )
