"""Dropout from cheap random bits, and dropped paths: rates, scale, independence."""

import pytest
import torch

from lifting.nn.dropout import drop_path, dropout, keep_mask, keep_scale


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.9])
def test_share_and_scale(rate):
    torch.manual_seed(0)
    mask = keep_mask(torch.empty(1001, 203), rate)
    assert (mask == 0).float().mean().item() == pytest.approx(rate, abs=5e-3)
    assert mask.unique().tolist() == pytest.approx([0.0, keep_scale(rate)])
    assert mask.mean().item() == pytest.approx(1, abs=0.02)
    columns = (mask == 0).float().mean(dim=0)
    assert columns.std().item() < 2 * (rate * (1 - rate) / 1001) ** 0.5


def test_rate_zero_is_the_input_itself():
    x = torch.ones(3, 4)
    assert dropout(x, 0.0) is x
    assert drop_path(x, 0.0) is x


def test_paths_are_dropped_whole():
    torch.manual_seed(0)
    x = torch.ones(20_000, 3, 2)
    answer = drop_path(x, 0.2)
    assert torch.equal(answer, answer[:, :1, :1].expand_as(answer))
    assert (answer[:, 0, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert answer.mean().item() == pytest.approx(1, abs=0.02)
    assert dropout(x, 0.2).unique().numel() == 2
