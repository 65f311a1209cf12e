"""The switches of 3DNBF. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifting.methods.settings import require

FITTING = frozenset(
    {
        "blend", "coarse", "coarse_bend", "first_steps", "fit_lr", "fit_precision", "fit_shape",
        "kappa", "mirrored", "occlusion", "second_steps", "two_sided", "weight_guess",
        "weight_pose_prior",
    }
)  # fmt: skip
"""Switches that only fitting reads: no training depends on them."""


@dataclass
class Config:
    """Configuration of 3DNBF: features of a body's volume, learned by contrast, fitted to images.

    Attributes:
        body: Kernels of the body: ``standard`` (406) or ``light`` (119).
        backbone: ``tiny``, five residual stages, or ``resnet50`` (published).
        stride: Pixels of the image to one of the feature map: 4 (published), or 2 for small
            images.
        features: Channels of a feature (published: 128).
        orientation: Coarse orientations of a limb: on a circle in the yz-plane (paper), or bins
            of its depth component (released).
        orientations: How many; 1 makes the features independent of the pose. 3 for ``z_bins3``.
        orientation_kappa: Concentration of the centres on the circle.
        kernels_per_ray: Kernels a ray looks at (released: 10).
        select: Which: those of the largest weight, the largest peak, or the nearest (released).
        mode: Weights scaled to the exact opacity, or as published.
        blur: Standard deviation of a pixel's footprint, pixels of the feature map, by which
            kernels are blurred; 0 does not (released, whose maps are five times as fine).
        head_width: Width of the networks beside the published head, which is linear in each
            joint's own part, that look at the whole person; 0 leaves them out (released).
        contrast: Softmax over the bank (released), or pairs (paper).
        temperature: Of the softmax.
        contrast_images: Images of a batch that the contrast looks at in a step, as it costs a
            third of one; 0 for all (released).
        contrast_kernels: Visible kernels of an image that the softmax looks at in a step.
        clutter: Background features that are remembered (released: 2160).
        clutter_centres: Centres of them that an image is compared with (released: 1).
        background_samples: Background pixels of an image at each step.
        background_near: What a pixel beside the body counts among them (released: 1).
        momentum: Share of a kernel's feature that a step keeps.
        guess_epochs: Epochs in which the backbone alone learns a first guess, before all else: it
            is there that the network learns which way people face, at a tenth of the cost.
        guess_lr: Learning rate of those epochs; None takes the optimiser section's.
        feature_epochs: Epochs of the features alone, before the first guess is learned too; 0
            learns both at once.
        weight_contrast: Weight of the contrast.
        weight_noise: Weight of the background's likeness to kernels.
        weight_background: Weight of the background's likeness to itself (released: 0).
        weight_parts: Weight of the body parts (released: 60, in the first stage only).
        parts_body: What a pixel of the body counts in the loss of the parts beside one of the
            background (released: 1); in small pictures thin limbs are lost without.
        weight_joints: Weight of the joints in space, metres (released: 300).
        weight_image: Weight of the joints in the image, of whose half side (released: 150).
        weight_turn: Weight of the root's rotation while the guess comes from coarse maps.
        weight_rotations: Weight of the rotation matrices (released: 60).
        weight_shape: Weight of the shape coefficients (released: 0.06).
        weight_camera: Weight of the weak-perspective camera.
        paste: Chance of a textured square over a training image (released: 0).
        gain_spread: Half the range of the random gain of each colour in training.
        occlusion: Model of occlusion when fitting: either explanation of a pixel, each as
            probable; the better one; the released soft maximum; or none.
        kappa: Concentration of the features.
        first_steps: Steps of fitting that turn and move the body.
        second_steps: Steps that bend it, too.
        fit_lr: Learning rate of fitting, radians and metres.
        fit_shape: Factor of that rate for the shape coefficients; 0 holds them (released).
        fit_precision: Of fitting. ``double`` costs 1.4 times as much on a processor; in ``single``
            the result of an image hangs on its place in the batch.
        two_sided: Fit the twin that is flipped in depth, too.
        mirrored: Fit from the guess for the mirrored picture, too, mirrored back.
        blend: Average the joints of the fits from all starts by ``exp(-objective / blend)``; 0
            takes those of the best fit (released).
        coarse: Factor of the kernels' spread in the first stage of fitting.
        coarse_bend: That in the first third of the second stage.
        weight_guess: Weight of the first guess, as a measurement with the errors of such guesses.
        weight_pose_prior: Weight of the prior of poses, beside a likelihood a pixel.
        sigma_seen: Standard error of a joint that the image shows, mm.
        sigma_hidden: That of one it does not show, mm.
    """

    body: Literal["standard", "light"] = "standard"
    backbone: Literal["tiny", "resnet50"] = "tiny"
    stride: Literal[2, 4] = 4
    features: int = 32
    orientation: Literal["vmf_yz", "z_bins3"] = "vmf_yz"
    orientations: int = 4
    orientation_kappa: float = 4.0
    kernels_per_ray: int = 12
    select: Literal["weight", "top", "front"] = "weight"
    mode: Literal["voge", "voge_renorm"] = "voge_renorm"
    blur: float = 0.3
    head_width: int = 256
    contrast: Literal["info_nce", "pairwise"] = "info_nce"
    temperature: float = 0.07
    contrast_images: int = 0
    contrast_kernels: int = 128
    clutter: int = 1024
    clutter_centres: int = 1
    background_samples: int = 10
    background_near: float = 4.0
    momentum: float = 0.9
    guess_epochs: int = 0
    guess_lr: float | None = None
    feature_epochs: int = 0
    weight_contrast: float = 1.0
    weight_noise: float = 1.0
    weight_background: float = 0.2
    weight_parts: float = 1.0
    parts_body: float = 1.0
    weight_joints: float = 300.0
    weight_image: float = 150.0
    weight_turn: float = 60.0
    weight_rotations: float = 60.0
    weight_shape: float = 0.06
    weight_camera: float = 60.0
    paste: float = 0.0
    gain_spread: float = 0.2
    occlusion: Literal["mixture", "max", "softmax", "plain"] = "mixture"
    kappa: float = 10.0
    first_steps: int = 30
    second_steps: int = 60
    fit_lr: float = 0.02
    fit_shape: float = 0.0
    fit_precision: Literal["double", "single"] = "double"
    two_sided: bool = True
    mirrored: bool = False
    blend: float = 0.0
    coarse: float = 2.0
    coarse_bend: float = 1.0
    weight_guess: float = 3e-4
    weight_pose_prior: float = 3e-4
    sigma_seen: float = 50.0
    sigma_hidden: float = 200.0

    def __post_init__(self) -> None:
        for name in ("features", "orientations", "kernels_per_ray", "clutter", "clutter_centres",
                     "background_samples", "contrast_kernels"):  # fmt: skip
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "guess_lr", self.guess_lr is None or self.guess_lr > 0, "above 0, or null")
        wanted = self.orientation != "z_bins3" or self.orientations == 3
        require(self, "orientations", wanted, "3 with method.orientation=z_bins3")
        free = ("_steps", "_epochs", "_width", "_images", "blur", "blend", "fit_shape")
        for name in vars(self):
            if name.startswith("weight_") or name.endswith(free):
                require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("temperature", "kappa", "background_near", "parts_body", "fit_lr", "coarse",
                     "coarse_bend", "sigma_seen", "sigma_hidden",
                     "orientation_kappa"):  # fmt: skip
            require(self, name, getattr(self, name) > 0, "above 0")
        for name in ("momentum", "gain_spread"):
            require(self, name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        require(self, "paste", 0 <= self.paste <= 1, "from 0 to 1")
