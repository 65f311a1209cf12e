"""What networks see of a person: nothing of the place of a missing joint, nor of a hidden lens."""

from dataclasses import replace

import pytest
import torch

from lifting.batch import GUESSED_LENS, PoseBatch, flip_batch, flip_pose
from lifting.geometry.camera import Camera, normalize_screen, project
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.nn.inputs import (
    Seen,
    channels_of,
    focal_told,
    numbers_of,
    over_frames,
    see,
    words_of,
)
from lifting.skeleton import H36M_17

KINDS = ("screen", "person", "turned")
LENS = torch.tensor([1200.0, 1200, 960, 540, 0, 0, 0, 0, 0])


def joints(size=4, frames=3):
    generator = torch.Generator().manual_seed(0)
    return 400 * torch.randn(size, frames, 17, 3, generator=generator) + torch.tensor(
        [700.0, 200, 5000]
    )


def batch_of(points=None, lens=LENS):
    points = joints() if points is None else points
    size = len(points)
    camera = Camera(
        intrinsics=lens.repeat(size, 1), size=torch.tensor([1920.0, 1080]).repeat(size, 1)
    )
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(points, LENS.repeat(size, points.shape[1], 1)),
        confidence=torch.full(points.shape[:-1], 0.7),
        camera=camera,
    )


def test_the_screen_is_as_it_was():
    batch = batch_of()
    seen = see("screen", batch)
    expected = normalize_screen(batch.keypoints_2d, batch.camera.size[:, None])
    assert torch.equal(seen.joints, expected)
    assert torch.equal(seen.by_joint(), expected)
    assert torch.equal(seen.flat(), expected.flatten(2))
    assert seen.whole is seen.turn is None
    assert torch.equal(seen.back(joints()), joints())


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_as_stated(kind):
    seen = see(kind, batch_of())
    assert seen.by_joint().shape == (4, 3, 17, channels_of(kind))
    assert seen.flat().shape == (4, 3, numbers_of(kind, 17))
    assert len({words_of(name) for name in KINDS}) == len(KINDS)
    assert over_frames(seen.by_joint()).shape == (4, 1, 17, 3 * channels_of(kind))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_place_of_a_missing_joint_is_not_seen(kind):
    batch = batch_of()
    batch.confidence[:, :, 5] = 0
    seen = see(kind, batch)
    assert (seen.joints[:, :, 5] == 0).all()
    elsewhere = batch.keypoints_2d.clone()
    elsewhere[:, :, 5] = torch.tensor([torch.nan, 1e6])
    for a, b in zip(seen, see(kind, replace(batch, keypoints_2d=elsewhere)), strict=True):
        assert a is b is None or torch.equal(a, b)
    nobody = replace(batch, confidence=torch.zeros_like(batch.confidence))
    assert see(kind, nobody).flat().isfinite().all()
    assert (see(kind, nobody).joints == 0).all()


def test_a_person_looks_alike_anywhere_and_at_any_size():
    batch = batch_of()
    moved = replace(batch, keypoints_2d=0.5 * batch.keypoints_2d + torch.tensor([300.0, -100.0]))
    near, far = see("person", batch), see("person", moved)
    torch.testing.assert_close(near.joints, far.joints, rtol=0, atol=1e-4)
    assert not torch.allclose(near.whole, far.whole, atol=1e-2)
    assert near.joints[..., 2].unique().item() == pytest.approx(0.7)


def test_a_focal_length_that_is_not_told_is_not_seen():
    batch, longer = batch_of(), batch_of(lens=LENS * 2)
    hidden = torch.zeros(4, dtype=torch.bool)
    for kind in KINDS[1:]:
        assert not torch.allclose(see(kind, batch).whole, see(kind, longer).whole)
        for a, b in zip(see(kind, batch, hidden), see(kind, longer, hidden), strict=True):
            assert a is b is None or torch.equal(a, b)
        assert see(kind, batch, hidden).whole[..., 3:].unique().tolist() == [0.0]
    assert focal_told(batch).all()
    unknown = batch_of(lens=LENS * torch.nan)
    assert not focal_told(unknown).any()
    assert see("turned", unknown).flat().isfinite().all()
    guessed = replace(batch, extras={GUESSED_LENS: torch.tensor([True, False, True, False])})
    assert focal_told(guessed).tolist() == [False, True, False, True]
    assert focal_told(guessed, torch.tensor([True, True, False, False])).sum() == 1


def test_a_turned_camera_sees_the_same_wherever_a_person_is():
    """A camera turned about its centre sees the same rays; nothing but its own turn remains."""
    middle = joints(2, 1) - joints(2, 1).mean((1, 2), keepdim=True) + torch.tensor([0.0, 0, 5000])
    aside = middle @ axis_angle_to_matrix(torch.tensor([0.05, 0.25, 0.0])).mT
    a, b = see("turned", batch_of(middle)), see("turned", batch_of(aside))
    # the middle of the joints lies elsewhere in the picture, so that the turns differ a little
    torch.testing.assert_close(a.joints, b.joints, rtol=0, atol=0.05)
    person = [see("person", batch_of(points)).joints for points in (middle, aside)]
    assert (person[0] - person[1]).abs().max() > 2 * (a.joints - b.joints).abs().max()


def test_an_answer_is_turned_back():
    batch = batch_of()
    turn = see("turned", batch).turn
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(4, 3, 3, 3), rtol=0, atol=1e-5)
    assert (torch.linalg.det(turn) > 0).all()
    pose = joints()
    seen = Seen(torch.zeros(4, 3, 17, 3), None, turn)
    torch.testing.assert_close(seen.back(pose @ turn.mT), pose, rtol=1e-4, atol=1e-2)
    centre = (batch.keypoints_2d.mean(-2) - LENS[2:4]) / LENS[:2]
    axis = torch.cat((centre, torch.ones(4, 3, 1)), dim=-1)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    straight = (turn @ axis[..., None])[..., 0]
    torch.testing.assert_close(
        straight, torch.tensor([0.0, 0, 1]).expand(4, 3, 3), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirrored_picture_shows_a_mirrored_person(kind):
    batch = batch_of()
    there = see(kind, batch)
    back = see(kind, flip_batch(batch, H36M_17))
    index = torch.tensor(H36M_17.flip_index)
    sign = torch.tensor([-1.0, 1, 1])[: there.joints.shape[-1]]
    torch.testing.assert_close(
        back.joints, there.joints.index_select(-2, index) * sign, rtol=0, atol=1e-4
    )
    if kind == "turned":
        pose = joints()
        torch.testing.assert_close(
            flip_pose(back.back(flip_pose(pose, H36M_17)), H36M_17), there.back(pose),
            rtol=1e-4, atol=0.05,
        )  # fmt: skip
