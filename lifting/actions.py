"""Names of Human3.6M's fifteen actions, and the older names that its files have for two of them.

A reader names the action of a recording, without its take; whoever scores compares names whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

H36M_ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases",
    "Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
ACTION_ALIASES: Mapping[str, str] = MappingProxyType(
    {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
)
