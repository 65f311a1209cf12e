"""What ``gpu.py`` measures of a method: equality, training, answers, optimisation, compilation."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gpu_cases import (
    FLOAT32,
    PRECISIONS,
    SameDraws,
    build,
    network,
    pictures,
    poses,
    products,
    sees_pictures,
)
from lifting.batch import PoseBatch
from lifting.methods.base import LiftingModule
from lifting.methods.settings import Stage
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Fitting
from lifting.tto.refine import refine

LR, WARMUP = 1e-4, 3
MIB = 2**20

Row = dict[str, Any]
Measure = tuple[Row, Callable[[], Row]]  # what it is of, and what measures it


@dataclass(frozen=True)
class Sizes:
    """How much a form of the script does.

    Attributes:
        compared: Samples, and pictures, of the comparison with the processor.
        trained: Of a training step.
        answered: Of an answer.
        optimised: Of test-time optimisation.
        side: Of a picture, pixels.
        train_steps: Timed steps of a training.
        repeats: Timed answers.
        tto_steps: Steps of test-time optimisation, where a method does not bring its own.
        product: Side of the matrices whose product is timed.
    """

    compared: tuple[int, int] = (64, 4)
    trained: tuple[int, int] = (1024, 32)
    answered: tuple[int, int] = (4096, 64)
    optimised: tuple[int, int] = (1024, 16)
    side: int = 256
    train_steps: int = 20
    repeats: int = 5
    tto_steps: int = 10
    product: int = 8192


FULL = Sizes()
TINY = Sizes((2, 2), (2, 2), (2, 2), (2, 2), 64, 2, 1, 1, 64)


@dataclass(frozen=True)
class Case:
    """A method on a device.

    Attributes:
        name: Of the method.
        smoke: Everything is small.
        device: Where it computes.
    """

    name: str
    smoke: bool
    device: torch.device

    @property
    def sizes(self) -> Sizes:
        """How much is done."""
        return TINY if self.smoke else FULL

    def module(self) -> LiftingModule:
        """The method on the processor, with fresh weights."""
        return build(self.name, smoke=self.smoke)

    def batch(self, module: LiftingModule, sizes: tuple[int, int]) -> PoseBatch:
        """A batch for it on the processor.

        Args:
            module: The method.
            sizes: Samples of keypoints, and of pictures.
        """
        if sees_pictures(module):
            return pictures(sizes[1], self.sizes.side)
        return poses(sizes[0], module.settings.frames)

    def ready(self, sizes: tuple[int, int]) -> tuple[LiftingModule, PoseBatch]:
        """The method and a batch on the device.

        Args:
            sizes: As of :meth:`batch`.
        """
        module = self.module()
        batch = self.batch(module, sizes)
        return module.to(self.device), moved(module, batch, self.device)


def moved(module: LiftingModule, batch: PoseBatch, device: torch.device) -> PoseBatch:
    """A batch on a device, as Lightning moves it."""
    found: PoseBatch = module.transfer_batch_to_device(batch, device, 0)
    return found


def equality(case: Case) -> Iterator[Measure]:
    """Answers and gradients beside those of the processor, float32, with the same draws.

    Without dropout, and batch normalisation as in evaluation, for every stage of the training.
    """
    here = case.module()
    batch = case.batch(here, case.sizes.compared)
    there = copy.deepcopy(here).to(case.device)
    both = ((here, batch), (there, moved(there, batch, case.device)))

    def compare(stage: Stage) -> Row:
        for module, _ in both:
            module.begin_stage(stage)
            module.eval()
        with SameDraws():
            ours, theirs = (_answer(*one).cpu() for one in both)
        apart = (ours - theirs).norm(dim=-1)
        (loss, gradient), (other, its) = (_gradient(*one) for one in both)
        return {
            "largest mm": float(apart.max()),
            "mean mm": float(apart.mean()),
            "gradients, relative": float((gradient - its).norm() / gradient.norm()),
            "loss, relative": abs(other - loss) / abs(loss),
            "samples": len(batch),
        }

    for stage in here.stages():
        yield {"training stage": stage.name}, partial(compare, stage)


def training(case: Case) -> Iterator[Measure]:
    """Steps of every stage of the training in every precision."""
    start, batch = case.ready(case.sizes.trained)

    def train(stage: Stage, precision: str) -> Row:
        module = copy.deepcopy(start)
        module.begin_stage(stage)
        step = stepping(module.train(), batch, precision)
        with products(precision):
            _forget_peak(case.device)
            torch.manual_seed(0)
            seconds, loss = timed(step, case.sizes.train_steps, case)
            waits = _waits(step, case.device)
        return {
            "ms a step": 1000 * seconds,
            "samples/s": len(batch) / seconds,
            "peak MiB": _peak(case.device),
            "waits a step": waits,
            "loss": float(loss),
            "finite": bool(loss.isfinite()),
            "batch": len(batch),
        }

    for stage in start.stages():
        for precision in PRECISIONS:
            labels = {"training stage": stage.name, "precision": precision}
            yield labels, partial(train, stage, precision)


def answers(case: Case) -> Iterator[Measure]:
    """Poses a second in every precision, and how far the answers move from float32."""
    module, batch = case.ready(case.sizes.answered)
    told = module.eval().describe()
    first = _answer(module, batch)

    def lift(precision: str) -> Row:
        with products(precision):
            _forget_peak(case.device)
            call = partial(_answer, module, batch, precision)
            seconds, found = timed(call, case.sizes.repeats, case)
        apart = (found.float() - first).norm(dim=-1)
        return {
            "poses/s": len(batch) / seconds,
            "mean mm moved": float(apart.mean()),
            "largest mm moved": float(apart.max()),
            "peak MiB": _peak(case.device),
            "hypotheses": told["hypotheses"],
            "steps": told["steps"],
            "batch": len(batch),
        }

    for precision in PRECISIONS:
        yield {"precision": precision}, partial(lift, precision)


def optimisation(case: Case) -> Iterator[Measure]:
    """Test-time optimisation in every precision of the network; the first turn warms up.

    A method that fits by itself chooses its precision, so it does so once.
    """
    module, batch = case.ready(case.sizes.optimised)
    config = TtoConfig(enabled=True, iterations=case.sizes.tto_steps)

    def optimise(precision: str) -> Row:
        own = partial(network, precision, case.device)
        call = partial(refine, module.eval(), batch, config, precision=own)
        with products(precision):
            _forget_peak(case.device)
            seconds, found = timed(call, 1, case, warmup=1)
        return {
            "poses/s": len(batch) / seconds,
            "s a batch": seconds,
            "steps": int(found.iterations.max()),
            "objective before": float(found.before.mean()),
            "after": float(found.after.mean()),
            "peak MiB": _peak(case.device),
            "batch": len(batch),
        }

    for precision in PRECISIONS[:1] if isinstance(module, Fitting) else PRECISIONS:
        yield {"precision": precision}, partial(optimise, precision)


def compiling(case: Case) -> Iterator[Measure]:
    """Answers and training steps of compiled networks beside the plain ones, float32."""
    start, batch = case.ready(case.sizes.trained)
    start.eval()

    def lift() -> Row:
        plain, quick = copy.deepcopy(start), copy.deepcopy(start)
        compile_parts(quick)
        seconds, ours = timed(partial(_answer, plain, batch), case.sizes.repeats, case)
        took, _ = timed(partial(_answer, quick, batch), 1, case, warmup=0)
        quicker, theirs = timed(partial(_answer, quick, batch), case.sizes.repeats, case)
        apart = float((ours - theirs).norm(dim=-1).max())
        return _beside(seconds, took, quicker) | {"apart": f"{apart:.3g} mm"}

    def train() -> Row:
        steps = []
        for compiled in (False, True):
            module = copy.deepcopy(start)
            module.begin_stage(module.stages()[-1])
            if compiled:
                compile_parts(module)
            steps.append(stepping(module.eval(), batch))  # without dropout, so that losses compare
        plain, quick = steps
        torch.manual_seed(0)
        loss = plain()
        torch.manual_seed(0)
        took, other = timed(quick, 1, case, warmup=0)
        seconds, _ = timed(plain, case.sizes.train_steps, case)
        quicker, _ = timed(quick, case.sizes.train_steps, case)
        apart = float((other - loss) / loss)
        return _beside(seconds, took, quicker) | {"apart": f"{apart:.3g} of the first loss"}

    yield {"what": "answer"}, lift
    yield {"what": "training step"}, train


def compile_parts(module: LiftingModule) -> None:
    """Have torch compile the networks of a method at their next call, in place."""
    from sampling_precision import compile_networks  # asks for einops, which may be missing

    compile_networks(module)  # those that are not called as modules
    for child in module.children():
        child.compile()


def _beside(plain: float, took: float, compiled: float) -> Row:
    return {
        "s of the first": took,
        "ms plain": 1000 * plain,
        "ms compiled": 1000 * compiled,
        "times as fast": plain / compiled,
    }


def stepping(
    module: LiftingModule, batch: PoseBatch, precision: str = FLOAT32
) -> Callable[[], Tensor]:
    """A training step on a batch, as a call that gives the loss.

    Args:
        module: In the stage whose steps are wanted.
        batch: On its device.
        precision: Of the loss.
    """
    learning = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=LR, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad()
        with network(precision, batch.keypoints_2d.device):
            loss: Tensor = module.training_step(batch, 1)  # type: ignore[assignment]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


@torch.no_grad()
def _answer(module: LiftingModule, batch: PoseBatch, precision: str = FLOAT32) -> Tensor:
    torch.manual_seed(0)
    with network(precision, batch.keypoints_2d.device):
        return module.predict(batch).joints_3d


def _gradient(module: LiftingModule, batch: PoseBatch) -> tuple[float, Tensor]:
    """Loss, and its gradient in all weights, on the processor."""
    module.zero_grad()
    with SameDraws(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        torch.manual_seed(0)
        loss: Tensor = module.training_step(batch, 1)  # type: ignore[assignment]
    loss.backward()  # type: ignore[no-untyped-call]
    parts = [p.grad.flatten().double().cpu() for p in module.parameters() if p.grad is not None]
    return float(loss), torch.cat(parts)


def timed(
    call: Callable[[], Any], count: int, case: Case, *, warmup: int | None = None
) -> tuple[float, Any]:
    """Wall seconds of a call and the last result; the device is waited for once, at the end.

    Args:
        call: What is timed.
        count: How often.
        case: Says where it computes.
        warmup: Calls before; None for as many as usual.
    """
    warmup = (1 if case.smoke else WARMUP) if warmup is None else warmup
    found = None
    for _ in range(warmup):
        found = call()
    wait(case.device)
    start = time.perf_counter()
    for _ in range(count):
        found = call()
    wait(case.device)
    return (time.perf_counter() - start) / count, found


def _waits(call: Callable[[], object], device: torch.device) -> int | None:
    """How often a call makes the processor wait for the GPU; None without one."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in said)


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / MIB
