"""Registries of weights, here and on a server; bytes that changed are never taken."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lifting.errors import CheckpointError, ConfigError, DataError
from lifting.weights import registry
from lifting.weights.registry import (
    Entry,
    add,
    card_of,
    checked_file,
    default_weights,
    fetch,
    find,
    known,
    read_registry,
)

BYTES = b"weights of a network" * 50


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own folder, and a package without weights."""
    folder = tmp_path / "own"
    monkeypatch.setenv("LIFTING_WEIGHTS", str(folder))
    monkeypatch.setattr(registry, "PACKAGED", tmp_path / "packaged")
    return folder


def entry(name="small", frames=1, fps=None):
    return Entry(name=name, licence="Apache-2.0", frames=frames, fps=fps)


@pytest.fixture
def lab(tmp_path, own):
    """A registry with one entry in a folder that is not the user's."""
    file = tmp_path / "made.pt"
    file.write_bytes(BYTES)
    add(file, entry(), "# small\n", tmp_path / "lab")
    return tmp_path / "lab"


def test_the_package_has_a_registry_whose_files_are_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("LIFTING_WEIGHTS", str(tmp_path))
    assert (registry.PACKAGED / "registry.json").is_file()
    for one in known().values():
        assert str(one.sha256) in card_of(one)
        assert checked_file(one).is_file()


def test_what_is_added_is_found_and_can_be_replaced(own, tmp_path):
    file = tmp_path / "made.pt"
    file.write_bytes(BYTES)
    made = add(file, entry(), "# small\n")
    assert find("small") == made
    assert checked_file(made).read_bytes() == BYTES
    assert card_of(made) == "# small\n"
    add(file, entry("other"), "# other\n")
    file.write_bytes(BYTES[1:])
    add(file, entry(), "# smaller\n")
    assert sorted(known()) == ["other", "small"]
    assert checked_file(find("small")).read_bytes() == BYTES[1:]
    again = add(checked_file(find("small")), entry(), "# the same file\n")
    assert checked_file(again).read_bytes() == BYTES[1:]
    with pytest.raises(ConfigError, match="unknown weights 'smal'; did you mean 'small'"):
        find("smal")
    with pytest.raises(ConfigError, match=r"letters, digits.*got '\.\./up'"):
        add(file, entry("../up"), "")


def test_changed_bytes_are_refused(own, lab):
    (one,) = read_registry(lab)
    path = lab / "small.pt"
    path.write_bytes(BYTES[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"'small' of 1000 bytes .* got 1000 bytes, "):
        checked_file(one)
    with pytest.raises(CheckpointError, match="get them again with `lifting weights fetch small"):
        fetch("small", lab)
    path.unlink()
    with pytest.raises(CheckpointError, match="got no file"):
        checked_file(one)
    with pytest.raises(CheckpointError, match="got no file"):
        fetch("small", lab)
    assert known() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "lifting-weights 1, in .* got {'format': 'other'"),
        ({"version": 2}, "'version': 2"),
        ({"weights": {}}, "'weights': {}"),
        ({"weights": [{}]}, "keys are not"),
        ("size=many", "'size' that is 'many'"),
        ("frames=True", "'frames' that is True"),
        ("sha256=0", "a name, file or SHA-256"),
        ("name=../up", "a name, file or SHA-256"),
        ("file=../up.pt", "a name, file or SHA-256"),
        ("file=/etc/passwd", "a name, file or SHA-256"),
    ],
)
def test_damaged_registries_are_refused(lab, change, message):
    path = lab / "registry.json"
    content = json.loads(path.read_text())
    if isinstance(change, dict):
        content |= change
    else:
        key, _, value = change.partition("=")
        content["weights"][0][key] = True if value == "True" else value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_registry(lab)


def test_the_length_and_the_rate_choose(own, tmp_path):
    assert default_weights(10, 50) is None
    file = tmp_path / "made.pt"
    file.write_bytes(BYTES)
    add(file, entry("frames"), "")
    add(file, entry("windows", frames=27, fps=50.0), "")

    def chosen(*given):
        return default_weights(*given).name

    assert chosen(10, 50) == "windows"
    assert chosen(10, 25) == "windows"
    assert chosen(10, 24) == "frames"  # less than half as fast
    assert chosen(26 / 50, 50) == "frames"  # no whole window
    assert chosen(0, 0) == "frames"
    (own / "frames.pt").unlink()
    assert default_weights(0, 0) is None


@pytest.fixture
def served(lab):
    """The address of the lab's folder on a server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=lab))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/registry.json"
    server.shutdown()
    server.server_close()


def test_weights_are_fetched_from_a_folder(own, lab):
    got = fetch("small", lab)
    assert checked_file(got).parent == own
    assert card_of(find("small")) == "# small\n"
    assert fetch("small") == got
    with pytest.raises(ConfigError, match=r"unknown weights 'big' in .*known: small"):
        fetch("big", lab)
    with pytest.raises(DataError):
        fetch("small", lab / "nowhere")


def test_weights_are_fetched_from_a_server(own, lab, served):
    pytest.importorskip("pooch")
    got = fetch("small", served)
    assert checked_file(got).read_bytes() == BYTES
    (lab / "small.pt").write_bytes(BYTES[::-1])
    with pytest.raises(CheckpointError, match=r"expected http://.* as registered, got: SHA256"):
        fetch("small", served)
    with pytest.raises(CheckpointError, match="check the address"):
        read_registry(served.replace("registry", "nothing"))


def test_without_pooch_a_server_is_refused(own, served, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(ConfigError, match=r"the package pooch .*pip install 'lifting\[weights\]'"):
        read_registry(served)
