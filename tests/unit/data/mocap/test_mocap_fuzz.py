"""Damaged files raise the project's own error and no other."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifting.data.mocap.acclaim import read_amc, read_asf
from lifting.data.mocap.bvh import read_bvh
from lifting.data.mocap.mapping import to_h36m17
from lifting.errors import DataError


@pytest.mark.parametrize("form", ["asf", "amc", "bvh"])
def test_mutated_files_raise_nothing_else(
    tmp_path, form, damage_count, person_bvh, two_frames, arm_asf, damage, count_refused
):
    rng = random.Random(7)
    original = {"asf": arm_asf, "amc": two_frames, "bvh": person_bvh(3)}[form]
    (tmp_path / "01.asf").write_text(arm_asf)
    (tmp_path / "01_01.amc").write_text(two_frames)
    path = tmp_path / {"asf": "01.asf", "amc": "01_01.amc", "bvh": "01_01.bvh"}[form]

    def read():
        if form == "bvh":
            to_h36m17(read_bvh(path))
        else:
            read_amc(tmp_path / "01_01.amc", read_asf(tmp_path / "01.asf"))

    texts = (damage(original, rng) for _ in range(damage_count))
    versions = (path.write_text(text, encoding="latin-1") for text in texts)
    assert damage_count / 3 < count_refused(versions, read) < damage_count


@settings(max_examples=60, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(content=st.binary(max_size=200), prefix=st.sampled_from(["", "HIERARCHY\n", ":units\n"]))
def test_any_bytes_are_refused_politely(tmp_path, content, prefix):
    path = tmp_path / "any"
    path.write_bytes(prefix.encode() + content)
    for read in (read_asf, read_bvh):
        with pytest.raises(DataError):
            read(path)


@pytest.mark.parametrize("name", ["02.asf", "02_01.amc", "06_09.bvh"])
def test_real_files_cut_anywhere_raise_nothing_else(raw, tmp_path, name, damage):
    text = (raw / name).read_text()[:40_000]
    skeleton = read_asf(raw / "02.asf")
    path = tmp_path / name
    rng = random.Random(3)
    for _ in range(20):
        path.write_text(damage(text[: rng.randrange(1, len(text))], rng), encoding="latin-1")
        read = {".asf": read_asf, ".bvh": read_bvh}.get(
            path.suffix, lambda p: read_amc(p, skeleton)
        )
        with contextlib.suppress(DataError):
            read(path)
