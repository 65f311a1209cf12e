"""Packages by name: sub-folders that hold certain modules, and entry points of other packages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path


def listed_packages(
    parent: str, folder: Path, modules: Sequence[str], group: str
) -> dict[str, str]:
    """Importable packages; nothing is imported. A sub-folder goes before an entry point.

    Args:
        parent: Package of the folder.
        folder: Whose sub-folders are looked at.
        modules: Every package has these.
        group: Entry points by which installed packages add theirs: name and package.
    """
    found = {
        place.name: f"{parent}.{place.name}"
        for place in sorted(folder.iterdir())
        if all((place / f"{module}.py").is_file() for module in modules)
    }
    for point in entry_points(group=group):
        found.setdefault(point.name, point.value)
    return found
