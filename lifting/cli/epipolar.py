"""``lifting epipolar``: what labels from epipolar geometry are worth, and students of them."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from lifting.cli.options import add_overrides
from lifting.errors import ConfigError

EXPERIMENT, HELD_OUT = "epipolarpose_cmu", "view3"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "epipolar",
        help="compare teachers and students of triangulated labels",
        description="Measure the labels of teachers that know more or less of the cameras, train "
        "the same student on the truth and on labels, and write a table. What is finished is not "
        "repeated.",
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        default=EXPERIMENT,
        help=f"keypoint form whose data and student are used (default: {EXPERIMENT})",
    )
    for name, text in (
        ("recordings", "training recordings, evenly spread (default: all)"),
        ("rigs", "test recordings that teachers are measured on (default: all)"),
    ):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N", help=text)
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="of each training (default: the experiment's)"
    )
    parser.add_argument(
        "--held-out", default=HELD_OUT, metavar="VIEW", help=f"default: {HELD_OUT}"
    )
    parser.add_argument(
        "--students",
        nargs="*",
        default=[],
        metavar="NAME",
        help="truth, given, intrinsics, held_out, two_d, refined (default: all)",
    )
    add_overrides(parser, "data.eval_every=5", "outputs/epipolar")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Measure teachers, train students, and write the table after each."""
    for name, least in (("recordings", 0), ("rigs", 0), ("epochs", 1)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f"expected --{name} from {least}, got {value}")
    from lifting.benchmark.epipolar.plan import TEACHERS, TRUTH, Plan
    from lifting.experiment.folder import check_writable

    place = arguments.output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    plan = Plan(
        command=_command(arguments),
        experiment=arguments.experiment,
        overrides=tuple(arguments.overrides),
        recordings=arguments.recordings,
        rigs=arguments.rigs,
        epochs=arguments.epochs,
        held_out=arguments.held_out,
        students=tuple(arguments.students),
        output=arguments.output,
    )
    kinds = plan.student_kinds()
    for kind in kinds:
        plan.config(kind, Path("above.ckpt") if kind.over else None)  # mistakes show at once
    from lifting.benchmark.epipolar.student import StudentRow, mean_pose_row, student_row
    from lifting.benchmark.epipolar.table import student_cells, teacher_cells, write_table
    from lifting.benchmark.epipolar.teacher import TeacherRow, teacher_row

    teachers: list[TeacherRow] = []
    students: list[StudentRow] = []
    for told in TEACHERS:
        teachers.append(teacher_row(plan, told))
        print(" | ".join(teacher_cells(teachers[-1])), flush=True)
        write_table(plan, teachers, students)
    for kind in kinds:
        students.append(student_row(plan, kind))
        if kind.key == TRUTH:
            students.append(mean_pose_row(plan, students[-1]))
        print(" | ".join(student_cells(students[-1], students)), flush=True)
        write_table(plan, teachers, students)
    for path in write_table(plan, teachers, students):
        print(f"written: {path}")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The command line that repeats the table, wherever its files go."""
    words = ["lifting", "epipolar", arguments.experiment]
    for name, default in (
        ("recordings", 0), ("rigs", 0), ("epochs", None), ("held_out", HELD_OUT),
    ):  # fmt: skip
        value = getattr(arguments, name)
        if value != default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--students", *arguments.students] if arguments.students else []
    for override in arguments.overrides:
        words += ["--set", override]
    return shlex.join(words)
