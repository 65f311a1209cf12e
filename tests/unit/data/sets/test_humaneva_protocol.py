"""HumanEva-I as shipped: the published sizes, a clean bill of health, every keypoint method."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import published_npz
import pytest
import walking

from lifting.cli.main import main
from lifting.data.sources import load_tracks
from lifting.experiment.load import load_data
from lifting.skeleton import get_skeleton

FOLDER = Path(__file__).resolve().parents[4] / "experiments"
ACTIONS = ("Walking 1 chunk0", "Jog 1 chunk0", "Box 1 chunk0")
# Labelled frames of one camera, by part and subject: walking, jogging, boxing.
FRAMES = {
    "Train/S1": (613, 117, 248), "Train/S2": (438, 397, 205), "Train/S3": (478, 430, 421),
    "Validate/S1": (558, 317, 249), "Validate/S2": (433, 393, 258),
    "Validate/S3": (412, 396, 507),
}  # fmt: skip
KEYPOINT_METHODS = ("simple_baseline", "videopose3d", "uao", "epipolarpose", "diffpose",
                    "diffpose_video")  # fmt: skip


@pytest.fixture(autouse=True)
def _places(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(FOLDER))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(published_npz, "people", walking.people)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files of the published lengths."""
    folder = tmp_path_factory.mktemp("whole")
    lengths = {group: dict(zip(ACTIONS, frames, strict=True)) for group, frames in FRAMES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_npz, "people", walking.people)
        published_npz.HumanEva(folder, lengths, tuple(lengths)).write_two_d()
    return folder


def test_the_published_protocol_has_its_published_size(whole):
    data, _ = load_data("humaneva", str(whole))
    data.cache = str(whole / "cache")
    sizes = {split: len(load_tracks(data, split)) for split in ("train", "test")}
    assert sizes == {"train": 10_041, "test": 10_569}


def test_the_command_reads_what_experiments_read(whole, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["data", "check", "humaneva", "--root", str(whole)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"reader train.*10041 frames in 27 tracks", text)
    assert "fail" not in text


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Files of short recordings."""
    folder = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published_npz, "people", walking.people)
        lengths = dict.fromkeys(ACTIONS, 30)
        published_npz.HumanEva(folder, lengths, tuple(FRAMES)).write_two_d()
    return folder


@pytest.mark.parametrize(
    ("name", "key"),
    [*((name, None) for name in KEYPOINT_METHODS),
     ("simple_baseline", "data.skeleton"), ("epipolarpose", "data.humaneva.skeleton")],
)  # fmt: skip
def test_every_keypoint_method_trains_and_tests(short, tmp_path, undrawn, name, key):
    """In the 15 joints of the data; the 17 that either key wishes for are those of all methods."""
    words = ["extends=[data/humaneva,overlay/smoke]", "data.name=humaneva",
             f"data.root={short}", f"output={tmp_path / 'outputs'}", "panels.worst=0",
             "wandb.mode=disabled"]  # fmt: skip
    if name.startswith("diffpose"):
        words += [
            "method.hidden=16",
            "method.layers=1",
            "method.hypotheses=2",
            "optimizer.warmup_steps=0",
        ]  # else two steps leave all hypotheses alike
    if name == "diffpose_video":
        words += ["method.context_width=16", "method.context_layers=1"]
    wish = key and "h36m17"
    if key is not None:
        words.append(f"{key}={wish}")
    assert main(["train", name, *words]) == 0
    run = next((tmp_path / "outputs" / name).iterdir())
    record = json.loads((run / "result.json").read_text())
    assert all(np.isfinite(value) for value in record["metrics"].values())
    skeleton = get_skeleton(wish or "humaneva15")
    assert record["joints"] == list(skeleton.joints)
    assert record["extras"]["joints_of"] == skeleton.name
    assert record["data"].get("joints_converted") == (wish and "humaneva15 to h36m17")
