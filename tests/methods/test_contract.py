"""What every method says of itself: how an answer came about, and whether the camera tells."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest
import torch
from torch import Tensor

from lifting.batch import Prediction
from lifting.experiment.build import make_module
from lifting.experiment.claims import uses_camera
from lifting.methods.base import LiftingModule
from lifting.methods.diffpose import config as diffpose
from lifting.methods.discovery import load_config_class, load_module_class, method_names
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.methods.nbf.config import FITTING
from lifting.methods.settings import ModuleSettings, Stage
from lifting.tto.config import TtoConfig
from lifting.tto.refine import refine

PLAIN = {"hypotheses": 1, "steps": None, "aggregation": None}
PLAINLY = (
    "mixste", "motionagformer", "motionbert", "simple_baseline", "uao", "videopose3d",
    "tiny_method",
)  # fmt: skip
DIFFPOSE = {
    "hidden": 8, "layers": 2, "heads": 2, "dropout": 0.0, "inner_dropout": 0.0,
    "sampling_steps": 3, "start_level": 6, "diffusion_steps": 6, "student_stride": 2,
}  # fmt: skip
IMAGES = {"depth": 18, "width": 4, "head_width": 8, "depth_cells": 4, "patch": 32}
SMALL = {
    "diffpose": DIFFPOSE,
    "epipolarpose": IMAGES,
    "epipolar_student": {"base": {"name": "simple_baseline", "channels": 8}},
    "refinement": {"base": {"name": "epipolarpose", **IMAGES}, "width": 8},
    "motionagformer": {"width": 8, "layers": 1, "heads": 2, "representation": 8},
    "motionbert": {"width": 8, "depth": 1, "heads": 2, "representation": 8},
    "nbf": {"body": "light", "features": 8, "clutter": 16},
    "fmpose3d": {"width": 8, "layers": 1, "heads": 2, "perceptron": 8},
    "d3dp": {"width": 8, "layers": 1, "heads": 2, "hypotheses": 3, "sampling_steps": 2},
    "mixste": {"width": 8, "layers": 1, "heads": 2},
    "simple_baseline": {"channels": 8},
    "uao": {},
    "videopose3d": {"filter_widths": (1,), "channels": 8},
    "tiny_method": {},
}
GUIDED = diffpose.GuidanceConfig(weight_projection=1.0, step_mm=20.0)
LED_BY_BONES = diffpose.GuidanceConfig(weight_bone=1.0, step_mm=20.0)


def build(name, **switches):
    """A module with weights that answer something."""
    torch.manual_seed(0)
    config = load_config_class(name)(**{**SMALL[name], **switches})
    module = make_module(config, ModuleSettings(name)).eval()
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return module


def with_images(batch):
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 255, (len(batch), 3, 64, 64), generator=generator)
    where = batch.keypoints_2d[:, 0].mean(1)
    crop = torch.cat((where, torch.full((len(batch), 1), 900.0)), dim=1)
    return replace(batch, image=pictures.to(torch.uint8), crop=crop)


def other_lens(batch):
    """The same with other intrinsics."""
    lens = batch.camera.intrinsics.clone()
    lens[:, :2] *= 1.3
    lens[:, 2:4] += 150
    return replace(batch, camera=replace(batch.camera, intrinsics=lens))


def save(module, path):
    content = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    assert CHECKPOINT_KEY in content
    torch.save(content, path)
    return str(path)


def differs(a: Prediction, b: Prediction) -> bool:
    """Whether any part of two answers does, beyond rounding."""
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(Prediction)]
    pairs += [(a.extras[name], b.extras[name]) for name in a.extras]
    return any(
        not torch.allclose(x, y, rtol=1e-4, atol=1e-2)
        for x, y in pairs
        if isinstance(x, Tensor) and isinstance(y, Tensor)
    )


def test_every_method_answers_for_itself(tiny_method):
    assert {*method_names(), tiny_method} == set(SMALL)
    for name in SMALL:
        module = build(name)
        told = module.describe()
        assert told.keys() >= PLAIN.keys(), name
        assert isinstance(load_module_class(name).uses_camera(module.config), bool)
        if name in PLAINLY:
            assert told == PLAIN, name
    assert LiftingModule.describe(module) == PLAIN


@pytest.mark.parametrize("hypotheses", [1, 5, 20])
@pytest.mark.parametrize("aggregation", ["mean", "median", "best_joint", "best_pose"])
@pytest.mark.parametrize("steps", [2, 3])
def test_diffpose_says_what_it_samples(make_batch, hypotheses, aggregation, steps):
    module = build(
        "diffpose", hypotheses=hypotheses, aggregation=aggregation, sampling_steps=steps
    )
    assert module.describe() == {
        "hypotheses": hypotheses,
        "steps": steps,
        "aggregation": aggregation if hypotheses > 1 else None,
        "answering": "denoiser",
    }
    several = module.predict(make_batch()).hypotheses
    assert hypotheses == (1 if several is None else several.shape[1])


def test_diffpose_counts_the_steps_it_takes():
    """An even spread over 7 levels takes one step more than the two asked for."""
    module = build("diffpose", sampling_steps=2, start_level=7, diffusion_steps=7)
    assert module.describe()["steps"] == len(module.network.levels) == 3


def test_diffpose_copies_are_no_hypotheses():
    module = build("diffpose", hypotheses=5, init="context_point")
    assert module.describe() == {**PLAIN, "steps": 3, "answering": "denoiser"}
    drawn = build("diffpose", hypotheses=5, init="context_point", eta=1.0).describe()
    assert (drawn["hypotheses"], drawn["aggregation"]) == (5, "mean")


@pytest.mark.parametrize(
    ("process", "prediction", "steps"), [("once", "x0", 1), ("stacked", "x0", 3)]
)
def test_diffpose_without_diffusion_draws_nothing(process, prediction, steps):
    module = build("diffpose", process=process, prediction=prediction)
    assert module.describe() == {**PLAIN, "steps": steps, "answering": "denoiser"}


def test_diffpose_says_which_network_answers():
    module = build("diffpose", student="consistency", student_steps=2, hypotheses=5)
    told = {"hypotheses": 5, "aggregation": "mean"}
    assert module.describe() == {**told, "steps": 2, "answering": "student"}
    module.begin_stage(Stage("train"))
    assert module.describe() == {**told, "steps": 3, "answering": "denoiser"}
    module.begin_stage(Stage("context"))
    assert module.describe() == {**PLAIN, "answering": "context encoder"}
    asleep = build("diffpose", student="consistency", student_steps=0)
    assert asleep.describe()["answering"] == "denoiser"


def test_diffpose_says_how_it_is_led_and_weighs():
    told = build("diffpose", aggregation="posterior", guidance=GUIDED).describe()
    assert told["posterior"] == {"sharpness": 0.5, "kept": 0}
    assert told["guidance"]["weight_projection"] == 1.0


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        ({}, {"hypotheses": 2, "aggregation": "rpea", "mirrored": True}),
        ({"hypotheses": 3, "flip": False}, {"hypotheses": 3, "mirrored": False}),
        ({"flip": False, "steps": 1}, {"hypotheses": 1, "steps": 1, "aggregation": None}),
        ({"aggregation": "mean"}, {"hypotheses": 2, "aggregation": "mean"}),
    ],
)
def test_fmpose3d_says_what_it_samples(switches, told, make_batch):
    module = build("fmpose3d", **switches)
    said = module.describe()
    assert said.items() >= {"steps": 3, **told}.items()
    weighs = told.get("aggregation", "rpea") == "rpea"
    assert said.get("rpea") == ({"kept": 8, "temperature": 0.005} if weighs else None)
    several = module.predict(make_batch()).hypotheses
    assert told["hypotheses"] == (1 if several is None else several.shape[1])


def test_methods_on_top_say_what_the_method_below_says(tmp_path):
    assert build("epipolarpose").describe() == {**PLAIN, "root_depth": "that of the box"}
    told = build("epipolar_student").describe()
    assert told == {**PLAIN, "lifter": "simple_baseline", "losses": {"label": 1.0}}
    refined = build("refinement").describe()
    assert refined.items() >= {**PLAIN, "root_depth": "that of the box"}.items()
    sampled = save(build("diffpose", hypotheses=4), tmp_path / "best.ckpt")
    over = build("refinement", over=sampled).describe()
    assert (over["hypotheses"], over["steps"], over["aggregation"]) == (4, 3, "mean")
    assert over["refined_model"].startswith("diffpose")


def test_nbf_says_how_it_fits():
    module = build("nbf", first_steps=7)
    told = module.describe()
    assert told.items() >= PLAIN.items()
    assert set(told["fitting"]) == FITTING
    assert told["fitting"]["first_steps"] == 7


CASES = [
    ("tiny_method", {}, False),
    ("simple_baseline", {}, False),
    ("videopose3d", {}, False),
    ("motionbert", {}, False),
    ("motionagformer", {}, False),
    ("uao", {}, False),
    ("mixste", {}, False),
    ("d3dp", {}, True),
    ("d3dp", {"aggregation": "mean"}, False),
    ("d3dp", {"hypotheses": 1}, False),
    ("diffpose", {}, False),
    ("diffpose", {"aggregation": "median"}, False),
    ("diffpose", {"aggregation": "best_joint"}, True),
    ("diffpose", {"aggregation": "best_pose"}, True),
    ("diffpose", {"aggregation": "posterior"}, True),
    ("diffpose", {"aggregation": "posterior", "hypotheses": 1}, False),
    ("diffpose", {"aggregation": "best_joint", "init": "context_point"}, False),
    ("diffpose", {"guidance": GUIDED}, True),
    ("diffpose", {"guidance": LED_BY_BONES}, False),
    ("diffpose", {"student": "consistency", "student_steps": 2}, False),
    ("diffpose", {"mixture": "confidence", "init": "mixture"}, False),
    ("diffpose", {"process": "once", "prediction": "x0", "aggregation": "best_pose"}, False),
    ("fmpose3d", {}, True),
    ("fmpose3d", {"aggregation": "mean"}, False),
    ("fmpose3d", {"aggregation": "best_joint", "flip": False, "hypotheses": 3}, True),
    ("fmpose3d", {"flip": False}, False),
    ("epipolarpose", {}, True),
    ("epipolar_student", {}, False),
    ("refinement", {}, True),
    ("nbf", {}, True),
]


@pytest.mark.parametrize(("name", "switches", "uses"), CASES)
def test_a_method_says_whether_the_camera_tells(make_batch, tiny_method, name, switches, uses):
    module = build(name, **switches)
    section = {"name": name, **asdict(module.config)}
    assert uses_camera(section) is uses
    batch = with_images(make_batch())
    with torch.no_grad():
        assert differs(module.predict(batch), module.predict(other_lens(batch))) is uses


@pytest.mark.parametrize(("options", "uses"), [({}, True), ({"camera": "orthographic"}, False)])
def test_optimisation_uses_the_camera_of_a_method_that_does_not(make_batch, options, uses):
    config = TtoConfig(enabled=True, lr=1e-2, **options)
    assert config.uses_camera is uses
    assert not TtoConfig(**options).uses_camera
    module, batch = build("simple_baseline"), make_batch()
    first = refine(module, batch, config, targets=1).pose
    second = refine(module, other_lens(batch), config, targets=1).pose
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-2) is not uses


@pytest.mark.parametrize("aggregation", ["mean", "best_pose"])
def test_a_refinement_uses_the_camera_as_the_model_below_does(tmp_path, aggregation):
    path = save(build("diffpose", aggregation=aggregation), tmp_path / "best.ckpt")
    uses = uses_camera({"name": "refinement", "over": path})
    assert uses is (aggregation == "best_pose")
