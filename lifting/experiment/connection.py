"""Whether a run can talk to Weights & Biases: found out beforehand, without a question or a hang.

Imports neither torch nor wandb.
"""

from __future__ import annotations

import configparser
import netrc
import os
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from lifting.errors import ConfigError, OutputError
from lifting.experiment.config import WandbConfig

Mode = Literal["online", "offline", "disabled"]
PUBLIC_HOST = "https://api.wandb.ai"
_ENVIRONMENT: dict[str, Mode] = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}


class Choice(NamedTuple):
    """How a run will log to W&B.

    Attributes:
        mode: What to do.
        reason: Why, for the message.
    """

    mode: Mode
    reason: str


def choose_mode(config: WandbConfig) -> Choice:
    """Decide between online, offline and disabled in at most about ``config.timeout`` seconds.

    Args:
        config: The section ``wandb``; with ``auto`` the variable WANDB_MODE may still switch W&B
            off, and a missing key or network leads to an offline run.

    Raises:
        ConfigError: ``online`` was asked for without a key.
        OutputError: ``online`` was asked for, and the server does not answer.
    """
    if config.mode in ("offline", "disabled"):
        return Choice(config.mode, f"wandb.mode={config.mode}")
    wanted = _ENVIRONMENT.get(os.environ.get("WANDB_MODE", "").lower())
    if config.mode == "auto" and wanted is not None:
        return Choice(wanted, f"WANDB_MODE={wanted}")
    url = base_url()
    if not has_key(url):
        if config.mode == "online":
            raise ConfigError(
                f"expected an API key of {url} for wandb.mode=online, got none; set WANDB_API_KEY "
                "or run `wandb login`, or use wandb.mode=auto"
            )
        return Choice("offline", f"no API key of {url}")
    if not answers(url, config.timeout):
        if config.mode == "online":
            raise OutputError(
                f"expected {url} to answer within {config.timeout:g} s for wandb.mode=online, got "
                "nothing; check the network, or use wandb.mode=auto"
            )
        return Choice("offline", f"{url} did not answer within {config.timeout:g} s")
    return Choice("online", url)


def base_url() -> str:
    """The W&B server that is configured: environment, settings files, else the public one."""
    return (os.environ.get("WANDB_BASE_URL") or _setting("base_url") or PUBLIC_HOST).rstrip("/")


def has_key(url: str) -> bool:
    """Whether a credential for the server is stored anywhere wandb looks for one.

    Args:
        url: The server.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return bool(_setting("api_key")) or _netrc_has(urlsplit(url).netloc)


def answers(url: str, timeout: float) -> bool:
    """Whether a server's interface answers anything at all, through a proxy if one is configured.

    The question is asked in a thread that is given up on, because looking a name up has no time
    limit of its own.

    Args:
        url: The server.
        timeout: Seconds.
    """
    outcome: list[bool] = []
    asker = threading.Thread(
        target=lambda: outcome.append(_ask(url, timeout)), name="wandb-probe", daemon=True
    )
    asker.start()
    asker.join(timeout)
    return outcome == [True]


def _ask(url: str, timeout: float) -> bool:
    try:
        question = urllib.request.Request(
            f"{url}/graphql",  # what W&B itself asks; a front page may answer without it
            data=b'{"query": "query {__typename}"}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(question, timeout=timeout):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, HTTPException, ValueError):
        return False


def _setting(key: str) -> str | None:
    """A key of wandb's settings files, the working folder's before the user's."""
    config_home = os.environ.get("WANDB_CONFIG_DIR") or Path.home() / ".config" / "wandb"
    local = Path(os.environ.get("WANDB_DIR") or ".") / "wandb" / "settings"
    for path in (local, Path(config_home) / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        value = parser.get("default", key, fallback=None)
        if value:
            return value
    return None


def _netrc_has(host: str) -> bool:
    named = os.environ.get("NETRC")
    places = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for path in places:
        try:
            found = netrc.netrc(path).authenticators(host)
        except (netrc.NetrcParseError, UnicodeDecodeError, OSError):
            continue
        if found is not None and found[2]:
            return True
    return False
