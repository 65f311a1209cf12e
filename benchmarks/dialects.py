"""What every real file and every dialect is read as: a table, by one command.

    python benchmarks/dialects.py [--write benchmarks/dialects.md]

Real files are those below ``$LIFTING_DATA/real``. Files of the dialects are written by the
writers of the tests, which follow the formats' public descriptions. Seconds are of one reading.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "fixtures_formats"
COLUMNS = ("file", "format", "joints", "people", "frames", "seconds", "or why not")


def main() -> int:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FILE", help="markdown file to write")
    arguments = parser.parse_args()
    sys.path.append(str(TESTS))
    lines = ["# Keypoint files", "", "`python benchmarks/dialects.py`", ""]
    lines += _section("Real files", list(real_files()))
    with tempfile.TemporaryDirectory() as folder:
        lines += _section("Every dialect", list(written_files(Path(folder))))
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")
    return 0


def real_files() -> Iterator[tuple[str, Path]]:
    """Files of other programs; folders of frames count once."""
    root = Path(os.environ.get("LIFTING_DATA", "")) / "real"
    if not root.is_dir():
        print("set LIFTING_DATA to see the real files", file=sys.stderr)
        return
    texts = {"README.md", "LICENSE"}
    for path in sorted(root.rglob("*")):
        frames = path.is_dir() and len(list(path.glob("*.json"))) > 1
        single = path.is_file() and path.name not in texts
        if frames or (single and len(list(path.parent.glob("*.json"))) <= 1):
            yield path.relative_to(root).as_posix(), path


def written_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """One file of every form of every dialect."""
    from keypoint_files import all_writers

    for name, write in all_writers().items():
        place = folder / name
        place.mkdir()
        yield name, write(place)


def _section(title: str, files: list[tuple[str, Path]]) -> list[str]:
    rows = [_row(name, path) for name, path in files]
    head = f"| {' | '.join(COLUMNS)} |"
    rule = "|---|---|---|---|--:|--:|---|"
    return [f"## {title}", "", head, rule, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _row(name: str, path: Path) -> tuple[str, ...]:
    from lifting.data.keypoints.look import look

    began = time.perf_counter()
    found = look(path)
    seconds = time.perf_counter() - began
    facts = found.facts
    why = (found.problem or "").replace(str(path), path.name).replace("\n", " ")
    cells = (
        facts.get("format", "-"),
        facts.get("joints", "-"),
        facts.get("people", "-").partition(":")[0],
        facts.get("frames", "-").partition(" (")[0],
        f"{seconds:.2f}",
        why[:200],
    )
    return (f"`{name}`", *(cell.replace("|", "/") for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
