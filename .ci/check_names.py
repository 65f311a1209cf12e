"""Checks the EXP and DATA of a make command before anything is installed. Standard library only.

Usage: check_names.py VARIABLE=NAME "KNOWN NAMES" ...
"""

from __future__ import annotations

import difflib
import sys


def complaint(variable: str, name: str, known: list[str]) -> str | None:
    """Say what is wrong with a name; None when it is right.

    Args:
        variable: What the name was given as.
        name: The name; only an experiment must be given.
        known: The names that exist.
    """
    if name in known or (not name and variable != "EXP"):
        return None
    # A path of one's own file is checked by the command itself.
    if name.endswith((".yaml", ".yml")) and variable == "EXP":
        return None
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    problem = f"unknown {variable}={name}" if name else f"expected {variable}=NAME, got none"
    hint = f"; did you mean {variable}={near[0]}?" if near else ""
    return f"error: {problem}{hint}\nknown: {', '.join(known) or 'none'}"


def main(arguments: list[str]) -> int:
    """Check pairs of arguments; returns 2 when a name is wrong."""
    for given, known in zip(arguments[::2], arguments[1::2], strict=True):
        variable, _, name = given.partition("=")
        message = complaint(variable, name, known.split())
        if message is not None:
            sys.stderr.write(message + "\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
