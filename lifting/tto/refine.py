"""Test-time optimisation of one batch by any method, without Lightning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch
from lifting.errors import ConfigError
from lifting.tto.adapter import (
    Decoder,
    InputLatent,
    Predictor,
    frozen,
    lent_weights,
    skeleton_of,
)
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Finalising, Fitting, Refinable, Status, TtoResult
from lifting.tto.objective import Objective
from lifting.tto.observe import observe, with_mirrored
from lifting.tto.optimizer import Optimiser, minimise
from lifting.typing import PerSample, Pose3D

CONTRACT = ("encode", "decode", "lr_scale")
CHUNK = 64
"""Samples that are optimised at a time on a processor, whose caches and allocator suffer from
larger tensors; on a GPU it is all. Results do not depend on it."""


def refinable(module: nn.Module, config: TtoConfig) -> Refinable:
    """The latents of a method: its own, or its 2D input.

    Raises:
        ConfigError: The method has a part of the contract only, or nothing to decode with.
    """
    has = [name for name in CONTRACT if hasattr(module, name)]
    kind = type(module).__module__
    if config.latent == "own" and has:
        if isinstance(module, Refinable):
            return module
        missing = ", ".join(name for name in CONTRACT if name not in has)
        raise ConfigError(
            f"expected the module of {kind} to have {', '.join(CONTRACT)} for test-time "
            f"optimisation, got only {', '.join(has)}; add {missing} or set tto.latent=input"
        )
    if isinstance(module, Predictor):
        return InputLatent(module)
    raise ConfigError(
        f"expected a module with `predict` or with {', '.join(CONTRACT)} for test-time "
        f"optimisation, got {kind}; see lifting/tto/contract.py for what they do"
    )


def refine(
    module: nn.Module,
    batch: PoseBatch,
    config: TtoConfig,
    *,
    targets: int = 1,
    flip: bool = False,
    precision: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> TtoResult:
    """Optimise the latents of every sample of a batch; the module is as before afterwards.

    Args:
        module: A lifting module, with ``skeleton``.
        batch: Windows; labels are read for the root rule ``gt`` only.
        config: What to optimise and how.
        targets: Frames of a window that the method answers, all or one.
        flip: Optimise mirrored copies too, and average; ``config.flip`` goes before it.
        precision: Makes the context that the method computes in; latents and objective are
            always in single precision.

    Raises:
        ConfigError: The method does not meet the contract, or cannot do what is configured.
        DataError: The batch lacks a camera, or labels that are asked for.
        ShapeError: The method's answer has another shape than promised.
    """
    own = module if config.latent == "own" and isinstance(module, Fitting) else None

    def part(rows: PoseBatch) -> TtoResult:
        if own is not None:
            return own.fit(rows, config)
        return _refine(module, rows, config, targets=targets, flip=flip, precision=precision)

    on_processor = batch.keypoints_2d.device.type == "cpu"
    # Weights are optimised for all samples together.
    size = CHUNK if on_processor and config.optimise == "latent" else max(1, len(batch))
    if len(batch) <= size:
        return part(batch)
    starts = range(0, len(batch), size)
    return TtoResult.joined([part(batch.rows(slice(i, i + size))) for i in starts])


def _refine(
    module: nn.Module,
    batch: PoseBatch,
    config: TtoConfig,
    *,
    targets: int,
    flip: bool,
    precision: Callable[[], AbstractContextManager[object]],
) -> TtoResult:
    skeleton = skeleton_of(module)
    method = refinable(module, config)
    copies = 2 if (flip if config.flip is None else config.flip) else 1
    device = batch.keypoints_2d.device.type
    with frozen(module), torch.autocast(device, enabled=False):
        scene = observe(batch, skeleton, config, targets)
        masked = (~scene.observations.valid).sum((1, 2))
        if copies == 2:
            scene = with_mirrored(scene, skeleton)
        with torch.no_grad(), precision():
            latents = method.encode(scene.batch)
        decoder = Decoder(method, scene, skeleton, copies=copies, precision=precision)
        objective = Objective(decoder, scene.observations, config, skeleton)
        optimiser = Optimiser(
            kind=config.optimizer,
            iterations=config.iterations,
            lr=config.lr,
            lr_scale={**method.lr_scale, **objective.lr_scale()},
            moves=config.optimise,
            weights_lr=config.weights_lr,
            accept=config.accept,
            tolerance=config.tolerance,
            history=config.history,
        )
        movable = scene.observations.valid.any(-1).any(-1)
        start = objective.start(latents)
        if config.optimise == "latent":
            found = minimise(objective, start, optimiser, movable=movable)
        else:
            with lent_weights(module) as weights:
                found = minimise(objective, start, optimiser, movable=movable, weights=weights)
    return _of_copies(found, method, objective, copies, masked)


def _of_copies(
    found: TtoResult, method: Refinable, objective: Objective, copies: int, masked: PerSample
) -> TtoResult:
    """One result a sample, of all its copies."""

    def apart(values: Tensor) -> Tensor:
        return values.detach().reshape(copies, -1, *values.shape[1:])

    def pose(values: Pose3D) -> Pose3D:
        poses = apart(values)
        joined = method.finalise(poses) if isinstance(method, Finalising) else poses.mean(0)
        return joined * objective.around_root

    def mean(values: Tensor) -> Tensor:
        return apart(values).mean(0)

    own, now = objective.own_sigma, found.log_sigma
    status = Status.of_copies(apart(found.status))
    start = pose(found.start)
    untouched = (status >= Status.UNOBSERVED)[:, None, None, None]
    return TtoResult(
        pose=torch.where(untouched, start, pose(found.pose)),
        log_sigma=None if own is None or now is None else mean(now),
        sigma_factor=None if own is None or now is None else mean(now - own).exp(),
        root=None
        if objective.config.camera == "orthographic" or found.root is None
        else mean(found.root),
        start=start,
        status=status,
        iterations=apart(found.iterations).amax(0),
        before=mean(found.before),
        after=mean(found.after),
        residual_before=mean(found.residual_before),
        residual_after=mean(found.residual_after),
        behind=apart(found.behind).amax(0),
        masked=masked,
        history=None if found.history is None else mean(found.history.mT).mT,
    )
