"""Every method is built for every skeleton, or says in words why not and what to do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from lifting.batch import PoseBatch, flip_batch, flip_pose
from lifting.errors import ConfigError
from lifting.experiment.build import build_settings, make_module
from lifting.experiment.load import load_experiment, method_config
from lifting.geometry.camera import Camera, project
from lifting.methods.discovery import load_config_class, load_module_class, method_names
from lifting.methods.epipolarpose.config import Config as EpipolarConfig
from lifting.methods.epipolarpose.student import Student
from lifting.methods.settings import ModuleSettings
from lifting.nn.graph import centre_joint, partitioned_adjacency
from lifting.skeleton import SKELETONS, Skeleton, get_skeleton
from lifting.tto.callback import TestTimeOptimization
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SAMPLES = 4
# Methods by the experiments of their names, and further methods and networks by others.
FORMS: dict[str, tuple[str, ...]] = {
    **{n: () for n in method_names() if (EXPERIMENTS / f"{n}.yaml").is_file()},
    "diffpose_paper": ("method.hidden=16", "method.layers=1", "method.sampling_steps=2"),
    "diffpose_released": ("method.hidden=16", "method.layers=1"),
    "diffpose_video": ("method.context_width=16", "method.context_layers=1", "data.frames=3"),
    "epipolarpose_image": (),
    "epipolarpose_image_refined": ("method.joints=all",),
}
LIFTERS = (
    "d3dp", "diffpose", "fmpose3d", "mixste", "motionagformer",
    "motionbert", "simple_baseline", "uao", "videopose3d",
)  # fmt: skip
SMALL = {
    "diffpose": ("method.hidden=16", "method.layers=1"),
    "fmpose3d": ("method.heads=2", "method.temperature=1.0"),
    "simple_baseline": ("method.channels=16",),
    "uao": ("method.hidden=16", "method.blocks=1"),
    "videopose3d": ("method.channels=16",),
}
ROOTED = tuple(
    name
    for name, skeleton in SKELETONS.items()
    if {"hip", "pelvis"} & set(skeleton.joints[skeleton.root].split("_"))
)
OTHERS = ("humaneva15", "mpi17")
WITHOUT_HIP = ("coco17", "coco18", "mediapipe33", "posetrack17", "kinect25", "wholebody133")
# All with a hip, and of those without one some whose root is the nose, a neck or a spine.
TRIED = (*ROOTED, *WITHOUT_HIP)


@cache
def small(experiment):
    """An experiment with its smoke overlay; reading one takes longer than building its module."""
    overrides = [*FORMS[experiment], *SMALL.get(experiment, ())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
        return load_experiment(experiment, ["extends=overlay/smoke", *overrides])


@pytest.fixture
def build():
    """Makes the module of an experiment for a skeleton, before its training."""

    def make(experiment, skeleton):
        config = small(experiment)
        settings = replace(build_settings(config), skeleton=skeleton, flip_test=False)
        torch.manual_seed(0)
        module = make_module(method_config(config.method), settings)
        with torch.no_grad():  # heads that start at zero would answer zero, whatever they see
            for parameter in module.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return module

    return make


@pytest.fixture
def people():
    """Makes a batch that has what a module may ask for: keypoints, labels, pictures."""

    def make(module):
        settings, joints = module.settings, len(module.skeleton)
        generator = torch.Generator().manual_seed(0)
        place = 300 * torch.randn(SAMPLES, settings.frames, joints, 3, generator=generator)
        place[..., 2] += 4500
        camera = Camera(
            intrinsics=torch.tensor([1145.0, 1143, 512, 515, 0, 0, 0, 0, 0]).repeat(SAMPLES, 1),
            size=torch.tensor([1000.0, 1002.0]).repeat(SAMPLES, 1),
        )
        middle, side = settings.frames // 2, settings.image_size or 32
        shown = (SAMPLES, 3, side, side)
        return PoseBatch(
            skeleton=module.skeleton,
            keypoints_2d=project(place, camera.intrinsics[:, None]),
            confidence=torch.rand(SAMPLES, settings.frames, joints, generator=generator),
            joints_3d=place if settings.target == "all" else place[:, middle, None],
            image=torch.randint(0, 256, shown, generator=generator, dtype=torch.uint8),
            crop=torch.tensor([500.0, 501.0, 1000.0]).repeat(SAMPLES, 1),
            camera=camera,
        )

    return make


def predicted(module, batch):
    """Answer of the whole module, as it is after its last stage."""
    for stage in module.stages():
        module.begin_stage(stage)
    with torch.no_grad():
        return module.eval().infer(batch)


@pytest.mark.parametrize("skeleton", TRIED)
@pytest.mark.parametrize("experiment", FORMS)
def test_is_built_and_answers_or_refuses_in_words(experiment, skeleton, build, people):
    refusal = None
    try:
        module = build(experiment, skeleton)
    except ConfigError as error:
        refusal = str(error)
    if refusal is not None:
        assert skeleton != "h36m17"
        assert skeleton not in ROOTED or experiment not in LIFTERS
        assert refusal.startswith("expected")
        assert f"got {skeleton}" in refusal
        assert "set data.skeleton=h36m17 to convert the data" in refusal
        return
    assert skeleton in ROOTED
    batch = people(module)
    answer = predicted(module, batch).joints_3d
    assert answer.shape == batch.joints_3d.shape
    assert answer.isfinite().all()
    assert (answer[..., module.skeleton.root, :] == 0).all()
    others = [j for j in range(len(module.skeleton)) if j != module.skeleton.root]
    assert (answer[..., others, :].abs().amax(-1) > 0).all()


def test_the_root_of_every_method_is_a_hip():
    refused = [name for name in SKELETONS if name not in ROOTED]
    assert set(WITHOUT_HIP) < set(refused)
    assert not any(get_skeleton(name).has_hip for name in refused)
    assert all(get_skeleton(name).has_hip for name in ROOTED)
    lopsided = Skeleton(
        "lopsided", ("left_hip", "right_hip"), (-1, 0), (("left_hip", "right_hip"),)
    )
    with pytest.raises(ConfigError, match=r"root is the hip, not the left_hip, got lopsided"):
        load_module_class("simple_baseline")(
            load_config_class("simple_baseline")(channels=8),
            ModuleSettings("simple_baseline", skeleton=lopsided.plain()),
        )


@pytest.mark.parametrize("skeleton", OTHERS)
@pytest.mark.parametrize("method", LIFTERS)
def test_learns_other_joints(method, skeleton, build, people, without_trainer):
    module = without_trainer(build(method, skeleton))
    batch = people(module)
    for stage in module.stages():
        module.begin_stage(stage)
        module.train()
        learnt = [p for p in module.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in learnt]
        optimizer = torch.optim.Adam(learnt, lr=1e-3)
        for step in range(2):
            loss = module.training_step(batch, step)
            assert loss.isfinite()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, learnt, strict=True))
    answer = predicted(module, batch).joints_3d
    assert answer.shape == batch.joints_3d.shape
    assert answer.isfinite().all()


@pytest.mark.parametrize("skeleton", OTHERS)
@pytest.mark.parametrize("method", [*LIFTERS, "epipolarpose", "epipolarpose_image"])
def test_mirrored_input_has_the_mirrored_answer(method, skeleton, build, people):
    module = build(method, skeleton)
    batch = people(module)
    mirrored = flip_batch(batch, module.skeleton)
    plain = predicted(module, batch).joints_3d
    turned = flip_pose(predicted(module, mirrored).joints_3d, module.skeleton)
    assert (plain - turned).abs().max() > 1e-2
    module.settings.flip_test = True
    answer = predicted(module, batch).joints_3d
    torch.testing.assert_close(answer, (plain + turned) / 2, rtol=1e-4, atol=1e-2)
    again = flip_pose(predicted(module, mirrored).joints_3d, module.skeleton)
    torch.testing.assert_close(again, answer, rtol=1e-4, atol=1e-2)


def test_the_graph_of_uao_starts_in_the_middle_of_the_trunk():
    centres = {name: centre_joint(get_skeleton(name)) for name in ROOTED}
    assert centres == {
        "h36m17": "spine",
        "mpi17": "spine",
        "mpi28": "spine",
        "humaneva15": "pelvis",
        "body25": "mid_hip",
        "halpe26": "hip",
        "mpii16": "pelvis",
        "smpl24": "spine2",
        "smpl22": "spine1",
        "body19": "neck",
        "h36m16": "spine",
        "halpe68": "neck",
        "halpe136": "neck",
    }
    assert centre_joint(get_skeleton("coco18")) == "neck"
    chain = Skeleton("chain", ("a", "b", "c", "d", "e"), (-1, 0, 1, 2, 3), ())
    assert centre_joint(chain) == "c"
    pair = Skeleton("pair", ("left_a", "right_a"), (-1, 0), (("left_a", "right_a"),))
    assert centre_joint(pair) == "left_a"


@pytest.mark.parametrize("skeleton", ROOTED)
def test_partitions_hold_every_bone_once(skeleton):
    skeleton = get_skeleton(skeleton)
    parts = partitioned_adjacency(skeleton) != 0
    joints, bones, pairs = len(skeleton), len(skeleton) - 1, 2 * len(skeleton.mirror)
    assert parts.sum((1, 2)).tolist() == [joints, bones, bones, pairs]
    assert torch.equal(parts[1], parts[2].t())
    centre = skeleton.index(centre_joint(skeleton))
    # Seen from any joint but the centre, one bone leads towards it.
    assert parts[2].sum(0).tolist() == [int(j != centre) for j in range(joints)]


def test_a_head_of_other_joints_needs_a_conversion():
    config = EpipolarConfig(depth=18, width=4, head_width=4, depth_cells=4, joints="mpii16")
    for name in ("h36m17", "mpii16"):
        assert len(Student(config, get_skeleton(name)).rows) == 16
    with pytest.raises(ConfigError, match=r"h36m17 or mpii16 with .*, got mpi17; set data.skel"):
        Student(config, get_skeleton("mpi17"))


@pytest.mark.parametrize("skeleton", [*OTHERS, "smpl24"])
def test_is_optimised_at_test_time(skeleton, build, people, without_trainer):
    module = without_trainer(build("uao", skeleton)).eval()
    batch = people(module)
    before = predicted(module, batch)
    start = before.joints_3d.clone()
    for options in ({"anchor_root": False}, {"optimizer": "gauss_newton", "flip": True}):
        callback = TestTimeOptimization(TtoConfig(enabled=True, lr=1e-2, **options))
        prediction = replace(before, joints_3d=start.clone(), extras={})
        callback.on_test_batch_end(None, module, prediction, batch, 0)
        result = callback.last
        assert (result.status < Status.UNOBSERVED).all()
        assert (result.after <= result.before).all()
        assert (result.after < result.before).any()
        assert prediction.joints_3d.isfinite().all()
        assert (prediction.joints_3d[..., module.skeleton.root, :] == 0).all()
        assert prediction.trajectory.shape == (SAMPLES, 1, 3)
