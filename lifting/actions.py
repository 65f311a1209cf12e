"""Names of actions: Human3.6M's fifteen, and the action that a recording's name stands for.

A fact that readers and metrics share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

H36M_ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases",
    "Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
ACTION_ALIASES: Mapping[str, str] = MappingProxyType(
    {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
)


def canonical_action(name: str) -> str:
    """Action of a recording: the name without its take number, aliases resolved.

    ``Directions 1`` and ``Directions_2`` are ``Directions``; names are compared whole, since
    ``Sitting`` begins ``SittingDown``.
    """
    action = re.split(r"[ _](?=\d)", name.strip(), maxsplit=1)[0]
    return ACTION_ALIASES.get(action, action)
