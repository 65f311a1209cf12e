from __future__ import annotations

import pytest

from lifting.data.config import DataConfig
from lifting.data.sets.h36m.config import Config as H36mConfig
from lifting.data.sets.humaneva.config import Config as HumanEvaConfig
from lifting.data.sets.pw3d.config import Config as Pw3dConfig
from lifting.errors import ConfigError
from lifting.studies.plan import (
    PROJECTION,
    UNCERTAINTY,
    UNIFORM,
    exact_keypoints,
    load_runs,
    variant_of,
)
from lifting.tto.config import TtoConfig

CPN = "cpn_ft_h36m_dbb"


@pytest.mark.parametrize(
    ("data", "key", "value"),
    [
        (DataConfig(name="synthetic"), "noise", "none"),
        (DataConfig(name="cmu", noise="light"), "noise", "none"),
        (DataConfig(name="h36m"), "h36m", H36mConfig(two_d_test="gt")),
        (
            DataConfig(name="h36m", h36m=H36mConfig(two_d="gt", two_d_test=CPN)),
            "h36m",
            H36mConfig(two_d="gt", two_d_test="gt"),
        ),
        (
            DataConfig(name="humaneva", humaneva=HumanEvaConfig(two_d="detectron_pt_coco")),
            "humaneva",
            HumanEvaConfig(two_d="gt"),
        ),
        (DataConfig(name="3dpw"), "pw3d", Pw3dConfig(two_d="gt")),
    ],
)
def test_exact_keypoints_change_nothing_else(data, key, value):
    exact = exact_keypoints(data)
    assert {k: v for k, v in vars(exact).items() if v != vars(data)[k]} == {key: value}
    assert exact_keypoints(exact) is None


@pytest.mark.parametrize("name", ["mpi_inf_3dhp", "humaneva", "3doh50k"])
def test_exact_keypoints_are_left_alone(name):
    assert exact_keypoints(DataConfig(name=name)) is None


def test_variants_differ_in_the_anchor_alone():
    own = TtoConfig(iterations=7, weight_anchor=0.02)
    changed = {
        name: {k: v for k, v in vars(variant_of(own, name, "gt")).items() if v != vars(own)[k]}
        for name in (PROJECTION, UNIFORM, UNCERTAINTY)
    }
    told = {"enabled": True, "root": "gt"}
    assert changed[PROJECTION] == told | {"weight_anchor": 0.0}
    assert changed[UNIFORM] == told | {"anchor_weighting": "uniform"}
    assert changed[UNCERTAINTY] == told


def test_settings_that_contradict_the_study_are_refused():
    with pytest.raises(ConfigError, match=r"tto\.root=solve"):
        variant_of(TtoConfig(camera="orthographic"), UNIFORM, "gt")


def test_only_folders_of_trained_runs_are_taken(tmp_path):
    with pytest.raises(ConfigError, match=r"without config\.yaml and checkpoints/best\.ckpt"):
        load_runs([tmp_path])
    (tmp_path / "config.yaml").write_text("method: {name: uao}\n")
    with pytest.raises(ConfigError, match=r"got .* without checkpoints/best\.ckpt; train"):
        load_runs([tmp_path])
