"""Writes tiny files in the pickled npz forms of published data sets, with known contents.

Everything is computed here in float64 numpy, apart from the code under test: people who move in a
world with z up, cameras by quaternion, and projection with the published lens model.
"""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np

from lifting.data.sets.h36m.cameras import EXTRINSICS, INTRINSICS
from lifting.data.sets.h36m.files import KEPT_JOINTS
from lifting.data.sets.humaneva.files import EXTRINSICS as HUMANEVA_EXTRINSICS

# Standing, facing y: hip, right leg, left leg, spine to head, left arm, right arm; metres.
STANDING = np.array(
    [
        (0, 0, 0.95), (0.13, 0, 0.95), (0.13, 0.05, 0.5), (0.13, 0, 0.05),
        (-0.13, 0, 0.95), (-0.13, 0.05, 0.5), (-0.13, 0, 0.05),
        (0, 0, 1.18), (0, 0, 1.43), (0, 0.05, 1.55), (0, 0, 1.66),
        (-0.15, 0, 1.43), (-0.17, 0, 1.15), (-0.17, 0.1, 0.92),
        (0.15, 0, 1.43), (0.17, 0, 1.15), (0.17, 0.1, 0.92),
    ]
)  # fmt: skip
# 15 joints of HumanEva, and 17 relevant ones of MPI-INF-3DHP, by index into the above.
TO_HUMANEVA = (0, 8, 11, 12, 13, 14, 15, 16, 4, 5, 6, 1, 2, 3, 10)
TO_MPI = (10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9)
HUMANEVA_LENS = ((720.0, 715.0, 325.0, 238.0), (718.0, 716.0, 318.0, 247.0), (731.0, 729.0, 322.0, 241.0))  # noqa: E501  # fmt: skip
MPI_LENS = {"TS1": (1500.17, 1500.17, 1017.39, 1043.03), "TS5": (1683.98, 1683.98, 939.86, 560.14)}
COCO_SYMMETRY = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
MPII_SYMMETRY = [[3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12]]
H36M_SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]


def people(frames, seed, joints=17):
    """World coordinates ``(frames, 17, 3)`` in metres of somebody who moves about."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(scale=(0.15, 0.15, 0.005), size=(frames, 1, 3)), axis=0)
    return STANDING[:joints] + walk + rng.normal(scale=0.02, size=(frames, joints, 3))


def rotation_of(quaternion):
    """Camera-to-world rotation of a quaternion (w, x, y, z)."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        ]
    )


def seen_by(world_m, figures):
    """Camera coordinates in mm of world coordinates in m; figures: quaternion, centre in mm."""
    return (1000 * world_m - np.array(figures[4:])) @ rotation_of(figures[:4])


def projected(points, lens):
    """Pixels of camera coordinates; lens: fx, fy, cx, cy and, maybe, k1, k2, k3, p1, p2."""
    focal, centre = np.array(lens[:2]), np.array(lens[2:4])
    k1, k2, k3, p1, p2 = lens[4:] or (0,) * 5
    rays = points[..., :2] / points[..., 2:]
    r2 = (rays**2).sum(-1, keepdims=True)
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    tangential = (rays * (p1, p2)).sum(-1, keepdims=True)
    return focal * (rays * (radial + tangential) + r2 * np.array((p1, p2))) + centre


def write_object_npz(path, protocol=3, method=zipfile.ZIP_DEFLATED, **containers):
    """An npz file with one pickled container an array, in a pickle protocol of one's choice."""
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, value in containers.items():
            archive.writestr(f"{name}.npy", npy_of_pickle(boxed(value, protocol)))
    return path


def boxed(value, protocol=3):
    """Pickle of a 0-d array that holds a container."""
    box = np.empty((), dtype=object)
    box[()] = value
    return pickle.dumps(box, protocol=protocol)


def npy_of_pickle(pickled, shape=()):
    """The npy form around a pickle."""
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + pickled


class H36m:
    """A tiny Human3.6M: its files, and what must be read from them.

    Args:
        folder: Where the files are written.
        recordings: Frames by name, of every subject.
        subjects: Subjects that are recorded.
    """

    def __init__(self, folder, recordings, subjects=tuple(EXTRINSICS), protocol=3):
        self.folder, self.protocol = folder, protocol
        self.world = {
            subject: {
                name: people(frames, 100 * i + j)
                for j, (name, frames) in enumerate(recordings.items())
            }
            for i, subject in enumerate(subjects)
        }
        self.write_three_d()

    def write_three_d(self, scale=1.0):
        """The 3D file; the joints that are no part of the 17 hold nonsense."""
        positions = {}
        for subject, named in self.world.items():
            positions[subject] = {}
            for name, joints in named.items():
                every = np.full((len(joints), 32, 3), 77.0)
                every[:, KEPT_JOINTS] = joints * scale
                positions[subject][name] = every.astype(np.float32)
        return self._write("data_3d_h36m", positions_3d=positions)

    def joints(self, subject, name, camera):
        """Camera coordinates, mm."""
        return seen_by(self.world[subject][name], EXTRINSICS[subject][camera])

    def pixels(self, subject, name, camera):
        """Exact projections."""
        lens = list(INTRINSICS.values())[camera][2:]
        return projected(self.joints(subject, name, camera), lens)

    def views(self, change=lambda pixels: pixels, extra_frames=0):
        """The dictionary of a 2D file, each view changed by a function."""
        return {
            subject: {
                name: [self._view(subject, name, i, change, extra_frames) for i in range(4)]
                for name in named
            }
            for subject, named in self.world.items()
        }

    def _view(self, subject, name, camera, change, extra_frames):
        pixels = self.pixels(subject, name, camera)
        pixels = np.concatenate((pixels, np.repeat(pixels[-1:], extra_frames, axis=0)))
        return change(pixels).astype(np.float32)

    def write_two_d(self, detector="gt", views=None, metadata="default"):
        """A 2D file; the metadata of ``gt`` has no layout name."""
        if metadata == "default":
            metadata = {"num_joints": 17, "keypoints_symmetry": H36M_SYMMETRY}
        described = {} if metadata is None else {"metadata": metadata}
        views = self.views() if views is None else views
        return self._write(f"data_2d_h36m_{detector}", positions_2d=views, **described)

    def _write(self, name, **containers):
        return write_object_npz(self.folder / f"{name}.npz", self.protocol, **containers)


def mixture_views(data, kernels=3, seed=0):
    """Mixtures whose most probable kernel, of weight 0.6, lies at the exact projection."""
    rng = np.random.default_rng(seed)

    def change(pixels):
        mixtures = np.empty((*pixels.shape[:2], kernels, 5))
        mixtures[..., 0] = 0.4 / (kernels - 1)
        mixtures[..., 1:3] = pixels[:, :, None] + rng.normal(
            scale=9, size=mixtures[..., 1:3].shape
        )
        mixtures[..., 3:] = rng.uniform(0.002, 0.05, size=mixtures[..., 3:].shape)
        mixtures[:, :, 1, 0], mixtures[:, :, 1, 1:3] = 0.6, pixels
        return mixtures

    return data.views(change, extra_frames=2)


class HumanEva:
    """A tiny HumanEva-I: its files, and what must be read from them.

    Args:
        folder: Where the files are written.
        recordings: Frames by name, of every group or by group.
        groups: Parts and subjects, such as ``Train/S1``.
    """

    def __init__(self, folder, recordings, groups, protocol=3):
        self.folder, self.protocol = folder, protocol
        self.world = {
            group: {
                name: people(frames, 100 * i + j)[:, TO_HUMANEVA]
                for j, (name, frames) in enumerate(recordings.get(group, recordings).items())
            }
            for i, group in enumerate(groups)
        }
        positions = {
            g: {n: w.astype(np.float32) for n, w in d.items()} for g, d in self.world.items()
        }
        write_object_npz(folder / "data_3d_humaneva15.npz", protocol, positions_3d=positions)

    def joints(self, group, name, camera):
        """Camera coordinates, mm."""
        figures = HUMANEVA_EXTRINSICS[group.rpartition("/")[2]][camera]
        return seen_by(self.world[group][name], figures)

    def pixels(self, group, name, camera):
        """Exact projections of cameras without distortion."""
        return projected(self.joints(group, name, camera), HUMANEVA_LENS[camera])

    def write_two_d(self, detector="gt", change=lambda pixels: pixels, metadata=None):
        """A 2D file, each view changed by a function."""
        views = {
            g: {n: [change(self.pixels(g, n, i)).astype(np.float32) for i in range(3)] for n in d}
            for g, d in self.world.items()
        }
        return write_object_npz(
            self.folder / f"data_2d_humaneva15_{detector}.npz",
            self.protocol,
            positions_2d=views,
            metadata=metadata or {"layout_name": "humaneva15", "num_joints": 15},
        )


def mpi_view(frames, seed, lens):
    """Camera coordinates in mm and pixels of 17 relevant joints, before a level camera."""
    world = people(frames, seed)[:, TO_MPI]
    turn = np.array([(1.0, 0, 0), (0, 0, -1), (0, 1, 0)])  # x right, z up -> y down
    points = 1000 * world @ turn.T + np.array((0, 1000, 4000))
    return points, projected(points, lens)


def mpi_camera_lens(camera):
    """Lens of a training camera."""
    return (1490.0 + int(camera), 1491.0 + int(camera), 1024.0, 1050.0 - int(camera))


def write_mpi_train(path, sequences, cameras, protocol=3):
    """A training file; returns camera coordinates and pixels by (sequence, camera)."""
    known, data = {}, {}
    for i, (name, frames) in enumerate(sequences.items()):
        views = {}
        for camera in cameras:
            known[name, camera] = mpi_view(frames, 50 * i + int(camera), mpi_camera_lens(camera))
            joints, pixels = known[name, camera]
            views[camera] = {
                "data_2d": pixels.astype(np.float32),
                "data_3d": joints.astype(np.float32),
            }
        data[name] = [views]
    write_object_npz(path, protocol, data=data)
    return known


def write_mpi_test(path, sequences, protocol=3):
    """A test file; returns camera coordinates, pixels and valid flags by sequence."""
    known, data = {}, {}
    for i, (name, frames) in enumerate(sequences.items()):
        lens = MPI_LENS["TS5" if name in ("TS5", "TS6") else "TS1"]
        joints, pixels = mpi_view(frames, 900 + i, lens)
        valid = np.arange(frames) % 3 != 1
        known[name] = (joints, pixels, valid)
        data[name] = {"data_2d": pixels, "data_3d": joints, "valid": valid.astype(np.float64)}
    write_object_npz(path, protocol, data=data)
    return known
