"""What a method says of a skeleton that it cannot be built for."""

from __future__ import annotations

from lifting.errors import ConfigError
from lifting.skeleton import Skeleton

HIPS = frozenset({"hip", "hips", "pelvis"})


def refused_skeleton(expected: str, skeleton: Skeleton) -> ConfigError:
    """The error of a method that is given a skeleton it cannot be built for.

    Args:
        expected: What it needs.
        skeleton: What it got.
    """
    return ConfigError(
        f"expected {expected}, got {skeleton.name}; set data.skeleton=h36m17 to convert the data"
    )


def check_root(skeleton: Skeleton) -> None:
    """Refuse a skeleton whose root is no hip, which answers are relative to.

    Every method asks for this in its constructor: labels without a hip are converted before a root
    is taken, and a nose is never the root.

    Args:
        skeleton: What the method is to be built for.

    Raises:
        ConfigError: The root is another joint, or one side's hip.
    """
    root = skeleton.joints[skeleton.root]
    if skeleton.flip_index[skeleton.root] != skeleton.root or HIPS.isdisjoint(root.split("_")):
        raise refused_skeleton(f"a skeleton whose root is the hip, not the {root}", skeleton)
