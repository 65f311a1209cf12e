"""Facts about a run that no configuration holds: code, data, weights, machine, packages."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from timeit import repeat
from typing import Any, get_args

import torch
from torch import Tensor, nn

import lifting
from lifting.data.config import Split, scored_target
from lifting.data.datamodule import PoseDataModule
from lifting.errors import ConfigError
from lifting.experiment.claims import cluster_files
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.record import CLUSTERS_OF, INITIALISED, ResultRecord
from lifting.experiment.without_truth import supervision_facts
from lifting.methods.base import LiftingModule
from lifting.metrics.clusters import clusters_for
from lifting.metrics.protocol import Protocol, get_protocol
from lifting.nn.threads import torch_threads
from lifting.skeleton import Skeleton
from lifting.tto.contract import Fitting

PACKAGES = (
    "torch", "pytorch-lightning", "torchmetrics", "numpy", "scipy", "omegaconf", "wandb",
)  # fmt: skip
GIT_SECONDS = 10.0
_SIDE = 1024
ORACLE = "oracle"
SPLITS = frozenset(get_args(Split))


def run_facts(module: nn.Module, data: PoseDataModule) -> dict[str, Any]:
    """Everything that goes with a run beside its configuration, as plain values.

    Args:
        module: Its weights are counted.
        data: The splits it has loaded so far are fingerprinted.
    """
    return {
        "git": git_state(),
        "data": data.fingerprint(),
        "parameters": parameter_count(module),
        "machine": machine_facts(),
        "packages": package_versions(),
    }


def build_record(
    config: ExperimentConfig,
    module: LiftingModule,
    data: PoseDataModule,
    metrics: Mapping[str, float | Tensor],
    baselines: Mapping[str, Mapping[str, float]],
    budget: Mapping[str, Any],
    *,
    split: Split = "test",
) -> ResultRecord:
    """Put a score together with everything it depends on.

    Args:
        config: The experiment.
        module: The scored module; what its ``describe`` has no field for becomes an extra.
        data: The data it was scored on.
        metrics: Logged values of the evaluation, by key with or without the split's prefix.
        baselines: Scores by key without a split, by name of the baseline.
        budget: ``epochs``, ``steps``, ``seconds``, ``cpu_seconds``, ``devices`` of the training.
        split: The split that was scored.
    """
    scores = _of_split(metrics, split, [stage.name for stage in module.stages()])
    told = dict(module.describe())
    name, flags = str(config.method["name"]), dict(told.pop("oracle_flags", {}))
    if config.tto.enabled and config.tto.latent == "own" and isinstance(module, Fitting):
        # Of test-time optimisation such a method reads that it is on, and nothing else.
        name += " + own fitting"
        told["tto"] = {"enabled": True, "latent": "own"}
    elif config.tto.enabled:
        name += f" + {config.tto}"
        told["tto"] = asdict(config.tto)
        if config.tto.root == "gt":
            flags["tto"] = "position of the root"
    return ResultRecord(
        experiment=config.name,
        method=name,
        two_d=data.info(split).source.get("two_d", f"noise {config.data.noise}"),
        frames=config.data.frames,
        flip=config.flip_test,
        seed=config.seed,
        weights=weights_hash(module.state_dict()),
        hypotheses=told.pop("hypotheses"),
        steps=told.pop("steps"),
        aggregation=told.pop("aggregation"),
        oracle_flags=flags,
        budget=dict(budget),
        packages=package_versions(),
        baselines={k: dict(v) for k, v in baselines.items()},
        extras={
            "supervision": supervision_facts(data),
            "trained_on": module.claim.get("dataset"),
            **{k: v for k, v in module.claim.items() if k == INITIALISED},
            "joints_of": module.skeleton.name,
            "frame_rate": data.fps,
            "camera": data.tracks(split).camera_kind,
            **({} if module.stage == module.stages()[-1] else {"stage": module.stage.name}),
            **batch_statistics(module),
            **told,
            "parameters": parameter_count(module),
            "machine": machine_facts(),
        },
        **scored_on(config, data, scores, split),
    )


def scored_on(
    config: ExperimentConfig,
    data: PoseDataModule,
    scores: Mapping[str, float],
    split: Split = "test",
) -> dict[str, Any]:
    """Fields of a record that no method decides: data, rules and scores.

    Args:
        config: The experiment; it may have no method.
        data: The data that were scored.
        scores: By key without the split's prefix.
        split: The split that was scored.
    """
    info = data.info(split)
    protocol = get_protocol(config.protocol).on(info.skeleton)
    return {
        "dataset": info.source.get("dataset", config.data.name),
        "split": split,
        "joints": list(info.skeleton.joints),
        "root_rule": f"centred on {protocol.root}",
        "protocol": {
            "name": config.protocol,
            **_protocol_ids(protocol, scores),
            **_cluster_ids(cluster_files(config), info.skeleton),
        },
        "unit": protocol.unit,
        "samples": {
            "every": config.data.eval_every,
            "target": scored_target(config.data),
            "batches": config.trainer.limit_test_batches,
            "fingerprint": data.fingerprints().get(split, ""),
        },
        "metrics": {k: v for k, v in scores.items() if not _is_oracle(k)},
        "oracle": {k: v for k, v in scores.items() if _is_oracle(k)},
        "git": git_state(),
        "data": {**info.source, "fingerprint": data.fingerprint()},
    }


def git_state(folder: Path | None = None) -> dict[str, Any]:
    """Commit of the code, and whether tracked files differ from it.

    Args:
        folder: Top of the repository; None is the one the package lies in.

    Returns:
        ``commit`` and ``dirty``; both None outside a repository or without git.
    """
    top = folder or Path(lifting.__file__).resolve().parents[1]
    unknown: dict[str, Any] = {"commit": None, "dirty": None}
    found = _git(top, "rev-parse", "--show-toplevel")
    # An installed package may lie in some other project's repository, which says nothing of it.
    if found is None or Path(found).resolve() != top.resolve():
        return unknown
    commit = _git(top, "rev-parse", "--verify", "HEAD")
    changes = _git(top, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def weights_hash(state: Mapping[str, Any]) -> str:
    """SHA-256 over the tensors of a state dict, by name, so that equal weights have equal hashes.

    Args:
        state: A state dict; values that are no tensors are left out.
    """
    digest = hashlib.sha256()
    _add_tensors(digest, {k: v for k, v in state.items() if isinstance(v, Tensor)})
    return digest.hexdigest()


def parameter_count(module: nn.Module) -> dict[str, int]:
    """Number of parameters, ``total`` and ``trainable``."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return {
        "total": sum(n for n, _ in sizes),
        "trainable": sum(n for n, wanted in sizes if wanted),
    }


def batch_statistics(module: LiftingModule) -> dict[str, str]:
    """Says of a network with batch normalisation whose batches those of several processes were."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if module.processes == 1 or not any(isinstance(m, norms) for m in module.modules()):
        return {}
    return {"batch_statistics": f"of the slices of each of {module.processes} processes"}


@cache
def matrix_gflops() -> float:
    """10⁹ operations a second of a product of 1,024 x 1,024 float32 matrices in one thread.

    Processor seconds of other machines compare by it. Measured once in a process, the best of
    some products, so that what else the machine does counts little.
    """
    side = torch.randn(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    with torch_threads(1):
        seconds = min(repeat(lambda: side @ side, timer=time.process_time, repeat=10, number=1))
    return round(2 * _SIDE**3 / seconds / 1e9, 1)


def machine_facts() -> dict[str, Any]:
    """Processor, graphics processor, cores, memory and system."""
    cuda = torch.cuda.is_available()
    return {
        "cpu": _processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "gpus": torch.cuda.device_count() if cuda else 0,
        "cuda": torch.version.cuda if cuda else None,
        "system": f"{platform.system()} {platform.release()}",
    }


def package_versions() -> dict[str, str]:
    """Versions of Python, of this package and of what decides about numbers."""
    found = {"python": platform.python_version(), "lifting": lifting.__version__}
    for name in PACKAGES:
        installed = _installed(name)
        if installed is not None:
            found[name] = installed
    return found


@cache
def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _of_split(
    values: Mapping[str, float | Tensor], split: str, stages: Collection[str]
) -> dict[str, float]:
    """Scores of a split without its prefix; those of other splits and stages are left out.

    Only the beginning of a key tells its split, since an action may be called ``test``.
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        first, *rest = key.split("/")
        if first in SPLITS:
            if first == split:
                found["/".join(rest)] = float(value)
        elif not (first in stages and SPLITS.intersection(rest[:1])):
            found[key] = float(value)
    return found


def _is_oracle(key: str) -> bool:
    """Whether the truth chose the answer: its group says so, or the name of an extra answer."""
    return key.startswith((f"{ORACLE}/", f"{ORACLE}_"))


def _protocol_ids(protocol: Protocol, keys: Iterable[str]) -> dict[str, str]:
    """Identifier of every score of the main answer; per-action and extra ones share them."""
    ids: dict[str, str] = {}
    for key in keys:
        if "/" in key and not _is_oracle(key):
            continue
        with contextlib.suppress(ConfigError):  # a method's own score has no identifier
            ids[key] = protocol.id_for(key)
    return ids


def _cluster_ids(files: Iterable[str], skeleton: Skeleton) -> dict[str, str]:
    """Fingerprint of the clusters behind every pose structure score."""
    clusters = clusters_for(files, skeleton)
    return {f"{CLUSTERS_OF}pss_{len(one)}": one.fingerprint for one in clusters}


def _add_tensors(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # Bytes, because numpy knows no bfloat16.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
