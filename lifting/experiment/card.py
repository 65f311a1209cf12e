"""Cards of weights: what they are, learnt from what, how, and how well they do. No Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifting.data.describe import about
from lifting.experiment.claims import TRAINING


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
    stated = {
        "SHA-256": f"`{sha256}` ({size:,} bytes)",
        "licence of the weights": licence,
        "data": facts["dataset"],
        **{k: v for k, v in about(facts["dataset"]).facts if k in ("terms", "credit")},
        "fingerprints": facts.get("data"),
        **{key: told.get(key) for key in ("seed", "packages", "budget")},
    }
    figures = {key: f"{value:.4g}" for key, value in told.get("scores", {}).items()}
    return f"""# {name}

{facts["method"]}, {seen}, from 2D keypoints to 3D in mm.

{_listed(stated)}

## Command

```bash
{told["command"]}
```

## Figures

{_listed(figures) or "Not scored."}

## Limits

- 2D keypoints in the joints of {facts["skeleton"]["name"]}; one person at a time.
- Poses are relative to the root; their place in the room is not answered.
- Learnt on {facts["dataset"]}: people, motions and cameras unlike it are lifted worse.
- Input unlike the training's is warned of, above levels of validation data.
"""


def _listed(stated: Mapping[str, Any]) -> str:
    """Facts one a line, those that are known."""
    lines = []
    for key, value in stated.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {inner}" for name, inner in value.items())
        lines += [f"- {key}: {value}"] if value is not None else []
    return "\n".join(lines)
