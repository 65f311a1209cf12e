"""``lifting rig``: cameras and 3D joints from keypoints of several views, and their report."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from lifting.cli.options import known_bone, picture
from lifting.errors import ConfigError
from lifting.experiment.console import console
from lifting.files.json_file import as_json
from lifting.motion.options import EVERYONE, read_heights

if TYPE_CHECKING:
    from lifting.teacher.options import TeacherOptions
    from lifting.teacher.solution import RigSolution
    from lifting.teacher.views import RigViews

SOLUTION, REPORT, FIGURES, PICTURE = "solution.npz", "report.md", "report.json", "rig.png"
VIEWER = "viewer.html"
_TOLD = ("given", "intrinsics", "sizes")
_OWN_FLAGS = ("focal_model", "focal_guesses", "repair_swaps", "bone_lengths", "stature")
"""Options of the teacher that a flag of another name gives, or none."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "rig",
        help="solve a rig of cameras from the keypoints of its views",
        description="Estimate what is not known of static cameras, and the 3D joints of the "
        "person they see, from synchronised 2D keypoints.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _register_solve(commands)
    report = commands.add_parser(
        "report",
        help="print the quality report of a solution",
        description="Print the quality report of a solution, and draw its picture anew.",
    )
    report.add_argument("solution", type=Path, help=f"{SOLUTION} of 'lifting rig solve'")
    report.add_argument(
        "--picture", type=picture, metavar="FILE", help=f"default: {PICTURE} beside the solution"
    )
    report.set_defaults(handler=handle_report)


def _register_solve(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    parser = commands.add_parser(
        "solve",
        help="cameras and joints from keypoint files, one a camera",
        description=f"Write {SOLUTION}, {REPORT}, {FIGURES} and {PICTURE}.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="keypoints of one camera, a file or folder in any format of 'lifting predict "
        "--keypoints'; cameras go by the names of the files",
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/rig"), metavar="DIR")
    parser.add_argument(
        "--viewer", action="store_true", help=f"also write {VIEWER}, a page to look at it in 3D"
    )
    _add_cameras(parser)
    _add_reading(parser)
    _add_solving(parser)
    parser.set_defaults(handler=handle_solve)


def _add_cameras(parser: argparse.ArgumentParser) -> None:
    known = parser.add_argument_group("what is known of the cameras")
    known.add_argument(
        "--cameras",
        type=Path,
        metavar="FILE",
        help="JSON, by camera: image_size, intrinsics, rotation (world to camera) and position "
        "(mm); or Pose2Sim's calibration, .toml",
    )
    known.add_argument(
        "--told",
        choices=_TOLD,
        default="given",
        help="use at most this: all that is given, intrinsics, or the sizes of the images",
    )
    known.add_argument(
        "--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of all cameras"
    )
    known.add_argument(
        "--focal",
        choices=("shared", "each"),
        help="unknown focal lengths: one for all over the image's larger side (default), or each",
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    reading = parser.add_argument_group("how files are read")
    reading.add_argument("--skeleton", help="order of the joints (default: by their number)")
    reading.add_argument("--person", help="number of a track in all files (default: largest)")
    reading.add_argument("--fps", type=float, help="frames a second, where it is known")
    reading.add_argument("--coordinates", choices=("pixels", "unit", "signed"))


def _add_solving(parser: argparse.ArgumentParser) -> None:
    solving = parser.add_argument_group("how it is solved")
    for name, option in _numbers().items():
        solving.add_argument(f"--{name.replace('_', '-')}", **option)
    solving.add_argument(
        "--height",
        metavar="METRES",
        help="of the person, whom the population's lengths are scaled to (default: its mean)",
    )
    solving.add_argument("--stature", help=argparse.SUPPRESS)
    solving.add_argument(
        "--bone",
        action="append",
        default=[],
        metavar="JOINT=MM",
        help="known length of the bone that ends at a joint; may be repeated",
    )
    solving.add_argument(
        "--no-repair", action="store_true", help="leave exchanged left and right as they are"
    )
    solving.add_argument(
        "--held-out",
        action="store_true",
        help="also solve without each view in turn, and measure the error in it",
    )


def _numbers() -> dict[str, dict[str, Any]]:
    """Arguments of the parser for the teacher's options, by name, in the words of their class."""
    from lifting.teacher.options import TeacherOptions

    found: dict[str, dict[str, Any]] = {}
    words, hints = _words(TeacherOptions), get_type_hints(TeacherOptions)
    for option in fields(TeacherOptions):
        if option.name in _OWN_FLAGS:
            continue
        default: Any = option.default
        text = words[option.name] + ("" if default is None else f" (default: {default})")
        if get_origin(hints[option.name]) is Literal:
            kind: dict[str, Any] = {"choices": get_args(hints[option.name])}
        else:
            kind = {"type": int if isinstance(default, int) else float, "metavar": "X"}
        found[option.name] = {**kind, "help": text.replace("%", "%%")}
    return found


def _words(described: type[Any]) -> dict[str, str]:
    """First sentence of each attribute in the docstring of a class."""
    _, _, listed = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")
    entries = re.split(r"^    (\w+): ", listed, flags=re.MULTILINE)[1:]
    pairs = zip(entries[::2], entries[1::2], strict=True)
    return {
        name: " ".join(text.split()).partition(". ")[0].rstrip(".").replace("``", "")
        for name, text in pairs
    }


def handle_solve(arguments: argparse.Namespace) -> int:
    """Read, solve, write, and print the report."""
    options = _options(arguments)
    from lifting.data.sets.keypoint_rig.config import Config as KeypointRigConfig
    from lifting.data.sets.keypoint_rig.reader import read_rig
    from lifting.teacher.rig_report import as_values, markdown
    from lifting.teacher.solution import write_solution
    from lifting.teacher.solve import solve_rig

    given = {n: getattr(arguments, n) for n in ("skeleton", "person", "fps", "coordinates")}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.image_size is not None:
        given["image_size"] = tuple(arguments.image_size)
    rig = read_rig(arguments.files, arguments.cameras, KeypointRigConfig(**given), arguments.told)
    _refuse_unused(arguments, rig.known)
    solution = solve_rig(rig.views, options)
    facts: dict[str, Any] = {
        "command": _command(arguments),
        "known": {"given": "all", "intrinsics": "intrinsics", "sizes": "sizes of the images"}[
            rig.known
        ],
        "frames_left_out": rig.left_out,
    }
    if arguments.held_out:
        facts["held_out_px"] = _held_out(rig.views, options)
    from lifting.atomic import write_text

    folder = arguments.output
    write_solution(folder / SOLUTION, solution, facts)
    write_text(folder / REPORT, markdown(solution, facts))
    write_text(folder / FIGURES, as_json(as_values(solution, facts)))
    _draw(solution, folder / PICTURE)
    names = [SOLUTION, REPORT, FIGURES, PICTURE]
    if arguments.viewer:
        from lifting.teacher.solution import poses_of_rig
        from lifting.visualization.viewer.page import Clip, write_viewer

        poses = poses_of_rig(solution, rig.views, rig.fps)
        write_viewer(folder / VIEWER, [Clip(folder.resolve().name, poses)])
        names.append(VIEWER)
    console.tell(markdown(solution, facts).rstrip("\n"), **as_values(solution, facts))
    for name in names:
        console.written(folder / name)
    return 0


def handle_report(arguments: argparse.Namespace) -> int:
    """Read a solution, draw it and print its report."""
    from lifting.teacher.rig_report import as_values, markdown
    from lifting.teacher.solution import read_solution

    kept = read_solution(arguments.solution)
    picture = arguments.picture or arguments.solution.with_name(PICTURE)
    _draw(kept.solution, picture)
    report = markdown(kept.solution, kept.facts)
    console.tell(report.rstrip("\n"), **as_values(kept.solution, kept.facts))
    console.written(picture)
    return 0


def _options(arguments: argparse.Namespace) -> TeacherOptions:
    from lifting.teacher.options import TeacherOptions

    if arguments.stature is not None:
        raise ConfigError(
            f"expected --height in metres, got --stature {arguments.stature:.20} of older "
            "versions, in millimetres; give --height 1.78 for 1780 mm"
        )
    values = {name: getattr(arguments, name) for name in _numbers()}
    heights = read_heights(arguments.height)
    if heights:
        if set(heights) != {EVERYONE}:
            raise ConfigError(
                f"expected one height, as a rig sees one person, got {arguments.height}; give "
                "--height 1.78"
            )
        values["stature"] = 1000 * heights[EVERYONE]
    values["focal_model"] = arguments.focal
    values = {name: value for name, value in values.items() if value is not None}
    return TeacherOptions(
        **values,
        repair_swaps=not arguments.no_repair,
        bone_lengths=dict(map(known_bone, arguments.bone)) or None,
    )


def _refuse_unused(arguments: argparse.Namespace, known: str) -> None:
    """Refuse a size of the person that counts for nothing."""
    given = [f"--{name}" for name in ("height", "bone") if getattr(arguments, name)]
    if len(given) > 1:
        raise ConfigError(
            "expected --height or --bone, got both, which may disagree; give the one that is "
            "known better"
        )
    if given and known == "given":
        raise ConfigError(
            f"expected no {given[0]} beside cameras whose places are known, which give the scale, "
            "got it; leave it out, or estimate the places: --told intrinsics"
        )


def _held_out(views: RigViews, options: TeacherOptions) -> dict[str, float]:
    """Median error in each view of the joints that the others give, pixels, by its name."""
    from lifting.teacher.held_out_view import held_out_error

    count = len(views.keypoints)
    return {views.name(v): held_out_error(views, options, view=v).median for v in range(count)}


def _draw(solution: RigSolution, path: Path) -> None:
    import torch

    from lifting.teacher.rig_report import up_direction
    from lifting.visualization.rig_plot import RigPicture, rig_figure
    from lifting.visualization.style import save_figure

    picture = RigPicture(
        joints=torch.where(solution.valid[..., None], solution.joints, torch.nan),
        centre=solution.centre,
        rotation=solution.rotation,
        intrinsics=solution.intrinsics,
        sizes=solution.sizes,
        names=solution.names,
        up=up_direction(solution),
        title=f"{len(solution.names)} cameras, {len(solution.joints)} frames: "
        f"{solution.quality.verdict}",
    )
    save_figure(rig_figure(picture, solution.skeleton), path)


def _command(arguments: argparse.Namespace) -> str:
    """The command line that repeats the solution, wherever its files go."""
    words = ["lifting", "rig", "solve", *map(str, arguments.files)]
    skipped = (
        "files", "output", "handler", "debug", "told", "no_repair", "held_out", "bone", "words",
        "viewer", "json", "quiet",
    )  # fmt: skip
    for name, value in vars(arguments).items():
        if name not in skipped and value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    words += ["--told", arguments.told] if arguments.told != "given" else []
    for bone in arguments.bone:
        words += ["--bone", bone]
    words += [
        f"--{n.replace('_', '-')}"
        for n in ("no_repair", "held_out", "viewer")
        if arguments.__dict__[n]
    ]
    return shlex.join(words)
