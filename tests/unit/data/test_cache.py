"""The cache of tracks: exact, repaired when damaged, optional."""

import logging
from dataclasses import fields

import numpy as np
import pytest
import torch

from lifting.data.cache import cache_folder, cached_tracks, key_hash, tracks_hash
from lifting.data.sequence import PoseTracks
from lifting.geometry.camera import Camera
from lifting.skeleton import H36M_17

KEY = {"dataset": "fake", "seed": 3, "extras": ["mixtures"]}


def make_tracks(labels=True):
    generator = torch.Generator().manual_seed(0)
    return PoseTracks(
        skeleton=H36M_17,
        joints_3d=torch.randn(9, 17, 3, generator=generator) if labels else None,
        keypoints_2d=torch.rand(9, 17, 2, generator=generator),
        confidence=torch.rand(9, 17, generator=generator),
        visible=torch.rand(9, 17, generator=generator) < 0.5 if labels else None,
        offsets=torch.tensor([0, 4, 9]),
        cameras=Camera(
            intrinsics=torch.rand(2, 9, generator=generator), size=torch.full((2, 2), 1000.0)
        ),
        camera=torch.tensor([1, 0]),
        recording=torch.tensor([0, 0]),
        subject=torch.tensor([0, 1]),
        action=torch.tensor([1, 0]),
        track_names=("walk é", "sit"),
        subject_names=("a", "b"),
        action_names=("Sitting", "Walking"),
        fps=50.0,
        source={"dataset": "fake"},
        extras={"mixtures": torch.rand(9, 17, 5, 4, generator=generator)},
    )


class Maker:
    """Counts how often tracks are made."""

    def __init__(self, **options):
        self.options = options
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return make_tracks(**self.options)


def assert_same(a, b):
    for f in fields(PoseTracks):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, torch.Tensor):
            assert x.dtype == y.dtype
            assert torch.equal(x, y)
        elif f.name == "cameras":
            assert torch.equal(x.intrinsics, y.intrinsics)
            assert torch.equal(x.size, y.size)
            assert y.rotation is None
        elif f.name == "extras":
            assert x.keys() == y.keys()
            assert all(torch.equal(x[k], y[k]) for k in x)
        else:
            assert x == y


@pytest.mark.parametrize("labels", [True, False])
def test_read_tracks_are_the_written_ones(tmp_path, labels):
    make = Maker(labels=labels)
    first = cached_tracks(KEY, make, tmp_path / "new")
    second = cached_tracks(KEY, make, tmp_path / "new")
    assert make.calls == 1
    assert_same(first, second)
    assert tracks_hash(first) == tracks_hash(second)


def test_another_key_is_another_file(tmp_path):
    make = Maker()
    cached_tracks(KEY, make, tmp_path)
    cached_tracks({**KEY, "seed": 4}, make, tmp_path)
    assert make.calls == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_key_order_does_not_matter():
    assert key_hash({"a": 1, "b": 2}) == key_hash({"b": 2, "a": 1})
    assert key_hash({"a": 1, "b": 2}) != key_hash({"a": 1, "b": 3})


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(bytes(raw))


def empty(path):
    path.write_bytes(b"")


def drop_arrays(path):
    with np.load(path) as archive:
        kept = {"meta": archive["meta"]}
    np.savez(path, **kept)


def shorten_an_array(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["confidence"] = arrays["confidence"][:-1]
    np.savez(path, **arrays)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, drop_arrays, shorten_an_array])
def test_damaged_files_are_made_again(tmp_path, caplog, damage):
    make = Maker()
    tracks = cached_tracks(KEY, make, tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path)
    with caplog.at_level(logging.WARNING, logger="lifting"):
        assert_same(cached_tracks(KEY, make, tmp_path), tracks)
    assert "is damaged" in caplog.text
    assert str(path) in caplog.text
    assert make.calls == 2
    cached_tracks(KEY, make, tmp_path)
    assert make.calls == 2


def test_a_pickle_in_the_file_is_not_run(tmp_path, caplog):
    make = Maker()
    cached_tracks(KEY, make, tmp_path)
    (path,) = tmp_path.iterdir()
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["confidence"] = np.array([object()], dtype=object)
    np.savez(path, **arrays)
    with caplog.at_level(logging.WARNING, logger="lifting"):
        cached_tracks(KEY, make, tmp_path)
    assert "is damaged" in caplog.text
    assert make.calls == 2


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    make = Maker()
    with caplog.at_level(logging.WARNING, logger="lifting"):
        assert_same(cached_tracks(KEY, make, blocked / "folder"), make_tracks())
    assert "cannot keep derived data" in caplog.text
    assert "LIFTING_CACHE" in caplog.text


def test_nothing_but_the_file_is_left(tmp_path):
    cached_tracks(KEY, Maker(), tmp_path)
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]


def test_the_hash_sees_one_changed_value():
    changed = make_tracks()
    changed.keypoints_2d[3, 4, 1] += 1e-3
    assert tracks_hash(changed) != tracks_hash(make_tracks())


def test_folder_is_configured_or_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "env"))
    assert cache_folder(str(tmp_path / "set")) == tmp_path / "set"
    assert cache_folder(None) == tmp_path / "env"
    monkeypatch.delenv("LIFTING_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / ".cache" / "lifting"
