"""Rendered people: geometry against closed forms, labels against pixels, bits against the seed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lifting.body.ellipsoid import EllipsoidBody, EllipsoidSolids, PosedSolids
from lifting.data.config import DataConfig
from lifting.data.images.crops import crop_around, crop_pixels, crop_rays
from lifting.data.images.raycast import (
    BEHIND_BODY,
    BEHIND_OBJECT,
    SEEN,
    cast,
    cast_boxes,
    joint_sight,
    nearest_hits,
)
from lifting.data.images.render import OCCLUDED, Studio
from lifting.data.images.scenery import BAR, BOX, ELLIPSE, Shapes, paint
from lifting.data.sets.images import reader as source
from lifting.data.sets.images.config import Config as ImagesConfig
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError
from lifting.geometry.camera import camera_to_world, pixels_to_rays, project
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17

J = {name: i for i, name in enumerate(H36M_17.joints)}
LENS = torch.tensor(((1145.0, 1143.0, 512.0, 515.0, -0.2, 0.24, -0.002, -0.0009, -0.0014),))
SIZE = 96


def small(tmp_path, **options):
    images = ImagesConfig(
        size=48, train_images=32, val_images=16, test_images=16, instants=2, **options
    )
    return DataConfig(
        name="images", cameras="random", noise="none", cache=str(tmp_path), images=images
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    config = small(folder, occluders=0.7, extras=("body", "parts"))
    return config, load_tracks(config, "train")


@pytest.fixture(scope="module")
def ellipsoid():
    """One tilted ellipsoid off the axis of a camera with a lens, in a crop around it."""
    centre = torch.tensor((((300.0, -200.0, 4000.0),),))
    turn = axis_angle_to_matrix(torch.tensor((0.5, -0.9, 0.3)))
    solids = PosedSolids(centre, turn[None, None], torch.tensor((((500.0, 150.0, 300.0),),)))
    return solids, crop_around(centre[:, 0], LENS)


def test_the_crop_is_two_metres_wide_at_the_root():
    root = torch.tensor(((200.0, 100.0, 5000.0),))
    plain = LENS * torch.tensor((1.0,) * 4 + (0.0,) * 5)
    crop = crop_around(root, plain)
    sides = project(root[:, None] + torch.tensor(((-1000.0, 0, 0), (1000.0, 0, 0))), plain)
    places = crop_pixels(sides, crop, SIZE)[0]
    focal = math.sqrt(1145 / 1143)  # the side is that of the mean focal length
    assert float(places[1, 0] - places[0, 0]) == pytest.approx(SIZE * focal, rel=1e-5)
    assert float(places.mean(0)[0]) == pytest.approx(SIZE / 2, abs=1e-3)


def test_rays_undo_the_lens(ellipsoid):
    crop = ellipsoid[1]
    rays = crop_rays(crop, LENS, SIZE)[0]  # (2, SIZE, SIZE)
    points = torch.cat((rays, torch.ones(1, SIZE, SIZE))).flatten(1).T[None]
    places = crop_pixels(project(points, LENS), crop, SIZE)[0].view(SIZE, SIZE, 2)
    step = torch.arange(SIZE) + 0.5
    assert float((places[..., 0] - step).abs().max()) < 0.03
    assert float((places[..., 1] - step[:, None]).abs().max()) < 0.03


def test_the_silhouette_is_the_analytic_conic(ellipsoid):
    solids, crop = ellipsoid
    rays = crop_rays(crop, LENS, SIZE)
    surface = cast(solids, rays, cast_boxes(solids, LENS, crop, SIZE))
    mask = torch.zeros(SIZE * SIZE, dtype=torch.bool)
    mask[surface.pixel] = True
    # A ray is tangent where the inverse of the dual conic S - m m^T vanishes.
    half = (solids.axes * solids.radii[..., None, :])[0, 0].double()
    centre = solids.centres[0, 0].double()
    conic = torch.linalg.inv(half @ half.T - centre[:, None] * centre)
    x, y = rays.double().flatten(2)[0]
    beam = torch.stack((x, y, torch.ones_like(x)))
    value = (beam * (conic @ beam)).sum(0)
    inside = value * float(torch.linalg.det(conic).sign()) > 0
    at_centre = inside[(SIZE // 2) * SIZE + SIZE // 2]
    assert torch.equal(mask, inside == at_centre)
    assert 0.03 < float(mask.float().mean()) < 0.4


def test_points_and_normals_of_hits(ellipsoid):
    solids, crop = ellipsoid
    surface = cast(solids, crop_rays(crop, LENS, SIZE), cast_boxes(solids, LENS, crop, SIZE))
    on_surface = (surface.point / solids.radii[0, 0]).norm(dim=-1)
    torch.testing.assert_close(on_surface, torch.ones_like(on_surface), atol=2e-3, rtol=0)
    assert float((surface.normal * surface.towards).sum(-1).min()) > -0.02
    torch.testing.assert_close(surface.normal.norm(dim=-1), torch.ones_like(on_surface))


def test_the_nearest_of_two_spheres_hides_the_other():
    centres = torch.tensor((((0.0, 0, 5000.0), (40.0, 0, 3000.0)),))
    solids = PosedSolids(centres, torch.eye(3).expand(1, 2, 3, 3), torch.full((1, 2, 3), 200.0))
    plain = LENS * torch.tensor((1.0,) * 4 + (0.0,) * 5)
    crop = crop_around(centres[:, 0], plain)
    surface = cast(solids, crop_rays(crop, plain, SIZE), cast_boxes(solids, plain, crop, SIZE))
    middle = (surface.pixel == (SIZE // 2) * SIZE + SIZE // 2).nonzero()[0, 0]
    assert int(surface.solid[middle]) == 1
    entry = nearest_hits(solids, torch.tensor((((0.0, 0.0),),)))[0, 0]
    wanted = torch.tensor((4800.0, 3000 - math.sqrt(200**2 - 40**2)))
    torch.testing.assert_close(entry, wanted, atol=0.5, rtol=0)


def test_a_solid_that_reaches_behind_the_camera_is_left_out():
    solids = PosedSolids(
        torch.tensor((((0.0, 0, 100.0), (0.0, 0, 4000.0)),)),
        torch.eye(3).expand(1, 2, 3, 3), torch.full((1, 2, 3), 200.0),
    )  # fmt: skip
    boxes = cast_boxes(solids, LENS, crop_around(solids.centres[:, 1], LENS), SIZE)
    assert int(boxes[0, 0, 2:].prod()) == 0
    assert int(boxes[0, 1, 2:].prod()) > 0


def shape(kind, half, angle=0.0):
    one = torch.zeros(1, 1)
    return Shapes(
        kind=one.long() + kind,
        centre=torch.tensor((((0.5, 0.5),),)),
        half=torch.tensor(((half,),)),
        angle=one + angle,
        colour=torch.ones(1, 1, 3),
        accent=torch.zeros(1, 1, 3),
        present=one == 0,
    )


@pytest.mark.parametrize(
    ("kind", "half", "area"),
    [
        (BOX, (0.3, 0.1), 4 * 0.3 * 0.1),
        (ELLIPSE, (0.3, 0.1), math.pi * 0.3 * 0.1),
        (BAR, (0.3, 0.1), 4 * 0.2 * 0.1 + math.pi * 0.1**2),
    ],
)
def test_shapes_have_their_areas(kind, half, area):
    canvas = torch.zeros(1, 3, 64, 64)
    covered = paint(canvas, shape(kind, half, angle=0.4), torch.zeros(1, 64, 64))
    assert float(covered.mean()) == pytest.approx(area, rel=0.02)
    torch.testing.assert_close(canvas[:, 0], covered)


def test_joints_project_inside_the_rendered_limb(drawn):
    config, tracks = drawn
    size, parts = config.images.size, tracks.extras["parts"]
    cameras = tracks.cameras[torch.arange(len(tracks)) // config.images.instants]
    pixels = project(tracks.labels(), cameras.intrinsics)
    torch.testing.assert_close(tracks.keypoints_2d, pixels)
    places = crop_pixels(pixels, tracks.crop, size).long().clamp(0, size - 1)
    found = parts[torch.arange(len(tracks))[:, None], places[..., 1], places[..., 0]] % OCCLUDED
    seen = tracks.extras["sight"] == SEEN
    assert float(seen.float().mean()) > 0.3
    # The top of the head lies on its rim, and is a pixel outside at times.
    inner = seen.clone()
    inner[:, J["head"]] = False
    assert float((found[inner] > 0).float().mean()) > 0.995
    own = {
        "left_knee": ("left_hip", "left_knee"),
        "right_elbow": ("right_shoulder", "right_elbow"),
    }
    for name, holders in own.items():
        part = found[:, J[name]][seen[:, J[name]]]
        right = sum((part == J[holder] + 1).float() for holder in holders)
        assert float(right.mean()) > 0.9


def test_the_body_of_the_extras_is_that_of_the_labels(drawn):
    _, tracks = drawn
    extras = tracks.extras
    posed = EllipsoidBody("light").joints(
        *(extras[k] for k in ("rotations", "betas", "translation"))
    )
    torch.testing.assert_close(posed.joints, tracks.labels(), atol=0.05, rtol=0)


def test_joints_under_objects_are_flagged(drawn):
    config, tracks = drawn
    size, sight = config.images.size, tracks.extras["sight"]
    cameras = tracks.cameras[torch.arange(len(tracks)) // config.images.instants]
    places = crop_pixels(project(tracks.labels(), cameras.intrinsics), tracks.crop, size)
    inside = ((places > 0) & (places < size)).all(-1)
    row = torch.arange(len(tracks))[:, None]
    pixel = places.long().clamp(0, size - 1)
    under = tracks.extras["parts"][row, pixel[..., 1], pixel[..., 0]] >= OCCLUDED
    flagged = sight == BEHIND_OBJECT
    assert 0.05 < float(flagged.float().mean()) < 0.6
    # Edges of objects fall within pixels, so a few joints on them may differ.
    assert float((under == flagged)[inside].float().mean()) > 0.96


def test_objects_change_pixels_only_where_they_stand(drawn):
    config, tracks = drawn
    bare = load_tracks(replace(config, images=replace(config.images, occluders=0.0)), "train")
    changed = (bare.image.int() - tracks.image.int()).abs().amax(1) > 40
    over = tracks.extras["parts"] >= OCCLUDED
    assert not bare.extras["parts"].ge(OCCLUDED).any()
    assert torch.equal(bare.extras["parts"], tracks.extras["parts"] % OCCLUDED)
    assert not (bare.extras["sight"] == BEHIND_OBJECT).any()
    assert float(changed[over].float().mean()) > 0.3
    assert float(changed[~over].float().mean()) < 0.02


def test_far_limbs_of_a_person_in_profile_are_behind_the_body():
    body, solids = EllipsoidBody("light"), EllipsoidSolids()
    rotations = torch.eye(3).repeat(1, 17, 1, 1)
    # Upright, arms down, the left side to the camera: x to the left becomes -z.
    rotations[:, 0] = torch.tensor(((0.0, 0, -1), (0, -1, 0), (-1.0, 0, 0)))
    rotations[:, J["left_shoulder"]] = axis_angle_to_matrix(torch.tensor((0.0, 0.0, -1.4)))
    rotations[:, J["right_shoulder"]] = axis_angle_to_matrix(torch.tensor((0.0, 0.0, 1.4)))
    betas = torch.zeros(1, 14)
    chain = body.joints(rotations, betas, torch.tensor(((0.0, 0.0, 5000.0),)))
    none = torch.zeros(1, 17, dtype=torch.bool)
    posed = solids(body, chain, betas)
    state = joint_sight(solids, posed, chain.joints, none, ~none)[0]
    for joint in ("shoulder", "elbow", "knee"):
        assert int(state[J[f"left_{joint}"]]) == SEEN, joint
        assert int(state[J[f"right_{joint}"]]) == BEHIND_BODY, joint
    assert int(state[J["left_hip"]]) == BEHIND_BODY  # the hand hangs before it
    covered = none.clone()
    covered[0, 3] = True
    flagged = joint_sight(solids, posed, chain.joints, covered, ~none)[0]
    assert int(flagged[3]) == BEHIND_OBJECT


def test_the_same_seed_gives_the_same_bits(drawn, tmp_path):
    config, tracks = drawn
    again = load_tracks(replace(config, cache=str(tmp_path)), "train")
    assert torch.equal(tracks.image, again.image)
    assert torch.equal(tracks.extras["parts"], again.extras["parts"])
    other = small(tmp_path, occluders=0.7, seed=1)
    assert not torch.equal(load_tracks(other, "train").image, tracks.image)


def test_a_picture_does_not_depend_on_its_neighbours(drawn):
    config, tracks = drawn
    studio = Studio(seed=0, size=config.images.size, occluders=0.7)
    alone = studio.render(source.sitting_of(tracks).rows(slice(5, 6))).image[0]
    difference = (alone.int() - tracks.image[5].int()).abs()
    assert int(difference.max()) <= 1


def test_splits_share_nothing(drawn):
    config, train = drawn
    test = load_tracks(config, "test")
    assert len(train) == 32
    assert len(test) == 16
    assert not set(train.subject_names) & set(test.subject_names)
    assert not torch.cdist(train.cameras.position.flatten(0, 0), test.cameras.position).lt(1).any()
    bones = [t.extras["betas"].unique(dim=0) for t in (train, test)]
    assert float(torch.cdist(*bones).min()) > 0.01


def test_views_of_a_recording_see_one_world(drawn):
    config, tracks = drawn
    assert tracks.recording.tolist() == [i // 4 for i in range(16)]
    camera = tracks.cameras[torch.arange(len(tracks)) // config.images.instants]
    world = camera_to_world(tracks.labels(), camera.rotation, camera.position)
    world = world.view(4, 4, config.images.instants, 17, 3)  # recordings, views, instants
    assert float((world - world[:, :1]).abs().max()) < 0.5
    rays = pixels_to_rays(tracks.keypoints_2d, camera.intrinsics)
    assert float(rays.abs().max()) < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8}, "expected data.images.size from 16 to 1024, got 8"),
        ({"views": 5}, "expected data.images.views from 1 to 4, got 5"),
        ({"occluders": 1.5}, "expected data.images.occluders from 0 to 1, got 1.5"),
        (
            {"extras": ("part",)},
            "unknown extra 'part' in data.images.extras; did you mean 'parts'",
        ),
        ({"margin": 9.0}, "expected data.images.margin from 0.5 to 4, got 9.0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        source.check_options(ImagesConfig(**options))
