"""``lifting plot`` of runs and leaderboards: what is drawn, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lifting.cli.main import main
from lifting.experiment.record import ResultRecord, write_record
from lifting.skeleton import H36M_17
from lifting.visualization import style

CURVES = Path(__file__).parents[3] / "experiments" / "curves"
ERRORS = {f"mpjpe_mm/joint/{name}": 10.0 + i for i, name in enumerate(H36M_17.joints)}


@pytest.fixture
def run(tmp_path):
    """Folder of a run with scores and validations."""
    folder = tmp_path / "run"
    record = ResultRecord(
        experiment="uao", method="uao", dataset="cmu", split="test", two_d="projected", frames=1,
        flip=False, joints=list(H36M_17.joints), root_rule="centred on hip", protocol={},
        unit="mm", samples={}, seed=0, weights="abc", hypotheses=1, steps=None, aggregation=None,
        metrics={"mpjpe_mm": 20.0, "mpjpe_mm/walk": 30.0, "mpjpe_mm/sit": 40.0, **ERRORS},
    )  # fmt: skip
    write_record(folder / "result.json", record)
    (folder / "metrics.csv").write_text(
        "step,val/mpjpe_mm,val/mpjpe_mm/walk\n10,50,60\n20,45,50\n"
    )
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, still with what is in them."""
    figures: list[Figure] = []
    save = style.save_figure

    def keep(figure, path):
        figures.append(figure)
        figure.clear = lambda: None
        save(figure, path)

    monkeypatch.setattr(style, "save_figure", keep)
    return figures


def test_errors_and_validations_of_a_run(run, drawn, capsys):
    for kind in ("joints", "actions", "curves"):
        assert main(["plot", kind, str(run)]) == 0
        assert (run / "pictures" / f"{kind}.png").read_bytes()[1:4] == b"PNG"
    joints, actions, curves = (figure.axes[0] for figure in drawn)
    assert [bar.get_width() for bar in joints.patches] == [10.0 + i for i in range(17)]
    assert [label.get_text() for label in actions.get_yticklabels()] == ["sit", "walk"]
    assert [list(line.get_ydata()) for line in curves.lines] == [[50, 45]]
    assert main(["plot", "joints", str(run / "result.json")]) == 0
    assert (run / "joints.png").is_file()


@pytest.mark.parametrize("board", sorted(CURVES.glob("*.json")), ids=lambda path: path.stem)
def test_pictures_of_a_leaderboard(board, drawn, tmp_path):
    rows = json.loads(board.read_text())["rows"]
    trained = {row["method"] for row in rows if row["budget"] is not None}
    for kind in ("leaderboard", "curves"):
        output = str(tmp_path / f"{kind}.png")
        assert main(["plot", kind, str(board), "--output", output]) == 0
    standings, curves = drawn
    assert {t.get_text().replace(" ", "_") for t in standings.axes[0].get_yticklabels()} == trained
    named = [text.get_text().replace(" ", "_") for text in curves.legends[0].get_texts()]
    assert trained <= set(named)


def test_nothing_overlaps_on_a_small_picture(run, drawn, monkeypatch):
    assert main(["plot", "joints", str(run)]) == 0
    (figure,) = drawn
    axes = figure.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(low.y0 >= high.y1 or high.y0 >= low.y1 for low, high in pairwise(boxes))
    pixels = style.DEFAULT_STYLE.font_size * style.DEFAULT_STYLE.dpi / 72
    assert pixels / 2 >= 9  # at half its size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["joints", "nowhere"], "expected what to draw, got nowhere"),
        (
            ["joints", "poses.npz"],
            "which holds poses; `lifting plot sheet|angles|above poses.npz`",
        ),
        (["joints", "."], "result.json"),
        (["curves", "."], "log the scalar first"),
        (["joints", "empty.json"], "empty.json"),
        (["leaderboard", "run/result.json"], "expected a leaderboard.json of"),
        (["actions", "bare/result.json"], "expected errors by action in bare/result.json"),
        (["joints", "run", "--person", "0"], "expected --person for a sheet or angles"),
    ],
)
def test_mistakes_are_told(run, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "poses.npz").write_bytes(b"PK\x03\x04\x8f")
    record = json.loads((run / "result.json").read_text())
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "result.json").write_text(json.dumps(record | {"metrics": {}}))
    assert main(["plot", *words]) == 2
    assert message in capsys.readouterr().err
