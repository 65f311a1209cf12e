"""Velocity and acceleration of neighbouring frames of a track, in any order and any batches."""

from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from lifting.batch import PoseBatch, Prediction
from lifting.geometry.camera import Camera
from lifting.metrics import motion
from lifting.metrics.collection import PoseMetrics, _say_no_motion
from lifting.metrics.functional.errors import PosePair, pose_pair
from lifting.metrics.functional.temporal import acceleration_error, mpjve
from lifting.metrics.motion import Tracks
from lifting.metrics.protocol import get_protocol, needs_scale
from lifting.skeleton import H36M_17

LENGTHS = (13, 1, 2, 30)
FPS = (50.0, 25.0, 25.0, 50.0)
KEYS = {
    "mpjve_mm_per_frame", "mpjve_mm_per_second",
    "acceleration_error_mm_per_frame2", "acceleration_error_mm_per_second2",
}  # fmt: skip


def frames(*, masked=False, seed=0):
    """Every frame of some tracks: a prediction and its batch."""
    generator = torch.Generator().manual_seed(seed)
    count = sum(LENGTHS)
    labels = 300 * torch.randn(count, 1, 17, 3, generator=generator, dtype=torch.float64)
    predicted = labels - labels[:, :, :1]
    predicted = predicted + 40 * torch.randn(predicted.shape, generator=generator).double()
    visible = torch.rand(count, 1, 17, generator=generator) > (0.3 if masked else -1)
    index = torch.arange(count)
    batch = PoseBatch(
        skeleton=H36M_17,
        keypoints_2d=torch.zeros(count, 1, 17, 2),
        camera=Camera(intrinsics=torch.zeros(count, 9), size=torch.zeros(count, 2)),
        joints_3d=labels,
        visible=visible,
        sequence=torch.cat([torch.full((n,), i) for i, n in enumerate(LENGTHS)]),
        frame=torch.cat([torch.arange(n) for n in LENGTHS]),
        action=index * 0,
    )
    return Prediction(skeleton=H36M_17, joints_3d=predicted), batch


def scored(pieces, fps=FPS, lengths=LENGTHS, stride=1):
    tracks = Tracks(torch.tensor(fps), torch.tensor(lengths), stride)
    metrics = PoseMetrics(get_protocol("default"), H36M_17, ("all",), tracks=tracks)
    for prediction, batch in pieces:
        metrics.update(prediction, batch)
    return metrics


def cut(prediction, batch, indices):
    for index in indices:
        yield (
            Prediction(skeleton=H36M_17, joints_3d=prediction.joints_3d[index]),
            batch.rows(index),
        )


def expected(prediction, batch, measure, power):
    """The pure function on whole tracks at once, and by time."""
    target = batch.joints_3d - batch.joints_3d[:, :, :1]
    sums, weights = [], []
    for track, rate in enumerate(FPS):
        rows = batch.sequence == track
        pair = prediction.joints_3d[rows][:, 0], target[rows][:, 0], batch.visible[rows][:, 0]
        sums.append((measure(*pair), rate**power))
        seen = batch.visible[rows][:, 0]
        whole = seen[power:]
        for shift in range(power):
            whole = whole & seen[shift : len(seen) - power + shift]
        weights.append(float(whole.sum()))
    known = [(v, r, w) for (v, r), w in zip(sums, weights, strict=True) if w]
    total = sum(w for *_, w in known)
    by_frame = sum(v * w for v, _, w in known) / total
    return by_frame, sum(v * r * w for v, r, w in known) / total


@pytest.mark.parametrize("masked", [False, True])
def test_scores_are_those_of_the_pure_functions_on_whole_tracks(monkeypatch, masked):
    monkeypatch.setattr(motion, "_CHUNK", 11)
    prediction, batch = frames(masked=masked)
    values = scored(cut(prediction, batch, torch.arange(len(batch)).split(7))).compute()
    for power, name, measure in (
        (1, "mpjve", mpjve),
        (2, "acceleration_error", acceleration_error),
    ):
        by_frame, by_time = expected(prediction, batch, measure, power)
        suffix = "" if power == 1 else "2"
        assert_close(values[f"{name}_mm_per_frame{suffix}"], by_frame)
        assert_close(values[f"{name}_mm_per_second{suffix}"], by_time)


@pytest.mark.parametrize("limit", [1 << 17, 5])
@pytest.mark.parametrize("size", [1, 6, 46])
def test_order_batches_and_letting_go_change_nothing(monkeypatch, limit, size):
    monkeypatch.setattr(motion, "_MOST_ROWS", limit)
    monkeypatch.setattr(motion, "_CHUNK", 11)
    prediction, batch = frames(masked=True)
    whole = scored([(prediction, batch)]).compute()
    ordered = scored(cut(prediction, batch, torch.arange(len(batch)).split(size)))
    scrambled = torch.randperm(len(batch), generator=torch.Generator().manual_seed(size))
    parts = scored(cut(prediction, batch, scrambled.split(size)))
    for metrics in (ordered, parts):
        found = metrics.compute()
        for key in KEYS:
            assert_close(found[key], whole[key], rtol=1e-12, atol=0, msg=key)
        again = metrics.compute()
        assert_close(again["mpjve_mm_per_frame"], whole["mpjve_mm_per_frame"])
    if limit == 5 and size == 6:
        assert sum(len(rows.key) for rows in ordered._motion._parts) < len(batch) // 2


def test_a_score_in_between_changes_nothing():
    prediction, batch = frames()
    whole = scored([(prediction, batch)]).compute()
    metrics = scored([])
    for piece in cut(prediction, batch, torch.arange(len(batch)).split(10)):
        metrics.update(*piece)
        metrics.compute()
    assert_close(metrics.compute()["mpjve_mm_per_frame"], whole["mpjve_mm_per_frame"])
    metrics.reset()
    metrics.update(prediction, batch)
    assert_close(metrics.compute()["mpjve_mm_per_frame"], whole["mpjve_mm_per_frame"])


def test_a_constant_error_does_not_move_and_a_jump_between_tracks_does_not_count():
    prediction, batch = frames()
    target = batch.joints_3d - batch.joints_3d[:, :, :1]
    prediction.joints_3d = target + 100.0 * batch.sequence[:, None, None, None]
    values = scored(cut(prediction, batch, torch.arange(len(batch)).split(7))).compute()
    for key in KEYS:
        assert float(values[key]) == pytest.approx(0, abs=1e-9)


def test_every_second_frame_has_no_neighbours_and_no_score():
    prediction, batch = frames()
    rows = (batch.frame % 2 == 0).nonzero()[:, 0]
    values = scored(cut(prediction, batch, [rows])).compute()
    assert "mpjpe_mm" in values
    assert not KEYS & set(values)


def test_an_unknown_rate_leaves_errors_a_second_out():
    prediction, batch = frames()
    values = scored([(prediction, batch)], fps=(50.0, 25.0, float("nan"), 50.0)).compute()
    assert "mpjve_mm_per_frame" in values
    assert "mpjve_mm_per_second" not in values
    assert "acceleration_error_mm_per_second2" in values  # the track without rate has two frames


def test_a_prediction_that_is_not_finite_shows():
    prediction, batch = frames()
    prediction.joints_3d[5, 0, 3] = torch.inf
    assert scored([(prediction, batch)]).compute()["mpjve_mm_per_frame"].isnan()
    batch.visible[5, 0, 3] = False
    assert scored([(prediction, batch)]).compute()["mpjve_mm_per_frame"].isfinite()


def test_frames_of_windows_count_once_and_not_beyond_the_end_of_a_track():
    prediction, batch = frames()
    single = scored([(prediction, batch)], lengths=LENGTHS).compute()
    track = batch.sequence
    first = torch.cat([torch.tensor([0]), torch.tensor(LENGTHS).cumsum(0)])[track]
    last = first + torch.tensor(LENGTHS)[track] - 1
    steps = torch.arange(-2, 3)
    rows = (torch.arange(len(batch))[:, None] + steps).clamp(first[:, None], last[:, None])
    windows = batch.rows(slice(None))
    windows.joints_3d, windows.visible = (
        batch.joints_3d[rows][:, :, 0],
        batch.visible[rows][:, :, 0],
    )
    answers = Prediction(skeleton=H36M_17, joints_3d=prediction.joints_3d[rows][:, :, 0])
    found = scored([(answers, windows)]).compute()
    for key in KEYS:
        assert_close(found[key], single[key], msg=key)


def test_batches_that_do_not_say_their_frames_are_passed_over():
    prediction, batch = frames()
    batch.frame = None
    metrics = scored([(prediction, batch)])
    assert not KEYS & set(metrics.compute())
    assert metrics.per_track()[:, 0].tolist() == [17 * n for n in LENGTHS]
    batch.sequence = None
    assert len(scored([(prediction, batch)]).per_track()) == 0


def test_tracks_have_the_errors_that_were_scored():
    prediction, batch = frames(masked=True)
    metrics = scored(cut(prediction, batch, torch.arange(len(batch)).split(7)))
    joints, plain, aligned = metrics.per_track().T
    values = metrics.compute()
    assert_close(plain.sum() / joints.sum(), values["mpjpe_mm"])
    assert_close(aligned.sum() / joints.sum(), values["pa_mpjpe_mm"])
    rows = batch.sequence == 3
    alone = scored(cut(prediction, batch, [rows.nonzero()[:, 0]])).compute()
    assert_close(plain[3] / joints[3], alone["mpjpe_mm"])


def test_the_keys_have_a_rule():
    protocol = get_protocol("default").on(H36M_17)
    for key in KEYS:
        assert protocol.id_for(key).endswith("|hip|none|joint|visible")
        assert needs_scale(key)


@pytest.mark.parametrize("targets", [1, 9])
@pytest.mark.parametrize("world", [2, 3])
def test_slices_of_processes_give_what_one_gives(monkeypatch, targets, world):
    """Also of whole windows that overlap, whose frames several processes answer."""
    count = 40
    generator = torch.Generator().manual_seed(0)
    shape = (count, targets, 17, 3)
    predicted = torch.randn(shape, generator=generator, dtype=torch.float64)
    tracks = Tracks(torch.tensor((50.0,)), torch.tensor((count,)))

    def kept(rank, processes):
        found = motion.Motion(tracks)
        monkeypatch.setattr(motion.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(motion, "_several", lambda: processes > 1)
        for whole in torch.arange(count).split(16):
            index = torch.tensor_split(whole, processes)[rank]
            pair = pose_pair(predicted[index], torch.zeros_like(predicted[index]), None)
            pair = PosePair(*(field.flatten(0, 1) for field in pair))
            found.add(pair, SimpleNamespace(sequence=index * 0, frame=index), targets)
        return found.settle(), found

    one, _ = kept(0, 1)
    sums, found = zip(*(kept(rank, world) for rank in range(world)), strict=True)
    shares = [share._parts for share in found]

    def gather(gathered, _):
        gathered[:] = shares

    monkeypatch.setattr(motion.distributed, "get_world_size", lambda: world)
    monkeypatch.setattr(motion.distributed, "all_gather_object", gather)
    assert_close(sum(sums) + found[0].across_processes(), one)


def test_why_there_is_no_motion_is_said_once(caplog):
    _say_no_motion.cache_clear()
    caplog.set_level("INFO")
    prediction, batch = frames()
    for _ in range(3):
        scored(cut(prediction, batch, [torch.arange(13, 14)])).compute()
    assert caplog.text.count("no velocity or acceleration") == 1
