"""Pictures hold what they should, with finite limits, and render without a display."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgba
from PIL import Image

from lifting.errors import DataError, OutputError, ShapeError
from lifting.skeleton import H36M_17, SKELETONS
from lifting.visualization.charts import (
    Curve,
    LearningCurve,
    Ranked,
    bar_chart,
    curve_chart,
    joint_chart,
    learning_chart,
    ranking_chart,
)
from lifting.visualization.sheets import contact_sheet
from lifting.visualization.skeleton_plot import (
    SamplePicture,
    draw_keypoints,
    draw_skeleton,
    frame_scene,
    sample_figure,
)
from lifting.visualization.style import (
    DEFAULT_STYLE,
    Side,
    View,
    joint_sides,
    new_figure,
    save_figure,
)

# A standing person, world frame (z up), mm.
STANDING = np.array(
    (
        (0, 0, 950), (-130, 0, 950), (-130, 0, 500), (-130, 0, 60), (130, 0, 950), (130, 0, 500),
        (130, 0, 60), (0, 0, 1180), (0, 0, 1420), (0, 0, 1520), (0, 0, 1640), (170, 0, 1400),
        (180, 0, 1120), (190, 0, 860), (-170, 0, 1400), (-180, 0, 1120), (-190, 0, 860),
    ),
    dtype=float,
)  # fmt: skip


def camera_pose():
    """The standing person before a level camera, root-relative."""
    pose = STANDING[:, [0, 2, 1]] * (1, -1, 1)
    return torch.from_numpy(pose - pose[:1])


def lines_of(axes):
    return [c for c in axes.collections if isinstance(c, LineCollection)]


def finite_limits(axes):
    limits = (*axes.get_xlim(), *axes.get_ylim())
    return bool(np.isfinite(limits).all()) and limits[0] < limits[1]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=str)
def test_every_joint_has_a_side(skeleton):
    sides = joint_sides(skeleton)
    assert sides.count(Side.LEFT) == sides.count(Side.RIGHT) == len(skeleton.mirror)
    for name, side in zip(skeleton.joints, sides, strict=True):
        assert name.startswith(side.value) or side is Side.CENTRE


def test_skeleton_has_one_line_a_bone_in_the_colour_of_its_side():
    axes = new_figure(3, 3).add_subplot()
    draw_skeleton(axes, STANDING, H36M_17)
    (bones,) = lines_of(axes)
    assert len(bones.get_segments()) == 16
    colours = [to_hex(c) for c in bones.get_colors()]
    assert colours.count(DEFAULT_STYLE.left.lower()) == 6
    assert colours.count(DEFAULT_STYLE.right.lower()) == 6


def test_up_is_up_and_both_axes_are_in_mm():
    axes = new_figure(3, 3).add_subplot()
    draw_skeleton(axes, STANDING, H36M_17, view=View(0, 0))
    frame_scene(axes, (STANDING,), view=View(0, 0))
    joints = axes.collections[1].get_offsets()
    np.testing.assert_allclose(joints, STANDING[:, [0, 2]], atol=1e-9)
    low, high = axes.get_ylim()
    assert low < 60 < 1640 < high
    assert axes.get_aspect() == 1.0
    assert finite_limits(axes)


def test_near_bones_are_drawn_over_far_ones():
    pose = STANDING.copy()
    pose[11:14, 1] = -300  # left arm towards the viewer
    axes = new_figure(3, 3).add_subplot()
    draw_skeleton(axes, pose, H36M_17, view=View(0, 0))
    (bones,) = lines_of(axes)
    np.testing.assert_allclose(bones.get_segments()[-1][-1], (190, 860), atol=1e-9)


def test_floor_lies_at_the_feet():
    axes = new_figure(3, 3).add_subplot()
    frame_scene(axes, (STANDING,), view=View(0, 0))
    (floor,) = lines_of(axes)
    heights = {round(y, 6) for line in floor.get_segments() for y in line[:, 1]}
    assert heights == {60.0}


def test_keypoints_show_confidence_and_leave_out_what_was_not_seen():
    keypoints = torch.rand(17, 2) * 500
    confidence = torch.linspace(0.2, 1, 17)
    confidence[13] = 0  # left wrist
    axes = new_figure(3, 3).add_subplot()
    draw_keypoints(axes, keypoints, H36M_17, confidence=confidence, image_size=(1000, 1002))
    bones, border = lines_of(axes)
    assert len(bones.get_segments()) == 15
    assert len(border.get_segments()) == 1
    alphas = bones.get_colors()[:, 3]
    assert alphas.min() == pytest.approx(0.25 + 0.75 * 0.2)
    assert alphas.max() > 0.9
    crosses = axes.collections[2].get_offsets()
    np.testing.assert_allclose(crosses, keypoints[13:14], rtol=1e-6)
    top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
    assert top < bottom  # pixels count downwards
    assert finite_limits(axes)


def test_keypoints_without_any_detection_still_give_a_picture(tmp_path):
    figure = new_figure(3, 3)
    nowhere = np.full((17, 2), np.nan)
    draw_keypoints(figure.add_subplot(), nowhere, H36M_17, confidence=np.zeros(17))
    assert finite_limits(figure.axes[0])
    save_figure(figure, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0


def test_sample_figure_holds_input_and_two_views_of_truth_and_prediction(tmp_path):
    truth = camera_pose()
    sample = SamplePicture(
        keypoints_2d=truth[:, :2] * 0.3 + 500,
        truth=truth,
        predicted=truth * 1.1,
        image_size=(1000, 1000),
        title="a title",
    )
    figure = sample_figure(sample, H36M_17)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles[0] == "2D input"
    assert sum(t.startswith("true") for t in titles) == 2
    assert sum(t.startswith("predicted") for t in titles) == 2
    bones = [sum(len(c.get_segments()) == 16 for c in lines_of(a)) for a in figure.axes]
    assert bones == [1, 1, 2, 1, 2]  # the truth lies behind the prediction
    assert figure.axes[1].get_xlim() == figure.axes[2].get_xlim()
    assert all(finite_limits(axes) for axes in figure.axes)
    save_figure(figure, tmp_path / "sample.png")
    picture = np.asarray(Image.open(tmp_path / "sample.png").convert("RGB"))
    wanted = np.array(to_rgba(DEFAULT_STYLE.left)[:3]) * 255
    assert (np.abs(picture - wanted).max(-1) < 3).sum() > 200
    assert not figure.axes  # released


def test_contact_sheet_draws_every_bone_of_every_pose_in_its_cell():
    poses = np.stack([STANDING + np.array((k * 1000.0, 0, 0)) for k in range(7)])
    figure = contact_sheet(poses, H36M_17, columns=3, labels=[f"pose {k}" for k in range(7)])
    (axes,) = figure.axes
    ground, bones = lines_of(axes)
    assert len(bones.get_segments()) == 7 * 16
    assert len(ground.get_segments()) == 7
    assert [t.get_text() for t in axes.texts] == [f"pose {k}" for k in range(7)]
    centres = np.array(bones.get_segments()).reshape(7, 16, 2, 2)[..., 0].mean((1, 2))
    spacing = ground.get_segments()[1][0, 0] - ground.get_segments()[0][0, 0]
    np.testing.assert_allclose(np.diff(centres[:3]), spacing, rtol=0.02)
    assert finite_limits(axes)
    everything = np.concatenate(bones.get_segments())
    assert everything[:, 1].min() > axes.get_ylim()[0]
    assert everything[:, 1].max() < axes.get_ylim()[1]


def test_contact_sheet_stands_camera_poses_upright():
    sheet = contact_sheet(camera_pose()[None], H36M_17, frame="camera", view=View(0, 0))
    ground, bones = lines_of(sheet.axes[0])
    heights = np.concatenate(bones.get_segments())[:, 1]
    assert heights.max() == pytest.approx(1640 - 60)
    assert ground.get_segments()[0][0, 1] == pytest.approx(0)


def test_contact_sheet_names_bad_poses():
    poses = np.stack([STANDING, STANDING])
    poses[1, 4, 2] = np.nan
    with pytest.raises(DataError, match="non-finite coordinates in pose 1 and 1 in all"):
        contact_sheet(poses, H36M_17)
    with pytest.raises(DataError, match="at least one pose"):
        contact_sheet(poses[:0], H36M_17)
    with pytest.raises(ShapeError, match="joints=17"):
        contact_sheet(poses[:, :15], H36M_17)


def test_bars_are_ordered_and_leave_out_what_was_not_counted():
    figure = bar_chart({"a": 1.0, "b": 3.0, "c": float("nan")}, title="t")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [3.0, 1.0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a"]
    with pytest.raises(DataError, match="got 1 values and none finite"):
        bar_chart({"a": float("inf")}, title="t")


def test_joint_bars_follow_the_skeleton_and_its_sides():
    values = {name: float(k) for k, name in enumerate(reversed(H36M_17.joints))}
    (axes,) = joint_chart(values, H36M_17, of="t").axes
    assert [bar.get_width() for bar in axes.patches] == [float(k) for k in range(16, -1, -1)]
    assert to_hex(axes.patches[1].get_facecolor()) == DEFAULT_STYLE.right.lower()
    assert to_hex(axes.patches[4].get_facecolor()) == DEFAULT_STYLE.left.lower()
    (axes,) = joint_chart({"a": 1.0, "b": 2.0}, None, of="t").axes
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {DEFAULT_STYLE.accent.lower()}


def test_curves_name_their_least_value():
    steps = np.array((0.0, 10.0, 20.0))
    curves = {
        "val/a_mm": Curve(steps, np.array((5.0, 2.0, 3.0))),
        "val/b_mm": Curve(steps, np.full(3, np.nan)),
    }
    (axes,) = curve_chart(curves, title="t").axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), (5, 2, 3))
    assert line.get_label() == "val/a_mm (least 2.0 at 10)"
    with pytest.raises(DataError, match="none in 1 curves"):
        curve_chart({"x": curves["val/b_mm"]}, title="t")


def test_learning_curves_are_solid_for_the_test_and_dashed_for_the_validation():
    seconds, test = np.array([60.0, 200.0]), np.array([90.0, 80.0])
    curves = {
        "a": LearningCurve(seconds, np.array([70.0, 60.0]), test),
        "b": LearningCurve(seconds, np.full(2, np.nan), test + 5),
    }
    figure = learning_chart(curves, {"mean_pose": 200.0, "neighbour": 110.0}, title="t")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    solid, dashed, other, _, baseline, _ = axes.get_lines()
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color() != other.get_color()
    assert list(solid.get_ydata()) == [90, 80]
    assert list(baseline.get_ydata()) == [200, 200]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["a", "b", "test", "validation", "mean pose 200.0", "neighbour 110.0"]
    assert axes.get_ylim()[1] < 200
    with pytest.raises(DataError, match="expected finite test errors for the chart 't'"):
        learning_chart({"a": curves["a"]._replace(test=seconds * np.nan)}, {}, title="t")


def test_a_ranking_has_a_dot_with_its_interval_a_training():
    rows = [
        Ranked("good_one", "60 s", {"MPJPE": (80.0, 75.0, 90.0), "PA": (60.0, 55.0, 65.0)}),
        Ranked("good_one", "200 s", {"MPJPE": (70.0, 66.0, 77.0), "PA": (50.0, 45.0, 55.0)}),
        Ranked("other", "60 s", {"MPJPE": (100.0, 95.0, 110.0), "PA": (80.0, 75.0, 85.0)}),
    ]
    lines = {"near": {"MPJPE": 120.0, "PA": 90.0}, "far": {"MPJPE": 300.0, "PA": 200.0}}
    figure = ranking_chart(rows, lines, title="t")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["good one", "other"]
    interval, dot = left.lines[:2]
    assert (list(interval.get_xdata()), list(dot.get_xdata())) == ([75, 90], [80])
    assert interval.get_ydata()[0] == dot.get_ydata()[0] < 0  # the first training stands above
    assert len({line.get_marker() for line in left.lines[1:6:2]}) == 2
    assert list(right.lines[-1].get_xdata()) == [90, 90]  # the far one is only named
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["60 s", "200 s", "near 120.0, 90.0", "far 300.0, 200.0"]
    with pytest.raises(DataError, match="expected trainings for the chart 't'"):
        ranking_chart([], lines, title="t")


def test_a_picture_is_whole_or_absent(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="expected to write"):
        save_figure(bar_chart({"a": 1.0}, title="t"), tmp_path / "file" / "a.png")
    save_figure(bar_chart({"$a^": 1.0}, title="t"), tmp_path / "new" / "a.svg")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.svg"]


def test_no_global_figure_is_kept_and_no_display_is_asked_for():
    before = dict(mpl.rcParams)
    contact_sheet(STANDING[None], H36M_17)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
    assert dict(mpl.rcParams) == before
