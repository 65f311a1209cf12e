import pytest

from lifting.experiment.build import validation_period


@pytest.mark.parametrize(
    ("epochs", "wanted", "period"), [(8, 4, 4), (12, 5, 4), (6, 4, 3), (7, 4, 1), (3, 10, 3)]
)
def test_the_last_epoch_is_always_validated(epochs, wanted, period):
    assert validation_period(epochs, wanted) == period
    assert epochs % period == 0
