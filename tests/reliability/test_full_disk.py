"""A disk that fills up at any write of a run: the project's message, whole files, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "fixtures" / "full_disk.py"
EVERY_PAGE = 100_000


def as_root() -> list[str] | None:
    """What begins a command that may mount; None where nobody may."""
    for words in ([], ["unshare", "-Urm"]):
        if words and shutil.which(words[0]) is None:
            continue
        probe = [*words, "sh", "-c", "mount -t tmpfs none /mnt && umount /mnt"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return words
    return None


@pytest.mark.slow
def test_every_write_of_a_run_on_a_full_disk(tiny_experiment, tmp_path):
    words = as_root()
    if words is None:
        pytest.skip("nobody may mount a file system here, not even in a namespace of its own")
    command = [*words, sys.executable, str(SCRIPT), str(tmp_path), str(EVERY_PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    whole, *tries = map(json.loads, done.stdout.splitlines())
    assert whole["status"] == 0, whole["said"]
    assert not whole["wrong"]
    for one in tries:
        assert not one["wrong"], one
        assert "Traceback" not in one["said"], one["said"]
        assert one["weights"] in (whole["weights"], None), one
        if one["status"]:
            assert one["status"] == 2, one
            assert one["said"].splitlines()[-1].startswith("error: expected to write "), one
        else:
            assert one["files"] == whole["files"] or len(one["files"]) == len(whole["files"])
    statuses = Counter(one["status"] for one in tries)
    assert statuses[0]
    assert statuses[2] > 10
    print(f"disk full: {len(tries)} sizes, exit statuses {dict(statuses)}")
