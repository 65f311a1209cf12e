"""D3DP's denoiser beside its straightforward form: a call, a training step, and an answer.

The answer of the straightforward form goes from one hypothesis to the next, each through all
steps. A note says how far the two forms are apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lifting.methods.d3dp.checkpoint import OFFICIAL_PREFIX, export_state
from lifting.methods.d3dp.config import Config
from lifting.methods.d3dp.diffusion import visited_levels
from lifting.methods.d3dp.lifter import Lifter
from lifting.methods.settings import ModuleSettings
from lifting.nn.threads import torch_threads
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import H36M_17
from reference.d3dp import ReferenceDenoiser, reference_sampling
from timing import BenchRow, cpu_seconds

SEED = 0
SPREAD = 0.02


@dataclass(frozen=True)
class Case:
    """Sizes of a measurement.

    Attributes:
        name: Of the network.
        config: The switches.
        frames: Length of a window.
        batch: Windows.
        repeats: Calls that are timed.
    """

    name: str
    config: Config
    frames: int
    batch: int
    repeats: int


RECIPE = Config(width=64, layers=4, heads=4, hypotheses=5, sampling_steps=3, aggregation="mean")
CASES = (
    Case("recipe", RECIPE, 27, 16, 5),
    Case("recipe, one window", RECIPE, 27, 1, 9),
    Case("released width, 2 layers", Config(layers=2, hypotheses=4, sampling_steps=1), 243, 1, 1),
)


def rows() -> Iterator[BenchRow]:
    """Milliseconds of the processor in one thread, single precision."""
    with torch_threads(1):
        for case in CASES:
            yield from _rows(case)


def _rows(case: Case) -> Iterator[BenchRow]:
    lifter, reference = forms(case)
    generator = torch.Generator().manual_seed(SEED)
    shape = (case.batch, case.frames, len(H36M_17))
    uv = torch.rand(*shape, 2, generator=generator) - 0.5
    pose = torch.randn(*shape, 3, generator=generator)
    level = torch.full((case.batch,), 300)
    ours = lifter.network
    with torch.no_grad():
        apart = (ours(uv, pose, level) - reference(uv, pose, level)).norm(dim=-1).max()
        sizes = f"{case.batch} windows of {case.frames} frames, {float(apart):.1g} m apart"
        calls = (lambda: reference(uv, pose, level)), (lambda: ours(uv, pose, level))
        yield _row(f"{case.name}: a call", calls, case, sizes)
    trained = _training(reference, uv, pose, level), _training(ours, uv, pose, level)
    yield _row(f"{case.name}: forward and backward", trained, case, sizes)
    config, levels = case.config, visited_levels(1000, case.config.sampling_steps)
    with torch.no_grad():
        noise = lifter.noise.expand(-1, -1, case.batch, -1, -1, -1)
        whole = (
            lambda: reference_sampling(
                reference, uv, list(noise), levels, lifter.shares, H36M_17, config.clamp
            ),
            lambda: torch.stack(lifter.sample(uv, lifter.noise)),
        )
        apart = (whole[0]() - whole[1]()).norm(dim=-1).max()
        note = (
            f"{config.hypotheses} hypotheses, {config.sampling_steps} steps, mirrored average; "
            f"{float(apart) * MM_PER_METRE:.1g} mm apart"
        )
        yield _row(f"{case.name}: an answer", whole, case, note)


def forms(case: Case) -> tuple[Lifter, ReferenceDenoiser]:
    """Both forms with the same random weights, in evaluation mode."""
    torch.manual_seed(SEED)
    settings = ModuleSettings("d3dp", frames=case.frames, target="all")
    lifter = Lifter(case.config, settings).eval()
    for parameter in lifter.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=SPREAD)
    reference = ReferenceDenoiser(len(H36M_17), lifter.network.trunk.size).eval()
    official = export_state(lifter.network.state_dict(), case.config.layers)
    reference.load_state_dict({k.removeprefix(OFFICIAL_PREFIX): v for k, v in official.items()})
    return lifter, reference


def _training(network: nn.Module, uv: Tensor, pose: Tensor, level: Tensor) -> Callable[[], object]:
    def step() -> None:
        network.zero_grad()
        (network(uv, pose, level) - pose).norm(dim=-1).mean().backward()

    return step


def _row(
    name: str, calls: tuple[Callable[[], object], Callable[[], object]], case: Case, note: str
) -> BenchRow:
    reference, ours = (1000 * cpu_seconds(call, repeats=case.repeats) for call in calls)
    return BenchRow(name, reference, ours, "CPU-ms", f"{note}, 1 thread")
