"""What is best: the direction of a score, and a monitor that a run will never log."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from lifting.errors import ConfigError
from lifting.experiment.build import build_data, build_module
from lifting.experiment.callbacks import BestCheckpoint, stage_callbacks
from lifting.experiment.config import TrainerConfig
from lifting.experiment.load import load_experiment
from lifting.experiment.monitor import check_monitor
from lifting.experiment.panels import PanelsCallback
from lifting.experiment.run import train
from lifting.metrics.calibration import Coverage, GaussianNLL, UncertaintyRanking
from lifting.metrics.protocol import _RULES, higher_is_better
from lifting.metrics.single import (
    MPJPE,
    MPJVE,
    NMPJPE,
    PAMPJPE,
    Acceleration,
    ActionMPJPE,
    Diversity,
    JBest,
    PAgg,
    PBest,
)
from lifting.metrics.single_scores import AUC, CPS, PCK, PSS, BoneMAE, Symmetry

CLASSES = {
    "mpjpe_mm": MPJPE, "mpjpe_action_mm": ActionMPJPE, "pa_mpjpe_mm": PAMPJPE,
    "pa_mpjpe_action_mm": ActionMPJPE, "n_mpjpe_mm": NMPJPE, "p_agg_mpjpe_mm": PAgg,
    "mpjve_mm_per_frame": MPJVE, "mpjve_mm_per_second": MPJVE,
    "acceleration_error_mm_per_frame2": Acceleration,
    "acceleration_error_mm_per_second2": Acceleration, "pck_150mm": PCK, "auc": AUC,
    "pa_pck_150mm": PCK, "pa_auc": AUC, "cps": CPS, "pss_50": PSS, "bone_mae_mm": BoneMAE,
    "symmetry_mm": Symmetry, "oracle/p_best": PBest, "oracle/j_best": JBest,
    "diversity_mm": Diversity, "nll": GaussianNLL, "ece_axis": Coverage,
    "ause_mm": UncertaintyRanking,
}  # fmt: skip


def test_the_direction_of_a_score_is_that_of_its_class():
    assert CLASSES.keys() == _RULES.keys() - {"sigma_spearman"}  # its class answers two scores
    for key, one in CLASSES.items():
        assert higher_is_better(key) is one.higher_is_better, key
    assert higher_is_better("sigma_spearman") is True


@pytest.mark.parametrize(
    ("key", "higher"),
    [
        ("pss_100", True),
        ("pck_50mm", True),
        ("mpjpe_mm/sauce", False),
        ("mpjpe_mm/joint/hip", False),
        ("context_pa_mpjpe_mm", False),
        ("oracle/p_best@H10_mm", False),
        ("n_poses", None),
    ],
)
def test_names_behind_a_score_do_not_change_its_direction(key, higher):
    assert higher_is_better(key) is higher


@pytest.mark.parametrize(("monitor", "mode"), [("val/mpjpe_mm", "min"), ("val/pss_50", "max")])
def test_checkpoints_and_early_stops_follow_it(tmp_path, monitor, mode):
    options = TrainerConfig(monitor=monitor, patience=3)
    made = stage_callbacks(options, seed=0, stage="a", monitor=f"a/{monitor}", folder=tmp_path)
    modes = [
        one.mode for one in made if isinstance(one, BestCheckpoint | pl.callbacks.EarlyStopping)
    ]
    assert modes == [mode, mode]


def test_what_is_not_finite_is_never_the_best(tmp_path):
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    for mode in ("min", "max"):
        best = BestCheckpoint(tmp_path, "val/auc", mode)
        for value in (torch.nan, torch.inf, -torch.inf):
            assert not best.check_monitor_top_k(trainer, torch.tensor(value))
        assert best.check_monitor_top_k(trainer, torch.tensor(1.0))
        plain = pl.callbacks.ModelCheckpoint(tmp_path, monitor="val/auc", mode=mode)
        assert best.state_key == plain.state_key  # older checkpoints hold its state


def test_the_best_epoch_by_a_score_that_is_better_when_higher(tiny_experiment, monkeypatch):
    monkeypatch.setattr(PanelsCallback, "_save", lambda *_: None)
    overrides = [
        "trainer.monitor=val/pss_50", "pss=[pss/synthetic_50.npz]", "optimizer.lr=0.3",
        "trainer.max_epochs=3", "method.warm_epochs=1",
    ]  # fmt: skip
    config = load_experiment(tiny_experiment, overrides)
    result = train(config)
    state = torch.load(result.checkpoint, weights_only=True)["callbacks"]
    kept = next(v for k, v in state.items() if k.startswith("ModelCheckpoint"))
    assert "'mode': 'max'" in next(k for k in state if k.startswith("ModelCheckpoint"))
    assert float(kept["best_model_score"]) >= float(kept["current_score"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.monitor=val/mpjpe_inch"], r"did you mean 'val/mpjpe_mm'\? known: .*val/auc"),
        (["trainer.monitor=val/n_poses"], r"logs, got 'val/n_poses'"),
        (["trainer.monitor=val/diversity_mm"], r"logs, got 'val/diversity_mm'"),
        (["trainer.monitor=val/nll"], r"logs, got 'val/nll'"),
        (["trainer.monitor=val/pck_50mm"], r"did you mean 'val/pck_150mm'"),
        (["trainer.monitor=val/pss_50", "pss=[]"], r"logs, got 'val/pss_50'"),
        (["trainer.monitor=val/mpjpe_mm/walkin"], r"did you mean 'val/mpjpe_mm/"),
        (["trainer.monitor=val/mpjve_mm_per_frame", "data.eval_every=5"], "logs, got 'val/mpjve"),
    ],
)  # fmt: skip
def test_a_monitor_that_is_never_logged_leaves_no_folder(
    tiny_experiment, tmp_path, overrides, message
):
    with pytest.raises(ConfigError, match=message):
        train(load_experiment(tiny_experiment, overrides))
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "monitor", ["auc", "mpjpe_mm/joint/head", "mpjve_mm_per_second", "mpjpe_action_mm"]
)
def test_monitors_that_are_logged_are_taken(tiny_experiment, monitor):
    config = load_experiment(
        tiny_experiment, [f"trainer.monitor=val/{monitor}", "data.eval_every=1"]
    )
    check_monitor(config, build_module(config), build_data(config))


def test_scores_of_an_uncertainty_are_known_from_an_answer(tiny_experiment):
    config = load_experiment("uao", ["extends=overlay/smoke", "trainer.monitor=val/nll"])
    data = build_data(config)
    module = build_module(config, data.skeleton).train()
    check_monitor(config, module, data)
    assert all(part.training for part in module.modules())
