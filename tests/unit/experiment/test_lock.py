"""One training in a folder, no litter in it, and no folder of a training that never began."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifting.atomic import replacing
from lifting.errors import ConfigError, DataError, OutputError
from lifting.experiment import lock
from lifting.experiment import run as module
from lifting.experiment.load import load_experiment
from lifting.experiment.lock import remove_litter, training_lock
from lifting.experiment.run import evaluate, train

HOLD = """
import sys, time
from pathlib import Path
from lifting.experiment.lock import training_lock
with training_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder, until it is killed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_until_the_first_is_gone(holder, tmp_path):
    message = rf"only training in .*, got another at work there, process {holder.pid} on "
    with pytest.raises(OutputError, match=message), training_lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with training_lock(tmp_path):
        pass


def test_the_lock_is_free_again_and_no_fork_keeps_it(tmp_path):
    with training_lock(tmp_path):
        with pytest.raises(OutputError, match="only training"), training_lock(tmp_path):
            pass
        child = os.fork()
        if not child:  # as a loader's worker, which outlives a killed training by seconds
            os._exit(len(lock._held))
        assert os.waitpid(child, 0)[1] == 0
        assert len(lock._held) == 1
    with training_lock(tmp_path):
        pass
    assert not lock._held


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with training_lock(tmp_path):
        assert "is not locked ([Errno 37] No locks available)" in caplog.text
    monkeypatch.setattr(lock, "fcntl", None)
    with training_lock(tmp_path):
        assert "is not locked: start no second training in it" in caplog.text


def test_a_folder_that_cannot_be_locked(tmp_path):
    with (
        pytest.raises(OutputError, match=r"expected to write .*lock"),
        training_lock(tmp_path / "none"),
    ):
        pass


def test_only_what_a_killed_training_was_writing_is_litter(tmp_path):
    names = ("checkpoints/warm/best.ckpt", "config.yaml", "pictures/worst.png", "finished")
    litter = []
    for name in names:
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("whole")
            litter.append(temporary)
    others = ("wandb/.a-abcdefgh.json", ".predictions-abcdefgh.npz", ".notes", "a-abcdefgh.txt")
    for path in (*litter, *(tmp_path / name for name in others)):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    assert sorted(remove_litter(tmp_path)) == sorted(litter)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {*names, *others}


def test_a_run_in_training_is_not_resumed(cut_run):
    config, run = cut_run("train", 8, "method.warm_epochs=1")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with training_lock(run):
        before[run / "lock"] = (run / "lock").read_bytes()
        with pytest.raises(OutputError, match="only training"):
            train(config, resume=run)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    (run / "checkpoints/.last-abcdefgh.ckpt").write_text("half")
    train(config, resume=run)
    assert not list(run.rglob(".*"))


def runs_of(config):
    return list((Path(config.output) / "tiny").glob("*"))


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("trainer.monitor=val/mpjpe_inch", ConfigError, "mpjpe_inch"),
        ("trainer.accelerator=tpu", ConfigError, "settings that this machine can follow"),
        ("trainer.strategy=none_such", ConfigError, "settings that this machine can follow"),
        ("wandb.mode=online", ConfigError, "expected an API key"),
    ],
)
def test_a_training_that_is_refused_leaves_no_folder(
    tiny_experiment, undrawn, monkeypatch, tmp_path, override, error, message
):
    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    config = load_experiment(tiny_experiment, [override])
    with pytest.raises(error, match=message):
        train(config)
    assert not Path(config.output).exists()


def test_nor_does_one_without_room_for_its_weights(tiny_experiment, monkeypatch):
    def full(folder, needed_bytes):
        raise OutputError("expected 99 MB of room")

    monkeypatch.setattr(module, "check_writable", full)
    config = load_experiment(tiny_experiment)
    with pytest.raises(OutputError, match="99 MB"):
        train(config)
    assert not Path(config.output).exists()


def test_nor_does_a_test_that_fails(cut_run, monkeypatch):
    config, run = cut_run("train", 8, "method.warm_epochs=1")

    def fail(*_):
        raise DataError("damaged")

    monkeypatch.setattr(module, "baseline_scores", fail)
    with pytest.raises(DataError, match="damaged"):
        evaluate(config, run / "checkpoints/best.ckpt")
    assert runs_of(config) == [run]


def test_what_was_trained_is_kept_whatever_happens_then(tiny_experiment, undrawn, monkeypatch):
    def fail(*_):
        raise DataError("damaged")

    monkeypatch.setattr(module, "baseline_scores", fail)
    config = load_experiment(tiny_experiment, ["method.warm_epochs=1", "trainer.max_epochs=1"])
    with pytest.raises(DataError, match="damaged"):
        train(config)
    (run,) = runs_of(config)
    assert (run / "checkpoints/finished").is_file()
