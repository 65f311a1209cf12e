"""The whole method without Lightning: network, bank and body; its losses, and fitting.

Millimetres and pixels cross its border; inside, features are of unit length.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lifting.batch import PoseBatch, flip_batch
from lifting.body.ellipsoid import EllipsoidBody
from lifting.methods.nbf.body_pose import BodyPose, PosePrior, mirror_sideways, six_of_matrix
from lifting.methods.nbf.config import Config
from lifting.methods.nbf.contrast import (
    ContrastOptions,
    Observed,
    Rows,
    background_contrast,
    background_pixels,
    feature_nll,
    noise_regulariser,
    observed_features,
    pairwise_background,
    pairwise_kernels,
    pairwise_orientations,
    part_loss,
    pixel_features,
    sampled_info_nce,
)
from lifting.methods.nbf.crop import BodyLabels, CropView, network_images
from lifting.methods.nbf.features import FeatureBank, Orientation
from lifting.methods.nbf.image_network import Estimate, Guess, PoseHead, make_extractor
from lifting.methods.nbf.objective import FitModel, FitOptions
from lifting.methods.nbf.render import RenderOptions, render
from lifting.nn.units import MM_PER_METRE
from lifting.skeleton import H36M_17


class Answer(NamedTuple):
    """What the network makes of images.

    Attributes:
        features: Unit vectors, ``(batch, rays, channels)``.
        estimate: First guess of the body.
    """

    features: Tensor
    estimate: Estimate


class Starts(NamedTuple):
    """What fitting starts from.

    Attributes:
        features: Of the images, ``(batch, rays, channels)``.
        bodies: The first guess, then that for the mirrored image where it is asked for.
    """

    features: Tensor
    bodies: tuple[BodyPose, ...]


class Contrast(NamedTuple):
    """What a step learns features from.

    Attributes:
        observed: Features of the kernels.
        labels: Orientation of each kernel, ``(batch, kernels)`` int64.
        background: Features of background pixels, ``(batch, count, channels)``.
    """

    observed: Observed
    labels: Tensor
    background: Tensor


class NeuralBody(nn.Module):
    """Extractor, head, bank and body.

    Args:
        config: The switches.
        seed: Of the bank's first rows.
    """

    def __init__(self, config: Config, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.body = EllipsoidBody(config.body)
        self.extractor = make_extractor(config.backbone, config.features, config.stride)
        self.head = PoseHead(
            self.extractor.width,
            len(self.body.parents),
            self.body.shape_count,
            self.extractor.coarse_channels,
            config.head_width,
        )
        self.bank = FeatureBank(
            config.orientations, self.body.kernel_count, config.features, config.clutter,
            config.momentum, seed,
        )  # fmt: skip
        self.orientation = Orientation(
            config.orientation, config.orientations, config.orientation_kappa
        )
        self.render = RenderOptions(
            config.kernels_per_ray, config.select, config.mode, blur=config.blur
        )

    def forward(self, batch: PoseBatch, gain: Tensor | None = None) -> Answer:
        """Features and first guess of a batch of images.

        Args:
            batch: With images.
            gain: Factor of each colour, ``(batch, 3)``.
        """
        found = self.extractor(network_images(batch, gain))
        return Answer(found.features, self.head(found.decoded, found.coarse))

    @torch.no_grad()
    def guess(self, batch: PoseBatch) -> tuple[Tensor, BodyPose]:
        """Features of a batch of images, and the first guesses of the bodies in camera frames.

        Returns:
            Unit vectors, ``(batch, rays, channels)``, and the bodies.

        Raises:
            DataError: The batch has no images.
        """
        view = CropView.of_batch(batch)
        answer = self(batch)
        return answer.features, answer.estimate.guess.body(view)

    def starts(self, batch: PoseBatch) -> Starts:
        """Features and guesses of a batch of images, for a fit.

        What harms the guess for an image, be it that something stands before the head, harms that
        for the mirrored one less often (ours); which of them is right the features tell.
        """
        features, first = self.guess(batch)
        if not self.config.mirrored:
            return Starts(features, (first,))
        _, other = self.guess(flip_batch(batch, H36M_17))
        return Starts(features, (first, mirror_sideways(other, self.body.mirror)))

    def coarse_guess(self, batch: PoseBatch, gain: Tensor | None = None) -> Guess:
        """First guess from the backbone alone, at a fraction of the cost.

        Args:
            batch: With images.
            gain: Factor of each colour, ``(batch, 3)``.
        """
        return self.head.coarse(self.extractor.coarse(network_images(batch, gain)))

    def contrast(
        self, features: Tensor, labels: BodyLabels, view: CropView, generator: torch.Generator
    ) -> Contrast:
        """Features that the first images show of each kernel, and of the background.

        Args:
            features: ``(batch, rays, channels)``.
            labels: The bodies.
            view: Their crops.
            generator: Draws background pixels, on the features' device.
        """
        config = self.config
        count = config.contrast_images or len(features)
        features, labels, view = features[:count], labels.first(count), view.first(count)
        background = labels.parts < 0
        with torch.no_grad():
            kernels = self.body.kernels(*labels.pose)
            grid = view.grid(config.stride)
            rendering = render(kernels.means, kernels.precisions, grid, self.render)
            pixels = background_pixels(
                background, config.background_samples, generator, config.background_near
            )
            limb_labels = self.orientation.labels(kernels.limbs)
        return Contrast(
            observed_features(features, rendering, background.flatten(1)),
            limb_labels[:, self.body.limb],
            pixel_features(features, pixels),
        )

    def feature_losses(self, contrast: Contrast, generator: torch.Generator) -> dict[str, Tensor]:
        """Terms that tell features apart, weighted, each of shape ``()``.

        Args:
            contrast: What the step learns from.
            generator: Draws kernels, on the features' device.
        """
        config = self.config
        observed, visible = contrast.observed
        bank, clutter = self.bank.features.clone(), self.bank.clutter.clone()
        if config.contrast == "info_nce":
            options = ContrastOptions(config.temperature)
            rows = Rows(bank, clutter, self.body.adjacency, options)
            count = config.contrast_kernels
            term = sampled_info_nce(observed, visible, contrast.labels, rows, count, generator)
        else:
            term = pairwise_kernels(observed, visible)
            term = term + pairwise_background(observed, visible, contrast.background)
            term = term + pairwise_orientations(observed, visible, contrast.labels)
            term = term + feature_nll(observed, visible, contrast.labels, bank, 1.0)
        noise = noise_regulariser(contrast.background, bank)
        centres = self.bank.background(config.clutter_centres)
        apart = background_contrast(contrast.background, bank, centres, config.temperature)
        return {
            "contrast": config.weight_contrast * term,
            "noise": config.weight_noise * noise,
            "background": config.weight_background * apart,
        }

    def part_losses(self, estimate: Estimate, labels: BodyLabels) -> dict[str, Tensor]:
        """Term of the body parts, weighted, of shape ``()``."""
        config = self.config
        term = part_loss(estimate.parts, labels.parts, config.parts_body)
        return {"parts": config.weight_parts * term}

    def body_losses(self, guess: Guess, labels: BodyLabels, view: CropView) -> dict[str, Tensor]:
        """Terms of the first guess, weighted; squared errors, each of shape ``()``."""
        config, true = self.config, labels.pose
        body = guess.body(view)
        joints = self.body.joints(*body).joints
        with torch.no_grad():
            wanted = self.body.joints(*true).joints
        centred, target = ((j - j[:, :1]) / MM_PER_METRE for j in (joints, wanted))
        terms = {
            "joints": (config.weight_joints, centred, target),
            "image": (config.weight_image, view.project(joints), view.project(wanted)),
            "rotations": (config.weight_rotations, body.rotations, true.rotations),
            "shape": (config.weight_shape, body.betas, true.betas),
            "camera": (config.weight_camera, guess.camera, view.camera(true.translation)),
        }
        return {name: w * functional.mse_loss(a, b) for name, (w, a, b) in terms.items()}

    def coarse_losses(self, guess: Guess, labels: BodyLabels, view: CropView) -> dict[str, Tensor]:
        """Terms of the first guess from coarse maps, weighted squared errors of shape ``()``.

        The rotations are compared before they are made ones: their squared error then has its
        minimum at the mean, which is short while the network knows nothing, and the way people
        face is learned as fast as in a regression of it alone.
        """
        config, true = self.config, labels.pose
        six = six_of_matrix(true.rotations)
        terms = {
            "turn": (config.weight_turn, guess.six[:, 0], six[:, 0]),
            "rotations": (config.weight_rotations, guess.six, six),
            "shape": (config.weight_shape, guess.betas, true.betas),
            "camera": (config.weight_camera, guess.camera, view.camera(true.translation)),
        }
        return {name: w * functional.mse_loss(a, b) for name, (w, a, b) in terms.items()}

    def learn(self, contrast: Contrast) -> None:
        """Move the bank towards what a step saw, after its losses were computed."""
        observed = contrast.observed
        self.bank.update(observed.features.detach(), observed.visible, contrast.labels)
        self.bank.remember(contrast.background.detach().flatten(0, 1))

    def fit_model(self) -> FitModel:
        """What fitting needs to know."""
        config = self.config
        options = FitOptions(
            occlusion=config.occlusion,
            kappa=config.kappa,
            first_steps=config.first_steps,
            second_steps=config.second_steps,
            lr=config.fit_lr,
            two_sided=config.two_sided,
            blend=config.blend,
            weight_pose=config.weight_pose_prior,
            weight_guess=config.weight_guess,
            shape=config.fit_shape,
            coarse=config.coarse,
            coarse_bend=config.coarse_bend,
        )
        dtype = torch.float64 if config.fit_precision == "double" else torch.float32
        return FitModel(
            body=deepcopy(self.body).to(dtype),
            bank=self.bank.features.to(dtype),
            clutter=self.bank.background(config.clutter_centres).to(dtype),
            orientation=self.orientation,
            prior=PosePrior.of_h36m(),
            render=self.render,
            options=options,
        )
