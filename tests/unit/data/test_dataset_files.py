"""The shipped data sections are accepted, complete, and those of the published protocols."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from lifting.data.config import DATASETS, DataConfig
from lifting.data.sources import READERS
from lifting.experiment.load import load_experiment

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "data"
FILES = ("h36m_gt", "h36m_cpn", "humaneva", "mpi_inf_3dhp")


@pytest.mark.parametrize("name", FILES)
def test_every_option_is_written_down(name):
    section = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["data"]
    options = getattr(DataConfig(), section["name"])
    # A section's own wish for joints is read in older files; new ones write `data.skeleton`.
    written = set(section[section["name"]]) | {"skeleton"}
    assert written == {f.name for f in fields(options)} | {"skeleton"}


@pytest.mark.parametrize("name", FILES)
def test_the_file_loads_over_an_experiment(name, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(FOLDER.parent))
    data = load_experiment("simple_baseline", [f"extends=data/{name}"]).data
    assert data.name in READERS
    assert data.name in DATASETS
    section = getattr(data, data.name)
    assert list(section.val_subjects) == []
    assert section.val_holdout == 0
    assert section.every == 1


def test_every_data_set_has_a_reader():
    assert set(READERS) == set(DATASETS)
