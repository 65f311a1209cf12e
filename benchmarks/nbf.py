"""Cost of rendering a body of kernels, and of an iteration of fitting, beside the dense form.

Both forms get the same posed bodies and the same feature maps. A note gives how far the weights of
ours, which looks at a few kernels a ray, are from those of all kernels.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.kernel_body import PosedKernels
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.nbf.body_pose import BodyPose, PosePrior, upright
from lifting.methods.nbf.features import Orientation, expected_features
from lifting.methods.nbf.fitting import fit_bodies
from lifting.methods.nbf.objective import (
    FitModel,
    FitOptions,
    cosine_scores,
    negative_log_likelihood,
)
from lifting.methods.nbf.render import RenderOptions, normalise_features, render
from lifting.methods.nbf.selection import RayGrid
from lifting.nn.threads import torch_threads
from reference.nbf import dense_composite, dense_weights
from timing import BenchRow, cpu_seconds

IMAGES, REFERENCE_IMAGES, FITTED_IMAGES = 16, 1, 8
SIDE = 32
CHANNELS, ORIENTATIONS = 32, 4
COUNTS = (12, 32)  # the first is the default
DEPTH_MM, FOCAL = 4500.0, 2.2
TWIST, LOWERED = 0.2, 1.0
REPEATS, REFERENCE_REPEATS = 7, 3
ERROR_IMAGES, MEMORY_IMAGES = 4, 256

Composite = Callable[[PosedKernels, Tensor], tuple[Tensor, Tensor]]


class Bodies(NamedTuple):
    """Posed people and what an image of them is taken to.

    Attributes:
        turns: Of the joints, ``(batch, 17, 3)``, radians.
        bank: Kernel features, ``(orientations, kernels, channels)``.
        observed: Feature map, ``(batch, rays, channels)``.
        clutter: Background features, ``(1, channels)``.
        grid: The rays.
    """

    turns: Tensor
    bank: Tensor
    observed: Tensor
    clutter: Tensor
    grid: RayGrid


def rows() -> Iterator[BenchRow]:
    """Images a CPU-second on one thread, and peak memory."""
    with torch_threads(1):
        for name, build in (
            ("render", rendering),
            ("render and gradient", rendered_gradient),
            ("fitting iteration", fitting_iteration),
        ):
            yield from _rate_rows(name, build)
        yield _fit_row(torch.float64)
        yield _fit_row(torch.float32)
        if sys.platform == "linux":
            yield _memory_row()


def bodies(images: int, seed: int = 0) -> Bodies:
    """Standing people, arms lowered, every joint a little off, seen from the front.

    Args:
        images: How many.
        seed: Of the poses and features.
    """
    generator = torch.Generator().manual_seed(seed)
    turns = TWIST * torch.randn(images, 17, 3, generator=generator)
    for shoulder, side in ((11, -1), (14, 1)):
        turns[:, shoulder, 2] += side * LOWERED
    kernels = EllipsoidBody().kernel_count
    unit = {
        name: functional.normalize(torch.randn(*size, generator=generator), dim=-1)
        for name, size in (
            ("bank", (ORIENTATIONS, kernels, CHANNELS)),
            ("observed", (images, SIDE * SIDE, CHANNELS)),
            ("clutter", (1, CHANNELS)),
        )
    }
    focal = torch.full((images, 2), FOCAL * SIDE)
    grid = RayGrid(SIDE, SIDE, focal, torch.full_like(focal, SIDE / 2))
    return Bodies(turns, **unit, grid=grid)


def posed(body: EllipsoidBody, turns: Tensor) -> PosedKernels:
    """Kernels of people who turn their joints by ``(batch, 17, 3)``."""
    return body.kernels(*standing(body, turns))


def standing(body: EllipsoidBody, turns: Tensor) -> BodyPose:
    """People who turn their joints by ``(batch, 17, 3)``."""
    rotations = axis_angle_to_matrix(turns)
    root = upright(turns) @ rotations[:, :1]
    place = turns.new_tensor((0.0, 0.0, DEPTH_MM)).expand(len(turns), 3)
    betas = turns.new_zeros(len(turns), body.shape_count)
    return BodyPose(torch.cat((root, rotations[:, 1:]), dim=1), betas, place)


def few(people: Bodies, count: int, *, cull: bool | None = None) -> Composite:
    """Ours, with some kernels a ray."""
    options = RenderOptions(count, cull=cull)

    def composite(kernels: PosedKernels, features: Tensor) -> tuple[Tensor, Tensor]:
        found = render(kernels.means, kernels.precisions, people.grid, options)
        return found.composite(features), found.opacity

    return composite


def every(people: Bodies) -> Composite:
    """The dense form."""
    directions = people.grid.directions()

    def composite(kernels: PosedKernels, features: Tensor) -> tuple[Tensor, Tensor]:
        return dense_composite(kernels.means, kernels.precisions, directions, features)

    return composite


def rendering(people: Bodies, composite: Composite) -> Callable[[], object]:
    """Feature maps without a gradient, as a call."""
    kernels = posed(EllipsoidBody(), people.turns)
    features = _features(people, kernels)

    def call() -> object:
        with torch.no_grad():
            return composite(kernels, features)

    return call


def rendered_gradient(people: Bodies, composite: Composite) -> Callable[[], object]:
    """Feature maps and their gradient by kernels and features, as a call."""
    kernels = posed(EllipsoidBody(), people.turns)
    leaves = [
        value.detach().requires_grad_(True)
        for value in (kernels.means, kernels.precisions, _features(people, kernels))
    ]

    def call() -> object:
        found, opacity = composite(
            kernels._replace(means=leaves[0], precisions=leaves[1]), leaves[2]
        )
        return torch.autograd.grad(found.square().sum() + opacity.sum(), leaves)

    return call


def fitting_iteration(people: Bodies, composite: Composite) -> Callable[[], object]:
    """Body, features, rendering, likelihood, and the gradient by the turns, as a call."""
    body = EllipsoidBody()
    turns = people.turns.clone().requires_grad_(True)

    def call() -> object:
        kernels = posed(body, turns)
        found, opacity = composite(kernels, _features(people, kernels))
        scores = cosine_scores(people.observed, normalise_features(found), people.clutter)
        loss = negative_log_likelihood(scores, opacity.clamp(max=1)).sum()
        return torch.autograd.grad(loss, turns)

    return call


def weight_errors(count: int, images: int = IMAGES) -> tuple[float, float]:
    """Largest error of a weight, and the mean over covered rays of each ray's largest.

    Args:
        count: Kernels a ray.
        images: How many.
    """
    people = bodies(images)
    kernels = posed(EllipsoidBody(), people.turns)
    with torch.no_grad():
        exact = dense_weights(kernels.means, kernels.precisions, people.grid.directions())
        found = render(kernels.means, kernels.precisions, people.grid, RenderOptions(count))
    error = (found.dense() - exact).abs().amax(-1)
    return float(error.max()), float(error[found.opacity > 0].mean())


def _features(people: Bodies, kernels: PosedKernels) -> Tensor:
    weights = Orientation(count=ORIENTATIONS).weights(kernels.limbs)
    return expected_features(weights, EllipsoidBody().limb, people.bank)


def _rate_rows(
    name: str, build: Callable[[Bodies, Composite], Callable[[], object]]
) -> Iterator[BenchRow]:
    """Ours beside the dense form, and beside itself where it looks for kernels everywhere."""
    some, one = bodies(IMAGES), bodies(REFERENCE_IMAGES)
    dense = REFERENCE_IMAGES / cpu_seconds(build(one, every(one)), repeats=REFERENCE_REPEATS)
    size = f"{SIDE} x {SIDE} rays, 406 kernels, batch {IMAGES}, one thread"
    rates = []
    for count in COUNTS:
        ours = IMAGES / cpu_seconds(build(some, few(some, count)), repeats=REPEATS)
        largest, mean = weight_errors(count, ERROR_IMAGES)
        note = (
            f"{count} kernels a ray, {size}; largest error of a weight {largest:.1e}, mean over "
            f"covered rays of each ray's largest {mean:.1e}"
        )
        rates.append(ours)
        yield _rate_row(f"nbf {name}", dense, ours, note)
    wide = few(some, COUNTS[0], cull=False)
    slow = IMAGES / cpu_seconds(build(some, wide), repeats=REFERENCE_REPEATS)
    note = f"reference: ours, looking for its {COUNTS[0]} kernels a ray among all; {size}"
    yield _rate_row(f"nbf {name}, culling alone", slow, rates[0], note)


def _rate_row(name: str, reference: float, ours: float, note: str) -> BenchRow:
    return BenchRow(name, reference, ours, "images/s", note, higher_is_better=True)


def fitting(people: Bodies, dtype: torch.dtype) -> Callable[[], object]:
    """A whole fitting of people to random features, both starts and all steps, as a call."""
    body = EllipsoidBody().to(dtype)
    model = FitModel(
        body=body,
        bank=people.bank.to(dtype),
        clutter=people.clutter.to(dtype),
        orientation=Orientation(count=ORIENTATIONS),
        prior=PosePrior.of_h36m(),
        render=RenderOptions(COUNTS[0]),
    )
    start = standing(EllipsoidBody(), people.turns)
    return lambda: fit_bodies(model, people.observed, people.grid, (start,))


def _fit_row(dtype: torch.dtype) -> BenchRow:
    rate = FITTED_IMAGES / cpu_seconds(fitting(bodies(FITTED_IMAGES), dtype), repeats=1)
    precision = str(dtype).removeprefix("torch.")
    options = FitOptions()
    note = (
        f"{precision}, two starts, {options.first_steps} + {options.second_steps} steps, "
        f"{SIDE} x {SIDE} rays, 406 kernels, batch {FITTED_IMAGES}, one thread"
    )
    return BenchRow("nbf fitting", None, rate, "images/s", note, higher_is_better=True)


def _memory_row() -> BenchRow:
    """Peak memory of an iteration of fitting above that of the process before it."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        dense, ours = pool.map(peak_memory, (None, COUNTS[0]), chunksize=1)
    note = (
        f"above the process; ours {MEMORY_IMAGES} images at once, the dense form "
        f"{REFERENCE_IMAGES}, {COUNTS[0]} kernels a ray"
    )
    return BenchRow("nbf fitting iteration, peak memory", dense, ours, "MiB", note)


def peak_memory(count: int | None) -> float:
    """Peak memory that an iteration of fitting adds to this process, MiB; on Linux only.

    Args:
        count: Kernels a ray; None for the dense form.
    """
    torch.set_num_threads(1)
    people = bodies(REFERENCE_IMAGES if count is None else MEMORY_IMAGES)
    call = fitting_iteration(people, every(people) if count is None else few(people, count))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the imports
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 2**10


def _status(name: str) -> int:
    """A field of the process's status, KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
