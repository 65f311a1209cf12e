"""Pictures of the fits of a trained 3DNBF run, clean and behind a square."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lifting.batch import PoseBatch
from lifting.errors import ConfigError
from lifting.methods.nbf.drawing import save_fits
from lifting.methods.nbf.module import Module
from lifting.methods.nbf.pictures import FitView
from lifting.studies.frames import test_frames
from lifting.studies.measure import choose_device, load_trained
from lifting.studies.plan import Plan, Run


def draw_fits(run: Run, plan: Plan, what: FitView) -> tuple[Path, ...]:
    """Fit bodies to some test images of a run, and draw how it went.

    Args:
        run: The trained run.
        plan: How many images, the seed of their choice, the device, and the folder.
        what: What is shown; as many people as the plan has images.

    Returns:
        The sheet and the film.

    Raises:
        ConfigError: The run is of another method.
    """
    device = choose_device(plan.device)
    module = load_trained(run, device)
    if not isinstance(module, Module):
        raise ConfigError(f"expected a run of nbf, got {run.folder} of {run.label}; name another")
    frames = test_frames(run, plan, run.config.data.eval_every)
    batch: PoseBatch = next(iter(frames.batches(plan.batch, device)))
    pictures = module.fit_pictures(batch, replace(what, people=len(batch)))
    return save_fits(pictures, module.skeleton, plan.output)
