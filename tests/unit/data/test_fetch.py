"""Fetching from a server of the test's own: whole, cut, absent, wrong, and no server at all."""

from __future__ import annotations

import http.server
import json
import re
import threading

import pytest

from lifting.cli.main import main
from lifting.data.describe import fetch
from lifting.data.download import Download
from lifting.data.sets.cmu.prepare import DEFAULT_SUBJECTS, fetch_cmu, parse_subjects
from lifting.errors import ConfigError, DataError, MissingDataError, OutputError

ASF = b"""\
:version 1.10
:name tiny
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name spine
    direction 0 1 0
    length 5
    axis 0 0 0 XYZ
    dof rx ry rz
  end
:hierarchy
  begin
    root spine
  end
"""


def amc(frames=200):
    text = "#!comment\n:FULLY-SPECIFIED\n:DEGREES\n"
    for i in range(1, frames + 1):
        text += f"{i}\nroot {i} 17.5 0 0 0 0\nspine 1 2 3\n"
    return text.encode()


class Server:
    """Serves files from memory; every answer can be spoiled.

    Attributes:
        files: Content by path.
        cut: Bytes after which the next answers are cut off, by path.
        status: Status instead of the file, by path, as often as listed.
        requests: Path and range of every request.
        ranges: Whether ranges are understood.
    """

    def __init__(self):
        self.files, self.cut, self.status = {}, {}, {}
        self.requests, self.ranges = [], True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                """Tests print nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        path, wanted = handler.path, handler.headers.get("Range")
        self.requests.append((path, wanted))
        status = self.status.get(path, [])
        if status or path not in self.files:
            code = status.pop(0) if status else 404
            handler.send_response(code)
            if code == 302:
                handler.send_header("Location", "ftp://127.0.0.1/02.asf")
            handler.end_headers()
            return
        content, start = self.files[path], 0
        if wanted and self.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                handler.send_response(416)
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header(
                "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
            )
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        end = self.cut.pop(path, len(content))
        handler.wfile.write(content[start:end])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    made.files = {
        "/subjects/02/02.asf": ASF,
        "/subjects/02/02_01.amc": amc(),
        "/subjects/02/02_03.amc": amc(20),  # the second trial is absent
    }
    yield made
    made.close()


def agent(attempts=3):
    return Download(timeout_s=5, pause_s=0, attempts=attempts)


def get(server, folder, subjects=(2,), attempts=3):
    return fetch_cmu(folder, subjects, url=server.url, download=agent(attempts))


def test_subjects_are_fetched_and_not_fetched_twice(server, tmp_path):
    told = []
    report = fetch_cmu(
        tmp_path, (2, 4), url=server.url + "/", download=agent(), progress=told.append
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["02.asf", "02_01.amc", "02_03.amc"]
    assert (tmp_path / "02_01.amc").read_bytes() == amc()
    assert (report.new, report.kept, report.absent) == (3, 0, [4])
    assert report.received == len(ASF) + len(amc()) + len(amc(20))
    assert told == ["subject 02: 2 recordings", "subject 04: 0 recordings"]
    server.requests.clear()
    again = get(server, tmp_path)
    assert (again.new, again.kept, again.received) == (0, 3, 0)
    assert all("02.asf" not in path and "_01" not in path for path, _ in server.requests)


def test_cut_download_is_taken_up_where_it_was(server, tmp_path):
    server.cut["/subjects/02/02_01.amc"] = 1000
    report = get(server, tmp_path)
    assert (tmp_path / "02_01.amc").read_bytes() == amc()
    assert ("/subjects/02/02_01.amc", "bytes=1000-") in server.requests
    assert report.received == len(ASF) + len(amc()) + len(amc(20))


def test_cut_download_is_completed_by_the_next_call(server, tmp_path):
    server.cut["/subjects/02/02_01.amc"] = 1500
    with pytest.raises(MissingDataError, match=r"ends early.*run the command again"):
        get(server, tmp_path, attempts=1)
    assert (tmp_path / "02_01.amc.part").stat().st_size == 1500
    assert not (tmp_path / "02_01.amc").exists()
    get(server, tmp_path, attempts=1)
    assert ("/subjects/02/02_01.amc", "bytes=1500-") in server.requests
    assert (tmp_path / "02_01.amc").read_bytes() == amc()
    assert not (tmp_path / "02_01.amc.part").exists()


def test_server_without_ranges_starts_again(server, tmp_path):
    (tmp_path / "02_01.amc.part").write_bytes(amc()[:700])
    server.ranges = False
    get(server, tmp_path)
    assert (tmp_path / "02_01.amc").read_bytes() == amc()


@pytest.mark.parametrize("piece", [b"x" * 900, amc() + b"more"])
def test_piece_of_another_file_is_thrown_away(server, tmp_path, piece):
    (tmp_path / "02_01.amc.part").write_bytes(piece)
    get(server, tmp_path)
    assert (tmp_path / "02_01.amc").read_bytes() == amc()


def test_server_fault_is_waited_out(server, tmp_path):
    server.status["/subjects/02/02_01.amc"] = [503, 500]
    get(server, tmp_path)
    assert (tmp_path / "02_01.amc").read_bytes() == amc()


@pytest.mark.parametrize(("status", "message"), [([403], "status 403"), ([503] * 3, "status 503")])
def test_refusals_say_what_to_do(server, tmp_path, status, message):
    server.status["/subjects/02/02_01.amc"] = status
    with pytest.raises(MissingDataError, match=f"{message}; check the network.*--url"):
        get(server, tmp_path)


def test_redirection_out_of_the_web_is_refused(server, tmp_path):
    server.status["/subjects/02/02.asf"] = [302]
    with pytest.raises(ConfigError, match=r"http:// or https://, got 'ftp://127"):
        get(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_absent_subjects(server, tmp_path):
    with pytest.raises(MissingDataError, match=r"subjects 3, 4 below .* got none of them"):
        get(server, tmp_path, (3, 4))


@pytest.mark.parametrize("path", ["02.asf", "02_01.amc"])
def test_wrong_content_is_not_kept(server, tmp_path, path):
    server.files[f"/subjects/02/{path}"] = b"<html><body>please sign in</body></html>\n"
    with pytest.raises(DataError, match=rf"expected {path} at .* sign-in page"):
        get(server, tmp_path)
    assert not (tmp_path / path).exists()
    assert not (tmp_path / f"{path}.part").exists()


def test_motion_of_another_skeleton_is_refused(server, tmp_path):
    server.files["/subjects/02/02_03.amc"] = amc().replace(b"spine", b"tail")
    with pytest.raises(DataError, match=r"02_03\.amc at .* something else"):
        get(server, tmp_path)
    assert (tmp_path / "02_01.amc").exists()


def test_enormous_file_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("lifting.data.download.MAX_BYTES", 100)
    with pytest.raises(DataError, match="expected at most 100 bytes"):
        get(server, tmp_path)


def test_no_server(server, tmp_path):
    server.close()
    with pytest.raises(MissingDataError, match=r"expected an answer from http://127.*refused"):
        get(server, tmp_path, attempts=2)


def test_folder_that_is_a_file(server, tmp_path):
    path = tmp_path / "there"
    path.touch()
    with pytest.raises(OutputError, match="expected a folder"):
        get(server, path)


@pytest.mark.parametrize("url", ["file:///etc", "ftp://somewhere", "somewhere/else", "http://"])
def test_addresses_are_of_the_web(tmp_path, url):
    with pytest.raises(ConfigError, match="begins with http://"):
        fetch_cmu(tmp_path, (2,), url=url)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", DEFAULT_SUBJECTS),
        ("2", (2,)),
        ("5-7, 2,6", (2, 5, 6, 7)),
        ("all", tuple(range(1, 145))),
    ],
)
def test_subjects_in_words(text, numbers):
    assert parse_subjects(text) == numbers


@pytest.mark.parametrize("text", ["0", "145", "a", "7-5", "1,,2", "-3", "1-", "²", "1" * 9])
def test_malformed_subjects(text):
    with pytest.raises(ConfigError, match=r"expected subjects from 1 to 144"):
        parse_subjects(text)


def test_other_data_sets_name_their_page():
    with pytest.raises(ConfigError, match=r"accept its terms at http://vision\.imar\.ro"):
        fetch("h36m")
    with pytest.raises(ConfigError, match="there is nothing to fetch"):
        fetch("synthetic")
    with pytest.raises(ConfigError, match="unknown data set"):
        fetch("nothing")


def test_command(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LIFTING_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("lifting.data.sets.cmu.prepare.Download", agent)
    assert main(["data", "fetch", "cmu", "--subjects", "2", "--url", server.url]) == 0
    text = capsys.readouterr().out
    assert "subject 02: 2 recordings" in text
    assert f"lifting data prepare cmu --source {tmp_path / 'cmu' / 'raw'}" in text
    assert "NSF EIA-0196217" in text
    assert main(["data", "fetch", "cmu", "--subjects", "2", "--url", server.url, "--json"]) == 0
    said = capsys.readouterr()
    assert f"--source {tmp_path / 'cmu' / 'raw'}" in str(json.loads(said.out))
    assert "subject 02: 2 recordings" in said.err
    assert main(["data", "fetch", "3dpw"]) == 2
    assert "virtualhumans.mpi-inf.mpg.de" in capsys.readouterr().err
