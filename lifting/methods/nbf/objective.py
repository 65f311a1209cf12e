"""What fitting minimises: minus the log likelihood of a feature map, and the priors.

Source: 3DNBF, arXiv 2308.10123, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lifting.body.kernel_body import KernelBody, PosedKernels
from lifting.methods.nbf.body_latents import POSE, BodyLatents
from lifting.methods.nbf.likelihood import (
    KAPPA,
    Occlusion,
    Scores,
    clutter_score,
    negative_log_likelihood,
)
from lifting.methods.nbf.orientation import Orientation, expected_features
from lifting.methods.nbf.priors import GuessErrors, PosePrior
from lifting.methods.nbf.render import RenderOptions, normalise_features, render
from lifting.methods.nbf.rotations import BodyPose
from lifting.methods.nbf.selection import RayGrid
from lifting.tto.contract import Latents
from lifting.tto.objective import Evaluation


@dataclass(frozen=True)
class FitOptions:
    """How a body is fitted.

    Attributes:
        occlusion: Model of occlusion.
        kappa: Concentration of the features.
        first_steps: Steps that turn and move the body.
        second_steps: Steps that bend it, too.
        lr: Learning rate, radians and metres.
        two_sided: Optimise the twin that is flipped in depth, too.
        blend: The joints are the mean over the fits from all starts, each weighted by
            ``exp(-objective / blend)``; 0 takes those of the best fit (released).
        second_place: Factor of the learning rate of the place in the second stage; 0 holds it
            (released).
        shape: Factor of the learning rate of the shape; 0 holds it (released).
        weight_pose: Weight of the pose prior, beside a likelihood per pixel.
        weight_guess: Weight of the first guess, beside a likelihood per pixel.
        weight_limit: Weight of the angles beyond their limits.
        weight_shape: Weight of the squared shape coefficients.
        coarse: Factor of the kernels' spread while the body turns and moves.
        coarse_bend: That in the first third of the steps that bend it; 1 is none of them.
        tolerance: Stop an image whose objective fell by less than this part in a step.
        least_cosine: Cosine with its rendered feature from which on a pixel shows the body, if
            it is the better explanation.
        least_evidence: Share of the body's pixels that it must explain better than the
            background does; with less an image counts as not showing it.
    """

    occlusion: Occlusion = "mixture"
    kappa: float = KAPPA
    first_steps: int = 30
    second_steps: int = 60
    lr: float = 0.02
    two_sided: bool = True
    blend: float = 0.0
    second_place: float = 1.0
    shape: float = 0.0
    weight_pose: float = 3e-4
    weight_guess: float = 3e-4
    weight_limit: float = 1e-2
    weight_shape: float = 1e-4
    coarse: float = 2.0
    coarse_bend: float = 1.0
    tolerance: float = 0.0
    least_cosine: float = 0.3
    least_evidence: float = 0.1


@dataclass(frozen=True)
class FitModel:
    """What is the same for all images; body and features in the precision that is computed in.

    Attributes:
        body: The body.
        bank: Kernel features, ``(orientations, kernels, channels)``.
        clutter: Background features, ``(count, channels)``.
        orientation: Coarse orientations of the limbs.
        prior: Of the joints' rotation vectors.
        render: How to render.
        options: How to fit.
        errors: Of the first guess.
    """

    body: KernelBody
    bank: Tensor
    clutter: Tensor
    orientation: Orientation
    prior: PosePrior
    render: RenderOptions = field(default_factory=RenderOptions)
    options: FitOptions = field(default_factory=FitOptions)
    errors: GuessErrors = field(default_factory=GuessErrors)


class Explained(NamedTuple):
    """A body in an image.

    Attributes:
        kernels: Posed.
        scores: Cosines of the pixels.
        opacity: ``(batch, rays)``.
        behind: Kernels behind the camera, ``(batch,)``.
    """

    kernels: PosedKernels
    scores: Scores
    opacity: Tensor
    behind: Tensor


class FeatureObjective:
    """Minus the log likelihood of feature maps, a pixel, and the priors; one number an image.

    Args:
        model: What all images share.
        observed: Unit features, ``(batch, rays, channels)``.
        grid: The rays.
        start: Where the latents start.
        coarse: Factor of the kernels' spread.
        guess: The first guess; None where that is the start.
    """

    def __init__(
        self,
        model: FitModel,
        observed: Tensor,
        grid: RayGrid,
        start: BodyPose,
        coarse: float = 1.0,
        guess: BodyPose | None = None,
    ) -> None:
        self.model, self.coarse = model, coarse
        self.observed = observed = observed.to(model.bank)
        self.grid, self.start = grid.to(observed), start.to(observed)
        self.guess = self.start if guess is None else guess.to(observed)
        self.latents = BodyLatents.of_body(model.body, fit_shape=model.options.shape > 0)
        self.clutter = clutter_score(observed, model.clutter)
        self.prior = model.prior.of_joints(self.latents.joints).to(observed)

    def explain(self, body: BodyPose) -> Explained:
        """Render a body and compare it with the features."""
        model = self.model
        kernels = model.body.kernels(*body)
        weights = model.orientation.weights(kernels.limbs)
        features = expected_features(weights, model.body.limb, model.bank)
        precisions = kernels.precisions / self.coarse**2
        found = render(kernels.means, precisions, self.grid, model.render)
        rendered = normalise_features(found.composite(features))
        body_score = (self.observed * rendered).sum(-1)
        return Explained(kernels, Scores(body_score, self.clutter), found.opacity, found.behind)

    def __call__(self, latents: Latents) -> Evaluation:
        """The objective at some latents, as the optimiser wants it."""
        options = self.model.options
        body = self.latents.decode(latents, self.start)
        explained = self.explain(body)
        unlikely = negative_log_likelihood(
            explained.scores, explained.opacity, options.occlusion, options.kappa
        )
        energy = unlikely / (options.kappa * self.observed.shape[1])
        energy = energy + options.weight_pose * self.prior.distance(latents[POSE])
        energy = energy + options.weight_guess * self.model.errors.distance(body, self.guess)
        energy = energy + options.weight_limit * self.prior.excess(latents[POSE])
        energy = energy + options.weight_shape * body.betas.square().sum(-1)
        joints = explained.kernels.joints_17[:, None]
        return Evaluation(
            energy=energy,
            pose=joints - joints[:, :, :1],
            log_sigma=torch.zeros_like(joints[..., 0]),
            root=joints[:, :, :1],
            residual=torch.zeros_like(energy),
            behind=explained.behind,
        )

    @torch.no_grad()
    def evidence(self, body: BodyPose) -> Tensor:
        """Share of each joint's kernels that the image shows, ``(batch, joints)``, 0 to 1.

        A pixel counts where the body explains it well, and better than the background; a kernel
        by its weight in the pixels.
        """
        model = self.model
        kernels = model.body.kernels(*body)
        found = render(kernels.means, kernels.precisions, self.grid, model.render)
        explained = self.explain(body)
        least = explained.scores.clutter.clamp(min=model.options.least_cosine)
        seen = explained.scores.body > least
        both = torch.stack((found.opacity * seen, found.opacity), dim=1)
        by_kernel = both @ found.dense()  # (batch, 2, kernels)
        joints = len(model.body.parents)
        member = functional.one_hot(model.body.part, joints).to(by_kernel)
        shown, covered = (by_kernel @ member).unbind(1)
        return shown / covered.clamp(min=1e-3)
