import math

import pytest
import torch
from scipy.optimize import lsq_linear

from lifting.errors import ShapeError
from lifting.geometry.solver import (
    Box,
    Lengths,
    Model,
    damped_step,
    linearise,
    solve_least_squares,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def decay(samples=20, noise=0.0):
    """Curves ``a exp(-b x)`` with their parameters, residuals and analytic Jacobian."""
    truth = torch.stack((2 + draw(samples).tanh(), 1.5 + draw(samples, seed=1).tanh()), dim=1)
    x = torch.linspace(0, 2, 12, dtype=torch.float64)
    y = truth[:, :1] * (-truth[:, 1:] * x).exp() + noise * draw(samples, 12, seed=2)

    def residuals(v):
        return v[:, :1] * (-v[:, 1:] * x).exp() - y

    def jacobian(v):
        bent = (-v[:, 1:] * x).exp()
        return torch.stack((bent, -v[:, :1] * x * bent), dim=-1)

    return truth, residuals, jacobian


def line(noise):
    """Lines through the origin and offset with given noise, and their residuals."""
    truth = draw(len(noise), 2)
    x = torch.linspace(-1, 1, noise.shape[1], dtype=torch.float64)
    y = truth[:, :1] * x + truth[:, 1:] + noise
    return truth, lambda v: v[:, :1] * x + v[:, 1:] - y


def test_curves_without_noise_are_found():
    truth, residuals, _ = decay()
    found = solve_least_squares(residuals, torch.ones_like(truth), iterations=25)
    torch.testing.assert_close(found.values, truth, rtol=0, atol=1e-8)
    assert found.cost.max() < 1e-15
    assert (found.start_cost > 1e-3).all()
    assert (found.accepted >= 3).all()


def test_the_valley_of_rosenbrock():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 3.0]])

    def residuals(v):
        return torch.stack((10 * (v[:, 1] - v[:, 0] ** 2), 1 - v[:, 0]), dim=1)

    found = solve_least_squares(residuals, start, iterations=60)
    torch.testing.assert_close(found.values, torch.ones(3, 2), rtol=0, atol=1e-4)


def test_a_given_jacobian_does_as_forward_differentiation():
    truth, residuals, jacobian = decay(noise=0.05)
    start = torch.ones_like(truth)
    slopes = linearise(residuals, start)
    torch.testing.assert_close(slopes.jacobian, jacobian(start))
    torch.testing.assert_close(slopes.residuals, residuals(start))
    torch.testing.assert_close(linearise(residuals, start, chunk=1).jacobian, slopes.jacobian)
    own = solve_least_squares(residuals, start, iterations=8)
    given = solve_least_squares(residuals, start, iterations=8, jacobian=jacobian)
    torch.testing.assert_close(given.values, own.values)


def test_outliers_do_not_count_where_lengths_are_summed():
    noise = torch.zeros(30, 40, dtype=torch.float64)
    noise[:, ::5] = 20 * draw(30, 8, seed=3).abs()
    truth, residuals = line(noise)
    start = torch.zeros_like(truth)
    lengths = Lengths.of_groups([1] * 40, torch.ones_like(noise), 1e-6)
    robust = solve_least_squares(residuals, start, iterations=30, lengths=lengths)
    torch.testing.assert_close(robust.values, truth, rtol=0, atol=1e-5)
    squares = solve_least_squares(residuals, start, iterations=30)
    assert ((squares.values - truth).norm(dim=1) > 0.5).all()


def test_the_point_nearest_to_the_corners_of_triangles():
    """Fermat's point sees the sides under 120 degrees; at a wider corner it is that corner."""
    acute, wide = [[0, 0], [4, 0], [1, 3]], [[-5, 1], [0, 0], [5, 1]]
    corners = torch.tensor([acute, wide], dtype=torch.float64)

    def residuals(v):
        return (v[:, None] - corners).flatten(1)

    lengths = Lengths.of_groups([2, 2, 2], torch.ones(2, 3, dtype=torch.float64), 1e-7)
    found = solve_least_squares(residuals, corners.mean(1), iterations=80, lengths=lengths)
    towards = corners[0] - found.values[0]
    towards = towards / towards.norm(dim=1, keepdim=True)
    cosines = (towards @ towards.mT)[[0, 0, 1], [1, 2, 2]]
    torch.testing.assert_close(cosines, torch.full_like(cosines, -0.5), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.values[1], corners[1, 1], rtol=0, atol=1e-4)


def test_groups_count_by_their_weights():
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 1, 3], [0, 0, 1]], dtype=torch.float64)
    lengths = Lengths.of_groups([2, 2, 2], weights, 1e-7)
    found = solve_least_squares(
        lambda v: (v[:, None] - corners).flatten(1),
        torch.full((2, 2), 0.3, dtype=torch.float64),
        iterations=60,
        lengths=lengths,
    )
    torch.testing.assert_close(found.values, corners[2].expand(2, 2), rtol=0, atol=1e-4)


def test_short_lengths_are_rounded():
    lengths = Lengths.of_groups([2, 1], torch.tensor([[1.0, 10]]), torch.tensor([2.0, 0.5]))
    residuals = torch.tensor([[3.0, 4, 7], [0, 1, 0], [0, 0, 0.25]])
    expected = torch.tensor([75.0, 1.25 + 2.5, 1 + 3.125])
    torch.testing.assert_close(lengths.cost(residuals), expected)
    expected = torch.tensor([[0.2, 0.2, 10 / 7], [0.5, 0.5, 20], [0.5, 0.5, 20]])
    torch.testing.assert_close(lengths.factors(residuals), expected)


def test_an_unknown_without_effect_does_no_harm():
    truth, plain, _ = decay()

    def residuals(v):
        return plain(torch.stack((v[:, 0] + v[:, 1], v[:, 2]), dim=1))

    start = torch.cat((torch.ones(20, 3), torch.full((20, 1), 7.0)), dim=1).double()
    found = solve_least_squares(residuals, start, iterations=30)
    sums = torch.stack((found.values[:, :2].sum(1), found.values[:, 2]), dim=1)
    torch.testing.assert_close(sums, truth, rtol=0, atol=1e-6)
    assert (found.values[:, 3] == 7).all()


def test_equations_beyond_precision_give_a_step_downhill():
    column = draw(4, 9, 1).float()
    model = Model(draw(4, 9, seed=1).float(), column.expand(4, 9, 5).contiguous())
    for damping in (1e-12, 1e-2):
        step = damped_step(model, torch.full((4,), damping))
        after = model.residuals + (model.jacobian @ step[..., None])[..., 0]
        assert (after.norm(dim=1) < model.residuals.norm(dim=1)).all()


def test_without_damping_it_is_the_solution_of_the_equations():
    model = Model(draw(6, 9), draw(6, 9, 4, seed=1) * torch.tensor([1e-3, 1, 1, 1e4]))
    factors = draw(6, 9, seed=2).abs()
    root = factors.sqrt()
    expected = torch.linalg.lstsq(
        model.jacobian * root[..., None], -(model.residuals * root)[..., None]
    ).solution[..., 0]
    step = damped_step(model, torch.full((6,), 1e-13, dtype=torch.float64), factors)
    torch.testing.assert_close(step, expected, rtol=1e-8, atol=0)


def test_the_best_step_in_a_box():
    """Against scipy, where cutting the unbounded step off would go wrong."""
    model = Model(draw(12, 8), draw(12, 8, 4, seed=1) + 2)
    high = torch.tensor([0.2, 0.05, 0.0, 1.0], dtype=torch.float64)
    box = Box(-high, high)
    step = damped_step(model, torch.full((12,), 1e-10, dtype=torch.float64), box=box)
    assert (step.abs() <= high).all()
    free = high > 0
    for residuals, jacobian, found in zip(*model, step, strict=True):
        sides = (-high[free].numpy(), high[free].numpy())
        best = lsq_linear(jacobian[:, free].numpy(), -residuals.numpy(), sides, tol=1e-14)
        cost = (residuals + jacobian @ found).square().sum() / 2
        assert float(cost) == pytest.approx(best.cost, rel=1e-5)


def test_unknowns_stay_within_their_bound():
    truth, residuals, _ = decay()
    start = torch.ones_like(truth)
    bound = torch.tensor([0.1, 10.0], dtype=torch.float64)
    found = solve_least_squares(residuals, start, iterations=30, bound=bound)
    assert ((found.values - start).abs() <= bound + 1e-12).all()
    assert ((found.values - start)[:, 0].abs() > 0.1 - 1e-9).any()
    assert (found.cost < found.start_cost).all()
    still = solve_least_squares(residuals, start, bound=0.0)
    assert torch.equal(still.values, start)


def test_never_worse_than_the_start():
    def wild(v):
        return torch.sin(30 * v) * v.exp() + v

    start = 2 * draw(200, 3)
    for lengths in (None, Lengths.of_groups([1, 2], draw(200, 2).abs(), 1e-3)):
        found = solve_least_squares(wild, start, iterations=7, lengths=lengths)
        assert (found.cost <= found.start_cost).all()
        again = solve_least_squares(wild, found.values, iterations=0, lengths=lengths)
        torch.testing.assert_close(again.cost, found.cost)


def test_a_sample_alone_is_as_in_its_batch():
    truth, residuals, _ = decay(noise=0.1)
    start = torch.ones_like(truth)
    whole = solve_least_squares(residuals, start, iterations=6)
    for i in (0, 13):
        alone = solve_least_squares(
            lambda v, i=i: residuals(v.expand(20, 2))[i, None], start[i, None], iterations=6
        )
        torch.testing.assert_close(alone.values[0], whole.values[i], rtol=0, atol=1e-10)
        assert alone.accepted[0] == whole.accepted[i]


def test_a_sample_that_is_not_finite_is_left_alone():
    truth, residuals, _ = decay()
    start = torch.ones_like(truth)
    clean = solve_least_squares(residuals, start)

    def broken(v):
        spoilt = torch.zeros(20, 1, dtype=torch.float64)
        spoilt[3], spoilt[4] = math.nan, math.inf
        return residuals(v) + spoilt

    start[7] = math.nan
    found = solve_least_squares(broken, start)
    lost = torch.tensor([3, 4, 7])
    others = torch.tensor([i for i in range(20) if i not in (3, 4, 7)])
    assert torch.equal(found.values[others], clean.values[others])
    assert not found.finite[lost].any()
    assert found.finite[others].all()
    assert (found.accepted[lost] == 0).all()
    torch.testing.assert_close(found.values[lost], start[lost], equal_nan=True)


def test_only_movable_samples_move():
    truth, residuals, _ = decay()
    start = torch.ones_like(truth)
    movable = torch.arange(20) % 2 == 0
    found = solve_least_squares(residuals, start, movable=movable)
    assert torch.equal(found.values[~movable], start[~movable])
    assert (found.cost[movable] < 1e-6).all()


def test_shapes_must_agree():
    truth, residuals, _ = decay()
    with pytest.raises(ShapeError, match="expected start of shape"):
        solve_least_squares(residuals, truth[0])
    with pytest.raises(ShapeError, match="expected residuals of shape"):
        solve_least_squares(lambda v: residuals(v)[:5], truth)
    with pytest.raises(ShapeError, match="expected jacobian of shape"):
        solve_least_squares(residuals, truth, jacobian=lambda v: v[:, None])


def test_attention_is_differentiated_forward():
    """Of a length and width at which it is fused where no derivative is asked for."""
    torch.manual_seed(0)
    keys, values = torch.randn(2, 1, 40, 64)

    def residuals(z):
        return torch.nn.functional.scaled_dot_product_attention(z[:, None], keys, values)[:, 0]

    start = torch.randn(3, 64)
    found = linearise(residuals, start, chunk=8).jacobian
    exact = torch.autograd.functional.jacobian(residuals, start)
    torch.testing.assert_close(found, exact[range(3), :, range(3)], rtol=1e-3, atol=1e-4)
