"""Test-time optimisation of one batch by any method, without Lightning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from lifting.batch import PoseBatch
from lifting.errors import ConfigError
from lifting.skeleton import Skeleton
from lifting.tto.adapter import Decoder, InputLatent, Predictor, frozen, lent_weights
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Fitting, Latents, Refinable, Status, TtoResult
from lifting.tto.objective import Objective
from lifting.tto.observe import Scene, observe, with_mirrored
from lifting.tto.optimizer import Solution, minimise
from lifting.typing import PerSample, Pose3D

CONTRACT = ("encode", "decode", "lr_scale")
FINALISE = "finalise"
CHUNK = 64


class Lifter(Predictor, Protocol):
    """A module that lifts batches and knows its joints."""

    skeleton: Skeleton


def refinable(module: nn.Module, config: TtoConfig) -> Refinable:
    """The latents of a method: its own, or its 2D input.

    Raises:
        ConfigError: The method has a part of the contract only, or nothing to decode with.
    """
    has = [name for name in CONTRACT if hasattr(module, name)]
    kind = type(module).__module__
    if config.latent == "own" and has:
        missing = [name for name in CONTRACT if name not in has]
        if missing:
            raise ConfigError(
                f"expected the module of {kind} to have {', '.join(CONTRACT)} for test-time "
                f"optimisation, got only {', '.join(has)}; add {', '.join(missing)} or set "
                "tto.latent=input"
            )
        return cast(Refinable, module)
    if not hasattr(module, "predict"):
        raise ConfigError(
            f"expected a module with `predict` or with {', '.join(CONTRACT)} for test-time "
            f"optimisation, got {kind}; see lifting/tto/contract.py for what they do"
        )
    return InputLatent(cast(Predictor, module))


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

    size = _chunk(config, batch)
    if len(batch) <= size:
        return part(batch)
    starts = range(0, len(batch), size)
    return TtoResult.joined([part(batch.rows(slice(i, i + size))) for i in starts])


def _chunk(config: TtoConfig, batch: PoseBatch) -> int:
    """Samples that are optimised at a time."""
    size = config.chunk
    if size is None:
        size = CHUNK if batch.keypoints_2d.device.type == "cpu" else 0
    return len(batch) if size == 0 or config.optimise != "latent" else size


def _refine(
    module: nn.Module,
    batch: PoseBatch,
    config: TtoConfig,
    *,
    targets: int,
    flip: bool,
    precision: Callable[[], AbstractContextManager[object]],
) -> TtoResult:
    skeleton = cast(Lifter, module).skeleton
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
        decoder = Decoder(
            method, scene, skeleton, copies=copies, precision=precision, compiled=config.compile
        )
        objective = Objective(decoder, scene.observations, config, skeleton)
        solution = _solve(module, objective, decoder, latents, config, method)
    return _collect(method, solution, scene, objective, copies=copies, masked=masked)


def _solve(
    module: nn.Module,
    objective: Objective,
    decoder: Decoder,
    latents: Latents,
    config: TtoConfig,
    method: Refinable,
) -> Solution:
    movable = objective.observations.valid.any(-1).any(-1)
    rates = {**method.lr_scale, **objective.lr_scale()}
    start = objective.start(latents)

    def rows(index: Tensor) -> Objective:
        return objective.rows(index, decoder.rows(index))

    if config.optimise == "latent":
        return minimise(objective, start, config, rates, movable=movable, rows=rows)
    with lent_weights(module) as weights:
        return minimise(objective, start, config, rates, movable=movable, weights=weights)


def _collect(
    method: Refinable,
    solution: Solution,
    scene: Scene,
    objective: Objective,
    *,
    copies: int,
    masked: PerSample,
) -> TtoResult:
    """One result a sample, of all its copies."""

    def apart(values: Tensor) -> Tensor:
        return values.detach().reshape(copies, -1, *values.shape[1:])

    def pose(values: Pose3D) -> Pose3D:
        finalise: Callable[[Tensor], Tensor] | None = getattr(method, FINALISE, None)
        joined = apart(values).mean(0) if finalise is None else finalise(apart(values))
        return joined * objective.around_root

    first, best, own = solution.first, solution.best, objective.own_sigma
    observed = apart(scene.observations.valid.any(-1).any(-1))[0]
    behind = apart(best.behind).amax(0)
    status = torch.full_like(behind, Status.MOVED)
    for state, holds in (
        (Status.CONVERGED, apart(solution.stopped).all(0)),
        (Status.KEPT, ~apart(solution.improved).any(0)),
        (Status.BEHIND, behind > 0),
        (Status.UNOBSERVED, ~observed),
        (Status.NOT_FINITE, ~apart(solution.finite).all(0)),
    ):
        status = torch.where(holds, torch.full_like(status, state), status)
    start = pose(first.pose)
    untouched = (status >= Status.UNOBSERVED)[:, None, None, None]
    wants_root = objective.config.camera == "perspective"
    return TtoResult(
        pose=torch.where(untouched, start, pose(best.pose)),
        log_sigma=None if own is None else apart(best.log_sigma).mean(0),
        sigma_factor=None if own is None else apart(best.log_sigma - own).mean(0).exp(),
        root=apart(best.root).mean(0) if wants_root else None,
        start=start,
        status=status,
        iterations=apart(solution.iterations).amax(0),
        before=apart(first.energy).mean(0),
        after=apart(best.energy).mean(0),
        residual_before=apart(first.residual).mean(0),
        residual_after=apart(best.residual).mean(0),
        behind=behind,
        masked=masked,
        history=apart(solution.history.mT).mean(0).mT if objective.config.history else None,
    )
