"""EpipolarPose's parts: soft-argmax, crops, random changes, occluders, labels, several views."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.image import imsave

from lifting.errors import ConfigError, DataError, MissingDataError, ShapeError
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.methods.epipolarpose.augment import (
    OccluderBank,
    Occlusion,
    cut_patches,
    draw_augmentation,
    draw_occlusion,
    folder_bank,
    network_input,
    paste,
    procedural_bank,
)
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.crop import (
    Crop,
    apply_affine,
    compose_affine,
    image_to_patch,
    image_to_picture,
    invert_affine,
    patch_to_image,
)
from lifting.methods.epipolarpose.labels import Labels, crop_labels, joint_loss, label_views
from lifting.methods.epipolarpose.network import image_confidence, soft_argmax

LENS = torch.tensor([1145.0, 1143, 512, 515, -0.2, 0.24, 0, 0.001, -0.001])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_soft_argmax_is_differentiable(layout):
    scores = torch.randn(2, 6, 4, 5, generator=generator(), dtype=torch.float64)
    scores = scores.contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: soft_argmax(s, 2, "center"), scores)


def test_soft_argmax_finds_a_peak_and_bears_any_scores():
    scores = torch.full((1, 2 * 4, 8, 16), -1e4)
    scores[0, 2, 5, 3] = 1e4  # joint 0, z 2
    scores[0, 4 + 1, 0, 15] = 1e4
    wanted = torch.tensor([[3 / 16, 5 / 8, 2 / 4], [15 / 16, 0, 1 / 4]]) - 0.5
    torch.testing.assert_close(soft_argmax(scores, 2)[0], wanted)
    half_cell = torch.tensor([1 / 32, 1 / 16, 1 / 8])
    torch.testing.assert_close(soft_argmax(scores, 2, "center")[0], wanted + half_cell)
    assert soft_argmax(scores.bfloat16(), 2).dtype == torch.float32
    assert (soft_argmax(torch.zeros(1, 8, 8, 16), 2, "center") == 0).all()
    with pytest.raises(ShapeError, match="channels"):
        soft_argmax(scores, 3)


def test_confidence_is_one_for_a_peak_and_zero_for_nothing():
    peak = torch.zeros(1, 4, 8, 8)
    peak[0, 1, 2, 3] = 50
    found = image_confidence(torch.cat((peak, torch.zeros_like(peak)), dim=1), 2)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0]]), rtol=0, atol=1e-5)
    two = peak.clone()
    two[0, 0, 7, 7] = 50
    halves = 1 - np.log(2) / np.log(64)
    assert image_confidence(two, 1).item() == pytest.approx(halves, abs=1e-5)


def test_affine_maps():
    crop = Crop(
        centre=torch.tensor([[400.0, 300], [10, 20]]),
        size=torch.tensor([[200.0, 210], [90, 80]]),
        scale=torch.tensor([1.2, 0.8]),
        angle=torch.tensor([0.4, -1.0]),
    )
    there, back = image_to_patch(crop, 128), patch_to_image(crop, 128)
    points = 300 * torch.rand(2, 5, 2, generator=generator())
    torch.testing.assert_close(apply_affine(back, apply_affine(there, points)), points)
    torch.testing.assert_close(invert_affine(there), back, rtol=1e-4, atol=1e-4)
    both = apply_affine(compose_affine(there, back), points)
    torch.testing.assert_close(both, points, rtol=1e-4, atol=1e-3)
    middle = apply_affine(there, crop.centre[:, None])
    torch.testing.assert_close(middle, torch.full((2, 1, 2), 64.0), rtol=0, atol=1e-3)
    # The middle of the lower side lies half the scaled height below, turned with the crop.
    low = torch.stack((-torch.sin(crop.angle), torch.cos(crop.angle)), dim=1)
    low = crop.centre + low * (crop.size[:, 1] * crop.scale / 2)[:, None]
    wanted = torch.tensor([[64.0, 128.0]]).expand(2, 1, 2)
    torch.testing.assert_close(apply_affine(there, low[:, None]), wanted, rtol=0, atol=1e-3)


def spot(pictures, row, point):
    """Draw a soft bright spot at a point given in pixels from edge to edge."""
    side = pictures.shape[-1]
    line = torch.arange(side) + 0.5
    x, y = line - point[0], line[:, None] - point[1]
    pictures[row] = (200 * torch.exp(-(x**2 + y**2) / 18)).to(torch.uint8)


def test_a_changed_crop_shows_a_joint_where_its_label_is():
    people, side, patch = 4, 160, 96
    root = torch.tensor([[0.0, 0, 4500]]).expand(people, 3) + torch.tensor(
        [[250.0], [0], [-100], [9]]
    )
    joint = root + 500 * (torch.rand(people, 3, generator=generator(2)) - 0.5)
    joints = torch.stack((root, joint), dim=1)
    lens = LENS.expand(people, 9)
    pixels = project(joints, lens)
    square = torch.cat((pixels[:, 0], torch.full((people, 1), 640.0)), dim=1)
    pictures = torch.zeros(people, 3, side, side, dtype=torch.uint8)
    for row in range(people):
        spot(pictures, row, (pixels[row, 1] - square[row, :2] + 320) * side / 640)
    drawn = draw_augmentation(people, Config(), generator(1))
    assert (drawn.angle != 0).any()
    crop = Crop(
        centre=square[:, :2],
        size=torch.full((people, 2), 500.0),
        scale=drawn.scale,
        angle=drawn.angle,
    )
    maps = compose_affine(image_to_picture(square, side), patch_to_image(crop, patch))
    patches = cut_patches(pictures, maps, patch)
    label = crop_labels(joints, lens, crop, 0, patch=patch).joints
    weight = patches[:, 0] / patches[:, 0].sum((1, 2), keepdim=True)
    line = torch.arange(patch) + 0.5
    seen = torch.stack(((weight * line).sum((1, 2)), (weight * line[:, None]).sum((1, 2))), dim=1)
    torch.testing.assert_close(seen / patch - 0.5, label[:, 1, :2], rtol=0, atol=3e-3)
    depth = (joints[:, 1, 2] - joints[:, 0, 2]) / (2000 * drawn.scale)
    torch.testing.assert_close(label[:, 1, 2], depth)


def test_outside_of_the_picture_is_black():
    pictures = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    maps = torch.tensor([[[1.0, 0, -16], [0, 1, 0]]])
    patches = cut_patches(pictures, maps, 32)
    assert (patches[..., :15] == 0).all()
    assert (patches[..., 17:] == 255).all()


def test_random_changes_have_the_released_ranges():
    drawn = draw_augmentation(20_000, Config(), generator())
    assert drawn.scale.amin() == 0.75
    assert drawn.scale.amax() == 1.25
    assert (drawn.scale == 1.25).float().mean() == pytest.approx(0.159, abs=0.01)
    degrees = torch.rad2deg(drawn.angle)
    assert degrees.abs().amax().item() == pytest.approx(60)
    assert (degrees != 0).float().mean() == pytest.approx(0.6, abs=0.01)
    assert degrees[degrees != 0].std() == pytest.approx(28.8, abs=0.6)
    assert 0.8 <= drawn.gain.amin() < 0.801
    assert 1.199 < drawn.gain.amax() <= 1.2
    still = Config(scale_spread=0, angle_chance=0, gain_spread=0)
    plain = draw_augmentation(5, still, generator())
    assert (plain.scale == 1).all()
    assert (plain.angle == 0).all()
    assert (plain.gain == 1).all()
    again = draw_augmentation(20_000, Config(), generator())
    assert torch.equal(again.angle, drawn.angle)


def test_random_occlusion_has_the_released_ranges():
    drawn = draw_occlusion(20_000, 9, (1, 7), generator())
    count = (drawn.scale > 0).sum(1)
    assert torch.bincount(count).tolist()[0] == 0
    assert (torch.bincount(count)[1:] / 20_000 - 1 / 7).abs().amax() < 0.01
    used = drawn.scale[drawn.scale > 0]
    assert 0.2 <= used.amin() < 0.201
    assert 0.999 < used.amax() <= 1
    assert drawn.shape.unique().tolist() == list(range(9))
    assert 0 <= drawn.centre.amin() < 0.001
    assert 0.999 < drawn.centre.amax() <= 1


def test_pasting_lays_later_cutouts_over_earlier_ones():
    red, half_blue = torch.zeros(2, 4, 64, 64)
    red[[0, 3]] = 1
    half_blue[[2, 3]] = 0.5
    bank = OccluderBank(torch.stack((red, half_blue)), torch.tensor([64.0, 64.0]))
    patches = torch.full((2, 3, 256, 256), 100.0)
    occlusion = Occlusion(
        shape=torch.tensor([[0, 1], [0, 1]]),
        scale=torch.tensor([[1.0, 0.5], [0.0, 0.0]]),
        centre=torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]),
    )
    found = paste(patches, bank, occlusion)
    assert (found[1] == 100).all()
    assert found[0, :, 100, 100].tolist() == [255, 0, 0]
    assert found[0, :, 50, 128].tolist() == [100, 100, 100]
    wanted = torch.tensor([127.5, 0, 127.5])
    torch.testing.assert_close(found[0, :, 128, 128], wanted, rtol=0, atol=1)
    covered = (found[0, 0] != 100).float().sum()
    assert covered == pytest.approx(64**2, rel=0.07)


def test_procedural_occluders_differ_and_have_borders():
    bank = procedural_bank(generator(), 32)
    assert len(bank) == 32
    cut = bank.cutouts(torch.arange(32), torch.full((32,), 64.0))
    assert cut.shape == (32, 4, 64, 64)
    share = (cut[:, 3] > 0.5).float().mean((1, 2))
    assert share.amin() > 0.03
    assert share.amax() < 0.8
    assert ((cut[:, 3] > 0) & (cut[:, 3] < 1)).flatten(1).any(1).all()
    assert (cut[:, :3] <= cut[:, 3:] + 1e-6).all()
    assert cut.flatten(1).std(0).mean() > 0.1
    # Shown small, a cut-out is coarser.
    small = bank.cutouts(torch.arange(32), torch.full((32,), 10.0))
    assert small.diff(dim=-1).abs().amax() < 0.5 * cut.diff(dim=-1).abs().amax()


def test_occluders_of_a_folder(tmp_path):
    picture = np.zeros((20, 40, 4), dtype=np.uint8)
    picture[:, :20] = (255, 128, 0, 255)
    imsave(tmp_path / "a.png", picture)
    bank = folder_bank(tmp_path)
    assert bank.side.tolist() == [40]
    cut = bank.cutouts(torch.tensor([0]), torch.tensor([64.0]))[0]
    assert cut[:, 32, 10].tolist() == pytest.approx([1, 128 / 255, 0, 1])
    assert (cut[:, :14] == 0).all()
    assert (cut[:, 32, 40:] == 0).all()
    imsave(tmp_path / "b.png", np.zeros((4, 4), dtype=np.uint8), cmap="gray")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png, got one that cannot be read"):
        folder_bank(tmp_path)
    with pytest.raises(MissingDataError, match="expected png files in the folder"):
        folder_bank(tmp_path / "nowhere")


def test_network_input_cuts_off_what_is_brighter_than_white():
    patches = torch.full((1, 3, 2, 2), 240.0)
    found = network_input(patches, torch.tensor([[1.2, 1.0, 0.5]]))[0, :, 0, 0]
    wanted = [(255 - 123.675) / 58.395, (240 - 116.28) / 57.12, (120 - 103.53) / 57.375]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)


def some_labels(weights=None, joints=None):
    joints = torch.randn(2, 3, 3, generator=generator()) * 300 if joints is None else joints
    joints = joints + torch.tensor([0.0, 0, 4000])
    crop = Crop.plain(torch.full((2, 2), 500.0), torch.full((2, 2), 600.0))
    return joints, crop_labels(joints, LENS.expand(2, 9), crop, 0, weights, z_weight=2.0)


def test_labels_without_weight_do_not_matter():
    weights = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]])
    offset = torch.zeros(2, 3, 3)
    offset[0, 2] = torch.nan
    offset[1, 0] = -1e9
    _, labels = some_labels(weights, joints=100 + offset)
    assert labels.joints.isfinite().all()
    # The second person has no root, and so no depths.
    wanted = [[[1, 1, 2], [0.5, 0.5, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [1, 1, 0]]]
    assert labels.weights.tolist() == wanted
    found = torch.zeros(2, 3, 3, requires_grad=True)
    joint_loss(found, labels).backward()
    assert found.grad.isfinite().all()
    assert (found.grad[labels.weights == 0] == 0).all()


def test_loss_is_half_the_squared_error_over_the_batch():
    _, labels = some_labels()
    found = labels.joints + torch.rand(2, 3, 3, generator=generator()) - 0.5
    half = (labels.weights * (found - labels.joints).square()).sum() / 2 / 2
    torch.testing.assert_close(joint_loss(found, labels), half)
    double = Labels(labels.joints.repeat(2, 1, 1), labels.weights.repeat(2, 1, 1))
    torch.testing.assert_close(joint_loss(found.repeat(2, 1, 1), double), half)


@pytest.fixture
def rig():
    """Three people before three cameras around them, and what is seen of 17 joints."""
    people, views = 3, 3
    joints = torch.randn(people, 17, 3, generator=generator(4), dtype=torch.float64) * 300
    angle = torch.tensor([0.0, 1.2, 2.5], dtype=torch.float64)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = (angle.cos(), zero, -angle.sin(), zero, one, zero, angle.sin(), zero, angle.cos())
    rotation = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    position = -(rotation.mT @ torch.tensor([0.0, 0, 5000], dtype=torch.float64))
    camera = Camera(
        intrinsics=LENS.double().expand(people, views, 9),
        size=torch.full((people, views, 2), 1000.0),
        rotation=rotation.expand(people, views, 3, 3),
        position=position.expand(people, views, 3),
    )
    seen = world_to_camera(joints[:, None], camera.rotation, camera.position)
    return seen, project(seen, camera.intrinsics), torch.ones(people, views, 17), camera


@pytest.mark.parametrize("how", ["linear", "released"])
def test_views_are_triangulated_into_each_camera(rig, how):
    seen, keypoints, confidence, camera = rig
    found = label_views(keypoints, confidence, camera, 0, Config(triangulation=how))
    assert (found.weights == 1).all()
    torch.testing.assert_close(found.joints, seen, rtol=0, atol=0.05)


def test_views_that_disagree_give_no_label(rig):
    _, keypoints, confidence, camera = rig
    keypoints[0, 1, 5] += 200  # one view of one joint is far off
    confidence[0, 2, 6] = 0.1  # one view is not trusted: two are left
    confidence[0, 1:, 7] = 0.1  # one view is left
    confidence[1, :, 0] = 0  # no root
    confidence[2, :, 7:] = 0  # too few joints
    keypoints[2, :, 7:] = torch.nan
    found = label_views(keypoints, confidence, camera, 0, Config())
    lost = [j for j in range(17) if found.weights[0, j] == 0]
    assert lost == [5, 7]
    assert (found.weights[1:] == 0).all()
    few = label_views(keypoints, confidence, camera, 0, Config(min_joints=7))
    assert few.weights[2].sum() == 7


def test_views_need_camera_places(rig):
    _, keypoints, confidence, camera = rig
    lens = replace(camera, rotation=None, position=None)
    with pytest.raises(ConfigError, match="expected cameras with rotation and position"):
        label_views(keypoints, confidence, lens, 0, Config())
