"""A trained model as one ONNX file, which answers as it does and says what it is.

The graph is the whole of :meth:`PoseLifter.infer`, from pixels to millimetres, with the mirrored
average and all hypotheses. The random numbers that these are drawn by are an input with a default.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lifting import __version__
from lifting.atomic import replacing
from lifting.batch import PoseBatch
from lifting.errors import ConfigError, OutputError, ShapeError
from lifting.experiment.prediction import Model
from lifting.files.checks import sha256_of
from lifting.geometry.camera import Camera
from lifting.methods.lifter import PoseLifter

log = logging.getLogger(__name__)

SUFFIX = ".onnx"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
LARGEST_MM = 0.01
"""Difference of two answers that rounding explains."""

KEYPOINTS, CONFIDENCE = "keypoints_2d", "confidence"
INPUTS = {
    KEYPOINTS: "(batch, frames, joints, 2), pixels",
    "image_size": "(batch, 2), width and height, pixels",
    "intrinsics": "(batch, 9), fx, fy, cx, cy, k1, k2, k3, p1, p2, pixels",
    CONFIDENCE: "(batch, frames, joints), 0 to 1, zero where a joint was not detected",
}
"""What a graph may read; a file has those that its answers depend on."""

TABLE = "random numbers, the same for every pose; where none are given, those of the run's seed"
HYPOTHESES = "hypotheses"
OUTPUTS = {
    "joints_3d": "(batch, targets, joints, 3), mm from the root; x right, y down, z forward",
    "sigma": "(batch, targets, joints), mm, standard deviation of each coordinate's error",
    HYPOTHESES: "(batch, hypotheses, targets, joints, 3), as joints_3d",
    "trajectory": "(batch, targets, 3), mm, the root in the camera's frame",
}
"""What a graph may answer, by the names of :class:`lifting.batch.Prediction`."""


class Written(NamedTuple):
    """A file, and how it was tried.

    Attributes:
        inputs: What it reads, of which tables of random numbers may be left out.
        outputs: What it answers.
        difference: Largest of its answers by onnxruntime from those of the model, mm.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float


class Graph(nn.Module):
    """A lifter as a function of arrays by name.

    Args:
        lifter: In evaluation mode.
    """

    def __init__(self, lifter: PoseLifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The answers that there are, see ``OUTPUTS``.

        Args:
            inputs: All of ``INPUTS``, and :meth:`PoseLifter.random_tables` or others of that form.
        """
        batch = PoseBatch(
            skeleton=self.lifter.skeleton,
            keypoints_2d=inputs[KEYPOINTS],
            confidence=inputs[CONFIDENCE],
            camera=Camera(intrinsics=inputs["intrinsics"], size=inputs["image_size"]),
            extras={name: value for name, value in inputs.items() if name not in INPUTS},
        )
        answer = self.lifter.infer(batch)
        found = {name: getattr(answer, name) for name in OUTPUTS}
        return {name: value for name, value in found.items() if value is not None}


def write_onnx(model: Model, output: Path) -> Written:
    """Write a trained model as an ONNX file that holds its weights, and compare their answers.

    Args:
        model: The model. Flip averaging, steps and number of hypotheses are those of its run.
        output: The file to write.

    Raises:
        ConfigError: A package is missing, or the answers of the method are no such graph.
        OutputError: The file cannot be written.
    """
    _check(model, output)
    if model.config.tto.enabled:
        log.warning("test-time optimisation is no part of a graph: the network's own answers are")
    graph = Graph(model.module).eval()
    inputs = example_inputs(model.module, 2)
    with torch.no_grad():
        answers = graph(inputs)
        file = _traced(model.method, graph, inputs, tuple(answers))
    _describe(file, inputs, answers)
    for key, value in facts(model).items():
        text = value if isinstance(value, str) else json.dumps(value)
        file.metadata_props.add(key=key, value=text)
    with replacing(output) as temporary:
        temporary.write_bytes(file.SerializeToString())
        difference = largest_difference(temporary, graph)
    if difference > LARGEST_MM:
        log.warning("%s answers up to %.2g mm beside its model", output, difference)
    names = tuple(value.name for value in file.graph.input)
    return Written(names, tuple(answers), difference)


def _check(model: Model, output: Path) -> None:
    """Refuse what cannot be written."""
    if output.suffix != SUFFIX:
        raise OutputError(
            f"expected the name of an ONNX file, ending in {SUFFIX}, got {output}; change --output"
        )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"expected the packages {', '.join(PACKAGES)} to write {output}, got no "
            f"{' and no '.join(missing)}; install them with `pip install 'lifting[onnx]'`"
        )
    if any(getattr(part, "reads_pictures", False) for part in model.module.modules()):
        raise ConfigError(
            f"expected a method that lifts keypoints, got '{model.method}', which reads pictures; "
            "convert a model of another method, such as simple_baseline"
        )


def example_inputs(lifter: PoseLifter, size: int, frames: int | None = None) -> dict[str, Tensor]:
    """Keypoints anywhere in an image, and what goes with them.

    Args:
        lifter: What is to answer.
        size: Samples, which also seed the keypoints.
        frames: Of each; None for as many as it was trained with.
    """
    generator = torch.Generator().manual_seed(size)
    shape = (size, lifter.settings.frames if frames is None else frames, len(lifter.skeleton))
    lens = torch.tensor([1100.0, 1100.0, 500.0, 500.0, -0.2, 0.2, 0.0, 0.001, 0.001])
    return {
        KEYPOINTS: 200 + 600 * torch.rand(*shape, 2, generator=generator),
        "image_size": torch.tensor([1000.0, 1000.0]).repeat(size, 1),
        "intrinsics": lens.repeat(size, 1),
        CONFIDENCE: 0.2 + 0.8 * torch.rand(shape, generator=generator),
        **lifter.random_tables(),
    }


def _traced(method: str, graph: Graph, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> Any:
    """The model of ONNX, of any batch and, where it can be, any number of frames."""
    axes: dict[str, dict[int, Any]] = {
        name: {0: torch.export.Dim.DYNAMIC} if name in INPUTS else {} for name in inputs
    }
    if _takes_any_frames(graph):
        for name in (KEYPOINTS, CONFIDENCE):
            axes[name][1] = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                graph, kwargs={"inputs": inputs}, dynamic_shapes={"inputs": axes}, dynamo=True,
                input_names=list(inputs), output_names=list(outputs), verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().split("\n", maxsplit=1)[0]
        raise ConfigError(
            f"expected a method whose answers are one graph of ONNX's operations, got '{method}' "
            f"as this run has it: {reason}; docs/guide/onnx.md says what can be converted"
        ) from error
    assert program is not None
    return program.model_proto


def _takes_any_frames(graph: Graph) -> bool:
    """Whether windows may have another length than in training."""
    settings = graph.lifter.settings
    if settings.target == "middle":
        return False
    try:
        graph(example_inputs(graph.lifter, 1, settings.frames + 1))
    except ShapeError:
        return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter has to say of itself and of packages that nobody asked for."""
    levels = {logging.getLogger(name): 0 for name in ("torch.onnx", "onnxscript")}
    for logger in levels:
        levels[logger] = logger.level
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _describe(file: Any, inputs: dict[str, Tensor], answers: dict[str, Tensor]) -> None:
    """Name axes, document inputs and outputs, give tables their defaults.

    Args:
        file: The model of ONNX, changed in place. Inputs that no answer depends on go.
        inputs: That it was made with.
        answers: To them.
    """
    from onnx import numpy_helper

    graph = file.graph
    read = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.input if value.name in read]
    del graph.input[:]
    del graph.value_info[:]  # shapes between, in the exporter's names
    graph.input.extend(kept)
    windows = next(value for value in graph.input if value.name == KEYPOINTS)
    any_frames = bool(windows.type.tensor_type.shape.dim[1].dim_param)
    for value in (*graph.input, *graph.output):
        name, axes = value.name, value.type.tensor_type.shape.dim
        value.doc_string = (INPUTS | OUTPUTS).get(name, TABLE)
        if name in inputs and name not in INPUTS:
            graph.initializer.append(numpy_helper.from_array(inputs[name].numpy(), name))
            continue
        shape: list[Any] = ["batch", *(inputs | answers)[name].shape[1:]]
        if any_frames and name not in ("image_size", "intrinsics"):
            shape[2 if name == HYPOTHESES else 1] = "frames"
        for axis, size in zip(axes, shape, strict=True):
            if isinstance(size, str):
                axis.dim_param = size
            else:
                axis.dim_value = size


def facts(model: Model) -> dict[str, Any]:
    """What a file says of itself, plain values; those that are no text are written as JSON."""
    config, module, claims = model.config, model.module, model.claims
    return {
        "lifting_version": __version__,
        "method": model.method,
        "experiment": config.name,
        "checkpoint_sha256": sha256_of(model.checkpoint),
        "trained_on": claims.trained_on,
        "skeleton": module.skeleton.name,
        "joints": module.skeleton.joints,
        "parents": module.skeleton.parents,
        "mirror": module.skeleton.mirror,
        "root": module.skeleton.joints[module.skeleton.root],
        "frames_per_second": claims.fps,
        "window": module.settings.frames,
        "window_stride": config.data.window_stride,
        "targets": f"{module.settings.target} frames of a window",
        "normalisation": f"{module.normalisation}; inside the graph, which takes pixels",
        "units": "keypoints in pixels, poses in mm, camera axes x right, y down, z forward",
        "flip_averaging": module.settings.flip_test,
        "answers": module.describe(),
    }


def largest_difference(path: Path, graph: Graph) -> float:
    """Largest difference of a file's answers, by onnxruntime, from those of its model, mm.

    Args:
        path: The file.
        graph: Of the model; both are given other samples than the file was made with, and
            windows of another length where the file takes any.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shapes = {value.name: value.shape for value in session.get_inputs()}
    frames = graph.lifter.settings.frames
    if shapes[KEYPOINTS][1] == "frames":
        frames += 2
    largest = 0.0
    for size in (1, 3):
        inputs = example_inputs(graph.lifter, size, frames)
        with torch.no_grad():
            expected = graph(inputs)
        found = session.run(list(expected), {name: inputs[name].numpy() for name in shapes})
        for name, values in zip(expected, found, strict=True):
            difference = (torch.from_numpy(values) - expected[name]).abs().max()
            largest = max(largest, float(difference))
    return largest
