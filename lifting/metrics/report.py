"""Scores read from the summed tables of an evaluation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lifting.errors import DataError
from lifting.metrics.functional.calibration import calibration_error
from lifting.metrics.functional.errors import indices, ratio
from lifting.metrics.functional.ranking import (
    RankingSums,
    sparsification_from_sums,
    spearman_from_sums,
)
from lifting.metrics.functional.threshold import cps_from_histogram, percentage_below
from lifting.metrics.protocol import Protocol, action_key, joint_key
from lifting.skeleton import Skeleton

KINDS = ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm")
MOTIONS = {"mpjve": "", "acceleration_error": "2"}
"""Errors of motion by name, and the power of the time they are divided by."""
_SAME = 1e-6  # relative difference below which two means count as one number


@dataclass(frozen=True)
class Layout:
    """Which rows and columns the tables have.

    Attributes:
        actions: Names of the rows; one more row follows for poses of unknown action.
        joints: Names of the columns of one kind of position error.
        position: Indices of those joints in the skeleton.
        threshold: Indices of the joints that PCK and AUC score.
        threshold_of_position: The same as indices into ``position``.
        calibrated: Indices of the joints whose uncertainty is scored.
        thresholds: Thresholds of PCK and AUC together, ascending, mm.
        whole: Whether ``position`` is the whole skeleton.
    """

    actions: tuple[str, ...]
    joints: tuple[str, ...]
    position: tuple[int, ...]
    threshold: tuple[int, ...]
    threshold_of_position: tuple[int, ...]
    calibrated: tuple[int, ...]
    thresholds: tuple[float, ...]
    whole: bool

    @staticmethod
    def of(protocol: Protocol, skeleton: Skeleton, actions: Sequence[str]) -> Layout:
        """Layout of a protocol on its skeleton."""
        position = protocol.joint_indices("position", skeleton)
        threshold = protocol.joint_indices("threshold", skeleton)
        edges = {*protocol.pck_thresholds_mm, *protocol.auc_thresholds_mm}
        return Layout(
            actions=tuple(actions),
            joints=tuple(skeleton.joints[j] for j in position),
            position=position,
            threshold=threshold,
            threshold_of_position=tuple(position.index(j) for j in threshold if j in position),
            calibrated=tuple(j for j in position if skeleton.joints[j] != protocol.root),
            thresholds=tuple(sorted(edges)),
            whole=len(position) == len(skeleton),
        )

    @property
    def bins(self) -> int:
        """Number of intervals between and beyond the thresholds."""
        return len(self.thresholds) + 1

    def position_index(self, device: torch.device) -> Tensor | None:
        """Indices of the position joints, ``(joints,)`` int64; None where these are all."""
        return None if self.whole else indices(self.position, device)


def scores(totals: dict[str, Tensor], layout: Layout, protocol: Protocol) -> dict[str, float]:
    """All scores by logged key, without the split.

    Args:
        totals: Sums over all batches and processes, by name, among them ``error`` and ``count``,
            ``(actions + 1, columns)``, a column a joint of each of the kinds.
        layout: Rows and columns of the tables.
        protocol: Rules of the benchmark.

    Raises:
        DataError: A label that counts as visible was not finite.
    """
    bad = int(totals.get("n/bad_target", torch.zeros(())))
    if bad:
        raise DataError(
            f"expected finite labels where they count as visible, got {bad} joints that are not; "
            "clear `visible` where a label is missing"
        )
    if int(totals.get("n/poses", torch.zeros(()))) == 0:
        warnings.warn("no pose was scored; the scores are NaN", stacklevel=3)
        return dict.fromkeys((*KINDS, "pck_150mm", "auc", "mpjpe_action_mm"), float("nan"))
    values = _position_scores(totals, layout, protocol)
    values |= _threshold_scores(totals, layout, protocol)
    values |= _structure_scores(totals)
    values |= _motion_scores(totals)
    values |= _sigma_scores(totals)
    values |= _hypothesis_scores(totals, values["mpjpe_mm"])
    return values | _counters(totals, layout, protocol)


def joint_scores(totals: dict[str, Tensor], layout: Layout) -> dict[str, float]:
    """MPJPE by joint name, mm; empty before the first batch.

    Args:
        totals: As for :func:`scores`: ``error`` and ``count``, ``(actions + 1, columns)``.
        layout: Rows and columns of the tables.
    """
    if "error" not in totals:
        return {}
    error, count = (_split_kinds(totals[k]).sum(0)[0] for k in ("error", "count"))
    return dict(zip(layout.joints, ratio(error, count).tolist(), strict=True))


def action_scores(
    totals: dict[str, Tensor], layout: Layout, protocol: Protocol
) -> dict[str, dict[str, float]]:
    """Scores by action, then by key; actions that did not occur are left out.

    Args:
        totals: As for :func:`scores`: ``error`` and ``count``, ``(actions + 1, columns)``, and
            ``pck``, ``(actions + 1, bins)``.
        layout: Rows and columns of the tables.
        protocol: Rules of the benchmark.
    """
    if "error" not in totals:
        return {}
    table = _by_action(totals, protocol)
    table_of_thresholds = _percentages(totals["pck"], totals)
    found: dict[str, dict[str, float]] = {}
    for row, action in enumerate(layout.actions):
        if int(totals["count"][row].sum()) == 0:
            continue
        found[action] = dict(zip(KINDS, table[row].tolist(), strict=True))
        found[action] |= _named_thresholds(table_of_thresholds[row], layout, protocol)
    return found


def _position_scores(
    totals: dict[str, Tensor], layout: Layout, protocol: Protocol
) -> dict[str, float]:
    error, count = _pooled(totals, protocol)
    values = dict(zip(KINDS, ratio(error.sum(0), count.sum(0)).tolist(), strict=True))
    by_action = _by_action(totals, protocol)[: len(layout.actions)]
    present = count[: len(layout.actions), 0] > 0
    if bool(present.any()):
        means = by_action[present].nanmean(0) if _finite(totals) else by_action[present].mean(0)
        values["mpjpe_action_mm"] = float(means[0])
        values["pa_mpjpe_action_mm"] = float(means[1])
    for row, action in enumerate(layout.actions):
        if present[row]:
            values[action_key("mpjpe_mm", action)] = float(by_action[row, 0])
    by_joint = joint_scores(totals, layout)
    values |= {joint_key("mpjpe_mm", joint): value for joint, value in by_joint.items()}
    return values


def _pooled(totals: dict[str, Tensor], protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Sums and counts, ``(actions + 1, kinds)``."""
    if protocol.pooling == "frame":
        return totals["frame_error"], totals["frame_count"]
    error, count = (_split_kinds(totals[k]).sum(-1) for k in ("error", "count"))
    return error, count


def _split_kinds(table: Tensor) -> Tensor:
    """Table ``(actions + 1, kinds, joints)``."""
    return table.reshape(len(table), len(KINDS), -1)


def _by_action(totals: dict[str, Tensor], protocol: Protocol) -> Tensor:
    return ratio(*_pooled(totals, protocol))


def _finite(totals: dict[str, Tensor]) -> bool:
    return int(totals["n/nonfinite"]) == 0


def _percentages(counts: Tensor, totals: dict[str, Tensor]) -> Tensor:
    """PCK by threshold; NaN throughout if a prediction was not finite."""
    below = percentage_below(counts)
    return below if _finite(totals) else torch.full_like(below, torch.nan)


def _named_thresholds(
    curve: Tensor, layout: Layout, protocol: Protocol, prefix: str = ""
) -> dict[str, float]:
    at = layout.thresholds.index
    values = {f"{prefix}pck_{t:g}mm": float(curve[at(t)]) for t in protocol.pck_thresholds_mm}
    area = curve[[at(t) for t in protocol.auc_thresholds_mm]].mean()
    return values | {f"{prefix}auc": float(area)}


def _threshold_scores(
    totals: dict[str, Tensor], layout: Layout, protocol: Protocol
) -> dict[str, float]:
    values: dict[str, float] = {}
    for prefix in ("", "pa_"):
        curve = _percentages(totals[f"{prefix}pck"].sum(0), totals)
        values |= _named_thresholds(curve, layout, protocol, prefix)
    cps = cps_from_histogram(totals["cps"])
    values["cps"] = float(cps) if _finite(totals) else float("nan")
    return values


def _ratio_of(totals: dict[str, Tensor], name: str) -> float:
    return float(ratio(totals[f"{name}:sum"].double(), totals[f"{name}:count"]))


def _structure_scores(totals: dict[str, Tensor]) -> dict[str, float]:
    values = {
        "bone_mae_mm": _ratio_of(totals, "bone"),
        "symmetry_mm": _ratio_of(totals, "symmetry"),
    }
    for name in totals:
        key = name.removesuffix(":sum")
        if key.startswith("pss_") and key != name:
            values[key] = 100 * _ratio_of(totals, key)
        if key.startswith("extra/") and key != name:
            values[key.removeprefix("extra/")] = _ratio_of(totals, key)
    return values


def _motion_scores(totals: dict[str, Tensor]) -> dict[str, float]:
    """Errors of differences along time; absent where no neighbouring frames were scored."""
    values = {}
    for (name, power), sums in zip(MOTIONS.items(), totals.get("motion", ()), strict=False):
        by_frame, count, by_time, timed = sums.tolist()
        if count:
            values[f"{name}_mm_per_frame{power}"] = by_frame / count
        if count and timed == count:
            values[f"{name}_mm_per_second{power}"] = by_time / count
    return values


def _sigma_scores(totals: dict[str, Tensor]) -> dict[str, float]:
    if "coverage" not in totals:
        return {}
    ranks = RankingSums(*(totals[f"ranking/{name}"] for name in RankingSums._fields))
    return {
        "nll": _ratio_of(totals, "nll"),
        "ece_axis": float(calibration_error(totals["coverage"]).ece),
        "ause_mm": float(sparsification_from_sums(ranks).ause_mm),
        "sigma_spearman": float(spearman_from_sums(ranks)),
    }


def _hypothesis_scores(totals: dict[str, Tensor], mpjpe: float) -> dict[str, float]:
    values = {}
    for name in totals:
        key = name.removesuffix(":sum")
        if key != name and (key.startswith("oracle/") or key == "diversity_mm"):
            values[key] = _ratio_of(totals, key)
    if "p_agg_mpjpe_mm:sum" in totals:
        mean = _ratio_of(totals, "p_agg_mpjpe_mm")
        if not abs(mean - mpjpe) <= _SAME * abs(mpjpe):
            values["p_agg_mpjpe_mm"] = mean
    return values


def _counters(totals: dict[str, Tensor], layout: Layout, protocol: Protocol) -> dict[str, float]:
    """Counters that are not zero, and how many actions occurred where some did not."""
    names = {"poses": "n_poses", "nonfinite": "n_nonfinite", "excluded": "n_excluded"}
    values = {key: float(totals[f"n/{name}"]) for name, key in names.items()}
    values["n_negative_scale"] = float(totals["n/negative_scale"])
    _, count = _pooled(totals, protocol)
    present = int((count[: len(layout.actions), 0] > 0).sum())
    if present < len(layout.actions):
        values["n_actions"] = float(present)
    return {key: value for key, value in values.items() if value}
