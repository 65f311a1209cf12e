from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lifting.errors import DataError
from lifting.visualization.style import save_figure
from lifting.visualization.tto_plots import Reliability, StepCurve, reliability_chart, step_chart

FALLING = StepCurve(np.array([50.0, 45, 47]), np.array([8.0, 6, 5]))
FLAT = StepCurve(np.array([50.0, 49, 48]), np.array([8.0, 7.5, 7]))


def test_errors_stand_above_residuals_and_the_least_is_marked(tmp_path):
    panels = {"deployable": {"loose": FALLING, "held": FLAT}, "oracle": {"held": FLAT}}
    figure = step_chart(panels, title="steps")
    upper, other, lower, _ = figure.axes
    lines = [line for line in upper.get_lines() if len(line.get_xdata()) > 1]
    assert [line.get_ydata().tolist() for line in lines] == [[50, 45, 47], [50, 49, 48]]
    dots = [line.get_xydata()[0].tolist() for line in upper.get_lines() if line not in lines]
    assert dots == [[1, 45], [2, 48]]
    assert lower.get_lines()[0].get_ydata().tolist() == [8, 6, 5]
    # A curve has one colour in all panels.
    assert other.get_lines()[0].get_color() == lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["loose", "held"]
    save_figure(figure, tmp_path / "steps.png")
    assert Image.open(tmp_path / "steps.png").width > 500


def test_reliability_is_drawn_against_the_diagonal():
    curve = Reliability(np.array([10.0, 40]), np.array([20.0, 30]))
    axes = reliability_chart({"as predicted": curve}, title="reliability").axes[0]
    diagonal, drawn = axes.get_lines()
    assert np.array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert drawn.get_xydata().tolist() == [[10, 20], [40, 30]]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] > 40


def test_charts_without_finite_values_are_refused():
    nothing = StepCurve(np.full(3, np.nan), np.ones(3))
    with pytest.raises(DataError, match="expected curves with finite errors for 'oracle'"):
        step_chart({"oracle": {"held": nothing}}, title="x")
    with pytest.raises(DataError, match="finite errors for 'oracle'"):
        step_chart({"oracle": {}}, title="x")
    with pytest.raises(DataError, match="expected finite errors for the chart 'x'"):
        reliability_chart({"raw": Reliability(np.array([np.nan]), np.ones(1))}, title="x")
    with pytest.raises(DataError, match="expected finite errors for the chart 'x'"):
        reliability_chart({}, title="x")
