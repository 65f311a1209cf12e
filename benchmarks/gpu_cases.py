"""What the stages of ``gpu.py`` measure with: every method at one size, batches, precisions.

Configurations are the methods' own defaults, so that nothing but their dataclasses is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lifting.batch import PoseBatch
from lifting.body.ellipsoid import EllipsoidBody
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera, project
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.base import LiftingModule
from lifting.methods.discovery import load_config_class, load_module_class, method_names
from lifting.methods.settings import BuiltOn, ModuleSettings
from lifting.skeleton import H36M_17

FLOAT32, TF32, BF16 = "float32", "TF32", "bf16"
PRECISIONS = (FLOAT32, TF32, BF16)
# Keys that methods have in common, whichever has them, and their values in the smoke form.
SMALL: Mapping[str, Any] = {
    "blocks": 1, "body": "light", "channel_hidden": 8, "channels": 16, "clutter": 16,
    "contrast_kernels": 8, "depth": 18, "depth_cells": 4, "features": 8, "first_steps": 1,
    "head_hidden": 8, "head_width": 8, "hidden": 16, "layers": 2, "patch": 64,
    "second_steps": 1, "spatial_factor": 1, "width": 8,
}  # fmt: skip
LENS = (1145.0, 1143.0, 512.0, 515.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SCREEN = 1000.0
SMALLEST = 0.2  # of the usual spread of weights
TURNED_BY, NEAREST_MM, SHAKEN_MM = 0.4, 5000.0, 5.0
CROP_MM = 2200.0
PARTS = 18  # background, and joints that carry what a pixel shows


def build(name: str, *, smoke: bool) -> LiftingModule:
    """A method with fresh weights that are the same in every process.

    Args:
        name: Of the method.
        smoke: Make it small.

    Raises:
        ConfigError: A method on top of another one can be built on none.
    """
    kind = load_config_class(name)
    try:
        config = kind()
    except ConfigError:  # it has to be told what it is built on: the first that it takes
        if "base" not in {f.name for f in fields(kind)}:
            raise
        for below in method_names():
            try:
                return _build(name, _sized(kind(base={"name": below}), smoke), smoke)
            except (ConfigError, ImportError):
                continue
        raise
    return _build(name, _sized(config, smoke), smoke)


def _sized(config: Any, smoke: bool) -> Any:
    known = {f.name for f in fields(config)}
    return replace(config, **{k: v for k, v in SMALL.items() if k in known}) if smoke else config


def _build(name: str, config: Any, smoke: bool, frames: int | None = None) -> LiftingModule:
    base: list[LiftingModule] = []
    frames = frames or getattr(config, "receptive_field", 1)
    if isinstance(config, BuiltOn):
        below = config.base_method()
        assert isinstance(below, dict)  # the default names no checkpoint
        own = {k: v for k, v in below.items() if k != "name"}
        kind = load_config_class(below["name"])
        base.append(_build(below["name"], _sized(kind(**own), smoke), smoke, frames))
    torch.manual_seed(0)
    module = load_module_class(name)(config, ModuleSettings(name, frames=frames), *base)
    _wake(module)
    # Nothing is logged without a trainer, and the warning of it would be timed.
    for part in module.modules():
        if isinstance(part, LiftingModule):
            part.log = lambda *_, **__: None  # type: ignore[method-assign]
    return module


@torch.no_grad()
def _wake(module: LiftingModule) -> None:
    """Enlarge weights that begin near zero: answers that hardly depend on them compare nothing."""
    for weight in module.parameters():
        usual = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.0
        if weight.square().mean().sqrt() < SMALLEST * usual:
            weight.normal_(std=usual)


def sees_pictures(module: LiftingModule) -> bool:
    """Whether a method asks for pictures."""
    try:
        with torch.no_grad():
            module.eval().predict(poses(2, module.settings.frames))
    except DataError:
        return True
    return False


def poses(size: int, frames: int) -> PoseBatch:
    """Bodies in random postures at random places, labelled in the middle frame.

    Args:
        size: Samples.
        frames: Of a window, in which a body trembles.
    """
    draw = torch.Generator().manual_seed(0)
    body = EllipsoidBody("light")
    turns = TURNED_BY * torch.randn(size, 17, 3, generator=draw)
    place = torch.rand(size, 3, generator=draw) * 1000 - 500
    place[:, 2] += NEAREST_MM
    rotations, betas = axis_angle_to_matrix(turns), torch.zeros(size, body.shape_count)
    joints = body.kernels(rotations, betas, place).joints_17[:, None]
    joints = joints + SHAKEN_MM * torch.randn(size, frames, 17, 3, generator=draw)
    lens = torch.tensor(LENS).repeat(size, 1)
    half = frames // 2
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(joints, lens[:, None]),
        confidence=torch.rand(size, frames, 17, generator=draw),
        joints_3d=joints[:, half : half + 1],
        camera=Camera(intrinsics=lens, size=torch.full((size, 2), SCREEN)),
        extras={
            "rotations": rotations[:, None],
            "betas": betas[:, None],
            "translation": place[:, None],
        },
    )


def pictures(size: int, side: int) -> PoseBatch:
    """The same single frames with pictures of noise.

    Args:
        size: Samples.
        side: Of a picture, pixels.
    """
    batch = poses(size, 1)
    draw = torch.Generator().manual_seed(1)
    assert batch.joints_3d is not None
    place = batch.joints_3d[:, 0, H36M_17.root]
    middle = project(place[:, None], batch.camera.intrinsics)[:, 0]
    batch.crop = torch.cat((middle, CROP_MM * LENS[0] / place[:, 2:]), dim=1)
    shape = (size, 3, side, side)
    batch.image = torch.randint(256, shape, generator=draw, dtype=torch.uint8)
    parts = torch.randint(PARTS, (size, 1, side, side), generator=draw, dtype=torch.uint8)
    batch.extras["parts"] = parts
    return batch


@contextmanager
def products(precision: str) -> Iterator[None]:
    """A context in which float32 products and convolutions take TF32, or do not.

    Args:
        precision: One of ``PRECISIONS``; a processor has no TF32.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == TF32 else "highest")
    torch.backends.cudnn.allow_tf32 = precision == TF32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def network(precision: str, device: torch.device) -> torch.autocast:
    """The context of one loss or answer; a longer one would keep weights as they were cast first.

    Args:
        precision: One of ``PRECISIONS``.
        device: Where networks are.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == BF16)


class SameDraws(TorchDispatchMode):
    """Draws all random numbers on the processor, so that every device gets the same ones."""

    def __init__(self) -> None:
        super().__init__()
        self._twins: dict[torch.Generator, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, one that draws on the processor."""
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        given = [a for a in args if isinstance(a, Tensor)]
        device = given[0].device if given else kwargs.get("device") or torch.device("cpu")
        here = [a.cpu() if isinstance(a, Tensor) else a for a in args]
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != "cpu":
            if generator not in self._twins:
                twin = torch.Generator().manual_seed(generator.initial_seed())
                self._twins[generator] = twin
            kwargs["generator"] = self._twins[generator]
        drawn = func(*here, **kwargs)
        if func._schema.is_mutable:
            return given[0].copy_(drawn)
        several = isinstance(drawn, tuple | list)
        return type(drawn)(d.to(device) for d in drawn) if several else drawn.to(device)
