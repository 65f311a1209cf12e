"""The dashboard is plain data, and a command that says what it did."""

import argparse
import importlib.util
import json
import socket

import pytest

from lifting.cli import dashboard as command
from lifting.errors import ConfigError, OutputError
from lifting.experiment import dashboard, panels
from lifting.experiment.dashboard import DASHBOARD, dashboard_spec, obstacle, to_workspace
from lifting.methods.nbf import pictures
from lifting.metrics.protocol import get_protocol

HAS_WORKSPACES = importlib.util.find_spec("wandb_workspaces") is not None


def run(*words):
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    args = parser.parse_args(["dashboard", *map(str, words)])
    return args.handler(args)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)


def test_spec_is_json_and_keeps_every_panel():
    spec = dashboard_spec("lifting", "team")
    first = json.loads(json.dumps(spec))["sections"][0]["panels"][0]
    assert (first["kind"], first["keys"]) == ("bar", ["test/mpjpe_mm"])
    assert (spec["project"], spec["entity"], spec["x"]) == (
        "lifting",
        "team",
        "trainer/global_step",
    )
    assert [s["name"] for s in spec["sections"]] == [s.name for s in DASHBOARD]
    assert sum(len(s["panels"]) for s in spec["sections"]) >= 10


def test_shown_scores_are_ones_that_exist():
    protocol = get_protocol("default")
    keys = [
        key for s in DASHBOARD for p in s.panels for key in p.keys if p.kind in ("line", "bar")
    ]
    scores = [k.partition("/")[2] for k in keys if k.startswith(("val/", "test/"))]
    assert len(scores) >= 8
    for score in scores:
        assert protocol.id_for(score)


def test_shown_pictures_are_those_that_the_callbacks_log():
    shown = {
        k for s in DASHBOARD for p in s.panels for k in p.keys if p.kind in ("media", "table")
    }
    assert shown == {
        panels.PICTURES_WORST,
        panels.PICTURES_PER_JOINT,
        panels.PICTURES_PER_ACTION,
        panels.TABLE_WORST,
        pictures.PICTURES_FITS,
        pictures.FILM_FITS,
    }


def test_offline_writes_the_definition(tmp_path, capsys):
    path = tmp_path / "folder" / "board.json"
    assert run("lifting", "--entity", "team", "--offline", path) == 0
    assert json.loads(path.read_text())["entity"] == "team"
    assert f"written: {path}" in capsys.readouterr().out


def test_without_a_way_to_publish_the_definition_is_written_and_the_reason_said(tmp_path, capsys):
    assert run("lifting") == 0
    assert (tmp_path / "dashboard-lifting.json").is_file()
    text = capsys.readouterr().out
    assert "not sent to W&B: " in text
    assert "dashboard-lifting.json" in text


def test_obstacles_are_named(monkeypatch):
    monkeypatch.setattr(dashboard, "find_spec", lambda _: None)
    assert obstacle(0.5) == "the package wandb-workspaces is not installed"
    monkeypatch.setattr(dashboard, "find_spec", lambda _: object())
    assert "no API key of https://api.wandb.ai" in obstacle(0.5)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        assert obstacle(0.3) == f"{url} did not answer within 0.3 s"


def test_with_everything_there_it_is_published(monkeypatch, capsys):
    sent = []
    monkeypatch.setattr(dashboard, "obstacle", lambda _: None)
    monkeypatch.setattr(dashboard, "publish", lambda *a: sent.append(a) or "https://board")
    assert run("lifting", "--entity", "team") == 0
    assert sent == [("lifting", "team")]
    assert "dashboard created: https://board" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "a/b", "a?b", "x" * 129])
def test_bad_project_names_are_refused(name):
    with pytest.raises(ConfigError, match="expected a project name"):
        dashboard_spec(name)


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write"):
        run("lifting", "--offline", tmp_path / "file" / "board.json")


@pytest.mark.skipif(not HAS_WORKSPACES, reason="install wandb-workspaces to build a workspace")
def test_workspace_holds_every_panel():
    workspace = to_workspace("lifting", "team")
    assert [s.name for s in workspace.sections] == [s.name for s in DASHBOARD]
    for ours, theirs in zip(DASHBOARD, workspace.sections, strict=True):
        assert len(theirs.panels) == len(ours.panels)
