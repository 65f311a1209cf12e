"""``lifting export``: poses as files of other programs."""

from __future__ import annotations

import pytest
from walkers import walkers

from lifting.cli.main import main


def test_a_file_of_poses_is_exported(tmp_path, capsys):
    walkers(2).save(tmp_path / "walk.npz")
    out = tmp_path / "out"
    words = ["export", str(tmp_path / "walk.npz"), "--to", "bvh,csv-wide", "--output", str(out)]
    assert main([*words, "--joint-names", "mixamo", "--max-gap", "1"]) == 0
    said = capsys.readouterr().out
    assert "frame: world: z up" in said
    assert "animation of person 1: constant bones are" in said
    assert f"written: {out / 'walk_person_1.bvh'}" in said
    assert (out / "walk_wide.csv").read_text().startswith("frame,time_s,person,Hips_x_mm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "fbx"], "unknown export 'fbx'; "),
        (["--to", "csv", "--max-gap", "-1"], "expected --max-gap from 0 to 3600 seconds"),
        (["--to", "csv"], "nowhere.npz"),
    ],
)
def test_mistakes_are_said(tmp_path, capsys, options, message):
    assert main(["export", str(tmp_path / "nowhere.npz"), *options]) == 2
    assert message in capsys.readouterr().err
