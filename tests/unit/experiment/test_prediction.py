from __future__ import annotations

import torch

from lifting.experiment import prediction_run
from lifting.experiment.answers import one_answer_a_frame
from lifting.experiment.prediction_run import PredictionStore


def _columns(middles, tracks, frames, stride=1):
    """Answers that tell their window in x, their place in it in y, the frame in z."""
    n = len(middles)
    steps = (torch.arange(frames) - frames // 2) * stride
    window = torch.arange(n)[:, None].expand(n, frames)
    place = torch.arange(frames).expand(n, frames)
    frame = torch.tensor(middles)[:, None] + steps
    joints = torch.stack((window, place, frame), -1).float()[:, :, None, :]
    return {
        "joints_3d": joints,
        "sigma": frame.float()[..., None],
        "hypotheses": torch.stack((joints, joints + 100), 1),
        "trajectory": joints[:, :, 0],
        "track": torch.tensor(tracks),
        "frame": torch.tensor(middles),
    }


def test_chunks_take_the_earlier_window_and_leave_repeated_frames_out():
    # Track 0 has 7 frames in windows of 5: frames 0-4 and 2-6. Track 1 has 3 frames.
    columns = _columns([2, 4, 2], [0, 0, 1], 5)
    answers = one_answer_a_frame(columns, torch.tensor([7, 3]), 1, centred=False)
    assert answers["track"].tolist() == [0] * 7 + [1] * 3
    assert answers["frame"].tolist() == [*range(7), *range(3)]
    assert answers["joints_3d"].shape == (10, 1, 1, 3)
    assert answers["joints_3d"][:, 0, 0, 0].tolist() == [0] * 5 + [1] * 2 + [2] * 3
    assert (answers["joints_3d"][:, 0, 0, 2] == answers["frame"]).all()
    assert (answers["sigma"][:, 0, 0] == answers["frame"]).all()
    assert answers["hypotheses"].shape == (10, 2, 1, 1, 3)
    assert torch.equal(answers["hypotheses"][:, 1, 0], answers["joints_3d"][:, 0] + 100)
    assert torch.equal(answers["trajectory"], answers["joints_3d"][:, :, 0])


def test_centred_windows_answer_by_their_middle():
    columns = _columns([0, 2, 4], [0, 0, 0], 5)
    answers = one_answer_a_frame(columns, torch.tensor([5]), 1, centred=True)
    assert answers["frame"].tolist() == [0, 1, 2, 3, 4]
    # Frames 1 and 3 lie as near to either window; the earlier one answers.
    assert answers["joints_3d"][:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2]


def test_stride_spreads_the_frames_of_a_window():
    columns = _columns([4], [0], 3, stride=3)
    answers = one_answer_a_frame(columns, torch.tensor([8]), 3, centred=True)
    assert answers["frame"].tolist() == [1, 4, 7]


def test_middle_frames_stay_as_they_are():
    columns = _columns([5, 1], [1, 0], 1)
    answers = one_answer_a_frame(columns, torch.tensor([2, 6]), 1, centred=True)
    assert {name: values.tolist() for name, values in answers.items()} == {
        name: values.tolist() for name, values in columns.items()
    }


def test_answers_of_all_processes_come_in_the_order_of_one(monkeypatch):
    frame = torch.arange(11)
    shares = [
        {"frame": [torch.tensor_split(batch, 3)[rank] for batch in frame.split(6)]}
        for rank in range(3)
    ]
    monkeypatch.setattr(prediction_run, "of_all", lambda mine: shares)
    store = PredictionStore()
    store.answers.columns = dict(shares[1])
    store.on_predict_end(None, None)
    assert torch.cat(store.answers.columns["frame"]).tolist() == frame.tolist()
