from dataclasses import replace

import numpy as np
import pytest
import torch

from lifting.errors import ShapeError
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.rotation import look_at
from lifting.skeleton import H36M_17
from lifting.visualization.rig_plot import RigPicture, frustum_lines, rig_figure, upright
from lifting.visualization.style import save_figure


def picture(frames=6):
    generator = torch.Generator().manual_seed(0)
    joints = torch.tensor([0.0, 0, 900]) + 300 * torch.randn(frames, 17, 3, generator=generator)
    centre = torch.tensor([[4000.0, 0, 1500], [0, 4000, 1500], [-3000, -1000, 1000]])
    return RigPicture(
        joints=joints,
        centre=centre,
        rotation=look_at(centre, torch.tensor([[0.0, 0, 900]]).expand(3, 3)),
        intrinsics=torch.tensor([[1000.0, 1000, 480, 500, 0, 0, 0, 0, 0]]).repeat(3, 1),
        sizes=torch.tensor([[960.0, 1000]]).repeat(3, 1),
        names=("left", "right", "back"),
        up=torch.tensor([0.0, 0, 1]),
        title="three cameras",
    )


def test_a_frustum_is_what_a_camera_sees():
    given = picture()
    lines = torch.from_numpy(frustum_lines(given, 500.0))
    assert lines.shape == (3, 8, 2, 3)
    torch.testing.assert_close(lines[:, 0, 0], given.centre.double())
    corners = world_to_camera(lines[:, 4:, 0], given.rotation.double(), given.centre.double())
    torch.testing.assert_close(corners[..., 2], torch.full((3, 4), 500.0, dtype=torch.float64))
    seen = project(corners, given.intrinsics.double())
    wanted = torch.tensor([[0.0, 0], [960, 0], [960, 1000], [0, 1000]], dtype=torch.float64)
    torch.testing.assert_close(seen, wanted.expand(3, 4, 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(lines[:, 4:, 1], lines[:, 4:, 0].roll(-1, 1))


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0.2, -0.9, 0.3), (0, 0, -1)])
def test_up_is_turned_to_z(up):
    turn = upright(np.array(up, dtype=float))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(turn @ up / np.linalg.norm(up), (0, 0, 1), atol=1e-12)


def test_the_figure_names_every_camera(tmp_path):
    figure = rig_figure(picture(), H36M_17)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {"left", "right", "back"}
    save_figure(figure, tmp_path / "rig.png")
    assert (tmp_path / "rig.png").stat().st_size > 10_000


def test_joints_that_are_not_known_are_left_out(tmp_path):
    given = picture()
    some = given.joints.clone()
    some[:, 5] = torch.nan
    save_figure(rig_figure(replace(given, joints=some), H36M_17), tmp_path / "some.png")
    none = torch.full_like(some, torch.nan)
    save_figure(rig_figure(replace(given, joints=none), H36M_17), tmp_path / "none.png")
    assert (tmp_path / "none.png").stat().st_size < (tmp_path / "some.png").stat().st_size
    with pytest.raises(ShapeError, match="expected centre of shape"):
        rig_figure(replace(given, centre=given.centre[:2]), H36M_17)
