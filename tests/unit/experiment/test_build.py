import pytest

from lifting.experiment.build import (
    build_data,
    build_settings,
    validation_period,
    warn_of_few_steps,
)
from lifting.experiment.load import load_experiment


@pytest.mark.parametrize(
    ("epochs", "wanted", "period"), [(8, 4, 4), (12, 5, 4), (6, 4, 3), (7, 4, 1), (3, 10, 3)]
)
def test_the_last_epoch_is_always_validated(epochs, wanted, period):
    assert validation_period(epochs, wanted) == period
    assert epochs % period == 0


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (["data.images.size=96"], 96),
        (["data.name=image_folder", "data.image_folder.size=192"], 192),
        (["data.name=synthetic"], None),
    ],
)
def test_a_method_is_told_the_size_of_the_pictures(settings, size):
    assert build_settings(load_experiment("nbf", settings)).image_size == size


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "data.batch_size=64",
            "at least 20 steps, got 3 from 192 samples: lower data.batch_size=64",
        ),
        ("data.batch_size=8", None),
        ("data.batch_size=8 trainer.accumulate=2", "got 12 from"),
        ("data.batch_size=64 data.epoch_batches=5", None),
    ],
)
def test_an_epoch_of_few_steps_is_warned_of(tiny_experiment, caplog, options, told):
    config = load_experiment(tiny_experiment, options.split())
    warn_of_few_steps(config, build_data(config))
    assert (told in caplog.text) if told else not caplog.text
