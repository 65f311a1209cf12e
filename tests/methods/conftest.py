"""A batch of crude people, and training without a trainer."""

from __future__ import annotations

import pytest
import torch

from lifting.batch import PoseBatch
from lifting.geometry.camera import Camera, project
from lifting.skeleton import H36M_17


@pytest.fixture(scope="session")
def make_batch():
    """Makes eight random people before a camera, labelled in the middle frame or in all."""

    def make(frames=1, targets=1):
        size, generator = 8, torch.Generator().manual_seed(0)
        joints = torch.randn(size, frames, 17, 3, generator=generator) * 300
        joints[..., 2] += 4500
        intrinsics = torch.tensor([1145.0, 1143, 512, 515, -0.2, 0.24, -0.002, 0.001, -0.001])
        camera = Camera(
            intrinsics=intrinsics.repeat(size, 1),
            size=torch.tensor([1000.0, 1002.0]).repeat(size, 1),
        )
        half = frames // 2
        return PoseBatch(
            skeleton=H36M_17,
            keypoints_2d=project(joints, camera.intrinsics[:, None]),
            joints_3d=joints if targets == frames else joints[:, half : half + 1],
            camera=camera,
        )

    return make


@pytest.fixture
def without_trainer(monkeypatch):
    """Lets a module take training steps without a trainer to log to."""

    def silence(module):
        monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
        return module

    return silence


@pytest.fixture
def learn(without_trainer):
    """Trains a module on one batch; the loss of the first step and of the last."""

    def train(module, batch, lr=5e-3, decay=0.98, amsgrad=False, steps=300):
        without_trainer(module)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr, amsgrad=amsgrad)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = module.training_step(batch, 0)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        return losses[0].item(), losses[-1].item()

    return train
