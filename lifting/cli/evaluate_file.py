"""``lifting evaluate-file``: score the answers of any program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lifting.cli.options import OVERRIDES_HELP
from lifting.errors import ConfigError
from lifting.experiment.console import console

if TYPE_CHECKING:
    from lifting.data.datamodule import PoseDataModule
    from lifting.experiment.config import ExperimentConfig

ALWAYS = ("mpjpe_mm", "pa_mpjpe_mm")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "evaluate-file",
        help="score a file of poses that any program made",
        description="Score 3D poses of any program on the test split of a data set, under the "
        "same protocol and by the same code as trained models, and write the same record. The "
        "file names its joints, unit, axes, recordings and frame numbers: see "
        "docs/guide/evaluate_file.md, which has a writer of ten lines. A file that does not "
        "answer every sample is scored, but not ranked.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="an npz file of poses")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES_HELP)
    parser.add_argument(
        "--protocol", metavar="NAME", help="rules of the benchmark; default: those of --data"
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="file of experiments/data; default: the first of the protocol that is there",
    )
    parser.add_argument(
        "--list", action="store_true", help="print recordings and their frames, and score nothing"
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Find the data, then score the file and write its record."""
    overrides = list(arguments.overrides)
    if arguments.file is not None and "=" in str(arguments.file):  # with --list there is no file
        overrides.insert(0, str(arguments.file))
        arguments.file = None
    if arguments.file is None and not arguments.list:
        raise ConfigError("expected a file of poses, got none; name it, or give --list")
    from lifting.experiment.load import data_files, load_scoring

    names = [arguments.data] if arguments.data else data_files(arguments.protocol)
    configs = [load_scoring(name, overrides, arguments.protocol) for name in names]
    from lifting.experiment.answer_file import check_names, first_with_data

    if not arguments.list:
        check_names(arguments.file)
    config, data = first_with_data(configs)
    return _list(config, data) if arguments.list else _score(arguments.file, config, data)


def _list(config: ExperimentConfig, data: PoseDataModule) -> int:
    """Recordings of the test split."""
    tracks = data.tracks("test")
    lengths, every = tracks.offsets.diff().tolist(), config.data.eval_every
    rows = [
        (name, str(frames), f"{rate:g}", str(-(-frames // every)))
        for name, frames, rate in zip(
            tracks.track_names, lengths, tracks.fps.tolist(), strict=True
        )
    ]
    columns = ("recording", "frames", "a second", "samples")
    console.table(f"test split of {config.data.name}", columns, rows, left=1)
    joints = tracks.skeleton.joints
    console.tell(f"joints: {', '.join(joints)}", joints=joints)
    return 0


def _score(file: Path, config: ExperimentConfig, data: PoseDataModule) -> int:
    """Write the record and print what is in it."""
    from lifting.experiment.answer_file import score_file
    from lifting.experiment.folder import EVALUATION, RECORD_FILE, create_run_folder, output_folder
    from lifting.experiment.record import write_record
    from lifting.metrics.protocol import get_protocol

    config.name, config.run = "file", file.stem
    with output_folder(config):
        found = score_file(file, config, data)
        path = create_run_folder(config, EVALUATION) / RECORD_FILE
        write_record(path, found.record)
    record = found.record
    headline = get_protocol(config.protocol).headline
    shown = dict.fromkeys(k for k in (headline, *ALWAYS, *record.metrics) if "/" not in k)
    rows = [(k, f"{record.metrics[k]:.4g}") for k in shown if k in record.metrics]
    tell = console.tell
    tell(f"{record.method}: {record.experiment}")
    console.table("scores", ("metric", "value"), rows, left=1, values={"scores": record.metrics})
    tell(
        f"protocol:    {config.protocol}, {record.dataset}, {record.split} split",
        protocol=config.protocol,
        dataset=record.dataset,
        split=record.split,
    )
    share = found.answered / found.samples
    tell(
        f"coverage:    {share:.2%}, {found.answered:,} of {found.samples:,} samples",
        answered=found.answered,
        samples=found.samples,
        beside=found.beside,
    )
    if found.answered < found.samples:
        tell("not ranked:  samples are missing; `lifting results` sets it beside no other record")
    if found.beside:
        tell(f"not scored:  {found.beside:,} poses of frames that are no samples")
    console.written(path)
    return 0
