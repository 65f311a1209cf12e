"""How well people are told apart in keypoints of a detector, on scenes whose people are known.

CMU's motions walk through one camera's picture: people cross, cover one another, leave and return.
What a detector would write of them is noisy, misses joints and people, sees some twice and some
that are not there. Run from the root of the repository, with LIFTING_DATA set::

    python benchmarks/keypoint_people.py --write benchmarks/keypoint_people.md
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.signal import lfilter

from lifting.data.keypoints.joint_order import JointOrder
from lifting.data.keypoints.people import People, Sightings
from lifting.data.keypoints.persons import choose_persons
from lifting.data.sets.cmu.files import read_cmu_file
from lifting.skeleton import H36M_17

Array = np.ndarray[Any, Any]

SIZE, FOCAL, HEIGHT_MM, PITCH = (1920, 1080), 1500.0, 2500.0, 0.12
NEAR_MM, FAR_MM, OUTSIDE = 5000.0, 13000.0, 1.35
ACTIONS = ("walk", "walking", "run", "running", "soccer", "basketball", "dance", "jump")
TURN_A_SECOND, BLEND = math.radians(90), 12
NOISE, LEAST_JOINTS = 0.008, 5  # noise in parts of a person's height in the picture
MISSED, BURSTS, BURST, TWICE, GHOSTS = 0.05, 0.03, 12, 0.01, 0.01
ABSENCE = 60  # frames: whoever was not seen for longer makes another visit


class Scene(NamedTuple):
    """What a detector wrote. D sightings in order of frame, shuffled within each.

    Attributes:
        number: ``(D,)`` frame numbers.
        boxes: ``(D, 4)`` corners, pixels.
        joints: ``(D, 17, 3)``: x, y, confidence; a missing joint has position NaN.
        true: ``(D,)``, who it is; -1 for somebody who is not there.
        again: ``(D,)``, whether it is a second sighting of somebody.
        frames: Frames of the video.
        fps: Frames a second.
    """

    number: Array
    boxes: Array
    joints: Array
    true: Array
    again: Array
    frames: int
    fps: float


class Result(NamedTuple):
    """How sightings were numbered; counts of a scene, to be added up.

    Attributes:
        minutes: Of video.
        sightings: Of people who are there.
        persons: Who were seen.
        visits: Stretches in which a person was never missed for more than 60 frames.
        tracks: Made, of any length.
        long_tracks: Those with 25 and more sightings.
        mixed: A visit goes on in a track that is mostly of another person.
        broken: A visit goes on in another track of its own.
        lost: Sightings outside the one track that is mostly of this visit.
        lost_person: Sightings outside the one track that is mostly of this person.
    """

    minutes: float
    sightings: int
    persons: int
    visits: int
    tracks: int
    long_tracks: int
    mixed: int
    broken: int
    lost: int
    lost_person: int


# --- scenes -------------------------------------------------------------------------------------


def clips_of(path: Path, parts: tuple[str, ...]) -> tuple[list[Array], float]:
    """Motions ``(T, 17, 3)``, mm, z up, of the parts of a file in which people get about."""
    file = read_cmu_file(path)
    used = zip(pairwise(file.offsets.tolist()), file.split, file.actions, strict=True)
    return [
        file.positions[a:b].astype(np.float64)
        for (a, b), part, action in used
        if part in parts and action in ACTIONS and b - a > 3 * BLEND
    ], file.fps


def walker(clips: list[Array], frames: int, fps: float, rng: np.random.Generator) -> Array:
    """One person who goes from place to place for ``frames``, ``(frames, 17, 3)``, mm."""
    poses, steps = _motion(clips, frames, rng)
    place, goal, turn = _somewhere(rng), _somewhere(rng), rng.uniform(-math.pi, math.pi)
    turns, places = np.empty(frames), np.empty((frames, 2))
    for t in range(frames):
        if math.hypot(*(goal - place)) < 700:
            goal = _somewhere(rng)
        wanted = math.atan2(*(goal - place)[::-1]) - turn
        wanted = (wanted + math.pi) % (2 * math.pi) - math.pi
        turn += max(-TURN_A_SECOND / fps, min(TURN_A_SECOND / fps, wanted))
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = steps[t]
        place = place + np.array([cos * x - sin * y, sin * x + cos * y])
        turns[t], places[t] = turn, place
    cos, sin = np.cos(turns)[:, None], np.sin(turns)[:, None]
    x, y = poses[..., 0], poses[..., 1]
    turned = np.stack((cos * x - sin * y, sin * x + cos * y, poses[..., 2]), -1)
    turned[..., :2] += places[:, None]
    return turned


def _motion(clips: list[Array], frames: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Clips one after another, facing x at the start of each: poses about the hip, and steps."""
    poses, steps = np.zeros((0, 17, 3)), np.zeros((0, 2))
    while len(poses) < frames:
        clip = clips[rng.integers(len(clips))]
        left, right = (clip[0, H36M_17.index(f"{side}_hip")] for side in ("left", "right"))
        ahead = np.cross(left - right, (0, 0, 1))[:2]
        cos, sin = ahead / np.linalg.norm(ahead)
        clip = np.concatenate(
            (clip[..., :2] @ np.array([[cos, -sin], [sin, cos]]), clip[..., 2:]), -1
        )
        step = np.diff(clip[:, 0, :2], axis=0, prepend=clip[:1, 0, :2])
        about = clip - clip[:, :1] * (1, 1, 0)
        if len(poses):
            share = np.linspace(0, 1, BLEND + 2)[1:-1, None]
            poses[-BLEND:] = (1 - share[..., None]) * poses[-BLEND:] + share[..., None] * about[
                :BLEND
            ]
            steps[-BLEND:] = (1 - share) * steps[-BLEND:] + share * step[:BLEND]
            about, step = about[BLEND:], step[BLEND:]
        poses, steps = np.concatenate((poses, about)), np.concatenate((steps, step))
    return poses[:frames], steps[:frames]


def _somewhere(rng: np.random.Generator) -> Array:
    """A place on the floor, about every fourth of them outside the picture."""
    depth = rng.uniform(NEAR_MM, FAR_MM)
    return np.array([rng.uniform(-1, 1) * OUTSIDE * depth * SIZE[0] / 2 / FOCAL, depth])


def filmed(points: Array) -> tuple[Array, Array]:
    """Pixels ``(..., 2)`` and depths, mm, of a camera above the origin that looks along y."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2] - HEIGHT_MM
    cos, sin = math.cos(PITCH), math.sin(PITCH)
    depth, down = cos * y - sin * z, -sin * y - cos * z
    near = np.maximum(depth, 300.0)
    xy = FOCAL * np.stack((x, down), -1) / near[..., None] + np.array(SIZE) / 2
    return xy, depth


def scene(clips: list[Array], people: int, frames: int, fps: float, seed: int) -> Scene:
    """A video of some people, as a detector would see it."""
    rng = np.random.default_rng((seed, people))
    world = np.stack([walker(clips, frames, fps, rng) for _ in range(people)], 1)
    xy, depth = filmed(world)  # (T, P, 17)
    high = np.ptp(xy[..., 1], axis=-1)
    covered = _covered(xy, depth)
    first = _detected(xy, high, depth, covered, rng)
    hidden = covered.mean(-1)
    slow = _drift(rng, hidden.shape, 0.9)
    missed = (rng.random(hidden.shape) < MISSED) | _bursts(rng, hidden.shape)
    missed |= (hidden > 0.5) & (slow < 1.04) | (hidden > 0.85)  # 85 of 100, in runs
    twice = _detected(xy, high, depth, covered, rng)
    ghost, haunted = _ghosts(first, rng)
    enough = [(part[..., 2] > 0).sum(-1) >= LEAST_JOINTS for part in (first, twice, ghost)]
    once = ~missed & enough[0]
    both = once & enough[1] & (rng.random(missed.shape) < TWICE)
    rows = [np.nonzero(there) for there in (once, both, haunted & enough[2])]
    number = np.concatenate([frame for frame, _ in rows])
    points = np.concatenate(
        [part[at] for part, at in zip((first, twice, ghost), rows, strict=True)]
    )
    who = np.concatenate((rows[0][1], rows[1][1], np.full(len(rows[2][1]), -1)))
    again = np.arange(len(who)) >= len(rows[0][1])
    order = np.lexsort((rng.random(len(number)), number))
    points = points[order]
    boxes = _boxes(points, rng)
    return Scene(number[order], boxes, points, who[order], again[order], frames, fps)


def _covered(xy: Array, depth: Array) -> Array:
    """Joints behind a limb of somebody nearer, ``(T, P, 17)``."""
    covered = np.zeros(depth.shape, dtype=bool)
    bones = [(parent, joint) for joint, parent in enumerate(H36M_17.parents) if parent >= 0]
    start, end = (np.array(ends) for ends in zip(*bones, strict=True))
    middle, people = xy.mean(2), depth.shape[1]
    for rear in range(people):
        for front in range(people):
            nearer = depth[:, front].mean(-1) < depth[:, rear].mean(-1) - 100
            reach = 1500 * FOCAL / np.maximum(depth[:, front].mean(-1), 300)
            aside = np.linalg.norm(middle[:, front] - middle[:, rear], axis=-1)
            rows = np.flatnonzero(nearer & (aside < reach) & (depth[:, front].min(-1) > 300))
            if rear == front or not len(rows):
                continue
            a, b = xy[rows, front][:, start], xy[rows, front][:, end]
            along, point = (b - a)[:, None], xy[rows, rear][:, :, None]
            share = ((point - a[:, None]) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
            gap = point - a[:, None] - share.clip(0, 1)[..., None] * along
            wide = 110 * FOCAL / depth[rows, front].mean(-1)
            covered[rows, rear] |= np.linalg.norm(gap, axis=-1).min(-1) < wide[:, None]
    return covered


def _detected(
    xy: Array, high: Array, depth: Array, covered: Array, rng: np.random.Generator
) -> Array:
    """Joints as a detector sees them, ``(T, P, 17, 3)``."""
    guess = covered & (rng.random(covered.shape) < 0.5)
    spread = np.exp(rng.normal(0, 0.5, depth.shape)) * np.where(guess, 6.0, 1.0)
    spread = np.where(rng.random(depth.shape) < 0.01, 10.0, spread)
    noise = _drift(rng, xy.shape, 0.6) * (NOISE * high[..., None] * spread)[..., None]
    points = xy + noise
    flipped = rng.random(depth.shape[:2]) < 0.01
    swap = np.arange(17)
    for left, right in zip(H36M_17.left, H36M_17.right, strict=True):
        swap[[left, right]] = right, left
    points[flipped] = points[flipped][:, swap]
    sure = (np.exp(-0.12 * spread) * rng.uniform(0.85, 1, depth.shape)).clip(0.05, 1)
    out = ((points < 0) | (points > np.array(SIZE))).any(-1) | (depth < 500)
    missing = out | (covered & ~guess) | (rng.random(depth.shape) < 0.02)
    points = np.where(missing[..., None], np.nan, points)
    return np.concatenate((points, np.where(missing, 0.0, sure)[..., None]), -1)


def _drift(rng: np.random.Generator, shape: tuple[int, ...], keeps: float) -> Array:
    """Normal noise of deviation 1 that keeps a part of itself from frame to frame."""
    white = rng.normal(0, math.sqrt(1 - keeps**2), shape)
    white[0] /= math.sqrt(1 - keeps**2)
    return lfilter([1], [1, -keeps], white, axis=0)


def _bursts(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    begins = rng.random(shape) < BURSTS / BURST
    missed = np.zeros(shape, dtype=bool)
    for t, who in zip(*np.nonzero(begins), strict=True):
        missed[t : t + 1 + rng.geometric(1 / BURST), who] = True
    return missed


def _ghosts(seen: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Poses of other moments at other places for one to five frames."""
    frames, people = seen.shape[:2]
    ghosts, there = np.full_like(seen, np.nan), np.zeros((frames, people), dtype=bool)
    ghosts[..., 2] = 0
    for t, who in zip(*np.nonzero(rng.random((frames, people)) < GHOSTS / 3), strict=True):
        pose = seen[rng.integers(frames), who] + np.append(rng.uniform(-400, 400, 2), 0)
        pose[:, 2] *= 0.5
        last = min(t + int(rng.integers(1, 6)), frames)
        ghosts[t:last, who] = pose + rng.normal(0, 4, (last - t, 17, 3)) * (1, 1, 0)
        there[t:last, who] = True
    return ghosts, there


def _boxes(joints: Array, rng: np.random.Generator) -> Array:
    low, high = np.nanmin(joints[..., :2], 1), np.nanmax(joints[..., :2], 1)
    size = high - low
    corners = np.concatenate((low - 0.08 * size, high + 0.08 * size), -1)
    return corners + rng.normal(0, 0.015, corners.shape) * np.tile(size, 2)


# --- ways to number sightings -------------------------------------------------------------------


def with_ids(shown: Scene, ids: Array) -> Array:
    """Numbers after ``choose_persons``, as for a file with these ids, ``(D,)``; -1 not taken."""
    people = People(
        form="scene", order=JointOrder(H36M_17, "known", "script"),
        frames=[str(i) for i in range(shown.frames)], frame=shown.number, joints=shown.joints,
        score=np.full(len(ids), np.nan), box=shown.boxes, track=ids,
        claims=Sightings("scene", [], []), extra=shown.joints[:, :0],
    )  # fmt: skip
    track = np.full(len(ids), -1)
    for choice in choose_persons(Path("scene"), people, shown.number).choices:
        track[choice.rows] = choice.track
    return track


def by_overlap(shown: Scene) -> Array:
    """What was done before: each end takes the start it overlaps most, over ever longer gaps."""
    number, boxes = shown.number, shown.boxes
    after, taken = np.full(len(number), -1), np.zeros(len(number), dtype=bool)
    for distance in range(1, 12):
        ends, starts = np.flatnonzero(after < 0), np.flatnonzero(~taken)
        first, last = (
            np.searchsorted(number[starts], number[ends] + distance, side=side)
            for side in ("left", "right")
        )
        wanted: dict[int, tuple[float, int]] = {}
        for end, a, b in zip(ends.tolist(), first.tolist(), last.tolist(), strict=True):
            if a == b:
                continue
            overlap = _iou(boxes[end][None], boxes[starts[a:b]])[0]
            best = int(overlap.argmax())
            start = int(starts[a + best])
            if overlap[best] >= 0.3:
                wanted[start] = max(wanted.get(start, (0.0, -1)), (float(overlap[best]), end))
        for start, (_, end) in wanted.items():
            after[end], taken[start] = start, True
    track, made = np.full(len(number), -1), 0
    for row in range(len(number)):
        if track[row] < 0:
            track[row], made = made, made + 1
        if after[row] >= 0:
            track[after[row]] = track[row]
    return track


def by_assigned_overlap(shown: Scene) -> Array:
    """One assignment a frame of where boxes were, by overlap alone, over gaps of 10 frames."""
    track, made = np.full(len(shown.number), -1), 0
    rows: list[int] = []
    for begin, end in _frames(shown.number):
        frame = shown.number[begin]
        rows = [row for row in rows if frame - shown.number[row] <= 11]
        overlap = _iou(shown.boxes[rows], shown.boxes[begin:end])
        for a, b in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[a, b] >= 0.3:
                track[begin + b] = track[rows[a]]
        for row in range(begin, end):
            if track[row] < 0:
                track[row], made = made, made + 1
        latest = {int(track[row]): row for row in [*rows, *range(begin, end)]}
        rows = list(latest.values())
    return track


def _frames(number: Array) -> Iterator[tuple[int, int]]:
    first = np.flatnonzero(np.diff(number, prepend=-1))
    return pairwise([*first.tolist(), len(number)])


def _iou(a: Array, b: Array) -> Array:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9)


# --- measures -----------------------------------------------------------------------------------


def judged(shown: Scene, track: Array) -> Result:
    """Compare numbers with who people are, once for each person of a frame."""
    # Of two sightings of a person the one that was taken counts, then the first.
    order = np.lexsort((shown.again, track < 0, shown.number, shown.true))
    who, number, given = shown.true[order], shown.number[order], track[order]
    once = (who >= 0) & ((np.diff(who, prepend=-1) != 0) | (np.diff(number, prepend=-1) != 0))
    who, number, given = who[once], number[once], given[once]
    same = np.diff(who) == 0
    new_visit = np.append(True, ~same | (np.diff(number) > ABSENCE + 1))
    visit = np.cumsum(new_visit) - 1
    changed = ~new_visit & np.append(False, np.diff(given) != 0)
    owner = _table(given, who).argmax(1)
    mixed = changed & (owner[given] != who)
    _, lengths = np.unique(track[track >= 0], return_counts=True)
    return Result(
        shown.frames / shown.fps / 60, len(who), len(np.unique(who)), int(new_visit.sum()),
        len(lengths), int((lengths >= 25).sum()), int(mixed.sum()),
        int((changed & ~mixed).sum()), _lost(given, who, visit),
        _lost(given, who, who),
    )  # fmt: skip


def _table(track: Array, who: Array) -> Array:
    """Sightings of each person (column) in each track (row); the last row is those not taken."""
    table = np.zeros((track.max() + 2, who.max() + 1), dtype=np.int64)
    np.add.at(table, (track, who), 1)
    return table


def _lost(track: Array, who: Array, part: Array) -> int:
    """Sightings of each part of a person outside its largest piece in a track of that person."""
    own = (_table(track, who).argmax(1)[track] == who) & (track >= 0)
    table = _table(track[own], part[own])
    return int(len(track) - table.max(0).sum())


def total(results: list[Result]) -> Result:
    """The sum over scenes."""
    return Result(*(sum(values) for values in zip(*results, strict=True)))


# --- the table ----------------------------------------------------------------------------------

WAYS: dict[str, tuple[str, Callable[[Scene], Array]]] = {
    "tracks": ("the ids", lambda s: with_ids(s, np.where(s.again, -1, s.true))),
    "none": ("following", lambda s: with_ids(s, np.full(len(s.true), -1))),
    "all zero": ("following", lambda s: with_ids(s, np.zeros(len(s.true), dtype=np.int64))),
    "none, assigned overlap": ("overlap, assigned", by_assigned_overlap),
    "none, overlap": ("overlap alone (before)", by_overlap),
}
HEAD = (
    "| people | frames/s | ids of the file | told apart by | mixed up /min | broken /min "
    "| lost of a visit, % | lost of a person, % | tracks a person | visits a person "
    "| ms a frame |\n"
    "|--:|--:|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def thinned(shown: Scene, step: int) -> Scene:
    """Every n-th frame of a scene, as a slower camera would have it."""
    kept = shown.number % step == 0
    number, boxes, joints, true, again = (part[kept] for part in shown[:5])
    return Scene(
        number // step, boxes, joints, true, again, shown.frames // step, shown.fps / step
    )


def row(people: int, ids: str, scenes: list[Scene]) -> str:
    """One line of the table."""
    by, numbered = WAYS[ids]
    begin = time.process_time()
    tracks = [numbered(shown) for shown in scenes]
    took = 1000 * (time.process_time() - begin) / sum(shown.frames for shown in scenes)
    sums = total([judged(shown, track) for shown, track in zip(scenes, tracks, strict=True)])
    return (
        f"| {people} | {scenes[0].fps:g} | {ids.split(',')[0]} | {by} "
        f"| {sums.mixed / sums.minutes:.1f} | {sums.broken / sums.minutes:.1f} "
        f"| {100 * sums.lost / sums.sightings:.1f} "
        f"| {100 * sums.lost_person / sums.sightings:.1f} "
        f"| {sums.long_tracks / sums.persons:.2f} | {sums.visits / sums.persons:.2f} "
        f"| {took:.2f} |"
    )


def told(options: argparse.Namespace, clips: list[Array]) -> str:
    """What was measured and how, before the table."""
    minutes = len(options.seeds) * options.frames / options.fps / 60
    return (
        "# keypoint_people\n\n"
        f"{len(clips)} motions of CMU's part {', '.join(options.parts)}; seeds "
        f"{', '.join(map(str, options.seeds))}, {minutes:.1f} minutes of video for each number of "
        f"people. `python benchmarks/keypoint_people.py {options.said}`\n\n"
        f"{MISSED:.0%} of person-frames missed at random, {BURSTS:.0%} in bursts of {BURST} "
        f"frames in the mean, 85 of 100 where half of the joints are covered by somebody nearer; "
        f"{TWICE:.0%} seen twice, {GHOSTS:.0%} seen where nobody is, left taken for right in 1%; "
        "noise of 0.8% of a person's height, six times that in half of the covered joints. "
        "Every fourth place that people go to lies outside the picture.\n\n"
        f"A visit ends when a person is not seen for more than {ABSENCE} frames. Mixed up: a "
        "visit goes on in a track that is mostly of another person; broken: in another one "
        "of its own; an exchange of two people that is taken back counts twice for each. "
        "Lost: sightings outside the one track of the visit (or person) that has most of it. "
        "Tracks of 25 and more sightings count. Milliseconds are of one processor. What following "
        "takes for near was chosen on part train, with seeds 100 to 131.\n"
    )


def main() -> None:
    """Make the scenes, number them in every way, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["val", "test"], help="of CMU's motions")
    parser.add_argument("--people", nargs="+", type=int, default=[2, 5, 10])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--frames", type=int, default=3000, help="of each scene")
    parser.add_argument("--steps", nargs="+", type=int, default=[1], help="every n-th frame")
    parser.add_argument("--write", type=Path, help="file for the table")
    options = parser.parse_args()
    folder = os.environ.get("LIFTING_DATA")
    if not folder:
        parser.error("set LIFTING_DATA to the folder that holds cmu/cmu_h36m17.npz")
    options.said = (
        " ".join(
            f"--{name} {' '.join(map(str, getattr(options, name)))}"
            for name in ("parts", "people", "seeds", "steps")
        )
        + f" --frames {options.frames}"
    )
    clips, options.fps = clips_of(Path(folder) / "cmu/cmu_h36m17.npz", tuple(options.parts))
    lines = [told(options, clips), HEAD]
    sys.stdout.write("\n".join(lines) + "\n")
    for people in options.people:
        whole = [scene(clips, people, options.frames, options.fps, s) for s in options.seeds]
        for step in options.steps:
            for ids in WAYS:
                lines.append(row(people, ids, [thinned(shown, step) for shown in whole]))
                sys.stdout.write(lines[-1] + "\n")
                sys.stdout.flush()
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
