"""Sheet and film of fits: one row a picture, a looping gif of all steps that is small."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lifting.errors import DataError
from lifting.methods.nbf.drawing import (
    FitFrame,
    FitPicture,
    fit_sheet,
    limb_colours,
    save_fit_film,
    save_fits,
)
from lifting.skeleton import H36M_17


def frame(step):
    """A square body that moves right, with its joints on a line."""
    limbs = np.zeros((64, 64, 9), dtype=np.uint8)
    limbs[20:50, 4 * step : 4 * step + 20, 0] = 255
    return FitFrame(
        step=step, ratio=np.linspace(-1, 1, 64).reshape(8, 8), opacity=np.full((8, 8), 0.5),
        limbs=limbs, keypoints=np.stack((np.full(17, 10.0 + step), np.arange(17)), axis=-1),
        gain=12.3 * step, error_mm=None if step == 0 else 100.0 - step,
    )  # fmt: skip


@pytest.fixture
def pictures():
    noise = np.random.default_rng(0).integers(256, size=(4, 3, 32, 32), dtype=np.uint8)
    return [
        FitPicture(person=i // 2, case=("clean", "occluded")[i % 2], image=noise[i],
                   frames=tuple(frame(s) for s in (0, 2, 4)))
        for i in range(4)
    ]  # fmt: skip


def test_a_row_shows_before_and_after(pictures):
    figure = fit_sheet(pictures, H36M_17)
    assert len(figure.axes) == 20
    titles = [axes.get_title() for axes in figure.axes[5:10]]
    assert titles == [
        "image", "log likelihood +0", "first guess", "log likelihood +49", "fitted, 96 mm"
    ]  # fmt: skip
    assert figure.axes[5].get_ylabel() == "1, occluded"
    before, after = (figure.axes[i].get_images()[0].get_array() for i in (2, 4))
    assert np.abs(before - after)[20:50, 30:35].max() > 0.3
    # Cells keep their borders: eight equal columns of one colour each.
    cells = figure.axes[1].get_images()[0].get_array()
    assert cells.shape == (64, 64, 3)
    assert (cells >= 0).all()


def test_files_are_written_and_the_film_loops(pictures, tmp_path):
    sheet, film = save_fits(pictures, H36M_17, tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["fits.gif", "fits.png"]
    assert Image.open(sheet).width > 800
    with Image.open(film) as moving:
        assert moving.n_frames == 3
        assert moving.info["loop"] == 0
        assert moving.info["duration"] > 1000
    assert film.stat().st_size < 900_000


def test_a_single_picture_makes_a_film(pictures, tmp_path):
    save_fit_film(pictures[:1], H36M_17, tmp_path / "one.gif")
    with Image.open(tmp_path / "one.gif") as moving:
        assert moving.width < 400


def test_limbs_of_a_side_differ():
    colours = limb_colours()
    assert colours.shape == (9, 3)
    assert len(np.unique(colours.round(3), axis=0)) == 5
    assert (colours <= 1).all()


def test_nothing_to_draw(tmp_path):
    with pytest.raises(DataError, match="at least one picture of a fit"):
        save_fits([], H36M_17, tmp_path)
    assert not list(tmp_path.iterdir())
