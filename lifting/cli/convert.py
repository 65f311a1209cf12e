"""``lifting convert``: imports published weights, and writes files of weights and ONNX files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import OVERRIDES_HELP
from lifting.errors import ConfigError
from lifting.experiment.console import console

if TYPE_CHECKING:
    from lifting.experiment.prediction import Model

ONNX, WEIGHTS = "onnx", "weights"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "convert",
        help="import weights that a method's authors published; write a trained model as a file "
        "of weights or as ONNX",
        usage="lifting convert EXPERIMENT FILE [FILE ...] --output OUT.ckpt [--set KEY=VALUE]\n"
        "       lifting convert onnx RUN_OR_WEIGHTS [--output OUT.onnx]\n"
        "       lifting convert weights RUN [--output OUT.pt]",
        description="The first form turns published weights into a checkpoint that `lifting test "
        "EXPERIMENT --checkpoint` reads. Names and shapes must fit the experiment's network "
        "exactly; nothing in the files is executed. diffpose takes two files: the denoiser, then "
        "the context encoder. The second form writes a trained model that lifts keypoints as one "
        "ONNX file, which answers like `lifting predict` and says in its metadata what it is; it "
        "needs the extra `onnx`. The third form writes its weights, what is known of them, and "
        "what input is usual for them, which is learnt from the data of the run: a file for "
        "`lifting predict --weights` and `lifting weights add`.",
    )
    parser.add_argument(
        "what",
        metavar="EXPERIMENT",
        help="experiment whose network the weights are for; or the word onnx or weights",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="published weights; for onnx and weights a run's folder, that of an experiment's "
        "runs, or a checkpoint",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT",
        help="file to write; for onnx and weights the default is the experiment's name with .onnx "
        "or .pt, here",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override of the experiment, not for onnx and weights, may be repeated: "
        f"{OVERRIDES_HELP}",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Convert, then say what was read and what was not needed."""
    if arguments.what in (ONNX, WEIGHTS):
        return _write_model(arguments)
    if arguments.output is None:
        raise ConfigError(
            "expected the checkpoint to write, got none; name it with --output OUT.ckpt"
        )
    from lifting.experiment.load import load_experiment

    config = load_experiment(arguments.what, arguments.settings)
    from lifting.experiment.trained import convert

    converted = convert(config, arguments.files, arguments.output)
    count = sum(value.numel() for value in converted.state.values())
    console.written(arguments.output, f" ({len(converted.state)} weights, {count:,} numbers)")
    unused = list(converted.unused)
    console.tell(
        "\n".join(f"not used: {name}" for name in unused),
        weights=len(converted.state),
        numbers=count,
        unused=unused,
    )
    return 0


def _write_model(arguments: argparse.Namespace) -> int:
    """Write a trained model as another file, then say what it is."""
    if len(arguments.files) != 1 or arguments.settings:
        raise ConfigError(
            f"expected one run or checkpoint for {arguments.what}, and no --set, got "
            f"{len(arguments.files)} and {len(arguments.settings)} settings; a file answers as "
            "its run was trained"
        )
    from lifting.experiment.ready import load_model

    model = load_model(arguments.files[0])
    write = _write_onnx if arguments.what == ONNX else _write_weights
    write(model, arguments.output)
    return 0


def _write_weights(model: Model, given: Path | None) -> None:
    from lifting.experiment.weights_file import write_weights_file
    from lifting.weights.registry import SUFFIX

    output = given or Path(f"{model.config.name}{SUFFIX}")
    write_weights_file(model, output)
    console.written(output, f" ({output.stat().st_size / 1e6:.1f} MB)")
    print(f"next: lifting weights add {output} --name NAME")


def _write_onnx(model: Model, given: Path | None) -> None:
    from lifting.experiment.onnx import SUFFIX, write_onnx

    output = given or Path(f"{model.config.name}{SUFFIX}")
    written = write_onnx(model, output)
    console.written(output, f" ({output.stat().st_size / 1e6:.1f} MB)")
    console.tell(
        f"reads: {', '.join(written.inputs)}\nanswers: {', '.join(written.outputs)}\n"
        f"largest difference from the model by onnxruntime: {written.difference:.2g} mm",
        **written._asdict(),
    )
