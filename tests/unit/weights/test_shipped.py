"""The weights that come with the package, on people, motion and cameras that none of them saw."""

from __future__ import annotations

import pytest
import torch

from lifting import lift
from lifting.data.film import film
from lifting.data.procedural.generator import generate_motion
from lifting.weights.registry import PACKAGED, card_of, checked_file, read_registry

SHIPPED = {entry.name: entry for entry in read_registry(PACKAGED)}
BYTES = 8_000_000  # all together: every clone carries them


@pytest.fixture(scope="module")
def strangers():
    """Procedural people before hand-held and fixed cameras."""
    return film(generate_motion(6, 40, seed=8), rig="wild", noise="cpn", seed=8)


def test_there_are_some_and_they_are_small():
    assert {"single", "temporal"} <= set(SHIPPED)
    assert sum(file.stat().st_size for file in PACKAGED.glob("*.pt")) <= BYTES


@pytest.mark.parametrize("name", SHIPPED)
def test_strangers_are_lifted_with_an_honest_error(name, strangers):
    poses = lift(strangers, model=checked_file(SHIPPED[name]))
    truth = strangers.labels()
    errors = (torch.from_numpy(poses.joints_3d) - (truth - truth[:, :1])).norm(dim=-1)
    assert errors.mean() < 90  # their mean pose is at 200
    stated = torch.from_numpy(poses.expected_error)[:, 1:]
    assert stated.mean() == pytest.approx(float(errors[:, 1:].mean()), rel=0.25)
    ranks = [values.flatten().argsort().argsort().double() for values in (stated, errors[:, 1:])]
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.5


@pytest.mark.parametrize("name", SHIPPED)
def test_their_cards_say_what_they_are(name):
    card = card_of(SHIPPED[name])
    for words in ("weights: Apache-2.0", "free for all uses", "lifting train ready_"):
        assert words in card
