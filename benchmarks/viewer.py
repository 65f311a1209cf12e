"""What the viewer's page weighs and how fast it is, in headless Chromium; and its picture.

    python benchmarks/viewer.py [--seconds 10] [--write FOLDER] [--picture FILE]

Needs node, Chromium and the packages of `make browser`. What is shown is generated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lifting.atomic import write_text
from lifting.cli.main import answer
from lifting.data.procedural.generator import generate_motion
from lifting.errors import ConfigError
from lifting.poses import Poses
from lifting.skeleton import H36M_17
from lifting.visualization.viewer.page import Clip, write_viewer

BROWSER = Path(__file__).resolve().parents[1] / "tests" / "browser"
FRAMES, SHORT, RATE = 5000, 500, 50.0
PEOPLE, CLIPS = 3, 8  # eight clips share a person
ANKLES = (3, 6)
PICTURE = {"width": 1180, "height": 800, "frame": 150}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and draw the picture where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of playing, each way to draw")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="also write viewer.md there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="only write this .png")
    return answer(measure, parser.parse_args(argv))


def crowd(frames: int) -> Poses:
    """Three generated people before a camera that looks down by ten degrees."""
    motion = generate_motion(PEOPLE * CLIPS, frames, seed=2, fps=RATE).joints_3d.numpy()
    clips = motion.reshape(PEOPLE, CLIPS, frames, 17, 3).astype(np.float64)
    roams = np.ptp(clips[:, :, :, 0, :2], axis=2).max(-1)
    world = clips[np.arange(PEOPLE), roams.argmin(1)]  # who stays nearest to a place
    path = world[:, :, :1] if frames > SHORT else world[:, :, :1].mean(1, keepdims=True)
    world -= path * (1, 1, 0)
    world += np.array([(-1700, 300, 0), (0, -300, 0), (1700, 400, 0)])[:, None, None]
    world = world.reshape(-1, 17, 3)
    tilt = np.radians(10)
    ahead, right = np.array((0, np.cos(tilt), -np.sin(tilt))), np.array((1.0, 0, 0))
    local = (world - (0, -7500, 2300)) @ np.stack((right, np.cross(ahead, right), ahead)).T
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (*local.shape[:2], 2))
    return Poses(
        skeleton=H36M_17,
        joints_3d=local - local[:, :1],
        trajectory=local[:, 0],
        sigma=rng.gamma(8, 5, local.shape[:2]),
        keypoints_2d=local[..., :2] / local[..., 2:] * 1150 + (960, 540) + noise,
        confidence=rng.uniform(0.5, 1, local.shape[:2]),
        frame=np.tile(np.arange(frames), PEOPLE),
        track=np.repeat(np.arange(PEOPLE), frames),
        track_names=("person 1", "person 2", "person 3"),
        fps=np.array(RATE),
        intrinsics=np.array((1150.0, 1150, 960, 540)),
        image_size=np.array((1920, 1080)),
        meta={"method": "generated motion", "notes": []},
    )


def look(*words: object) -> Any:
    """What `tests/browser/look.mjs` answers."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not (chromium and shutil.which("node") and (BROWSER / "node_modules").is_dir()):
        raise ConfigError(
            "expected node, Chromium and the packages of tests/browser, got not all of them; run "
            "`make browser`"
        )
    done = subprocess.run(
        ["node", "look.mjs", *map(str, words)], cwd=BROWSER, capture_output=True, text=True,
        check=False, env={**os.environ, "CHROMIUM": chromium},
    )  # fmt: skip
    if done.returncode:
        raise ConfigError(f"expected an answer of the browser, got: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def measure(arguments: argparse.Namespace) -> int:
    """Write the pages, look at them, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        if arguments.picture is not None:
            write_viewer(page, [Clip("three people", crowd(SHORT))])
            words = (PICTURE["width"], PICTURE["height"], "light", "webgl", PICTURE["frame"])
            look("picture", page, arguments.picture.resolve(), *words)
            print(f"written: {arguments.picture}")
            return 0
        poses = crowd(FRAMES)
        write_viewer(page, [Clip("crowd", poses)])
        text = table(page.stat().st_size, look("measure", page, arguments.seconds), arguments)
    print(text, end="")
    if arguments.write is not None:
        write_text(arguments.write / "viewer.md", text)
    return 0


def table(size: int, found: dict[str, Any], arguments: argparse.Namespace) -> str:
    """The answer as a page."""
    blank = json.loads(
        resources.files("lifting.visualization.viewer").joinpath("viewer.json").read_text()
    )["bytes"]
    rows = [
        f"| {name} | {one['load_ms'] / 1000:.2f} | {one['frames_a_second']:.0f} | "
        f"{one['script_ms_median']:.1f} | {one['script_ms_p95']:.1f} |"
        for name, one in (("Canvas 2D", found["canvas"]), ("WebGL, emulated", found["webgl"]))
    ]
    lines = [
        "# The viewer's page",
        "",
        f"`python benchmarks/viewer.py --seconds {arguments.seconds:g} --write benchmarks`",
        "",
        f"{FRAMES:,} frames of three people in 17 joints, with keypoints, confidence and expected",
        f"error, played at {RATE:g} frames a second in headless Chromium, 1280 x 860 pixels, on",
        f"{os.cpu_count()} cores ({platform.machine()}) without a graphics processor. The page "
        "chooses Canvas 2D there by itself.",
        "",
        f"The page without data: {blank / 1e6:.2f} MB. With them: {size / 1e6:.2f} MB.",
        "",
        "| drawn by | load, s | frames a second | script a frame, ms | 95th percentile, ms |",
        "|---|--:|--:|--:|--:|",
        *rows,
        "",
        "Script is all that the page computes for a frame: poses, shadows, keypoints, labels,",
        "curves and the calls that draw.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
