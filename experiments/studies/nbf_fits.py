"""Bodies fitted to test images by a trained 3DNBF run, as a sheet and a film."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lifting.cli.main import answer
from lifting.cli.options import RUN_HELP, add_overrides
from lifting.errors import ConfigError

METHOD = "nbf"
PICTURES = 3
OCCLUDER, LARGEST = 80, 224


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask.

    Args:
        argv: Arguments after the script's name; None takes the process's own.

    Returns:
        Exit status, 2 after a mistake that the message on the standard error explains.
    """
    parser = argparse.ArgumentParser(
        description="Fit bodies to some test images of a trained nbf run, clean and behind a "
        "textured square at the place that is worst for the first guess. Writes fits.png, before "
        "and after, and fits.gif, on the way.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--pictures",
        type=int,
        default=PICTURES,
        metavar="N",
        help=f"test images (default: {PICTURES}); the film has the first two",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    parser.add_argument(
        "--occluder",
        type=int,
        default=OCCLUDER,
        metavar="PX",
        help=f"side of the square, pixels of an image of {LARGEST} (default: {OCCLUDER})",
    )
    add_overrides(parser, "method.second_steps=120", "outputs/fits")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return answer(handle, parser.parse_args(argv))


def handle(arguments: argparse.Namespace) -> int:
    """Find the run, then draw."""
    if arguments.pictures < 1:
        raise ConfigError(f"expected --pictures from 1, got {arguments.pictures}")
    if not 1 <= arguments.occluder <= LARGEST:
        raise ConfigError(f"expected --occluder from 1 to {LARGEST}, got {arguments.occluder}")
    from lifting.experiment.folder import check_writable
    from lifting.studies.plan import Plan, load_runs

    place = arguments.output.absolute()
    check_writable(next(folder for folder in (place, *place.parents) if folder.exists()))
    (run,) = load_runs([arguments.run], arguments.overrides)
    method = run.config.method["name"]
    if method != METHOD:
        raise ConfigError(
            f"expected a run of {METHOD}, got {run.folder} of '{method}', which fits no bodies to "
            f"images; name another, or train one with `lifting train {METHOD}`"
        )
    # The images are the data's own; exact keypoints have no part in this.
    run = replace(run, views=run.views[:1])
    plan = Plan(
        command="",
        poses=arguments.pictures,
        seed=arguments.seed,
        batch=arguments.pictures,
        output=arguments.output,
        device=arguments.device,
    )
    from lifting.methods.nbf.pictures import FitView
    from nbf_fits_drawing import draw_fits

    for path in draw_fits(run, plan, FitView(occluder=arguments.occluder, seed=arguments.seed)):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
