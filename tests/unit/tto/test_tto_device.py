"""What matters on a GPU, shown without one: no wait for values, and one compiled graph a shape."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config
from lifting.methods.simple_baseline.module import Module
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select")
SMALL = Config(channels=16, blocks=1)


@pytest.fixture
def lifter():
    torch.manual_seed(0)
    return Module(SMALL, ModuleSettings("simple_baseline")).eval()


class Waits(TorchDispatchMode):
    """Counts the operations whose result the host has to look at."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def waits(lifter, batch, **options):
    with Waits() as mode:
        refine(lifter, batch, TtoConfig(enabled=True, **options), flip=True)
    return len(mode.seen)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("root", ["solve", "gt", "latent"])
def test_a_longer_loop_waits_no_more_often(lifter, people, root, optimizer):
    options = {"root": root, "optimizer": optimizer}
    few, many = (waits(lifter, people[0], iterations=n, **options) for n in (2, 9))
    assert few == many


def test_packing_waits_in_every_step(lifter, people):
    few, many = (waits(lifter, people[0], iterations=n, tolerance=1e-9) for n in (2, 9))
    assert many > few
