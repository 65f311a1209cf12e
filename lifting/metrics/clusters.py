"""Clusters of poses for the pose structure score: fitting them by k-means, and their file.

The file is a plain ``.npz`` without pickles. Scores under different fingerprints are not
comparable with one another, nor with the paper's, whose clusters were never released.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lifting.atomic import replacing
from lifting.errors import ConfigError, DataError, MissingDataError, check_shape
from lifting.metrics.functional.structure import nearest_center, unit_pose
from lifting.skeleton import Skeleton
from lifting.typing import Pose3D

log = logging.getLogger(__name__)

VERSION = "pss-v1"
NORMALISATION = "unit_frobenius_root_centred"
FRAME = "camera"
RESTARTS = 10
MAX_STEPS = 300
_VANISHING = 1e-8
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class PoseClusters:
    """Cluster centres of normalised label poses.

    Attributes:
        centers: ``(clusters, 3 joints)`` float64, joint by joint, not renormalised.
        joint_names: Joints in the order of the features.
        root: The joint the poses were centred on.
        seed: Seed of the first restart.
        n_init: Number of restarts.
        inertia: Sum of squared distances of the training poses to their centres.
        n_train: Number of training poses.
        dataset: Where the poses came from.
        split: ``train`` unless labelled otherwise.
        subset: Which part of the split.
    """

    centers: Tensor
    joint_names: tuple[str, ...]
    root: str
    seed: int
    n_init: int
    inertia: float
    n_train: int
    dataset: str
    split: str
    subset: str

    def __len__(self) -> int:
        return int(self.centers.shape[0])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the centres as little-endian float64 in row order."""
        values = self.centers.cpu().contiguous().numpy().astype("<f8")
        return hashlib.sha256(values.tobytes()).hexdigest()

    def check_joints(self, joints: Sequence[str], root: str) -> None:
        """Check that poses have the joints that the clusters were fitted on.

        Raises:
            ConfigError: Names, order or root differ.
        """
        if tuple(joints) != self.joint_names or root != self.root:
            raise ConfigError(
                f"expected poses with the joints of the clusters, root '{self.root}', joints "
                f"{', '.join(self.joint_names)}; got root '{root}', joints {', '.join(joints)}; "
                "fit clusters on this skeleton"
            )

    def to(self, device: torch.device | str) -> PoseClusters:
        """Copy on a device."""
        dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        return replace(self, centers=self.centers.to(device, dtype))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Args:
            path: Where to; its folder is made.

        Raises:
            OutputError: The folder or file cannot be written.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["centers"] = self.centers.cpu().numpy().astype(np.float64)
        values["joint_names"] = np.array(self.joint_names)
        values |= {
            "normalisation": NORMALISATION,
            "frame": FRAME,
            "version": VERSION,
            "K": len(self),
            "fingerprint": self.fingerprint,
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **values)

    @staticmethod
    def load(path: Path) -> PoseClusters:
        """Read the file.

        Raises:
            MissingDataError: There is no such file.
            DataError: The file is not one of ours, or its centres do not match its fingerprint.
        """
        if not path.is_file():
            raise MissingDataError(
                f"expected pose clusters at {path}, got no such file; fit them with "
                "`lifting data fit-pss NAME --output FILE`"
            )
        try:
            with np.load(path, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"expected pose clusters as a plain npz file, got {path}: {error}; fit them again"
            ) from error
        return _from_arrays(content, path)


def fit_pss(
    poses: Pose3D,
    clusters: int,
    *,
    joint_names: Sequence[str],
    root: str,
    seed: int = 0,
    n_init: int = RESTARTS,
    dataset: str = "",
    split: str = "train",
    subset: str = "",
) -> PoseClusters:
    """Fit the clusters of the pose structure score to label poses.

    Args:
        poses: ``(poses, joints, 3)``, root-relative, camera frame, any one unit; poses of
            (nearly) no extent are left out.
        clusters: Number of clusters; 50 and 100 are customary.
        joint_names: Names of the joints.
        root: Name of the joint the poses are centred on.
        seed: Seed of the first restart; restart r uses ``seed + r``.
        n_init: Number of restarts, of which the one with the least inertia is kept.
        dataset: Where the poses came from, for the record.
        split: Never the test split, unless the score is labelled so.
        subset: Which part of the split, for the record.

    Raises:
        ShapeError: The poses do not have the named joints.
        DataError: There are fewer poses than clusters, or values that are not finite.
    """
    check_shape("poses", poses, "poses joints 3", joints=len(joint_names))
    if root not in joint_names:
        raise ConfigError(
            f"expected the root among the joints, got '{root}'; known: {', '.join(joint_names)}"
        )
    features = unit_pose(poses[sound_poses(poses)])
    if len(features) < clusters or not bool(features.isfinite().all()):
        raise DataError(
            f"expected at least {clusters} finite poses to cluster, got {len(features)}; "
            "use more of the training split"
        )
    fits = [kmeans(features, clusters, seed=seed + restart) for restart in range(n_init)]
    best = min(fits, key=lambda fit: fit.inertia)
    return PoseClusters(
        centers=best.centers.cpu(),
        joint_names=tuple(joint_names),
        root=root,
        seed=seed,
        n_init=n_init,
        inertia=best.inertia,
        n_train=len(features),
        dataset=dataset,
        split=split,
        subset=subset,
    )


def sound_poses(poses: Pose3D) -> Tensor:
    """Poses whose extent is not vanishing beside the median pose's, ``(*batch,)`` bool."""
    extent = poses.flatten(-2).double().norm(dim=-1)
    return extent >= _VANISHING * extent.median() if extent.numel() else extent.bool()


def _from_arrays(content: dict[str, np.ndarray], path: Path) -> PoseClusters:
    expected = {f.name for f in fields(PoseClusters)} | {"version", "fingerprint"}
    missing = sorted(expected - set(content))
    version = str(content.get("version"))
    if missing or version != VERSION:
        raise DataError(
            f"expected pose clusters of version {VERSION}, got {path} of version {version} "
            f"without {', '.join(missing) or 'nothing'}; fit them again"
        )
    found = PoseClusters(
        centers=torch.from_numpy(content["centers"].astype(np.float64)),
        joint_names=tuple(str(name) for name in content["joint_names"]),
        root=str(content["root"]),
        seed=int(content["seed"]),
        n_init=int(content["n_init"]),
        inertia=float(content["inertia"]),
        n_train=int(content["n_train"]),
        dataset=str(content["dataset"]),
        split=str(content["split"]),
        subset=str(content["subset"]),
    )
    if found.fingerprint != str(content["fingerprint"]):
        raise DataError(
            f"expected centres with fingerprint {content['fingerprint']}, got "
            f"{found.fingerprint} in {path}; the file is damaged: fit them again"
        )
    return found


def clusters_for(files: Iterable[str], skeleton: Skeleton) -> list[PoseClusters]:
    """Clusters that were fitted on the joints of a skeleton; others are left out, which is said.

    Args:
        files: Files of clusters.
        skeleton: Joints of the poses that are to be scored.

    Raises:
        DataError: A file is damaged.
    """
    found = []
    for file in files:
        one = PoseClusters.load(Path(file))
        try:
            one.check_joints(skeleton.joints, skeleton.joints[skeleton.root])
        except ConfigError:
            log.warning("no score by %s, whose joints are not those of %s", file, skeleton.name)
            continue
        found.append(one)
    return found


class KMeansFit(NamedTuple):
    """Result of one start.

    Attributes:
        centers: ``(clusters, size)`` float64.
        labels: ``(samples,)`` nearest centre of every sample.
        inertia: Sum of squared distances to the nearest centre.
        steps: Lloyd steps taken.
    """

    centers: Tensor
    labels: Tensor
    inertia: float
    steps: int


@torch.no_grad()
def kmeans(data: Tensor, clusters: int, *, seed: int = 0, steps: int = MAX_STEPS) -> KMeansFit:
    """Cluster samples by Lloyd's algorithm from a k-means++ start.

    Stops when the centres move, in the sum of squares, by no more than a millionth of the mean
    feature variance. An empty cluster starts again at the sample farthest from its centre.

    Args:
        data: ``(samples, size)``.
        clusters: Number of clusters, at most the number of samples.
        seed: Seed of the start.
        steps: Most Lloyd steps.

    Raises:
        ConfigError: The number of clusters is not between one and the number of samples.

    Source: Arthur and Vassilvitskii 2007 for the start.
    """
    check_shape("data", data, "samples size")
    if not 1 <= clusters <= len(data):
        raise ConfigError(
            f"expected between 1 and {len(data)} clusters (the samples), got {clusters}; "
            "give more samples or ask for fewer clusters"
        )
    data = data.double()
    generator = torch.Generator(device="cpu").manual_seed(seed)
    centers = plus_plus_start(data, clusters, generator)
    limit = _TOLERANCE * float(data.var(0, correction=0).mean())
    taken, shift = 0, float("inf")
    while taken < steps and shift > limit:
        moved = lloyd_step(data, centers)
        shift = float((moved - centers).square().sum())
        centers = moved
        taken += 1
    labels = nearest_center(data, centers)
    inertia = float((data - centers[labels]).square().sum())
    return KMeansFit(centers, labels, inertia, taken)


def plus_plus_start(data: Tensor, clusters: int, generator: torch.Generator) -> Tensor:
    """Centres drawn from the samples, each with probability by squared distance to the others.

    Args:
        data: ``(samples, size)`` float64.
        clusters: Number of centres.
        generator: Of the processor, whatever the device of the data.
    """
    first = int(torch.randint(len(data), (), generator=generator))
    chosen = [first]
    nearest = (data - data[first]).square().sum(-1)
    for _ in range(clusters - 1):
        cumulative = nearest.cumsum(0).cpu()
        draw = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
        index = int(torch.searchsorted(cumulative, draw, right=True).clamp(max=len(data) - 1))
        chosen.append(index)
        nearest = torch.minimum(nearest, (data - data[index]).square().sum(-1))
    return data[chosen].clone()


def lloyd_step(data: Tensor, centers: Tensor) -> Tensor:
    """Means of the samples nearest to each centre; see :func:`kmeans` for empty clusters.

    Args:
        data: ``(samples, size)`` float64.
        centers: ``(clusters, size)`` float64.
    """
    labels = nearest_center(data, centers)
    count = torch.zeros(len(centers), dtype=data.dtype, device=data.device)
    count.index_add_(0, labels, torch.ones_like(data[:, 0]))
    summed = torch.zeros_like(centers).index_add_(0, labels, data)
    moved = summed / count.clamp(min=1)[:, None]
    empty = (count == 0).nonzero()[:, 0]
    if len(empty):
        distance = (data - centers[labels]).square().sum(-1)
        moved[empty] = data[distance.topk(len(empty)).indices]
    return moved
