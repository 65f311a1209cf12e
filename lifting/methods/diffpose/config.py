"""The switches of DiffPose, and what they must satisfy. Imports no torch.

Defaults are our own form, a refiner trained around the context encoder's answer;
``experiments/diffpose_released.yaml`` sets the released one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lifting.methods.settings import require


@dataclass
class GuidanceConfig:
    """Energies of ``lifting/tto`` that lead the sampling; without a weight it is not led.

    Attributes:
        weight_projection: Weight of the mean distance from the keypoints, screen units.
        weight_bone: Weight of the change of bone lengths since the context pose, metres.
        weight_symmetry: Weight of the difference of left and right bone lengths, metres.
        step_mm: How far a move shifts a pose down the gradient of the weighted sum: root mean
            square of its joints, mm. It is less where the sum would fall to zero on a shorter way.
        moves: Moves in each sampled step.
        first_step: First sampled step that poses are moved in, counted from 0 in their order.
        last_step: The last one; null is the sampler's last.
    """

    weight_projection: float = 0.0
    weight_bone: float = 0.0
    weight_symmetry: float = 0.0
    step_mm: float = 5.0
    moves: int = 1
    first_step: int = 0
    last_step: int | None = None

    def __post_init__(self) -> None:
        check_guidance(self)

    @property
    def is_on(self) -> bool:
        """Whether any energy has a weight."""
        return self.weight_projection + self.weight_bone + self.weight_symmetry > 0


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
        denoiser_layers: Layers of the denoiser where they are not ``layers`` (paper: 3).
        block: Layer of the denoiser: ``released``, or ``paper``, which has no learned-adjacency
            feed-forward part.
        process: ``diffusion``; or one of the paper's ablations without it, which refine the
            context pose once: ``once`` by the denoiser, ``stacked`` by as many denoisers in a row
            as the sampler has steps, trained together.
        representation: Diffused channels: ``uvxyz`` (released) or ``xyz`` with clean u, v beside.
        conditioning: How the denoiser is told of the context: ``none`` (released); ``add``, beside
            the diffusion step in each layer; ``concat``, beside the pose in its input;
            ``cross_attention``, in a sub-layer of each layer.
        conditioning_on: What it is told: the context encoder's ``pose``, or its last hidden
            ``feature``.
        centre: Where the forward process contracts to: ``origin`` (released) or ``context``,
            the context encoder's pose (the published shift with a single component). Not read
            where ``forward_noise`` is ``gmm``.
        forward_noise: ``gaussian_scaled`` multiplies unit noise by the 2D spread and
            ``xyz_scale`` (released); ``gaussian`` is unit noise on every channel; ``gmm``
            contracts to a component of a mixture and has its deviation (paper).
        mixture: Mixture of the 2D detection: ``degenerate``, a single component of ``uv_scale``;
            ``confidence``, a single one, the wider the less confident; ``synthetic``, five by an
            error model, the last at the other side's joint; ``given``, that of the data
            (``data.mixtures``, ``data.synthetic.extras``, or files of mixtures).
        depth: Where the mixture has its depth from: the ``context`` encoder's pose, or
            ``statistics`` of the training set, then without any context.
        depth_components: Gaussians of each joint in those statistics.
        uv_scale: Standard deviation of the 2D detection, screen units, which scales its noise.
        xyz_scale: Standard deviation of the noise on x, y and z, metres; of a mixture, what is
            added to each deviation squared, as the error of the context pose.
        diffusion_steps: Number of steps T of the forward process.
        beta_shape: How the noise variances rise with the step.
        beta_start: Noise variance of the first step.
        beta_end: Noise variance of the last step.
        prediction: What the denoiser is trained for, relative to the centre: the (scaled) noise
            (released), the clean pose, or the ``next`` state of the chain, one step less noisy
            (paper).
        loss: ``squared`` sums squares over joints and channels (released); ``distance`` is the
            mean per-joint Euclidean distance, for ``representation: xyz`` only.
        init: Start of the reverse process: ``context_point`` (released); ``context_noise``,
            the context pose with noise of the first sampled level really added; ``mixture``, a
            draw from the mixture (paper); ``unit``, unit noise.
        sampling_steps: Steps n of the sampler.
        start_level: Level R below which the sampled steps are spread.
        skip: Spread of the sampled steps: ``uniform`` or ``quad``.
        eta: 0 is deterministic DDIM, 1 ancestral sampling.
        student: Few-step student of the denoiser, trained in a third stage: ``none``, or
            ``consistency``, which learns where the denoiser's deterministic path ends.
        student_epochs: Epochs of that stage.
        student_stride: Levels from a state to the one, further down the denoiser's path, whose
            answer the student is to give too.
        student_steps: Calls of the student for a hypothesis, at the ends of as many even parts of
            the levels below ``start_level``; 0 lets the denoiser answer in ``sampling_steps``.
        guidance: Energies that the sampled poses are moved down.
        hypotheses: Number N of samples drawn for each pose.
        aggregation: How the hypotheses become one answer: ``mean``, ``median``, or by how near
            they project to the keypoints, the root placed by least squares: ``best_joint``,
            ``best_pose``, ``posterior``, the mean weighted by that.
        posterior_sharpness: Weight of a hypothesis in the posterior mean is the exponential of
            minus this times its error, 1 / pixel.
        posterior_kept: Hypotheses of least error that count in the posterior mean; 0 is all.
        oracle_root: Also score, under the name ``oracle_root``, the answer of an aggregation by
            projection from the labelled root, as released code of other methods does.
        context: Context encoder: ``gcn`` lifts single frames by a graph network of the denoiser's
            size; ``mixste`` lifts all frames of a window by transformers over joints and over
            frames, and needs ``data.target: all``. The denoiser sees single frames in both.
        context_width: Channels of ``mixste``; a multiple of ``context_heads``.
        context_layers: Layers of ``mixste``, each a block over joints and one over frames.
        context_heads: Attention heads of ``mixste``.
        context_drop_path: Probability of leaving out a sub-layer of the last layer of ``mixste``
            in training; it rises to that linearly from 0 in the first (released: 0).
        context_flip: Average the trained context encoder's pose with that of its mirrored input,
            as the released video code does; the denoiser then runs once.
        context_epochs: Epochs of the context stage; 0 skips the stage.
        context_loss: ``distance`` (mean per-joint distance) or ``squared`` (mean squared error).
        context_lr: Learning rate of the context stage; None takes the optimiser section's.
        context_frozen: Keep the context encoder as it is while the denoiser is trained.
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
    denoiser_layers: int | None = None
    block: Literal["released", "paper"] = "released"
    process: Literal["diffusion", "once", "stacked"] = "diffusion"
    representation: Literal["uvxyz", "xyz"] = "xyz"
    conditioning: Literal["none", "add", "concat", "cross_attention"] = "concat"
    conditioning_on: Literal["pose", "feature"] = "pose"
    centre: Literal["origin", "context"] = "context"
    forward_noise: Literal["gaussian_scaled", "gaussian", "gmm"] = "gaussian_scaled"
    mixture: Literal["degenerate", "confidence", "synthetic", "given"] = "degenerate"
    depth: Literal["context", "statistics"] = "context"
    depth_components: int = 5
    uv_scale: float = 0.0
    xyz_scale: float = 0.05
    diffusion_steps: int = 51
    beta_shape: Literal["linear", "quad", "const", "sigmoid", "jsd"] = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.2
    prediction: Literal["eps", "x0", "next"] = "x0"
    loss: Literal["squared", "distance"] = "squared"
    init: Literal["context_point", "context_noise", "mixture", "unit"] = "context_noise"
    sampling_steps: int = 3
    start_level: int = 51
    skip: Literal["uniform", "quad"] = "uniform"
    eta: float = 0.0
    student: Literal["none", "consistency"] = "none"
    student_epochs: int = 4
    student_stride: int = 10
    student_steps: int = 1
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    hypotheses: int = 5
    aggregation: Literal["mean", "median", "best_joint", "best_pose", "posterior"] = "mean"
    posterior_sharpness: float = 0.5
    posterior_kept: int = 0
    oracle_root: bool = False
    context: Literal["gcn", "mixste"] = "gcn"
    context_width: int = 512
    context_layers: int = 8
    context_heads: int = 8
    context_drop_path: float = 0.0
    context_flip: bool = False
    context_epochs: int = 10
    context_loss: Literal["distance", "squared"] = "distance"
    context_lr: float | None = None
    context_frozen: bool = True
    context_checkpoint: str | None = None
    tto_latent: Literal["conditioning", "noise"] = "conditioning"

    def __post_init__(self) -> None:
        if isinstance(self.guidance, dict):  # as a checkpoint holds it
            self.guidance = GuidanceConfig(**self.guidance)
        check_config(self)

    @property
    def has_components(self) -> bool:
        """Whether there is more than one component of a mixture to draw from."""
        several = self.mixture in ("synthetic", "given") or self.depth == "statistics"
        return several and self.process == "diffusion"

    @property
    def is_random(self) -> bool:
        """Whether two hypotheses of one pose can differ."""
        if self.process != "diffusion":
            return False
        chosen = self.forward_noise == "gmm" and self.has_components
        return self.init != "context_point" or self.eta > 0 or chosen

    @property
    def drawn(self) -> int:
        """Hypotheses that are computed; those beyond are copies."""
        return self.hypotheses if self.is_random else 1

    @property
    def asks_student(self) -> bool:
        """Whether a trained student answers."""
        return self.student != "none" and self.student_steps > 0


def check_config(config: Config) -> None:
    """Check the values of a configuration.

    Raises:
        ConfigError: One is out of its range, or two contradict one another.
    """
    for name in (
        "hidden", "layers", "heads", "diffusion_steps", "sampling_steps", "start_level",
        "hypotheses", "context_width", "context_layers", "context_heads", "depth_components",
        "student_epochs", "student_stride",
    ):  # fmt: skip
        require(config, name, getattr(config, name) >= 1, "at least 1")
    for name in ("dropout", "inner_dropout", "context_drop_path"):
        require(config, name, 0 <= getattr(config, name) < 1, "between 0 and below 1")
    for name in (
        "uv_scale", "eta", "context_epochs", "posterior_sharpness", "posterior_kept",
        "student_steps",
    ):  # fmt: skip
        require(config, name, getattr(config, name) >= 0, "not negative")
    depth = config.denoiser_layers
    require(config, "denoiser_layers", depth is None or depth >= 1, "at least 1, or null")
    require(config, "xyz_scale", config.xyz_scale > 0, "above 0")
    _require_multiple(config, "hidden", "heads")
    require(config, "hidden", config.hidden >= 4, "at least 4, as the step embedding needs")
    _require_multiple(config, "context_width", "context_heads")
    require(config, "beta_start", 0 < config.beta_start < 1, "between 0 and 1")
    holds = config.beta_start <= config.beta_end < 1
    require(config, "beta_end", holds, "beta_start to below 1")
    _require_at_most(config, "start_level", "diffusion_steps")
    _require_at_most(config, "sampling_steps", "start_level")
    require(
        config,
        "loss",
        config.loss == "squared" or config.representation == "xyz",
        "'squared' with representation 'uvxyz', whose channels have no common unit",
    )
    _check_pairs(config)
    if config.student != "none":
        _check_student(config)
    if config.guidance.is_on:
        calls = config.student_steps if config.asks_student else config.sampling_steps
        require(
            config,
            "guidance.first_step",
            config.guidance.first_step < calls,
            f"below the number of sampled steps, {calls}, as it counts from 0",
        )


def check_guidance(guidance: GuidanceConfig) -> None:
    """Check the values of the guidance alone.

    Raises:
        ConfigError: One is out of its range.
    """
    for name in ("weight_projection", "weight_bone", "weight_symmetry", "first_step"):
        require(guidance, name, getattr(guidance, name) >= 0, "not negative", "guidance.")
    require(guidance, "step_mm", guidance.step_mm > 0, "above 0", "guidance.")
    require(guidance, "moves", guidance.moves >= 1, "at least 1", "guidance.")
    first, last = guidance.first_step, guidance.last_step
    holds = last is None or last >= first
    require(guidance, "last_step", holds, f"at least first_step={first}, or null", "guidance.")


def _check_pairs(config: Config) -> None:
    """Refuse settings that contradict one another."""
    diffuses = config.process == "diffusion"
    require(
        config,
        "prediction",
        diffuses or config.prediction == "x0",
        f"'x0' with process '{config.process}', which has no noise to answer",
    )
    require(
        config,
        "tto_latent",
        diffuses or config.tto_latent == "conditioning",
        f"'conditioning' with process '{config.process}', which starts from no noise",
    )
    require(
        config,
        "student",
        diffuses or config.student == "none",
        f"'none' with process '{config.process}', which has no path to distil",
    )
    require(
        config,
        "guidance",
        diffuses or not config.guidance.is_on,
        f"without weights with process '{config.process}', which samples nothing",
    )
    require(
        config,
        "oracle_root",
        not config.oracle_root or config.aggregation not in ("mean", "median"),
        f"false with aggregation '{config.aggregation}', which projects nothing",
    )


def _check_student(config: Config) -> None:
    """Refuse settings that a student contradicts."""
    _require_at_most(config, "student_steps", "start_level")
    _require_at_most(config, "student_stride", "diffusion_steps")
    require(
        config,
        "eta",
        config.eta == 0 or config.student_steps == 0,
        "0 where a student answers, whose path is deterministic, or student_steps 0",
    )


def _require_at_most(config: Config, name: str, limit: str) -> None:
    most = getattr(config, limit)
    require(config, name, getattr(config, name) <= most, f"at most {limit}={most}")


def _require_multiple(config: Config, name: str, of: str) -> None:
    factor = getattr(config, of)
    require(config, name, getattr(config, name) % factor == 0, f"a multiple of {of}={factor}")
