from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from lifting.errors import CheckpointError, OutputError
from lifting.experiment.checkpoint import (
    AtomicCheckpointIO,
    load_weights,
    method_config_of,
    read_checkpoint,
)
from lifting.methods.base import CHECKPOINT_KEY


def content(module: nn.Module) -> dict:
    facts = {"method": "tiny_method", "config": {"warm_epochs": 2}, "stage": "train"}
    return {"state_dict": module.state_dict(), CHECKPOINT_KEY: facts}


@pytest.fixture
def module():
    return nn.Linear(2, 3)


@pytest.fixture
def path(tmp_path, module):
    path = tmp_path / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(module), path)
    return path


def test_round_trip(path, module):
    checkpoint = read_checkpoint(path, "tiny_method")
    assert method_config_of(checkpoint) == {"name": "tiny_method", "warm_epochs": 2}
    other = nn.Linear(2, 3)
    load_weights(other, checkpoint, path)
    assert torch.equal(other.weight, module.weight)


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.ckpt, which does not exist"):
        read_checkpoint(tmp_path / "none.ckpt", "tiny_method")


def test_the_folder_of_a_run_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"got the folder .*name checkpoints/best\.ckpt"):
        read_checkpoint(tmp_path, "tiny_method")


def test_weights_that_are_not_finite(path, module):
    checkpoint = read_checkpoint(path, "tiny_method")
    checkpoint["state_dict"]["weight"][1, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"expected finite weights .* got others in weight;"):
        load_weights(nn.Linear(2, 3), checkpoint, path)


def test_another_method(path):
    with pytest.raises(
        CheckpointError, match="expected a checkpoint of method 'other', got one of 'tiny_method'"
    ):
        read_checkpoint(path, "other")


def test_truncated_and_foreign_files(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="expected a whole checkpoint"):
        read_checkpoint(path, "tiny_method")
    path.write_text("epoch,loss\n")
    with pytest.raises(CheckpointError, match="expected a whole checkpoint"):
        read_checkpoint(path, "tiny_method")
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="expected a whole checkpoint"):
        read_checkpoint(path, "tiny_method")


def test_damaged_inside(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"state_dict") - 20 : data.index(b"state_dict")] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_checkpoint(path, "tiny_method")


class Attack:
    ran = False

    def __reduce__(self):
        return (setattr, (Attack, "ran", True))


def test_pickled_objects_are_refused(path, module):
    torch.save({**content(module), "extra": Attack()}, path)
    with pytest.raises(CheckpointError, match="pickled objects, which could run code"):
        read_checkpoint(path, "tiny_method")
    assert not Attack.ran


def test_weights_of_somebody_else(path, module):
    torch.save(module.state_dict(), path)
    with pytest.raises(CheckpointError, match="written by `lifting train`"):
        read_checkpoint(path, "tiny_method")
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="got a list"):
        read_checkpoint(path, "tiny_method")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(4, 3), r"weight is \(3, 2\) instead of \(3, 4\).*config.yaml of its run"),
        (nn.Sequential(nn.Linear(2, 3)), "0.weight is missing.* and 1 more"),
    ],
)
def test_shapes_that_do_not_fit(path, other, message):
    with pytest.raises(CheckpointError, match=message):
        load_weights(other, read_checkpoint(path, "tiny_method"), path)


def test_a_full_disk_leaves_the_old_checkpoint(path, module, monkeypatch):
    before = path.read_bytes()

    def full(_, file):
        file.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="file write failed"):
        AtomicCheckpointIO().save_checkpoint(content(module), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["best.ckpt"]
