"""How many threads torch computes in, and how many a process may use."""

from __future__ import annotations

import os

import pytest
import torch

from lifting.nn import threads
from lifting.nn.threads import torch_threads


def test_the_number_before_comes_back_whatever_happens():
    before = torch.get_num_threads()

    @torch_threads(1)
    def counted():
        return torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        assert counted() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="stop"), torch_threads(1):
            raise ValueError("stop")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_control_groups_limit_the_threads(tmp_path, monkeypatch, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="ascii")
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)
    assert threads._quota() == quota
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        assert threads.usable_threads() == (8 if quota is None else round(quota))


def test_no_more_threads_than_the_process_may_use(monkeypatch):
    monkeypatch.setattr(threads, "usable_threads", lambda: 2)
    threads.set_threads(64)
    assert torch.get_num_threads() == 2
