"""MixSTE against reference numbers, in our form and in the benchmark's reference form."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch
from lifting.geometry.camera import Camera
from lifting.methods.mixste.config import Config
from lifting.methods.mixste.module import Module
from lifting.methods.settings import ModuleSettings
from lifting.nn.mixste import export_mixste_state, import_mixste_state
from lifting.skeleton import H36M_17
from reference.mixste import ReferenceMixste

FROZEN = Path(__file__).parent / "data" / "mixste.npz"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
MM_TOLERANCE = {"rtol": 1e-4, "atol": 1e-2}
SD = "sd/"


def read():
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds diffpose/")
    path = Path(folder) / "diffpose" / "mixste_small.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def official_state(arrays):
    return {k.removeprefix(SD): v for k, v in arrays.items() if k.startswith(SD)}


def build(g, **settings):
    """The method with the weights of the file."""
    config = Config(
        width=int(g["cfg/embed_dim_ratio"]),
        layers=int(g["cfg/depth"]),
        heads=int(g["cfg/num_heads"]),
    )
    module = Module(config, ModuleSettings("mixste", frames=int(g["cfg/num_frame"]), **settings))
    module.network.load_state_dict(import_mixste_state(official_state(g), config.layers))
    return module.eval()


def pixel_batch(screen):
    """A batch in images of 2 by 2 pixels, in which a pixel is one screen unit."""
    size = torch.full((len(screen), 2), 2.0)
    lens = torch.tensor([2.0, 2, 1, 1, 0, 0, 0, 0, 0]).repeat(len(screen), 1)
    camera = Camera(intrinsics=lens, size=size)
    return PoseBatch(skeleton=H36M_17, keypoints_2d=screen + 1, camera=camera)


def without_root(pose):
    pose = pose.clone()
    pose[..., H36M_17.root, :] = 0
    return pose


@pytest.mark.golden
@torch.no_grad()
def test_network():
    g = read()
    network = build(g).network
    torch.testing.assert_close(network(g["uv_seq"]), g["xyz_seq"], **TOLERANCE)
    exported = export_mixste_state(network.state_dict(), network.size.layers)
    official = official_state(g)
    assert exported.keys() == official.keys()
    for name, value in official.items():
        assert torch.equal(exported[name], value)


@pytest.mark.golden
@torch.no_grad()
def test_reference_form():
    g = read()
    size = build(g).network.size
    network = ReferenceMixste(len(H36M_17), size).eval()
    network.load_state_dict(official_state(g))
    torch.testing.assert_close(network(g["uv_seq"]), g["xyz_seq"], **TOLERANCE)


@pytest.mark.golden
@torch.no_grad()
@pytest.mark.parametrize(("flip", "name"), [(False, "xyz_seq"), (True, "xyz_seq_flip_avg")])
def test_answers(flip, name):
    g = read()
    batch, wanted = pixel_batch(g["uv_seq"]), without_root(1000 * g[name])
    found = build(g, target="all", flip_test=flip).infer(batch).joints_3d
    torch.testing.assert_close(found, wanted, **MM_TOLERANCE)
    middle, half = build(g, flip_test=flip).infer(batch).joints_3d, wanted.shape[1] // 2
    torch.testing.assert_close(middle, wanted[:, half : half + 1], **MM_TOLERANCE)


def frozen_answer():
    """Weights come from a generator alone, whatever the initialisation is."""
    settings = ModuleSettings("mixste", frames=5, target="all", flip_test=True)
    module = Module(Config(width=16, layers=2, heads=4), settings).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            fan = parameter.shape[-1] if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
            if name.endswith("norm.weight"):
                parameter.abs_().add_(0.5)
        screen = torch.rand(2, 5, 17, 2, generator=generator) - 0.5
        return module.infer(pixel_batch(screen)).joints_3d


@pytest.mark.golden
def test_own_frozen_output():
    """Made by this project's code; guards every later change of it."""
    with np.load(FROZEN, allow_pickle=False) as arrays:
        wanted = torch.from_numpy(arrays["joints_3d"])
    torch.testing.assert_close(frozen_answer(), wanted, rtol=1e-4, atol=1e-2)
