"""Which trainings the claims are looked at with, and how. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import load_experiment
from lifting.methods.nbf.config import FITTING

METHOD = "nbf"
GUESS, BOTH, ROBUST, PLAIN = (
    "first guess", "mean of both guesses", "fitted, robust", "fitted, plain"
)  # fmt: skip
POSE_DEPENDENT, CONSTANT = "pose-dependent", "constant"
FEATURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        POSE_DEPENDENT: (),
        CONSTANT: ("method.orientation=vmf_yz", "method.orientations=1"),
    }
)
LIKELIHOODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {ROBUST: (), PLAIN: ("method.occlusion=plain",)}
)


@dataclass(frozen=True, kw_only=True)
class ClaimsPlan:
    """Trainings and pictures.

    Attributes:
        command: Command line that repeats it.
        output: Folder of the runs and of the table.
        experiment: What is trained.
        seeds: Each kind of features is trained once with each.
        pictures: Test pictures that are scored.
        stride: Between two places of AdvOcc's square, pixels of a picture of 224.
        batch: Pictures that are fitted together.
        overrides: Further ``key=value`` settings for all runs.
        fits: Those for the fits alone; trainings are not repeated for them.
    """

    command: str
    output: Path
    experiment: str = METHOD
    seeds: tuple[int, ...] = (0, 1, 2)
    pictures: int = 96
    stride: int = 20
    batch: int = 32
    overrides: tuple[str, ...] = ()
    fits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ConfigError("expected at least one seed, got none; name some, as --seeds 0 1 2")
        for name in ("pictures", "stride", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected --{name} from 1, got {getattr(self, name)}")
        known = [f"method.{name}" for name in sorted(FITTING)]
        for setting in self.fits:
            if setting.partition("=")[0] not in known:
                raise ConfigError(
                    f"expected --fit with a setting of the fits, got {setting}; name one of "
                    f"{', '.join(known)}, or use --set, "
                    "which trains anew"
                )

    def config(self, features: str, seed: int, fits: Sequence[str] = ()) -> ExperimentConfig:
        """The experiment of one training.

        Args:
            features: One of ``FEATURES``.
            seed: Its seed.
            fits: Further settings, which no training depends on.

        Raises:
            ConfigError: The experiment is none of this method, or a setting does not fit.
        """
        method = load_experiment(self.experiment).method["name"]
        if method != METHOD:
            raise ConfigError(
                f"expected an experiment of {METHOD}, got {self.experiment} of {method}; name "
                "another"
            )
        # The fits are scored here, on other pictures and with more than one likelihood.
        own = (*FEATURES[features], "tto.enabled=false", f"seed={seed}",
               f"run={features}-seed{seed}")  # fmt: skip
        settings = [*self.overrides, *own, f"output={self.output}", *fits]
        return load_experiment(self.experiment, settings)

    def fitting(self, features: str, seed: int, answer: str) -> ExperimentConfig:
        """The same with what one of ``LIKELIHOODS`` fits with."""
        return self.config(features, seed, [*self.fits, *LIKELIHOODS[answer]])

    def scored(self) -> dict[str, object]:
        """What a run's scores depend on beside its training."""
        return {"pictures": self.pictures, "stride": self.stride, "fits": list(self.fits)}
