"""An installed package adds a format of its own, without an edit of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lifting

HOUSE = Path(lifting.__file__).parents[1]

MODULE = """
from lifting.data.keypoints.dialects import Dialect
from lifting.data.keypoints.people import Sighting, Sightings


def read(source):
    rows = [[v for joint in row["pts"] for v in joint] for row in source.content]
    people = [Sighting(i, row) for i, row in enumerate(rows)]
    return Sightings("lab", [str(i) for i in range(len(people))], people, named="coco17")


DIALECTS = (
    Dialect(
        name="lab", title="the format of our lab", kinds=("json",), keys=("pts",),
        sees=lambda source: "pts" in source.keys, read=read,
    ),
)
"""
USE = """
import json, sys
from pathlib import Path
sys.path.append(sys.argv[2])
from detected import detected
from lifting.cli.main import main

path = Path(sys.argv[1])
people = detected("coco17", 20)
path.write_text(json.dumps([{"pts": frame[0].tolist()} for frame in people]))
raise SystemExit(main(["data", "look", str(path)]))
"""


def test_a_dialect_of_an_installed_package_is_used(tmp_path):
    site = tmp_path / "site"
    installed = site / "lab_keypoints-1.0.dist-info"
    installed.mkdir(parents=True)
    (site / "lab_keypoints.py").write_text(MODULE)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lab-keypoints\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text(
        "[lifting.keypoint_dialects]\nlab = lab_keypoints\n"
    )
    from detected import __file__ as writers

    ended = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "a.json"), str(writers.rpartition("/")[0])],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{HOUSE}", "COLUMNS": "200"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "the format of our lab (lab)" in ended.stdout
    assert "17 joints: coco17 by names in the file" in ended.stdout
