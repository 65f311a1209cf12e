"""How well a rendered feature map explains an observed one, each sample on its own.

Both follow von Mises-Fisher distributions on the sphere, of one concentration for body and
background, so up to constants a log density is the concentration times a cosine. A pixel of the
body may be explained by the background instead: that is the model of occlusion.

Source: 3DNBF, arXiv 2308.10123, section 3.4, equations of the occlusion-robust likelihood; the
released code for ``softmax`` and ``plain``.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from scipy.special import ive
from torch import Tensor

from lifting.errors import ConfigError
from lifting.typing import PerSample

Occlusion = Literal["mixture", "max", "softmax", "plain"]
KAPPA = 10.0
RELEASED_TEMPERATURE = 0.1
_LEAST_SCORE = 1e-8


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
    """Mean of both scores, mapped to 0 to 1, by their softmax: the released occlusion model."""
    body = ((1 + scores.body) / 2).clamp(_LEAST_SCORE, 1)
    both = torch.stack((body, (1 + scores.clutter) / 2), dim=-1)
    return (both * (both / RELEASED_TEMPERATURE).softmax(-1)).sum(-1)


def visible_map(scores: Scores, opacity: Tensor) -> Tensor:
    """Pixels of the body that the body explains better than the background, bool."""
    return (scores.body > scores.clutter) & (opacity > 0.5)
