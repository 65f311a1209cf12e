from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.studies.plan import Run, View
from sampling_plan import (
    CONTEXT,
    STUDENT,
    TEACHER,
    Answer,
    Grid,
    answer_config,
    answers,
    own_answer,
)


def run_of(**method):
    config = ExperimentConfig(name="x", method={"name": "diffpose", **method})
    return Run("diffpose", Path("outputs/diffpose/x"), (View(config, exact=False),), None)


def steps(run, grid, by):
    return [a.steps for a in answers(run, grid) if a.by == by and a == a.plain]


def test_usual_steps_stop_at_the_level_and_include_the_runs_own():
    assert steps(run_of(), Grid(), TEACHER) == [1, 2, 3, 5, 10]
    short = run_of(start_level=6, sampling_steps=4)
    assert steps(short, Grid(), TEACHER) == [1, 2, 3, 4, 5]
    assert own_answer(short) == Answer(TEACHER, 4)
    assert answers(short, Grid())[0] == Answer(CONTEXT, 0)


def test_a_student_answers_only_where_there_is_one():
    assert steps(run_of(), Grid(), STUDENT) == []
    taught = run_of(student="consistency", student_steps=4)
    assert steps(taught, Grid(), STUDENT) == [1, 2, 3, 4, 5]
    assert steps(taught, Grid(student=(2,)), STUDENT) == [2, 4]
    with pytest.raises(ConfigError, match=r"expected a run with a student .* got diffpose/x"):
        answers(run_of(), Grid(student=(2,)))


def test_each_answer_changes_who_answers_and_nothing_else():
    taught = run_of(student="consistency", student_steps=4)
    own = taught.config.method

    def changed(answer, hypotheses=None):
        grid = Grid(hypotheses=hypotheses)
        method = answer_config(taught.config, answer, grid).method
        return {k: v for k, v in method.items() if own.get(k) != v}

    assert changed(Answer(TEACHER, 7)) == {"sampling_steps": 7, "student_steps": 0}
    assert changed(Answer(STUDENT, 2)) == {"student_steps": 2}
    assert changed(Answer(CONTEXT, 0), 9) == {"hypotheses": 9}
    plain = run_of()
    method = answer_config(plain.config, Answer(TEACHER, 7), Grid()).method
    assert method == {"name": "diffpose", "sampling_steps": 7}


def test_other_ways_to_run_are_for_the_own_answer_and_the_shortest_student():
    taught = run_of(student="consistency")
    grid = Grid(teacher=(2,), student=(1, 2), bf16=True, compiled=True)
    others = [a for a in answers(taught, grid) if a != a.plain]
    assert [(a.by, a.steps, a.run_as) for a in others] == [
        (by, steps, run_as)
        for run_as in ("bfloat16", "float32, compiled", "bfloat16, compiled")
        for by, steps in ((TEACHER, 3), (STUDENT, 1))
    ]
    assert {a.plain for a in others} <= set(answers(taught, replace(grid, bf16=False)))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "simple_baseline"}, "of 'simple_baseline', which samples nothing"),
        ({"process": "once"}, "got 'once' in diffpose/x, which takes no steps"),
    ],
)
def test_runs_that_take_no_steps_are_refused(method, message):
    with pytest.raises(ConfigError, match=message):
        answers(run_of(**method), Grid())


def test_more_steps_than_levels_are_refused_by_the_method():
    with pytest.raises(ConfigError, match=r"method\.sampling_steps to be at most start_level=6"):
        answers(run_of(start_level=6), Grid(teacher=(7,)))
