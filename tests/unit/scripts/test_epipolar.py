"""The table of teachers and students: what it runs, what it repeats, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import epipolar_teachers as teacher
from epipolar import main
from epipolar_plan import TEACHERS, Plan
from epipolar_students import StudentRow
from epipolar_table import ratios, student_cells, teacher_cells, write_table
from epipolar_teachers import TeacherRow, teacher_row
from lifting.data.datamodule import PoseDataModule, spread_recordings
from lifting.errors import ConfigError
from lifting.experiment.build import build_module
from lifting.experiment.monitor import check_monitor
from lifting.experiment.without_truth import scored, supervision_callbacks

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
SMALL = (
    "data.synthetic.train_sequences=1",
    "data.synthetic.val_sequences=1",
    "data.synthetic.test_sequences=1",
    "data.synthetic.sequence_frames=16",
    "data.noise=light",
    "data.teacher.min_joints=4",
)


@pytest.fixture(autouse=True)
def _places(monkeypatch, tmp_path):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))


def make_plan(tmp_path, **changes):
    values = {
        "command": "epipolar.py", "experiment": "epipolarpose", "overrides": SMALL,
        "recordings": 5, "rigs": 1, "epochs": 2, "held_out": "view3", "students": (),
        "output": tmp_path / "table",
    }  # fmt: skip
    return Plan(**{**values, **changes})


def test_students_differ_in_their_labels_only(tmp_path):
    plan = make_plan(tmp_path)
    found = {k.key: plan.config(k, Path("a.ckpt") if k.over else None) for k in plan.all_kinds()}
    assert found["truth"].data.labels == "truth"
    assert found["given"].data.labels == "epipolar"
    assert found["intrinsics"].data.teacher.cameras == "intrinsics"
    assert found["held_out"].data.teacher.held_out == "view3"
    assert found["two_d"].data.noise == "none"
    assert found["refined"].method["over"] == "a.ckpt"
    for config in found.values():
        assert config.data.train_recordings == 5
        assert config.trainer.max_epochs == 2
        assert config.trainer.monitor == "val/n_mpjpe_mm"
    first, second = found["truth"], found["given"]
    assert first.method == second.method
    assert first.optimizer == second.optimizer
    with pytest.raises(ConfigError, match="unknown student 'gven'; did you mean 'given'"):
        make_plan(tmp_path, students=("gven",)).student_kinds()


def test_teachers_are_told_less_and_less(tmp_path):
    plan = make_plan(tmp_path)
    told = {kind.key: plan.teacher(kind) for kind in TEACHERS}
    assert told["given"].cameras == "given"
    assert (told["one"].cameras, told["one"].pool_frames) == ("intrinsics", 1)
    assert told["pooled"].pool_frames > 100
    assert told["sizes"].cameras == "sizes"


def test_a_teacher_is_measured_against_the_truth_and_not_twice(tmp_path, monkeypatch):
    plan = make_plan(tmp_path)
    row = teacher_row(plan, TEACHERS[0])
    assert row.rigs == 1
    assert 0.5 < row.labelled <= 1
    assert row.pa_mpjpe_mm < row.n_mpjpe_mm <= row.mpjpe_mm + 0.1 < 60
    monkeypatch.setattr(teacher, "_measure", None)
    assert teacher_row(plan, TEACHERS[0]) == row
    with pytest.raises(TypeError):
        teacher_row(make_plan(tmp_path, held_out="view2"), TEACHERS[0])


def test_scores_of_labels():
    generator = torch.Generator().manual_seed(0)
    truth = 300 * torch.randn(2, 6, 17, 3, generator=generator).double()
    valid = torch.rand(2, 6, 17, generator=generator) < 0.8
    valid[..., 0] = True
    labels = 1.2 * truth
    labels[~valid] = torch.nan
    count, plain, aligned, scaled, total = teacher._score(labels, truth, valid, 0).tolist()
    assert count == valid.sum()
    assert total == valid.numel()
    assert aligned / count < 0.1
    assert scaled / count < 0.1
    off = 0.2 * (truth - truth[..., :1, :]).norm(dim=-1)[valid].sum()
    assert plain == pytest.approx(float(off), rel=1e-4)


ROWS = [
    StudentRow("truth", "3D truth", "fully supervised", {"pa_mpjpe_mm": 50.0, "mpjpe_mm": 60.0}),
    StudentRow("mean_pose", "mean pose", "no learning", {"pa_mpjpe_mm": 200.0}),
    StudentRow("intrinsics", "labels", "self-supervised", {"pa_mpjpe_mm": 55.0}, 70.0, "a"),
]


def test_the_table_is_written_whole(tmp_path):
    plan = make_plan(tmp_path)
    teachers = [
        TeacherRow("given", "known", 2, {"good": 2}, mpjpe_mm=10.0),
        TeacherRow("one", "x"),
    ]
    text, data = write_table(plan, teachers, ROWS)
    values = json.loads(data.read_text())
    assert values["students"][2]["over_truth"] == pytest.approx(1.1)
    assert values["students"][2]["over_mean_pose"] == pytest.approx(0.275)
    assert values["teachers"][1]["pa_mpjpe_mm"] is None
    assert "| labels | 55.0 | - | - | 70.0 | 1.10 | 0.28 |" in text.read_text()
    assert teacher_cells(teachers[1])[1:] == ["-", "-", "-", "-", "-", "-", "-"]
    assert student_cells(ROWS[1], ROWS)[-1] == "1.00"
    assert ratios(ROWS[0], []) == {"over_truth": None, "over_mean_pose": None}


def test_recordings_are_spread_and_keep_their_views(tiny_tracks):
    part = spread_recordings(tiny_tracks, 1)
    assert part.track_names == ("a/view0", "a/view1")
    assert spread_recordings(tiny_tracks, 9).track_names == tiny_tracks.track_names


def test_mpjpe_is_refused_where_the_labels_have_no_scale(tmp_path):
    config = make_plan(tmp_path).config(make_plan(tmp_path).all_kinds()[2])
    data = PoseDataModule(config.data, 0)
    data.info = lambda split: PoseDataModule(config.data, 0, {split: data.tracks("test")}).info(
        split
    )
    names = ("mpjpe_mm", "mpjpe_mm/Walking", "pck_150mm", "auc", "bone_mae_mm")
    free = ("n_mpjpe_mm", "pa_mpjpe_mm", "pss_50", "n_poses")
    kept = scored(dict.fromkeys((*names, *free), 1.0), data)
    assert set(kept) == set(free)
    assert len(supervision_callbacks(config, data)) == 1
    config.trainer.monitor = "val/mpjpe_mm"
    with pytest.raises(ConfigError, match=r"set trainer\.monitor to val/n_mpjpe_mm"):
        check_monitor(config, build_module(config, data.skeleton), data)


def test_mistakes_of_the_command_show_before_anything_is_run(tmp_path, capsys):
    output = ["--output", str(tmp_path)]
    for arguments, message in (
        (["--rigs", "-1"], "expected --rigs from 0"),
        (["--students", "tru"], "unknown student 'tru'"),
        (["--set", "data.labls=truth"], "unknown key 'data.labls'"),
    ):
        assert main(["epipolarpose", *arguments, *output]) == 2
        assert message in capsys.readouterr().err


def test_help_needs_no_torch(check_answer):
    check_answer(0, "--held-out", "--help", module="epipolar")
