"""EpipolarPose's scores of joints that pictures show and hide."""

import pytest
import torch

from lifting.data.images.raycast import BEHIND_BODY, BEHIND_OBJECT, OUTSIDE, SEEN
from lifting.methods.epipolarpose.module import SIGHT, SightErrors
from lifting.skeleton import H36M_17


@pytest.fixture
def scored(make_batch):
    """A batch, and answers that are wrong by 10 mm times the joint's state plus one."""
    batch = make_batch()
    state = torch.full((8, 1, 17), SEEN, dtype=torch.uint8)
    state[:, :, 3], state[:, :, 5], state[:4, :, 6] = BEHIND_BODY, BEHIND_OBJECT, OUTSIDE
    batch.extras[SIGHT] = state
    joints = batch.joints_3d - batch.joints_3d[..., :1, :]
    joints[..., 2] += 10.0 * (state.float() + 1)
    return batch, joints


def test_every_state_has_its_own_mean(scored):
    batch, joints = scored
    errors = SightErrors(H36M_17)
    errors.update(joints[:3], batch_rows(batch, slice(0, 3)))
    errors.update(joints[3:], batch_rows(batch, slice(3, 8)))
    found = errors.compute()
    wanted = {"seen_mpjpe_mm": 10, "behind_body_mpjpe_mm": 20, "behind_object_mpjpe_mm": 30}
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(float(found[key]), float(value), rtol=0, atol=1e-3)
    errors.reset()
    assert errors.compute() == {}


def batch_rows(batch, rows):
    part = type(batch)(
        skeleton=batch.skeleton,
        keypoints_2d=batch.keypoints_2d[rows],
        joints_3d=batch.joints_3d[rows],
        camera=batch.camera,
    )
    part.extras = {SIGHT: batch.extras[SIGHT][rows]}
    return part


def test_the_root_and_invalid_labels_do_not_count(scored):
    batch, joints = scored
    batch.visible = torch.ones(8, 1, 17, dtype=torch.bool)
    batch.visible[:, :, 5] = False
    batch.joints_3d[:, :, 5] = torch.nan
    joints[:, :, 0] = 1e6
    errors = SightErrors(H36M_17)
    errors.update(joints, batch)
    found = errors.compute()
    assert found.keys() == {"seen_mpjpe_mm", "behind_body_mpjpe_mm"}
    torch.testing.assert_close(float(found["seen_mpjpe_mm"]), 10.0, rtol=0, atol=1e-3)


def test_pictures_that_do_not_tell_are_not_scored(scored):
    batch, joints = scored
    del batch.extras[SIGHT]
    errors = SightErrors(H36M_17)
    errors.update(joints, batch)
    assert errors.compute() == {}
