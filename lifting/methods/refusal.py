"""What a method says of a skeleton that it cannot be built for."""

from __future__ import annotations

from lifting.errors import ConfigError
from lifting.skeleton import Skeleton


def refused_skeleton(expected: str, skeleton: Skeleton) -> ConfigError:
    """The error of a method that is given a skeleton it cannot be built for.

    Args:
        expected: What it needs.
        skeleton: What it got.
    """
    return ConfigError(
        f"expected {expected}, got {skeleton.name}; set data.skeleton=h36m17 to convert the data"
    )
