"""One file from the web: resumed where it was cut, whole or absent. Imports no torch."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from urllib.parse import urlsplit

from lifting import __version__
from lifting.errors import ConfigError, DataError, MissingDataError, OutputError

SCHEMES = ("http", "https")
MAX_BYTES = 256 * 1024**2
PART = ".part"
_CHUNK = 1 << 16
_ABSENT = (404, 410)
_RANGE_REFUSED = 416
_SERVER_FAULT = 500


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to the web only, never to files or other protocols."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Download:
    """Fetches files one after another, a second apart at most as fast as asked.

    Args:
        timeout_s: Longest silence of the server.
        pause_s: Rest between requests, out of politeness.
        attempts: How often a cut or failing download is taken up again.
    """

    def __init__(self, timeout_s: float = 30.0, pause_s: float = 0.2, attempts: int = 3) -> None:
        self.timeout_s, self.pause_s, self.attempts = timeout_s, pause_s, attempts
        self._opener = urllib.request.build_opener(_SafeRedirects())
        self._before = 0.0

    def fetch(self, url: str, path: Path, verify: Callable[[Path], object]) -> int | None:
        """Fetch one file unless it is there.

        What was received of a cut file stays beside it, ending in ``.part``, and is completed by
        the next call. Only a complete file that passes the check gets its name.

        Args:
            url: Where it is.
            path: Where it shall be.
            verify: Raises DataError when the content is not what it should be.

        Returns:
            Bytes received now; None when the server has no such file.

        Raises:
            ConfigError: The address is not one of the web.
            MissingDataError: The server cannot be reached, or refuses.
            DataError: The content is not what it should be.
            OutputError: The file cannot be written.
        """
        check_url(url)
        if path.is_file():
            return 0
        part = path.with_name(path.name + PART)
        resumed = part.is_file()
        received = self._complete(url, part)
        if received is None:
            return None
        try:
            _verified(part, url, verify)
        except DataError:
            if not resumed:
                raise
            # The piece of an earlier call was of another edition of the file: once more, afresh.
            again = self._complete(url, part)
            _verified(part, url, verify)
            received += again or 0
        with _writing(path), part.open("rb") as stream:
            os.fsync(stream.fileno())
            part.replace(path)
        return received

    def _complete(self, url: str, part: Path) -> int | None:
        """Receive what is missing of a file, in several attempts."""
        received, error = 0, ""
        for attempt in range(self.attempts):
            time.sleep(max(0.0, self._before + self.pause_s * (1 + attempt) - time.monotonic()))
            self._before = time.monotonic()
            try:
                size, whole = self._receive(url, part)
                received += size
            except urllib.error.HTTPError as answer:
                answer.close()
                if answer.code in _ABSENT:
                    return None
                if answer.code == _RANGE_REFUSED:
                    part.unlink(missing_ok=True)
                elif answer.code < _SERVER_FAULT:
                    raise _unreachable(url, f"status {answer.code}") from answer
                error = f"status {answer.code}"
                continue
            except OutputError:
                raise
            except (OSError, http.client.HTTPException) as fault:
                error = str(getattr(fault, "reason", fault)) or type(fault).__name__
                continue
            if whole:
                return received
            error = "a connection that ends early"
        raise _unreachable(url, error)

    def _receive(self, url: str, part: Path) -> tuple[int, bool]:
        """One request: bytes received, and whether the file is complete."""
        have = part.stat().st_size if part.is_file() else 0
        headers = {"User-Agent": f"lifting/{__version__}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        request = urllib.request.Request(url, headers=headers)
        with self._opener.open(request, timeout=self.timeout_s) as opened:
            answer = cast("http.client.HTTPResponse", opened)
            start, total = _extent(answer, have)
            if max(total or 0, start) > MAX_BYTES:
                raise DataError(
                    f"expected at most {MAX_BYTES} bytes at {url}, got {total}; the address is "
                    "not that of a recording"
                )
            received = _copy(answer, part, start, url)
        size = start + received
        return received, total is None or size == total


def check_url(url: str) -> None:
    """Check that an address is one of the web.

    Raises:
        ConfigError: It is not, or it has no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ConfigError(
            f"expected an address that begins with http:// or https://, got '{url:.200}'; "
            "correct --url"
        )


def _extent(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the received bytes belong, and the size of the whole file if it is known."""
    content = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        if content is None or int(content[1]) != have:
            raise http.client.HTTPException("a part of the file that was not asked for")
        return have, int(content[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isascii() and length.isdigit() else None


def _copy(answer: http.client.HTTPResponse, part: Path, start: int, url: str) -> int:
    """Write the received bytes behind those that are there; a cut connection ends the loop."""
    received = 0
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        stream = part.open("ab" if start else "wb")
    with stream:
        while chunk := answer.read(_CHUNK):
            received += len(chunk)
            if start + received > MAX_BYTES:
                raise DataError(f"expected at most {MAX_BYTES} bytes at {url}, got more; stopped")
            with _writing(part):
                stream.write(chunk)
    return received


def _verified(part: Path, url: str, verify: Callable[[Path], object]) -> None:
    """Check the content; what is wrong is not kept, since more bytes would not mend it."""
    try:
        verify(part)
    except DataError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"expected {Path(urlsplit(url).path).name} at {url}, got something else ({error}); "
            "check --url, or whether a sign-in page of your network answers instead"
        ) from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell trouble with the disk from that with the network."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"expected to write {path}, got '{error.strerror or error}'; free some space or "
            "choose another --output"
        ) from error


def _unreachable(url: str, error: str) -> MissingDataError:
    return MissingDataError(
        f"expected an answer from {url}, got {error}; check the network and its proxy settings, "
        "run the command again to go on where it stopped, or give a mirror with --url"
    )
