from __future__ import annotations

from lifting.experiment.terminal import score_table, split_scores

SCORES = {
    "test/mpjpe_mm": 50.0,
    "test/pck_150mm": 0.25,
    "test/mpjpe_mm/Walking": 40.0,
    "test/pa_mpjpe_mm": 35.0,
    "test/context_mpjpe_mm": 55.0,
    "test/context_pa_mpjpe_mm": 36.0,
    "test/nll": 3.0,
    "test/oracle/p_best": 30.0,
    "val/mpjpe_mm": 49.0,
}


KNOWN = ("mpjpe_mm", "pa_mpjpe_mm", "pck_150mm")


def test_answers_are_told_apart():
    assert split_scores(SCORES, KNOWN) == {
        "": {"mpjpe_mm": 50.0, "pck_150mm": 0.25, "pa_mpjpe_mm": 35.0, "nll": 3.0},
        "context": {"mpjpe_mm": 55.0, "pa_mpjpe_mm": 36.0},
    }
    assert split_scores(SCORES, KNOWN, "val") == {"": {"mpjpe_mm": 49.0}}


def test_table_holds_ours_the_extra_answer_and_the_baselines():
    titles, rows = score_table(
        split_scores(SCORES, KNOWN),
        {"mean pose": {**dict.fromkeys(KNOWN, 1.0), "mpjpe_mm": 200.0}},
    )
    assert titles == ["metric", "ours", "context", "mean pose"]
    assert ("mpjpe_mm", "50.00", "55.00", "200.00") in rows
    assert ("pck_150mm", "0.2500", "-", "1.00") in rows
