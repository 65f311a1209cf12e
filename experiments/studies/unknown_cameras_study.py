"""Conditions, answers and table of ``unknown_cameras.py``."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.data.config import DataConfig, NoiseLevel, RefilmConfig
from lifting.data.film import film_by
from lifting.data.keypoints.tracks import read_keypoints
from lifting.data.mocap.markers import read_trc
from lifting.data.refilm import cut_clips
from lifting.data.sampler import stream
from lifting.data.sequence import MotionClips, PoseTracks
from lifting.data.sources import load_motion
from lifting.errors import MissingDataError
from lifting.experiment.prediction import Model, lift_tracks, load_model
from lifting.geometry.camera import Camera
from lifting.geometry.rotation import look_at
from lifting.interface import solve_rig
from lifting.metrics.functional.position import mpjpe, pa_mpjpe
from lifting.motion.options import MotionOptions
from lifting.poses import Poses
from lifting.skeleton import H36M_17
from lifting.studies.page import markdown, number, write_page
from lifting.studies.robustness.corruptions import corrupt
from lifting.studies.robustness.plan import DROP, Trials
from lifting.visualization.clip_plots import joint_angles

STEM = "unknown_cameras"
SECONDS, VIEWS = 2.5, 2
WIDTH, HEIGHT = 1080.0, 1920.0
USUAL, TRIAL = "usual", "trial"
LIMBS = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
)
TITLES = (
    "run", "what", "value", "frames", "MPJPE", "PA-MPJPE", "expected / true", "rank correlation",
    "knee", "elbow",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A camera that looks at a person, and a detector.

    Attributes:
        height: Of the camera above the floor, mm.
        tilt: About its axis, degrees.
        focal: Focal length, widths of the picture; the camera steps back as it grows.
        noise: Of the detector.
        missing: Share of the joints that it does not find.
    """

    height: float = 1500.0
    tilt: float = 0.0
    focal: float = 1.6
    noise: NoiseLevel = "cpn"
    missing: float = 0.0


CHANGES: dict[str, tuple[object, ...]] = {
    "height": (100.0, 800.0, 3000.0, 5000.0),
    "tilt": (10.0, 20.0, 45.0),
    "focal": (0.7, 1.0, 2.5, 4.0),
    "noise": ("none", "light", "coarse"),
    "missing": (0.1, 0.2, 0.3, 0.5),
}
UNITS = {"height": "m", "tilt": "degrees", "focal": "widths", "noise": "", "missing": ""}


@dataclass(frozen=True)
class Row:
    """A run under one condition.

    Attributes:
        run: Its folder.
        what: That was changed, or a camera of the trial.
        value: To which value.
        frames: That were scored.
        mpjpe_mm: Mean error relative to the root; None where there is no truth in the camera.
        pa_mpjpe_mm: After a similarity, of the trial over twelve joints of the limbs.
        stated: Mean expected error over mean true error; None where none is stated.
        correlation: Of their ranks, by joint and frame.
        knee_deg: Mean absolute error of the angle, both sides, of the trial.
        elbow_deg: The same.
    """

    run: str
    what: str
    value: str
    frames: int
    mpjpe_mm: float | None
    pa_mpjpe_mm: float
    stated: float | None
    correlation: float | None
    knee_deg: float | None = None
    elbow_deg: float | None = None

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of ``TITLES``."""
        return (
            self.run, self.what, self.value, str(self.frames), number(self.mpjpe_mm),
            number(self.pa_mpjpe_mm), number(self.stated, ".2f"), number(self.correlation, ".2f"),
            number(self.knee_deg), number(self.elbow_deg),
        )  # fmt: skip


def trial_of(given: Path | None, usual: str) -> Path | None:
    """Folder of the trial; None where it was not named and is not at hand.

    Args:
        given: As it was named.
        usual: Below LIFTING_DATA.

    Raises:
        MissingDataError: It was named and is not there.
    """
    folder = given or Path(os.environ.get("LIFTING_DATA", "."), usual)
    if (folder / "pose-associated").is_dir():
        return folder
    if given is not None:
        raise MissingDataError(
            f"expected the folder of Pose2Sim's trial, with pose-associated in it, got {given}; "
            "leave --trial out to do without"
        )
    return None


def rows_of(arguments: argparse.Namespace, trial: Path | None) -> Iterator[Row]:
    """Every run under every condition.

    Args:
        arguments: Of the command line.
        trial: Folder of Pose2Sim's trial, if any.
    """
    motion = _motion(arguments.motion, arguments.frames, arguments.seed)
    settings = [(USUAL, "", Setting())]
    for name, values in CHANGES.items():
        settings += [(name, _words(name, v), replace(Setting(), **{name: v})) for v in values]
    for run in arguments.runs:
        model = load_model(run)
        for name, value, setting in settings:
            tracks = filmed(motion, setting, arguments.seed)
            yield _scored(model, run.name, name, value, tracks)
        for camera in arguments.cameras if trial is not None else ():
            assert trial is not None
            yield from _of_trial(model, run.name, trial, camera)
    if trial is not None and len(arguments.cameras) > 1:
        yield _of_rig(trial, arguments.cameras)


def _motion(name: str, frames: int, seed: int) -> MotionClips:
    """Cut clips of the test split, spread over its recordings."""
    motion = load_motion(DataConfig(name=name), "test")
    share = min(1.0, frames / len(motion.joints_3d))
    cuts = RefilmConfig(share=max(share, 1e-3), seconds=SECONDS, pace=0.0)
    return cut_clips(motion, cuts, None, stream(seed))


def _words(name: str, value: object) -> str:
    if name == "missing":
        assert isinstance(value, float)
        return f"{value:.0%}"
    shown = value / 1000 if name == "height" and isinstance(value, float) else value
    return f"{shown:g} {UNITS[name]}" if isinstance(shown, float) else str(shown)


def filmed(motion: MotionClips, setting: Setting, seed: int) -> PoseTracks:
    """Clips as cameras of a setting see them, each clip from two sides.

    Args:
        motion: Clips.
        setting: Camera and detector.
        seed: Of directions and noise, which are the same in all settings.
    """
    count = VIEWS * len(motion.names)
    azimuth = 2 * math.pi * torch.rand(count, generator=stream(seed, 1))
    distance = torch.full((count,), 2800.0 * setting.focal)
    position = torch.stack(
        (
            distance * azimuth.cos(), distance * azimuth.sin(),
            torch.full((count,), setting.height),
        ),
        dim=-1,
    )  # fmt: skip
    target = torch.tensor((0.0, 0.0, 900.0)).expand(count, 3)
    lens = torch.zeros(count, 9)
    lens[:, :2], lens[:, 2], lens[:, 3] = setting.focal * WIDTH, WIDTH / 2, HEIGHT / 2
    cameras = Camera(
        intrinsics=lens,
        size=torch.tensor((WIDTH, HEIGHT)).repeat(count, 1),
        rotation=look_at(position, target, torch.full((count,), math.radians(setting.tilt))),
        position=position,
    )
    tracks = film_by(motion, cameras, noise=setting.noise, seed=seed, dropped=False)
    if setting.missing == 0:
        return tracks
    rows = torch.arange(len(tracks))
    return corrupt(tracks, rows, DROP, setting.missing, Trials(), seed).tracks


def _scored(model: Model, run: str, what: str, value: str, tracks: PoseTracks) -> Row:
    """A model's answers to filmed tracks."""
    poses, truth = lift_tracks(model, tracks), tracks.labels()
    truth = truth - truth[:, :1]
    predicted = torch.from_numpy(poses.joints_3d)
    return Row(
        run, what, value, len(poses),
        float(mpjpe(predicted, truth)), float(pa_mpjpe(predicted, truth)),
        *_stated(poses, (predicted - truth).norm(dim=-1)),
    )  # fmt: skip


def _of_trial(model: Model, run: str, trial: Path, camera: int) -> Iterator[Row]:
    """A model's answers to the keypoints of one camera, whose focal length it is not told."""
    tracks = read_keypoints(
        _folder(trial, camera), image_size=(1088, 1920), fps=60.0, person="largest"
    )
    for what, motion in ((TRIAL, None), (f"{TRIAL}, the chain", MotionOptions())):
        poses = lift_tracks(model, tracks, motion=motion)
        yield _against_markers(poses, run, what, f"camera {camera}", trial)


def _of_rig(trial: Path, cameras: Sequence[int]) -> Row:
    """What the calibrated cameras of the trial tell together, without a method."""
    poses = solve_rig(
        [_folder(trial, camera) for camera in cameras],
        trial / "Calib_qualisys.toml",
        reading={"fps": 60.0},
        options={"shifts": 0},
    )
    which = f"cameras {' '.join(map(str, cameras))}, calibrated"
    return _against_markers(poses, "lifting rig", TRIAL, which, trial)


def _folder(trial: Path, camera: int) -> Path:
    return trial / "pose-associated" / f"cam{camera:02d}_json"


def _against_markers(poses: Poses, run: str, what: str, value: str, trial: Path) -> Row:
    """Poses in the joints of Human3.6M beside the triangulation that comes with the trial."""
    truth = _limbs_of(next(trial.glob("*_0-100.trc")))[torch.from_numpy(poses.frame)]
    index = [H36M_17.index(name) for name in LIMBS]
    predicted = torch.from_numpy(poses.joints_3d).float()[:, index]
    known = (truth.isfinite() & predicted.isfinite()).all(-1)
    whole = np.full((len(poses), len(H36M_17), 3), np.nan)
    whole[:, index] = truth.numpy()
    angles, true = joint_angles(poses.joints_3d, H36M_17), joint_angles(whole, H36M_17)
    off = {
        joint: float(np.nanmean([np.abs(angles[joint][s] - true[joint][s]) for s in sides]))
        for joint, sides in true.items()
        if joint in ("knee", "elbow")
    }
    found = pa_mpjpe(predicted.nan_to_num(), truth.nan_to_num(), known)
    return Row(run, what, value, len(poses), None, float(found), None, None,
               off["knee"], off["elbow"])  # fmt: skip


def _limbs_of(path: Path) -> Tensor:
    """Triangulated joints of the limbs, ``(frames, 12, 3)``, mm, in the axes of the file."""
    motion = read_trc(path)
    assert motion.unit_mm is not None
    names = []
    for limb in LIMBS:
        side, joint = limb.split("_")
        names.append(motion.names.index(side[0].upper() + joint.capitalize()))
    return torch.from_numpy(motion.positions[:, names] * motion.unit_mm).float()


def _stated(poses: Poses, errors: Tensor) -> tuple[float | None, float | None]:
    """Expected over true error, and the correlation of their ranks; the root is left out."""
    if poses.expected_error is None:
        return None, None
    stated, true = poses.expected_error[:, 1:].ravel(), errors[:, 1:].numpy().ravel()
    ranks = [np.argsort(np.argsort(v, kind="stable")) for v in (stated, true)]
    return float(stated.mean() / true.mean()), float(np.corrcoef(*ranks)[0, 1])


def write_study(rows: list[Row], arguments: argparse.Namespace) -> tuple[Path, ...]:
    """Write the table as Markdown and JSON.

    Args:
        rows: Of all runs.
        arguments: Of the command line.

    Raises:
        OutputError: They cannot be written.
    """
    lines = [
        f"`{arguments.command(arguments)}`",
        "",
        f"Test subjects of {arguments.motion}, {SECONDS:g} s at a time, each seen from {VIEWS} "
        f"sides. The usual camera is {Setting.height / 1000:g} m high, level, of focal length "
        f"{Setting.focal:g} widths in a picture of {WIDTH:.0f} x {HEIGHT:.0f}, with the usual "
        "detector; one thing at a time differs. Missing joints have no confidence and lie in the "
        "middle of the others. The trial is real video, told no focal length: PA-MPJPE of 12 "
        "joints of the limbs against the triangulation of its four cameras, and mean absolute "
        "error of the angles of knees and elbows, beside what its calibrated cameras tell "
        "together; the chain is that of `lifting predict --keypoints`. mm, degrees.",
        "",
        *markdown(TITLES, [row.cells() for row in rows], left=3),
    ]
    return write_page(arguments.output, STEM, lines, {"rows": [asdict(row) for row in rows]})
