"""What ``lifting data check amass`` looks at."""

from __future__ import annotations

from pathlib import Path

import torch

from lifting.body.smpl import BodyModel
from lifting.data.config import DataConfig
from lifting.data.doctor.presence import SUMS, check_content, check_presence, find_files
from lifting.data.doctor.reading import SPLITS, check_specimen
from lifting.data.doctor.rows import CheckRow, failed, judged
from lifting.data.doctor.specimen import Bodies, Take, spread
from lifting.data.sets.amass import reader as amass
from lifting.data.sets.amass.files import AmassMotion, read_amass
from lifting.data.smpl_file import VARIABLE, find_body_model, read_body_model
from lifting.errors import DataError, MissingDataError
from lifting.skeleton import H36M_17

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
        found = find_files(amass.NAME, root, [f"{part}/**/*.npz" for part in parts])
        wanted = f"{split}: <sub-dataset>/<subject>/*.npz"
        rows.append(check_presence(amass.NAME, root, wanted, found, needed=split == "train"))
        files |= {str(p): p for p in found if not p.stem.endswith(amass.WITHOUT_MOTION)}
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
    return [row, *check_specimen(bodies, [])]


def _take(
    path: Path, motion: AmassMotion, config: DataConfig, models: dict[Path, BodyModel]
) -> Take:
    place = find_body_model(config.amass.body_model, amass.FAMILIES[motion.family], motion.gender)
    if place not in models:
        models[place] = read_body_model(place)
    amass.check_family(motion.family, models[place], place)
    joints = amass.posed_joints(motion, models[place], config.amass.fps)
    subject = f"{path.parent.parent.name}.{path.parent.name}"
    return Take(subject=subject, name=path.stem, action=path.stem, joints=joints.numpy())
