"""EpipolarPose's network of images: units, labels, training, mirroring, views, optimisation."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch

from lifting.batch import LABEL_WEIGHT, MIRRORED, PoseBatch, flip_batch, flip_per_joint
from lifting.errors import ConfigError, DataError, ShapeError
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.methods.epipolarpose.config import Config
from lifting.methods.epipolarpose.crop import Crop
from lifting.methods.epipolarpose.labels import crop_labels
from lifting.methods.epipolarpose.module import Module
from lifting.methods.epipolarpose.network import PoseNetwork
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17, MPII_16
from lifting.skeleton.convert import remap_joints
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

MARGIN = 1.25
TINY = Config(depth=18, width=4, head_width=8, depth_cells=8, patch=64, margin=MARGIN)
STILL = replace(TINY, scale_spread=0.0, angle_chance=0.0, gain_spread=0.0)
LENS = torch.tensor([1145.0, 1145, 512, 515, -0.2, 0.24, 0, 0.001, -0.001])


def pictures_of(pixels, square, side=80):
    """Every joint as a spot of its own colour, ``(people, 3, side, side)``."""
    place = (pixels - square[:, None, :2]) / square[:, None, 2:] * side + side / 2
    line = torch.arange(side) + 0.5
    x, y = line - place[..., :1], line - place[..., 1:]
    spots = torch.exp(-x.square() / 8)[..., None, :] * torch.exp(-y.square() / 8)[..., None]
    colours = torch.rand(pixels.shape[1], 3, generator=torch.Generator().manual_seed(9))
    return (255 * torch.einsum("pjyx,jc->pcyx", spots, colours).clamp(0, 1)).to(torch.uint8)


def squares(root, margin=MARGIN):
    """Square of the person's box times the margin."""
    centre = project(root[:, None], LENS.expand(len(root), 9))[:, 0]
    return torch.cat((centre, margin * 2000 * LENS[0] / root[:, 2:]), dim=1)


@pytest.fixture
def batch():
    """Six people, drawn as spots."""
    people, generator = 6, torch.Generator().manual_seed(0)
    joints = 250 * torch.randn(people, 17, 3, generator=generator)
    joints = joints + torch.tensor([100.0, -50, 4500])
    lens = LENS.expand(people, 9)
    square = squares(joints[:, 0])
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(joints, lens)[:, None],
        joints_3d=joints[:, None],
        camera=Camera(intrinsics=lens, size=torch.full((people, 2), 1000.0)),
        image=pictures_of(project(joints, lens), square),
        crop=square,
    )


def make_module(config=TINY, **settings):
    torch.manual_seed(0)
    return Module(config, ModuleSettings("epipolarpose", **settings))


def loud(module):
    """Large weights, so that different pictures get different answers without any training."""
    generator = torch.Generator().manual_seed(2)
    for parameter in module.student.network.parameters():
        if parameter.ndim == 4:
            fan = parameter[0].numel()
            draw = torch.rand(parameter.shape, generator=generator)
            parameter.data.copy_((2 * draw - 1) * (6 / fan) ** 0.5)
    return module


def true_place(batch, head=H36M_17):
    """Normalised coordinates of the labels in the plain boxes."""
    names = [j if j in H36M_17.joints else "hip" for j in head.joints]
    joints = batch.joints_3d[:, 0, [H36M_17.index(j) for j in names]]
    side = batch.crop[:, 2:].expand(-1, 2) / MARGIN
    crop = Crop.plain(batch.crop[:, :2], side)
    return crop_labels(joints, batch.camera.intrinsics, crop, head.root, patch=64).joints


@torch.no_grad()
def test_prediction_is_root_relative_millimetres_before_the_camera(batch):
    answer = make_module().eval().predict(batch)
    assert answer.joints_3d.shape == (6, 1, 17, 3)
    assert (answer.joints_3d[..., 0, :] == 0).all()
    assert answer.trajectory.shape == (6, 1, 3)
    # A fresh network answers the middle of the box for every joint, the left edge of its cell.
    torch.testing.assert_close(
        answer.trajectory[:, 0, 2], batch.joints_3d[:, 0, 0, 2], rtol=0.05, atol=0
    )


def test_the_right_place_gives_the_right_pose(batch):
    found = make_module().student.pose(true_place(batch), batch)
    torch.testing.assert_close(found, batch.joints_3d[:, 0], rtol=0, atol=1)


def test_a_head_of_sixteen_joints_answers_seventeen(batch):
    module = make_module(replace(TINY, joints="mpii16"))
    assert module.student.network.joints == 16
    found = module.student.pose(true_place(batch, MPII_16), batch)
    wanted, _ = remap_joints(found[:, list(module.student.rows)], MPII_16, H36M_17)
    torch.testing.assert_close(found, wanted)
    others = [j for j in range(17) if j != H36M_17.index("spine")]
    torch.testing.assert_close(found[:, others], batch.joints_3d[:, 0, others], rtol=0, atol=1)
    labels, weights = module.student._labels(batch, module.student.see(batch))
    assert weights.shape == (6, 16)
    assert torch.equal(labels[:, MPII_16.root], batch.joints_3d[:, 0, 0])


@pytest.mark.parametrize("config", [STILL, replace(STILL, volume=False, depth=50)])
def test_loss_is_that_of_the_plain_boxes_without_random_changes(batch, config, without_trainer):
    module = without_trainer(make_module(config)).eval()
    found = module.student.locate(batch)
    half = (found - true_place(batch)).square().sum() / 2 / len(batch)
    torch.testing.assert_close(module.training_step(batch, 0), half, rtol=1e-4, atol=1e-5)


def test_channels_last_changes_nothing_but_speed(batch, without_trainer):
    plain, last = (
        without_trainer(loud(make_module(replace(TINY, channels_last=last)))).eval()
        for last in (False, True)
    )
    losses = [module.training_step(batch, 3) for module in (plain, last)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    images = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    cells = last.student.network.scores(images).cells
    assert cells.is_contiguous(memory_format=torch.channels_last)


def test_places_keep_their_digits_under_autocast(batch, without_trainer, monkeypatch):
    module = without_trainer(loud(make_module(replace(TINY, occluders="procedural")))).eval()
    module.begin_stage(module.stages()[-1])
    student, network = module.student, module.student.network

    def plainly(images):
        with torch.autocast("cpu", enabled=False):
            return forward(images)

    forward = network.forward
    monkeypatch.setattr(network, "forward", plainly)
    place = true_place(batch)
    loss, pose = module.training_step(batch, 0), student.pose(place, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module.training_step(batch, 0), loss)
        assert torch.equal(student.pose(place, batch), pose)


def test_the_network_learns_under_autocast(batch, without_trainer):
    module = without_trainer(loud(make_module(STILL))).eval()
    plain = module.training_step(batch, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module.training_step(batch, 0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain, rtol=0.05, atol=0)
    loss.backward()
    gradients = [p.grad for p in module.student.network.parameters() if p.requires_grad]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)


def test_weights_of_labels_count(batch, without_trainer):
    module = without_trainer(make_module(STILL)).eval()
    whole = module.training_step(batch, 0)
    batch.visible = torch.ones(6, 1, 17, dtype=torch.bool)
    batch.visible[:, :, 4] = False
    batch.extras = {LABEL_WEIGHT: torch.full((6, 1, 17), 0.5)}
    batch.joints_3d[:, :, 4] = torch.nan
    error = (module.student.locate(batch) - true_place(batch)).square().sum(-1)
    error[:, 4] = 0
    half = module.training_step(batch, 0)
    torch.testing.assert_close(half, error.sum() / 4 / len(batch), rtol=1e-4, atol=1e-5)
    assert half < whole


def test_weights_of_mirrored_labels_change_sides(batch):
    student = make_module().student
    weight = torch.rand(6, 1, 17, generator=torch.Generator().manual_seed(1))
    mirrored = torch.tensor([True, False, True, False, False, True])
    batch.extras = {LABEL_WEIGHT: weight, MIRRORED: mirrored}
    _, found = student._labels(batch, student.see(batch))
    swapped = flip_per_joint(weight, H36M_17)
    wanted = torch.where(mirrored[:, None], swapped[:, 0], weight[:, 0])
    assert torch.equal(found, wanted)


@torch.no_grad()
def test_mirrored_average_is_symmetric(batch):
    module = loud(make_module(flip_test=True)).eval()
    answer = module.infer(batch).joints_3d
    assert answer.abs().amax() > 50
    mirrored = module.infer(flip_batch(batch, H36M_17)).joints_3d
    order, sign = list(H36M_17.flip_index), torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(mirrored[..., order, :] * sign, answer, rtol=0, atol=0.5)


def test_random_changes_follow_seed_epoch_and_batch(batch, without_trainer):
    module = without_trainer(loud(make_module(replace(TINY, occluders="procedural")))).eval()
    module.begin_stage(module.stages()[-1])
    first, again, other = (module.training_step(batch, i) for i in (0, 0, 1))
    assert first == again
    assert first != other
    assert first != without_trainer(loud(make_module(TINY))).eval().training_step(batch, 0)


def test_one_batch_can_be_learnt(batch, without_trainer):
    module = without_trainer(make_module(replace(STILL, width=8, head_width=32, patch=32)))
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def views_of(batch, views=2):
    """The batch's people before several cameras around them."""
    angle = torch.linspace(0, 1.2, views)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = (angle.cos(), zero, -angle.sin(), zero, one, zero, angle.sin(), zero, angle.cos())
    rotation = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    people, centre = len(batch), torch.tensor([0.0, 0, 4500])
    position = centre - rotation.mT @ centre
    camera = Camera(
        intrinsics=LENS.expand(people, views, 9),
        size=torch.full((people, views, 2), 1000.0),
        rotation=rotation.expand(people, views, 3, 3),
        position=position.expand(people, views, 3),
    )
    joints = world_to_camera(batch.joints_3d, camera.rotation, camera.position)
    flat = joints.flatten(0, 1)
    pixels, square = project(flat, LENS.expand(len(flat), 9)), squares(flat[:, 0])
    return PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=pixels.unflatten(0, (people, views))[:, :, None],
        joints_3d=joints[:, :, None],
        camera=camera,
        image=pictures_of(pixels, square).unflatten(0, (people, views)),
        crop=square.unflatten(0, (people, views)),
    )


@pytest.fixture
def online(tmp_path):
    """A module that labels while training, started from a file."""
    torch.manual_seed(1)
    file = tmp_path / "start.pth"
    torch.save(PoseNetwork(17, STILL).state_dict(), file)
    return make_module(replace(STILL, labels="online", start=str(file)))


def test_views_are_learnt_as_single_pictures_from_true_labels(batch, without_trainer):
    module = without_trainer(make_module(STILL)).eval()
    several = views_of(batch)
    flat = PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=several.keypoints_2d.flatten(0, 1),
        joints_3d=several.joints_3d.flatten(0, 1),
        camera=several.camera.map(lambda v: v.flatten(0, 1)),
        image=several.image.flatten(0, 1),
        crop=several.crop.flatten(0, 1),
    )
    torch.testing.assert_close(module.training_step(several, 0), module.training_step(flat, 0))


def test_the_frozen_copy_labels_what_views_agree_on(batch, online, without_trainer, monkeypatch):
    module = without_trainer(online)
    module.begin_stage(module.stages()[-1])
    several = views_of(batch, 3)
    student, frozen = module.student, module.student.frozen
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    state = student.network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in frozen.state_dict().items())

    seen = student.see(several)
    joints = several.joints_3d[:, :, 0].flatten(0, 1)
    side = several.crop.flatten(0, 1)[:, 2:].expand(-1, 2) / MARGIN
    crop = Crop.plain(several.crop.flatten(0, 1)[:, :2], side)
    place = crop_labels(joints, LENS.expand(len(joints), 9), crop, 0, patch=64).joints
    answer = type(frozen.locate(torch.zeros(1, 3, 64, 64)))(place, torch.ones(len(joints), 17))
    monkeypatch.setattr(frozen, "locate", lambda images: answer)
    labels, weights = student._labels(several, seen)
    assert (weights == 1).all()
    torch.testing.assert_close(labels, joints, rtol=0, atol=1)
    answer.joints[0, 3, 0] += 0.1  # one view of one joint disagrees
    _, weights = student._labels(several, seen)
    assert (weights[:3, 3] == 0).all()
    assert weights.sum() == weights.numel() - 3
    assert torch.isfinite(module.training_step(several, 0))


def test_labels_from_views_need_views(batch, online, without_trainer):
    module = without_trainer(online)
    module.begin_stage(module.stages()[-1])
    with pytest.raises(DataError, match="expected two or more synchronised views"):
        module.training_step(batch, 0)


def test_optimisation_moves_the_answer_towards_the_keypoints(batch):
    module = make_module().eval()
    config = TtoConfig(enabled=True, iterations=30, lr=2e-3, weight_anchor=0.01)
    result = refine(module, batch, config, targets=1)
    assert result.residual_after.mean() < 0.7 * result.residual_before.mean()
    assert result.pose.shape == (6, 1, 17, 3)


def test_pictures_of_another_margin_are_refused(batch, without_trainer):
    module = without_trainer(make_module(replace(TINY, margin=1.0)))
    with pytest.raises(ConfigError, match=r"is 1 times .*, got 1\.25 times; set method\.margin"):
        module.training_step(batch, 0)
    batch.crop[:, 2] *= torch.linspace(0.8, 1.2, len(batch))  # not made from the root's depth
    module.training_step(batch, 0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": None}, DataError, "expected pictures in the batch, got keypoints only"),
        ({"joints_3d": None}, DataError, "expected 3D labels in the batch"),
        ({"image": torch.zeros(6, 1, 8, 8)}, ShapeError, "expected image of shape"),
        ({"crop": torch.zeros(6, 4)}, ShapeError, "expected crop of shape|invalid for input"),
    ],
)
def test_batches_without_what_is_needed_are_refused(batch, change, error, message):
    module = make_module()
    with pytest.raises(error, match=message):
        module.training_step(replace(batch, **change), 0)


def test_windows_of_several_frames_are_refused():
    with pytest.raises(ConfigError, match=r"expected data\.frames 1, whose pictures"):
        make_module(frames=9)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"depth": 20}, "depth"),
        ({"width": 0}, "width"),
        ({"patch": 100}, "patch"),
        ({"margin": 0.0}, "margin"),
        ({"scale_spread": 1.0}, "scale_spread"),
        ({"angle_chance": 1.5}, "angle_chance"),
        ({"occluder_count": (3, 1)}, "occluder_count"),
        ({"labels": "online"}, "start"),
    ],
)
def test_switches_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=rf"expected method\.{name} to be .*, got"):
        Config(**options)


@pytest.mark.filterwarnings("ignore")
def test_it_trains_under_lightning(tmp_path, batch):
    module = make_module(replace(TINY, occluders="procedural"))
    module.begin_stage(module.stages()[-1])
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        limit_val_batches=0,
    )
    module.setup = lambda stage: None
    loader = torch.utils.data.DataLoader([batch, batch], batch_size=None, collate_fn=lambda b: b)
    trainer.fit(module, loader)
    assert trainer.global_step == 2
    assert trainer.logged_metrics.keys() >= {"train/loss", "train/joints"}
