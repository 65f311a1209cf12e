"""DiffPose's guidance: energies of test-time optimisation that lead the sampling."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lifting.batch import PoseBatch, flip_batch, flip_pose
from lifting.errors import ConfigError
from lifting.experiment.load import load_experiment, method_config
from lifting.geometry.camera import normalize_screen, pixels_to_rays, undistort_rays
from lifting.geometry.root import solve_root
from lifting.methods.diffpose.config import Config, GuidanceConfig
from lifting.methods.diffpose.guidance import Guide
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import Encoded
from lifting.methods.settings import ModuleSettings
from lifting.nn.hypotheses import projection_errors, weighted_keypoints
from lifting.skeleton import H36M_17
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

SMALL = Config(hidden=16, layers=2, hypotheses=3)
FORMS = {
    "default": SMALL,
    "eps": replace(SMALL, prediction="eps", beta_end=0.02),
    "fresh": replace(SMALL, eta=0.5, aggregation="posterior"),
    "released": replace(
        SMALL, representation="uvxyz", conditioning="none", centre="origin", uv_scale=0.5,
        xyz_scale=1.0, beta_end=1e-3, prediction="eps", init="context_point", sampling_steps=2,
        start_level=24,
    ),
    "paper": replace(
        SMALL, forward_noise="gmm", mixture="synthetic", init="mixture", conditioning="add",
        conditioning_on="feature",
    ),
    "student": replace(SMALL, student="consistency", student_steps=2),
}  # fmt: skip
PROJECTION = GuidanceConfig(weight_projection=1.0)
ALL = GuidanceConfig(weight_projection=1.0, weight_bone=0.3, weight_symmetry=0.2)


def make_module(form="default", guidance=PROJECTION, **settings):
    """A module whose denoiser does something, and whose poses are of human size."""
    torch.manual_seed(0)
    config = replace(FORMS[form], guidance=guidance)
    module = Module(config, ModuleSettings("diffpose", **settings)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return module


def near_truth(batch, seed=3):
    """Root-relative poses some centimetres from the labels, ``(8, 17, 3)``, metres."""
    pose = batch.joints_3d[:, 0] / 1000
    pose = pose + 0.04 * torch.randn(pose.shape, generator=torch.Generator().manual_seed(seed))
    return pose - pose[:, :1]


def lift_well(module, batch):
    """A module whose context encoder answers poses near the truth."""
    encoded = Encoded(near_truth(batch), torch.zeros(8, 17, module.config.hidden))
    module.network._encode = lambda _: encoded
    return module


def guide_of(batch, guidance):
    sizes = batch.camera.size
    return Guide(guidance, weighted_keypoints(batch, "middle"), sizes, H36M_17)


def hypotheses(module, batch):
    with torch.no_grad():
        return module.predict(batch).hypotheses


# --- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_projection": -1.0}, "method.guidance.weight_projection to be not negative"),
        ({"step_mm": 0.0}, "method.guidance.step_mm to be above 0, got 0.0"),
        ({"moves": 0}, "method.guidance.moves to be at least 1"),
        ({"first_step": 2, "last_step": 1}, "guidance.last_step to be at least first_step=2"),
    ],
)
def test_guidance_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        GuidanceConfig(**change)


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="guidance to be without weights with process 'once'"):
        Config(process="once", guidance=PROJECTION)
    late = replace(PROJECTION, first_step=1)
    assert Config(sampling_steps=2, guidance=late).guidance.is_on
    with pytest.raises(ConfigError, match=r"first_step to be below the number of .* steps, 1"):
        Config(sampling_steps=1, guidance=late)
    with pytest.raises(ConfigError, match=r"first_step to be below the number of .* steps, 1"):
        Config(student="consistency", guidance=late)


def test_guidance_is_an_override():
    overrides = ["method.guidance.weight_projection=1", "method.guidance.last_step=1"]
    guidance = method_config(load_experiment("diffpose", overrides).method).guidance
    assert guidance == replace(PROJECTION, last_step=1)
    assert not Config().guidance.is_on
    with pytest.raises(ConfigError, match=r"unknown key 'method.guidance.weight_bones'"):
        load_experiment("diffpose", ["method.guidance.weight_bones=1"])
    with pytest.raises(ConfigError, match="moves to be at least 1"):
        load_experiment("diffpose", ["method.guidance.moves=0"])


# --- one move --------------------------------------------------------------------------------


def test_symmetry_moves_along_the_bones(make_batch):
    """Left and right differ in the forearm alone: its ends move along it, by hand."""
    pose = torch.zeros(8, 17, 3)
    for child, parent in enumerate(H36M_17.parents[1:], start=1):
        bone = torch.tensor([0.1, 0.0, 0.0])
        pose[:, child] = pose[:, parent] + (1.5 * bone if child == 13 else bone)
    symmetry = GuidanceConfig(weight_symmetry=1.0, step_mm=4.0)
    moves = guide_of(make_batch(), symmetry).around(pose, 1)(pose, 0)
    # |150 mm - 100 mm| counts for both sides, a twelfth each: the left elbow and wrist part, the
    # right ones come together. With unit vectors u at each of four joints the gradient is
    # (-u, u, u, -u) / 6 per metre, so all four move alike.
    wanted = torch.zeros(17, 3)
    alike = 4e-3 * (17 / 4) ** 0.5  # 4 mm, root mean square of 17 joints of which four move
    wanted[12, 0], wanted[13, 0], wanted[15, 0], wanted[16, 0] = alike, -alike, -alike, alike
    torch.testing.assert_close(moves, wanted.expand(8, -1, -1), rtol=1e-4, atol=1e-7)


def test_a_step_does_not_go_beyond_where_the_energy_would_be_zero(make_batch):
    pose = torch.zeros(8, 17, 3)
    for child, parent in enumerate(H36M_17.parents[1:], start=1):
        bone = torch.tensor([0.1, 0.0, 0.0])
        pose[:, child] = pose[:, parent] + (1.01 * bone if child == 13 else bone)
    symmetry = GuidanceConfig(weight_symmetry=1.0, step_mm=100.0)
    moved = pose + guide_of(make_batch(), symmetry).around(pose, 1)(pose, 0)
    left, right = (moved[:, a] - moved[:, b] for a, b in ((13, 12), (16, 15)))
    torch.testing.assert_close(left.norm(dim=-1), right.norm(dim=-1), rtol=0, atol=1e-6)


def objective(pose, context, batch, guidance):
    """The weighted energies of poses in mm, written down once more, in double precision."""
    camera, size = batch.camera.intrinsics.double()[:, None], batch.camera.size.double()[:, None]
    uv, weight = batch.keypoints_2d.double()[:, 0], batch.confidence.double()[:, 0]
    rays = undistort_rays(pixels_to_rays(uv, camera[:, 0]), camera[:, 0])
    pose = pose - pose[:, :1]
    placed = pose + solve_root(pose, rays, weight)[:, None]
    pixels = torch.stack([projected(p, c[0]) for p, c in zip(placed, camera, strict=True)])
    distance = (normalize_screen(pixels, size[:, 0]) - normalize_screen(uv, size[:, 0])).norm(
        dim=-1
    )
    parents = torch.tensor(H36M_17.parents[1:])
    length, first = ((p[:, 1:] - p[:, parents]).norm(dim=-1) / 1000 for p in (pose, context))
    left, right = (torch.tensor(side) - 1 for side in (H36M_17.left, H36M_17.right))
    return (
        guidance.weight_projection * (weight * distance).sum(-1) / weight.sum(-1)
        + guidance.weight_bone * (length - first).abs().mean(-1)
        + guidance.weight_symmetry * (length[:, left] - length[:, right]).abs().mean(-1)
    )


def projected(points, camera):
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = camera
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    r = x * x + y * y
    factor = 1 + k1 * r + k2 * r**2 + k3 * r**3 + p1 * x + p2 * y
    return torch.stack((fx * (x * factor + p1 * r) + cx, fy * (y * factor + p2 * r) + cy), -1)


def test_a_move_goes_down_the_gradient_of_the_weighted_energies(make_batch):
    """By finite differences of an objective of its own."""
    batch = make_batch()
    context, pose = near_truth(batch), near_truth(batch, seed=4)
    generator = torch.Generator().manual_seed(5)
    batch.confidence = 0.2 + 0.8 * torch.rand(8, 1, 17, generator=generator)
    moves = guide_of(batch, ALL).around(context, 1)(pose, 0)
    at = 1000 * pose.double()
    gradient = torch.zeros_like(at)
    for joint in range(1, 17):  # the root stays
        for axis in range(3):
            step = torch.zeros_like(at)
            step[:, joint, axis] = 1e-3
            above, below = (
                objective(at + sign * step, 1000 * context.double(), batch, ALL)
                for sign in (1, -1)
            )
            gradient[:, joint, axis] = (above - below) / 2e-3
    size = gradient.square().sum(-1).mean(-1).sqrt()[:, None, None]
    wanted = -5 * gradient / size / 1000
    torch.testing.assert_close(moves, wanted.float(), rtol=2e-3, atol=2e-6)
    lower = objective(at + 100 * moves.double(), 1000 * context.double(), batch, ALL)
    assert (lower < objective(at, 1000 * context.double(), batch, ALL)).all()


def test_keypoints_count_by_their_confidence(make_batch):
    batch = make_batch()
    pose = near_truth(batch)
    batch.confidence = torch.ones(8, 1, 17)
    batch.confidence[:, :, 5] = 0
    moves = guide_of(batch, PROJECTION).around(pose, 1)(pose, 0)
    assert (moves[:, 5] == 0).all()
    assert (moves[:, [4, 6]].norm(dim=-1) > 0).all()
    spoiled = replace(batch, keypoints_2d=batch.keypoints_2d.clone())
    spoiled.keypoints_2d[:, :, 5] += 100
    assert torch.equal(guide_of(spoiled, PROJECTION).around(pose, 1)(pose, 0), moves)
    batch.confidence[:, :, 3:] = 0  # three keypoints do not fix where a pose stands
    assert (guide_of(batch, PROJECTION).around(pose, 1)(pose, 0) == 0).all()


def test_a_camera_that_cannot_be_projected_with_moves_nothing(make_batch):
    batch = make_batch()
    pose = near_truth(batch)
    wanted = guide_of(batch, ALL).around(pose, 1)(pose, 0)
    batch.camera.intrinsics[2] = torch.nan
    moves = guide_of(batch, ALL).around(pose, 1)(pose, 0)
    wanted[2] = 0
    assert torch.equal(moves, wanted)


# --- in the sampler --------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_zero_weights_answer_to_the_bit_as_without(form, make_batch, monkeypatch):
    batch = make_batch()
    plain = hypotheses(make_module(form, GuidanceConfig(step_mm=100.0, moves=3)), batch)
    monkeypatch.setattr(Module, "_guide", lambda *_: None)
    assert torch.equal(hypotheses(make_module(form), batch), plain)


@pytest.mark.parametrize("form", FORMS)
def test_guided_poses_explain_the_keypoints_better(form, make_batch):
    batch = make_batch()
    evidence = weighted_keypoints(batch, "middle")
    errors = []
    for weight in (0.0, 1.0):
        guidance = GuidanceConfig(weight_projection=weight, step_mm=20.0, moves=3)
        module = lift_well(make_module(form, guidance), batch)
        answer = hypotheses(module, batch).transpose(0, 1)
        assert (answer[..., 0, :] == 0).all()
        errors.append(projection_errors(answer, evidence).mean(-1))
    assert (errors[1] < errors[0]).all()


@pytest.mark.parametrize("guidance", [GuidanceConfig(weight_bone=1.0, step_mm=20.0, moves=5)])
def test_guided_bones_keep_the_context_poses_length(guidance, make_batch):
    batch, parents = make_batch(), torch.tensor(H36M_17.parents[1:])
    module, plain = make_module(guidance=guidance), make_module(guidance=GuidanceConfig())

    def changes(module):
        with torch.no_grad():
            answer = module.predict(batch)
        poses = answer.hypotheses, answer.extras["context"][:, None]
        ours, first = ((p[..., 1:, :] - p[..., parents, :]).norm(dim=-1) for p in poses)
        return (ours - first).abs().mean(-1)

    assert (changes(module) < 0.8 * changes(plain)).all()


@pytest.mark.parametrize("form", ["default", "fresh", "released"])
def test_in_the_last_step_the_answer_itself_is_moved(form, make_batch):
    batch = make_batch()
    steps = len(make_module(form).network.steps)
    plain = hypotheses(make_module(form, GuidanceConfig()), batch)
    last = replace(ALL, first_step=steps - 1)
    module = make_module(form, last)
    guided = hypotheses(module, batch)
    size = (guided - plain).square().sum(-1).mean(-1).sqrt()
    assert ((size > 0.1) & (size < 5.001)).all()
    with torch.no_grad():
        context = module.predict(batch).extras["context"][:, 0] / 1000
    copies = module.network.drawn
    poses = plain[:, :copies, 0].transpose(0, 1).flatten(0, 1) / 1000
    moves = guide_of(batch, ALL).around(context, copies)(poses, 0)
    wanted = poses + moves.detach()
    got = guided[:, :copies, 0].transpose(0, 1).flatten(0, 1) / 1000
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=2e-5)


def test_guidance_acts_in_its_steps_only(make_batch):
    batch, states = make_batch(), {}
    for name, guidance in {
        "none": GuidanceConfig(),
        "first": replace(PROJECTION, last_step=0),
        "second": replace(PROJECTION, first_step=1, last_step=1),
    }.items():
        module, seen = make_module(guidance=guidance), []
        module.network.denoiser.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0])
        )
        hypotheses(module, batch)
        states[name] = seen
    same = {
        name: [torch.equal(a, b) for a, b in zip(seen, states["none"], strict=True)]
        for name, seen in states.items()
    }
    assert same["first"] == [True, False, False]
    assert same["second"] == [True, True, False]


@pytest.mark.parametrize("form", ["default", "student"])
def test_samples_and_hypotheses_are_moved_on_their_own(form, make_batch):
    batch = make_batch()
    alone = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[3:4], camera=batch.camera[3:4]
    )
    module = make_module(form, ALL)
    together = hypotheses(module, batch)
    torch.testing.assert_close(hypotheses(module, alone), together[3:4], rtol=1e-5, atol=0.02)
    pose = torch.stack((near_truth(batch), near_truth(batch, seed=4)))
    guide = guide_of(batch, ALL)
    both = guide.around(pose[0], 2)(pose.flatten(0, 1), 0)
    for half, one in zip(both.chunk(2), pose, strict=True):
        assert torch.equal(half, guide.around(pose[0], 1)(one, 0))


def test_labels_are_not_read(make_batch):
    module, batch = make_module(guidance=ALL), make_batch()
    blind = replace(batch, joints_3d=None)
    assert torch.equal(hypotheses(module, batch), hypotheses(module, blind))


def test_every_frame_of_a_window_is_moved_on_its_own(make_batch):
    batch = make_batch(frames=3, targets=3)
    every = make_module(guidance=ALL, frames=3, target="all")
    middle = make_module(guidance=ALL, frames=3)
    together, one = hypotheses(every, batch), hypotheses(middle, batch)
    torch.testing.assert_close(together[:, :, 1:2], one, rtol=1e-5, atol=0.02)


def test_mirrored_average_commutes_with_mirroring(make_batch):
    module, batch = make_module(guidance=ALL, flip_test=True), make_batch()
    with torch.no_grad():
        plain = module.infer(batch).joints_3d
        mirrored = module.infer(flip_batch(batch, H36M_17)).joints_3d
    torch.testing.assert_close(flip_pose(mirrored, H36M_17), plain, rtol=1e-4, atol=0.05)


def test_guidance_in_inference_mode_and_in_half_precision(make_batch):
    module, batch = make_module(guidance=ALL), make_batch()
    wanted = hypotheses(module, batch)
    with torch.inference_mode():
        inside = module.predict(make_batch()).hypotheses
    assert torch.equal(inside, wanted)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module.predict(batch).hypotheses
    torch.testing.assert_close(mixed.float(), wanted, rtol=0.05, atol=60)


class Waits(TorchDispatchMode):
    """Counts the operations whose result the host has to look at."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_guidance_never_waits_for_the_device(make_batch):
    batch, seen = make_batch(), []
    for guidance in (GuidanceConfig(), replace(ALL, moves=3)):
        module = make_module(guidance=guidance)
        with Waits() as mode:
            hypotheses(module, batch)
        seen.append(mode.seen)
    assert seen[0] == seen[1]


# --- test-time optimisation ------------------------------------------------------------------


@pytest.mark.parametrize("latent", ["conditioning", "noise"])
def test_guided_decoding_is_differentiable_around_the_moves(latent, make_batch):
    batch = make_batch()
    module = make_module(guidance=replace(ALL, first_step=2))
    module.config.tto_latent = latent
    latents = {k: v.clone().requires_grad_() for k, v in module.encode(batch).items()}
    decoded = module.decode(latents, batch)
    with torch.no_grad():
        answer = module.predict(batch).joints_3d
        torch.testing.assert_close(decoded.pose, answer, rtol=0, atol=1e-3)
    gradients = []
    for guidance in (replace(ALL, first_step=2), GuidanceConfig()):
        module.config.guidance = guidance
        pose = module.decode(latents, batch).pose
        (gradient,) = torch.autograd.grad(pose[2].sum(), list(latents.values()))
        gradients.append(gradient)
    # In the last step the moves are constants: the slope is that of the unguided answer.
    torch.testing.assert_close(*gradients)
    assert gradients[0][2].abs().sum() > 0
    assert (gradients[0][torch.arange(8) != 2] == 0).all()
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("form", ["default", "student"])
def test_guided_answers_can_be_optimised(form, make_batch):
    module, batch = make_module(form, flip_test=True), make_batch()
    with torch.no_grad():
        answer = module.infer(batch).joints_3d
    config = TtoConfig(lr=1e-4, iterations=3, weight_anchor=5e-4)
    result = refine(module, batch, config, flip=True)
    torch.testing.assert_close(result.start, answer, rtol=1e-5, atol=1e-2)
    assert (result.after < result.before).all()
