"""The page in a real browser: headless Chromium, driven by Playwright through node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifting.poses import Poses
from lifting.skeleton import H36M_17
from lifting.visualization.viewer.page import Clip, write_viewer

BROWSER = Path(__file__).parents[2] / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
# Both pages see the mouse; what does not depend on the drawing, or on the data, is seen once.
PARTS = {"one": ("canvas", "webgl", "title"), "two": ("canvas", "touch", "keyboard", "themes")}
MICE = [("one", "canvas"), ("one", "webgl"), ("two", "canvas")]
EVIL = "</script><img src=x onerror=alert(1)>"
LACKING = [
    name
    for name, there in (
        ("node", shutil.which("node")),
        ("Chromium", CHROMIUM),
        ("playwright-core", (BROWSER / "node_modules" / "playwright-core").is_dir()),
        ("axe-core", (BROWSER / "node_modules" / "axe-core").is_dir()),
    )
    if not there
]
pytestmark = pytest.mark.skipif(
    bool(LACKING), reason=f"no {', '.join(LACKING)}; `make browser` installs what is missing"
)
# Arms and legs apart, facing the camera, so that no limb hides another; relative to the hip.
SPREAD = np.array(
    [
        (0, 0, 0), (-130, 0, 0), (-250, 0, 420), (-330, 0, 840), (130, 0, 0), (250, 0, 420),
        (330, 0, 840), (0, 0, -250), (0, 0, -480), (0, 0, -590), (0, 0, -690), (170, 0, -470),
        (440, 0, -400), (690, 0, -330), (-170, 0, -470), (-440, 0, -400), (-690, 0, -330),
    ],
    float,
)[:, [0, 2, 1]]  # fmt: skip


def people(count, frames=60, **change):
    """Persons side by side who sway, in the frame of a level camera, y down."""
    time = np.tile(np.arange(frames), count)
    person = np.repeat(np.arange(count), frames)
    place = np.stack((2000 * person + 60 * np.sin(time / 9), 0 * time, 5000 + 0 * time), -1)
    joints = SPREAD + place[:, None]
    return Poses(
        skeleton=H36M_17,
        joints_3d=joints - joints[:, :1],
        trajectory=joints[:, 0],
        keypoints_2d=joints[..., :2] / joints[..., 2:] * 1000 + 500,
        sigma=np.full(joints.shape[:2], 30.0),
        frame=time,
        track=person,
        track_names=(EVIL, "b", "c")[:count],
        fps=np.array(50.0),
        intrinsics=np.array([1000.0, 1000, 500, 500]),
        image_size=np.array([1000, 1000]),
        **change,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the driver saw on a page of one file of one person, and on one of two files of two."""
    folder = tmp_path_factory.mktemp("pages")
    one, two = people(1), people(2)
    other = replace(two, joints_3d=two.joints_3d * np.float32(1.05))
    write_viewer(folder / "one.html", [Clip(EVIL, one)], title=EVIL)
    write_viewer(folder / "two.html", [Clip("truth", two), Clip("lifted", other)])
    pages = [f"{folder / name}.html={','.join(parts)}" for name, parts in PARTS.items()]
    words = ["node", "look.mjs", "check", *pages]
    done = subprocess.run(
        words, cwd=BROWSER, capture_output=True, text=True, check=False, timeout=170,
        env={**os.environ, "CHROMIUM": str(CHROMIUM)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return {Path(path).stem: seen for path, seen in answer.items()}


def test_no_error_no_request_no_foreign_script(found):
    parts = [part for page in found.values() for name, part in page.items() if name != "themes"]
    parts += found["two"]["themes"].values()
    assert [part["trouble"] for part in parts] == [[]] * 10


def test_names_stay_text(found):
    assert found["one"]["title"] == {"text": EVIL, "images": 0, "trouble": []}


@pytest.mark.parametrize(("page", "drawing"), MICE)
def test_the_mouse_plays_scrubs_and_turns(found, page, drawing):
    seen = found[page][drawing]
    assert (seen["start"]["drawing"], seen["start"]["index"]) == (drawing, 0)
    assert seen["start"]["frames"] == 60
    assert not seen["start"]["playing"]
    assert not seen["played"]["playing"]
    assert (seen["scrubbed"], seen["stepped"]) == (5, 6)
    assert seen["dragged"] > 3
    assert seen["end"]["drawing"] == ("webgl" if drawing == "canvas" else "canvas")


def test_a_click_picks_a_person(found):
    picked, wanted = found["two"]["canvas"]["clicked"]
    assert picked == wanted == "b"


@pytest.mark.parametrize("drawing", ["canvas", "webgl"])
def test_limbs_have_the_colour_of_their_side(found, drawing):
    limbs = found["one"][drawing]["limbs"]
    assert len(limbs) == 8
    for limb in limbs:
        wanted = np.array([int(limb["wanted"][i : i + 2], 16) for i in (1, 3, 5)], float)
        seen = np.array(limb["colour"], float)
        if drawing == "webgl":  # lit: as bright as may be, of the same hue
            wanted, seen = wanted / np.linalg.norm(wanted), seen / np.linalg.norm(seen)
        tolerance = 0.12 if drawing == "webgl" else 3
        np.testing.assert_allclose(seen, wanted, atol=tolerance, err_msg=limb["name"])


def test_fingers_turn_zoom_move_pick_and_scrub(found):
    seen = found["two"]["touch"]
    assert abs(seen["turned"]["across"] - 1) > 0.3  # an arm lies otherwise across the view
    assert seen["turned"]["tall"] == pytest.approx(1, abs=0.3)  # nearer or farther now
    assert seen["pinched"] > 1.4
    assert seen["unpinched"] == pytest.approx(1, abs=0.1)
    assert seen["moved"] == pytest.approx(0.2, abs=0.05)
    assert (seen["start"], seen["still"]) == (0, 0)
    picked, wanted = seen["tapped"]
    assert picked == wanted == "b"
    assert 25 <= seen["scrubbed"] <= 35
    assert seen["played"]["index"] > seen["scrubbed"]
    assert not seen["played"]["playing"]
    assert seen["shift"] == [0, 0, 1]  # the page itself neither scrolled nor zoomed


def test_the_keyboard_does_all_of_it(found):
    seen = found["two"]["keyboard"]
    wanted = {"theme", "stage", "frame", "first", "back", "play", "forward", "speed", "view-front",
              "view-top", "view-camera", "follow", "person", "bodies", "errors", "other",
              "drawing", "SUMMARY"}  # fmt: skip
    assert wanted <= set(seen["reached"])
    assert seen["paused"]
    assert (seen["last"], seen["stepped"], seen["picked"]) == (59, 1, "b")
    assert seen["turned"] > 3
    assert "frame 1" in seen["label"]


def test_nothing_moves_by_itself_where_no_motion_is_wanted(found):
    assert found["two"]["keyboard"]["eased"] == 0


def test_both_themes_and_both_widths_are_accessible(found):
    seen = found["two"]["themes"]
    assert len(seen) == 4
    for name, theme in seen.items():
        assert theme["violations"] == [], name
        assert theme["wide"] <= (360 if "phone" in name else 1280), name
    backs = {name: sum(map(int, theme["back"][4:-1].split(","))) for name, theme in seen.items()}
    assert backs["desktop dark"] < 150 < 600 < backs["desktop light"]
    assert backs["phone dark"] < 150 < 600 < backs["phone light"]
