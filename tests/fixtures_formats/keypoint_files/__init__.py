"""Files of every dialect, written from the formats' public descriptions and not from our readers.

Each module holds ``WRITERS``: by name, a function that writes a file or a folder below a folder
and gives its path. ``all_writers`` has those of every module: the table of formats, damaged files
and the tests of messages go over them.
"""

from __future__ import annotations

import importlib
import pkgutil


def all_writers():
    """Every writer, by name."""
    found = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        found.update(importlib.import_module(f"{__name__}.{module.name}").WRITERS)
    return found
