"""What labels from epipolar geometry are worth, and students of them.

python experiments/studies/epipolar.py [EXPERIMENT]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from epipolar_plan import TEACHERS, TRUTH, Plan
from lifting.cli.main import answer
from lifting.studies.command import add_overrides, check_least
from lifting.studies.plan import check_output

EXPERIMENT, HELD_OUT = "epipolarpose_cmu", "view3"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/epipolar.py",
        description="Measure the labels of teachers that know more or less of the cameras, train "
        "the same student on the truth and on labels, and write a table. What is finished is not "
        "repeated.",
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        default=EXPERIMENT,
        help=f"experiment whose data and student are used (default: {EXPERIMENT})",
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
    return answer(handle, parser.parse_args(argv))


def handle(arguments: argparse.Namespace) -> int:
    """Measure teachers, train students, and write the table after each."""
    check_least(arguments, "recordings", "rigs", least=0)
    check_least(arguments, "epochs")
    check_output(arguments.output)
    plan = Plan(
        command=arguments.command(arguments),
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
    from epipolar_students import StudentRow, mean_pose_row, student_row
    from epipolar_table import student_cells, teacher_cells, write_table
    from epipolar_teachers import TeacherRow, teacher_row

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


if __name__ == "__main__":
    sys.exit(main())
