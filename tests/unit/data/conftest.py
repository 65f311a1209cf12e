"""Makes the writers of ``tests/fixtures_formats`` importable in the tests beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

FORMATS = str(Path(__file__).resolve().parents[2] / "fixtures_formats")
if FORMATS not in sys.path:
    sys.path.append(FORMATS)
