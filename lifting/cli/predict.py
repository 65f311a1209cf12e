"""``lifting predict``: lift the test split, or a user's own keypoints."""

from __future__ import annotations

import argparse
from pathlib import Path

from lifting.cli.options import add_checkpoint, add_experiment, load_for_checkpoint


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="write 3D poses to an npz file",
        description="Lift the test split, or the keypoints of a file, and write joints_3d (N, "
        "targets, joints, 3), root-relative millimetres, with sigma where the method gives one.",
    )
    add_experiment(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--keypoints",
        type=Path,
        metavar="NPZ",
        help="lift these: keypoints_2d (T, J, 2) pixels, image_size (2,), and optionally "
        "confidence (T, J) and intrinsics (9,)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NPZ",
        help="file to write (default: predictions.npz beside the checkpoints of the run)",
    )
    parser.add_argument(
        "--hypotheses", action="store_true", help="also write every hypothesis, where there are"
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Find the weights, lift, and say where the answer is."""
    config, checkpoint = load_for_checkpoint(arguments)
    from lifting.experiment.folder import run_of_checkpoint
    from lifting.experiment.run import predict

    folder = run_of_checkpoint(checkpoint) or checkpoint.parent
    output = arguments.output or folder / "predictions.npz"
    written = predict(
        config,
        checkpoint,
        output,
        keypoints=arguments.keypoints,
        hypotheses=arguments.hypotheses,
    )
    print(f"predictions: {written}")
    return 0
