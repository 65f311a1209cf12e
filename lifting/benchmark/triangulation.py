"""Cost of triangulation and of a rig's relative pose beside a loop over joints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lifting.benchmark.reference import triangulation as reference
from lifting.benchmark.timing import BenchRow, cpu_seconds
from lifting.geometry.camera import Camera
from lifting.geometry.hartley_sturm import triangulate_polynomial
from lifting.geometry.projective import projection_matrix
from lifting.geometry.robust import robust_relative_pose
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import (
    RELEASED_ROUNDS,
    RELEASED_TOLERANCE_MM,
    Triangulation,
    triangulate_dlt,
    triangulate_least_squares,
)

POSES, REFERENCE_POSES = 20_000, 20
Method = Callable[[Tensor, Tensor], Triangulation]
_RIG_FRAMES = 64
_NOISE_PX = 2.0


def rows() -> list[BenchRow]:
    """Rows of the benchmark table, everything on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        camera, keypoints = _scene(POSES)
        projections = projection_matrix(camera)
        return [*_method_rows((keypoints, projections)), _rig_row(camera, keypoints)]
    finally:
        torch.set_num_threads(threads)


def _scene(poses: int) -> tuple[Camera, Tensor]:
    """Two cameras 65 degrees apart, and keypoints ``(poses, 2, 17, 2)`` that are 2 px off."""
    generator = torch.Generator().manual_seed(0)
    draw = {"generator": generator, "dtype": torch.float64}
    middle = torch.tensor([0.0, 0.0, 900.0], dtype=torch.float64)
    angle = torch.tensor([0.0, 65.0], dtype=torch.float64).deg2rad()
    height = torch.full_like(angle, 1600.0)
    position = torch.stack((5000 * angle.cos(), 5000 * angle.sin(), height), dim=-1)
    lens = torch.tensor([1145.0, 1145, 512, 512, 0, 0, 0, 0, 0], dtype=torch.float64)
    camera = Camera(
        intrinsics=lens.repeat(2, 1),
        size=torch.full((2, 2), 1000.0, dtype=torch.float64),
        rotation=look_at(position, middle.expand(2, 3)),
        position=position,
    )
    joints = middle + 300 * torch.randn(poses, 1, 17, 3, **draw)  # type: ignore[call-overload]
    p = projection_matrix(camera)
    seen = joints @ p[..., :3].mT + p[..., None, :, 3]
    noise = torch.randn(poses, 2, 17, 2, **draw)  # type: ignore[call-overload]
    return camera, seen[..., :2] / seen[..., 2:] + _NOISE_PX * noise


def _method_rows(scene: tuple[Tensor, Tensor]) -> list[BenchRow]:
    def released_rounds(keypoints: Tensor, projections: Tensor) -> Triangulation:
        return triangulate_least_squares(
            keypoints,
            projections,
            rounds=RELEASED_ROUNDS,
            tolerance=RELEASED_TOLERANCE_MM,
            accumulate=True,
        )

    def unscaled(keypoints: Tensor, projections: Tensor) -> Triangulation:
        return triangulate_dlt(keypoints, projections, normalise=False)

    return [
        _method_row("direct linear transform", 36, reference.dlt, unscaled, scene),
        _method_row(
            "linear least squares, iterated", 5300, reference.iterative, released_rounds, scene
        ),
        _method_row(
            "polynomial method", 2700, reference.polynomial, triangulate_polynomial, scene
        ),
    ]


def _method_row(
    name: str, released: int, plain: reference.Method, ours: Method, scene: tuple[Tensor, Tensor]
) -> BenchRow:
    """A method beside the loop; ``released`` is what the released code took elsewhere, us."""
    keypoints, projections = scene
    few, p = keypoints[:REFERENCE_POSES].numpy(), projections.numpy()

    def loop() -> None:
        for first, second in few:
            reference.each_joint(plain, first, second, *p)

    looped = cpu_seconds(loop, repeats=3) / len(few)
    batched = cpu_seconds(lambda: ours(*scene), repeats=3) / len(keypoints)
    note = (
        f"a 17-joint pose of two views, mean of {len(keypoints)}, float64, one thread; the "
        f"released code took {released} us on another machine"
    )
    return BenchRow(name, 1e6 * looped, 1e6 * batched, "CPU-us", note)


def _rig_row(camera: Camera, keypoints: Tensor) -> BenchRow:
    first, second = keypoints[:_RIG_FRAMES].transpose(0, 1).flatten(1, 2)

    def solve() -> object:
        return robust_relative_pose(first, second, camera.intrinsics[0], camera.intrinsics[1])

    note = f"{_RIG_FRAMES} frames pooled, 256 hypotheses, one thread"
    return BenchRow("robust relative pose", None, cpu_seconds(solve, repeats=3), "CPU-s", note)
