"""Packages and modules by name: those of a folder, and entry points of other packages."""

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


def listed_modules(parent: str, folder: Path, group: str) -> list[str]:
    """Importable modules, those of entry points first; nothing is imported.

    Args:
        parent: Package of the folder.
        folder: Whose modules are looked at.
        group: Entry points by which installed packages add theirs.
    """
    own = [f"{parent}.{file.stem}" for file in sorted(folder.glob("*.py"))]
    return [
        *sorted(point.value for point in entry_points(group=group)),
        *(name for name in own if not name.endswith("__init__")),
    ]
