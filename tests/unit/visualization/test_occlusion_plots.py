from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lifting.errors import DataError
from lifting.visualization.occlusion_plots import DegradationCurve, degradation_chart
from lifting.visualization.style import save_figure

SHARE = np.array([0, 0.2, 0.5])
WORSE = DegradationCurve(SHARE, np.array([50.0, 70, 120]))
BETTER = DegradationCurve(SHARE, np.array([50.0, 60, 90]))


def test_a_colour_a_method_and_dashes_an_answer(tmp_path):
    panels = {
        "lost": {"uao": {"plain": WORSE, "optimised": BETTER}, "other": {"plain": WORSE}},
        "frozen": {"other": {"plain": BETTER}},
    }
    figure = degradation_chart(panels, title="degradation")
    lost, frozen = figure.axes
    first, second, third = lost.get_lines()
    assert first.get_xdata().tolist() == [0, 20, 50]
    assert first.get_ydata().tolist() == [50, 70, 120]
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert first.get_color() == second.get_color() != third.get_color()
    assert frozen.get_lines()[0].get_color() == third.get_color()
    assert lost.get_ylim()[0] == 0
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["uao", "other", "plain", "optimised"]
    save_figure(figure, tmp_path / "lost.png")
    assert Image.open(tmp_path / "lost.png").width > 500


def test_more_panels_than_columns_go_on_below():
    panels = {f"kind {i}": {"uao": {"plain": WORSE}} for i in range(6)}
    axes = degradation_chart(panels, title="x").axes
    assert [a.get_title(loc="left") for a in axes[:6]] == list(panels)
    assert [a.axison for a in axes[6:]] == [False, False]


def test_values_that_are_not_finite_are_refused():
    bad = DegradationCurve(SHARE, np.array([50.0, np.nan, 90]))
    with pytest.raises(DataError, match="expected finite errors for the chart 'x'"):
        degradation_chart({"lost": {"uao": {"plain": bad}}}, title="x")
    with pytest.raises(DataError, match="expected finite errors for the chart 'x'"):
        degradation_chart({}, title="x")
