from dataclasses import fields

import pytest

from lifting.errors import ConfigError
from lifting.experiment.load import load_experiment
from lifting.tto.config import TtoConfig, check_tto


def test_the_defaults_tell_nothing_of_the_truth():
    config = TtoConfig()
    assert config.root == "solve"
    assert not config.enabled
    assert config.accept
    check_tto(config)


def test_the_published_settings_are_an_overlay():
    config = load_experiment("simple_baseline", ["extends=overlay/tto_faithful"])
    assert config.tto == TtoConfig.faithful()
    assert (config.tto.iterations, config.tto.lr) == (4, 1e-3)
    assert (config.tto.weight_projection, config.tto.weight_anchor) == (1, 0.005)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.0}, "expected 'tto.lr' above 0, got 0.0"),
        ({"iterations": -1}, "expected 'tto.iterations' of 0 or more, got -1"),
        ({"weight_prior": -1.0}, "expected 'tto.weight_prior' of 0 or more"),
        ({"min_keypoints": 0}, "expected 'tto.min_keypoints' of 1 or more"),
        ({"camera": "orthographic", "root": "gt"}, "expected tto.root=solve and tto.focal=given"),
        (
            {"optimizer": "lbfgs", "optimise": "both"},
            "expected tto.optimise=latent with tto.optimizer=lbfgs, got both",
        ),
        (
            {"optimizer": "short_adam", "optimise": "weights"},
            "expected tto.optimise=latent with tto.optimizer=short_adam, got weights; set it so",
        ),
        (
            {"optimizer": "gauss_newton", "accept": False},
            "expected tto.accept=True with tto.optimizer=gauss_newton, got False",
        ),
        (
            {"optimizer": "gauss_newton", "weight_prior": 0.1},
            "expected tto.weight_prior=0.0 with tto.optimizer=gauss_newton, got 0.1; set it so",
        ),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_tto(TtoConfig(**changes))


def test_lbfgs_takes_every_objective():
    check_tto(TtoConfig(optimizer="lbfgs", weight_prior=1.0))
    check_tto(TtoConfig(optimizer="gauss_newton"))


def test_an_experiment_refuses_them_too():
    with pytest.raises(ConfigError, match=r"tto\.iterations"):
        load_experiment("simple_baseline", ["tto.iterations=-2"])


def test_keys_that_were_removed_are_dropped_where_nobody_changed_them():
    kept = [field.name for field in fields(TtoConfig)]
    assert not set(kept) & set(TtoConfig.removed)
    old = [f"tto.{key}={'null' if v is None else v}" for key, v in TtoConfig.removed.items()]
    assert load_experiment("simple_baseline", old).tto == TtoConfig()
    with pytest.raises(
        ConfigError,
        match=r"expected no key 'tto\.penalty', which was removed .*'plain'.*, got 'huber'; leave",
    ):
        load_experiment("simple_baseline", ["tto.penalty=huber"])
    with pytest.raises(ConfigError, match=r"unknown key 'tto\.penalti'"):
        load_experiment("simple_baseline", ["tto.penalti=plain"])


def test_different_settings_have_different_names():
    assert str(TtoConfig(enabled=True)) == "tto(root=solve)"
    assert str(TtoConfig(iterations=8)) == "tto(root=solve, iterations=8)"
    assert str(TtoConfig.faithful()).startswith("tto(root=gt, ")
