"""The shipped data sections are accepted, complete, and those of the published protocols."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from lifting.data.sets import data_sets, find_set
from lifting.experiment.load import load_data, load_experiment

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "data"
FILES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
# The published protocols of these hold nobody out.
HOLDING_NOBODY_OUT = ("h36m_gt", "h36m_cpn", "humaneva", "mpi_inf_3dhp")
# Options that describe a sample's form for programmers, and that no protocol lays down.
# A section's own wish for joints is read in older files; new ones write `data.skeleton`.
LEFT_OUT = {"synthetic": {"extras"}, "mpi_inf_3dhp": {"skeleton"}, "humaneva": {"skeleton"}}
# Where a file of a data set says something else than its options do by themselves.
JUSTIFIED = {
    "h36m_gt": {"two_d"},  # the file is about these keypoints
    "h36m_images": {"two_d", "every"},  # the released code's training frames
    "mpi_inf_3dhp_images": {"annotation"},  # labels on the pictures
    # Networks say in their files what they look at; by itself a picture is small and tight.
    "image_folder": {"labels", "size", "margin"},
}


def whole(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in FILES if "extends" not in whole(name)])
def test_every_option_is_written_down(name):
    section = whole(name)["data"]
    one = find_set(section["name"])
    names = {f.name for f in fields(one.config.Config)} - LEFT_OUT.get(one.section, set())
    assert set(section.get(one.section, {})) == names


@pytest.mark.parametrize("name", FILES)
def test_the_file_loads_over_an_experiment(name, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(FOLDER.parent))
    data = load_experiment("simple_baseline", [f"extends=data/{name}"]).data
    assert data.name == load_data(name)[0].name
    assert data.name in data_sets()


@pytest.mark.parametrize("name", HOLDING_NOBODY_OUT)
def test_published_protocols_hold_nobody_out(name):
    data, _ = load_data(name)
    section = getattr(data, data.name)
    assert list(section.val_subjects) == []
    assert section.val_holdout == 0
    assert section.every == 1


@pytest.mark.parametrize("name", FILES)
def test_options_by_themselves_are_those_of_the_file(name):
    """A script that names a data set gets what experiments and ``lifting data check`` get."""
    data, _ = load_data(name)
    for one in data_sets().values():
        given, plain = asdict(getattr(data, one.section)), asdict(one.config.Config())
        other = {k for k in given if listed(given[k]) != listed(plain[k])}
        expected = JUSTIFIED.get(name, set()) | JUSTIFIED.get(data.name, set())
        assert other <= expected, one.name


def listed(value):
    return list(value) if isinstance(value, list | tuple) else value
