"""Input unlike the training's: joints in a wrong order, broken tracks, other sizes and rates."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lifting.data.film import film
from lifting.data.keypoints.faults import FAULTS, faults
from lifting.data.keypoints.usual import GROUPS, Usual, fit_usual
from lifting.data.procedural.generator import generate_motion
from lifting.errors import DataError
from lifting.skeleton import BODY_25, H36M_17


def filmed(recordings, frames, seed):
    motion = generate_motion(recordings, frames, seed=seed)
    return film(motion, rig="wild", noise="cpn", seed=seed)


@pytest.fixture(scope="module")
def usual():
    return fit_usual([filmed(12, 100, seed=1), filmed(12, 100, seed=4)], filmed(8, 100, seed=2))


@pytest.fixture(scope="module")
def tracks():
    return filmed(6, 100, seed=3)


def with_points(tracks, points, confidence=None):
    return replace(
        tracks,
        keypoints_2d=points.float(),
        confidence=tracks.confidence if confidence is None else confidence,
    )


def test_input_as_in_training_is_usual(usual, tracks):
    judged = usual.judge(tracks)
    assert judged.score.shape == judged.reason.shape == (len(tracks),)
    assert judged.flagged.mean() < 0.05
    assert (judged.track_score > 1).mean() < 0.15


def broken(tracks, kind):
    points, lengths = tracks.keypoints_2d.double(), tracks.offsets.diff()
    generator = torch.Generator().manual_seed(0)
    if kind == "order":
        return with_points(tracks, points.flip(1), tracks.confidence.flip(1))
    if kind == "exchanged":  # with who comes before, in runs of five frames
        runs = torch.rand(-(-len(points) // 5), generator=generator) < 0.5
        runs = runs.repeat_interleave(5)[: len(points)]
        others = points.roll(int(lengths[0]), 0)
        return with_points(tracks, torch.where(runs[:, None, None], others, points))
    if kind == "trembling":
        height = points[..., 1].amax(1) - points[..., 1].amin(1)
        noise = torch.randn(points.shape, generator=generator)
        return with_points(tracks, points + 0.05 * height[:, None, None] * noise)
    if kind == "still":
        first = tracks.offsets[:-1].repeat_interleave(lengths)
        return with_points(tracks, points[first])
    if kind == "missing":
        seen = tracks.confidence.clone()
        seen[:, 5:14] = 0
        return with_points(tracks, points, seen)
    if kind == "axes":
        return with_points(tracks, points.flip(-1))
    if kind == "another":  # from the middle of each track on, who is in the next
        rows = torch.arange(len(points))
        late = (rows - tracks.offsets[:-1].repeat_interleave(lengths)) >= int(lengths[0]) // 2
        others = points.roll(-int(lengths[0]), 0)
        return with_points(tracks, torch.where(late[:, None, None], others, points))
    if kind == "legs":
        legs = torch.arange(17).clamp(1, 6) == torch.arange(17)
        return with_points(
            tracks, torch.where(legs[:, None], points.roll(int(lengths[0]), 0), points)
        )
    if kind == "tiny":
        return with_points(tracks, points / 20)
    return replace(tracks, fps=tracks.fps / 16)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("order", "shape"), ("still", "speed"), ("missing", "missing"), ("tiny", "size"),
        ("rate", "rate"),
    ],
)  # fmt: skip
def test_what_is_broken_is_flagged_with_its_reason(usual, tracks, kind, reason):
    judged = usual.judge(broken(tracks, kind))
    assert (judged.track_score > 1).mean() > 0.9
    plain = judged.plain(tracks.track_names)
    assert max(plain["by_reason"], key=plain["by_reason"].get) == reason
    assert len(plain["tracks"]) == (judged.track_score > 1).sum()
    assert plain["share_of_frames"] == pytest.approx(judged.flagged.mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("missing", "missing joints"), ("axes", "not upright"), ("another", "another person"),
        ("legs", "joints out of place"),
    ],
)  # fmt: skip
def test_faults_of_tracks_are_called_by_their_names(usual, tracks, kind, why):
    sound = usual.judge(tracks).plain(tracks.track_names)["tracks"]
    assert not set(FAULTS) & set(sound.values())
    found = usual.judge(broken(tracks, kind)).plain(tracks.track_names)["tracks"]
    named = [reason == why for reason in found.values()]
    assert sum(named) >= (0.6 if kind == "legs" else 0.9) * len(tracks.track_names)


@pytest.mark.parametrize("every", [1, 5])
def test_who_starts_to_run_stays_the_same_person(every):
    """A person at rest who is off at the speed of a sprint within a quarter of a second."""
    still = filmed(1, 250, seed=6).select(torch.tensor([0]))
    time = torch.arange(len(still)) / 50.0 - 2.5
    height = still.keypoints_2d[..., 1].amax() - still.keypoints_2d[..., 1].amin()
    way = (
        5 * height * torch.where(time < 0, 0, torch.where(time < 0.25, 2 * time**2, time - 0.125))
    )
    shifted = still.keypoints_2d + torch.stack((way, 0 * way), -1)[:, None]
    rows = torch.arange(0, len(still), every)
    moving = with_points(still, shifted).take(rows, torch.tensor([0]), torch.tensor([len(rows)]))
    points = moving.keypoints_2d.double().numpy()
    size = np.full(len(points), float(height) / 3)
    nothing = np.zeros((len(points), 1))
    found = faults(points, size, nothing, moving.offsets.numpy(), moving.skeleton)
    assert 0 < found["another person"][0] < 1


def test_single_frames_come_at_any_rate(tracks):
    single = fit_usual([filmed(12, 100, seed=1)], filmed(8, 100, seed=2), any_rate=True)
    judged = single.judge(replace(tracks, fps=tracks.fps / 16))
    assert GROUPS.index("rate") not in judged.reason[judged.flagged]


@pytest.mark.parametrize("kind", ["trembling", "exchanged"])
def test_what_single_frames_do_not_tell_is_seen_in_tracks(usual, tracks, kind):
    assert (usual.judge(broken(tracks, kind)).track_score > 1).mean() > 0.7


def test_what_is_not_known_is_not_judged(usual, tracks):
    nothing = with_points(tracks, tracks.keypoints_2d, torch.zeros_like(tracks.confidence))
    judged = usual.judge(replace(nothing, fps=tracks.fps * torch.nan))
    assert {GROUPS[i] for i in judged.reason} == {"missing"}
    assert judged.flagged.all()
    without_rate = usual.judge(replace(tracks, fps=tracks.fps * torch.nan))
    assert without_rate.flagged.mean() < 0.05


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_short_tracks_are_judged_by_their_frames_alone(usual, frames):
    short = filmed(1, frames, seed=5).select(torch.tensor([0]))
    judged = usual.judge(short)
    assert len(judged.score) == frames
    assert judged.track_score[0] < 0.5


def test_it_is_the_same_from_plain_values(usual, tracks):
    again = Usual.of(json.loads(json.dumps(usual.plain())), H36M_17)
    np.testing.assert_allclose(again.judge(tracks).score, usual.judge(tracks).score, rtol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain.pop("groups"),
        lambda plain: plain.update(frame_level="high"),
        lambda plain: plain["track_levels"].update({"mean jumps": 0.0}),
        lambda plain: plain["track_levels"].pop("mean bones"),
        lambda plain: plain["groups"]["size"].update(mean=[0.0]),
        lambda plain: plain["groups"]["size"].update(covariance=np.full((3, 3), -1.0).tolist()),
        lambda plain: plain["groups"]["shape"].update(unit=float("nan")),
    ],
)
def test_damaged_values_are_refused(usual, change):
    plain = json.loads(json.dumps(usual.plain()))
    change(plain)
    with pytest.raises(DataError, match="expected what input"):
        Usual.of(plain, H36M_17)


def test_other_joints_and_few_frames_are_refused(usual, tracks):
    with pytest.raises(DataError, match=r"input of body25 is usual .* a mean of \(33,\), not"):
        Usual.of(usual.plain(), BODY_25)
    few = tracks.select(torch.tensor([0]))
    with pytest.raises(DataError, match="at least 100 frames of whole people"):
        fit_usual([few], tracks)
