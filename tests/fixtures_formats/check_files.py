"""Rows of the doctor about files that a test wrote, with the options that experiments use."""

from __future__ import annotations

import copy
import functools

from lifting.data.sets import find_set
from lifting.experiment.load import load_data

# Composing a data section costs more than the checks of tiny files: once a name will do.
_section = functools.cache(load_data)


def check_files(name, root=None, *published, **options):
    """Rows about a data set.

    Args:
        name: Data set.
        root: Folder of its files.
        published: What should be in them; nothing for what was published.
        options: Other values of its section.
    """
    data = copy.deepcopy(_section(name)[0])
    data.root = data.root if root is None else str(root)
    one = find_set(data.name)
    for key, value in options.items():
        setattr(getattr(data, one.section), key, value)
    return one.command("check")(data, *published)
