"""``lifting predict --keypoints``: a detector's own files, and the options beside them."""

from __future__ import annotations

import argparse
import contextlib
import io
import json

import numpy as np
import pytest
from detected import detected

from lifting.cli import predict
from lifting.cli.main import main
from lifting.data.keypoints.read import read_video
from lifting.data.keypoints.tracks import tracks_of
from lifting.experiment.config import ExperimentConfig
from lifting.files.checks import sha256_of


@pytest.fixture
def results(tmp_path):
    """COCO results of two people with track numbers 3 and 4; person 4 is the larger."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(-1, 1, (17, 2))
    entries = []
    for frame in (8, 9, 10, 12):
        for track, x, size in ((3, 150, 50), (4, 400, 120)):
            joints = np.c_[shape * size + [x + frame, 240], np.full(17, 0.8)]
            keypoints = joints.round(2).reshape(-1).tolist()
            entry = {"image_id": f"{frame}.jpg", "keypoints": keypoints, "track_id": track}
            entries.append({**entry, "category_id": 1, "score": 0.9})
    path = tmp_path / "dance.json"
    path.write_text(json.dumps(entries[::-1]))
    return path


@pytest.fixture
def trained(tiny_experiment):
    assert main(["train", "tiny", "trainer.max_epochs=1", "method.warm_epochs=1"]) == 0


def test_a_detector_s_file_is_lifted(trained, results, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    output = tmp_path / "poses.npz"
    command = ["predict", "tiny", "--output", str(output), "--keypoints", str(results)]
    command += ["--skeleton", "coco17"]  # these are no people
    options = ["--person", "3", "--fps", "25", "--intrinsics", "700", "700", "320", "240"]
    assert main([*command, "--image-size", "640", "480", *options]) == 0
    said = capsys.readouterr().out
    assert "coco-results (coco17), 17 joints: coco17 by --skeleton, person 3 of 2" in said
    assert (
        "person 3 of 2, asked for 3, by ids, 5 frames of people (1 filled in) in 1 pieces" in said
    )
    assert "intrinsics given\n" in said
    with np.load(output) as file:
        assert file["joints_3d"].shape == (5, 17, 3)
        assert file["frame"].tolist() == [8, 9, 10, 11, 12]
        assert file["fps"] == 25
        assert file["intrinsics"].tolist() == [700, 700, 320, 240, 0, 0, 0, 0, 0]
        meta = json.loads(file["meta"].tobytes())
    assert meta["command"].startswith("lifting predict tiny --output")
    assert meta["source"]["sha256"] == sha256_of(results)
    assert meta["source"]["file"] == str(results)
    with np.load(output) as file:
        assert file["track_names"].tolist() == ["dance"]
    assert main(command) == 2
    assert "give --image-size WIDTH HEIGHT" in capsys.readouterr().err
    assert "a second are not known" not in said
    size = ["--image-size", "640", "480"]
    assert main([*command, *size]) == 0
    said = capsys.readouterr().out
    assert "frames a second are not known: single frames are lifted, and 30 a second are" in said
    inside = ["--output", str(results / "poses.npz")]
    assert main([*command, *size, *inside]) == 2
    assert "dance.json, which is a file and not a folder; choose" in capsys.readouterr().err


def test_the_frames_of_each_person_are_said(results):
    seen = read_video(results, image_size=(640, 480), skeleton="coco17")
    tracks = tracks_of(results, seen)
    counts = [int(count) for count in tracks.offsets.diff()]
    said = predict._frames_of(tracks)
    for who in ("person 3", "person 4"):
        number = tracks.subject_names.index(who)
        whose = [
            n for n, one in zip(counts, tracks.subject.tolist(), strict=True) if one == number
        ]
        assert f"{sum(whose)} of {who}" in said
    assert "ids in the file" not in said  # which has some
    assert predict._frames_of(tracks.select(tracks.subject[:1] * 0)) == ""


def test_images_of_somebody_else_each_may_be_photographs(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    people = detected("coco17", 60)
    people[30:, :, :, :2] = people[30:, :, :, :2] * 0.4 + (950, 100)
    path = tmp_path / "a.json"
    entry = {"category_id": 1, "score": 0.9}
    path.write_text(
        json.dumps(
            [
                {**entry, "image_id": f"IMG_{i}.jpg", "keypoints": frame[0].reshape(-1).tolist()}
                for i, frame in enumerate(people)
            ]
        )
    )
    config = ExperimentConfig(name="tiny", method={"name": "simple_baseline"})
    hint = "images are taken for frames of a video; if photographs, give --photographs\n"
    for options, expected in (({}, True), ({"fps": 25}, False), ({"photographs": True}, False)):
        video = read_video(path, image_size=(1280, 720), skeleton="coco17", **options)
        predict._say(tracks_of(path, video), config)
        assert (hint in capsys.readouterr().out) == expected


def test_a_camera_is_said_to_be_unused_only_where_it_is(results, tiny_method, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    size = ["--image-size", "640", "480", "--skeleton", "coco17"]
    words = ["predict", "tiny", "--keypoints", str(results), *size]

    def said(method, *options, **switches):
        parser = argparse.ArgumentParser()
        predict.register(parser.add_subparsers())
        config = ExperimentConfig(name="tiny", method={"name": method, **switches})
        config.tto.enabled = "optimised" in options
        given = [o for o in options if o != "optimised"]
        capture = io.StringIO()
        with contextlib.redirect_stdout(capture):
            video = predict._own_video(parser.parse_args([*words, *given]))
            predict._say(tracks_of(results, video), config)
        return capture.getvalue().partition("\n")[0] + "\n"

    lens = ["--intrinsics", "700", "700", "320", "240"]
    assert "given, but simple_baseline does not use them\n" in said("simple_baseline", *lens)
    assert said("simple_baseline", *lens, "optimised").endswith("intrinsics given\n")
    assert "given, but diffpose does not use them\n" in said("diffpose", *lens)
    assert said("diffpose", *lens, aggregation="best_joint").endswith("intrinsics given\n")
    assert said("simple_baseline").endswith("image, but simple_baseline does not use them\n")


def test_options_of_keypoints_need_keypoints(tiny_experiment, capsys):
    assert main(["predict", "tiny", "--image-size", "640", "480"]) == 2
    assert "expected --keypoints beside --image-size" in capsys.readouterr().err


def test_keypoints_become_files_of_other_programs(trained, tmp_path, capsys):
    rng = np.random.default_rng(0)
    seen = rng.uniform(100, 400, (12, 2, 17, 2))
    seen += [[[0, 0]], [[500, 0]]]
    seen[3:6, 1] = np.nan
    np.savez(tmp_path / "two.npz", keypoints_2d=seen, image_size=[1000, 500], skeleton="h36m17")
    command = ["predict", "tiny", "--keypoints", str(tmp_path / "two.npz")]
    out = tmp_path / "out"
    assert main([*command, "--export", "bvh,trc", "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"predictions: {out / 'poses.npz'}" in said
    assert "frames a second are not known: 30 are assumed" in said
    assert len(list(out.glob("*.bvh"))) == len(list(out.glob("*.trc"))) == 2
    assert f"written: {out / 'viewer.html'}, opens in a browser" in said
    assert '"title": "out"' in (out / "viewer.html").read_text(encoding="utf-8")
    about = json.loads((out / "poses.meta.json").read_text())
    assert about["provenance"]["command"].startswith("lifting predict tiny")

    for words, message in (
        (["--export", "bvh", "--output", str(tmp_path / "a.npz")], "expected a folder for --out"),
        (["--export", "fbx", "--output", str(tmp_path / "a.npz")], "unknown export 'fbx'"),
        (["--export", "gbl"], "unknown export 'gbl'; did you mean 'glb'"),
        (["--joint-names", "vrm"], "expected --export beside --joint-names"),
        (["--video", str(tmp_path / "none.mp4")], "none.mp4, got no file; name the video"),
    ):
        assert main([*command, *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--height", "1.8"], "expected --keypoints beside --height"),
        (["--without", "feet"], "expected --keypoints beside --without"),
        (["--keypoints", "x", "--lookahead", "5"], "expected --causal beside --lookahead 5"),
        (["--keypoints", "x", "--height", "1780"], "1780 mm are 1.78 m"),
        (["--keypoints", "x", "--bone", "left_knee"], "expected --bone JOINT=MM"),
        (["--keypoints", "x", "--without", "foot"], "did you mean 'root'"),
        (["--keypoints", "x", "--up", "0", "0", "0"], "three numbers that point up"),
        (
            ["--keypoints", "x", "--height", "1.7", "--without", "all"],
            "stage scale beside --height",
        ),
    ],
)
def test_mistakes_about_motion_are_explained(capsys, words, message):
    assert main(["predict", "simple_baseline", *words]) == 2
    assert message in capsys.readouterr().err
