"""The chart of errors against network calls, and the precision that answers are given in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifting.errors import DataError
from sampling_plots import CallCurve, CallPanel, calls_chart
from sampling_precision import arithmetic

CPU = torch.device("cpu")


def test_the_chart_shows_curves_and_the_line_without_calls():
    teacher = CallCurve(np.array([5.0, 15, 15]), np.array([60.0, 58, 57]), (1, 2, 3))
    student = CallCurve(np.array([5.0]), np.array([57.5]), (1,))
    panels = {
        "a": CallPanel({"teacher": teacher}, 61.0),
        "b": CallPanel({"student": student, "teacher": teacher}, 62.0),
    }
    left, right = calls_chart(panels, title="calls").axes
    line, drawn = left.get_lines()
    assert set(line.get_ydata()) == {61.0}
    assert drawn.get_xydata().tolist() == [[5, 60], [15, 58], [15, 57]]
    assert [text.get_text() for text in left.texts] == ["1", "2", "3"]
    assert left.get_xscale() == "log"
    # A network has one colour in all panels.
    assert right.get_lines()[2].get_color() == drawn.get_color()
    assert right.get_lines()[1].get_color() != drawn.get_color()


def test_charts_without_finite_values_are_refused():
    curve = CallCurve(np.array([5.0]), np.array([np.nan]), (1,))
    for panel in (CallPanel({"teacher": curve}, 60.0), CallPanel({}, 60.0)):
        with pytest.raises(DataError, match="expected curves with finite errors for 'a'"):
            calls_chart({"a": panel}, title="calls")


def test_bfloat16_rounds_products():
    layer = torch.nn.Linear(8, 8)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with arithmetic(CPU, bf16=True):
        rounded = layer(x)
    with arithmetic(CPU, bf16=False):
        exact = layer(x)
    assert rounded.dtype == torch.bfloat16
    assert exact.dtype == torch.float32
