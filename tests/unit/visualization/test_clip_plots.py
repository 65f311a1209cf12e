from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifting.cli.main import main
from lifting.errors import ConfigError, DataError
from lifting.poses import Poses
from lifting.skeleton import H36M_17, Skeleton
from lifting.visualization.clip_plots import (
    above_figure,
    angles_figure,
    joint_angles,
    sheet_figure,
)

# A body that stands straight, arms down, seen by a level camera: x right, y down, z forward.
STANDING = np.array(
    [
        (0, 0, 0), (-130, 0, 0), (-130, 430, 0), (-130, 860, 0), (130, 0, 0), (130, 430, 0),
        (130, 860, 0), (0, -250, 0), (0, -480, 0), (0, -590, -60), (0, -690, 0), (130, -480, 0),
        (130, -200, 0), (130, 50, 0), (-130, -480, 0), (-130, -200, 0), (-130, 50, 0),
    ],
    float,
)  # fmt: skip


@pytest.fixture
def poses():
    """Two people: one walks away from the camera, and lifts a shank; one stands, with a gap."""
    joints = np.repeat(STANDING[None], 50, 0)
    turn = np.radians(np.linspace(0, 90, 30))
    joints[:30, 6] = joints[:30, 5] + 430 * np.stack((0 * turn, np.cos(turn), np.sin(turn)), -1)
    place = np.zeros((50, 3))
    place[:30] = np.stack((np.full(30, -500.0), np.zeros(30), np.linspace(3000, 6000, 30)), -1)
    place[30:] = (800, 0, 4000)
    return Poses(
        skeleton=H36M_17,
        joints_3d=joints,
        trajectory=place,
        frame=np.concatenate((np.arange(30), np.arange(10), np.arange(20, 30))),
        track=np.repeat((0, 1), (30, 20)),
        track_names=("ann", "bob"),
        fps=np.array(25.0),
        intrinsics=np.array([1000.0, 1000, 500, 500]),
        image_size=np.array([1000, 1000]),
    )


def test_angles_are_those_of_the_joints(poses):
    angles = joint_angles(poses.joints_3d[:30], H36M_17)
    assert [*angles] == ["knee", "hip", "elbow", "shoulder"]
    np.testing.assert_allclose(angles["knee"]["left"], np.linspace(0, 90, 30), atol=1e-3)
    for joint, side in (
        ("knee", "right"),
        ("hip", "left"),
        ("elbow", "left"),
        ("shoulder", "left"),
    ):
        np.testing.assert_allclose(angles[joint][side], 0, atol=0.1, err_msg=joint)
    unknown = poses.joints_3d[:30].copy()
    unknown[3, 6] = np.nan
    assert np.isnan(joint_angles(unknown, H36M_17)["knee"]["left"]).nonzero()[0].tolist() == [3]


def test_the_chart_of_angles_has_time_and_gaps(poses):
    figure = angles_figure(poses)
    panels = figure.axes
    assert [axes.get_ylabel() for axes in panels] == [
        "knee, °",
        "hip, °",
        "elbow, °",
        "shoulder, °",
    ]
    left = panels[0].lines[0]
    np.testing.assert_allclose(left.get_xdata(), np.arange(30) / 25)
    assert (panels[0].get_title(loc="left"), panels[-1].get_xlabel()) == ("ann", "seconds")
    cut = angles_figure(replace(poses, fps=np.array(np.nan)), "bob").axes[0].lines[0].get_xdata()
    assert np.isnan(cut).nonzero()[0].tolist() == [10]
    with pytest.raises(ConfigError, match=r"expected a person of the file, got 'anne'.*ann"):
        angles_figure(poses, "anne")
    none = H36M_17.plain() | {"name": "other", "joints": tuple(f"joint_{i}" for i in range(17))}
    other = Skeleton.of({**none, "mirror": ()})
    with pytest.raises(DataError, match="got the joints of other"):
        angles_figure(replace(poses, skeleton=other))


def test_paths_are_drawn_from_above_with_the_camera(poses):
    axes = above_figure(poses).axes[0]
    ann, start = axes.lines[0], axes.lines[1]
    np.testing.assert_allclose(ann.get_xdata(), -0.5, atol=0.02)
    np.testing.assert_allclose(ann.get_ydata(), np.linspace(3, 6, 30), atol=0.02)
    np.testing.assert_allclose(start.get_xydata(), [(-0.5, 3)], atol=0.02)
    camera = axes.lines[4].get_xydata()
    np.testing.assert_allclose(camera[0], (0, 0), atol=1e-6)
    assert camera[1:3, 1].min() > 0.3  # it looks along the paper's y
    assert axes.texts[0].get_text() == "camera"
    with pytest.raises(DataError, match="expected places of people"):
        above_figure(replace(poses, trajectory=None))


def test_the_sheet_shows_even_steps_of_whole_poses(poses):
    joints = poses.joints_3d.copy()
    joints[5, 3] = np.nan
    axes = sheet_figure(replace(poses, joints_3d=joints), "ann").axes[0]
    shown = [int(text.get_text()) for text in axes.texts]
    assert len(shown) == 20
    assert shown == sorted(shown)
    assert (shown[0], shown[-1], 5 in shown) == (0, 29, False)
    joints[30:, 3] = np.nan
    with pytest.raises(DataError, match="expected a pose of bob with every joint"):
        sheet_figure(replace(poses, joints_3d=joints), "bob")


def test_the_command_writes_pictures(poses, tmp_path, capsys):
    poses.save(tmp_path / "poses.npz")
    for kind in ("sheet", "angles", "above"):
        assert main(["plot", kind, str(tmp_path / "poses.npz")]) == 0
        assert (tmp_path / f"{kind}.png").read_bytes()[1:4] == b"PNG"
    assert "written: " in capsys.readouterr().out
    words = ["plot", "above", str(tmp_path / "poses.npz"), "--output", str(tmp_path / "a.jpg")]
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "expected a picture (.png, .pdf, .svg)" in capsys.readouterr().err
