"""Poses a second of sampling and of the video context encoder, the reference form beside ours.

The setting is the paper's: 5 steps, 5 hypotheses. On a processor a second counts the time of all
threads, and the reference form is timed at the released batch as well as at the one at which it
is fastest, so that no ratio is won by a batch that its allocator suffers from. On a GPU a second
is one of the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from diffpose_forms import PAPER_LIKE, Forms, bare_products, sampling_forms, video_forms
from lifting.errors import DataError
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import VideoSize
from lifting.methods.diffpose.folded import PORTION
from lifting.methods.diffpose.network import NetworkSize
from lifting.skeleton import H36M_17
from lifting.typing import Pose2D
from sampling_precision import arithmetic, compile_networks
from timing import BenchRow, cpu_seconds, wall_seconds

POSES = 1024  # released batch
FASTEST_BATCH = 64  # of the reference form on a processor
VIDEO = VideoSize(frames=243)  # released
TOLERANCE_M = 1e-4
CHECKED = 16
REPEATS = 3
CPU = torch.device("cpu")
TEACHER, STUDENT = "diffpose sampling, 5 steps x 5", "diffpose few-step student, 1 call x 5"
MIXSTE = "mixste, windows of 243"


@dataclass(frozen=True)
class Variant:
    """How networks are run.

    Attributes:
        bf16: Products in bfloat16.
        compiled: By torch's compiler.
    """

    bf16: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        """The variant in words."""
        return ("bfloat16" if self.bf16 else "float32") + ", compiled" * self.compiled


VARIANTS = tuple(Variant(bf16, compiled) for compiled in (False, True) for bf16 in (False, True))


def cpu_rows(threads: int, config: Config = PAPER_LIKE, poses: int = POSES) -> Iterator[BenchRow]:
    """Sampling on a processor, by the teacher, and in one call as the student answers.

    Args:
        threads: Of torch, as they are set; for the notes.
        config: Steps and hypotheses.
        poses: Released batch.

    Raises:
        DataError: The two forms answer differently.
    """
    teacher, student = (sampling_forms(c, CPU) for c in (config, one_step(config)))
    apart = checked(teacher)
    uv = keypoints(poses, CPU)
    answered = {
        name: _cpu_rate(partial(_silent, forms.ours, uv), poses)
        for name, forms in ((TEACHER, teacher), (STUDENT, student))
    }
    bare = bare_products(PORTION, NetworkSize.of(config), training=False)
    least = cpu_seconds(bare, repeats=2 * CHECKED, warmup=REPEATS) / PORTION
    passes = {
        TEACHER: 1 + config.sampling_steps * config.hypotheses,
        STUDENT: 1 + config.hypotheses,
    }
    for batch in (poses, min(poses, FASTEST_BATCH)):
        reference = _cpu_rate(partial(_silent, teacher.reference, uv[:batch]), batch)
        note = (
            f"{threads} threads; reference: 5 steps, each hypothesis alone, batches of {batch}; "
            f"ours of {poses}; equal noise, answers {apart:.0e} m apart"
        )
        for name, ours in answered.items():
            wall = f"; wall, of the products alone, {1 / (least * passes[name] * reference):.1f}x"
            yield BenchRow(
                name, reference, ours, "poses/CPU-s", note + wall, higher_is_better=True
            )


def cpu_video_row(threads: int, size: VideoSize = VIDEO) -> BenchRow:
    """The video context encoder on a processor, with attention fused and spelt out.

    Args:
        threads: Of torch, as they are set; for the note.
        size: Of the encoder.

    Raises:
        DataError: The two forms answer differently.
    """
    forms = video_forms(size, CPU)
    uv = keypoints(size.frames, CPU)[None]
    _require_equal(forms.apart(uv))
    reference, ours = (
        _cpu_rate(partial(_silent, form, uv), size.frames)
        for form in (forms.reference, forms.ours)
    )
    note = f"{threads} threads; 1 window; dense layers dominate"
    return BenchRow(MIXSTE, reference, ours, "poses/CPU-s", note, higher_is_better=True)


def gpu_rows(
    device: torch.device,
    variants: Iterable[Variant] = VARIANTS,
    config: Config = PAPER_LIKE,
    size: VideoSize = VIDEO,
) -> Iterator[BenchRow]:
    """Everything on a GPU; what bfloat16 does to errors, ``experiments/studies/sampling.py`` says.

    Args:
        device: The GPU.
        variants: How ours are run; the reference form always in float32.
        config: Steps and hypotheses.
        size: Of the video context encoder.

    Raises:
        DataError: The two forms answer differently.
    """
    teacher = sampling_forms(config, device)
    checked(teacher)
    uv = keypoints(POSES, device)
    video = video_forms(size, device)
    window = keypoints(size.frames, device)[None]
    slow = _gpu_rate(partial(_silent, teacher.reference, uv), POSES, device)
    slow_video = _gpu_rate(partial(_silent, video.reference, window), size.frames, device)
    for variant in variants:
        note = f"{device}, wall clock, batch {POSES}; ours {variant}"
        for name, chosen in ((TEACHER, config), (STUDENT, one_step(config))):
            forms = sampling_forms(chosen, device)
            if variant.compiled:
                compile_networks(forms.refiner)
            ours = _gpu_rate(partial(_run, variant, forms.ours, uv), POSES, device)
            yield BenchRow(name, slow, ours, "poses/s", note, higher_is_better=True)
        call = partial(_run, variant, _compiled(video.ours, variant), window)
        ours = _gpu_rate(call, size.frames, device)
        note = f"{device}, wall clock, 1 window; ours {variant}, fused attention"
        yield BenchRow(MIXSTE, slow_video, ours, "poses/s", note, higher_is_better=True)


def one_step(config: Config) -> Config:
    """What a student's answer in one call costs: its network is the teacher's."""
    return replace(config, sampling_steps=1)


def checked(forms: Forms) -> float:
    """How far the two forms' answers to a few poses are apart, metres.

    Raises:
        DataError: Further than rounding explains.
    """
    device = next(forms.refiner.parameters()).device
    return _require_equal(forms.apart(keypoints(CHECKED, device)))


def keypoints(poses: int, device: torch.device) -> Pose2D:
    """Random 2D poses, ``(poses, joints, 2)``, screen units."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(poses, len(H36M_17), 2, generator=generator) - 0.5).to(device)


def _require_equal(apart: float) -> float:
    if not apart <= TOLERANCE_M:
        raise DataError(
            f"expected forms that answer alike to {TOLERANCE_M:g} m for equal noise, got "
            f"{apart:.2e} m; their times cannot be compared before tests/reference "
            "and lifting/methods/diffpose agree"
        )
    return apart


def _silent(form: Callable[[Tensor], Tensor], uv: Tensor) -> Tensor:
    with torch.no_grad():
        return form(uv)


def _run(variant: Variant, form: Callable[[Tensor], Tensor], uv: Tensor) -> Tensor:
    with arithmetic(uv.device, bf16=variant.bf16):
        return _silent(form, uv)


def _compiled(form: Callable[[Tensor], Tensor], variant: Variant) -> Callable[[Tensor], Tensor]:
    return torch.compile(form) if variant.compiled else form


def _cpu_rate(call: Callable[[], object], poses: int) -> float:
    return poses / cpu_seconds(call, repeats=REPEATS, warmup=0)


def _gpu_rate(call: Callable[[], object], poses: int, device: torch.device) -> float:
    def finished() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return poses / wall_seconds(finished, repeats=REPEATS, warmup=REPEATS)
