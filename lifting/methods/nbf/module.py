"""3DNBF under Lightning: training in two stages, prediction, and fitting at test time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lifting.batch import PoseBatch, Prediction, root_relative
from lifting.data.sampler import stream
from lifting.errors import ConfigError
from lifting.geometry.camera import project
from lifting.methods.base import LiftingModule
from lifting.methods.lifter import refused_skeleton
from lifting.methods.nbf.config import FITTING, Config
from lifting.methods.nbf.crop import (
    BACKGROUND,
    BodyLabels,
    CropView,
    at_cells,
    body_labels,
    draw_squares,
    draw_textures,
)
from lifting.methods.nbf.drawing import FitPicture
from lifting.methods.nbf.fitting import FittedBody, fit_bodies
from lifting.methods.nbf.image_network import COARSEST
from lifting.methods.nbf.network import NeuralBody
from lifting.methods.nbf.objective import FeatureObjective
from lifting.methods.nbf.pictures import FitPictures, FitView, fit_pictures
from lifting.methods.settings import ModuleSettings, Stage
from lifting.nn.expected_error import LENGTH_PER_AXIS
from lifting.skeleton import H36M_17
from lifting.tto.adapter import frozen
from lifting.tto.config import TtoConfig
from lifting.tto.contract import Status, TtoResult
from lifting.typing import PerJoint, Pose3D

GUESS, FEATURES = "guess", "features"


class Module(LiftingModule):
    """Trains the features of a body's volume, guesses bodies, and fits them to images.

    Args:
        config: The switches.
        settings: What the run gives to every method.

    Raises:
        ConfigError: Windows of several frames, another skeleton than the body's, or pictures that
            the backbone cannot halve five times.
    """

    reads_pictures = True
    config: Config

    def __init__(self, config: Config, settings: ModuleSettings) -> None:
        super().__init__(config, settings)
        if self.skeleton != H36M_17:
            body = f"the skeleton {H36M_17.name}, which 3DNBF's body has"
            raise refused_skeleton(body, self.skeleton)
        if settings.frames != 1:
            raise ConfigError(
                f"expected data.frames 1 with 3DNBF, which fits a body to one picture, got "
                f"{settings.frames}; set data.frames=1"
            )
        if settings.image_size is not None and settings.image_size % COARSEST:
            raise ConfigError(
                f"expected pictures of a side that is a multiple of {COARSEST}, got "
                f"{settings.image_size} pixels; change the size in data.images or "
                "data.image_folder"
            )
        self.network = NeuralBody(config, settings.seed)

    def describe(self) -> dict[str, Any]:
        """What a record shall say: how bodies are fitted where test-time optimisation is on."""
        fitting = {name: getattr(self.config, name) for name in sorted(FITTING)}
        return super().describe() | {"fitting": fitting}

    @classmethod
    def uses_camera(cls, config: Config) -> bool:
        """Place and evidence of a body are read in the crop as a camera."""
        return True

    def stages(self) -> tuple[Stage, ...]:
        """The first guess from coarse maps, the features alone, each if asked for; then all."""
        config = self.config
        guess = Stage(GUESS, config.guess_epochs, config.guess_lr)
        features = Stage(FEATURES, config.feature_epochs)
        return (*(stage for stage in (guess, features) if stage.epochs), Stage("train"))

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Losses of the stage; the bank moves afterwards."""
        network, view = self.network, CropView.of_batch(batch)
        labels = body_labels(batch, network.body.mirror, self.config.stride)
        draws = stream(self.settings.seed, self.current_epoch, batch_idx, self.global_rank)
        spread = self.config.gain_spread
        gain = 1 + spread * (2 * torch.rand(len(batch), 3, generator=draws) - 1)
        gain = gain.to(view.focal)
        batch, labels = self._pasted(batch, labels, draws)
        if self.stage.name == GUESS:
            guess = network.coarse_guess(batch, gain)
            return self.log_losses(network.coarse_losses(guess, labels, view), batch)
        answer = network(batch, gain)
        seed = int(torch.randint(2**31, (), generator=draws))
        generator = torch.Generator(answer.features.device).manual_seed(seed)
        contrast = network.contrast(answer.features, labels, view, generator)
        losses = network.feature_losses(contrast, generator)
        losses |= network.part_losses(answer.estimate, labels)
        if self.stage.name != FEATURES:
            losses |= network.body_losses(answer.estimate.guess, labels, view)
        network.learn(contrast)
        return self.log_losses(losses, batch)

    def _pasted(
        self, batch: PoseBatch, labels: BodyLabels, draws: torch.Generator
    ) -> tuple[PoseBatch, BodyLabels]:
        """The same with squares before some of the people."""
        chance, stride = self.config.paste, self.config.stride
        if not chance:
            return batch, labels
        assert batch.image is not None
        count, side, device = len(batch), int(batch.image.shape[-1]), batch.image.device
        hidden = draw_squares(count, side, chance, draws).to(device)
        colours = draw_textures(count, side, draws).to(device)
        image = torch.where(hidden[:, None], colours, batch.image)
        parts = torch.where(at_cells(hidden, stride), BACKGROUND, labels.parts)
        return replace(batch, image=image), labels._replace(parts=parts)

    def predict(self, batch: PoseBatch) -> Prediction:
        """The first guess, and how much of each joint the image shows of it."""
        features, start = self.network.guess(batch)
        joints = self.network.body.joints(*start).joints[:, None]
        root = self.skeleton.root
        grid = CropView.of_batch(batch).grid(self.config.stride)
        objective = FeatureObjective(self.network.fit_model(), features, grid, start)
        return Prediction(
            skeleton=self.skeleton,
            joints_3d=root_relative(joints, root),
            sigma=self._sigma(objective.evidence(objective.start).to(joints)),
            trajectory=joints[..., root, :],
        )

    def fit(self, batch: PoseBatch, config: TtoConfig | None = None) -> TtoResult:
        """Fit bodies to a batch of images; the module is as before afterwards.

        Args:
            batch: With images; labels are not read.
            config: Of test-time optimisation. It is not read: terms, steps, rates and starts stand
                in the method's own section.
        """
        with frozen(self), torch.autocast(batch.keypoints_2d.device.type, enabled=False):
            features, starts = self.network.starts(batch)
            start = starts[0]
            grid = CropView.of_batch(batch).grid(self.config.stride)
            model = self.network.fit_model()
            found = fit_bodies(model, features, grid, starts)
            objective = FeatureObjective(model, features, grid, start)
            before = objective.evidence(objective.start).to(features)
            joints = self.network.body.joints(*start).joints
        return self._result(batch, found, joints, before)

    def fit_pictures(
        self, batch: PoseBatch, what: FitView | None = None
    ) -> tuple[FitPicture, ...]:
        """Fits of the first images of a batch, clean and behind a square, on the way.

        Args:
            batch: With images.
            what: What is shown.
        """
        with frozen(self), torch.autocast(batch.keypoints_2d.device.type, enabled=False):
            return fit_pictures(self.network, batch, what or FitView())

    def configure_callbacks(self) -> list[Callback]:
        """What draws fits in a test that optimises, where a run wants pictures."""
        return [] if self.pictures is None else [FitPictures(self.pictures)]

    def _result(
        self, batch: PoseBatch, found: FittedBody, start: Pose3D, seen_before: PerJoint
    ) -> TtoResult:
        """What fitting found, as test-time optimisation tells it."""
        untouched = (found.status >= Status.UNOBSERVED)[:, None, None]
        joints = torch.where(untouched, start, found.joints)[:, None]
        start = start[:, None]
        sigma, before = self._sigma(found.evidence), self._sigma(seen_before)
        root = self.skeleton.root
        none = torch.zeros_like(found.status)
        return TtoResult(
            pose=root_relative(joints, root),
            log_sigma=(LENGTH_PER_AXIS * sigma).log(),
            sigma_factor=sigma / before,
            root=joints[:, :, root : root + 1],
            start=root_relative(start, root),
            status=found.status,
            iterations=found.iterations,
            before=found.before,
            after=found.after,
            residual_before=_residual(start, batch),
            residual_after=_residual(joints, batch),
            behind=none,
            masked=none,
        )

    def _sigma(self, evidence: Tensor) -> PerJoint:
        """Standard errors by what the image shows, ``(batch, 1, joints)``, mm.

        A joint is known as well as its own part and that of the joint it hangs on.
        """
        parents = torch.tensor(self.skeleton.parents, device=evidence.device).clamp(min=0)
        shown = (evidence + evidence[:, parents]) / 2
        config = self.config
        sigma = config.sigma_hidden + (config.sigma_seen - config.sigma_hidden) * shown
        return sigma[:, None]


def _residual(joints: Pose3D, batch: PoseBatch) -> Tensor:
    """Mean distance from the keypoints that are known, ``(batch,)``, pixels."""
    found = project(joints, batch.camera.intrinsics[:, None])
    distance = (found - batch.keypoints_2d).norm(dim=-1)
    known = distance.isfinite()
    return torch.where(known, distance, 0.0).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
