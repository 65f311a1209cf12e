"""The readers: positions that can be worked out by hand, and damaged lines."""

from __future__ import annotations

import numpy as np
import pytest

from lifting.data.mocap.acclaim import read_amc, read_asf
from lifting.data.mocap.lines import read_lines
from lifting.errors import DataError, MissingDataError


def end(motion, name, frame=0):
    return motion.positions[frame, motion.names.index(name)]


def test_asf_unit_is_scaled_inches(arm, two_frames):
    assert arm(two_frames).unit_mm == pytest.approx(25.4 / 0.5)


def test_rest_pose_adds_up_the_bones(arm, two_frames):
    motion = arm(two_frames)
    np.testing.assert_allclose(end(motion, "upper"), [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(end(motion, "lower"), [3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(end(motion, "turned"), [4, 0, 0], atol=1e-12)


def test_turns_are_inherited_and_the_root_moves(arm, two_frames):
    motion = arm(two_frames)
    np.testing.assert_allclose(end(motion, "root", 1), [1, 2, 3], atol=1e-12)
    np.testing.assert_allclose(end(motion, "upper", 1), [1, 4, 3], atol=1e-12)
    np.testing.assert_allclose(end(motion, "lower", 1), [0, 4, 3], atol=1e-12)


def test_a_bone_turns_about_its_own_axes(arm, two_frames):
    # Its x axis is the file's y axis, about which x goes to -z.
    np.testing.assert_allclose(end(arm(two_frames), "turned", 1), [1, 2, -1], atol=1e-12)


def test_asf_order_turns_about_x_first(arm, arm_amc):
    motion = arm(arm_amc(("0 0 0 0 0 0", "0 90 90", "0", "0")))
    # About y first: x goes to -z, which z leaves alone. The other order would end at y.
    np.testing.assert_allclose(end(motion, "upper"), [0, 0, -2], atol=1e-12)


def test_root_rotation_turns_everything(arm, arm_amc):
    motion = arm(arm_amc(("0 0 0 0 0 90", "0 0 0", "0", "0")))
    np.testing.assert_allclose(end(motion, "lower"), [0, 3, 0], atol=1e-12)


def test_radians_in_the_motion_file(arm, arm_amc):
    text = arm_amc(("0 0 0 0 0 0", f"0 0 {np.pi / 2}", "0", "0")).replace("DEGREES", "RADIANS")
    np.testing.assert_allclose(end(arm(text), "upper"), [0, 2, 0], atol=1e-12)


def test_dos_line_ends(tmp_path, two_frames, arm_asf):
    (tmp_path / "01.asf").write_bytes(arm_asf.replace("\n", "\r\n").encode())
    (tmp_path / "01_01.amc").write_bytes(two_frames.replace("\n", "\r\n").encode())
    motion = read_amc(tmp_path / "01_01.amc", read_asf(tmp_path / "01.asf"))
    assert motion.positions.shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("length 0.5", "length 0", r"01\.asf, line 6: expected a length scale"),
        ("angle deg", "angle turn", r"01\.asf, line 7: expected angle deg or rad"),
        ("direction 1 0 0", "direction 1 0", r"line 19: expected 3 numbers, got '2"),
        ("direction 1 0 0", "direction 1 0 nan", r"line 19: expected a finite number"),
        (
            "direction 1 0 0",
            "direction 1 0 zero",
            r"line 19: expected a finite .*, got 'zero'",
        ),
        ("direction 1 0 0", "direction 2 0 0", r"line 19: expected a direction of length one"),
        ("length 2", "length -2", r"line 20: expected a length of at least zero"),
        ("axis 0 0 0 XYZ", "axis 0 0 0 XXZ", r"line 21: expected an axis order"),
        ("dof rx ry rz", "dof rx ry l", r"line 22: expected dof among"),
        ("name lower", "name upper", r"expected a bone name once, got 'upper'"),
        ("root upper turned", "root uper turned", r"expected bones of the bone data.*'upper'"),
        ("root upper turned", "root upper", r"expected every bone in ':hierarchy'.*'turned'"),
        ("upper lower\n", "upper lower turned\n", r"expected every bone below one parent"),
        (":bonedata", ":bones", r"expected a section ':bonedata'"),
        ("order TX TY TZ RX RY RZ", "order TX TY TZ RX RY", r"expected TX TY TZ RX RY RZ"),
    ],
)
def test_malformed_skeleton_names_file_and_line(tmp_path, old, new, message, two_frames, arm_asf):
    path = tmp_path / "01.asf"
    path.write_text(arm_asf.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_asf(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "upper 0 0 90",
            "upper 0 90",
            r"01_01\.amc, line 11: expected 3 numbers",
        ),
        ("upper 0 0 90", "upper 0 0 inf", r"line 11: expected a finite number"),
        ("upper 0 0 90", "uper 0 0 90", r"line 11: .* did you mean 'upper'"),
        ("lower 90\n", "", r"line 9: expected every bone.*no lower.*truncated"),
        ("lower 90", "lower 90\nlower 90", r"expected each bone once a frame"),
        ("\n2\n", "\n3\n", r"line 9: expected frame 2, got '3'"),
        ("\n1\n", "\n", r"expected a frame number first"),
        ("", "", r"expected frames, got none"),
    ],
)
def test_malformed_motion_names_file_and_line(arm, old, new, message, two_frames):
    with pytest.raises(DataError, match=message):
        arm(two_frames.replace(old, new) if old else ":DEGREES\n")


def test_bvh_places_joints_and_end_sites(bvh, tiny_bvh):
    motion = bvh(tiny_bvh)
    assert motion.names == ("a", "b", "b/end")
    assert motion.fps == 60
    np.testing.assert_allclose(motion.positions[0], [[0, 0, 0], [10, 0, 0], [10, 5, 0]])
    np.testing.assert_allclose(
        motion.positions[1], [[1, 2, 3], [1, 12, 3], [-4, 12, 3]], atol=1e-12
    )


def test_bvh_rotations_multiply_in_the_listed_order(bvh, tiny_bvh):
    # Rz Rx on y: x takes it to z, which z leaves alone. The other order would end at -x.
    np.testing.assert_allclose(end(bvh(tiny_bvh), "b/end", 2), [10, 0, 5], atol=1e-12)
    swapped = tiny_bvh.replace(
        "CHANNELS 3 Zrotation Yrotation Xrotation", "CHANNELS 3 Xrotation Yrotation Zrotation"
    )
    np.testing.assert_allclose(end(bvh(swapped), "b/end", 2), [5, 0, 0], atol=1e-12)


def test_bvh_position_channels_replace_the_offset_of_any_joint(bvh, tiny_bvh):
    text = tiny_bvh.replace("CHANNELS 3 Z", "CHANNELS 6 Xposition Yposition Zposition Z")
    text = text.replace("Frames: 3", "Frames: 1").split("0 0 0 0 0 0 0 0 0")[0]
    motion = bvh(text + "0 0 0 0 0 0 3 2 1 0 0 0\n")
    np.testing.assert_allclose(end(motion, "b"), [3, 2, 1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "hierarchies", r"01_01\.bvh, line 1: expected HIERARCHY"),
        ("OFFSET 10 0 0", "OFFSET 10 0", r"line 8: expected 3 numbers"),
        ("OFFSET 10 0 0", "OFFSET 10 0 nan", r"line 8: expected a finite number"),
        ("CHANNELS 3", "CHANNELS 2", r"line 9: expected CHANNELS, their count"),
        ("Zrotation Yrotation Xrotation\n        End", "Zrotation Yrotation\n        End",
         r"line 9: expected CHANNELS"),
        ("OFFSET 10 0 0\n", "", r"expected an OFFSET in the joint that ends here"),
        ("JOINT b", "JOINT a", r"line 6: expected a joint name once"),
        ("JOINT b", "KNOT b", r"line 6: expected an entry of the hierarchy"),
        ("}\nMOTION", "MOTION", r"expected a closed hierarchy"),
        ("Frames: 3", "Frames: 4", r"expected 4 frames, got 3; the file is truncated"),
        ("Frames: 3", "Frames: 2", r"line 21: expected the end after 2 frames"),
        ("Frames: 3", "Frames: 2000000", r"line 17: expected FRAMES: from 1 to"),
        ("Frames: 3", "Frames: 2.5", r"line 17: expected FRAMES: from 1"),
        ("Frame Time: 0.016667", "Frame Time: 0", r"line 18: expected FRAME TIME:"),
        ("1 2 3 90 0 0 0 0 0", "1 2 3 90 0 0 0 0", r"line 20: expected 9 numbers, got '8"),
        ("1 2 3 90", "1 2 3 x", r"line 20: expected a finite .*, got 'x'"),
        ("MOTION", "MOTIONLESS", r"expected an entry of the hierarchy"),
    ],
)  # fmt: skip
def test_malformed_bvh_names_file_and_line(bvh, old, new, message, tiny_bvh):
    with pytest.raises(DataError, match=message):
        bvh(tiny_bvh.replace(old, new, 1))


def test_text_above_the_size_limit(tmp_path):
    path = tmp_path / "long.amc"
    path.write_text("word\n" * 100)
    with pytest.raises(DataError, match="expected at most 100 bytes"):
        list(read_lines(path, max_bytes=100))
    with pytest.raises(MissingDataError, match="found none"):
        list(read_lines(tmp_path / "none.amc"))


def test_bvh_that_ends_before_its_motion(bvh, tiny_bvh):
    with pytest.raises(DataError, match="got the end of the file; it is truncated"):
        bvh(tiny_bvh[: tiny_bvh.index("Frame Time")])
