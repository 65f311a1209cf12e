"""An offline run holds the metrics and the pictures: read back from the run's own file."""

import json
import struct

import pytest
import pytorch_lightning as pl
import torch

from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.experiment.config import ExperimentConfig, PanelsConfig, WandbConfig
from lifting.experiment.dashboard import (
    PICTURES_PER_ACTION,
    PICTURES_PER_JOINT,
    PICTURES_WORST,
    TABLE_WORST,
)
from lifting.experiment.facts import run_facts
from lifting.experiment.loggers import build_loggers, close_loggers, log_facts
from lifting.experiment.panels import COLUMNS, PanelsCallback
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
def offline_run(tiny_method, tiny_tracks, tmp_path):
    """Folder of a run that trained, tested and was closed."""
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
        callbacks=[PanelsCallback(PanelsConfig(worst=2), tmp_path)], log_every_n_steps=1,
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
    (path,) = run_dir.glob("wandb/offline-run-*/run-*.wandb")
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
    (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    rows = read_history(path)
    assert len(rows) == 300
    assert rows[299]["key19"] == pytest.approx(299.19)
    assert len(read_config(path)["note"]) == 100_000
