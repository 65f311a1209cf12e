"""The optimisers of latents, and leaving behind the samples that stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from lifting.errors import ConfigError
from lifting.skeleton import H36M_17
from lifting.tto import objective as objectives
from lifting.tto.adapter import Decoder
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Decoded, Packable, Status
from lifting.tto.objective import Evaluation, Objective
from lifting.tto.observe import observe
from lifting.tto.optimizer import Optimiser, minimise
from lifting.tto.refine import refine
from lifting.tto.steppers import FlatLatents, GaussNewton

DESCENT = ["lbfgs", "gauss_newton"]
EVERY = ["adam", "short_adam", *DESCENT]
FAR = {"iterations": 8, "lr": 3e-3}


class Recorded(nn.Module):
    """A method's 2D input as the latent; the rows of every pass and the iterates are kept."""

    skeleton = H36M_17

    def __init__(self, lifter, sigma=None):
        super().__init__()
        self.lr_scale = {}
        self.lifter, self.sigma = lifter, sigma
        self.rows, self.latents = [], []

    def encode(self, batch):
        return {"uv": batch.keypoints_2d / 500}

    def decode(self, latents, batch):
        self.rows.append(len(batch))
        if latents["uv"].requires_grad or not torch.is_grad_enabled():
            self.latents.append(latents["uv"])  # not in the passes of forward differentiation
        answer = self.lifter.predict(replace(batch, keypoints_2d=500 * latents["uv"]))
        log_sigma = None
        if self.sigma is not None:
            log_sigma = self.sigma + answer.joints_3d.norm(dim=-1) / 1000
        return Decoded(answer.joints_3d, log_sigma)


def bowl(stretch):
    """A smooth objective of its own optimum for every sample: a stretched square of a distance."""
    centre = torch.randn(len(stretch), 6, generator=torch.Generator().manual_seed(2))

    def evaluate(latents):
        z = latents["z"]
        energy = (stretch[:, None] ** torch.arange(6) * (z - centre).square()).sum(1) / 2
        still = torch.zeros(len(z), 1, 1)
        return Evaluation(energy, z[:, None], still, still, energy.detach(), energy.long())

    return evaluate


# Steps.


@pytest.mark.parametrize("optimizer", DESCENT)
@pytest.mark.parametrize("root", ["gt", "solve", "latent"])
def test_the_objective_falls(people, optimizer, root):
    batch, module = people
    config = TtoConfig(optimizer=optimizer, root=root, history=True, **FAR)
    result = refine(module, batch, config)
    adam = refine(module, batch, TtoConfig(root=root, **FAR))
    assert ((result.before - result.after) > 0.5 * (adam.before - adam.after)).all()
    assert (result.residual_after < result.residual_before).all()
    torch.testing.assert_close(result.history.amin(0), result.after)
    assert (result.status == Status.MOVED).all()


@pytest.mark.parametrize("optimizer", DESCENT)
@pytest.mark.parametrize("lr", [1e-3, 1.0])
def test_no_step_is_longer_than_the_learning_rate(people, optimizer, lr):
    batch, module = people
    method = Recorded(module)
    result = refine(method, batch, TtoConfig(optimizer=optimizer, iterations=3, lr=lr))
    first, *tried = method.latents
    assert len(tried) == 3
    for count, z in enumerate(tried, 1):
        assert (z - first).abs().amax() < 1.001 * count * lr
    assert (result.after <= result.before).all()
    assert (result.after < result.before).any()


@pytest.mark.parametrize("optimizer", DESCENT)
@pytest.mark.parametrize("flip", [False, True])
def test_a_sample_alone_is_as_in_its_batch(people, optimizer, flip):
    batch, module = people
    config = TtoConfig(optimizer=optimizer, iterations=5, lr=3e-3)
    whole = refine(module, batch, config, flip=flip)
    for i in (0, 4):
        alone = refine(module, batch.rows(slice(i, i + 1)), config, flip=flip)
        torch.testing.assert_close(alone.pose, whole.pose[i, None], rtol=0, atol=0.2)


@pytest.mark.parametrize("optimizer", DESCENT)
def test_broken_neighbours_change_nothing(people, optimizer):
    batch, module = people
    config = TtoConfig(optimizer=optimizer, **FAR)
    clean = refine(module, batch, config)
    batch.keypoints_2d[2] = torch.nan
    batch.confidence[3] = 0
    broken = refine(module, batch, config)
    others = torch.tensor([0, 1, 4, 5])
    torch.testing.assert_close(broken.pose[others], clean.pose[others], rtol=0, atol=1e-3)
    assert (broken.status[[2, 3]] == Status.UNOBSERVED).all()


@pytest.mark.parametrize("optimizer", DESCENT)
def test_a_start_that_is_not_finite_stays(people, optimizer):
    batch, module = people
    predict = module.predict

    def spoilt(rows):
        answer = predict(rows)
        bad = torch.zeros(len(rows), 1, 1, 1)
        bad[1] = torch.nan
        return replace(answer, joints_3d=answer.joints_3d + bad)

    module.predict = spoilt
    result = refine(module, batch, TtoConfig(optimizer=optimizer, **FAR))
    others = torch.tensor([0, 2, 3, 4, 5])
    assert result.status[1] == Status.NOT_FINITE
    assert (result.status[others] == Status.MOVED).all()
    assert (result.after < result.before)[others].all()


@pytest.mark.parametrize("optimizer", EVERY)
def test_no_iterations_change_nothing(people, optimizer):
    batch, module = people
    result = refine(module, batch, TtoConfig(optimizer=optimizer, iterations=0))
    assert torch.equal(result.pose, result.start)


def test_steps_of_short_adam_are_those_of_its_definition():
    stretch, start = torch.tensor([1.0, 2.0]), torch.zeros(2, 6)
    energy = bowl(stretch)
    optimiser = Optimiser(kind="short_adam", iterations=3, lr=0.5, accept=False)
    found = minimise(energy, {"z": start}, optimiser)
    z, first, second = start, 0.0, 0.0
    for k, rate in enumerate((0.5, 1 / 3, 1 / 6), 1):
        z = z.requires_grad_()
        (slope,) = torch.autograd.grad(energy({"z": z}).energy.sum(), z)
        first = 0.2 * first + 0.8 * slope
        second = 0.5 * second + 0.5 * slope**2
        least = slope.abs().mean(1, keepdim=True)
        length = torch.maximum((second / (1 - 0.5**k)).sqrt(), least)
        z = (z - rate * first / (1 - 0.2**k) / length).detach()
    torch.testing.assert_close(found.latents["z"], z)


def test_three_steps_of_short_adam_end_as_low_as_four_of_adam(people):
    batch, module = people
    adam = refine(module, batch, TtoConfig(iterations=4, lr=1e-3))
    short = refine(module, batch, TtoConfig(optimizer="short_adam", iterations=3, lr=3.2e-3))
    assert (short.after <= adam.after).all()
    assert (short.before > short.after).all()


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_short_adam_does_not_depend_on_the_scale_of_the_objective(scale):
    energy, start = bowl(torch.tensor([1.0, 2.0])), {"z": torch.zeros(2, 6)}

    def scaled(latents):
        found = energy(latents)
        return found._replace(energy=scale * found.energy)

    optimiser = Optimiser(kind="short_adam", iterations=3, lr=0.5, accept=False)
    plain, other = (minimise(e, start, optimiser).latents["z"] for e in (energy, scaled))
    torch.testing.assert_close(other, plain, rtol=0, atol=1e-3)


def test_the_first_step_of_lbfgs_is_adams(people):
    batch, module = people
    adam, lbfgs = (
        refine(module, batch, TtoConfig(optimizer=name, iterations=1, lr=2e-3))
        for name in ("adam", "lbfgs")
    )
    torch.testing.assert_close(lbfgs.pose, adam.pose, rtol=0, atol=0.01)


def test_lbfgs_learns_the_curvature_of_each_sample():
    stretch = torch.tensor([1.0, 2.0, 3.0])
    start = {"z": torch.zeros(3, 6)}
    after = {}
    for name in ("adam", "lbfgs"):
        optimiser = Optimiser(kind=name, iterations=40, lr=0.3)
        after[name] = minimise(bowl(stretch), start, optimiser).after
    assert after["lbfgs"].max() < 1e-6
    assert (after["lbfgs"] < 1e-2 * after["adam"]).all()


def test_rejected_steps_of_lbfgs_are_halved():
    """The first step is eight times too long, so three tries are refused."""
    start = {"z": torch.tensor([[1.0]])}

    def evaluate(latents):
        z = latents["z"]
        still = torch.zeros(1, 1, 1)
        return Evaluation(z[:, 0].abs(), z[:, None], still, still, z[:, 0], torch.zeros(1).long())

    optimiser = Optimiser(kind="lbfgs", iterations=4, lr=8.0, history=True)
    found = minimise(evaluate, start, optimiser)
    assert found.history[:, 0].tolist() == [1, 7, 3, 1, 0]
    assert found.iterations.tolist() == [4]
    assert found.latents["z"].tolist() == [[0]]
    assert found.status.tolist() == [Status.MOVED]
    far = minimise(evaluate, start, replace(optimiser, lr=64.0, iterations=9, tolerance=1e-3))
    assert far.iterations.tolist() == [4]
    assert far.status.tolist() == [Status.KEPT]
    assert far.latents["z"].tolist() == [[1]]


def test_the_status_says_how_each_sample_ended():
    """One that moves, one at its optimum, one behind the camera, one held, one without a slope."""
    start = {"z": torch.tensor([[2.0], [0.0], [2.0], [2.0], [torch.nan]])}

    def evaluate(latents):
        z = latents["z"]
        still = torch.zeros(5, 1, 1)
        behind = torch.tensor([0, 0, 1, 0, 0])
        return Evaluation(z[:, 0].square(), z[:, None], still, still, z[:, 0], behind)

    movable = torch.tensor([True, True, True, False, True])
    found = minimise(evaluate, start, Optimiser(iterations=2, lr=0.1), movable=movable)
    assert found.status.tolist() == [
        Status.MOVED, Status.KEPT, Status.BEHIND, Status.UNOBSERVED, Status.NOT_FINITE
    ]  # fmt: skip
    assert found.iterations.tolist() == [2, 2, 2, 0, 0]
    assert (found.after <= found.before)[:4].all()
    assert found.history is None


def test_copies_end_as_the_worst_of_them():
    moved, converged, kept, behind = Status.MOVED, Status.CONVERGED, Status.KEPT, Status.BEHIND
    pairs = [(moved, kept), (kept, kept), (converged, kept), (converged, moved), (kept, behind)]
    found = Status.of_copies(torch.tensor(pairs).T)
    assert found.tolist() == [moved, kept, converged, moved, behind]


def test_gauss_newton_needs_a_sum_of_lengths():
    with pytest.raises(ConfigError, match="expected an energy that is a sum of lengths"):
        minimise(bowl(torch.ones(3)), {"z": torch.zeros(3, 6)}, Optimiser(kind="gauss_newton"))


def test_gauss_newton_needs_few_evaluations(people):
    batch, module = people
    options = {"weight_anchor": 1e-3, "root": "gt"}
    newton = refine(
        module, batch, TtoConfig(optimizer="gauss_newton", iterations=6, lr=1.0, **options)
    )
    for lr in (1e-3, 1e-2):
        adam = refine(module, batch, TtoConfig(iterations=30, lr=lr, **options))
        assert newton.after.mean() < adam.after.mean()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"root": "latent"},
        {"sigma": "initial", "anchor_root": False},
        {"anchor_weighting": "uniform", "camera": "orthographic"},
    ],
)
def test_the_residuals_have_the_gradient_of_the_objective(people, changes, monkeypatch):
    batch, module = people
    module.eval().requires_grad_(False)
    monkeypatch.setattr(objectives, "NEAR_SCREEN", 1e-9)
    monkeypatch.setattr(objectives, "NEAR_ANCHOR", 1e-9)
    config = TtoConfig(weight_anchor=0.03, **changes)
    batch.confidence[:, :, 3:5] = torch.tensor([0.0, 0.4])
    scene = observe(batch, H36M_17, config, 1)
    method = Recorded(module, sigma=3.0)
    objective = Objective(
        lambda latents: method.decode(latents, scene.batch), scene.observations, config, H36M_17
    )
    start = objective.start(method.encode(scene.batch))
    objective(start)
    latents = FlatLatents(start, config.lr, {})
    moved = latents.values + 0.01 * torch.randn(
        latents.values.shape, generator=torch.Generator().manual_seed(3)
    )
    latents.values = moved
    newton = GaussNewton(latents, objective)
    model = newton._linearised()
    pull = newton.lengths.factors(model.residuals) * model.residuals
    moved = moved.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(objective(latents.unpack(moved)).energy.sum(), moved)
    found = (model.jacobian.mT @ pull[..., None])[..., 0]
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)


def test_a_method_that_cannot_be_differentiated_forward_is_named(people):
    batch, module = people

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, slope):
            return slope

    predict = module.predict
    module.predict = lambda rows: predict(
        replace(rows, keypoints_2d=Backward.apply(rows.keypoints_2d))
    )
    refine(module, batch, TtoConfig(optimizer="lbfgs"))
    with pytest.raises(ConfigError, match=r"differentiated forward.*set tto.optimizer=lbfgs"):
        refine(module, batch, TtoConfig(optimizer="gauss_newton"))


def test_long_windows_are_too_much_for_gauss_newton(people):
    batch, module = people
    window = replace(
        batch, keypoints_2d=batch.keypoints_2d.repeat(1, 27, 1, 1), confidence=None, joints_3d=None
    )
    with pytest.raises(ConfigError, match=r"at most 512 numbers a sample.*got 918"):
        refine(module, window, TtoConfig(optimizer="gauss_newton"), targets=27)


# Packing.


@pytest.mark.parametrize("optimizer", EVERY)
@pytest.mark.parametrize(
    ("flip", "stop"),
    [
        (False, {"tolerance": 2.5e-3}),
        (True, {"tolerance": 2e-2}),
        (True, {"tolerance": 2e-2, "root": "latent"}),
    ],
)
def test_packing_changes_no_result(people, optimizer, flip, stop, monkeypatch):
    batch, module = people
    batch.keypoints_2d[4] = torch.nan
    config = TtoConfig(optimizer=optimizer, iterations=14, lr=3e-3, history=True, **stop)
    results, rows = [], []
    for packable in (type(None), Packable):
        monkeypatch.setattr("lifting.tto.optimizer.Packable", packable)
        method = Recorded(module, sigma=3.0)
        results.append(refine(method, batch, config, flip=flip))
        rows.append(method.rows)
    plain, packed = results
    assert set(rows[0]) == {12 if flip else 6}
    assert sum(rows[1]) < sum(rows[0])
    assert min(rows[1]) < min(rows[0])
    assert (plain.status == Status.CONVERGED).any()
    for name, value in plain._asdict().items():
        if name == "latents":
            continue  # copies were averaged
        found = getattr(packed, name)
        atol = 0.05 if name in ("pose", "root") else 1e-4
        torch.testing.assert_close(
            found, value, rtol=1e-3, atol=atol, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_mirrored_copy_may_stop_before_the_other(people, monkeypatch):
    batch, module = people
    halves, rows = [], Decoder.rows

    def spied(self, index):
        part = rows(self, index)
        halves.append((part.plain, len(index) - part.plain))
        return part

    monkeypatch.setattr(Decoder, "rows", spied)
    config = TtoConfig(iterations=40, lr=3e-3, tolerance=5e-3)
    packed = refine(module, batch, config, flip=True)
    monkeypatch.setattr("lifting.tto.optimizer.Packable", type(None))
    plain = refine(module, batch, config, flip=True)
    assert any(first != second for first, second in halves)
    assert sum(halves[0]) > sum(halves[-1]) > 0
    torch.testing.assert_close(packed.pose, plain.pose, rtol=0, atol=0.05)
    assert torch.equal(packed.iterations, plain.iterations)


def test_nothing_is_decoded_once_all_have_stopped(people):
    batch, module = people
    method = Recorded(module)
    config = TtoConfig(iterations=10, tolerance=1e9, history=True)
    result = refine(method, batch, config)
    assert method.rows == [6, 6]
    assert (result.iterations == 1).all()
    assert result.history.shape == (11, 6)
    assert torch.equal(result.history[1], result.history[10])
    assert (result.after < result.before).all()


def test_weights_that_all_samples_share_are_not_packed(people):
    batch, module = people
    method = Recorded(module)
    refine(method, batch, TtoConfig(optimise="both", iterations=4, tolerance=1e9))
    assert method.rows == [6] * 5


def test_rows_of_a_batch(people):
    batch, _ = people
    batch = replace(batch, extras={"index": torch.arange(6)}, subject=torch.arange(6))
    for index in (torch.tensor([1, 4]), slice(1, 5, 3)):
        part = batch.rows(index)
        assert len(part) == 2
        assert part.subject.tolist() == part.extras["index"].tolist() == [1, 4]
        assert torch.equal(part.keypoints_2d, batch.keypoints_2d[[1, 4]])
        assert torch.equal(part.camera.size, batch.camera.size[:2])
        assert part.visible is None
