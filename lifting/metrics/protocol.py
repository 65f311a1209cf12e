"""What a benchmark prescribes: the joints and root it scores, its thresholds and its averages.

Logged keys stay short (``mpjpe_mm``); which protocol a number obeys stands in its identifier,
``name/v1|unit|joints|root|align|pool|mask``, that the run's record keeps beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, NamedTuple

from lifting.errors import ConfigError, suggest
from lifting.skeleton import H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, Skeleton

VERSION = "v1"
JOINT, ACTION = "joint", "action"
AUC_THRESHOLDS_MM = tuple(float(t) for t in range(0, 151, 5))

Group = Literal["position", "threshold"]


@dataclass(frozen=True)
class JointChoice:
    """Which joints of one skeleton a protocol scores.

    Attributes:
        root: The joint both poses are centred on.
        scored: Joint names by group of metrics; a group that is absent takes all joints.
    """

    root: str
    scored: Mapping[Group, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """The rules under which a number was obtained.

    Attributes:
        id: Name in the registry, for example ``h36m/p1``.
        skeleton: Name of the skeleton the rules are written for.
        root: The joint both poses are centred on before anything else.
        joints: Joint names by group of metrics (``position``, ``threshold``); all where absent.
        pooling: ``joint`` divides by all valid joints, ``frame`` averages frame means.
        average_actions: Whether the published number is the unweighted mean over actions.
        pck_thresholds_mm: Thresholds of PCK; the first is the headline's.
        auc_thresholds_mm: Thresholds that AUC averages over.
        headline: The logged key that the benchmark's tables print.
        unit: Unit of every length.
        source: Where the rules come from.
        others: The same rules on other skeletons, by skeleton name; ``*`` admits any skeleton
            with all its joints.
    """

    id: str
    skeleton: str
    root: str
    joints: Mapping[Group, tuple[str, ...]] = field(default_factory=dict)
    pooling: Literal["joint", "frame"] = "joint"
    average_actions: bool = False
    pck_thresholds_mm: tuple[float, ...] = (150.0,)
    auc_thresholds_mm: tuple[float, ...] = AUC_THRESHOLDS_MM
    headline: str = "mpjpe_mm"
    unit: Literal["mm"] = "mm"
    source: str = ""
    others: Mapping[str, JointChoice] = field(default_factory=dict)

    def on(self, skeleton: Skeleton) -> Protocol:
        """The same rules written for another skeleton.

        Args:
            skeleton: The skeleton of the poses that will be scored.

        Returns:
            A protocol whose root and joints are names of that skeleton.

        Raises:
            ConfigError: The protocol does not say what to score on that skeleton.
        """
        if skeleton.name == self.skeleton:
            return self
        choice = self.others.get(skeleton.name)
        if choice is None and "*" in self.others:
            choice = JointChoice(skeleton.joints[skeleton.root])
        if choice is None:
            known = sorted({self.skeleton, *self.others})
            raise ConfigError(
                f"expected poses of protocol '{self.id}' on one of {', '.join(known)}, got "
                f"skeleton '{skeleton.name}'; choose another protocol or convert the data"
            )
        return replace(
            self, skeleton=skeleton.name, root=choice.root, joints=choice.scored, others={}
        )

    def joint_indices(self, group: Group, skeleton: Skeleton) -> tuple[int, ...]:
        """Indices of the scored joints of a group, in the order of the skeleton.

        Args:
            group: ``position`` or ``threshold``.
            skeleton: Must be the protocol's own skeleton (see :meth:`on`).
        """
        names = self.joints.get(group, skeleton.joints)
        return tuple(sorted(skeleton.index(name) for name in names))

    def id_for(self, metric: str) -> str:
        """Identifier of a logged number: ``name/v1|unit|joints|root|align|pool|mask``.

        Args:
            metric: A logged key without its split, such as ``pa_mpjpe_mm`` or
                ``mpjpe_mm/Walking``.

        Raises:
            ConfigError: No metric has that key.
        """
        key, rule = _rule_of(metric)
        if rule is None:
            raise ConfigError(f"unknown metric '{metric}'; {suggest(key, _RULES)}")
        names = self.joints.get(rule.group)
        joints = f"{self.skeleton}:{'all' if names is None else '+'.join(names)}"
        pool = f"{self.pooling}>action" if "_action_" in key else self.pooling
        return "|".join(
            (f"{self.id}/{VERSION}", self.unit, joints, self.root, rule.align, pool, "visible")
        )


class _Rule(NamedTuple):
    """What a score is taken of, and which is the better one."""

    group: Group
    align: str
    higher_is_better: bool | None = False


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "mpjpe_mm": _Rule("position", "none"),
        "mpjpe_action_mm": _Rule("position", "none"),
        "pa_mpjpe_mm": _Rule("position", "similarity"),
        "pa_mpjpe_action_mm": _Rule("position", "similarity"),
        "n_mpjpe_mm": _Rule("position", "scale"),
        "p_agg_mpjpe_mm": _Rule("position", "none"),
        "mpjve_mm_per_frame": _Rule("position", "none"),
        "mpjve_mm_per_second": _Rule("position", "none"),
        "acceleration_error_mm_per_frame2": _Rule("position", "none"),
        "acceleration_error_mm_per_second2": _Rule("position", "none"),
        "pck_150mm": _Rule("threshold", "none", True),
        "auc": _Rule("threshold", "none", True),
        "pa_pck_150mm": _Rule("threshold", "similarity", True),
        "pa_auc": _Rule("threshold", "similarity", True),
        "cps": _Rule("position", "similarity", True),
        "pss_50": _Rule("position", "none", True),
        "bone_mae_mm": _Rule("position", "none"),
        "symmetry_mm": _Rule("position", "none"),
        "oracle/p_best": _Rule("position", "none"),
        "oracle/j_best": _Rule("position", "none"),
        "diversity_mm": _Rule("position", "none", None),
        "nll": _Rule("position", "none"),
        "ece_axis": _Rule("position", "none"),
        "ause_mm": _Rule("position", "none"),
        "sigma_spearman": _Rule("position", "none", True),
    }
)


_SCALE_FREE = ("pss_50",)  # of poses that are brought to one size


def needs_scale(metric: str) -> bool:
    """Whether a score compares lengths, so that it means nothing where the scale is not known.

    Args:
        metric: A logged key without its split; counters, which are no scores, need none.
    """
    key, rule = _rule_of(metric)
    return rule is not None and rule.align == "none" and key not in _SCALE_FREE


def higher_is_better(metric: str) -> bool | None:
    """Which direction of a score is the better one; None where neither is.

    Args:
        metric: A logged key without its split, such as ``pck_150mm`` or ``mpjpe_mm/Walking``;
            what is no score, such as a counter, has no better direction.
    """
    rule = _rule_of(metric)[1]
    return None if rule is None else rule.higher_is_better


def _rule_of(metric: str) -> tuple[str, _Rule | None]:
    """Key of a logged number in the table of rules, and its rule if it is a known score."""
    key = metric if metric.startswith("oracle/") else metric.split("/")[0]
    key = re.sub(r"@H\d+_mm$", "", key)
    key = re.sub(r"pck_[\d.]+mm$", "pck_150mm", re.sub(r"^pss_\d+$", "pss_50", key))
    extra = re.search(r"_((?:pa_)?mpjpe_mm)$", key)
    return key, _RULES.get(key) or _RULES.get(extra[1] if extra else key)


def group_actions(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Actions in order of first appearance; names are compared whole, digits and all.

    Args:
        names: Names by ``PoseBatch.action``; a reader leaves out the take of a recording.

    Returns:
        The distinct actions, and for each given name the index of its action.
    """
    row = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return tuple(row), tuple(row[name] for name in names)


def action_key(metric: str, action: str) -> str:
    """Logged key of an action's score, such as ``mpjpe_mm/Walking``.

    Args:
        metric: Key of the score over all actions.
        action: Any name; one that reads like the key of a joint's score is told apart from it.
    """
    apart = action.startswith((f"{JOINT}/", f"{ACTION}/"))
    return f"{metric}/{ACTION}/{action}" if apart else f"{metric}/{action}"


def joint_key(metric: str, joint: str) -> str:
    """Logged key of a joint's score, such as ``mpjpe_mm/joint/hip``."""
    return f"{metric}/{JOINT}/{joint}"


DHP_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Head": ("head_top",),
        "Neck": ("neck",),
        "Shou": ("right_shoulder", "left_shoulder"),
        "Elbow": ("right_elbow", "left_elbow"),
        "Wrist": ("right_wrist", "left_wrist"),
        "Hip": ("right_hip", "left_hip"),
        "Knee": ("right_knee", "left_knee"),
        "Ankle": ("right_ankle", "left_ankle"),
    }
)
_DHP_14 = tuple(joint for group in DHP_GROUPS.values() for joint in group)
# In Human3.6M order the set's head top is stored as head and its neck as thorax.
_DHP_14_H36M = tuple({"head_top": "head", "neck": "thorax"}.get(j, j) for j in _DHP_14)
_HUMANEVA_H36M = tuple(j for j in H36M_17.joints if j not in ("spine", "neck"))
_LSP_14 = tuple(j for j in H36M_17.joints if j not in ("hip", "spine", "neck"))

_REGISTRY: Mapping[str, Protocol] = MappingProxyType(
    {
        p.id: p
        for p in (
            Protocol(
                id="default",
                skeleton=H36M_17.name,
                root="hip",
                source="root-relative, every joint of the skeleton",
                others={"*": JointChoice("")},
            ),
            Protocol(
                id="h36m/p1",
                skeleton=H36M_17.name,
                root="hip",
                average_actions=True,
                headline="mpjpe_action_mm",
                source="Human3.6M protocol 1 as VideoPose3D scores it: 17 joints with the root",
            ),
            Protocol(
                id="h36m/p2",
                skeleton=H36M_17.name,
                root="hip",
                average_actions=True,
                headline="pa_mpjpe_action_mm",
                source="Human3.6M protocol 2 as VideoPose3D scores it: similarity alignment",
            ),
            Protocol(
                id="3dhp",
                skeleton=MPI_INF_3DHP_17.name,
                root="pelvis",
                joints={"threshold": _DHP_14},
                headline="pck_150mm",
                source="MPI-INF-3DHP evaluation script: PCK and AUC over 14 joints, MPJPE over 17",
                others={H36M_17.name: JointChoice("hip", {"threshold": _DHP_14_H36M})},
            ),
            Protocol(
                id="humaneva",
                skeleton=HUMANEVA_15.name,
                root="pelvis",
                average_actions=True,
                headline="pa_mpjpe_action_mm",
                source="HumanEva-I validation takes, similarity alignment, 15 joints",
                others={
                    H36M_17.name: JointChoice(
                        "hip", {"position": _HUMANEVA_H36M, "threshold": _HUMANEVA_H36M}
                    )
                },
            ),
            Protocol(
                id="3dpw",
                skeleton=H36M_17.name,
                root="hip",
                joints={"position": _LSP_14, "threshold": _LSP_14},
                headline="pa_mpjpe_mm",
                source="3DPW: the 14 LSP joints, MPJPE and PA-MPJPE over frames",
            ),
            Protocol(
                id="3doh50k",
                skeleton=H36M_17.name,
                root="hip",
                joints={"position": _LSP_14, "threshold": _LSP_14},
                headline="pa_mpjpe_mm",
                source="3DOH50K as 3DNBF scores it: the 14 LSP joints, MPJPE and PA-MPJPE over "
                "images; its PCKh is not computed",
            ),
        )
    }
)


def protocol_names() -> tuple[str, ...]:
    """Names of the known protocols."""
    return tuple(_REGISTRY)


def get_protocol(name: str) -> Protocol:
    """Look a protocol up by name.

    Raises:
        ConfigError: No protocol has that name.
    """
    try:
        return _REGISTRY[name]
    except KeyError:
        raise ConfigError(f"unknown protocol '{name}'; {suggest(name, _REGISTRY)}") from None
