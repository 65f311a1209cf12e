"""AMASS as motion clips: recorded poses move the body model that the user supplies.

Both editions are read: SMPL-H (``poses``) and SMPL-X (``root_orient``, ``pose_body``). Only the
22 joints of the body are posed, by forward kinematics from the model's rest joints; the mesh is
not needed. Rotations are interpolated to one frame rate, so bones keep their lengths.

Source: Mahmood et al., "AMASS: Archive of Motion Capture as Surface Shapes", 2019.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lifting.body.smpl import APPROXIMATE, BodyModel, approximate_h36m
from lifting.data.config import DataConfig, Split
from lifting.data.doctor.check import SPLITS, check_takes
from lifting.data.doctor.presence import SUMS, check_content, check_presence, find_files
from lifting.data.doctor.takes import Bodies, CheckRow, Take, failed, judged, spread
from lifting.data.folders import search_folders
from lifting.data.sequence import MotionClips, offsets_of, rate_of_each
from lifting.data.sets.amass.config import Config as AmassConfig
from lifting.data.smpl import VARIABLE, find_body_model, read_body_model
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.files.checks import files_state, misfit, sha256_of
from lifting.files.npz import Array, Kind, read_plain_npz
from lifting.geometry.kinematics import pose_chain
from lifting.geometry.rotation import axis_angle_to_quaternion, quaternion_to_matrix
from lifting.skeleton import H36M_17, SMPL_22

MM = 1000.0
_LARGEST = 1e4
_RATES = ("mocap_framerate", "mocap_frame_rate")  # of the SMPL-H and of the SMPL-X edition
_BODY = 3 * len(SMPL_22)
_GENDERS = ("female", "male", "neutral")
_malformed = misfit("use a motion file of AMASS (SMPL+H G or SMPL-X) as it is downloaded")
_KEYS: Mapping[str, tuple[Kind, int]] = {
    "poses": ("float", 2),
    "root_orient": ("float", 2),
    "pose_body": ("float", 2),
    "trans": ("float", 2),
    "betas": ("float", 1),
    "gender": ("characters", 0),
    **dict.fromkeys(_RATES, ("number", 0)),
}


@dataclass(frozen=True)
class AmassMotion:
    """A recorded motion. F frames.

    Attributes:
        family: ``smplh`` or ``smplx``: which body model the numbers belong to.
        gender: ``male``, ``female`` or ``neutral``.
        rotations: Rotation vectors of the root and the 21 joints of the body, ``(F, 22, 3)``
            float64, radians.
        translation: Of the whole body, ``(F, 3)`` float64, mm.
        betas: Shape coefficients, ``(n,)`` float64.
        fps: Frames a second.
    """

    family: str
    gender: str
    rotations: Tensor
    translation: Tensor
    betas: Tensor
    fps: float


def read_amass(path: Path) -> AmassMotion | None:
    """One motion file.

    Args:
        path: An npz of plain arrays.

    Returns:
        The motion; None for an archive without motion (such as a subject's shape alone).

    Raises:
        DataError: It is damaged, unsafe or of another form.
    """
    arrays = read_plain_npz(path, _KEYS, optional=frozenset(_KEYS))
    if not {"trans", "poses", "pose_body"} & set(arrays):
        return None
    family = "smplx" if "pose_body" in arrays else "smplh"
    rates = [float(arrays[name]) for name in _RATES if name in arrays]
    needed = {"trans", "betas", "gender"} | (
        {"root_orient", "pose_body"} if family == "smplx" else {"poses"}
    )
    absent = sorted(needed - set(arrays)) + ([] if rates else [" or ".join(_RATES)])
    if absent:
        raise _malformed(path, f"the array {absent[0]}", f"only {', '.join(sorted(arrays))}")
    if family == "smplh":
        rotations = arrays["poses"]
    else:
        rotations = np.concatenate((arrays["root_orient"], arrays["pose_body"]), axis=1)
    _check(path, rotations, arrays, rates[0])
    return AmassMotion(
        family=family,
        gender=_gender(path, arrays["gender"].item()),
        rotations=_tensor(rotations[:, :_BODY]).reshape(-1, len(SMPL_22), 3),
        translation=_tensor(arrays["trans"]) * MM,
        betas=_tensor(arrays["betas"]),
        fps=rates[0],
    )


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float64))


def _check(path: Path, rotations: Array, arrays: Mapping[str, Array], rate: float) -> None:
    trans, frames = arrays["trans"], len(rotations)
    if frames == 0 or rotations.shape[1] < _BODY or trans.shape != (frames, 3):
        raise _malformed(
            path,
            f"poses of at least {_BODY} numbers and as many places",
            f"shapes {rotations.shape} and {trans.shape}",
        )
    for name, values in {"poses": rotations, "trans": trans, "betas": arrays["betas"]}.items():
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > _LARGEST:
            raise _malformed(path, f"finite '{name}' below {_LARGEST:g}", "others")
    if not 1 <= rate <= 1000:
        raise _malformed(path, "a frame rate from 1 to 1000", f"{rate}")


def _gender(path: Path, value: object) -> str:
    """The gender, which some files hold as bytes, or as the text of bytes."""
    text = value.decode("latin1") if isinstance(value, bytes) else str(value)
    word = text.strip().removeprefix("b'").removesuffix("'").lower()
    if word not in _GENDERS:
        raise _malformed(path, f"a gender among {', '.join(_GENDERS)}", f"'{word:.20}'")
    return word


log = logging.getLogger(__name__)
NAME = "amass"
VERSION = 1  # to be raised when the same files give other clips
TERMS = "AMASS, amass.is.tue.mpg.de: non-commercial; the body model is licensed separately"
FAMILIES: Mapping[str, tuple[str, ...]] = {"smplh": ("smplh", "smpl"), "smplx": ("smplx",)}
WITHOUT_MOTION = ("shape", "_stagei")  # endings of files that hold a body shape only
BATCH = 20_000  # frames posed at once


@dataclass(frozen=True)
class _Found:
    path: Path
    dataset: str
    subject: str


def motion(config: DataConfig, split: Split) -> MotionClips:
    """The motion of a split's sub-datasets, posed, at one frame rate, cut into clips.

    Args:
        config: The data section; ``amass`` names the sub-datasets and the body model.
        split: The part.

    Returns:
        Clips with 17 approximate joints in the world frame, z up, mm. ``action`` is the
        sub-dataset, since AMASS itself names no actions.

    Raises:
        ConfigError: A length or frame rate is out of range, or a sub-dataset is in two parts.
        MissingDataError: The motion or the body model is not found; the message says where both
            are to be had.
        DataError: A file is damaged, unsafe or of another form.
    """
    options = config.amass
    _check_options(options)
    log.info("terms of use: %s", TERMS)
    found = _found(config, split)
    subjects = sorted({f.subject for f in found})
    datasets = sorted({f.dataset for f in found})
    pieces: list[Tensor] = []
    rows: list[tuple[str, int, int]] = []
    models: dict[Path, BodyModel] = {}
    for file in found:
        recorded = read_amass(file.path)
        if recorded is None:
            continue
        path = find_body_model(options.body_model, FAMILIES[recorded.family], recorded.gender)
        if path not in models:
            models[path] = read_body_model(path)
        check_family(recorded.family, models[path], path)
        joints = posed_joints(recorded, models[path], options.fps)
        for number, clip in enumerate(_clips(joints, options)):
            pieces.append(clip)
            name = f"{file.dataset}/{file.subject.partition('/')[2]}/{file.path.stem}/{number}"
            rows.append((name, subjects.index(file.subject), datasets.index(file.dataset)))
    if not pieces:
        raise DataError(
            f"expected clips of at least {options.min_seconds:g} s in the {split} split of AMASS, "
            f"got none from {len(found)} files; lower data.amass.min_seconds or add sub-datasets"
        )
    lengths = torch.tensor([len(piece) for piece in pieces])
    return MotionClips(
        skeleton=H36M_17,
        joints_3d=torch.cat(pieces),
        offsets=offsets_of(lengths),
        subject=torch.tensor([row[1] for row in rows]),
        action=torch.tensor([row[2] for row in rows]),
        names=tuple(row[0] for row in rows),
        subject_names=tuple(subjects),
        action_names=tuple(datasets),
        fps=rate_of_each(options.fps, len(rows)),
        source={
            "dataset": NAME,
            "split": split,
            "split_rule": f"sub-datasets {', '.join(datasets)}",
            "files": str(len(found)),
            "body_models": ", ".join(sorted(path.name for path in models)),
            "approximate_joints": APPROXIMATE,
            "terms": TERMS,
        },
    )


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`motion`.

    The archive has thousands of files and tens of gigabytes, so they are known by name, size and
    time of change; the body models by their content.

    Raises:
        MissingDataError: The motion or every body model is not found.
    """
    return {
        "version": VERSION,
        "files": files_state(file.path for file in _found(config, split)),
        "body_models": _model_hashes(config.amass.body_model),
        "options": {k: v for k, v in asdict(config.amass).items() if k != "body_model"},
    }


def _model_hashes(option: str | None) -> list[str]:
    """Hash of every model that could be used; which ones are used depends on the files."""
    hashes, missing = [], None
    for families in FAMILIES.values():
        for gender in ("female", "male", "neutral"):
            try:
                hashes.append(sha256_of(find_body_model(option, families, gender)))
            except MissingDataError as error:
                missing = error
    if not hashes and missing is not None:
        raise missing
    return hashes


def _check_options(options: AmassConfig) -> None:
    if not 1 <= options.fps <= 240:
        raise ConfigError(f"expected data.amass.fps from 1 to 240, got {options.fps}; try 50")
    if not 0 < options.min_seconds <= options.clip_seconds:
        raise ConfigError(
            "expected 0 < data.amass.min_seconds <= data.amass.clip_seconds, got "
            f"{options.min_seconds} and {options.clip_seconds}; try 1 and 10"
        )
    parts = (options.train, options.val, options.test)
    names = [name for part in parts for name in set(part)]
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise ConfigError(
            f"expected each sub-dataset in one part of data.amass, got {', '.join(shared)} in "
            "two; a person must not train and test"
        )


def _found(config: DataConfig, split: Split) -> list[_Found]:
    wanted: tuple[str, ...] = getattr(config.amass, split)
    folders = search_folders(NAME, config.root)
    found = [
        _Found(path, name, f"{name}/{path.parent.relative_to(folder / name).as_posix()}")
        for folder in folders
        for name in wanted
        for path in sorted((folder / name).rglob("*.npz"))
        if not path.stem.endswith(WITHOUT_MOTION)
    ]
    if not found:
        looked = " or ".join(map(str, folders)) or "any folder (set LIFTING_DATA or data.root)"
        raise MissingDataError(
            f"expected sub-datasets of AMASS, found none of {', '.join(wanted) or '(no name)'} in "
            f"{looked}; download them from https://amass.is.tue.mpg.de after accepting the terms, "
            f"or name yours in data.amass.{split}"
        )
    return found


def check_family(edition: str, model: BodyModel, path: Path) -> None:
    """Check that the numbers of an edition mean something to a body model.

    Raises:
        DataError: The model is of another family.
    """
    if model.family not in FAMILIES[edition]:
        raise DataError(
            f"expected a body model of family {' or '.join(FAMILIES[edition])} for motion of the "
            f"{edition} edition, got {model.family} in {path}; give the folder of all models"
        )


def posed_joints(recorded: AmassMotion, model: BodyModel, fps: float) -> Tensor:
    """The 17 joints of a recorded motion at a frame rate.

    Args:
        recorded: The motion.
        model: The body it moves.
        fps: Frames a second asked for.

    Returns:
        ``(frames, 17, 3)`` float32, world frame, mm.
    """
    rest = model.joints(recorded.betas[: model.shape_count].float())[: len(SMPL_22)]
    count = int((len(recorded.rotations) - 1) * fps / recorded.fps + 1e-6) + 1
    times = torch.arange(count, dtype=torch.float64) * (recorded.fps / fps)
    pieces = []
    for start in range(0, count, BATCH):
        rotations, translation = _at(recorded, times[start : start + BATCH])
        chain = pose_chain(quaternion_to_matrix(rotations).float(), rest, SMPL_22.parents)
        pieces.append(approximate_h36m(chain.joints + translation[:, None]))
    return torch.cat(pieces)


def _at(recorded: AmassMotion, times: Tensor) -> tuple[Tensor, Tensor]:
    """Quaternions and translation at times in frames, between the two nearest frames.

    Neighbouring rotations are close, so a straight line between their quaternions is as good as
    an arc; the quaternion is normalised where it becomes a matrix.
    """
    last = len(recorded.rotations) - 1
    before = times.floor().long().clamp(max=last)
    after = (before + 1).clamp(max=last)
    share = (times - before)[:, None]
    first = axis_angle_to_quaternion(recorded.rotations[before])
    second = axis_angle_to_quaternion(recorded.rotations[after])
    near = torch.where((first * second).sum(-1, keepdim=True) < 0, -second, second)
    rotations = first + share[..., None] * (near - first)
    places = recorded.translation[before] * (1 - share) + recorded.translation[after] * share
    return rotations, places.float()


def _clips(joints: Tensor, options: AmassConfig) -> Iterator[Tensor]:
    """Pieces of one length; a short rest is left out."""
    size = max(1, round(options.clip_seconds * options.fps))
    shortest = np.ceil(options.min_seconds * options.fps)
    pieces = (joints[start : start + size] for start in range(0, len(joints), size))
    return (piece for piece in pieces if len(piece) >= shortest)


MOST_READ = 200  # files; the archive has thousands
MOST_POSED = 40


def check(config: DataConfig) -> list[CheckRow]:
    """Look at the files of AMASS, and at the body model.

    Args:
        config: The data section.
    """
    options, root = config.amass, config.root
    rows: list[CheckRow] = []
    files: dict[str, Path] = {}
    for split in SPLITS:
        parts: tuple[str, ...] = getattr(options, split)
        found = find_files(NAME, root, [f"{part}/**/*.npz" for part in parts])
        wanted = f"{split}: <sub-dataset>/<subject>/*.npz"
        rows.append(check_presence(NAME, root, wanted, found, needed=split == "train"))
        files |= {str(p): p for p in found if not p.stem.endswith(WITHOUT_MOTION)}
    rows += check_content([path for path in files.values() if (path.parent / SUMS).is_file()])
    motions = _read(list(files.values()), rows)
    if motions:
        rows += _check_posed(motions, config)
    return rows


def _read(paths: list[Path], rows: list[CheckRow]) -> dict[Path, AmassMotion]:
    """Motions of files spread over all."""
    chosen = [paths[i] for i in spread(torch.arange(len(paths)).numpy(), MOST_READ)]
    motions: dict[Path, AmassMotion] = {}
    refused: list[DataError] = []
    for path in chosen:
        try:
            motion = read_amass(path)
        except DataError as error:
            refused.append(error)
            continue
        if motion is not None:
            motions[path] = motion
    if chosen:
        rows.append(
            judged(
                "form",
                "motion files of AMASS",
                f"{len(refused)} of {len(chosen)} files refused"
                + (f" ({len(paths)} are there)" if len(paths) > len(chosen) else ""),
                "fail" if refused else "ok",
                str(refused[0]) if refused else "",
            )
        )
    return motions


def _check_posed(motions: dict[Path, AmassMotion], config: DataConfig) -> list[CheckRow]:
    """Bodies of the user's model, moved by some of the motions."""
    models: dict[Path, BodyModel] = {}
    takes = []
    keys = list(motions)
    what = f"data.amass.body_model or {VARIABLE}"
    for i in spread(torch.arange(len(keys)).numpy(), MOST_POSED):
        path, motion = keys[i], motions[keys[i]]
        try:
            takes.append(_take(path, motion, config, models))
        except MissingDataError as error:
            return [CheckRow("body model", what, "not found", "fail", str(error))]
        except DataError as error:
            return [failed("body model", what, error)]
    row = CheckRow("body model", what, ", ".join(sorted({p.name for p in models})), "ok")
    bodies = Bodies(label="3D", skeleton=H36M_17, unit="m", up="+z", fps=config.amass.fps,
                    bone_share=0.02, bone_reason="a body model's", takes=tuple(takes))  # fmt: skip
    return [row, *check_takes(bodies, [])]


def _take(
    path: Path, motion: AmassMotion, config: DataConfig, models: dict[Path, BodyModel]
) -> Take:
    place = find_body_model(config.amass.body_model, FAMILIES[motion.family], motion.gender)
    if place not in models:
        models[place] = read_body_model(place)
    check_family(motion.family, models[place], place)
    joints = posed_joints(motion, models[place], config.amass.fps)
    subject = f"{path.parent.parent.name}.{path.parent.name}"
    return Take(subject=subject, name=path.stem, action=path.stem, joints=joints.numpy())
