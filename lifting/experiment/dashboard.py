"""The dashboard of a project as plain data: what is shown, in which order. Imports no torch.

The list is ours; Weights & Biases' own classes come in only when it is published there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lifting.atomic import write_text
from lifting.errors import ConfigError, OutputError
from lifting.experiment.connection import answers, base_url, has_key

PICTURES_WORST = "pictures/worst"
PICTURES_PER_JOINT = "pictures/per_joint"
PICTURES_PER_ACTION = "pictures/per_action"
PICTURES_FITS = "pictures/fits"
FILM_FITS = "pictures/fits_film"
TABLE_WORST = "worst_samples"
PAGE_TRACKS, FILM_TRACKS, TABLE_TRACKS = "tracks/page", "tracks/film", "predictions"
STEP = "trainer/global_step"
SPEC_VERSION = 1
PACKAGE = "wandb_workspaces"

Kind = Literal["line", "bar", "media", "table"]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: ``line`` over steps, ``bar`` with one bar a run, ``media`` pictures, or ``table``.
        title: Its headline.
        keys: Logged keys it shows; a table shows one.
        log: Logarithmic value axis.
    """

    kind: Kind
    title: str
    keys: tuple[str, ...]
    log: bool = False


@dataclass(frozen=True)
class Section:
    """A named group of panels.

    Attributes:
        name: Its headline.
        panels: In order.
    """

    name: str
    panels: tuple[Panel, ...]


DASHBOARD: tuple[Section, ...] = (
    Section(
        "Results",
        (
            Panel("bar", "MPJPE on the test split, mm", ("test/mpjpe_mm",)),
            Panel("bar", "PA-MPJPE on the test split, mm", ("test/pa_mpjpe_mm",)),
            Panel("bar", "N-MPJPE on the test split, mm", ("test/n_mpjpe_mm",)),
            Panel("bar", "PCK at 150 mm on the test split", ("test/pck_150mm",)),
            Panel("bar", "AUC on the test split", ("test/auc",)),
        ),
    ),
    Section(
        "Validation",
        (
            Panel("line", "validation MPJPE, mm", ("val/mpjpe_mm",)),
            Panel("line", "validation PA-MPJPE, mm", ("val/pa_mpjpe_mm",)),
            Panel("line", "validation PCK at 150 mm and AUC", ("val/pck_150mm", "val/auc")),
        ),
    ),
    Section("Training", (Panel("line", "training loss", ("train/loss",), log=True),)),
    Section(
        "What goes wrong",
        (
            Panel("media", "worst test samples: input, truth, prediction", (PICTURES_WORST,)),
            Panel("table", "worst test samples", (TABLE_WORST,)),
            Panel("media", "error per joint and per action",
                  (PICTURES_PER_JOINT, PICTURES_PER_ACTION)),
            Panel("media", "bodies fitted to images", (PICTURES_FITS, FILM_FITS)),
        ),
    ),
)  # fmt: skip


def dashboard_spec(
    project: str, entity: str | None = None, sections: tuple[Section, ...] = DASHBOARD
) -> dict[str, Any]:
    """The dashboard as plain data that fits into JSON.

    Args:
        project: Name of the W&B project.
        entity: Team or user; None is the key's default.
        sections: What to show.

    Raises:
        ConfigError: The project has a name that W&B does not accept.
    """
    if not project or re.search(r"[/\\#?%:]", project) or len(project) > 128:
        raise ConfigError(
            f"expected a project name of 1 to 128 characters without / \\ # ? % :, got "
            f"'{project}'; give a team with --entity"
        )
    return {
        "version": SPEC_VERSION,
        "name": "lifting",
        "project": project,
        "entity": entity,
        "x": STEP,
        "sections": [asdict(section) for section in sections],
    }


def write_spec(path: Path, spec: Mapping[str, Any]) -> None:
    """Write a dashboard as JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, json.dumps(spec, indent=2) + "\n")


def obstacle(timeout: float) -> str | None:
    """What keeps a dashboard from being published, in words; None when nothing does.

    Args:
        timeout: Seconds to wait for the server.
    """
    url = base_url()
    if find_spec(PACKAGE) is None:
        return "the package wandb-workspaces is not installed"
    if not has_key(url):
        return f"there is no API key of {url} (set WANDB_API_KEY or run `wandb login`)"
    if not answers(url, timeout):
        return f"{url} did not answer within {timeout:g} s"
    return None


def publish(
    project: str, entity: str | None = None, sections: tuple[Section, ...] = DASHBOARD
) -> str:
    """Create the dashboard as a workspace of a W&B project.

    Args:
        project: Name of the W&B project.
        entity: Team or user; None is the key's default.
        sections: What to show.

    Returns:
        Address of the workspace.

    Raises:
        OutputError: W&B refuses it.
    """
    import wandb
    from requests.exceptions import RequestException

    try:
        owner = entity or wandb.Api().default_entity
        workspace = to_workspace(project, str(owner), sections)
        workspace.save()
    except (wandb.Error, RequestException, ValueError) as error:
        raise OutputError(
            f"expected W&B to accept the dashboard of project '{project}', got '{error}'; check "
            "project, --entity and key, or write a file with --offline FILE.json"
        ) from error
    return str(workspace.url)


def to_workspace(project: str, entity: str, sections: tuple[Section, ...] = DASHBOARD) -> Any:
    """The dashboard as an unsaved ``Workspace`` of wandb-workspaces.

    Args:
        project: Name of the W&B project.
        entity: Team or user.
        sections: What to show.
    """
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name="lifting",
        sections=[
            ws.Section(name=section.name, panels=[_to_panel(p) for p in section.panels],
                       is_open=True)
            for section in sections
        ],
    )  # fmt: skip


def _to_panel(panel: Panel) -> Any:
    import wandb_workspaces.reports.v2 as wr

    if panel.kind == "line":
        return wr.LinePlot(title=panel.title, x=STEP, y=list(panel.keys), log_y=panel.log)
    if panel.kind == "bar":
        return wr.BarPlot(title=panel.title, metrics=list(panel.keys), orientation="h")
    if panel.kind == "media":
        return wr.MediaBrowser(title=panel.title, media_keys=list(panel.keys))
    return wr.WeavePanelSummaryTable(table_name=panel.keys[0])
