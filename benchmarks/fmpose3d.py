"""FMPose3D: the network beside the straightforward form of its layers, and hypotheses in chunks.

Networks with random weights, of the released size and of the recipe's. Reference and ours have the
same weights and inputs. For hypotheses the reference draws one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from lifting.methods.fmpose3d.checkpoint import export_state
from lifting.methods.fmpose3d.config import Config
from lifting.methods.fmpose3d.flow import sample
from lifting.methods.fmpose3d.network import VelocityNetwork
from lifting.nn.graph import partitioned_adjacency
from lifting.nn.threads import torch_threads
from lifting.skeleton import H36M_17
from reference.fmpose3d import ReferenceVelocity
from timing import BenchRow, cpu_seconds

SIZES = {
    "released": Config(),
    "recipe": Config(width=64, layers=3, heads=4, perceptron=128),
}
STEPS = 3
DRAWS = 10


def rows() -> Iterator[BenchRow]:
    """Processor milliseconds of a call, one thread."""
    with torch_threads(1):
        for name, config in SIZES.items():
            ours, reference = networks(config)
            for batch in (1, 64):
                pair = (partial(forward, net, batch) for net in (reference, ours))
                yield _row(f"{name}: forward", *pair, f"batch {batch}")
            pair = (partial(step, net.train(), 64) for net in (reference, ours))
            yield _row(f"{name}: training step", *pair, "batch 64, with dropout")
            ours.eval()
            for batch in (1, 8, 64, 256):
                if batch > 8 and name == "released":
                    continue
                pair = (partial(hypotheses, ours, batch, rows) for rows in (1, None))
                note = f"{DRAWS} hypotheses of {batch} poses, {STEPS} steps"
                yield _row(f"{name}: hypotheses in chunks", *pair, note)


def networks(config: Config) -> tuple[VelocityNetwork, ReferenceVelocity]:
    """Our network and the reference with the same weights, in evaluation mode."""
    torch.manual_seed(0)
    ours = VelocityNetwork(H36M_17, config).eval()
    graph = partitioned_adjacency(H36M_17).float()
    reference = ReferenceVelocity(graph, config).eval()
    graphs = {k: graph for k in reference.state_dict() if k == "A" or k.endswith(".adj")}
    reference.load_state_dict(export_state(ours.state_dict(), config) | graphs)
    return ours, reference


def inputs(batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keypoints, poses and times."""
    generator = torch.Generator().manual_seed(batch)
    draw = partial(torch.randn, generator=generator)
    return draw(batch, 17, 2), draw(batch, 17, 3), torch.rand(batch, generator=generator)


@torch.no_grad()
def forward(network: nn.Module, batch: int) -> None:
    """A velocity of each pose."""
    network(*inputs(batch))


def step(network: nn.Module, batch: int) -> None:
    """Forward and backward."""
    network.zero_grad()
    network(*inputs(batch)).square().mean().backward()


@torch.no_grad()
def hypotheses(network: VelocityNetwork, batch: int, rows: int | None) -> None:
    """Several draws for each pose."""
    generator = torch.Generator().manual_seed(batch)
    keypoints = torch.randn(DRAWS, batch, 17, 2, generator=generator)
    noise = torch.randn(DRAWS, batch, 17, 3, generator=generator)
    sample(network, keypoints, noise, STEPS, rows)


def _row(
    name: str, reference: Callable[[], None], ours: Callable[[], None], note: str
) -> BenchRow:
    times = (1000 * cpu_seconds(call, repeats=5) for call in (reference, ours))
    return BenchRow(name, *times, "CPU-ms", f"{note}, 1 thread")
