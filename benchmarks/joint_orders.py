"""Which joints are these: the rule measured on real files and on CMU's motion in every order.

    python benchmarks/joint_orders.py [--clips 300] [--seed 0] [--write FILE]

Clips of 30 frames. Real: the first 17 joints of the body25b and halpe26 files are coco17; body25
and body25b are themselves. CMU: motion seen by random cameras, in every order that is told from
another of its count, exact and with a detector's noise. A clip is wrong where another order is
taken, refused where the rule does not decide. Then names: how often a right name is contradicted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1] / "tests"
FRAMES = 30


def main() -> int:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=300, help="of CMU (300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="FILE", help="markdown file to write")
    arguments = parser.parse_args()
    if not os.environ.get("LIFTING_DATA"):
        parser.error("set LIFTING_DATA to the folder of cmu/ and real/")
    sys.path[:0] = [str(TESTS / "fixtures_formats"), str(TESTS / "unit" / "data" / "keypoints")]
    rows = [*_real(), *_cmu(arguments.clips, arguments.seed)]
    text = "\n".join(
        [
            "# Which joints are these",
            "",
            f"`python benchmarks/joint_orders.py --clips {arguments.clips} --seed "
            f"{arguments.seed}`, clips of {FRAMES} frames.",
            "",
            "| clips | orders | clips | wrong | refused | a right name contradicted |",
            "|---|---|--:|--:|--:|--:|",
            *rows,
        ]
    )
    print(text)
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")
    return 0


class _Count:
    """Clips of one row."""

    def __init__(self) -> None:
        self.clips = self.wrong = self.refused = self.contradicted = 0
        self.taken: dict[str, int] = defaultdict(int)

    def add(self, points, confidence, name):
        """Tell the order of a clip that is in the order ``name``."""
        from lifting.data.keypoints.plausibility import CONTRADICTED, LEAST_FRAMES, tell
        from lifting.skeleton import sets_of

        told = tell(points, confidence, sets_of(points.shape[1]))
        self.clips += 1
        self.refused += not told.decided
        if told.decided and told.best.name != name:
            self.wrong += 1
            self.taken[f"{name} as {told.best.name}"] += 1
        worse = told.scores[name] - told.scores[told.best.name]
        self.contradicted += told.usable >= LEAST_FRAMES and worse >= CONTRADICTED

    def row(self, what, orders):
        """The row of the table."""
        share = [f"{n} ({n / self.clips:.2%})" for n in (self.wrong, self.refused,
                                                         self.contradicted)]  # fmt: skip
        taken = ", ".join(f"{k}: {v}" for k, v in sorted(self.taken.items()))
        return f"| {what} | {orders}{f' ({taken})' if taken else ''} | {self.clips} | " + (
            " | ".join(share) + " |"
        )


def _real():
    from lifting.data.keypoints.read import read_people

    root = Path(os.environ["LIFTING_DATA"]) / "real"
    sources = [
        *((path, "body25b") for path in sorted(root.glob("pose2sim/*/*_json"))),
        (root / "alphapose_halpe26" / "alphapose-results.json", "halpe26"),
        (root / "video2bvh" / "2d_pose_000-299.npy", "body25"),
    ]
    own, cut = _Count(), _Count()
    for path, name in sources:
        people = read_people(path, name)
        for start in range(0, len(people.joints) - FRAMES + 1, FRAMES // 2):
            clip = people.joints[start : start + FRAMES]
            own.add(clip[..., :2], clip[..., 2], name)
            if name != "body25":
                cut.add(clip[:, :17, :2], clip[:, :17, 2], "coco17")
    yield own.row("real files", "body25b, halpe26, body25")
    yield cut.row("real files, first 17 joints", "coco17")


def _cmu(clips, seed):
    import orders

    noises = (("exact", 0.0, 0.0), ("5 px noise, 10 % of joints missing", 5.0, 0.1))
    for what, noise, missing in noises:
        rng = np.random.default_rng(seed)
        count = _Count()
        for joints in orders.clips(rng, clips, FRAMES):
            for name in orders.EVERY:
                points = orders.filmed(orders.in_order(joints, name), rng)
                points += noise * rng.standard_normal(points.shape)
                confidence = (rng.random(points.shape[:2]) >= missing).astype(float)
                count.add(points, confidence, name)
        yield count.row(f"CMU, {what}", f"{len(orders.EVERY)} orders")


if __name__ == "__main__":
    sys.exit(main())
