"""Folded networks answer as the networks themselves, and only where they may."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lifting.methods.diffpose import folded, refiner
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.folded import FoldedTrunk
from lifting.methods.diffpose.refiner import Refiner
from lifting.skeleton import H36M_17
from sampling_precision import arithmetic, compile_networks

SMALL = Config(hidden=16, layers=2, heads=2, hypotheses=3, sampling_steps=2, start_level=50)
RELEASED = replace(
    SMALL, representation="uvxyz", conditioning="none", centre="origin", prediction="eps",
    uv_scale=0.5, beta_end=1e-3, init="context_noise",
)  # fmt: skip
FORMS = {
    "released": RELEASED,
    "one hypothesis": replace(RELEASED, hypotheses=1),
    "ancestral": replace(SMALL, eta=0.7),
    "next": replace(SMALL, prediction="next"),
    "student": replace(SMALL, student="consistency"),
    "once": replace(SMALL, process="once"),
    "flipped": replace(SMALL, context_flip=True),
    **{
        f"{block}, {kind}, {on}": replace(
            SMALL, block=block, conditioning=kind, conditioning_on=on
        )
        for block in ("released", "paper")
        for kind in ("add", "concat", "cross_attention")
        for on in ("pose", "feature")
    },
}


@pytest.fixture
def uv():
    return torch.rand(7, 17, 2, generator=torch.Generator().manual_seed(1)) - 0.5


@pytest.fixture
def made(monkeypatch):
    """Folded forms that were made."""
    found = []

    class Spied(FoldedTrunk):
        def __init__(self, trunk):
            super().__init__(trunk)
            found.append(trunk)

    monkeypatch.setattr(refiner, "FoldedTrunk", Spied)
    return found


def make(config):
    """In evaluation mode, with no weight at the value that it starts from."""
    torch.manual_seed(0)
    network = Refiner(config, H36M_17).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def answers(network, uv, *, folds=True):
    network.folds = folds
    with torch.no_grad():
        return network.sample(uv, 0)


@pytest.mark.parametrize("form", FORMS)
def test_folded_networks_answer_alike(form, uv, made, monkeypatch):
    network = make(FORMS[form])
    plain = answers(network, uv, folds=False)
    assert not made
    for portion in (80, 7, 1):
        monkeypatch.setattr(folded, "PORTION", portion)
        found = answers(network, uv)
        for got, wanted in zip(found, plain, strict=True):
            assert wanted.std() > 0.01
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert made[0] is network.context
    if form != "once":
        assert made[1] is network.answering


def test_the_encoder_gives_pose_and_feature(uv):
    context = make(SMALL).context
    with torch.no_grad():
        wanted, found = context.encode(uv), FoldedTrunk(context).encode(uv)
    for got, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, other, rtol=1e-4, atol=1e-5)


def test_changed_weights_are_heard_and_none_are_added(uv):
    network = make(SMALL)
    names = list(network.state_dict())
    first = answers(network, uv).hypotheses
    with torch.no_grad():
        network.denoiser.layers[0].attention_norm.gain.mul_(1.5)
        network.denoiser.layers[1].first.bias.add_(0.5)
    second = answers(network, uv).hypotheses
    assert (first - second).abs().max() > 1e-3
    plain = answers(network, uv, folds=False).hypotheses
    torch.testing.assert_close(second, plain, rtol=1e-4, atol=1e-5)
    assert list(network.state_dict()) == names


def test_only_plain_answers_are_folded(uv, made):
    network = make(SMALL)
    network.sample(uv, 0).hypotheses.sum().backward()
    assert network.denoiser.output.bias.grad is not None
    with torch.no_grad(), arithmetic(uv.device, bf16=True):
        rounded = network.sample(uv, 0).hypotheses
    answers(network.train(), uv)
    assert not made
    exact = answers(network.eval(), uv).hypotheses
    assert len(made) == 2
    assert 0 < (rounded - exact).abs().max() < 0.1
    with torch.inference_mode():
        assert torch.equal(network.sample(uv, 0).hypotheses, exact)


def test_compiled_networks_are_not_folded(uv, made, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    network = make(SMALL)
    compile_networks(network)
    with torch.no_grad():
        network.sample(uv, 0)
    assert not made


def test_all_copies_of_a_pose_hear_the_same(uv):
    """Told once for all hypotheses, as told for each."""
    state = torch.randn(21, 17, 5, generator=torch.Generator().manual_seed(2))
    t = torch.full((1,), 3.0)
    for kind in ("add", "concat", "cross_attention"):
        network = make(replace(SMALL, conditioning=kind)).denoiser
        told = torch.cat((uv, uv[..., :1]), dim=-1)
        with torch.no_grad():
            each = network(state, t, context=told.repeat(3, 1, 1))
            once = network(state, t, context=told)
        torch.testing.assert_close(once, each, rtol=1e-5, atol=1e-6)


def test_no_pose_is_no_answer():
    assert answers(make(RELEASED), torch.zeros(0, 17, 2)).hypotheses.shape == (3, 0, 17, 3)
