"""``lifting convert``: import weights that a method's authors published, or write ONNX files."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.cli.options import OVERRIDES_HELP
from lifting.errors import ConfigError

ONNX = "onnx"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "convert",
        help="import weights that a method's authors published; write a trained model as ONNX",
        usage="lifting convert EXPERIMENT FILE [FILE ...] --output OUT.ckpt [--set KEY=VALUE]\n"
        "       lifting convert onnx RUN_OR_WEIGHTS [--output OUT.onnx]",
        description="The first form turns published weights into a checkpoint that `lifting test "
        "EXPERIMENT --checkpoint` reads. Names and shapes must fit the experiment's network "
        "exactly; nothing in the files is executed. diffpose takes two files: the denoiser, then "
        "the context encoder. The second form writes a trained model that lifts keypoints as one "
        "ONNX file, which answers like `lifting predict` and says in its metadata what it is; it "
        "needs the extra `onnx`.",
    )
    parser.add_argument(
        "what",
        metavar="EXPERIMENT",
        help="experiment whose network the weights are for; or the word onnx",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="published weights; for onnx a run's folder, that of an experiment's runs, or a "
        "checkpoint",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="OUT",
        help="file to write; for onnx the default is the experiment's name with .onnx, here",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override of the experiment, not for onnx, may be repeated: {OVERRIDES_HELP}",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Convert, then say what was read and what was not needed."""
    if arguments.what == ONNX:
        return _write_onnx(arguments)
    if arguments.output is None:
        raise ConfigError(
            "expected the checkpoint to write, got none; name it with --output OUT.ckpt"
        )
    from lifting.experiment.load import load_experiment

    config = load_experiment(arguments.what, arguments.settings)
    from lifting.experiment.trained import convert

    converted = convert(config, arguments.files, arguments.output)
    count = sum(value.numel() for value in converted.state.values())
    print(f"written: {arguments.output} ({len(converted.state)} weights, {count:,} numbers)")
    for name in converted.unused:
        print(f"not used: {name}")
    return 0


def _write_onnx(arguments: argparse.Namespace) -> int:
    """Write a trained model as ONNX, then say what the file reads and answers."""
    if len(arguments.files) != 1 or arguments.settings:
        raise ConfigError(
            f"expected one run or checkpoint for onnx, and no --set, got {len(arguments.files)} "
            f"and {len(arguments.settings)} settings; a file answers as its run was trained"
        )
    from lifting.experiment.onnx import SUFFIX, write_onnx
    from lifting.experiment.prediction import load_model

    model = load_model(arguments.files[0])
    output = arguments.output or Path(f"{model.config.name}{SUFFIX}")
    written = write_onnx(model, output)
    print(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    print(f"reads: {', '.join(written.inputs)}")
    print(f"answers: {', '.join(written.outputs)}")
    print(f"largest difference from the model by onnxruntime: {written.difference:.2g} mm")
    return 0
