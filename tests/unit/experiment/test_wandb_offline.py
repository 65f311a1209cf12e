"""An offline run holds the metrics and the pictures: read back from the run's own file."""

import json
import os
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.experiment.config import ExperimentConfig, PanelsConfig, WandbConfig
from lifting.experiment.dashboard import (
    FILM_TRACKS,
    PAGE_TRACKS,
    PICTURES_PER_ACTION,
    PICTURES_PER_JOINT,
    PICTURES_WORST,
    TABLE_TRACKS,
    TABLE_WORST,
)
from lifting.experiment.facts import run_facts
from lifting.experiment.loggers import build_loggers, close_loggers, log_facts, sync_command
from lifting.experiment.panels import COLUMNS, PanelsCallback
from lifting.experiment.shown_tracks import ShownTracks
from lifting.methods.settings import ModuleSettings

BLOCK, FILE_HEADER, RECORD_HEADER = 32768, 7, 7
WHOLE, LAST = 1, 4


def read_run(path):
    """Records of a ``.wandb`` file: blocks of 32 kB, records whole or in parts."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    position, parts = FILE_HEADER, b""
    while position + RECORD_HEADER <= len(content):
        if BLOCK - position % BLOCK < RECORD_HEADER:
            position += BLOCK - position % BLOCK  # padding at the end of a block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        position += RECORD_HEADER
        parts += content[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def put(tree, item):
    """Add an item, whose key may be a path, to nested mappings."""
    *path, last = item.nested_key or [item.key]
    for name in path:
        tree = tree.setdefault(name, {})
    tree[last] = json.loads(item.value_json)


def read_history(path):
    """Rows that were logged, each a mapping of keys to values."""
    rows = []
    for record in read_run(path):
        if record.WhichOneof("record_type") == "history":
            rows.append({})
            for item in record.history.item:
                put(rows[-1], item)
    return rows


def read_config(path):
    """Configuration of the run, after all updates."""
    config = {}
    for record in read_run(path):
        kind = record.WhichOneof("record_type")
        updates = {"run": record.run.config, "config": record.config}.get(kind)
        for item in updates.update if updates is not None else ():
            put(config, item)
    return config


@pytest.fixture
def offline_run(tiny_method, tiny_tracks, tmp_path, monkeypatch):
    """Folder of a run that trained, tested and was closed."""
    monkeypatch.setattr("lifting.experiment.shown_tracks.FILM_FRAMES", 2)
    from tiny_method.config import Config
    from tiny_method.module import Module

    torch.manual_seed(0)
    module = Module(Config(), ModuleSettings(method="tiny_method"))
    tracks = dict.fromkeys(("train", "val", "test"), tiny_tracks)
    data = PoseDataModule(DataConfig(eval_batch_size=20), 0, tracks=tracks)
    config = ExperimentConfig(name="tiny", wandb=WandbConfig(mode="offline", project="proof"))
    loggers = build_loggers(config, tmp_path, {"seed": 7, "data": {"frames": 1}})
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=loggers, default_root_dir=tmp_path,
        callbacks=[PanelsCallback(PanelsConfig(worst=2), tmp_path), ShownTracks(1, tmp_path)],
        log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, data)
    scores = trainer.test(module, data, verbose=False)[0]
    log_facts(loggers, run_facts(module, data))
    close_loggers(loggers)
    return tmp_path, scores


def test_an_offline_run_holds_metrics_pictures_and_facts(offline_run):
    run_dir, scores = offline_run
    (path,) = written(run_dir)
    rows = read_history(path)
    held = {key: value for row in rows for key, value in row.items()}

    assert held["test/mpjpe_mm"] == pytest.approx(scores["test/mpjpe_mm"], rel=1e-6)
    assert sum("val/mpjpe_mm" in row for row in rows) == 2
    assert any("train/loss" in row for row in rows)
    assert all("trainer/global_step" in row for row in rows if "val/mpjpe_mm" in row)

    pictures = {key for key in held if key.startswith("pictures/")}
    assert pictures == {PICTURES_WORST, PICTURES_PER_JOINT, PICTURES_PER_ACTION}
    worst = held[PICTURES_WORST]
    assert worst["count"] == 2
    assert worst["captions"][0].startswith("1: ")
    media = path.parent / "files"
    for name in (*worst["filenames"], *held[PICTURES_PER_JOINT]["filenames"]):
        assert (media / name).read_bytes().startswith(b"\x89PNG")

    table = json.loads((media / held[TABLE_WORST]["path"]).read_text())
    assert table["columns"] == list(COLUMNS)
    assert len(table["data"]) == 2
    assert table["data"][0][1] >= table["data"][1][1]

    table = json.loads((media / held[TABLE_TRACKS]["path"]).read_text())
    assert table["columns"] == list(COLUMNS)
    assert [row[3] for row in table["data"]] == list(range(12))  # all frames of the track
    (page,), (film,) = held[PAGE_TRACKS]["html"], held[FILM_TRACKS]["videos"]
    assert "prediction and truth" in (media / page["path"]).read_text()
    assert (media / film["path"]).read_bytes().startswith(b"GIF89a")

    config = read_config(path)
    assert config["seed"] == 7
    assert config["data"] == {"frames": 1}
    assert {"git", "data", "parameters", "machine", "packages"} <= set(config["run"])
    assert config["run"]["parameters"]["total"] > 0


def test_the_reader_joins_records_that_span_blocks(tmp_path):
    config = ExperimentConfig(name="long", wandb=WandbConfig(mode="offline"))
    loggers = build_loggers(config, tmp_path, {"note": "x" * 100_000})
    for step in range(300):
        loggers[1].log_metrics({f"key{k}": step + k / 100 for k in range(20)}, step)
    close_loggers(loggers)
    (path,) = written(tmp_path)
    rows = read_history(path)
    assert len(rows) == 300
    assert rows[299]["key19"] == pytest.approx(299.19)
    assert len(read_config(path)["note"]) == 100_000


def written(run_dir):
    """The files of all parts of a run in their order, once the background service has ended."""
    import wandb

    wandb.teardown()
    return sorted(run_dir.glob("wandb/offline-run-*/run-*.wandb"))


def log_steps(run_dir, steps):
    config = ExperimentConfig(name="parts", wandb=WandbConfig(mode="offline"))
    loggers = build_loggers(config, run_dir, {"seed": 1})
    for step in steps:
        loggers[1].log_metrics({"train/loss": 1 / (1 + step)}, step)
    close_loggers(loggers)


def test_a_resumed_run_goes_on_in_a_part_of_its_own(tmp_path, caplog):
    caplog.set_level("INFO", "lifting")
    started = iter((range(40), range(35, 60), range(60, 61)))
    seen = {}
    for number, steps in enumerate(started, 1):
        log_steps(tmp_path, steps)
        parts = written(tmp_path)
        assert len(parts) == number
        for part, content in seen.items():
            assert part.read_bytes() == content  # no part is written to again
        seen = {part: part.read_bytes() for part in parts}
    runs, rows = [], []
    for part in parts:
        records = list(read_run(part))
        assert sum(r.WhichOneof("record_type") == "exit" for r in records) == 1
        (run,) = (r.run for r in records if r.WhichOneof("record_type") == "run")
        runs.append(run)
        rows.append(read_history(part))
    assert len({run.run_id for run in runs}) == 1
    assert all(run.resume for run in runs)
    assert [len(part) for part in rows] == [40, 25, 1]
    taken = [row["trainer/global_step"] for part in rows for row in part]
    assert taken == [*range(40), *range(35, 60), 60]
    own = [row["_step"] for part in rows for row in part]
    assert own == sorted(set(own))
    own = [record.getMessage() for record in caplog.records if record.name.startswith("lifting")]
    assert own[-1] == f"W&B gets the run by: {sync_command(tmp_path)}"


def test_the_command_names_all_parts_as_seen_from_here(tmp_path, monkeypatch):
    run_dir = tmp_path / "my runs" / "one"
    outside = sync_command(run_dir)
    assert outside == f"wandb sync {shlex.quote(str(run_dir.resolve() / 'wandb'))}/offline-run-*"
    monkeypatch.chdir(tmp_path)
    assert sync_command(run_dir) == "wandb sync 'my runs/one/wandb'/offline-run-*"
    log_steps(run_dir, range(2))
    log_steps(run_dir, range(2, 4))
    parts = written(run_dir)
    command = f"{Path(sys.executable).parent}/{sync_command(run_dir)} --dry-run --verbose"
    answer = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False,
        env={**os.environ, "WANDB_SILENT": "false"},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert [part.name for part in parts if part.parent.name in answer.stderr + answer.stdout] == [
        part.name for part in parts
    ]


def test_an_offline_run_keeps_no_secret_of_its_surroundings(tmp_path, monkeypatch):
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
        "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz",
        "QUITE_PRIVATE": "correct-horse-battery",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    token = "ghp_tokenInTheRemote"
    for arguments in (
        ("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "one"),
        ("remote", "add", "origin", f"https://{token}@example.org/a.git"),
    ):  # fmt: skip
        who = ("-c", "user.email=a@example.org", "-c", "user.name=a")
        subprocess.run(["git", *who, *arguments], check=True, cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lifting", "train", "tiny", "--token=word-on-the-line"])
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    log_steps(run_dir, range(3))
    assert written(run_dir)
    for secret in (*secrets.values(), token, "word-on-the-line"):
        for file in run_dir.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), (secret, file)
