"""3DNBF under Lightning: images to losses, mirrored labels, prediction, fitting, bad input."""

from dataclasses import replace

import pytest
import torch

from lifting.batch import PoseBatch, flip_batch
from lifting.body.ellipsoid import EllipsoidBody
from lifting.errors import ConfigError, DataError, ShapeError
from lifting.geometry.camera import Camera, project
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.methods.nbf.body_pose import PosePrior, mirror_sideways, upright
from lifting.methods.nbf.config import Config
from lifting.methods.nbf.crop import CropView, body_labels, draw_squares, draw_textures
from lifting.methods.nbf.module import Module
from lifting.methods.nbf.network import Contrast
from lifting.methods.nbf.render import render
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17
from lifting.tto.callback import write_into
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status
from lifting.tto.refine import refine

PEOPLE, SIDE = 4, 64
LENS = torch.tensor([1145.0, 1145, 512, 515, 0, 0, 0, 0, 0])
TINY = Config(body="light", features=8, clutter=16, first_steps=2, second_steps=2)


def build(config=TINY, **settings):
    torch.manual_seed(0)
    return Module(config, ModuleSettings("nbf", **settings))


@pytest.fixture
def batch():
    """People as flat patches, each part in a colour of its own, with all labels."""
    generator = torch.Generator().manual_seed(0)
    prior, body = PosePrior.of_h36m(), EllipsoidBody("light")
    turns = prior.mean + 0.5 * prior.spread * torch.randn(PEOPLE, 16, 3, generator=generator)
    rotations = axis_angle_to_matrix(torch.cat((torch.zeros(PEOPLE, 1, 3), turns), dim=1))
    rotations[:, 0] = upright(turns)
    place = torch.tensor([200.0, 100.0, 5000.0]) + 100 * torch.randn(
        PEOPLE, 3, generator=generator
    )
    kernels = body.kernels(rotations, torch.zeros(PEOPLE, body.shape_count), place)
    lens = LENS.expand(PEOPLE, 9)
    crop = torch.cat((project(place[:, None], lens)[:, 0], 2200 * LENS[0] / place[:, 2:]), dim=1)
    found = PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=project(kernels.joints_17, lens)[:, None],
        joints_3d=kernels.joints_17[:, None],
        camera=Camera(intrinsics=lens, size=torch.full((PEOPLE, 2), 1000.0)),
        image=torch.zeros(PEOPLE, 3, SIDE, SIDE, dtype=torch.uint8),
        crop=crop,
    )
    view = CropView.of_batch(found)
    grid = replace(view.grid(4), height=SIDE, width=SIDE, focal=view.focal, centre=view.centre)
    shown = render(kernels.means, kernels.precisions, grid, build().network.render)
    part = body.part[shown.dense().argmax(-1)]
    part = torch.where(shown.opacity > 0.5, part + 1, 0).view(PEOPLE, SIDE, SIDE)
    colours = torch.randint(255, (18, 3), generator=generator, dtype=torch.uint8)
    found.image = colours[part].movedim(-1, 1).contiguous()
    part[:, :8, :8] += 128
    found.extras = {
        "rotations": rotations[:, None],
        "betas": torch.zeros(PEOPLE, 1, body.shape_count),
        "translation": place[:, None],
        "parts": part.to(torch.uint8)[:, None],
    }
    return found


def test_the_crop_is_a_camera(batch):
    view = CropView.of_batch(batch)
    assert batch.joints_3d is not None
    joints = batch.joints_3d[:, 0]
    pixels = (view.project(joints) + 1) / 2 * SIDE
    crop = batch.crop[:, None]
    expected = ((batch.keypoints_2d[:, 0] - crop[..., :2]) / crop[..., 2:] + 0.5) * SIDE
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-3)
    camera = view.camera(joints[:, 0])
    torch.testing.assert_close(view.root(camera), joints[:, 0], rtol=1e-4, atol=0.5)
    torch.testing.assert_close(camera[:, 0], torch.full((PEOPLE,), 2 / 2.2), rtol=0, atol=0.02)


def test_labels_of_a_mirrored_batch_are_mirrored(batch):
    mirror, body = EllipsoidBody.mirror, EllipsoidBody("light")
    plain = body_labels(batch, mirror, 4)
    flipped = flip_batch(batch, H36M_17)
    found = body_labels(flipped, mirror, 4)
    assert flipped.joints_3d is not None
    joints = body.kernels(*found.pose).joints_17
    torch.testing.assert_close(joints, flipped.joints_3d[:, 0], rtol=0, atol=0.05)
    assert (plain.parts[:, :2, :2] == -1).all()
    assert (found.parts[:, :2, -2:] == -1).all()
    # Sampling at one pixel of four is not symmetric, so compare what the image shows of a side.
    knee, other = (H36M_17.index(f"{side}_knee") for side in ("left", "right"))
    swapped, counted = (labels.parts == joint for labels, joint in ((found, knee), (plain, other)))
    assert swapped.any()
    assert (swapped.sum() - counted.sum()).abs() <= 0.3 * counted.sum()


def test_a_step_learns_features_and_a_body(batch, without_trainer):
    module = without_trainer(build())
    before = module.network.bank.features.clone()
    module.training_step(batch, 0).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert (module.network.bank.features != before).any()
    assert (module.network.bank.clutter.norm(dim=-1) - 1).abs().max() < 1e-5
    assert (module.network.bank.clutter != build().network.bank.clutter).all()


def test_squares_hide_pixels_and_their_labels():
    draws = torch.Generator().manual_seed(0)
    hidden = draw_squares(400, SIDE, 0.5, draws)
    shown = hidden.flatten(1).any(-1)
    assert 0.4 < float(shown.float().mean()) < 0.6
    assert hidden.float().mean((1, 2))[shown].max() <= 0.27  # half of each side, and rounding
    textures = draw_textures(50, SIDE, draws)
    assert textures.shape == (50, 3, SIDE, SIDE)
    assert textures.float().flatten(2).std(-1).mean() > 5
    assert not draw_squares(9, SIDE, 0.0, draws).any()


def test_a_step_sees_the_squares(batch, without_trainer):
    module = without_trainer(build(replace(TINY, paste=0.9)))
    labels = body_labels(batch, EllipsoidBody.mirror, 4)
    image = batch.image.clone()
    found, after = module._pasted(batch, labels, torch.Generator().manual_seed(3))
    assert torch.equal(batch.image, image)
    changed = (found.image != image).any(1)
    assert changed.any()
    gone = (labels.parts >= 0) & (after.parts < 0)
    assert gone.any()
    assert changed[:, 2::4, 2::4][gone].all()
    assert torch.equal(after.parts[~changed[:, 2::4, 2::4]], labels.parts[~changed[:, 2::4, 2::4]])
    module.training_step(batch, 0).backward()


@pytest.mark.parametrize(
    "change",
    [{}, {"contrast": "pairwise"}, {"orientation": "z_bins3", "orientations": 3},
     {"orientations": 1, "clutter_centres": 3}, {"stride": 2}],
)  # fmt: skip
def test_it_learns(batch, without_trainer, change):
    module = without_trainer(build(replace(TINY, gain_spread=0.0, **change)))
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    losses = []
    for i in range(12):  # at a rate of 0 the bank alone brings two thirds
        optimizer.zero_grad()
        loss = module.training_step(batch, i)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_contrast_looks_at_the_first_images_only(batch):
    def contrast(batch: PoseBatch, **change: int) -> Contrast:
        network = build(replace(TINY, **change)).eval().network
        features = network(batch).features
        labels = body_labels(batch, network.body.mirror, TINY.stride)
        generator = torch.Generator().manual_seed(0)
        return network.contrast(features, labels, CropView.of_batch(batch), generator)

    every, some = contrast(batch), contrast(batch, contrast_images=2)
    alone = contrast(batch.rows(slice(0, 2)))
    assert len(every.labels) == len(every.background) == PEOPLE
    assert len(some.labels) == len(some.background) == len(some.observed.visible) == 2
    torch.testing.assert_close(some.observed.features, alone.observed.features)
    torch.testing.assert_close(some.background, alone.background)


def test_a_guess_and_features_alone_first(batch, without_trainer):
    config = replace(TINY, guess_epochs=2, guess_lr=5e-4, feature_epochs=3)
    module = without_trainer(build(config))
    assert [stage.epochs for stage in module.stages()] == [2, 3, None]
    assert [stage.lr for stage in module.stages()] == [5e-4, None, None]
    assert len(build().stages()) == 1
    module.begin_stage(module.stages()[0])
    before = module.network.bank.features.clone()
    module.training_step(batch, 0).backward()
    assert torch.equal(module.network.bank.features, before)
    learning = {name for name, value in module.named_parameters() if value.grad is not None}
    own = ("network.extractor.backbone", "network.head.whole")
    assert all(name.startswith(own) for name in learning)
    assert len(learning) > 20


def test_the_published_head_has_no_coarse_guess(batch, without_trainer):
    module = without_trainer(build(replace(TINY, head_width=0, guess_epochs=1)))
    assert module.predict(batch).joints_3d.isfinite().all()
    module.begin_stage(module.stages()[0])
    with pytest.raises(ConfigError, match=r"method.head_width above 0 .* method.guess_epochs=0"):
        module.training_step(batch, 0)


def test_stage_of_features_leaves_the_guess_alone(batch, without_trainer):
    module = without_trainer(build(replace(TINY, feature_epochs=3)))
    module.begin_stage(module.stages()[0])
    module.training_step(batch, 0).backward()
    assert module.network.head.rotate.grad is None
    assert module.network.head.attend.weight.grad is not None
    assert module.network.extractor.last.weight.grad is not None


def test_prediction(batch):
    module = build().eval()
    found = module.predict(batch)
    assert found.joints_3d.shape == (PEOPLE, 1, 17, 3)
    assert found.joints_3d[:, :, 0].abs().max() == 0
    assert found.trajectory.shape == (PEOPLE, 1, 3)
    assert (found.trajectory[..., 2] > 1000).all()
    assert found.sigma.min() >= TINY.sigma_seen
    assert found.sigma.max() <= TINY.sigma_hidden


def test_fitting_leaves_the_module_as_it_was(batch):
    module = build()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = module.fit(batch)
    assert (result.after <= result.before + 1e-6).all()
    assert result.pose.shape == result.start.shape == (PEOPLE, 1, 17, 3)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    unlabelled = replace(batch, joints_3d=None, extras={})
    again = module.fit(unlabelled)
    assert torch.equal(again.pose, result.pose)


def test_the_mirrored_image_gives_a_second_start(batch):
    network = build(replace(TINY, mirrored=True)).eval().network
    features, (first, second) = network.starts(batch)
    assert torch.equal(features, network(batch).features)
    turned, (again, _) = network.starts(flip_batch(batch, H36M_17))
    assert not torch.equal(features, turned)
    for one, other in zip(second, mirror_sideways(again, network.body.mirror), strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(first.rotations, second.rotations, atol=1e-4)
    pixels = [CropView.of_batch(batch).project(network.body.joints(*body).joints)
              for body in (first, second)]  # fmt: skip
    assert (pixels[0] - pixels[1]).norm(dim=-1).mean() < 0.2  # both lie over the person
    result = build(replace(TINY, mirrored=True)).fit(batch)
    assert (result.after <= result.before + 1e-6).all()


def test_test_time_optimisation_is_the_methods_own(batch, monkeypatch):
    module = build().eval()
    monkeypatch.setattr("lifting.tto.refine.CHUNK", 3)
    found = refine(module, batch, TtoConfig(enabled=True))
    assert (found.after <= found.before + 1e-6).all()
    assert (found.after < found.before).any()
    assert (found.pose - found.start).norm(dim=-1).max() > 1
    assert found.iterations.max() == TINY.first_steps + TINY.second_steps
    prediction = module.predict(batch)
    torch.testing.assert_close(found.start, prediction.joints_3d)
    write_into(prediction, found, oracle=False)
    torch.testing.assert_close(prediction.joints_3d, found.pose)
    assert prediction.trajectory.shape == (PEOPLE, 1, 3)


def test_an_image_that_shows_nobody(batch):
    module = build().eval()
    module.network.bank.clutter.copy_(module.network(batch).features[0, :1].detach())
    batch.image = torch.zeros_like(batch.image)
    with torch.no_grad():
        empty = module.network(batch).features[0, 100]
    module.network.bank.clutter.copy_(empty.expand(TINY.clutter, -1))
    result = module.fit(batch)
    assert (result.status == Status.UNOBSERVED).all()
    assert torch.equal(result.pose, result.start)
    assert result.pose.isfinite().all()
    assert result.log_sigma.exp().min() > 0.9 * TINY.sigma_hidden


def test_refusals(batch):
    with pytest.raises(ConfigError, match=r"data.frames 1 .* got 9"):
        build(frames=9)
    with pytest.raises(ConfigError, match=r"multiple of 32, got 60 pixels; .* data\.images"):
        build(image_size=60)
    with pytest.raises(ConfigError, match=r"which 3DNBF's body has, got mpi17; set data.skeleton"):
        build(skeleton="mpi17")
    module = build().eval()
    with pytest.raises(DataError, match=r"expected images .* data.name=images"):
        module.predict(replace(batch, image=None))
    with pytest.raises(ShapeError, match="multiples of 32"):
        module.predict(replace(batch, image=batch.image[..., :60, :60]))
    with pytest.raises(DataError, match=r"extras=\[body, parts\]"):
        module.training_step(replace(batch, extras={}), 0)
    for change in ({"features": 0}, {"kappa": 0.0}, {"orientation": "z_bins3"}, {"momentum": 1.0}):
        with pytest.raises(
            ConfigError,
            match=f"method.{'orientations' if 'orientation' in change else next(iter(change))}",
        ):
            Config(**change)
