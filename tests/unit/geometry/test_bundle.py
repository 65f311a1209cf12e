import dataclasses

import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.geometry.bundle import Freedom, State, Step, Task, adjust_bundle
from lifting.geometry.bundle_terms import (
    BundleOptions,
    Habits,
    image_cost,
    image_errors,
    image_factors,
    image_slopes,
)
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.rotation import axis_angle_to_matrix, look_at
from lifting.skeleton import Skeleton

BODY = Skeleton(
    "five", ("hip", "left_knee", "right_knee", "left_ankle", "right_ankle"), (-1, 0, 0, 1, 2),
    (("left_knee", "right_knee"), ("left_ankle", "right_ankle")),
)  # fmt: skip
ALL = BundleOptions(sigma=2.0, bones=0.05, symmetry=0.02, acceleration=0.01)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cameras(views=3):
    angle = 0.3 + 1.3 * torch.arange(views, dtype=torch.float64)
    position = 4000 * torch.stack((angle.cos(), angle.sin(), 0.1 + 0.1 * angle), dim=-1)
    lens = torch.tensor([1100.0, 1090, 500, 510, 0, 0, 0, 0, 0], dtype=torch.float64)
    return Camera(
        intrinsics=lens.repeat(views, 1),
        size=torch.full((views, 2), 1000.0, dtype=torch.float64),
        rotation=look_at(position, torch.zeros(views, 3, dtype=torch.float64)),
        position=position,
    )


def walk(frames):
    """A body of constant bones whose limbs swing while it moves, ``(frames, 5, 3)``."""
    time = torch.linspace(0, 3, frames, dtype=torch.float64)[:, None]
    turn = axis_angle_to_matrix(draw(1, 5, 3) * (time + torch.arange(5))[..., None].sin())
    bone = turn @ torch.tensor([0.0, 0.0, -430.0], dtype=torch.float64)
    hip = 300 * torch.cat((time.cos(), time.sin(), 0 * time), dim=-1)
    left, right = hip + bone[:, 1], hip + bone[:, 2]
    return torch.stack((hip, left, right, left + bone[:, 3], right + bone[:, 4]), dim=1)


def see(camera, joints):
    flat = joints.flatten(0, 1).expand(len(camera.position), -1, -1)
    local = world_to_camera(flat, camera.rotation, camera.position)
    return project(local, camera.intrinsics).reshape(-1, *joints.shape[:2], 2)


def problem(frames=4, noise=3.0, missing=True):
    camera, joints = cameras(), walk(frames)
    keypoints = see(camera, joints) + noise * draw(3, frames, 5, 2, seed=1)
    weights = 0.5 + torch.rand(3, frames, 5, generator=torch.Generator().manual_seed(2)).double()
    if missing:
        weights[0, 1, 2] = weights[:2, 2, 3] = 0
        keypoints[0, 1, 2] = torch.nan
    return camera, joints + 5 * draw(*joints.shape, seed=3), keypoints, weights


def moved(camera, step):
    """Cameras after a turn, a move and a zoom, written anew."""
    focal = camera.intrinsics[:, :2] * step[:, 6:].exp()
    return dataclasses.replace(
        camera,
        intrinsics=torch.cat((focal, camera.intrinsics[:, 2:]), dim=-1),
        rotation=axis_angle_to_matrix(step[:, :3]) @ camera.rotation,
        position=camera.position + step[:, 3:6],
    )


@pytest.mark.parametrize("kernel", ["huber", "cauchy"])
def test_image_slopes_are_the_derivatives(kernel):
    camera, joints, keypoints, weights = problem(missing=False)
    options = BundleOptions(kernel=kernel, width=1.5)
    slopes = image_slopes(camera, joints, keypoints, weights, options)

    def errors(step, shift):
        return image_errors(moved(camera, step), joints + shift, keypoints, weights, 2.0)

    zero = torch.zeros(3, 7, dtype=torch.float64), torch.zeros_like(joints)
    by_camera, by_joint = torch.func.jacrev(errors, argnums=(0, 1))(*zero)
    root = image_factors(errors(*zero), options).sqrt()[..., None, None]
    own = torch.stack([by_camera[v, ..., v, :] for v in range(3)])
    torch.testing.assert_close(slopes.cameras, root * own)
    frame, joint = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    own = by_joint[:, frame, joint, :, frame, joint].permute(2, 0, 1, 3, 4)
    torch.testing.assert_close(slopes.joints, root * own)


@pytest.mark.parametrize("kernel", ["huber", "cauchy"])
def test_image_factors_have_the_slope_of_the_kernel(kernel):
    options = BundleOptions(kernel=kernel, width=2.0)
    errors = (3 * draw(40, 2)).requires_grad_()
    image_cost(errors, options).backward()
    wanted = image_factors(errors.detach(), options)[..., None] * errors.detach()
    torch.testing.assert_close(errors.grad, wanted)


def habit_residuals(options, placed):
    """Residuals of the body's habits with loops over their definition."""

    def residuals(flat):
        joints, found = flat.reshape(*placed.shape, 3), []
        length = {c: (joints[:, c] - joints[:, p]).norm(dim=-1) for p, c in BODY.bones}
        kept = {c: placed[:, c] & placed[:, p] for p, c in BODY.bones}
        for c, values in length.items():
            found.append(options.bones * (values - values[kept[c]].mean())[kept[c]])
        for a, b in zip(BODY.left, BODY.right, strict=True):
            found.append(options.symmetry * (length[a] - length[b])[kept[a] & kept[b]])
        for t in range(1, len(joints) - 1):
            whole = placed[t - 1 : t + 2].all(0)
            bend = joints[t - 1] - 2 * joints[t] + joints[t + 1]
            found.append((options.acceleration * bend)[whole].flatten())
        return torch.cat(found)

    return residuals


def test_habits_are_the_cost_the_gradient_and_the_normal_matrix_of_their_residuals():
    joints = walk(6) + 20 * draw(6, 5, 3)
    placed = torch.ones(6, 5, dtype=torch.bool)
    placed[2, 3] = placed[4, 0] = False
    habits = Habits(BODY, placed, ALL, joints)
    residuals = habit_residuals(ALL, placed)
    flat = joints.flatten()
    torch.testing.assert_close(habits.cost(joints), residuals(flat).square().sum() / 2)
    slopes = torch.func.jacrev(residuals)(flat)
    torch.testing.assert_close(habits.gradient(joints).flatten(), slopes.mT @ residuals(flat))
    step = draw(6, 5, 3, seed=4)
    wanted = slopes.mT @ (slopes @ step.flatten())
    torch.testing.assert_close(habits.times(habits.directions(joints), step).flatten(), wanted)
    bend = dataclasses.replace(ALL, bones=0.0, symmetry=0.0)
    only = torch.func.jacrev(habit_residuals(bend, placed))(flat)
    diagonal = habits.acceleration_diagonal().flatten()
    torch.testing.assert_close(diagonal, (only.mT @ only).diagonal())


@pytest.mark.parametrize("habits", [False, True])
def test_a_step_solves_the_dense_normal_equations(habits):
    camera, joints, keypoints, weights = problem()
    options = ALL if habits else BundleOptions(sigma=2.0)
    options = dataclasses.replace(options, conjugate_steps=200)
    freedom = Freedom(focal="shared")
    task = Task.create(camera, joints, keypoints, weights, BODY, options, freedom)
    state = State(camera, joints)
    step = task.step(state, torch.tensor(1e-9, dtype=torch.float64))
    root = image_factors(task.errors(state), options).sqrt()[..., None]

    def residuals(cameras, shift):
        found = image_errors(
            moved(camera, cameras), joints + shift, task.keypoints, task.weights, 2.0
        )
        parts = [(root * found).flatten()]
        if habits:
            flat = (joints + shift).flatten()
            parts.append(habit_residuals(options, task.placed)(flat))
        return torch.cat(parts)

    zero = torch.zeros(3, 7, dtype=torch.float64), torch.zeros_like(joints)
    by_camera, by_joint = torch.func.jacrev(residuals, argnums=(0, 1))(*zero)
    basis = task._basis(camera)
    free = by_camera.flatten(1) @ basis.flatten(0, 1)
    seen = task.placed.flatten().repeat_interleave(3)
    slopes = torch.cat((free, by_joint.flatten(1)[:, seen]), dim=1)
    wanted = torch.linalg.lstsq(slopes, -residuals(*zero)[:, None]).solution[:, 0]
    count = basis.shape[-1]
    assert count == 6 + 5 + 1
    turned = torch.einsum("vkc,c->vk", basis, wanted[:count])
    torch.testing.assert_close(step.cameras, turned, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(step.joints.flatten()[seen], wanted[count:], rtol=1e-3, atol=1e-3)
    assert (step.joints.flatten()[~seen] == 0).all()


def test_a_move_keeps_the_first_camera_and_the_scale():
    camera, joints, keypoints, weights = problem()
    task = Task.create(camera, joints, keypoints, weights, BODY, ALL, Freedom())
    state = State(camera, joints)
    step = task.step(state, torch.tensor(1e-2, dtype=torch.float64))
    there = task.moved(state, Step(5 * step.cameras, step.joints)).camera
    assert torch.equal(there.position[0], camera.position[0])
    assert torch.equal(there.rotation[0], camera.rotation[0])
    assert torch.equal(there.intrinsics, camera.intrinsics)
    reach = (camera.position - camera.position[0]).norm(dim=-1)
    after = (there.position - there.position[0]).norm(dim=-1)
    assert after.argmax() == reach.argmax() == task.anchor
    torch.testing.assert_close(after[task.anchor], reach[task.anchor])
    assert (there.position[1:] != camera.position[1:]).any()


@pytest.mark.parametrize("focal", ["fixed", "shared", "each"])
def test_exact_keypoints_give_the_cameras_back(focal):
    camera, joints = cameras(), walk(12)
    start = draw(3, 7, seed=5) * torch.tensor([0.03, 0.03, 0.03, 60, 60, 60, 0.0])
    start[0] = 0
    if focal != "fixed":
        start[:, 6] = 0.1 if focal == "shared" else 0.1 * torch.tensor([1.0, -1.0, 0.5])
    there = moved(camera, start.double())
    options = BundleOptions(sigma=1.0, iterations=100, tolerance=1e-12, bones=1e-3)
    found = adjust_bundle(
        there, joints + 40 * draw(*joints.shape), see(camera, joints), torch.ones(3, 12, 5),
        BODY, options, Freedom(focal=focal),
    )  # fmt: skip
    assert found.cost < 1e-9 * found.start_cost
    focal_error = (found.camera.intrinsics / camera.intrinsics)[:, :2] - 1
    assert focal_error.abs().max() < 1e-4
    turn = found.camera.rotation @ found.camera.rotation[0].mT
    torch.testing.assert_close(turn, camera.rotation @ camera.rotation[0].mT, rtol=0, atol=1e-5)
    shape = bone_lengths(found.joints, BODY)[:, 1:] / bone_lengths(joints, BODY)[:, 1:]
    assert shape.std() < 1e-4  # one scale for all


def test_the_kernel_lets_go_of_gross_errors():
    camera, joints = cameras(4), walk(10)
    keypoints = see(camera, joints)
    keypoints[1, :, 3] += 80
    frozen = Freedom(extrinsics=False)
    far = {}
    for kernel in ("huber", "cauchy"):
        options = BundleOptions(sigma=1.0, kernel=kernel)
        found = adjust_bundle(
            camera, joints + 10 * draw(*joints.shape), keypoints, torch.ones(4, 10, 5),
            options=options, freedom=frozen,
        )  # fmt: skip
        far[kernel] = float((found.joints - joints)[:, 3].norm(dim=-1).max())
        assert torch.equal(found.camera.position, camera.position)
        assert found.factors[1, :, 3].max() < 0.2 < 0.9 < found.factors[0, :, :3].min()
    assert far["cauchy"] < 3 < far["huber"]


def test_habits_hold_back_noise_and_frames_of_one_or_two_are_solved():
    camera, joints, keypoints, weights = problem(frames=40, missing=False)
    frozen = Freedom(extrinsics=False)
    plain, held = (
        adjust_bundle(camera, joints, keypoints, weights, BODY, options, frozen).joints
        for options in (
            BundleOptions(sigma=3.0),
            BundleOptions(sigma=3.0, bones=0.05, symmetry=0.02, acceleration=0.1),
        )
    )
    error = [(found - walk(40)).norm(dim=-1).mean() for found in (plain, held)]
    assert error[1] < 0.8 * error[0]
    spread = [bone_lengths(found, BODY)[:, 1:].std(0).mean() for found in (plain, held)]
    assert spread[1] < 0.5 * spread[0]
    for frames in (1, 2):
        few = (joints[:frames], keypoints[:, :frames], weights[:, :frames])
        found = adjust_bundle(camera, *few, BODY, ALL, frozen)
        assert found.cost < found.start_cost


def test_joints_that_one_view_sees_stay_and_no_answer_is_worse():
    camera, joints, keypoints, weights = problem()
    joints[3, 4] = torch.nan
    found = adjust_bundle(camera, joints, keypoints, weights, BODY, ALL)
    assert found.cost < found.start_cost
    assert found.accepted > 0
    assert torch.equal(found.joints[2, 3], joints[2, 3])
    assert found.joints[3, 4].isnan().all()
    assert found.joints.isfinite().all(-1).sum() == 19
    assert (found.factors[:, 3, 4] == 0).all()


def test_errors():
    camera, joints, keypoints, weights = problem()
    with pytest.raises(ConfigError, match="expected a skeleton with a weight of bones"):
        adjust_bundle(camera, joints, keypoints, weights, options=ALL)
    bare = Camera(intrinsics=camera.intrinsics, size=camera.size)
    with pytest.raises(ConfigError, match="expected cameras with rotation and position"):
        adjust_bundle(bare, joints, keypoints, weights)
    with pytest.raises(ShapeError, match="expected keypoints of shape"):
        adjust_bundle(camera, joints, keypoints[:2], weights)
    with pytest.raises(ConfigError, match="unknown kernel 'hubert'; did you mean 'huber'"):
        BundleOptions(kernel="hubert")
    with pytest.raises(ConfigError, match="expected sigma above 0, got 0"):
        BundleOptions(sigma=0)
    with pytest.raises(ConfigError, match="unknown focal 'shard'; did you mean 'shared'"):
        Freedom(focal="shard")
