"""Skeletons over videos: made ones, whose frames are known, and real ones with their keypoints."""

from __future__ import annotations

import os
import struct
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lifting.cli import predict
from lifting.cli.main import main
from lifting.cli.view import check_video, show_beside
from lifting.data.keypoints.tracks import read_keypoints
from lifting.errors import ConfigError, DataError, MissingDataError, OutputError
from lifting.poses import Poses
from lifting.skeleton import H36M_17
from lifting.visualization import video as module
from lifting.visualization.video import write_overlay

av = pytest.importorskip("av", reason="PyAV is not installed (extra video)")

REAL = Path(os.environ.get("LIFTING_DATA", "/nowhere")) / "real" / "pose2sim"
WIDTH, HEIGHT, RATE = 128, 96, 25
SIZE = np.array([WIDTH, HEIGHT])


def film(path, stamps, width=WIDTH, height=HEIGHT):
    """A grey video whose frames have these time stamps, milliseconds."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(
                np.full((height, width, 3), 128, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def turned(path):
    """The same file with the flag of a phone that was held upright: a quarter to the right."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: behind flags, times, layer and volume
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def spots(places, **change):
    """One person, all joints of whom are at one place of the image a frame."""
    places = np.asarray(places, float)
    given = {
        "skeleton": H36M_17,
        "joints_3d": np.zeros((len(places), 17, 3)),
        "keypoints_2d": np.repeat(places[:, None], 17, 1),
        "confidence": np.ones((len(places), 17)),
        "frame": np.arange(len(places)),
        "track": np.zeros(len(places), int),
        "track_names": ("person",),
        "fps": np.array(float(RATE)),
        "image_size": SIZE,
    }
    return Poses(**{**given, **change})


def seen(path):
    """Time stamps, ms, where each frame is drawn on, ``(x, y)`` or None, and the size."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        frames = [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in source.decode(stream)
        ]
    found = []
    for _, image in frames:
        rows, columns = np.nonzero(np.abs(image.astype(int) - 128).max(-1) > 60)
        found.append((columns.mean(), rows.mean()) if len(rows) else None)
    return [round(1000 * time) for time, _ in frames], found, frames[0][1].shape[1::-1]


def test_frames_are_drawn_where_and_when_they_are(tmp_path):
    places = [(20 + 8 * n, 30 + 4 * n) for n in range(8)]
    film(tmp_path / "in.mp4", [40 * n for n in range(8)])
    done = write_overlay(tmp_path / "in.mp4", spots(places), tmp_path / "out.mp4")
    assert (done.frames, done.drawn, done.what, done.notes) == (8, 8, "keypoints", ())
    times, found, size = seen(tmp_path / "out.mp4")
    assert (times, size) == ([40 * n for n in range(8)], (WIDTH, HEIGHT))
    np.testing.assert_allclose(found, places, atol=1)


def test_time_stamps_decide_at_a_varying_rate(tmp_path):
    stamps = [0, 40, 120, 160, 280]  # frames 2, 5 and 6 of a rate of 25 were not kept
    numbers = [0, 1, 3, 4, 7]
    places = [(20 + 8 * n, 40) for n in range(8)]
    film(tmp_path / "in.mp4", stamps)
    out = tmp_path / "out.mp4"
    write_overlay(tmp_path / "in.mp4", spots(places), out)
    times, found, _ = seen(out)
    assert times == stamps
    np.testing.assert_allclose(found, [places[n] for n in numbers], atol=1)
    write_overlay(tmp_path / "in.mp4", spots(places), out, matching="number")
    np.testing.assert_allclose(seen(out)[1], places[:5], atol=1)
    done = write_overlay(tmp_path / "in.mp4", spots(places, fps=np.array(np.nan)), out)
    np.testing.assert_allclose(seen(out)[1], places[:5], atol=1)
    assert "matched by their number" in done.notes[0]


def test_frames_without_anybody_stay_as_they_are(tmp_path):
    film(tmp_path / "in.mp4", [0, 40, 80])
    poses = spots([(60, 40)], frame=np.array([1]))
    done = write_overlay(tmp_path / "in.mp4", poses, tmp_path / "out.mp4")
    assert (done.frames, done.drawn) == (3, 1)
    assert [place is not None for place in seen(tmp_path / "out.mp4")[1]] == [False, True, False]


def test_a_flag_that_turns_the_picture_is_obeyed(tmp_path):
    source = turned(film(tmp_path / "in.mp4", [0, 40]))
    upright = spots([(30, 100), (30, 100)], image_size=SIZE[::-1])
    done = write_overlay(source, upright, tmp_path / "out.mp4")
    _, found, size = seen(tmp_path / "out.mp4")
    assert (size, done.notes) == ((HEIGHT, WIDTH), ())
    np.testing.assert_allclose(found, [(30, 100)] * 2, atol=1)
    stored = spots([(100, 30)] * 2)  # a detector that did not look at the flag
    done = write_overlay(source, stored, tmp_path / "out.mp4")
    _, found, size = seen(tmp_path / "out.mp4")
    assert size == (WIDTH, HEIGHT)
    np.testing.assert_allclose(found, [(100, 30)] * 2, atol=1)
    assert "its flag to turn it is ignored" in done.notes[0]


def test_the_lifted_joints_are_drawn_where_they_project_to(tmp_path):
    film(tmp_path / "in.mp4", [0])
    poses = spots(
        [(5, 5)], trajectory=[(400.0, -200, 4000)], intrinsics=np.array([200.0, 200, 64, 48])
    )
    done = write_overlay(tmp_path / "in.mp4", poses, tmp_path / "out.mp4")
    assert done.what == "reprojection"
    np.testing.assert_allclose(seen(tmp_path / "out.mp4")[1], [(84, 38)], atol=1)


def test_sizes_that_differ(tmp_path):
    film(tmp_path / "in.mp4", [0])
    out = tmp_path / "out.mp4"
    double = spots([(120, 80)], image_size=2 * SIZE)
    done = write_overlay(tmp_path / "in.mp4", double, out)
    np.testing.assert_allclose(seen(out)[1], [(60, 40)], atol=1)
    assert "of 256 x 192 pixels are drawn on 128 x 96" in done.notes[0]
    padded = spots([(60, 40)], image_size=SIZE + np.array([8, 0]))  # as codecs fill up to 16
    assert write_overlay(tmp_path / "in.mp4", padded, out).notes == ()
    np.testing.assert_allclose(seen(out)[1], [(60, 40)], atol=1)
    with pytest.raises(DataError, match=r"300 x 100 pixels or of this shape, got 128 x 96"):
        write_overlay(tmp_path / "in.mp4", spots([(6, 4)], image_size=[300, 100]), out)


def test_what_is_no_video_is_refused(tmp_path, monkeypatch):
    film(tmp_path / "in.mp4", [0])
    out = tmp_path / "out.mp4"
    with pytest.raises(MissingDataError, match=r"none\.mp4, got no file"):
        write_overlay(tmp_path / "none.mp4", spots([(6, 4)]), out)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"expected a video that can be read in .*text\.mp4"):
        write_overlay(tmp_path / "text.mp4", spots([(6, 4)]), out)
    with pytest.raises(DataError, match="expected keypoints_2d, or a trajectory"):
        write_overlay(tmp_path / "in.mp4", spots([(6, 4)], keypoints_2d=None), out)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected to write"):
        write_overlay(tmp_path / "in.mp4", spots([(6, 4)]), tmp_path / "file" / "out.mp4")
    assert not out.exists()
    monkeypatch.setattr(module, "_PYAV", "no_such_package")
    with pytest.raises(ConfigError, match=r"pip install lifting\[video\]"):
        write_overlay(tmp_path / "in.mp4", spots([(6, 4)]), out)


def test_the_command_draws_over_a_video(tmp_path, capsys):
    film(tmp_path / "in.mp4", [0, 40])
    spots([(60, 40)] * 2).save(tmp_path / "poses.npz")
    words = ["view", str(tmp_path / "poses.npz"), "--video", str(tmp_path / "in.mp4")]
    assert main(words) == 0
    assert "2 of 2 frames have somebody in them, drawn by keypoints" in capsys.readouterr().out
    assert (tmp_path / "viewer.html").is_file()
    own = tmp_path / "overlay.mp4"
    assert main([*words[:3], str(own)]) == 2
    assert "that is not the one to write" in capsys.readouterr().err


def test_a_prediction_is_drawn_beside_it(tmp_path, capsys):
    film(tmp_path / "in.mp4", [0, 40])
    spots([(60, 40)] * 2).save(tmp_path / "out" / "poses.npz")
    asked = Namespace(video=tmp_path / "in.mp4", match="number")
    check_video(asked, tmp_path / "out")
    show_beside(asked, tmp_path / "out" / "poses.npz", page=True)
    assert capsys.readouterr().out.count("written: ") == 2
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "poses.npz", "viewer.html", "overlay.mp4",
    }  # fmt: skip
    with pytest.raises(OutputError, match="that is not the one to write"):
        check_video(Namespace(video=tmp_path / "out" / "overlay.mp4"), tmp_path / "out")


def test_keypoints_have_the_rate_of_their_video(tmp_path, capsys, caplog):
    film(tmp_path / "in.mp4", range(0, 2000, 40))
    points = np.random.default_rng(0).uniform(10, 90, (50, 17, 2))
    given = {"keypoints_2d": points, "image_size": [WIDTH, HEIGHT], "skeleton": "h36m17"}
    np.savez(tmp_path / "walk.npz", **given)
    parser = ArgumentParser()
    predict.register(parser.add_subparsers())
    words = ["predict", "--keypoints", str(tmp_path / "walk.npz")]
    words += ["--video", str(tmp_path / "in.mp4")]

    def rate(*more):
        seen = predict._own_video(parser.parse_args([*words, *more]))
        return seen.fps

    assert rate() == pytest.approx(RATE, rel=0.01)
    assert f"not known: {RATE} are taken, those of" in capsys.readouterr().out
    assert rate("--fps", "24") == 24
    assert rate("--fps", "10", "--match", "number") == 10
    assert not [line for line in caplog.messages if "keypoints last" in line]
    assert rate("--fps", "10") == 10
    said = [line for line in caplog.messages if "keypoints last" in line]
    assert "last to 5.0 s at 10 frames a second" in said[0]
    assert "to 2.0 s at 25: " in said[0]
    assert "correct --fps, or give --match number" in said[0]
    (tmp_path / "in.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"expected a video that can be read in .*in\.mp4"):
        rate()


@pytest.mark.skipif(not REAL.is_dir(), reason="set LIFTING_DATA: no real/pose2sim there")
@pytest.mark.parametrize(("camera", "wide"), [("cam02", 1080), ("cam03", 1088)])
def test_real_videos_with_their_keypoints(camera, wide, tmp_path):
    """The first frames: VP9 of 1080 pixels, H.264 of 1088, with keypoints of images of 1088."""
    short = tmp_path / "short.mp4"
    with av.open(str(REAL / "videos" / f"{camera}.mp4")) as source:
        stream = source.streams.video[0]
        with av.open(str(short), "w") as target:
            copy = target.add_stream_from_template(stream)
            for number, packet in enumerate(source.demux(stream)):
                if packet.dts is None or number >= 6:
                    break
                packet.stream = copy
                target.mux(packet)
    tracks = read_keypoints(
        REAL / "pose-associated" / f"{camera}_json", image_size=(1088, 1920), fps=60.0
    )
    first = int(tracks.offsets[1])
    keypoints = tracks.keypoints_2d[:first].numpy()
    poses = Poses(
        skeleton=tracks.skeleton,
        joints_3d=np.zeros((first, 17, 3)),
        keypoints_2d=keypoints,
        confidence=tracks.confidence[:first].numpy(),
        frame=np.arange(first),
        track=np.zeros(first, int),
        track_names=("person",),
        fps=60.0,
        image_size=np.array([1088, 1920]),
    )
    done = write_overlay(short, poses, tmp_path / "out.mp4")
    assert done.frames == done.drawn >= 3
    assert done.notes == ()
    with av.open(str(tmp_path / "out.mp4")) as drawn, av.open(str(short)) as plain:
        new, old = (
            next(file.decode(video=0)).to_ndarray(format="rgb24") for file in (drawn, plain)
        )
    assert new.shape == old.shape == (1920, wide, 3)
    changed = np.abs(new.astype(int) - old).max(-1) > 60
    pixels = np.argwhere(changed)[:, ::-1]
    joints = poses.keypoints_2d[0][poses.confidence[0] > 0.3]
    near = np.linalg.norm(pixels[:, None] - joints, axis=-1).min(0)
    assert near.max() < 12  # something is drawn at every joint
    box = joints.min(0) - 60, joints.max(0) + 60
    assert ((pixels > box[0]) & (pixels < box[1])).all(1).mean() > 0.9


def test_the_names_of_several_people_are_drawn(tmp_path):
    film(tmp_path / "in.mp4", [0])
    one = spots([(40, 70), (90, 70)], frame=np.array([0, 0]), track=np.array([0, 1]),
                track_names=("a", "b"))  # fmt: skip
    bare = replace(one, track=np.array([0, 0]), frame=np.array([0, 1]), track_names=("a",))
    marks = {}
    for name, poses in (("several", one), ("alone", bare)):
        write_overlay(tmp_path / "in.mp4", poses, tmp_path / "out.mp4")
        with av.open(str(tmp_path / "out.mp4")) as source:
            image = next(source.decode(video=0)).to_ndarray(format="rgb24")
        marks[name] = (np.abs(image[40:66, 20:60].astype(int) - 128).max(-1) > 60).sum()
    assert marks["several"] > marks["alone"] + 20
