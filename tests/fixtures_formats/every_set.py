"""Writes tiny files of every data section, in the layout in which they are distributed.

``WRITERS`` has one for each file of ``experiments/data``: it fills a folder, and says which
overrides a test needs beside ``data.root``, where not all of the data set is written.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from aistpp_files import write_aistpp
from amass_files import smplh_file, write_models
from cmu_files import content
from oh50k_files import SIZES, pixels_of, records, seen_people, write_part
from own_files import save_bvh, save_npz, save_trc
from pictures import spot
from published_npz import H36m, HumanEva, write_mpi_test, write_mpi_train
from pw3d_files import LENS, sequence
from python2_pickle import python2_dumps

from lifting.data.procedural.generator import generate_motion
from lifting.data.sets.cmu.config import FILE_NAME
from lifting.files.npz import write_npz_atomically
from lifting.geometry.camera import project, world_to_camera
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.rotation import look_at
from lifting.skeleton import BODY_25, H36M_17

FRAMES = 12
SUBJECTS = ("S1", "S5", "S8", "S9")
FILMS = {"Photo 1": 8, "Walking": 8}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
HEIGHTS = (1002, 1000, 1000, 1002)


def write_aistpp_set(root):
    """Annotations of the lists ``pose``."""
    write_aistpp(root / "aistpp")
    return []


def write_amass(root):
    """A recording for each part, and the body model."""
    for i, name in enumerate(("CMU", "HMDM05", "Transitions")):
        name = {"HMDM05": "HDM05"}.get(name, name)
        smplh_file(root / name / "01" / "walk_poses.npz", seed=i)
    write_models(root / "models")
    return [f"data.amass.body_model={root / 'models'}"]


def write_cmu(root):
    """Procedural people in the converted file's form."""
    made = content()
    rows = len(made["positions_mm"])
    joints = generate_motion(1, rows, seed=5).joints_3d
    lengths = bone_lengths(joints, H36M_17).mean(0).numpy()
    changed = {
        "positions_mm": joints.round().numpy().astype(np.int16),
        "bone_lengths_mm": lengths[None].astype(np.float32),
    }
    write_npz_atomically(root / FILE_NAME, **{**made, **changed})
    return []


def write_h36m(root, detector):
    """All seven subjects."""
    files = H36m(root, dict.fromkeys(FILMS, FRAMES))
    files.write_two_d(detector)
    return []


def write_h36m_images(root):
    """Some subjects, and the pictures that training and testing take."""
    files = H36m(root, FILMS, SUBJECTS)
    files.write_two_d()
    for subject in SUBJECTS:
        for name, frames in FILMS.items():
            film = f"{subject}_{name.replace('Photo', 'TakingPhoto').replace(' ', '_')}"
            for i, camera in enumerate(CAMERAS):
                pixels = files.pixels(subject, name, i)[:, 10]
                folder = root / subject / f"{film}.{camera}"
                for n in range(0, frames, 4):
                    file = folder / f"{film}.{camera}_{n + 1:06d}.jpg"
                    spot(file, pixels[n], (1000, HEIGHTS[i]))
    return [
        "data.h36m.every=4", "data.h36m.train_subjects=[S1,S5]", "data.h36m.val_subjects=[S8]",
        "data.h36m.test_subjects=[S9]",
    ]  # fmt: skip


def write_humaneva(root):
    """All six groups of the protocol."""
    groups = tuple(f"{part}/S{i}" for part in ("Train", "Validate") for i in (1, 2, 3))
    HumanEva(root, {f"{name} 1 chunk0": FRAMES for name in ("Walking", "Jog", "Box")}, groups).write_two_d()  # noqa: E501  # fmt: skip
    return []


def write_keypoint_rig(root):
    """One recording of three cameras, with a file of OpenPose for every frame."""
    motion = generate_motion(1, 40, seed=3)
    joints = motion.joints_3d
    centre = joints[:, 0].mean(0) * torch.tensor([1.0, 1, 0])
    facts = {}
    for name, place in {
        "left": (-4000.0, -2500, 1500), "middle": (300.0, -5000, 1600),
        "right": (4200.0, -2000, 1300),
    }.items():  # fmt: skip
        position = centre + torch.tensor(place)
        turn = look_at(position, centre + torch.tensor([0.0, 0, 900]))
        seen = world_to_camera(joints, turn, position)
        lens = torch.tensor([1000.0, 1000, 500, 400, 0, 0, 0, 0, 0])
        pixels = project(seen, lens, clamp=False).numpy()
        folder = root / "walk" / name
        folder.mkdir(parents=True)
        for i, frame in enumerate(pixels):
            person = {"pose_keypoints_2d": _openpose(frame).reshape(-1).tolist()}
            path = folder / f"walk_{i:012d}_keypoints.json"
            path.write_text(json.dumps({"version": 1.3, "people": [person]}))
        facts[name] = {
            "image_size": [1000, 800], "intrinsics": lens[:4].tolist(),
            "rotation": turn.tolist(), "position": position.tolist(),
        }  # fmt: skip
    (root / "cameras.json").write_text(json.dumps(facts))
    return ["data.teacher.pool_frames=40", "data.teacher.hypotheses=16", "data.teacher.shifts=0"]


def _openpose(pixels):
    """25 joints with confidences of the 17; those that the 17 lack are not seen."""
    ours = {"neck": "thorax", "nose": "neck", "mid_hip": "hip"}
    found = np.zeros((len(BODY_25), 3))
    for i, joint in enumerate(BODY_25.joints):
        name = ours.get(joint, joint)
        if name in H36M_17.joints:
            found[i] = (*pixels[H36M_17.index(name)], 0.9)
    return found


def write_mpi_inf_3dhp(root):
    """Two training subjects in four cameras, and two test sequences."""
    takes = {f"S{i} Seq{j}": FRAMES for i in (1, 2) for j in (1, 2)}
    write_mpi_train(root / "data_train_3dhp.npz", takes, ("0", "1", "4", "8"))
    write_mpi_test(root / "data_test_3dhp.npz", {"TS1": FRAMES, "TS5": FRAMES})
    return [
        "data.mpi_inf_3dhp.train_subjects=[S1,S2]", "data.mpi_inf_3dhp.cameras=['0','1','4','8']",
    ]  # fmt: skip


def write_mpi_inf_3dhp_images(root):
    """Labels that lie on the pictures, and the pictures of every fourth frame."""
    takes = {f"S1 Seq{j}": FRAMES for j in (1, 2)}
    known = write_mpi_train(root / "data_train_3dhp_ori.npz", takes, ("0", "4"))
    tests = write_mpi_test(root / "data_test_3dhp_ori.npz", {"TS5": FRAMES})
    for (take, camera), (_, pixels) in known.items():
        folder = root / take.replace(" ", "/") / "imageFrames" / f"video_{camera}"
        for n in range(0, FRAMES, 4):
            spot(folder / f"frame_{n + 1:06d}.jpg", pixels[n, 0], (2048, 2048))
    folder = root / "mpi_inf_3dhp_test_set/TS5/imageSequence"
    for n in range(0, FRAMES, 4):
        spot(folder / f"img_{n + 1:06d}.jpg", tests["TS5"][1][n, 0], (1920, 1080))
    return [
        "data.mpi_inf_3dhp.train_subjects=[S1]", "data.mpi_inf_3dhp.cameras=['0','4']",
        "data.mpi_inf_3dhp.every=4",
    ]  # fmt: skip


def write_oh50k(root):
    """Annotations of both parts, and pictures of the people's heads."""
    for part, count in {"trainset": 20, "testset": 6}.items():
        seen = seen_people(count, seed=count)
        write_part(root / part, records(seen), pictures=False)
        for i in range(count):
            spot(root / part / f"images/{i:05d}.jpg", pixels_of(seen[i, 15], i), SIZES[i % 2])
    return []


def write_own(root):
    """One file of each kind of text, and an npz; the last two by name validate and test."""
    save_npz(root / "a.npz")
    save_npz(root / "a2.npz")
    save_trc(root / "kim" / "b.trc")
    save_bvh(root / "c.bvh")
    return []


def write_pw3d(root):
    """A sequence for each part, and every frame's picture."""
    for part in ("train", "validation", "test"):
        data, _, _ = sequence(seed=len(part))
        data["sequence"] = f"{part}_street_00"
        home = root / "sequenceFiles" / part
        home.mkdir(parents=True)
        (home / f"{data['sequence']}.pkl").write_bytes(python2_dumps(data))
        size = tuple(int(2 * c) for c in LENS[2:])
        for n in range(len(data["cam_poses"])):
            folder = root / "imageFiles" / data["sequence"]
            spot(folder / f"image_{n:05d}.jpg", (540, 960), size)
    return []


def write_nothing(root):
    """Made on first use."""
    return []


WRITERS = {
    "aistpp": write_aistpp_set,
    "amass": write_amass,
    "cmu": write_cmu,
    "h36m_cpn": lambda root: write_h36m(root, "cpn_ft_h36m_dbb"),
    "h36m_gt": lambda root: write_h36m(root, "gt"),
    "h36m_images": write_h36m_images,
    "humaneva": write_humaneva,
    "images": write_nothing,
    "keypoint_rig": write_keypoint_rig,
    "mpi_inf_3dhp": write_mpi_inf_3dhp,
    "mpi_inf_3dhp_images": write_mpi_inf_3dhp_images,
    "oh50k": write_oh50k,
    "oh50k_images": write_oh50k,
    "own": write_own,
    "pw3d": write_pw3d,
    "pw3d_images": write_pw3d,
    "synthetic": write_nothing,
}
