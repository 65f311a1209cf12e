from __future__ import annotations

import pytest


@pytest.fixture
def people():
    """A batch of noisy keypoints of a crude lifter, and that lifter: a frozen linear network."""
    import torch
    from torch import nn

    from lifting.batch import PoseBatch, Prediction, root_relative
    from lifting.geometry.camera import Camera, normalize_screen, project
    from lifting.skeleton import H36M_17

    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    samples = 6
    template = 250 * draw(1, 1, 17, 3)
    joints = template + 30 * draw(samples, 1, 17, 3) + 300 * draw(samples, 1, 1, 3)
    joints = joints + torch.tensor([0.0, 0.0, 4500.0])
    camera = Camera(
        intrinsics=torch.tensor([1145.0, 1143, 512, 515, -0.2, 0.24, 0, -9e-4, -1e-3]).repeat(
            samples, 1
        ),
        size=torch.tensor([[1000.0, 1002]]).repeat(samples, 1),
    )
    exact = project(joints, camera.intrinsics[:, None])
    batch = PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=exact + 4 * draw(*exact.shape),
        confidence=torch.ones(samples, 1, 17),
        joints_3d=joints,
        camera=camera,
    )

    class Crude(nn.Module):
        """Moves a template by a linear map of the keypoints, with a branch of each mode."""

        def __init__(self):
            super().__init__()
            self.skeleton = H36M_17
            self.layers = nn.Sequential(nn.Linear(34, 64), nn.Tanh(), nn.Linear(64, 51))
            with torch.no_grad():
                for p in self.parameters():
                    p.copy_(draw(*p.shape) / 8)
            self.drop = nn.Dropout(0.5)
            self.norm = nn.BatchNorm1d(34)
            self.layers[0].bias.requires_grad_(False)
            self.fail = False

        def predict(self, batch):
            if self.fail:
                raise RuntimeError("no memory")
            x = normalize_screen(batch.keypoints_2d, batch.camera.size[:, None]).flatten(2)
            x = self.drop(self.norm(x.flatten(0, 1))).view_as(x)
            pose = template + 400 * self.layers(x).unflatten(-1, (17, 3))
            return Prediction(skeleton=H36M_17, joints_3d=root_relative(pose, 0))

    return batch, Crude()
