from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import diffpose_sampling as speed
from diffpose_forms import PAPER_LIKE, sampling_forms, video_forms
from diffpose_sampling import (
    MIXSTE,
    STUDENT,
    TEACHER,
    TOLERANCE_M,
    Variant,
    checked,
    cpu_rows,
    cpu_video_row,
    gpu_rows,
    keypoints,
    one_step,
)
from lifting.errors import DataError
from lifting.methods.diffpose.context import VideoSize
from lifting.skeleton import H36M_17
from reference.diffpose import ReferenceNetwork, reference_sampling

CPU = torch.device("cpu")
TINY = replace(PAPER_LIKE, hidden=16, layers=2, heads=2)
WINDOW = VideoSize(frames=5, width=16, layers=2, heads=2)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(speed, "REPEATS", 1)
    monkeypatch.setattr(speed, "POSES", 6)


def test_equal_noise_gives_equal_hypotheses_that_differ():
    forms = sampling_forms(TINY, CPU)
    assert len(forms.refiner.steps) == 5
    uv = keypoints(7, CPU)
    with torch.no_grad():
        found = forms.reference(uv)
    assert found.shape == (5, 7, 17, 3)
    assert found.std(dim=0)[:, 1:].min() > 1e-4
    # The network moves poses by far more than the forms are apart.
    still = sampling_forms(TINY, CPU)
    torch.nn.init.zeros_(still.refiner.denoiser.output.weight)
    assert still.apart(uv) > 100 * TOLERANCE_M
    assert forms.apart(uv) < 0.1 * TOLERANCE_M


def test_the_reference_calls_once_a_hypothesis_and_step():
    context, denoiser = (
        ReferenceNetwork(n, m, H36M_17, TINY, timed=n == 5) for n, m in ((2, 3), (5, 5))
    )
    calls, noise = [], torch.zeros(5, 1, 17, 5)
    denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    betas = torch.full((51,), 1e-3)
    reference_sampling(context, denoiser, keypoints(3, CPU), betas, range(0, 50, 10), noise=noise)
    assert [t.tolist() for _, t in calls] == [[n] * 3 for n in (40, 30, 20, 10, 0)] * 5
    assert all(x.shape == (3, 17, 5) for x, _ in calls)


def test_forms_that_differ_are_not_timed():
    forms = sampling_forms(TINY, CPU)
    with torch.no_grad():
        forms.refiner.denoiser.output.bias.add_(0.05)
    with pytest.raises(DataError, match="expected forms that answer alike"):
        checked(forms)


def test_a_processor_gets_rows_for_both_batches_of_the_reference(monkeypatch):
    monkeypatch.setattr(speed, "FASTEST_BATCH", 2)
    found = list(cpu_rows(1, TINY, poses=4))
    assert [row.name for row in found] == [TEACHER, STUDENT] * 2
    assert [f"batches of {n};" in row.note for row, n in zip(found, (4, 4, 2, 2), strict=True)]
    for teacher, student in (found[:2], found[2:]):
        assert teacher.reference == student.reference
        assert student.ours > teacher.ours
        assert teacher.ratio == teacher.ours / teacher.reference
        assert "1 threads" in teacher.note


def test_a_student_is_called_once():
    forms = sampling_forms(one_step(TINY), CPU)
    seen = []
    forms.refiner.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    forms.ours(keypoints(3, CPU))
    assert len(seen) == 1


def test_video_forms_answer_alike():
    assert video_forms(WINDOW, CPU).apart(keypoints(10, CPU).unflatten(0, (2, 5))) < 1e-5
    row = cpu_video_row(1, WINDOW)
    assert row.name == MIXSTE
    assert row.ratio > 0


def test_a_gpu_gets_rows_for_every_variant():
    variants = (Variant(), Variant(bf16=True))
    found = list(gpu_rows(CPU, variants, TINY, WINDOW))
    assert [row.name for row in found] == [TEACHER, STUDENT, MIXSTE] * 2
    assert ["float32" in row.note for row in found] == [True] * 3 + [False] * 3
    assert len({row.reference for row in found if row.name != MIXSTE}) == 1
