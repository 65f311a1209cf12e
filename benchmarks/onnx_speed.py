"""A model's answers by PyTorch, and by onnxruntime from the file of `lifting convert onnx`.

One thread each, in processes of their own that do nothing else. Times are those of the processor,
so that they tell the latency of an idle machine also where others compute beside; memory is the
largest of the process, packages included. Weights are fresh: they cost the same as trained ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from timing import BenchRow, cpu_seconds

CASES = {  # windows of a batch
    "simple_baseline": 256, "videopose3d": 256, "uao": 256, "diffpose": 256, "diffpose_video": 8,
}  # fmt: skip
MEASURES = {  # by what a row says: unit, and whether more is better
    "a window alone": ("ms", False),
    "windows of a batch": ("windows/s", True),
    "memory": ("MB", False),
}


def rows() -> Iterator[BenchRow]:
    """PyTorch as the reference, onnxruntime as ours."""
    for name, size in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            note = _prepare(name, size, Path(folder))
            reference, ours = (_measured(kind, size, folder) for kind in ("torch", "onnx"))
        for what, (unit, more) in MEASURES.items():
            yield BenchRow(f"{name}, {what}", reference[what], ours[what], unit, note, more)


def _prepare(name: str, count: int, folder: Path) -> str:
    """Write weights, ONNX file and inputs of an experiment; says what they are."""
    import numpy as np

    from lifting.experiment.build import build_module
    from lifting.experiment.load import load_experiment, to_run
    from lifting.experiment.onnx import example_inputs, write_onnx
    from lifting.experiment.prediction import load_model
    from lifting.experiment.trained import write_weights

    config = load_experiment(name, ["wandb.mode=disabled", "pss=[]"])
    module = build_module(config)
    module.claim = {"fps": 50.0, "frames": config.data.frames, "experiment": to_run(config)}
    weights = folder / "weights.ckpt"
    write_weights(module, weights)
    model = load_model(weights)
    written = write_onnx(model, folder / "model.onnx")
    inputs = example_inputs(model.module, count)
    np.savez(folder / "inputs.npz", **{key: value.numpy() for key, value in inputs.items()})
    size = (folder / "model.onnx").stat().st_size / 1e6
    return (
        f"windows of {config.data.frames}, batches of {count}, file of {size:.1f} MB, largest "
        f"difference {written.difference:.1g} mm"
    )


def _measured(kind: str, count: int, folder: str) -> Mapping[str, float]:
    """Measures of a fresh process with one thread."""
    command = [sys.executable, __file__, kind, str(count), folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measure(kind: str, count: int, folder: Path) -> None:
    answer = _by_torch(folder) if kind == "torch" else _by_onnx(folder)
    alone = cpu_seconds(lambda: answer(1), repeats=50, warmup=5)
    batch = cpu_seconds(lambda: answer(count), repeats=5)
    status = Path("/proc/self/status").read_text()  # getrusage counts the parent's as well
    memory = int(status.split("VmHWM:")[1].split()[0]) / 1e3
    print(json.dumps(dict(zip(MEASURES, (1e3 * alone, count / batch, memory), strict=True))))


def _by_torch(folder: Path) -> Callable[[int], Any]:
    import numpy as np
    import torch

    from lifting.batch import PoseBatch
    from lifting.experiment.prediction import load_model
    from lifting.geometry.camera import Camera

    torch.set_num_threads(1)
    lifter = load_model(folder / "weights.ckpt").module.eval()
    held = {key: torch.from_numpy(value) for key, value in np.load(folder / "inputs.npz").items()}

    @torch.no_grad()
    def answer(size: int) -> object:
        camera = Camera(intrinsics=held["intrinsics"][:size], size=held["image_size"][:size])
        return lifter.infer(
            PoseBatch(
                skeleton=lifter.skeleton,
                keypoints_2d=held["keypoints_2d"][:size],
                confidence=held["confidence"][:size],
                camera=camera,
            )
        )

    return answer


def _by_onnx(folder: Path) -> Callable[[int], Any]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    held = dict(np.load(folder / "inputs.npz"))
    read = [value.name for value in session.get_inputs()]
    return lambda size: session.run(None, {name: held[name][:size] for name in read})


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
