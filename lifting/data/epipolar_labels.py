"""Labels from a teacher instead of the truth: triangulated from the keypoints of several views.

What the teacher sees is stripped of all 3D truth before it sees it. Every recording is a rig of
its own, solved once and kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from lifting.batch import LABEL_WEIGHT
from lifting.data.cache import cache_folder, kept
from lifting.data.config import DataConfig, KnownCameras, Split, TeacherConfig
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError, DataError, suggest
from lifting.geometry.camera import Camera
from lifting.teacher.options import TeacherOptions
from lifting.teacher.solution import (
    FORMAT,
    RigSolution,
    labels_in_camera,
    read_solution,
    write_solution,
)
from lifting.teacher.solve import REVISION, solve_rig
from lifting.teacher.views import RigViews

_TENSORS = ("keypoints", "confidence", "sizes", "intrinsics", "rotation", "centre")

log = logging.getLogger(__name__)
FOLDER = "rigs"
KNOWN = "labels_cameras"
# Everything else that a data set adds may come from the 3D truth.
_FROM_KEYPOINTS = ("mixtures", "sigma")
_LOG_EVERY = 20


def solved_rig(
    views: RigViews, options: TeacherOptions | None = None, cache_dir: Path | None = None
) -> RigSolution:
    """The solution of a rig, read if it was solved before, else solved and kept.

    A damaged file is made again; a folder that cannot be written costs a warning, not the run.

    Args:
        views: Keypoints and what is known of the cameras.
        options: How the rig is solved.
        cache_dir: Where solutions are kept; None keeps none.

    Raises:
        ConfigError: As ``solve_rig``.
        DataError: As ``solve_rig``.
        ShapeError: As ``solve_rig``.
    """
    options = options or TeacherOptions()
    if cache_dir is None:
        return solve_rig(views, options)
    key = rig_hash(views, options)

    def read(path: Path) -> RigSolution:
        return read_solution(path).solution

    def write(path: Path, solution: RigSolution) -> None:
        write_solution(path, solution, {"key": key, "options": asdict(options)})

    return kept(
        cache_dir / f"rig-{key}.npz", read, partial(solve_rig, views, options), write,
        "a solved rig",
    )  # fmt: skip


def rig_hash(views: RigViews, options: TeacherOptions) -> str:
    """Hash of everything that a solution depends on, 24 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=12)
    facts = {
        "format": FORMAT,
        "revision": REVISION,
        "options": asdict(options),
        "skeleton": views.skeleton.plain(),
        "names": views.names,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name in _TENSORS:
        value = getattr(views, name)
        parts = (value,) if value is None or isinstance(value, Tensor) else value
        for part in parts:
            digest.update(name.encode())
            if part is not None:
                array = np.ascontiguousarray(torch.as_tensor(part).detach().cpu().numpy())
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(array.data)
    return digest.hexdigest()


def training_labels(tracks: PoseTracks, config: DataConfig, split: Split) -> PoseTracks:
    """Tracks with the labels that the data section asks for in a split.

    The test split keeps its truth, and so does validation where ``teacher.validation`` says so;
    tracks without any get the teacher's labels.

    Args:
        tracks: As the data set gives them.
        config: The data section.
        split: Which part they are.

    Raises:
        ConfigError: The options name a view that no track has, or a number is out of range.
        DataError: No rig of the split can be learnt from.
    """
    if config.labels == "truth":
        return tracks
    keeps_truth = split == "test" or (split == "val" and config.teacher.validation == "truth")
    if keeps_truth and tracks.joints_3d is not None:
        return tracks
    return epipolar_tracks(tracks, config.teacher, cache_folder(config.cache) / FOLDER)


def epipolar_tracks(
    tracks: PoseTracks, teacher: TeacherConfig, cache: Path | None = None
) -> PoseTracks:
    """The tracks of all rigs that could be solved, labelled by the teacher.

    Frames or joints without a label are not ``visible``; the extra ``label_weight``, ``(N,
    joints)``, says how much each label counts. Cameras are those of the solution: what was not
    given of them is estimated.

    Args:
        tracks: Several views of each recording; their 3D labels are not looked at.
        teacher: From what the labels are made.
        cache: Where solved rigs are kept; None keeps none.

    Raises:
        ConfigError: A named view does not exist, or a number is out of range.
        DataError: No rig has two views of one length, or all are refused.
    """
    options = teacher.options()
    known = known_cameras(tracks, teacher.cameras)
    blind = without_truth(tracks, known)
    groups = list(rigs(blind, teacher))
    accepted = ("good",) if teacher.accept == "good" else ("good", "low")
    verdicts: Counter[str] = Counter()
    refused: list[str] = []
    kept: list[Tensor] = []
    solved: list[RigSolution] = []
    for number, group in enumerate(groups):
        solution = solved_rig(rig_views(blind, group), options, cache)
        quality = solution.quality
        verdicts[quality.verdict] += 1
        if quality.verdict in accepted:
            kept.append(group)
            solved.append(solution)
        else:
            refused.append(f"{blind.track_names[int(group[0])]}: {'; '.join(quality.reasons)}")
        if (number + 1) % _LOG_EVERY == 0:
            log.info("labels of %d of %d recordings", number + 1, len(groups))
    dataset = tracks.source.get("dataset", "the data")
    if not kept:
        first = refused[0] if refused else "no recording has two views of the same length"
        raise DataError(
            f"expected a rig of {dataset} that labels can be made from, got none of "
            f"{len(groups)} ({first}); check the views, or tell the teacher more of the cameras "
            "with data.teacher.cameras"
        )
    for reason in refused:
        log.warning("no labels from %s", reason)
    labelled = _labelled(blind.select(torch.cat(kept)), solved)
    counts = ", ".join(f"{verdicts[v]} {v}" for v in ("good", "low", "unusable") if verdicts[v])
    labelled.source.update(
        {
            "labels": "epipolar",
            KNOWN: known,
            "labels_rigs": f"{len(groups)} ({counts}), {len(kept)} used",
            "labels_scale": " / ".join(sorted({s.scale_rule for s in solved})),
            "labels_valid": f"{float(labelled_share(labelled)):.4f}",
            "labels_views": "all" if teacher.held_out is None else f"without {teacher.held_out}",
        }
    )
    return labelled


def known_cameras(tracks: PoseTracks, asked: KnownCameras) -> KnownCameras:
    """What is known of the cameras: what was asked for, or less where the data hold less.

    Args:
        tracks: Of the data set, or labelled already.
        asked: The most that may be known.
    """
    if KNOWN in tracks.source:
        return cast(KnownCameras, tracks.source[KNOWN])
    camera = tracks.cameras
    if asked == "sizes" or not bool(camera.intrinsics.isfinite().all()):
        return "sizes"
    return "intrinsics" if asked == "intrinsics" or camera.rotation is None else "given"


def without_truth(tracks: PoseTracks, known: KnownCameras) -> PoseTracks:
    """The same keypoints without 3D labels, what is derived of them, and untold parts of cameras.

    Args:
        tracks: Any tracks.
        known: What may be known of the cameras; intrinsics that must not be are NaN.
    """
    cameras = tracks.cameras
    if known != "given":
        hidden = torch.full_like(cameras.intrinsics, torch.nan)
        lens = cameras.intrinsics if known == "intrinsics" else hidden
        cameras = Camera(intrinsics=lens, size=cameras.size)
    return replace(
        tracks,
        joints_3d=None,
        visible=None,
        cameras=cameras,
        world=tracks.world if known == "given" else None,  # estimated ones stand in their own
        source=dict(tracks.source),
        extras={k: v for k, v in tracks.extras.items() if k in _FROM_KEYPOINTS},
    )


def rigs(tracks: PoseTracks, teacher: TeacherConfig) -> Iterator[Tensor]:
    """Tracks of each recording that the teacher looks at, ``(views,)`` int64, two at least.

    Views whose length is not that of most others of the recording are left out.

    Args:
        tracks: Any tracks.
        teacher: Which views.

    Raises:
        ConfigError: A named view does not exist.
    """
    names = [view_name(name) for name in tracks.track_names]
    asked = [*teacher.views, *([] if teacher.held_out is None else [teacher.held_out])]
    for name in asked:
        if name not in names:
            raise ConfigError(
                f"unknown view '{name}' in data.teacher.views or held_out; "
                f"{suggest(name, set(names))}"
            )
    wanted = torch.tensor(
        [(not teacher.views or n in teacher.views) and n != teacher.held_out for n in names]
    )
    lengths = tracks.offsets.diff()
    for recording in torch.unique(tracks.recording).tolist():
        group = ((tracks.recording == recording) & wanted).nonzero()[:, 0]
        if len(group) == 0:
            continue
        group = group[lengths[group] == lengths[group].mode().values]
        if len(group) >= 2:
            yield group


def view_name(track: str) -> str:
    """Name of a track's view: what follows the last slash."""
    return track.rpartition("/")[2]


def rig_views(tracks: PoseTracks, group: Tensor) -> RigViews:
    """What the teacher is given of one recording.

    Args:
        tracks: Tracks without truth; intrinsics of NaN are unknown.
        group: The tracks of the recording, ``(views,)`` int64.
    """
    part = tracks.select(group)
    camera = tracks.cameras[part.camera]
    views = len(group)
    return RigViews(
        keypoints=part.keypoints_2d.view(views, -1, *part.keypoints_2d.shape[1:]),
        confidence=part.confidence.view(views, -1, part.confidence.shape[1]),
        sizes=camera.size,
        skeleton=tracks.skeleton,
        intrinsics=camera.intrinsics if bool(camera.intrinsics.isfinite().all()) else None,
        rotation=camera.rotation,
        centre=camera.position,
        names=tuple(view_name(name) for name in part.track_names),
    )


def labelled_share(tracks: PoseTracks) -> Tensor:
    """Share of the joints that have a label, a scalar."""
    if tracks.visible is None:
        return torch.ones(())
    return tracks.visible.double().mean()


def _labelled(tracks: PoseTracks, solved: list[RigSolution]) -> PoseTracks:
    """Tracks in the order of the rigs, with labels and cameras of the solutions."""
    joints, weights = [], []
    for solution in solved:
        labels = labels_in_camera(solution)
        views = len(labels.joints)
        # A label is relative to its root in training, so that a frame without root has none.
        rooted = labels.weights * (labels.weights[:, tracks.skeleton.root, None] > 0)
        joints.append(labels.joints.flatten(0, 1))
        weights.append(rooted.repeat(views, 1))
    weight = torch.cat(weights).float()
    count = len(tracks.track_names)
    places: dict[str, Tensor] = {
        "intrinsics": torch.cat([s.intrinsics for s in solved]).float(),
        "rotation": torch.cat([s.rotation for s in solved]).float(),
        "position": torch.cat([s.centre for s in solved]).float(),
    }
    return replace(
        tracks,
        joints_3d=torch.cat(joints).float(),
        visible=weight > 0,
        cameras=Camera(size=tracks.cameras.size[tracks.camera], **places),
        camera=torch.arange(count),
        extras={**tracks.extras, LABEL_WEIGHT: weight},
    )
