from __future__ import annotations

import random

import pytest
import torch
from mutated_checkpoint import mutations
from torch import nn

from lifting.errors import CheckpointError, MissingDataError
from lifting.files.tensor_archive import read_tensor_archive
from lifting.files.tensors import load_tensors, state_of


@pytest.fixture(params=[True, False], ids=["archive", "legacy"])
def published(request, tmp_path):
    """Weights as authors publish them, in either of torch's forms."""
    path = tmp_path / "published.pth"
    content = {"state_dict": nn.BatchNorm1d(30).state_dict(), "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=request.param)
    return path


def damaged_or_cut(content, count):
    rng = random.Random(0)
    for _ in range(count):
        raw = bytearray(content[: rng.choice((len(content), rng.randrange(len(content))))])
        for _ in range(min(len(raw), 2)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        yield bytes(raw)


@pytest.mark.filterwarnings("ignore:Duplicate name", "ignore:Detected pickle protocol")
def test_mutations_of_published_weights_end_in_own_errors(published):
    whole, refused = published.read_bytes(), 0
    versions = list(damaged_or_cut(whole, 150))
    if whole.startswith(b"PK"):
        versions += [data for data, _, _ in mutations(whole, 150)]
    for data in versions:
        published.write_bytes(data)
        try:
            state_of(load_tensors(published), published)
        except CheckpointError:
            refused += 1
    assert refused > 75


def test_a_tensor_takes_no_more_than_its_member_has(tmp_path):
    path = tmp_path / "own.ckpt"
    whole = torch.arange(12.0).reshape(3, 4)
    content = {"a": whole.T, "b": whole[1:, ::2], "c": torch.zeros(0, 5), "d": torch.tensor(True)}
    torch.save(content, path)
    read = read_tensor_archive(path)
    assert {name: value.stride() for name, value in read.items()} == {
        name: value.stride() for name, value in content.items()
    }
    assert all(torch.equal(value, read[name]) for name, value in content.items())
    torch.save({"a": torch.zeros(1).expand(2**40)}, path)
    with pytest.raises(CheckpointError, match="asks for more than its 1 numbers"):
        read_tensor_archive(path)


def test_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"expected weights at .*, found no file"):
        load_tensors(tmp_path / "none.pth")
