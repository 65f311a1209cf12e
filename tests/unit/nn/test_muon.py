"""Muon and AdamW as one optimiser: who steps what, schedules, and how it is resumed."""

import copy

import torch
from torch import nn

from lifting.nn.muon import MuonAdamW

OPTIONS = {"betas": (0.9, 0.99), "weight_decay": 0.1}


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3)
    )


def make_optimizer(network):
    return MuonAdamW(network.parameters(), lr=1e-3, matrix_lr=1e-2, **OPTIONS)


def take_steps(network, optimizers, steps, schedule=None):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(8, 2, generator=generator)
        for optimizer in optimizers:
            optimizer.zero_grad()
        network(x).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
        if schedule is not None:
            schedule.step()


def same(a, b):
    for ours, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_matrices_are_muons_and_all_else_adamws():
    network = make_network()
    alone = copy.deepcopy(network)
    take_steps(network, [make_optimizer(network)], 5)
    matrix = alone[2].weight
    others = [p for p in alone.parameters() if p is not matrix]
    muon = torch.optim.Muon([matrix], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    take_steps(alone, [muon, torch.optim.AdamW(others, lr=1e-3, **OPTIONS)], 5)
    same(network, alone)


def test_it_goes_on_where_it_was_saved():
    network = make_network()
    first = make_optimizer(network)
    take_steps(network, [first], 3)
    resumed = copy.deepcopy(network)
    second = make_optimizer(resumed)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    take_steps(network, [first], 3)
    take_steps(resumed, [second], 3)
    same(network, resumed)


def test_a_schedule_reaches_both():
    network = make_network()
    optimizer = make_optimizer(network)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(step == 0))
    take_steps(network, [optimizer], 1, schedule)
    before = copy.deepcopy(network)
    take_steps(network, [optimizer], 2, schedule)
    same(network, before)


def test_a_closure_is_evaluated_once():
    network = make_network()
    optimizer, calls = make_optimizer(network), []

    def closure():
        optimizer.zero_grad()
        loss = network(torch.ones(1, 2)).sum()
        loss.backward()
        calls.append(loss)
        return loss

    assert optimizer.step(closure) is calls[0]
    assert len(calls) == 1


def test_a_network_without_matrices_or_with_nothing_else():
    for given in ([nn.Parameter(torch.ones(3))], [nn.Parameter(torch.eye(16))]):
        optimizer = MuonAdamW(given, lr=1e-3, matrix_lr=1e-2, **OPTIONS)
        given[0].square().sum().backward()
        before = given[0].detach().clone()
        optimizer.step()
        assert not torch.equal(before, given[0])
