"""Tiny data sets of somebody with rigid bones who walks, in every published form."""

from __future__ import annotations

import published_npz
import pytest
import walking

from lifting.data.doctor.presence import Group, Published


@pytest.fixture(autouse=True)
def _rigid_people(monkeypatch):
    """The writers' own people have noisy joints, which the doctor rightly complains about."""
    monkeypatch.setattr(published_npz, "people", walking.people)


@pytest.fixture
def complaints():
    """Names of the rows of a verdict; the reader's are left out, since it repeats the others."""

    def of(rows, verdict="fail"):
        return {r.what for r in rows if r.verdict == verdict and not r.what.startswith("reader")}

    return of


@pytest.fixture
def published_h36m():
    """What the tiny Human3.6M of the tests should hold."""

    def of(data, subjects):
        world = data.world
        frames = sum(len(joints) for subject in subjects for joints in world[subject].values())
        return Published(
            subjects=subjects,
            recordings={subject: len(world[subject]) for subject in subjects},
            actions=("Walking", "Eating"),
            groups=(Group("test", ("S9", "S11")), Group("all", subjects, frames=frames)),
        )

    return of
