"""Cost of DiffPose: a training step, sampling, the video context encoder; beside the released."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from diffpose_forms import bare_products
from diffpose_sampling import cpu_rows, cpu_video_row, gpu_rows
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.diffusion import (
    add_noise,
    antithetic_steps,
    beta_schedule,
    cumulative_signal,
    ddim,
    signal_at,
)
from lifting.methods.diffpose.network import Denoiser, NetworkSize
from lifting.nn.threads import torch_threads
from lifting.skeleton import H36M_17
from reference.diffpose import ReferenceNetwork
from timing import BenchRow, cpu_seconds

CHANNELS = 5
TRAIN_BATCH = 256
SAMPLE_BATCH = 1024
SAMPLE_STEPS = (0, 12)
STEPS = 51
CLIP = 1.0
BETAS = (1e-4, 1e-3)
REPEATS = 7
WARMUP = 3
THREADS = (1, 2)


def rows() -> Iterator[BenchRow]:
    """Processor seconds and poses a second of the released form and of ours, float32.

    Where there is a GPU, also poses a second on it, in other precisions and compiled too.
    """
    torch.manual_seed(0)
    ours = Denoiser(CHANNELS, CHANNELS, H36M_17, NetworkSize())
    reference = ReferenceNetwork(CHANNELS, CHANNELS, H36M_17, Config(), timed=True)
    reference.load_state_dict(ours.state_dict())
    for threads in THREADS:
        with torch_threads(threads):
            for name, batch, build in (
                ("diffpose train step", TRAIN_BATCH, training_step),
                ("diffpose 2-step sampling", SAMPLE_BATCH, sampling),
            ):
                slow, fast = (
                    cpu_seconds(build(n, batch, tuned=n is ours), repeats=REPEATS, warmup=WARMUP)
                    for n in (reference, ours)
                )
                bare = bare_products(batch, NetworkSize(), training=build is training_step)
                calls = 1 if build is training_step else len(SAMPLE_STEPS)
                least = calls * cpu_seconds(bare, repeats=REPEATS, warmup=WARMUP)
                wall = f"wall, of the products alone, {slow / least:.1f}x"
                note = f"batch {batch}, {threads} threads; {wall}"
                yield BenchRow(name, slow, fast, "CPU-s", note)
            yield from cpu_rows(threads)
            yield cpu_video_row(threads)
    if torch.cuda.is_available():
        yield from gpu_rows(torch.device("cuda"))


def training_step(network: nn.Module, batch: int, *, tuned: bool) -> Callable[[], object]:
    """One optimiser step of the released loss, as a call.

    Args:
        network: The denoiser in either form.
        batch: Samples.
        tuned: Take the fused optimiser.
    """
    pose = torch.randn(batch, len(H36M_17), CHANNELS)
    signal = cumulative_signal(beta_schedule("linear", *BETAS, STEPS))
    network.train()
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=tuned)

    def step() -> None:
        noise = torch.randn_like(pose)
        t = antithetic_steps(len(pose), STEPS)
        answer = network(add_noise(pose, noise, signal_at(signal, t)), t.float())
        loss = (noise - answer).square().sum(dim=(1, 2)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()

    return step


def sampling(network: nn.Module, batch: int, *, tuned: bool) -> Callable[[], object]:
    """Two DDIM steps over a batch, as a call.

    Args:
        network: The denoiser in either form.
        batch: Samples.
        tuned: Embed the step once instead of once a sample.
    """
    pose = torch.randn(batch, len(H36M_17), CHANNELS)
    signal = cumulative_signal(beta_schedule("linear", *BETAS, STEPS))
    network.eval()
    size = 1 if tuned else batch

    def sample() -> Tensor:
        with torch.no_grad():
            path = ddim(lambda x, t: network(x, t.expand(size)), pose, SAMPLE_STEPS, signal)
        return path.states[-1]

    return sample
