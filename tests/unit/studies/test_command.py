"""Options that studies share, and the command line that repeats one."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lifting.errors import ConfigError
from lifting.studies.command import add_study, check_least


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(prog="lifting ask")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument("--top-steps", type=int, default=3)
    parser.add_argument("--tto", action="store_true")
    add_study(parser, poses=7, batch=8, example="a=1", output="outputs/ask")
    return parser


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("r", "lifting ask r --poses 7 --seed 0"),
        ("r s --full --seed 2", "lifting ask r s --full --seed 2"),
        ("r --poses 3 --batch 8", "lifting ask r --poses 3 --seed 0"),
        ("r --tto --top-steps 4", "lifting ask r --top-steps 4 --tto --poses 7 --seed 0"),
        ("r --kinds a b", "lifting ask r --kinds a b --poses 7 --seed 0"),
        ("r --set a=1 --set b=2", "lifting ask r --poses 7 --seed 0 --set a=1 --set b=2"),
        ("r --output here --device cpu", "lifting ask r --poses 7 --seed 0"),
        ("r --data cmu", "lifting ask r --poses 7 --seed 0 --data cmu"),
    ],
)
def test_a_study_is_repeated_by_what_it_tells(parser, words, told):
    arguments = parser.parse_args(words.split())
    assert arguments.command(arguments) == told
    again = parser.parse_args(told.split()[2:])
    kept = {"output", "device"}
    for name, value in vars(arguments).items():
        assert name in kept or getattr(again, name) == value


def test_words_with_spaces_are_quoted(parser):
    arguments = parser.parse_args(["my run", "--set", "a=b c"])
    assert arguments.command(arguments).startswith("lifting ask 'my run' ")
    assert arguments.command(arguments).endswith("--set 'a=b c'")


def test_numbers_below_the_least_are_refused(parser):
    arguments = parser.parse_args(["r", "--top-steps", "0"])
    check_least(arguments, "top_steps", "kinds", "absent", least=0)
    with pytest.raises(ConfigError, match="expected --top-steps from 1, got 0"):
        check_least(arguments, "top_steps")
    arguments.poses = [3, 0]
    with pytest.raises(ConfigError, match=r"expected --poses from 1, got \[3, 0\]"):
        check_least(arguments, "poses")
