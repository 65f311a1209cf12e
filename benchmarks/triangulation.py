"""Cost of triangulation and of a rig's relative pose beside a loop over joints, and OpenCV.

The rows with OpenCV are there where it is installed, and say how far its answers are from ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lifting.geometry.camera import Camera, pixels_to_rays
from lifting.geometry.hartley_sturm import correct_matches, triangulate_polynomial
from lifting.geometry.robust import robust_relative_pose
from lifting.geometry.rotation import look_at
from lifting.geometry.triangulation import (
    RELEASED_ROUNDS,
    RELEASED_TOLERANCE_MM,
    Triangulation,
    fundamental_from_projections,
    projection_matrix,
    triangulate_dlt,
    triangulate_least_squares,
)
from lifting.nn.threads import torch_threads
from reference import triangulation as reference
from timing import BenchRow, cpu_seconds
from two_view_scene import rotation_degrees

POSES, REFERENCE_POSES = 20_000, 100
Method = Callable[[Tensor, Tensor], Triangulation]
_REPEATS = 9
_RIG_FRAMES = 64
_NOISE_PX = 2.0


def rows() -> Iterator[BenchRow]:
    """Rows of the benchmark table, everything on one thread."""
    with torch_threads(1):
        camera, keypoints = _scene(POSES)
        scene = (keypoints, projection_matrix(camera))
        yield from _method_rows(scene)
        yield _rig_row(camera, keypoints)
        if importlib.util.find_spec("cv2") is not None:
            yield from _opencv_rows(importlib.import_module("cv2"), camera, scene)


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


def _method_rows(scene: tuple[Tensor, Tensor]) -> Iterator[BenchRow]:
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

    for name, released, plain, ours in (
        ("direct linear transform", 36, reference.dlt, unscaled),
        ("linear least squares, iterated", 5300, reference.iterative, released_rounds),
        ("polynomial method", 2700, reference.polynomial, triangulate_polynomial),
    ):
        yield _method_row(name, released, plain, ours, scene)


def _method_row(
    name: str, released: int, plain: reference.Method, ours: Method, scene: tuple[Tensor, Tensor]
) -> BenchRow:
    """A method beside the loop; ``released`` is what the released code took elsewhere, us."""
    keypoints, projections = scene
    few, p = keypoints[:REFERENCE_POSES].numpy(), projections.numpy()

    def loop() -> None:
        for first, second in few:
            reference.each_joint(plain, first, second, *p)

    looped, batched = _in_turn(loop, lambda: ours(*scene))
    looped, batched = looped / len(few), batched / len(keypoints)
    note = (
        f"a 17-joint pose of two views, mean of {len(keypoints)}, float64, one thread; the "
        f"released code took {released} us on another machine, {1e-6 * released / batched:.3g} "
        "times ours"
    )
    return BenchRow(name, 1e6 * looped, 1e6 * batched, "CPU-us", note)


def _in_turn(theirs: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Median processor seconds of both, measured in turn: what else runs slows both alike."""
    calls = (theirs, ours)
    for call in calls:
        call()
    costs = [[cpu_seconds(c, repeats=1, warmup=0) for c in calls] for _ in range(_REPEATS)]
    plain, batched = (statistics.median(column) for column in zip(*costs, strict=True))
    return plain, batched


def _rig_row(camera: Camera, keypoints: Tensor) -> BenchRow:
    first, second = keypoints[:_RIG_FRAMES].transpose(0, 1).flatten(1, 2)

    def solve() -> object:
        return robust_relative_pose(first, second, camera.intrinsics[0], camera.intrinsics[1])

    note = f"{_RIG_FRAMES} frames pooled, 256 hypotheses, one thread"
    return BenchRow("robust relative pose", None, cpu_seconds(solve, repeats=3), "CPU-s", note)


def _opencv_rows(cv2: Any, camera: Camera, scene: tuple[Tensor, Tensor]) -> Iterator[BenchRow]:
    """Ours beside OpenCV's calls, one a pose, and one for the whole rig."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield _opencv_dlt(cv2, scene)
        yield _opencv_matches(cv2, scene)
        yield _opencv_rig(cv2, camera, scene[0])
    finally:
        cv2.setNumThreads(threads)


def _opencv_dlt(cv2: Any, scene: tuple[Tensor, Tensor]) -> BenchRow:
    keypoints, projections = scene
    few, p = keypoints[:REFERENCE_POSES], projections.numpy()
    calls = [[view.T.contiguous().numpy() for view in pose] for pose in few]

    def theirs() -> Tensor:
        found = [torch.from_numpy(cv2.triangulatePoints(*p, *views)) for views in calls]
        return torch.stack([(x[:3] / x[3]).T for x in found])

    def ours() -> Tensor:
        return triangulate_dlt(keypoints, projections, normalise=False).points

    apart = (theirs() - ours()[:REFERENCE_POSES]).abs().max()
    return _beside("triangulatePoints", theirs, ours, len(keypoints), f"{apart:.1g} mm")


def _opencv_matches(cv2: Any, scene: tuple[Tensor, Tensor]) -> BenchRow:
    keypoints, projections = scene
    few = keypoints[:REFERENCE_POSES, :, None].numpy()
    matrix = fundamental_from_projections(*projections)

    def theirs() -> Tensor:
        pairs = [cv2.correctMatches(matrix.numpy(), *views) for views in few]
        return torch.stack([torch.from_numpy(x[0]) for pair in pairs for x in pair])

    def ours() -> Tensor:
        found = correct_matches(keypoints[:, 0], keypoints[:, 1], matrix)
        return torch.stack((found.first, found.second), dim=1).flatten(0, 1)

    apart = (theirs() - ours()[: 2 * REFERENCE_POSES]).abs().max()
    return _beside("correctMatches", theirs, ours, len(keypoints), f"{apart:.1g} px")


def _beside(
    name: str,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    poses: int,
    apart: str,
) -> BenchRow:
    plain, batched = _in_turn(theirs, ours)
    plain, batched = plain / REFERENCE_POSES, batched / poses
    note = f"a 17-joint pose of two views, one thread; answers at most {apart} apart"
    return BenchRow(f"OpenCV's {name}", 1e6 * plain, 1e6 * batched, "CPU-us", note)


def _opencv_rig(cv2: Any, camera: Camera, keypoints: Tensor) -> BenchRow:
    pixels = keypoints[:_RIG_FRAMES].transpose(0, 1).flatten(1, 2)
    a, b = pixels_to_rays(pixels, camera.intrinsics).numpy()
    unit = torch.eye(3, dtype=torch.float64).numpy()
    reach = 3 * _NOISE_PX / float(camera.intrinsics[0, 0])

    def theirs() -> Tensor:
        essential, _ = cv2.findEssentialMat(a, b, unit, cv2.USAC_MAGSAC, 0.999, reach)
        return torch.from_numpy(cv2.recoverPose(essential, a, b, unit)[1])

    def ours() -> Tensor:
        return robust_relative_pose(*pixels, *camera.intrinsics).pose.rotation

    assert camera.rotation is not None
    wanted = camera.rotation[1] @ camera.rotation[0].mT
    off = [rotation_degrees(found, wanted) for found in (theirs(), ours())]
    note = f"{_RIG_FRAMES} frames pooled, {_NOISE_PX:g} px, one thread; "
    note += f"rotation off by {off[0]:.2g} and {off[1]:.2g} degrees"
    plain, batched = _in_turn(theirs, ours)
    return BenchRow("OpenCV's findEssentialMat, recoverPose", plain, batched, "CPU-s", note)
