"""Damaged keypoint files of every dialect: own errors only, how long and how much memory.

    python benchmarks/damaged_keypoints.py [--rounds 10000] [--only NAME ...] [--write FILE]

A file of each of the tests' writers is damaged so many times, in values, numbers or bytes, and
read in a process of its own. Anything but an error of the project ends the command.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "fixtures_formats"
HEAD = (
    "| file | rounds | refused | slowest, s | peak memory, MB |",
    "|---|--:|--:|--:|--:|",
)


def main() -> int:
    """Print the table as it comes, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these files (default: all)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="markdown file to write")
    arguments = parser.parse_args()
    sys.path.append(str(TESTS))
    from keypoint_files import all_writers

    lines = ["# Damaged keypoint files", "", *HEAD]
    print(*lines, sep="\n", flush=True)
    context = multiprocessing.get_context("spawn")
    for name in arguments.only or sorted(all_writers()):
        with context.Pool(1) as pool:
            row = pool.apply(measure, (name, arguments.rounds))
        print(row, flush=True)
        lines.append(row)
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def measure(name: str, rounds: int) -> str:
    """The row of one file."""
    sys.path.append(str(TESTS))
    import detected
    from keypoint_files import all_writers
    from mutated_keypoints import read_mutations

    from lifting.data.keypoints.look import look

    write = all_writers()[name]
    detected.MOST_FRAMES = 8  # of what is written from here on
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        stated = look(path).facts.get("image size", "not said")
        size = detected.SIZE if stated.startswith("not said") else None
        refused, _, slowest = read_mutations(path, size, rounds)
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"| `{name}` | {rounds} | {refused} | {slowest:.2f} | {peak / 1024:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
