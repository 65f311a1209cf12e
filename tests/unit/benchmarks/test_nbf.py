"""The dense form of 3DNBF's renderer gives the weights of the fast one."""

import torch

import nbf
from lifting.body.ellipsoid import EllipsoidBody
from lifting.methods.nbf.render import RenderOptions, render
from nbf import bodies, every, few, fitting_iteration, posed, weight_errors
from reference.nbf import dense_weights


def test_more_kernels_a_ray_come_nearer_to_all(monkeypatch):
    monkeypatch.setattr(nbf, "SIDE", 16)
    largest, mean = weight_errors(32, images=1)
    assert largest < 1e-3
    assert weight_errors(12, images=1)[1] < 5e-3
    assert mean < 1e-4


def test_dense_form_in_double_precision_is_the_renderer_with_all_kernels():
    people = bodies(1)
    kernels = posed(EllipsoidBody("light"), people.turns)
    means, precisions = kernels.means[:, :20].double(), kernels.precisions[:, :20].double()
    people.grid.focal, people.grid.centre = people.grid.focal.double(), people.grid.centre.double()
    exact = dense_weights(means, precisions, people.grid.directions())
    found = render(means, precisions, people.grid, RenderOptions(20, least_peak=0)).dense()
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)
    assert exact.max() > 0.5


def test_gradients_of_an_iteration_agree(monkeypatch):
    monkeypatch.setattr(nbf, "SIDE", 16)
    people = bodies(1)
    (ours,) = fitting_iteration(people, few(people, 32))()
    (dense,) = fitting_iteration(people, every(people))()
    cosine = torch.nn.functional.cosine_similarity(ours.flatten(), dense.flatten(), dim=0)
    assert cosine > 0.999
