"""What the chain after a lifter is worth on real motion: paths, feet, up, filters, delay.

python experiments/studies/motion.py RUN
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lifting.cli.main import answer
from lifting.errors import ConfigError
from lifting.studies.command import add_overrides, check_least

FIRM = 0.5
STILL_MM_S, LOW_MM, ANKLE_MM = 150.0, 40.0, 80.0
SMALL = 0.85
SMALLER = "people 15 % smaller"
FEET = ("right_ankle", "left_ankle")
LOOKAHEADS = (0, 2, 5, 10, 20)
FILTERS = tuple((degree, ahead) for degree in (0, 1, 2) for ahead in (0, 1, 2, 5, None))


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/motion.py",
        description="Lift test recordings as a camera at rest sees them, run the chain, and "
        "compare with the truth: paths, scale, contacts, up, filters and delay.",
    )
    parser.add_argument("run", type=Path, help="folder of a trained run of keypoints")
    parser.add_argument(
        "--data", default="cmu", metavar="NAME", help="data/NAME.yaml of the experiments"
    )
    parser.add_argument(
        "--part", choices=("train", "val", "test"), default="test", help="of the data"
    )
    parser.add_argument(
        "--tracks", type=int, default=0, metavar="N", help="at most, spread evenly (default: all)"
    )
    parser.add_argument(
        "--long", type=int, default=5000, metavar="N", help="frames of three people to time"
    )
    add_overrides(parser, "data.noise=light", "outputs/motion")
    return answer(handle, parser.parse_args(argv))


@dataclass
class Recording:
    """One recording in one view: what is lifted, and the truth.

    Attributes:
        tracks: Its keypoints, alone.
        joints: ``(T, joints, 3)``, frame of the camera, mm.
        up: ``(3,)``, true.
        stand: ``(T, 2)``, whether the right and the left foot stand.
        height: Stature that the true bones add up to, m.
    """

    tracks: Any
    joints: np.ndarray
    up: np.ndarray
    stand: np.ndarray
    height: float

    def smaller(self) -> Recording:
        """The same person at another size, as far away as looks the same."""
        return replace(self, joints=SMALL * self.joints, height=SMALL * self.height)


@dataclass
class Sums:
    """What is averaged over frames, or looked at by recording; lists of arrays by name."""

    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, **values: np.ndarray) -> None:
        """Keep values of a recording."""
        for name, value in values.items():
            self.parts.setdefault(name, []).append(np.atleast_1d(value))

    def all(self, name: str) -> np.ndarray:
        """Those of all recordings."""
        return np.concatenate(self.parts.get(name, [np.full(1, np.nan)]))

    def mean(self, name: str) -> float:
        """Their mean."""
        known = self.all(name)[np.isfinite(self.all(name))]
        return float(known.mean()) if len(known) else float("nan")


def handle(arguments: argparse.Namespace) -> int:
    """Measure, and write the page."""
    check_least(arguments, "tracks", least=0)
    check_least(arguments, "long")
    from lifting.experiment.prediction import load_model
    from lifting.motion.options import MotionOptions
    from lifting.studies.page import write_page

    model = load_model(arguments.run)
    if model.config.data.frames != 1:
        raise ConfigError(
            "expected a model of single frames, got one of windows; its own look-ahead would hide "
            "that of the chain"
        )
    recordings = list(_recordings(arguments, model))
    feet_off = MotionOptions(without=("feet",))
    settings = {
        "each frame by itself": MotionOptions(
            without=("clean", "smooth", "scale", "bones", "contacts", "ground", "feet")
        ),
        "the chain, feet not held": feet_off,
        "the chain, no height": MotionOptions(),
    }
    more = ("the chain, height given", SMALLER, f"{SMALLER}, height given")
    found = {name: Sums() for name in (*settings, *more)}
    ahead = {number: Sums() for number in LOOKAHEADS}
    filters = {one: Sums() for one in FILTERS}
    for number, one in enumerate(recordings):
        for name, options in settings.items():
            _measure(found[name], model, one, options, raw=name == "each frame by itself")
        tall = MotionOptions(height=round(one.height, 2))
        _measure(found["the chain, height given"], model, one, tall)
        short = one.smaller()
        _measure(found[SMALLER], model, short, MotionOptions())
        tall_too = MotionOptions(height=round(short.height, 2))
        _measure(found[f"{SMALLER}, height given"], model, short, tall_too)
        for frames, sums in ahead.items():
            _measure(sums, model, one, replace(tall, lookahead=frames))
        for (degree, frames), sums in filters.items():
            _filtered(sums, one, degree, frames)
        print(f"{number + 1} of {len(recordings)} recordings", flush=True)
    ahead_rows: dict[int | None, Sums] = {**ahead, None: found["the chain, height given"]}
    lines = _page(arguments, model, recordings, found, ahead_rows, filters)
    lines += _cost(model, recordings[0], arguments.long)
    values = {
        "command": arguments.command(arguments),
        "chain": {name: _plain(sums) for name, sums in found.items()},
        "lookahead": {str(n): _plain(sums) for n, sums in ahead_rows.items()},
        "filters": {f"{d}, {n}": _plain(sums) for (d, n), sums in filters.items()},
    }
    for path in write_page(arguments.output, "motion", lines, values):
        print(f"written: {path}")
    return 0


def _recordings(arguments: argparse.Namespace, model: Any) -> Iterator[Recording]:
    """One view of each recording, the next of it for the next recording."""
    import torch

    from lifting.data.sources import load_tracks
    from lifting.experiment.load import load_experiment
    from lifting.motion.body import lengths_of, stature_of, typical

    config = load_experiment(
        model.config.name, [f"extends=data/{arguments.data}", *arguments.overrides]
    )
    tracks = load_tracks(config.data, arguments.part)
    recording = tracks.recording.numpy()
    firsts, chosen = np.unique(recording), []
    for number, name in enumerate(firsts):
        views = np.flatnonzero(recording == name)
        chosen.append(views[number % len(views)])
    if arguments.tracks and arguments.tracks < len(chosen):
        places = np.arange(arguments.tracks) * len(chosen) // arguments.tracks
        chosen = [chosen[place] for place in places]
    for track in chosen:
        one = tracks.select(torch.tensor([int(track)]))
        camera = one.cameras[int(one.camera[0])]
        joints = one.labels().numpy().astype(np.float64)
        turn, centre = camera.rotation.numpy(), camera.position.numpy()
        world = joints @ turn + centre
        index = [one.skeleton.index(joint) for joint in FEET]
        speed = np.linalg.norm(_velocity(world[:, index], float(one.fps[0])), axis=-1)
        stand = (speed < STILL_MM_S) & (world[:, index, 2] < ANKLE_MM + LOW_MM)
        usual = typical(lengths_of(joints, one.skeleton), np.zeros(len(joints)), causal=False)
        yield Recording(
            replace(one, joints_3d=None, visible=None),
            joints,
            turn[:, 2].astype(np.float64),
            stand,
            float(stature_of(usual, one.skeleton)[0]) / 1000,
        )


def _measure(sums: Sums, model: Any, one: Recording, options: Any, *, raw: bool = False) -> None:
    from lifting.experiment.motion import Chain
    from lifting.experiment.prediction import lift_tracks
    from lifting.motion.root import place_root

    rate = float(one.tracks.fps[0])
    chain = Chain.begin(one.tracks, options, model.config.data, None)
    poses = lift_tracks(model, chain.tracks)
    moved = chain.moved(poses)
    pose, path = moved.joints_3d, moved.trajectory
    if raw:
        lens = np.broadcast_to(poses.intrinsics, (len(poses), 9))
        path = place_root(pose, poses.keypoints_2d, poses.confidence, lens).trajectory
    assert path is not None
    root = poses.skeleton.root
    truth, place = one.joints - one.joints[:, root, None], one.joints[:, root]
    index = [poses.skeleton.index(joint) for joint in FEET]
    ankles = path[:, None] + pose[:, index]
    speed = np.linalg.norm(_velocity(ankles, rate), axis=-1)
    own = np.linalg.norm(_velocity(one.joints[:, index], rate), axis=-1)
    sums.add(
        mpjpe=np.linalg.norm(pose - truth, axis=-1).mean(-1),
        jitter=np.linalg.norm(np.diff(pose - truth, 2, axis=0), axis=-1).mean(-1) * rate**2,
        root=np.linalg.norm(path - place, axis=-1),
        across=np.linalg.norm((path - place)[:, :2], axis=-1),
        velocity=np.linalg.norm(np.diff(path - place, axis=0), axis=-1) * rate,
        acceleration=np.linalg.norm(np.diff(path - place, 2, axis=0), axis=-1) * rate**2,
        scale=np.abs((pose * truth).sum() / (truth * truth).sum() - 1) * 100,
        ankle=speed[one.stand],
        true_ankle=own[one.stand],
    )
    if moved.contacts is not None and moved.up is not None and moved.up_deg is not None:
        firm = moved.contacts > FIRM
        angle = np.rad2deg(np.arccos(np.clip(moved.up @ one.up, -1, 1)))
        sums.add(
            both=(firm & one.stand).sum(), said=firm.sum(), true=one.stand.sum(),
            tilt=angle[-1], stated=moved.up_deg[-1],
        )  # fmt: skip


def _velocity(points: np.ndarray, rate: float) -> np.ndarray:
    if len(points) < 2:
        return np.zeros_like(points)
    return np.asarray(np.gradient(points, axis=0)) * rate


def _filtered(sums: Sums, one: Recording, degree: int, ahead: int | None) -> None:
    """Keypoints through a filter, beside their exact projections."""
    import torch

    from lifting.geometry.camera import project
    from lifting.motion.clean import SMOOTH_S, TOLERANCE, person_size
    from lifting.motion.smooth import Window, smooth

    tracks, rate = one.tracks, float(one.tracks.fps[0])
    lens = tracks.cameras.intrinsics[int(tracks.camera[0])].double()
    exact = project(torch.from_numpy(one.joints), lens).numpy()
    points = tracks.keypoints_2d.numpy().astype(np.float64)
    weights = np.maximum(tracks.confidence.numpy().astype(np.float64), 0.05)
    size = person_size(points, np.ones(weights.shape, dtype=bool))[:, None]
    window = Window.of(SMOOTH_S, rate, ahead, degree)
    track = np.zeros(len(points), dtype=np.int64)
    found = smooth(points, weights, track, window, tolerance=TOLERANCE * size).values
    moving = np.linalg.norm(_velocity(exact, rate), axis=-1) > size  # a body's size a second
    # The lag at which the answer fits best: error along the motion over speed.
    motion = _velocity(exact, rate)
    late = -((found - exact) * motion).sum(-1)[moving].sum() / np.maximum(
        (motion * motion).sum(-1)[moving].sum(), 1e-9
    )
    sums.add(
        error=np.linalg.norm(found - exact, axis=-1).mean(-1),
        jitter=np.linalg.norm(np.diff(found - exact, 2, axis=0), axis=-1).mean(-1),
        raw=np.linalg.norm(points - exact, axis=-1).mean(-1),
        raw_jitter=np.linalg.norm(np.diff(points - exact, 2, axis=0), axis=-1).mean(-1),
    )
    if moving.any():
        sums.add(lag=late * 1000)


def _cost(model: Any, one: Recording, frames: int) -> list[str]:
    """Time and memory of everything for three people: a table."""
    import torch

    from lifting.experiment.prediction import lift_tracks
    from lifting.export import exports
    from lifting.export.motion import export_poses
    from lifting.motion.options import MotionOptions
    from lifting.studies.page import markdown

    rows = torch.arange(frames) % len(one.tracks)
    three = one.tracks.take(
        rows.repeat(3), torch.zeros(3, dtype=torch.long), torch.full((3,), frames)
    )
    three = replace(three, track_names=("0", "1", "2"), subject=torch.arange(3),
                    subject_names=("person 0", "person 1", "person 2"))  # fmt: skip
    spent: list[tuple[str, float, float]] = []

    def timed(what: str, work: Callable[[], Any]) -> Any:
        wall, used = time.perf_counter(), time.process_time()
        found = work()
        spent.append((what, time.perf_counter() - wall, time.process_time() - used))
        return found

    timed("lifting", lambda: lift_tracks(model, three))
    poses = timed(
        "the same, and the chain", lambda: lift_tracks(model, three, motion=MotionOptions())
    )
    with TemporaryDirectory() as folder:
        for name in exports():
            timed(name, lambda name=name: export_poses(poses, name, folder))
        timed("all formats together", lambda: export_poses(poses, list(exports()), folder))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        "",
        "## What it costs",
        "",
        f"{frames:,} frames of three people; the process held {memory:.0f} MiB at most.",
        "",
        *markdown(
            ("", "seconds", "of the processor"),
            [(what, f"{wall:.1f}", f"{used:.1f}") for what, wall, used in spent], left=1,
        ),
    ]  # fmt: skip


def _page(
    arguments: argparse.Namespace,
    model: Any,
    recordings: Sequence[Recording],
    found: dict[str, Sums],
    ahead: dict[int | None, Sums],
    filters: dict[tuple[int, int | None], Sums],
) -> list[str]:
    from lifting.studies.page import caption, machine, markdown, number

    def cells(sums: Sums, *names: str) -> list[str]:
        return [number(sums.mean(name), ".1f" if name == "scale" else ".0f") for name in names]

    rate = float(recordings[0].tracks.fps[0])
    frames = sum(len(one.joints) for one in recordings)
    chain = found["the chain, height given"]
    first = filters[FILTERS[0]]
    paths = ("mpjpe", "root", "across", "velocity", "acceleration", "scale", "ankle")
    return [
        f"`{arguments.command(arguments)}`",
        "",
        f"{len(recordings)} {arguments.part} recordings of {arguments.data}, one view each, "
        f"{frames:,} frames at {rate:g} a second; {recordings[0].tracks.source.get('two_d')}; "
        f"lifted by {model.method} as trained for this ({model.config.name}), intrinsics true. "
        f"Measured on: {caption(machine())}.",
        "",
        "## Paths and feet",
        "",
        *markdown(
            ("", "MPJPE mm", "root mm", "across the view mm", "velocity mm/s",
             "acceleration mm/s²", "scale %", "ankles that stand mm/s"),
            [(name, *cells(sums, *paths)) for name, sums in found.items()], left=1,
        ),
        "",
        f"Ankles stand where the truth is below {STILL_MM_S:g} mm/s and at most {LOW_MM:g} mm "
        f"above the {ANKLE_MM:g} mm of a flat foot; its own speed there is "
        f"{chain.mean('true_ankle'):.0f} mm/s. The median of the chain's is "
        f"{np.nanmedian(chain.all('ankle')):.0f}. The height given is what the true bones add up "
        "to by the population's proportions, in whole centimetres; scale is the mean error of a "
        "recording's size. People who are smaller, filmed so that they look the same, show what "
        "a height is worth where the method has not seen their size.",
        "",
        "## Contacts and up",
        "",
        f"Contacts above {FIRM:g}: precision {_share(chain, 'said'):.2f}, recall "
        f"{_share(chain, 'true'):.2f}. Up is off by {np.nanmedian(chain.all('tilt')):.1f} degrees "
        f"in the median, {np.nanpercentile(chain.all('tilt'), 75):.1f} at the 75th percentile; "
        f"stated are {np.nanmedian(chain.all('stated')):.1f} in the median.",
        "",
        "## Filters of keypoints",
        "",
        f"Without one the error is {first.mean('raw'):.2f} px, and its second difference "
        f"{first.mean('raw_jitter'):.2f} px. Lag is that of fast joints.",
        "",
        *markdown(
            ("polynomial of degree", "frames ahead", "delay ms", "error px", "jitter px",
             "lag ms"),
            [(str(d), "all" if n is None else str(n),
              "-" if n is None else f"{1000 * n / rate:.0f}",
              number(s.mean("error"), ".2f"), number(s.mean("jitter"), ".2f"),
              number(float(np.nanmedian(s.all("lag"))), ".1f"))
             for (d, n), s in filters.items()], left=2,
        ),
        "",
        "## Causal",
        "",
        *markdown(
            ("frames ahead", "delay ms", "MPJPE mm", "pose jitter mm/s²", "root mm",
             "velocity mm/s", "ankles that stand mm/s", "tilt of up"),
            [("all" if n is None else str(n), "-" if n is None else f"{1000 * n / rate:.0f}",
              *cells(s, "mpjpe", "jitter", "root", "velocity", "ankle"),
              number(float(np.nanmedian(s.all("tilt"))), ".1f"))
             for n, s in ahead.items()], left=1,
        ),
    ]  # fmt: skip


def _share(sums: Sums, of: str) -> float:
    return float(sums.all("both").sum() / max(sums.all(of).sum(), 1))


def _plain(sums: Sums) -> dict[str, float]:
    return {name: sums.mean(name) for name in sums.parts}


if __name__ == "__main__":
    sys.exit(main())
