"""Finds methods: sub-folders of ``lifting/methods`` and entry points of other packages.

Listing imports nothing, so a command's help and an error message can name the methods cheaply.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifting.errors import ConfigError, suggest
from lifting.listing import listed_packages

if TYPE_CHECKING:
    from lifting.methods.base import LiftingModule
    from lifting.methods.lifter import PoseLifter

ENTRY_POINT_GROUP = "lifting.methods"


@cache
def method_packages() -> dict[str, str]:
    """Importable package of every method, by method name."""
    here = Path(__file__).parent
    return listed_packages("lifting.methods", here, ("config", "module"), ENTRY_POINT_GROUP)


def method_names() -> list[str]:
    """Names of all methods, sorted."""
    return sorted(method_packages())


def load_config_class(name: str) -> type[Any]:
    """The method's ``Config`` dataclass; imports no torch.

    Raises:
        ConfigError: No method has that name.
    """
    return importlib.import_module(f"{_package(name)}.config").Config


def load_module_class(name: str) -> type[LiftingModule]:
    """The method's ``Module``.

    Raises:
        ConfigError: No method has that name.
    """
    return importlib.import_module(f"{_package(name)}.module").Module


def load_lifter_class(name: str) -> type[PoseLifter] | None:
    """The method's ``Lifter``, which needs no trainer; None where it has none of its own.

    Raises:
        ConfigError: No method has that name.
    """
    module = f"{_package(name)}.lifter"
    if importlib.util.find_spec(module) is None:
        return None
    return importlib.import_module(module).Lifter


def current_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A method section in the terms of today, which may be another method's.

    A ``Config`` with a static method ``successor`` translates sections of older versions.

    Args:
        section: ``name`` and keys of the method's ``Config``.

    Raises:
        ConfigError: No method has that name, or the section cannot be translated.
    """
    config_class = load_config_class(str(section["name"]))
    successor = getattr(config_class, "successor", dict)
    return dict(successor(section))


def _package(name: str) -> str:
    packages = method_packages()
    if name not in packages:
        raise ConfigError(f"unknown method '{name}'; {suggest(name, packages)}")
    return packages[name]
