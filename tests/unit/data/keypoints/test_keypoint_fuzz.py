"""Damaged files raise the project's data errors and nothing else."""

from __future__ import annotations

import detected
import pytest
from keypoint_files import all_writers
from mutated_keypoints import read_mutations

from lifting.data.keypoints.look import look


def fuzz(tmp_path, monkeypatch, name, rounds):
    monkeypatch.setattr(detected, "MOST_FRAMES", 5)
    path = all_writers()[name](tmp_path)
    stated = look(path).facts.get("image size", "not said")
    size = detected.SIZE if stated.startswith("not said") else None
    refused, longest, _ = read_mutations(path, size, rounds)
    assert len(longest) < 1000
    assert len(longest.splitlines()) <= 5
    return refused


@pytest.mark.parametrize("name", sorted(all_writers()))
def test_mutated_files_raise_data_errors_only(tmp_path, monkeypatch, name):
    rounds = 3 if "h5" in name else 12  # HDF5 is parsed by a process of its own
    assert fuzz(tmp_path, monkeypatch, name, rounds) > 0
