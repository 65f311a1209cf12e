"""What is called unusual: CMU's test subjects, joints in wrong orders, and broken tracks.

    python benchmarks/unusual_input.py EXPERIMENT [KEY=VALUE ...] [--clips 100] [--write FILE]

What is usual is learnt from the training split of an experiment (its YAML file or that of a run),
its levels from the validation split, as `lifting convert weights` does; no network takes part.
Clips are pieces of 100 frames of the test split, each a file. Wrong orders: people with a face
and feet, filmed by the clip's camera in the joints of one set and read as another of its count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [
    str(ROOT / "tests" / "fixtures_formats"), str(ROOT / "tests" / "unit" / "data" / "keypoints")
]  # fmt: skip
FRAMES, SPREAD, KEPT = 100, 0.008, 0.92  # of a clip; of a person's height; from frame to frame


def main() -> int:
    """Print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="FILE", help="markdown file to write")
    arguments = parser.parse_args()
    words = " ".join([arguments.experiment, *arguments.overrides])
    said = f"`python benchmarks/unusual_input.py {words} --clips {arguments.clips}`"
    lines = ["# Unusual input", "", said, "", *__doc__.splitlines()[4:], ""]
    lines += table(arguments.experiment, arguments.overrides, arguments.clips, arguments.seed)
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")
    return 0


def table(name: str, overrides: list[str], count: int, seed: int) -> Iterator[str]:
    """The tables of one experiment's data."""
    from lifting.data.keypoints.usual import fit_usual
    from lifting.experiment.build import build_data
    from lifting.experiment.load import load_experiment
    from lifting.experiment.weights_file import films

    config = load_experiment(name, overrides)
    data = build_data(config)
    single = config.data.frames == 1
    usual = fit_usual(films(config, data), data.tracks("val"), any_rate=single)
    yield f"## {config.name}, cameras {config.data.cameras}, noise {config.data.noise}"
    yield ""
    for split in ("val", "test"):
        judged = usual.judge(data.tracks(split))
        plain = judged.plain(data.tracks(split).track_names)
        yield (
            f"{split}: {judged.flagged.mean():.2%} of {len(judged.score)} frames are flagged "
            f"({', '.join(f'{k} {v:.2%}' for k, v in plain['by_reason'].items())}), and "
            f"{(judged.track_score > 1).mean():.1%} of {len(judged.track_score)} tracks."
        )
        yield ""
    clips = pieces(data.tracks("test"), count, seed)
    yield "| input | files | flagged | frames flagged |"
    yield "|---|--:|--:|--:|"
    for title, kinds in {
        "right": right, "wrong order": wrong, "broken": broken, "harder": harder,
        "coordinates": coordinates,
    }.items():  # fmt: skip
        files: dict[str, list[bool]] = {}
        frames: dict[str, list[float]] = {}
        for i, clip in enumerate(clips):
            for kind, tracks in kinds(clip, clips[i - 1], np.random.default_rng((seed, i))):
                judged = usual.judge(tracks)
                files.setdefault(kind, []).append(bool((judged.track_score > 1).any()))
                frames.setdefault(kind, []).append(float(judged.flagged.mean()))
        for kind, found in files.items():
            yield f"| {title}: {kind} | {len(found)} | {np.mean(found):.0%} | " + (
                f"{np.mean(frames[kind]):.0%} |"
            )
        every = np.concatenate(list(files.values()))
        yield f"| **{title}, all** | {len(every)} | **{every.mean():.1%}** | |"
    yield ""


def pieces(tracks, count, seed):
    """Clips of the tracks, in a random order."""
    starts = [
        (track, first)
        for track, length in enumerate(tracks.offsets.diff().tolist())
        for first in range(0, length - FRAMES + 1, FRAMES)
    ]
    chosen = np.random.default_rng(seed).permutation(len(starts))[:count]
    made = []
    for track, first in (starts[i] for i in chosen):
        rows = torch.arange(FRAMES) + tracks.offsets[track] + first
        made.append(tracks.take(rows, torch.tensor([track]), torch.tensor([FRAMES])))
    return made


def _with(clip, points, confidence=None):
    seen = clip.confidence if confidence is None else torch.as_tensor(confidence).float()
    return replace(clip, keypoints_2d=torch.as_tensor(points).float(), confidence=seen)


def _seen(clip, joints, rng):
    """Joints before the clip's camera, with errors that persist."""
    from scipy.signal import lfilter

    from lifting.geometry.camera import project

    lens = clip.cameras.intrinsics[clip.camera]
    exact = project(torch.from_numpy(joints).float(), lens).double().numpy()
    height = np.ptp(exact[..., 1], axis=1).mean()
    drawn = rng.standard_normal((FRAMES + 50, *exact.shape[1:])) * np.sqrt(1 - KEPT**2)
    slow = lfilter([1.0], [1.0, -KEPT], drawn, axis=0)[50:]
    fast = rng.standard_normal(exact.shape)
    return exact + SPREAD * height * (0.75 * slow + 0.45 * fast)


def _read_as(clip, points, name):
    from lifting.skeleton import get_skeleton
    from lifting.skeleton.convert import remap_joints

    given = torch.from_numpy(points).float()
    there = torch.ones(given.shape[:2])
    return _with(clip, *remap_joints(given, get_skeleton(name), clip.skeleton, there))


def _orders(clip, rng):
    """The clip in every order, with the names of the sets of each count."""
    import orders
    from detected import in_order, with_details

    joints = with_details(clip.joints_3d.double().numpy())
    names = [n for n in orders.EVERY if n != "coco17neck"]
    made = {name: _seen(clip, in_order(joints, name), rng) for name in names}
    for name, points in made.items():
        same = [other for other in names if made[other].shape[1] == points.shape[1]]
        yield name, points, same


def right(clip, other, rng):
    """As it was detected, and in the joints of every set under its name."""
    yield "the test split's own", clip
    for name, points, _ in _orders(clip, rng):
        yield name, _read_as(clip, points, name)


def wrong(clip, other, rng):
    """Under another set's name, and h36m17 in a random order and from the end."""
    for name, points, same in _orders(clip, rng):
        for taken in same:
            if taken != name:
                yield f"{name} as {taken}", _read_as(clip, points, taken)
    points = clip.keypoints_2d
    yield "h36m17 from the end", _with(clip, points.flip(1), clip.confidence.flip(1))
    order = torch.from_numpy(rng.permutation(17))
    yield "h36m17 in a random order", _with(clip, points[:, order], clip.confidence[:, order])


def broken(clip, other, rng):
    """Tracks that are no person's."""
    points, sure = clip.keypoints_2d.double().numpy(), clip.confidence.numpy()
    theirs = other.keypoints_2d.double().numpy()
    size = np.ptp(points[..., 1], axis=1).mean()
    runs = np.repeat(rng.random(FRAMES // 5) < 0.5, 5)
    yield "two people, exchanged in runs of 5", _with(clip, np.where(runs[:, None, None], theirs,
                                                                     points))  # fmt: skip
    half = np.arange(FRAMES) < FRAMES // 2
    yield "another person from the middle on", _with(clip, np.where(half[:, None, None], points,
                                                                    theirs))  # fmt: skip
    upper = np.isin(np.arange(17), (0, 7, 8, *range(9, 17)))
    yield "legs of another person", _with(clip, np.where(upper[:, None], points, theirs))
    yield "frames in a random order", _with(clip, points[rng.permutation(FRAMES)])
    yield "held still", _with(clip, points[:1].repeat(FRAMES, axis=0))
    yield (
        "trembling by 5 % of the height",
        _with(clip, points + 0.05 * size * rng.standard_normal(points.shape)),
    )
    lost = rng.permutation(17)[:8]
    yield "8 joints missing", _with(clip, points, np.where(np.isin(range(17), lost), 0.0, sure))


def harder(clip, other, rng):
    """What leaves fewer traces: another's arms, or another who goes on at the same place."""
    points, theirs = (one.keypoints_2d.double().numpy() for one in (clip, other))
    half = FRAMES // 2
    last, first = points[half - 1], theirs[half]
    larger = np.linalg.norm(last - last.mean(0)) / np.linalg.norm(first - first.mean(0))
    moved = (theirs[half:] - first.mean(0)) * larger + last.mean(0)
    arms = np.isin(np.arange(17), (12, 13, 15, 16))
    yield "forearms of another person", _with(clip, np.where(arms[:, None], theirs, points))
    title = "another person from the middle on, at the same place and as large"
    yield title, _with(clip, np.concatenate((points[:half], moved)))


def coordinates(clip, other, rng):
    """Positions that are not where they should be."""
    points = clip.keypoints_2d.double().numpy()
    yield "x and y exchanged", _with(clip, points[..., ::-1].copy())
    flipped = points * (1, -1) + (0, clip.cameras.size[clip.camera][0, 1].item())
    yield "y upwards", _with(clip, flipped)
    yield "a tenth of the size", _with(clip, points / 10)


if __name__ == "__main__":
    sys.exit(main())
