"""The three claims of 3DNBF on rendered people, as one table.

python experiments/studies/nbf_claims.py [EXPERIMENT] [--seeds N ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lifting.cli.main import answer
from lifting.studies.command import add_overrides
from nbf_claims_plan import FEATURES, METHOD, ClaimsPlan

SEEDS, PICTURES, STRIDE = (0, 1, 2), 96, 20


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments, then do what they ask; the exit status is 2 after a mistake, else 0."""
    parser = argparse.ArgumentParser(
        prog="python experiments/studies/nbf_claims.py",
        description="Train 3DNBF with pose-dependent and with constant features, fit people to "
        "clean and to occluded pictures with the robust and the plain likelihood, and write a "
        "table. What is finished is not repeated.",
    )
    parser.add_argument(
        "experiment", nargs="?", default=METHOD, help=f"what is trained (default: {METHOD})"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(SEEDS), metavar="N", help="default: 0 1 2"
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=PICTURES,
        metavar="N",
        help=f"test pictures that are scored (default: {PICTURES})",
    )
    parser.add_argument(
        "--stride",
        type=int,
        default=STRIDE,
        metavar="PX",
        help=f"of AdvOcc's square, pixels of a picture of 224 (default: {STRIDE}; published: 10)",
    )
    parser.add_argument(
        "--fit",
        dest="fits",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting of the fits alone, as method.weight_guess=0; may be repeated",
    )
    add_overrides(parser, "trainer.threads=1", "outputs/nbf_claims")
    return answer(handle, parser.parse_args(argv))


def handle(arguments: argparse.Namespace) -> int:
    """Train and score, and write the table anew after every training."""
    plan = ClaimsPlan(
        command=arguments.command(arguments),
        output=arguments.output,
        experiment=arguments.experiment,
        seeds=tuple(dict.fromkeys(arguments.seeds)),
        pictures=arguments.pictures,
        stride=arguments.stride,
        overrides=tuple(arguments.overrides),
        fits=tuple(arguments.fits),
    )
    plan.config(next(iter(FEATURES)), plan.seeds[0])  # a mistake is told before torch is loaded
    from nbf_claims_study import trained, write_claims

    found = []
    files: tuple[Path, ...] = ()
    for run in trained(plan):
        found.append(run)
        files = write_claims(found, plan)
        for score in run.scores:
            print(
                f"{score.features} | seed {score.seed} | {score.pictures} | {score.answer} | "
                f"{score.seen_mm:.1f} mm",
                flush=True,
            )
    for path in files:
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
