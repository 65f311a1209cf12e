"""What fitting minimises: minus the log likelihood of a feature map, and the priors.

Observed and rendered features follow von Mises-Fisher distributions on the sphere, of one
concentration for body and background, so up to constants a log density is the concentration times
a cosine. A pixel of the body may be explained by the background instead: that is the model of
occlusion.

Source: 3DNBF, arXiv 2308.10123, section 3.4, equations of the occlusion-robust likelihood; the
released code for ``softmax`` and ``plain``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from scipy.special import ive
from torch import Tensor
from torch.nn import functional

from lifting.body.kernel_body import KernelBody, PosedKernels
from lifting.errors import ConfigError
from lifting.methods.nbf.body_pose import POSE, BodyLatents, BodyPose, GuessErrors, PosePrior
from lifting.methods.nbf.features import Orientation, expected_features
from lifting.methods.nbf.render import RenderOptions, normalise_features, render
from lifting.methods.nbf.selection import RayGrid
from lifting.tto.contract import Evaluation, Latents
from lifting.typing import PerSample

Occlusion = Literal["mixture", "max", "softmax", "plain"]
KAPPA = 10.0
RELEASED_TEMPERATURE = 0.1
_LEAST_SCORE = 1e-8
_WEIGHT_LIMIT = 1e-2  # of the angles beyond their limits
_WEIGHT_SHAPE = 1e-4  # of the squared shape coefficients
# Cosine with its rendered feature from which on a pixel shows the body, if it explains it better.
_LEAST_COSINE = 0.3


class Scores(NamedTuple):
    """Cosines of an observed feature map.

    Attributes:
        body: With the rendered features, ``(batch, pixels)``.
        clutter: With the nearest background feature, ``(batch, pixels)``.
    """

    body: Tensor
    clutter: Tensor


def vmf_log_normaliser(kappa: float, channels: int) -> float:
    """Log of the normaliser of the von Mises-Fisher density on the sphere.

    Args:
        kappa: Concentration, above 0.
        channels: Dimension of the unit vectors.

    Raises:
        ConfigError: A concentration that is not above 0.
    """
    if not kappa > 0:
        raise ConfigError(f"expected a concentration above 0, got {kappa}; change method.kappa")
    order = channels / 2 - 1
    bessel = math.log(float(ive(order, kappa))) + kappa
    return order * math.log(kappa) - channels / 2 * math.log(2 * math.pi) - bessel


def vmf_log_density(x: Tensor, mean: Tensor, kappa: float) -> Tensor:
    """Log density of unit vectors ``(*batch, channels)`` around unit means, ``(*batch,)``."""
    return kappa * (x * mean).sum(-1) + vmf_log_normaliser(kappa, x.shape[-1])


def cosine_scores(observed: Tensor, rendered: Tensor, clutter: Tensor) -> Scores:
    """Cosines of the observed map with the rendered one and with the background.

    Args:
        observed: Unit features, ``(batch, pixels, channels)``.
        rendered: Unit features, ``(batch, pixels, channels)``, zero where there is no body.
        clutter: Background features, ``(count, channels)``, unit.
    """
    return Scores((observed * rendered).sum(-1), clutter_score(observed, clutter))


def clutter_score(observed: Tensor, clutter: Tensor) -> Tensor:
    """Cosine with the nearest background feature, ``(batch, pixels)``; no pose changes it."""
    return (observed @ clutter.T).amax(-1)


def negative_log_likelihood(
    scores: Scores,
    opacity: Tensor,
    occlusion: Occlusion = "mixture",
    kappa: float = KAPPA,
    temperature: float = 1.0,
) -> PerSample:
    """Sum over the pixels of minus the log likelihood, up to constants.

    Args:
        scores: Cosines.
        opacity: Share of a pixel that is body, ``(batch, pixels)``, 0 to 1, or a mask.
        occlusion: Of a pixel of the body: either explanation, each as probable (``mixture``); the
            better one (``max``); a maximum that is soft with the released temperature, mapped to
            0 to 1 (``softmax``); the body's alone (``plain``).
        kappa: Concentration.
        temperature: Of the mixture; towards 0 it becomes the maximum.

    Returns:
        ``(batch,)``.
    """
    body, rest = kappa * scores.body, kappa * scores.clutter
    if occlusion == "mixture":
        both = torch.logaddexp(body / temperature, rest / temperature)
        inside = temperature * (both - math.log(2))
    elif occlusion == "max":
        inside = torch.maximum(body, rest)
    elif occlusion == "softmax":
        inside = kappa * (2 * soft_maximum(scores) - 1)
    else:
        inside = body
    return -(opacity * inside + (1 - opacity) * rest).sum(-1)


def released_loss(scores: Scores, mask: Tensor, *, robust: bool) -> PerSample:
    """The loss of the released code: one minus a mean over all pixels.

    Args:
        scores: Cosines, zero for the body outside the mask.
        mask: Pixels that the body was rendered to, ``(batch, pixels)``.
        robust: The soft maximum of both scores; else the body's inside the mask.

    Returns:
        ``(batch,)``.
    """
    if robust:
        return 1 - soft_maximum(scores).mean(-1)
    inside = mask.to(scores.body.dtype)
    return 1 - (inside * scores.body + (1 - inside) * scores.clutter).mean(-1)


def soft_maximum(scores: Scores) -> Tensor:
    """Mean of both scores, mapped to 0 to 1, by their softmax: the released occlusion model.

    Args:
        scores: Cosines, ``(batch, pixels)`` each.

    Returns:
        ``(batch, pixels)``.
    """
    body = ((1 + scores.body) / 2).clamp(_LEAST_SCORE, 1)
    both = torch.stack((body, (1 + scores.clutter) / 2), dim=-1)
    return (both * (both / RELEASED_TEMPERATURE).softmax(-1)).sum(-1)


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
        shape: Factor of the learning rate of the shape; 0 holds it (released).
        weight_pose: Weight of the pose prior, beside a likelihood per pixel.
        weight_guess: Weight of the first guess, beside a likelihood per pixel.
        coarse: Factor of the kernels' spread while the body turns and moves.
        coarse_bend: That in the first third of the steps that bend it; 1 is none of them.
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
    shape: float = 0.0
    weight_pose: float = 3e-4
    weight_guess: float = 3e-4
    coarse: float = 2.0
    coarse_bend: float = 1.0
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
        energy = energy + _WEIGHT_LIMIT * self.prior.excess(latents[POSE])
        energy = energy + _WEIGHT_SHAPE * body.betas.square().sum(-1)
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
        least = explained.scores.clutter.clamp(min=_LEAST_COSINE)
        seen = explained.scores.body > least
        both = torch.stack((found.opacity * seen, found.opacity), dim=1)
        by_kernel = both @ found.dense()  # (batch, 2, kernels)
        joints = len(model.body.parents)
        member = functional.one_hot(model.body.part, joints).to(by_kernel)
        shown, covered = (by_kernel @ member).unbind(1)
        return shown / covered.clamp(min=1e-3)
