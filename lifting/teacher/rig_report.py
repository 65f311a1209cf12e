"""The quality report of a solved rig: as text for people, as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from lifting.teacher.solution import RigSolution

_ADVICE = {
    "good": "labels may be learnt from",
    "low": "look at the reasons before its labels are used",
    "unusable": "do not learn from it",
}
_UPRIGHT = 0.85  # cosine of the body's way up with z from which z counts as up


def markdown(solution: RigSolution, facts: Mapping[str, Any] | None = None) -> str:
    """The report as Markdown.

    Args:
        solution: A solved rig.
        facts: What was kept beside it, see ``write_solution``.
    """
    quality, facts = solution.quality, facts or {}
    lines = [f"# Rig of {len(solution.names)} cameras: {quality.verdict}", ""]
    lines += [f"Verdict **{quality.verdict}**: {_ADVICE[quality.verdict]}.", ""]
    lines += [*(f"- {reason}" for reason in quality.reasons), *[""][: len(quality.reasons)]]
    lines += _figures(solution, facts)
    lines += _cameras(solution, facts.get("held_out_px", {}))
    lines += _pairs(solution)
    lines += _joints(solution)
    if "command" in facts:
        lines += ["", f"Made by `{facts['command']}`."]
    return "\n".join(lines) + "\n"


def as_values(solution: RigSolution, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The report as plain values, of which some numbers may not be finite."""
    return {
        "quality": asdict(solution.quality),
        "names": solution.names,
        "intrinsics": solution.intrinsics.tolist(),
        "rotation": solution.rotation.tolist(),
        "centre": solution.centre.tolist(),
        "scale_rule": solution.scale_rule,
        "metric": solution.metric,
        "joints": {
            row[0]: dict(zip(("valid", "residual_px", "error_mm"), row[1:], strict=True))
            for row in _joint_rows(solution)
        },
        "facts": dict(facts or {}),
    }


def _figures(solution: RigSolution, facts: Mapping[str, Any]) -> list[str]:
    quality = solution.quality
    seen = int(solution.residual.isfinite().sum())
    swapped = 100 * float(solution.swapped.sum()) / max(seen, 1)
    rows = {
        "frames": f"{len(solution.joints)}, cameras from {quality.frames}",
        "frames that a camera lacks": str(facts.get("frames_left_out", 0)),
        "known of the cameras": facts.get("known", "all" if solution.metric else "not the places"),
        "scale": solution.scale_rule,
        "noise of a keypoint's coordinate": f"{solution.sigma:.2f} px",
        "joints that pass the rules": f"{100 * quality.valid_share:.1f} %",
        "keypoints exchanged with their mirror": f"{swapped:.1f} %",
        "widest angle of rays, median": f"{quality.baseline_angle:.1f} degrees",
        "joints in front of the cameras": f"{100 * quality.front_share:.1f} %",
        "ambiguity (1: joints of one plane)": f"{quality.ambiguity:.3f}",
        "movement of the joints": f"{quality.movement:.0f} mm",
    }
    return [*_table(("", ""), rows.items()), ""]


def _cameras(solution: RigSolution, held_out: Mapping[str, float]) -> list[str]:
    quality = solution.quality
    rows = []
    for view, name in enumerate(solution.names):
        place = ", ".join(_number(value, 0) for value in solution.centre[view].tolist())
        rows.append(
            (
                name,
                f"{float(solution.intrinsics[view, 0]):.0f}",
                place,
                _number(quality.median_residual[view], 2),
                f"{100 * quality.inlier_share[view]:.1f}",
                str(quality.shift[view]),
                _number(held_out.get(name, math.nan), 2),
            )
        )
    heads = (
        "camera", "focal length px", "place mm", "median residual px", "keypoints that agree %",
        "late by frames", "held-out error px",
    )  # fmt: skip
    kept = len(heads) if held_out else len(heads) - 1
    return [*_table(heads[:kept], (row[:kept] for row in rows)), ""]


def _pairs(solution: RigSolution) -> list[str]:
    quality = solution.quality
    rows = []
    for (a, b), share in zip(quality.pairs, quality.pair_share, strict=True):
        distance = float((solution.centre[a] - solution.centre[b]).norm())
        pair = f"{solution.names[a]}, {solution.names[b]}"
        rows.append((pair, f"{distance:.0f}", f"{100 * share:.1f}"))
    return [*_table(("pair", "distance mm", "keypoints on the epipolar line %"), rows), ""]


def _joints(solution: RigSolution) -> list[str]:
    rows = (
        (joint, f"{100 * valid:.1f}", _number(residual, 2), _number(error, 1))
        for joint, valid, residual, error in _joint_rows(solution)
    )
    heads = ("joint", "pass the rules %", "median residual px", "expected error mm")
    return _table(heads, rows)


def _joint_rows(solution: RigSolution) -> list[tuple[str, float, float, float]]:
    """Name, share that is valid, median residual and root of the covariance's trace, median."""
    valid = solution.valid
    used = torch.where(solution.inlier, solution.residual, torch.nan)
    residual = used.flatten(0, 1).nanmedian(0).values
    trace = solution.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    error = torch.where(valid, trace, torch.nan).nanmedian(0).values.sqrt()
    columns = (valid.double().mean(0), residual, error)
    names = solution.skeleton.joints
    return list(zip(names, *(column.tolist() for column in columns), strict=True))


def up_direction(solution: RigSolution) -> Tensor:
    """Direction that counts as up, of unit length, ``(3,)``: z of a given world, else the body's.

    The mean way from the ankles to the shoulders says where up is; a given world whose z is near
    it is taken to have its z up.
    """
    skeleton, joints = solution.skeleton, solution.joints
    low = [i for i, name in enumerate(skeleton.joints) if "ankle" in name] or [skeleton.root]
    high = [i for i, name in enumerate(skeleton.joints) if "shoulder" in name] or [skeleton.root]
    body = (joints[:, high].mean(1) - joints[:, low].mean(1)).nanmean(0).nan_to_num()
    up = body.new_tensor((0.0, 0.0, 1.0))
    length = body.norm()
    if float(length) == 0 or (solution.metric and float(body[2] / length) > _UPRIGHT):
        return up
    return body / length


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    rule = "|---" + "|--:" * (len(heads) - 1) + "|"
    return [f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def _number(value: float, digits: int) -> str:
    # Adding zero makes a zero of what rounds to a negative one.
    return f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else "-"
