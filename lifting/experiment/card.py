"""Cards of weights: what they are, learnt from what, how, and how well they do. No Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifting.data.sets import find_set
from lifting.experiment.claims import EXPECTED_ERROR, TRAINING


def card(name: str, facts: Mapping[str, Any], sha256: str, size: int, licence: str) -> str:
    """A card for a file of weights, in Markdown.

    Args:
        name: Of the weights.
        facts: What the file says of itself.
        sha256: Of the file.
        size: Of the file, bytes.
        licence: Of the weights.
    """
    told, window = facts.get(TRAINING, {}), facts["frames"]
    seen = "single frames" if window == 1 else f"windows of {window} frames at {facts['fps']:g} Hz"
    figures = [f"- {key}: {value:.1f}" for key, value in told.get("scores", {}).items()]
    limits = [
        f"- 2D keypoints in the joints of {facts['skeleton']['name']}; one person at a time.",
        "- Poses are relative to the root; their place in the room is not answered.",
        f"- Learnt on {facts.get('dataset')}: people, motions and cameras unlike it are lifted "
        "worse.",
        "- Input unlike the training's is warned of, above levels of validation data.",
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{facts['method']}, {seen}, from 2D keypoints to 3D in mm.",
            "",
            f"- SHA-256: `{sha256}` ({size:,} bytes)",
            f"- licence of the weights: {licence}",
            *_data_lines(facts),
            f"- seed: {told.get('seed', 'not known')}",
            f"- program: {', '.join(f'{k} {v}' for k, v in told.get('packages', {}).items())}",
            f"- budget: {', '.join(f'{v} {k}' for k, v in told.get('budget', {}).items())}",
            "",
            "## Command",
            "",
            "```bash",
            str(told.get("command", "# not known")),
            "```",
            "",
            "## Figures",
            "",
            *(figures or ["Not scored."]),
            *([f"- expected error: {facts[EXPECTED_ERROR]}"] if facts.get(EXPECTED_ERROR) else []),
            "",
            "## Limits",
            "",
            *limits,
            "",
        ]
    )


def _data_lines(facts: Mapping[str, Any]) -> list[str]:
    """The data set with its terms and credit, and the fingerprints of what was learnt from."""
    name = str(facts.get("dataset"))
    about = find_set(name).fact("ABOUT")
    said = [f"{k}: {v}" for k, v in getattr(about, "facts", ()) if k in ("terms", "credit")]
    prints = [f"{k} {v}" for k, v in facts.get("data", {}).items()]
    return [f"- data: {'; '.join([name, *prints])}", *(f"- data, {line}" for line in said)]
