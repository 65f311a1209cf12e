"""The table of 3DNBF's claims: which runs, what the rows say, and that finished ones are kept."""

import json
from dataclasses import replace

import pytest

from lifting.errors import ConfigError
from lifting.methods.nbf.config import FITTING
from nbf_claims_plan import (
    BOTH,
    CONSTANT,
    FEATURES,
    GUESS,
    PLAIN,
    POSE_DEPENDENT,
    ROBUST,
    ClaimsPlan,
)
from nbf_claims_study import CLEAN, TITLES, Score, Trained, table, verdicts, write_claims

ERRORS = {GUESS: 150.0, BOTH: 130.0, ROBUST: 120.0, PLAIN: 140.0}


def plan(tmp_path, **changes):
    return ClaimsPlan(command="nbf_claims.py", output=tmp_path, seeds=(0, 1), **changes)


def runs(shift=0.0):
    """Two seeds of both kinds of features; constant ones are 10 mm worse, fitted or not."""
    found = []
    for seed in (0, 1):
        for features in FEATURES:
            scores = []
            for answer, error in ERRORS.items():
                error += 10 * (features == CONSTANT) + seed + shift * (answer == ROBUST)
                scores.append(Score(features, seed, answer, CLEAN, error - 40, None, error - 40))
                for side in (40, 80):
                    name = f"advocc@{side}"
                    scores.append(
                        Score(features, seed, answer, name, error, error + 50, error - 40)
                    )
            found.append(Trained(f"{features}{seed}", features, seed, 420.0, 5.0, tuple(scores)))
    return found


def test_rows_are_means_over_the_seeds():
    rows = {row[:2]: row[2:] for row in table(runs())}
    assert len(rows) == 8
    assert rows[POSE_DEPENDENT, ROBUST] == (
        "80.5 (0.7)", "120.5 (0.7)", "170.5 (0.7)", "120.5 (0.7)", "170.5 (0.7)",
    )  # fmt: skip
    assert rows[CONSTANT, GUESS][0] == "120.5 (0.7)"
    assert len(TITLES) == 7


def test_a_claim_holds_where_every_seed_gains():
    found = {(v.claim.rpartition(" ")[0], v.pictures): v for v in verdicts(runs())}
    assert len(found) == 12
    assert found["fitting improves the first", "advocc@80"].gains_mm == (30, 30)
    assert found["fitting improves the mean of both", "advocc@40"].gains_mm == (10, 10)
    assert found["pose-dependent features beat constant", "advocc@40"].gains_mm == (10, 10)
    assert found["the robust likelihood beats the plain", "advocc@80"].gains_mm == (20, 20)
    assert all(v.holds == 2 for v in found.values())
    worse = {(v.claim.rpartition(" ")[0], v.pictures): v for v in verdicts(runs(shift=30.5))}
    assert worse["fitting improves the first", "advocc@80"].holds == 0  # half a millimetre is lost
    assert worse["fitting improves the first", CLEAN].holds == 2  # which is no harm
    assert worse["the robust likelihood beats the plain", CLEAN].holds == 0


def test_an_unfinished_study_has_a_table_too(tmp_path):
    text, data = write_claims(runs()[:1], plan(tmp_path))
    values = json.loads(data.read_text())
    assert [v["gains_mm"] for v in values["verdicts"]] == [
        [30], [30], [30], [10], [10], [10], [], [], [], [20], [20], [20]
    ]  # fmt: skip
    assert "7.0 CPU minutes" in text.read_text()
    assert "0 of 0" in text.read_text()


def test_trainings_differ_in_features_and_seed_alone(tmp_path):
    one = plan(tmp_path, overrides=("trainer.max_epochs=1",))
    dependent, constant = (one.config(features, 1) for features in FEATURES)
    assert dependent.seed == constant.seed == 1
    assert dependent.trainer.max_epochs == 1
    assert (dependent.method["orientation"], dependent.method["orientations"]) == ("z_bins3", 3)
    features = {"orientation": "z_bins3", "orientations": 3}
    assert {**constant.method, **features} == dependent.method
    assert replace(constant, method={}, run=None) == replace(dependent, method={}, run=None)


def test_settings_of_fits_leave_trainings_alone(tmp_path):
    chosen = plan(tmp_path, fits=("method.weight_guess=0.5",))
    config = chosen.config(CONSTANT, 1)
    assert config == plan(tmp_path).config(CONSTANT, 1)
    for answer, occlusion in ((ROBUST, config.method["occlusion"]), (PLAIN, "plain")):
        fitting = chosen.fitting(CONSTANT, 1, answer)
        changed = {"weight_guess": 0.5, "occlusion": occlusion}
        assert fitting.method == {**config.method, **changed}
        assert fitting.data == config.data
    assert chosen.scored() != plan(tmp_path).scored()
    assert config.method.keys() >= FITTING
    assert not {"paste", "orientation", "weight_joints", "guess_epochs"} & FITTING
    for wrong in ("method.paste=1", "blend=1"):
        with pytest.raises(ConfigError, match=f"a setting of the fits, got {wrong}; name one of"):
            plan(tmp_path, fits=(wrong,))


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match="at least one seed"):
        replace(plan(tmp_path), seeds=())
    with pytest.raises(ConfigError, match="--pictures from 1"):
        plan(tmp_path, pictures=0)
    with pytest.raises(ConfigError, match="experiment of nbf, got uao"):
        plan(tmp_path, experiment="uao").config(CONSTANT, 0)


def test_help_and_mistakes_need_no_torch(check_answer):
    check_answer(0, "--stride", "--help", module="nbf_claims")
    check_answer(2, "expected --pictures from 1, got 0", "--pictures", "0", module="nbf_claims")
