"""``lifting robustness`` on tiny runs: single frames, windows, hypotheses, and pictures."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch

from lifting.cli.main import main
from lifting.data.images.advocc import (
    occlude,
    occluder_texture,
    occluder_windows,
    scored_joints,
)
from lifting.experiment.record import read_record
from lifting.geometry.camera import project
from lifting.skeleton import H36M_17
from lifting.studies.frames import Frames
from lifting.studies.measure import load_trained, pair_errors, plain_answer
from lifting.studies.plan import load_runs
from lifting.studies.robustness.corruptions import true_places

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SMALL = {
    "simple_baseline": ["method.channels=16"],
    "videopose3d": ["method.channels=16"],
    "diffpose": [],
}
PICTURES = "epipolarpose_image"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    patch.setenv("LIFTING_CACHE", str(tmp_path_factory.mktemp("cache")))
    output = tmp_path_factory.mktemp("outputs")
    patch.setattr("lifting.experiment.panels.PanelsCallback._save", lambda *_: None)
    shared = ["extends=overlay/smoke", f"output={output}", "wandb.mode=disabled", "panels.worst=0",
              "pss=[]"]  # fmt: skip
    for name, small in {**SMALL, PICTURES: []}.items():
        assert main(["train", name, *shared, *small]) == 0
    yield {name: next((output / name).iterdir()) for name in (*SMALL, PICTURES)}
    patch.undo()


def study(folders, names, output, *options):
    places = [str(folders[name]) for name in names]
    command = ["robustness", *places, "--full", "--output", str(output), *options]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main([*command, "--json"]) == 0
    told, written = (
        json.loads(said.getvalue()),
        json.loads((output / "robustness.json").read_text()),
    )
    assert told == {**written, "written": told["written"]}
    return written


@pytest.fixture(scope="module")
def keypoints(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("keypoints")
    return output, study(folders, SMALL, output, "--rates", "0.3", "0.6")


def test_the_clean_row_is_what_the_run_was_tested_with(keypoints, folders):
    rows = keypoints[1]["rows"]
    for name in SMALL:
        metrics = read_record(folders[name] / "result.json").metrics
        clean = [r for r in rows if r["run"] == name and r["rate"] == 0]
        assert [r["kind"] for r in clean] == ["drop", "jitter", "freeze", "swap"]
        for row in clean:
            for key in ("mpjpe_mm", "pa_mpjpe_mm"):
                assert row[key] == pytest.approx(metrics[key], rel=1e-6)
            assert row["change_mm"] == 0


def test_every_method_sees_the_same_corruption(keypoints):
    _, found = keypoints
    assert len(found["rows"]) == 3 * 4 * 3
    hits: dict[tuple[str, float], set[tuple[float, int, int]]] = {}
    for row in found["rows"]:
        seen = (row["share"], row["hit"]["joints"], row["rest"]["joints"])
        hits.setdefault((row["kind"], row["rate"]), set()).add(seen)
        expected = row["rate"] * (12 / 17 if row["kind"] == "swap" else 1)
        assert row["share"] == pytest.approx(expected, abs=0.01)
    assert all(len(seen) == 1 for seen in hits.values())


def test_hypotheses_are_scored_where_a_method_has_them(keypoints):
    for row in keypoints[1]["rows"]:
        assert (row["hypotheses"] > 1) == (row["run"] == "diffpose")
        assert (row["best_mm"] is not None) == (row["run"] == "diffpose")
    assert "| best hypothesis |" in (keypoints[0] / "robustness.md").read_text()


def test_optimised_answers_stand_beside_the_plain_ones(keypoints, folders, tmp_path):
    options = ("--kinds", "drop", "--rates", "0.3", "--tto", "--set", "tto.iterations=2")
    rows = study(folders, ["videopose3d"], tmp_path, *options)["rows"]
    assert [(r["answer"], r["rate"]) for r in rows] == [
        (answer, rate) for rate in (0, 0.3) for answer in ("plain", "optimised")
    ]
    plain = [r for r in keypoints[1]["rows"] if (r["run"], r["kind"]) == ("videopose3d", "drop")]
    for k in (0, 1):
        assert rows[2 * k]["mpjpe_mm"] == pytest.approx(plain[k]["mpjpe_mm"], rel=1e-6)
        assert rows[2 * k]["mpjpe_mm"] != rows[2 * k + 1]["mpjpe_mm"]
        assert rows[2 * k]["hit"]["joints"] == rows[2 * k + 1]["hit"]["joints"]
    text = (tmp_path / "robustness.md").read_text()
    assert "--set tto.iterations=2" in text
    assert "Optimised at test time: videopose3d: tto(root=solve" in text


def test_areas_and_files(keypoints):
    output, found = keypoints
    assert len(found["areas"]) == 3 * 4
    area = found["areas"][0]
    own = {key: area[key] for key in ("run", "kind", "answer")}
    curve = [row["mpjpe_mm"] for row in found["rows"] if own.items() <= row.items()]
    assert area["mm"] == pytest.approx((curve[0] + 2 * curve[1] + curve[2]) / 4)
    text = (output / "robustness.md").read_text()
    assert text.startswith("`lifting robustness ")
    assert "--rates 0.3 0.6 --full --seed 0`" in text
    for title in ("Lost joints", "Jittered joints", "Frozen joints", "Exchanged joints"):
        assert f"**{title}**" in text
    assert "advocc" not in text
    lines = (output / "robustness.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found["rows"])
    assert (output / "robustness.png").stat().st_size > 500


def test_methods_of_pictures_take_pictures(folders, tmp_path):
    options = ("--levels", "0.4", "--searched", "8", "--stride", "80", "--batch", "5")
    found = study(folders, [PICTURES], tmp_path, *options)
    kinds = [(row["kind"], row["rate"]) for row in found["rows"]]
    assert kinds == [(k, level) for k in ("occluder", "truncation") for level in (0, 0.4)]
    for row in found["rows"]:
        if row["rate"] == 0:
            assert row["hit"]["joints"] == 0
        else:
            assert row["mpjpe_mm"] != found["rows"][0]["mpjpe_mm"]
            assert row["hit"]["joints"] > 0
    assert [row["occluder"] for row in found["advocc"]] == [40, 80]
    assert found["advocc"][1]["pictures"] == 8
    assert "**synthetic-advocc**" in (tmp_path / "robustness.md").read_text()

    # The worst place by a search one window at a time.
    (run,) = load_runs([folders[PICTURES]])
    module = load_trained(run, torch.device("cpu"))
    frames = Frames(run.config, "test", every=run.config.data.eval_every, poses=None, seed=0)
    few = frames.thinned(8)
    (batch,) = few.batches(8, torch.device("cpu"))
    size = batch.image.shape[-1]
    places, texture = true_places(few.tracks, few.rows), occluder_texture(size, 0)
    clean, each, hits = batch.image, [], []
    for window in occluder_windows(size, 80, 80):
        windows = window.expand(8, 4)
        batch.image = occlude(clean, windows, texture)
        mask = scored_joints(places, windows, size)
        mask[:, module.skeleton.root] = False
        answer = plain_answer(module)(batch)
        position, _ = pair_errors(module, answer, batch, mask)
        each.append(position.error.sum(1) / position.valid.sum(1))
        hits.append(half_a_head(answer, batch, mask))
    worst = torch.stack(each).amax(0).mean()
    assert found["advocc"][1]["mpjpe_mm"] == pytest.approx(float(worst), rel=1e-4)
    assert found["advocc"][1]["pckh"] == pytest.approx(
        100 * float(torch.stack(hits).amin(0).mean())
    )


def half_a_head(answer, batch, mask):
    """Share of the joints within half a head of their label, a picture after the other."""
    root, names = answer.trajectory[:, 0, None], H36M_17.joints
    found = project(answer.joints_3d[:, 0] + root, batch.camera.intrinsics)
    wanted = project(batch.joints_3d[:, 0], batch.camera.intrinsics)
    shares = []
    for person, label, counted in zip(found, wanted, mask, strict=True):
        head = (label[names.index("head")] - label[names.index("thorax")]).norm()
        near = (person - label).norm(dim=-1) <= head / 2
        shares.append(near[counted].float().mean())
    return torch.stack(shares)


def test_a_run_needs_a_corruption_of_its_own(folders, capsys):
    command = ["robustness", str(folders["simple_baseline"]), "--kinds", "advocc"]
    assert main(command) == 2
    assert "expected a corruption of keypoints for 'simple_baseline'" in capsys.readouterr().err
