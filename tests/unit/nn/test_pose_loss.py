"""Distance between poses as a training loss: hand-made cases and masks."""

import pytest
import torch

from lifting.nn.pose_loss import pose_loss

TARGET = torch.zeros(1, 1, 2, 3)
PREDICTED = torch.tensor([[[[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]]])


@pytest.mark.parametrize(
    ("kind", "mask", "expected"),
    [
        ("distance", None, 3.5),
        ("squared", None, (25 / 3 + 4 / 3) / 2),
        ("distance", [True, False], 5.0),
        ("squared", [False, True], 4 / 3),
        ("distance", [False, False], 0.0),
    ],
)
def test_mean_over_valid_joints(kind, mask, expected):
    visible = None if mask is None else torch.tensor([[mask]])
    assert pose_loss(PREDICTED, TARGET, visible, kind).item() == pytest.approx(expected)


def test_gradient_is_finite_where_the_poses_agree():
    predicted = TARGET.clone().requires_grad_()
    pose_loss(predicted, TARGET, None, "distance").backward()
    assert (predicted.grad == 0).all()
