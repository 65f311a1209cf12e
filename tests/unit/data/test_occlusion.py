"""Joints behind other parts of the body, and bodies in profile."""

import pytest
import torch

from lifting.data.occlusion import hidden_joints, in_profile
from lifting.skeleton import H36M_17


def pinhole(pose):
    return pose[..., :2] / pose[..., 2:] * 1145 + 500


def test_nothing_is_hidden_from_the_front(standing):
    pose = standing(0)[None]
    assert not hidden_joints(pinhole(pose), pose, H36M_17, torch.tensor([30.0])).any()


@pytest.mark.parametrize(("yaw", "far"), [(90, "right"), (-90, "left")])
def test_the_far_side_is_hidden_in_profile(yaw, far, standing):
    pose = standing(yaw)[None]
    # turned by +90 degrees the left side comes nearer to the camera
    assert (pose[0, H36M_17.index(f"{far}_hip"), 2] > 4000).all()
    hidden = hidden_joints(pinhole(pose), pose, H36M_17, torch.tensor([30.0]))[0]
    near = "left" if far == "right" else "right"
    for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
        assert hidden[H36M_17.index(f"{far}_{name}")], name
        # the near hand hangs before its own hip, some 17 cm nearer to the camera
        assert hidden[H36M_17.index(f"{near}_{name}")] == (name == "hip"), name


def test_a_hand_before_the_chest_hides_the_thorax_but_its_own_arm_does_not_count(standing):
    pose = standing(0)
    pose[H36M_17.index("left_wrist")] = pose[H36M_17.index("thorax")] - torch.tensor([0, 0, 300])
    pose[H36M_17.index("left_elbow")] = pose[H36M_17.index("left_shoulder")] - torch.tensor(
        [0.0, 0, 250]
    )
    hidden = hidden_joints(pinhole(pose)[None], pose[None], H36M_17, torch.tensor([30.0]))[0]
    assert hidden[H36M_17.index("thorax")]
    assert not hidden[H36M_17.index("left_shoulder")]
    assert not hidden[H36M_17.index("left_elbow")]


def test_hidden_joints_agree_with_a_plain_loop(standing):
    generator = torch.Generator().manual_seed(0)
    pose = torch.cat([standing(6.0 * i)[None] for i in range(60)])
    pose += 150 * torch.randn(60, 17, 3, generator=generator)
    pixels, reach = pinhole(pose), torch.full((60,), 25.0)
    found = hidden_joints(pixels, pose, H36M_17, reach)
    sides = [
        (H36M_17.index(f"{s}_shoulder"), H36M_17.index(f"{s}_hip")) for s in ("left", "right")
    ]
    leg, arm = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
    limb = ["trunk"] * 17
    for side in ("left", "right"):
        for kind in (leg, arm):
            for name in kind:
                limb[H36M_17.index(f"{side}_{name}")] = side + kind[0]
    segments = [(a, b, limb[b]) for a, b in H36M_17.bones] + [(a, b, "trunk") for a, b in sides]
    for frame in range(0, 60, 7):
        for joint in range(17):
            expected = False
            p = pixels[frame, joint]
            for a, b, owner in segments:
                if owner == limb[joint] or joint in (a, b):
                    continue
                start, line = pixels[frame, a], pixels[frame, b] - pixels[frame, a]
                t = float(((p - start) @ line / (line @ line)).clamp(0, 1))
                depth = pose[frame, a, 2] * (1 - t) + pose[frame, b, 2] * t
                near = (p - start - t * line).norm() < 25
                expected |= bool(near and depth < pose[frame, joint, 2] - 100)
            assert bool(found[frame, joint]) == expected, (frame, joint)


@pytest.mark.parametrize(("yaw", "profile"), [(0, 0), (60, 0), (75, 1), (90, 1), (-80, 1)])
def test_profile_views(yaw, profile, standing):
    assert in_profile(standing(yaw)[None], H36M_17).item() == bool(profile)
