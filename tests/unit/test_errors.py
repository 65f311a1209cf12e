import numpy as np
import pytest

from lifting.errors import ShapeError, check_shape, suggest


@pytest.mark.parametrize(
    ("shape", "pattern"),
    [((17, 3), "*batch joints 3"), ((2, 5, 17, 3), "*batch joints 3"), ((4, 4), "n n")],
)
def test_fitting_shapes_pass(shape, pattern):
    check_shape("pose", np.zeros(shape), pattern)


@pytest.mark.parametrize(
    ("shape", "pattern", "sizes"),
    [
        ((17, 2), "*batch joints 3", {}),
        ((3,), "*batch joints 3", {}),
        ((4, 5), "n n", {}),
        ((16, 3), "joints 3", {"joints": 17}),
        ((1, 17, 3), "joints 3", {}),
    ],
)
def test_unfitting_shape_names_expectation_and_finding(shape, pattern, sizes):
    with pytest.raises(ShapeError) as caught:
        check_shape("pose", np.zeros(shape), pattern, **sizes)
    assert f"({pattern})" in str(caught.value)
    assert str(shape) in str(caught.value)


def test_suggest_names_the_nearest_and_all():
    assert suggest("cmuu", ["synthetic", "cmu"]) == "did you mean 'cmu'? known: cmu, synthetic"


def test_suggest_without_a_near_name_lists_only():
    assert suggest("zzz", ["synthetic", "cmu"]) == "known: cmu, synthetic"
    assert suggest("zzz", []) == "known: none"
