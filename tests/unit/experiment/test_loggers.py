"""The CSV log, and the choice between online and offline: no question, no hang."""

import csv
import http.server
import logging
import socket
import sys
import threading
from contextlib import contextmanager

import pytest
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from lifting.errors import ConfigError, OutputError
from lifting.experiment.config import ExperimentConfig, WandbConfig
from lifting.experiment.connection import answers, base_url, choose_mode, has_key
from lifting.experiment.loggers import CsvLog, build_loggers, close_loggers, log_facts

FAKE_KEY = "a" * 40


@pytest.fixture(autouse=True)
def _blank_environment(monkeypatch, tmp_path):
    """No key, no mode, no settings and no proxy of the user's."""
    for name in ("MODE", "API_KEY", "BASE_URL", "IDENTITY_TOKEN_FILE", "DIR", "CONFIG_DIR",
                 "DATA_DIR", "CACHE_DIR", "ARTIFACT_DIR", "SILENT", "PROJECT"):  # fmt: skip
        monkeypatch.setenv(f"WANDB_{name}", "")
        monkeypatch.delenv(f"WANDB_{name}")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_questions(monkeypatch):
    """Any question fails the test instead of waiting for an answer."""

    def refuse(*_, **__):
        pytest.fail("a question was asked")

    monkeypatch.setattr("builtins.input", refuse)
    monkeypatch.setattr("getpass.getpass", refuse)


@pytest.fixture
def silent_server():
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def serving(handler):
    """A server on a thread, by its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        return


@pytest.fixture
def refusing_server():
    """Answers everything with 401."""
    with serving(Refusing) as url:
        yield url


@pytest.fixture
def front_page():
    """Has a front page, and an interface that never says a word."""
    over = threading.Event()

    class Handler(Refusing):
        def do_POST(self):
            over.wait(60)

    with serving(Handler) as url:
        yield url
        over.set()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def experiment(**wandb):
    return ExperimentConfig(name="exp", wandb=WandbConfig(timeout=1.0, **wandb))


def rows_of(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_takes_keys_that_appear_later(tmp_path):
    log = CsvLog(tmp_path)
    log.log_metrics({"train/loss": 2.0}, 0)
    log.save()
    log.log_metrics({"val/mpjpe_mm": 70.0}, 5)
    log.save()
    assert [p.name for p in tmp_path.glob("*.csv")] == ["metrics.csv"]
    assert rows_of(tmp_path) == [
        {"step": "0", "train/loss": "2.0", "val/mpjpe_mm": ""},
        {"step": "5", "train/loss": "", "val/mpjpe_mm": "70.0"},
    ]


def test_csv_of_a_killed_run_is_continued_without_its_half_line(tmp_path, recwarn):
    first = CsvLog(tmp_path)
    first.log_metrics({"a": 1.0}, 0)
    first.save()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("3.14")  # killed here
    second = CsvLog(tmp_path)
    second.log_metrics({"a": 2.0, "b": 3.0}, 1)
    second.finalize("success")
    assert rows_of(tmp_path) == [
        {"a": "1.0", "b": "", "step": "0"},
        {"a": "2.0", "b": "3.0", "step": "1"},
    ]
    assert not [w for w in recwarn if "will be deleted" in str(w.message)]


def test_auto_without_a_key_is_offline_and_asks_nothing(tmp_path, no_questions, caplog):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with caplog.at_level(logging.WARNING):
        loggers = build_loggers(experiment(), run_dir, {"seed": 1})
    assert [type(log) for log in loggers] == [CsvLog, WandbLogger]
    assert loggers[1].experiment.offline
    assert "W&B is offline (no API key of https://api.wandb.ai); upload with" in caplog.text
    log_facts(loggers, {"parameters": {"total": 3}})
    assert loggers[1].experiment.config["run"] == {"parameters": {"total": 3}}
    close_loggers(loggers)
    assert len(list(run_dir.glob("wandb/offline-run-*/*.wandb"))) == 1
    assert "parameters" in (run_dir / "hparams.yaml").read_text()


def test_unreachable_host_with_a_key_falls_back_to_offline(
    tmp_path, no_questions, caplog, monkeypatch
):
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    with caplog.at_level(logging.WARNING):
        loggers = build_loggers(experiment(), tmp_path, {})
    close_loggers(loggers)
    assert loggers[1]._log_model is False  # no artifacts offline
    assert "did not answer within 1 s" in caplog.text


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (
            "silent_server",
            "did not answer within 1 s); upload with: wandb sync wandb/offline-run-*",
        ),
        ("front_page", "did not answer within 1 s"),
        ("refusing_server", "refused the run"),
    ],
)
def test_a_host_that_does_not_serve_leads_to_offline(
    tmp_path, no_questions, caplog, monkeypatch, request, server, said
):
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", request.getfixturevalue(server))
    with caplog.at_level(logging.WARNING):
        loggers = build_loggers(experiment(), tmp_path, {})
    close_loggers(loggers)
    assert loggers[1].experiment.offline
    assert said in caplog.text


def test_a_server_that_never_speaks_is_given_up_on(silent_server):
    assert not answers(silent_server, 0.3)


def test_a_server_that_says_no_has_answered(refusing_server):
    assert answers(refusing_server, 5.0)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp2://host", "http://[::1"])
def test_nonsense_addresses_do_not_answer(url):
    assert not answers(url, 2.0)


def test_resumed_run_keeps_its_identity_and_another_run_gets_its_own(tmp_path):
    ids = []
    for name in ("a", "a", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
        loggers = build_loggers(experiment(mode="offline"), tmp_path / name, {})
        ids.append(loggers[1].experiment.id)
        close_loggers(loggers[:1])  # left open on purpose: the next run must not write into it
    close_loggers(loggers)
    assert ids[0] == ids[1] != ids[2]


def test_disabled_makes_only_the_csv(tmp_path, monkeypatch):
    assert len(build_loggers(experiment(mode="disabled"), tmp_path, {})) == 1
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert len(build_loggers(experiment(), tmp_path, {})) == 1
    assert not (tmp_path / "wandb").exists()


def test_absent_wandb_is_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.WARNING):
        assert len(build_loggers(experiment(), tmp_path, {})) == 1
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "no W&B log" in caplog.text


def test_online_without_a_key_or_a_network_is_an_error(monkeypatch):
    config = WandbConfig(mode="online", timeout=0.5)
    with pytest.raises(ConfigError, match=r"expected an API key .*got none; set WANDB_API_KEY"):
        choose_mode(config)
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(OutputError, match=r"to answer within 0\.5 s"):
        choose_mode(config)


def test_online_when_everything_is_there(monkeypatch, refusing_server):
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", refusing_server + "/")
    assert choose_mode(WandbConfig()) == ("online", refusing_server)


def test_environment_switches_auto_off_but_not_an_explicit_mode(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    assert choose_mode(WandbConfig()).mode == "offline"
    assert choose_mode(WandbConfig(mode="disabled")).mode == "disabled"


def test_keys_are_found_where_wandb_keeps_them(tmp_path, monkeypatch):
    url = "https://wandb.example.org"
    assert not has_key(url)
    (tmp_path / "netrc").write_text("machine wandb.example.org login user password secret\n")
    assert has_key(url)
    assert not has_key("https://api.wandb.ai")
    (tmp_path / "netrc").write_text("machine broken {{{")
    assert not has_key(url)
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    assert has_key("https://api.wandb.ai")


def test_server_comes_from_environment_or_settings(tmp_path, monkeypatch):
    assert base_url() == "https://api.wandb.ai"
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nbase_url = http://local:8080/\n")
    assert base_url() == "http://local:8080"
    monkeypatch.setenv("WANDB_BASE_URL", "http://other")
    assert base_url() == "http://other"


def test_a_full_disk_leaves_whole_rows(tmp_path, monkeypatch):
    log = CsvLog(tmp_path)
    log.log_metrics({"a": 1.0}, step=1)
    log.save()
    path = tmp_path / "metrics.csv"
    before = path.read_bytes()

    def full(writer):
        with path.open("a") as file:
            file.write("2.0,")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ExperimentWriter, "save", full)
        log.log_metrics({"a": 2.0}, step=2)
        with pytest.raises(OutputError, match=r"metrics.csv, got 'No space left on device'; free"):
            log.save()
    assert path.read_bytes() == before
    log.save()
    assert path.read_text().splitlines() == ["a,step", "1.0,1", "2.0,2"]


def test_keys_that_a_full_disk_kept_out_of_the_header_come_later(tmp_path, monkeypatch):
    log = CsvLog(tmp_path)
    log.log_metrics({"a": 1.0}, step=1)
    log.save()

    def full(path):
        raise OutputError("expected to write it, got 'No space left on device'; free some")

    with monkeypatch.context() as patch:
        patch.setattr("lifting.experiment.loggers.replacing", full)
        log.log_metrics({"a": 2.0, "b": 3.0}, step=2)
        with pytest.raises(OutputError, match="No space left"):
            log.save()
    log.save()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "a,b,step",
        "1.0,,1",
        "2.0,3.0,2",
    ]
