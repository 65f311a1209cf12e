"""Cards of weights: what they are, learnt from what, how, and how well they do. No Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifting.data.describe import about
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
    told, frames = facts[TRAINING], facts["frames"]
    seen = "single frames" if frames == 1 else f"windows of {frames} frames at {facts['fps']:g} Hz"
    figures = [f"- {key}: {value:.1f}" for key, value in told.get("scores", {}).items()]
    if facts.get(EXPECTED_ERROR):
        figures.append(f"- expected error: {facts[EXPECTED_ERROR]}")
    lines = [
        f"# {name}\n\n{facts['method']}, {seen}, from 2D keypoints to 3D in mm.\n",
        f"- SHA-256: `{sha256}` ({size:,} bytes)",
        f"- licence of the weights: {licence}",
        *_data_lines(facts),
        *(
            f"- {key}: {_words(told[key])}"
            for key in ("seed", "packages", "budget")
            if key in told
        ),
        f"\n## Command\n\n```bash\n{told['command']}\n```\n\n## Figures\n",
        *(figures or ["Not scored."]),
        "\n## Limits\n",
        f"- 2D keypoints in the joints of {facts['skeleton']['name']}; one person at a time.",
        "- Poses are relative to the root; their place in the room is not answered.",
        f"- Learnt on {facts['dataset']}: people, motions and cameras unlike it are lifted worse.",
        "- Input unlike the training's is warned of, above levels of validation data.\n",
    ]
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def _data_lines(facts: Mapping[str, Any]) -> list[str]:
    """The data set with its terms and credit, and the fingerprints of what was learnt from."""
    terms = about(facts["dataset"]).facts
    said = [f"- data, {k}: {v}" for k, v in terms if k in ("terms", "credit")]
    return [f"- data: {facts['dataset']}, {_words(facts.get('data', {}))}", *said]
