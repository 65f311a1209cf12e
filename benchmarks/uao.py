"""Test-time optimisation of GUMLP: the released loop beside ours, and where the time goes.

Both loops get the same network, trained for a minute on procedural poses, and the same noisy
keypoints, with the true root as published. A note gives the mean objective and the mean error each
of them ends with, so that a faster loop can be seen to end in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch

from lifting.batch import PoseBatch, flip_batch, root_relative
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion
from lifting.experiment.load import load_experiment
from lifting.geometry.camera import screen_intrinsics
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao.checkpoint import export_state
from lifting.methods.uao.config import Config
from lifting.methods.uao.module import Module, uncertainty_loss
from lifting.metrics.functional.position import mpjpe
from lifting.nn.graph import partitioned_adjacency
from lifting.nn.threads import torch_threads
from lifting.nn.units import MM_PER_METRE, to_network_units
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine
from lifting.typing import PerSample, Pose3D
from reference.uao import ReferenceGumlp, reference_optimisation
from timing import BenchRow, cpu_seconds

CLIPS, FRAMES = 60, 50
POSES = 128
TRAIN_STEPS, TRAIN_BATCH, TRAIN_LR = 200, 64, 1e-3
REPEATS = 3
BRANCHES = 2  # the published objective adds up the plain and the mirrored input's
PUBLISHED = "4 steps, as published"
PARTS = (
    ("matrix products", ("aten::mm", "aten::addmm", "aten::bmm")),
    ("GELU and its gradient", ("aten::gelu", "aten::gelu_backward")),
    ("layer normalisation", ("aten::native_layer_norm", "aten::native_layer_norm_backward")),
    ("copies and sums", ("aten::copy_", "aten::add", "aten::add_", "aten::cat")),
)


@dataclass(frozen=True)
class Outcome:
    """Where a loop ended.

    Attributes:
        gained: How far the published objective fell, mean over samples.
        pose: The answers, mm.
        objective: Of each sample at the end; of the reference, which keeps the mean, None.
    """

    gained: float
    pose: Pose3D
    objective: PerSample | None = None


@dataclass(frozen=True)
class Cost:
    """Poses a CPU-second, MPJPE in mm at the end, and what the last turn came to."""

    rate: float
    error: float
    end: Outcome


def rows() -> Iterator[BenchRow]:
    """Poses a CPU-second, single precision unless said, and shares of the time."""
    train, test = poses(0), poses(1)
    module = trained(train)
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:POSES]
    batch = test.rows(chosen)
    published = TtoConfig.faithful(history=True)
    three_steps = replace(published, optimizer="short_adam", iterations=3, lr=3.2e-3)
    fast = load_experiment("uao", ["extends=overlay/tto_fast"]).tto
    two_steps = replace(
        published, optimizer=fast.optimizer, iterations=fast.iterations, lr=fast.lr
    )
    bfloat16 = partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    with torch_threads(1):
        reference = _measure(reference_loop(module, batch), batch)
        first: Cost | None = None
        for name, config, precision in (
            (PUBLISHED, published, nullcontext),
            ("3 longer steps, short_adam", three_steps, nullcontext),
            ("2 longer steps, overlay tto_fast", two_steps, nullcontext),
            ("2 longer steps, bfloat16 network", two_steps, bfloat16),
        ):
            ours = _measure(partial(our_loop, module, batch, config, precision), batch)
            first = first or ours
            yield _row(name, reference, ours, first.end)
        yield from _profile(partial(our_loop, module, batch, published, nullcontext))


def poses(seed: int) -> PoseBatch:
    """Procedural poses seen by virtual cameras with detector-like noise, single frames."""
    tracks = film(generate_motion(CLIPS, FRAMES, seed=seed), rig="h36m", noise="cpn", seed=seed)
    assert tracks.joints_3d is not None
    lengths = tracks.offsets.diff()
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=tracks.keypoints_2d[:, None],
        confidence=tracks.confidence[:, None],
        joints_3d=tracks.joints_3d[:, None],
        camera=tracks.cameras[tracks.camera.repeat_interleave(lengths)],
    )


def trained(data: PoseBatch) -> Module:
    """GUMLP after a short training, in evaluation mode, so that its errors mean something."""
    torch.manual_seed(0)
    module = Module(Config(), ModuleSettings("uao", flip_test=True))
    optimizer = torch.optim.Adam(module.network.parameters(), lr=TRAIN_LR, amsgrad=True)
    assert data.joints_3d is not None
    inputs = to_network_units(data.keypoints_2d, data.camera.size)
    targets = root_relative(data.joints_3d, H36M_17.root) / MM_PER_METRE
    for _ in range(TRAIN_STEPS):
        chosen = torch.randint(len(inputs), (TRAIN_BATCH,))
        estimate = module.network(inputs[chosen])
        loss = uncertainty_loss(estimate.pose, estimate.log_sigma, targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module.eval()


def reference_loop(module: Module, batch: PoseBatch) -> Callable[[], Outcome]:
    """The released loop over a batch, with a module's weights.

    Args:
        module: GUMLP.
        batch: Single frames with labels.
    """
    assert batch.joints_3d is not None
    network = ReferenceGumlp(partitioned_adjacency(H36M_17)).eval()
    network.load_state_dict(export_state(module.network.state_dict(), module.config))
    size = batch.camera.size
    plain, mirrored = (
        to_network_units(b.keypoints_2d, size)[:, 0] for b in (batch, flip_batch(batch, H36M_17))
    )
    camera = screen_intrinsics(batch.camera.intrinsics, size)
    root = batch.joints_3d[:, 0, H36M_17.root : H36M_17.root + 1] / MM_PER_METRE

    def loop() -> Outcome:
        found = reference_optimisation(network, plain, mirrored, camera, root, H36M_17)
        gained = found.losses[0] - found.losses[-1]
        return Outcome(float(gained), MM_PER_METRE * found.pose)

    return loop


def our_loop(
    module: Module,
    batch: PoseBatch,
    config: TtoConfig,
    precision: Callable[[], AbstractContextManager[object]],
) -> Outcome:
    """Ours over a batch.

    Args:
        module: GUMLP.
        batch: Single frames with labels.
        config: The published settings, or others.
        precision: Makes the context that the network computes in.
    """
    result = refine(module, batch, config, precision=precision)
    gained = BRANCHES * (result.before - result.after).mean()
    return Outcome(float(gained), result.pose[:, 0], result.after)


def _measure(loop: Callable[[], Outcome], batch: PoseBatch) -> Cost:
    """Median of a few turns, of which the first warms the allocator up."""
    ends: list[Outcome] = []
    seconds = cpu_seconds(lambda: ends.append(loop()), repeats=REPEATS, warmup=0)
    assert batch.joints_3d is not None
    target = root_relative(batch.joints_3d, H36M_17.root)[:, 0]
    return Cost(POSES / seconds, float(mpjpe(ends[-1].pose, target)), ends[-1])


def _row(name: str, reference: Cost, ours: Cost, published: Outcome) -> BenchRow:
    note = (
        f"batch {POSES}, 1 thread; objective falls by {reference.end.gained:.4f} and "
        f"{ours.end.gained:.4f}; MPJPE {reference.error:.2f} and {ours.error:.2f} mm"
    )
    if name != PUBLISHED:
        assert ours.end.objective is not None
        assert published.objective is not None
        share = 100 * (ours.end.objective <= published.objective).float().mean()
        note += f"; objective no worse than after the published steps for {share:.1f} % of samples"
    return BenchRow(name, reference.rate, ours.rate, "poses/CPU-s", note, higher_is_better=True)


def _profile(loop: Callable[[], object]) -> Iterator[BenchRow]:
    """Shares of the processor's time by kind of operation."""
    with torch.profiler.profile() as profile:
        loop()
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(spent.values())
    shares = [(name, sum(spent.get(op, 0.0) for op in ops) / total) for name, ops in PARTS]
    shares.append(("all else", 1 - sum(share for _, share in shares)))
    note = f"{PUBLISHED}, 1 thread"
    for name, share in shares:
        yield BenchRow(f"time in {name}", None, 100 * share, "%", note)
