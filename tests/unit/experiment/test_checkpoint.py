from __future__ import annotations

import math
import pickle
import zipfile
from collections import Counter

import pytest
import torch
from mutated_checkpoint import archive_of, mutations
from torch import nn

from lifting.errors import CheckpointError, OutputError
from lifting.experiment.checkpoint import (
    load_weights,
    method_config_of,
    read_checkpoint,
)
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.trained import claims_of
from lifting.files.tensor_archive import read_tensor_archive
from lifting.methods.lifter import CHECKPOINT_KEY

STATE = {
    "epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.6.0", "loops": {},
    "callbacks": {}, "optimizer_states": [], "lr_schedulers": [],
}  # fmt: skip


def content(module: nn.Module) -> dict:
    facts = {"method": "tiny_method", "config": {"warm_epochs": 2}, "stage": "train"}
    return {**STATE, "state_dict": module.state_dict(), CHECKPOINT_KEY: facts}


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


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def test_members_are_stored_as_they_are(path):
    with zipfile.ZipFile(path) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_flipped_bit_of_a_weight_is_seen_and_nothing_of_it_is_resumed(path, module):
    data = bytearray(path.read_bytes())
    data[data.index(module.weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(data)
    for read in (read_checkpoint, AtomicCheckpointIO().load_checkpoint):
        with pytest.raises(CheckpointError, match=r"best\.ckpt, got one that is damaged.*Bad CRC"):
            read(path)


def test_weights_alone_are_no_state_to_go_on_from(path, module):
    assert AtomicCheckpointIO().load_checkpoint(path)["global_step"] == 2
    whole = content(module)
    del whole["loops"]
    torch.save({**whole, "optimizer_states": {}}, path)
    read_checkpoint(path)
    with pytest.raises(CheckpointError, match="got none in loops, optimizer_states; go on from"):
        AtomicCheckpointIO().load_checkpoint(path)


def test_archives_that_another_program_wrote_again(path):
    parts = parts_of(path)
    path.write_bytes(archive_of(parts))
    read_checkpoint(path)  # the same members, not compressed
    path.write_bytes(archive_of(parts, zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match="another program compressed it"):
        read_checkpoint(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(archive_of([*parts, parts[-1]]))
    with pytest.raises(CheckpointError, match="members of one name"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.to_sparse(),
        lambda w: w.to("meta"),
        lambda w: w.to(torch.complex64),
        lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "meta", "complex", "quantised"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_weights_that_are_no_dense_real_numbers(path, module, change):
    weight = change(torch.zeros(3, 2))
    torch.save({**content(module), "state_dict": {"weight": weight}}, path)
    with pytest.raises(CheckpointError, match="expected only tensors of real numbers and plain"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"weight holds (no plain|complex) numbers instead"):
        load_weights(module, {"state_dict": {**module.state_dict(), "weight": weight}}, path)


def test_whole_numbers_stay_where_the_network_has_them(path):
    norm = nn.BatchNorm1d(2)
    state = norm.state_dict()
    torch.save({**content(norm), "state_dict": state}, path)
    load_weights(nn.BatchNorm1d(2), read_checkpoint(path), path)
    for name, kind in (("weight", torch.int64), ("num_batches_tracked", torch.float32)):
        torch.save({**content(norm), "state_dict": {**state, name: state[name].to(kind)}}, path)
        with pytest.raises(CheckpointError, match=f"{name} holds .* numbers instead of"):
            load_weights(nn.BatchNorm1d(2), read_checkpoint(path), path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"method": ["a"]}, "'method' is \\['a'\\], which is not a name"),
        ({"config": None}, "'config' is None, which is not a section of keys"),
        ({"config": {"no": 1}, "method": "uao"}, "unknown key 'method.no'"),
        ({"settings": 3}, "'settings' is 3, which is not a section"),
        ({"fps": "fast"}, "'fps' is 'fast', which is not a number"),
        ({"fps": math.nan}, "'fps' is nan, which is no rate"),
        ({"frames": -3}, "'frames' is -3, which is no rate or length"),
        ({"skeleton": {"name": "x"}}, "expected name, joints, parents"),
    ],
)
def test_what_a_checkpoint_says_of_itself(path, module, facts, message):
    whole = content(module)
    torch.save({**whole, CHECKPOINT_KEY: {**whole[CHECKPOINT_KEY], **facts}}, path)
    with pytest.raises(CheckpointError, match=rf"expected .*best\.ckpt to describe.*{message}"):
        claims_of(read_checkpoint(path), path)


def test_the_other_checkpoint_of_the_run_is_offered(path, module):
    last = path.with_stem("last")
    AtomicCheckpointIO().save_checkpoint(content(module), last)
    whole = path.read_bytes()
    for damaged, other in ((path, last), (last, path)):
        damaged.write_bytes(whole[:-100])
        with pytest.raises(
            CheckpointError, match=rf"{damaged}, .*whole: --checkpoint {other}, or"
        ):
            read_checkpoint(damaged)
        damaged.write_bytes(whole)
    for file in (path, last):
        file.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"take another file$"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_mutation_gives_other_weights_or_a_foreign_error(path, module):
    want, refused = module.state_dict(), 0
    for data, kind, damage in mutations(path.read_bytes(), 400, seed=1):
        path.write_bytes(data)
        other = nn.Linear(2, 3)
        try:
            load_weights(other, read_checkpoint(path, "tiny_method"), path)
        except CheckpointError:
            refused += 1
            continue
        same = all(torch.equal(want[name], value) for name, value in other.state_dict().items())
        assert same or not damage, kind
    assert refused > 250


def test_a_deep_or_endless_pickle_is_refused(path):
    parts = dict(parts_of(path))
    (name,) = (n for n in parts if n.endswith("/data.pkl"))
    laughs = b"]q\x00" + b"".join(b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(20))
    itself = b"]q\x00h\x00a"
    for inner in (b"(" * 50 + b"t" * 50, b"]" * 5000 + b"a" * 4999, laughs, itself):
        path.write_bytes(archive_of([(name, b"\x80\x02" + inner + b".")]))
        with pytest.raises(CheckpointError, match=r"nested deeply|without end"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "value",
    [Counter({30: 1, 60: 1}), torch.zeros(2, 3).shape, torch.ones(1, 3).expand(4, 3),
     nn.Parameter(torch.ones(2, 2)), torch.arange(6.0).view(2, 3).T, torch.zeros(0, 3)],
    ids=["milestones", "shape", "expanded", "parameter", "transposed", "empty"],
)  # fmt: skip
def test_what_schedules_and_modules_of_others_save_is_read_back(tmp_path, value):
    torch.save({"state": [value]}, tmp_path / "some.ckpt")
    (found,) = read_tensor_archive(tmp_path / "some.ckpt")["state"]
    if isinstance(value, torch.Tensor):
        assert torch.equal(found, value)
    else:
        assert found == value
        assert isinstance(found, Counter if isinstance(value, Counter) else tuple)
