"""Prints the lower bounds of the project's dependencies as exact versions, one a line.

Usage: lowest_versions.py pyproject.toml
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BOUND = re.compile(r"^([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)")


def lowest_versions(project: Mapping[str, Any]) -> list[str]:
    """``name==bound`` of every dependency with a lower bound, optional ones for users included.

    Args:
        project: The table ``project`` of a pyproject file.
    """
    optional: Mapping[str, Sequence[str]] = project.get("optional-dependencies", {})
    required = [*project["dependencies"], *optional.get("data", ())]
    return [f"{found[1]}=={found[2]}" for line in required if (found := _BOUND.match(line))]


def main(arguments: list[str]) -> int:
    """Print the list of a pyproject file."""
    with Path(arguments[0]).open("rb") as file:
        project = tomllib.load(file)["project"]
    sys.stdout.write("\n".join(lowest_versions(project)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
