"""Bodies fitted to test images by a trained 3DNBF run, as a sheet and a film.

python experiments/studies/nbf_fits.py RUN
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lifting.cli.main import answer
from lifting.errors import ConfigError
from lifting.studies.command import RUN_HELP, add_overrides, check_least
from lifting.studies.plan import Plan, Run, check_output, load_runs

METHOD = "nbf"
PICTURES = 3
OCCLUDER, LARGEST = 80, 224


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/nbf_fits.py",
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
    check_least(arguments, "pictures")
    if not 1 <= arguments.occluder <= LARGEST:
        raise ConfigError(f"expected --occluder from 1 to {LARGEST}, got {arguments.occluder}")
    check_output(arguments.output)
    # The images are the data's own; exact keypoints have no part in this.
    (run,) = load_runs([arguments.run], arguments.overrides, exact=False)
    method = run.config.method["name"]
    if method != METHOD:
        raise ConfigError(
            f"expected a run of {METHOD}, got {run.folder} of '{method}', which fits no bodies to "
            f"images; name another, or train one with `lifting train {METHOD}`"
        )
    plan = Plan(
        command=arguments.command(arguments),
        poses=arguments.pictures,
        seed=arguments.seed,
        batch=arguments.pictures,
        output=arguments.output,
        device=arguments.device,
    )
    for path in draw_fits(run, plan, arguments.occluder):
        print(f"written: {path}")
    return 0


def draw_fits(run: Run, plan: Plan, occluder: int) -> tuple[Path, ...]:
    """Fit bodies to some test images of a run, and draw how it went.

    Args:
        run: The trained run, of 3DNBF.
        plan: How many images, the seed of their choice, the device, and the folder.
        occluder: Side of the square, pixels of an image of 224.

    Returns:
        The sheet and the film.
    """
    # Late, so that help and mistakes need no torch.
    from lifting.methods.nbf.drawing import save_fits
    from lifting.methods.nbf.module import Module
    from lifting.methods.nbf.pictures import FitView
    from lifting.studies.measure import scenes

    (scene,) = scenes([run], plan)
    module = scene.module
    assert isinstance(module, Module)
    batch = next(scene.batches())
    view = FitView(occluder=occluder, seed=plan.seed, people=len(batch))
    return save_fits(module.fit_pictures(batch, view), module.skeleton, plan.output)


if __name__ == "__main__":
    sys.exit(main())
