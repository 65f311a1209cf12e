"""Writes 3D motion of one's own in its text forms and as npz: somebody who is pushed along."""

from __future__ import annotations

import numpy as np

# A standing person, millimetres, z up, in the order of h36m17.
STANDING = np.array([
    [0, 0, 900], [-120, 0, 900], [-120, 0, 480], [-120, 0, 80], [120, 0, 900], [120, 0, 480],
    [120, 0, 80], [0, 0, 1150], [0, 0, 1400], [0, 20, 1500], [0, 0, 1650], [180, 0, 1380],
    [200, 0, 1100], [210, 10, 850], [-180, 0, 1380], [-200, 0, 1100], [-210, 10, 850],
], dtype=np.float64)  # fmt: skip
MARKERS = {
    "LHip": 4, "RHip": 1, "LKnee": 5, "RKnee": 2, "LAnkle": 6, "RAnkle": 3, "LShoulder": 11,
    "RShoulder": 14, "LElbow": 12, "RElbow": 15, "LWrist": 13, "RWrist": 16, "Head": 10,
    "Nose": 9,
}  # fmt: skip
TREE = {
    "Hips": ("", 0), "Spine": ("Hips", 7), "Neck": ("Spine", 8), "Head": ("Neck", 9),
    "LeftArm": ("Spine", 11), "LeftForeArm": ("LeftArm", 12), "LeftHand": ("LeftForeArm", 13),
    "RightArm": ("Spine", 14), "RightForeArm": ("RightArm", 15), "RightHand": ("RightForeArm", 16),
    "LeftUpLeg": ("Hips", 4), "LeftLeg": ("LeftUpLeg", 5), "LeftFoot": ("LeftLeg", 6),
    "RightUpLeg": ("Hips", 1), "RightLeg": ("RightUpLeg", 2), "RightFoot": ("RightLeg", 3),
}  # fmt: skip


def walk(frames=20):
    return STANDING + np.arange(frames)[:, None, None] * [10.0, 0, 0]


def y_up(points):
    return np.stack((points[..., 0], points[..., 2], -points[..., 1]), axis=-1)


def save_npz(path, **changes):
    arrays = {"joints_3d": walk(), "skeleton": "h36m17", "fps": 50, "unit": "mm", "up": "z",
              **changes}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{k: np.asarray(v) for k, v in arrays.items() if v is not None})


def save_trc(path, names=MARKERS, frames=20, missing=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    places = y_up(walk(frames))[:, list(names.values())] / 1000
    lines = [
        "PathFileType\t4\t(X/Y/Z)\ta.trc", "DataRate\tNumFrames\tUnits", f"60\t{frames}\tm",
        "Frame#\tTime\t" + "\t\t\t".join(names),
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(len(names)) for axis in "XYZ"),
    ]  # fmt: skip
    for frame, row in enumerate(places):
        cells = [f"{v:.6f}" for v in row.reshape(-1)]
        for marker in (m for f, m in missing if f == frame):
            cells[3 * marker : 3 * marker + 3] = [""] * 3
        lines.append("\t".join([str(frame), f"{frame / 60:.5f}", *cells]))
    path.write_text("\n".join(lines) + "\n")


def save_bvh(path, frames=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    places = y_up(STANDING) / 10

    def joint(name, keyword="JOINT"):
        parent, index = TREE[name]
        start = places[TREE[parent][1]] if parent else places[index]
        offset = " ".join(f"{v:g}" for v in places[index] - start)
        channels = "6 Xposition Yposition Zposition" if keyword == "ROOT" else "3"
        below = "".join(joint(child) for child, (above, _) in TREE.items() if above == name)
        end = "End Site\n{\nOFFSET 0 15 0\n}\n"
        return (f"{keyword} {name}\n{{\nOFFSET {offset}\nCHANNELS {channels} Zrotation Xrotation "
                f"Yrotation\n{below or end}}}\n")  # fmt: skip

    rows = "".join(f"{i} 90 0{' 0' * 3 * len(TREE)}\n" for i in range(frames))
    path.write_text(f"HIERARCHY\n{joint('Hips', 'ROOT')}MOTION\nFrames: {frames}\n"
                    f"Frame Time: 0.008333\n{rows}")  # fmt: skip
