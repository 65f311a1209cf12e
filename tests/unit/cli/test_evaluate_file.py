"""``lifting evaluate-file``: answers of any program are scored as our own are, or refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from every_set import WRITERS

from lifting.batch import root_relative
from lifting.cli.main import main
from lifting.experiment.answer_file import ORIGIN, score_file
from lifting.experiment.build import build_data, make_module
from lifting.experiment.load import load_scoring
from lifting.methods.settings import ModuleSettings
from lifting.methods.simple_baseline.config import Config

ROOT = Path(__file__).parents[3]
SMALL = [
    "data.synthetic.train_sequences=1", "data.synthetic.val_sequences=1",
    "data.synthetic.test_sequences=1", "data.synthetic.sequence_frames=8",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _places(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(ROOT / "experiments"))
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LIFTING_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def truth(name, *overrides):
    """A data set, and the arrays of a file that answers all of its test split rightly."""
    config = load_scoring(name, overrides)
    tracks = build_data(config).tracks("test")
    lengths = tracks.offsets.diff()
    return config, {
        "joints_3d": tracks.labels().numpy(),
        "joints": np.array(tracks.skeleton.joints),
        "unit": "mm",
        "frame": "camera",
        "recordings": np.repeat(np.array(tracks.track_names), lengths.numpy()),
        "frame_numbers": np.concatenate([np.arange(n) for n in lengths.tolist()]),
    }


def write(**arrays):
    np.savez("predictions.npz", **arrays)
    return Path("predictions.npz")


def score(config, **arrays):
    return score_file(write(**arrays), config, build_data(config))


def noisy(arrays, scale=30.0):
    noise = np.random.default_rng(0).normal(0, scale, arrays["joints_3d"].shape)
    return {**arrays, "joints_3d": (arrays["joints_3d"] + noise).astype(np.float32)}


@pytest.mark.parametrize(
    ("name", "choice"), [("synthetic", "--data"), ("cmu", "--data"), ("h36m_gt", "--protocol")]
)
def test_the_truth_scores_zero_on_every_set(name, choice, tmp_path, capsys):
    root = tmp_path / "files"
    root.mkdir()
    words = SMALL if name == "synthetic" else [f"data.root={root}", *WRITERS[name](root)]
    _, arrays = truth(name, *words)
    write(**arrays)
    chosen = "h36m/p1" if choice == "--protocol" else name
    assert main(["evaluate-file", "predictions.npz", choice, chosen, *words]) == 0
    said = capsys.readouterr().out
    assert "coverage:    100.00%" in said
    assert "not ranked" not in said
    (path,) = Path("outputs/file").glob("*-predictions-evaluate/result.json")
    record = json.loads(path.read_text())
    assert record["metrics"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert record["experiment"] == record["extras"]["trained_on"] == ORIGIN
    assert ORIGIN == "file, training unknown"
    assert (record["method"], record["two_d"]) == ("predictions", "not told")
    assert record["protocol"]["name"] == ("h36m/p1" if choice == "--protocol" else "default")
    assert "coverage" not in record["samples"]
    assert len(record["weights"]) == 64
    assert main(["results", "outputs"]) == 0
    if name == "synthetic":
        capsys.readouterr()
        assert main(["evaluate-file", "predictions.npz", choice, chosen, *words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["scores"] == record["metrics"]
        assert told["answered"] == told["samples"] > 0


def test_scores_are_those_of_a_model_that_answers_the_same():
    """All scores, through the metrics that a test of a module reads."""
    config, arrays = truth("synthetic", *SMALL)
    data = build_data(config)
    torch.manual_seed(0)
    settings = ModuleSettings("simple_baseline", protocol=config.protocol)
    module = make_module(Config(channels=8, blocks=1), settings).eval()
    metrics, answers = module.new_metrics(data.info("test")), []
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for batch in data.test_dataloader():
            answers.append(module.infer(batch))
            metrics.update(answers[-1], batch)
    expected = {key: float(value) for key, value in metrics.compute().items()}
    poses = torch.cat([answer.joints_3d[:, 0] for answer in answers]) + 1000.0
    config.pss = ()
    found = score(config, **{**arrays, "joints_3d": poses.numpy()})
    scores = {**found.record.metrics, **found.record.oracle}
    assert scores.keys() == expected.keys()
    for key, value in expected.items():
        assert scores[key] == pytest.approx(value, rel=1e-5, abs=1e-4, nan_ok=True), key
    assert found.record.metrics["mpjve_mm_per_frame"] > 0


def test_errors_are_those_of_plain_arithmetic():
    config, arrays = truth("synthetic", *SMALL)
    given = noisy(arrays)
    record = score(config, **given).record
    a, b = (
        root_relative(torch.from_numpy(each["joints_3d"]).double(), 0) for each in (given, arrays)
    )
    expected = (a - b).norm(dim=-1).mean().item()
    assert record.metrics["mpjpe_mm"] == pytest.approx(expected, rel=1e-5)
    assert 30 < expected < 90


def test_units_order_of_joints_and_of_poses_do_not_matter():
    config, arrays = truth("synthetic", *SMALL)
    given = noisy(arrays)
    plain = score(config, **given).record.metrics
    rng = np.random.default_rng(1)
    poses, joints = (rng.permutation(n) for n in given["joints_3d"].shape[:2])
    other = {
        **given,
        "joints_3d": given["joints_3d"][poses][:, joints] / 1000,
        "joints": given["joints"][joints],
        "unit": "m",
        "recordings": given["recordings"][poses],
        "frame_numbers": given["frame_numbers"][poses],
    }
    again = score(config, **other).record.metrics
    assert again.keys() == plain.keys()
    assert again == pytest.approx(plain, rel=1e-4, abs=1e-3, nan_ok=True)


def test_a_part_is_scored_and_not_ranked(capsys):
    _, arrays = truth("synthetic", *SMALL)
    each = ("joints_3d", "recordings", "frame_numbers")
    part = {k: v[::4] if k in each else v for k, v in arrays.items()}
    for name, content in (("whole", arrays), ("part", {**part, "method": "theirs"})):
        np.savez(f"{name}.npz", **content)
        assert main(["evaluate-file", f"{name}.npz", "--data", "synthetic", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "theirs: file, training unknown" in said
    assert "coverage:    25.00%, 8 of 32 samples" in said
    assert "not ranked:" in said
    assert main(["results", "outputs"]) == 2
    assert "samples: coverage" in capsys.readouterr().err
    assert main(["results", "outputs", "--mixed"]) == 0


def test_only_samples_of_the_protocol_count(capsys):
    _, arrays = truth("synthetic", *SMALL)
    write(**{**arrays, "two_d": "projected"})
    words = ["evaluate-file", "predictions.npz", "--data", "synthetic", *SMALL]
    assert main([*words, "data.eval_every=4"]) == 0
    said = capsys.readouterr().out
    assert "coverage:    100.00%, 8 of 8 samples" in said
    assert "not scored:  24 poses" in said
    odd = arrays["frame_numbers"] % 2 == 1
    each = ("joints_3d", "recordings", "frame_numbers")
    write(**{k: v[odd] if k in each else v for k, v in arrays.items()})
    assert main([*words, "data.eval_every=4"]) == 2
    assert "got none of them; it takes every 4 frames" in capsys.readouterr().err


def changed(**values):
    return lambda arrays: {**arrays, **values}


def edited(name, place, value):
    def change(arrays):
        array = arrays[name].copy()
        array[place] = value
        return {**arrays, name: array}

    return change


BAD = {
    "no unit": (lambda a: {k: v for k, v in a.items() if k != "unit"}, "expected the arrays unit"),
    "two missing": (lambda a: {"joints_3d": a["joints_3d"], "unit": "mm", "frame": "camera"},
                    "expected the arrays joints, recordings, frame_numbers"),
    "unknown array": (changed(frame_number=3), "unknown array 'frame_number'.* 'frame_numbers'"),
    "unit": (changed(unit="cm"), "expected a unit of mm or m .*got 'cm'"),
    "frame": (changed(frame="world"), "expected frame 'camera' .*got 'world'; turn the poses"),
    "a joint": (edited("joints", 3, "toe"), "missing: right_ankle; unknown: toe"),
    "a joint twice": (edited("joints", 3, "hip"), "missing: right_ankle; twice: hip"),
    "fewer joints": (lambda a: {**a, "joints_3d": a["joints_3d"][:, :16],
                                "joints": a["joints"][:16]}, "missing: right_wrist;"),
    "names of joints": (lambda a: {**a, "joints": a["joints"][:16]}, "got .*16 joints"),
    "axes": (lambda a: {**a, "joints_3d": a["joints_3d"][..., :2]}, "shape .poses, joints, 3."),
    "poses flat": (lambda a: {**a, "joints_3d": a["joints_3d"].reshape(-1, 51)}, "with 3 axes"),
    "whole numbers": (lambda a: {**a, "joints_3d": a["joints_3d"].astype(int)}, "to be float"),
    "a number for each pose": (lambda a: {**a, "frame_numbers": a["frame_numbers"][:-1]},
                               "a frame number for each pose"),
    "none": (lambda a: {**a, "joints_3d": a["joints_3d"][:0], "recordings": a["recordings"][:0],
                        "frame_numbers": a["frame_numbers"][:0]}, "expected poses .*got none"),
    "recording": (edited("recordings", 5, "nowhere"), "got 'nowhere'; .*--list shows them"),
    "frame number": (edited("frame_numbers", 5, 8), "from 0 to 7 .*got 8; .*counted from 0"),
    "negative": (edited("frame_numbers", 5, -1), "from 0 to 7 .*got -1"),
    "broken number": (changed(frame_numbers=np.zeros(32)), "'frame_numbers' .*to be integer"),
    "duplicates": (edited("frame_numbers", 5, 4),
                   "expected each frame once .*1 poses too many, the first of frame 4 of"),
    "NaN": (edited("joints_3d", (7, 2), np.nan),
            "expected finite numbers .*1 poses .*at right_knee of frame 7 of"),
    "infinite": (edited("joints_3d", (7, 2, 1), np.inf), "expected finite numbers"),
    "wrong unit": (changed(unit="m"), "expected poses of people.* m across .*correct the unit"),
    "pickles": (changed(joints=np.array([None] * 17)), "got pickled objects, which are refused"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_words(case, capsys):
    change, message = BAD[case]
    _, arrays = truth("synthetic", *SMALL)
    write(**change(arrays))
    assert main(["evaluate-file", "predictions.npz", "--data", "synthetic", *SMALL]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "predictions.npz" in said
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a file of poses, got none"),
        (["a.npz"], "expected a protocol or a data file, got none; give --data or --protocol"),
        (["a.npz", "--protocol", "h36m/p3"], "unknown protocol 'h36m/p3'; did you mean"),
        (["a.npz", "--data", "cmuu"], "did you mean 'cmu'"),
        (["a.npz", "--data", "synthetic", *SMALL], "expected a file at a.npz, found none"),
        (["a.npz", "--data", "synthetic", "data.evry=2"], "unknown key 'data.evry'"),
        (["a.npz", "--protocol", "default"], "expected a data file with protocol 'default'"),
        (["a.npz", "--data", "synthetic", "extends=data/cmu"], "got extends=data/cmu"),
    ],
)
def test_mistakes(words, message, capsys):
    assert main(["evaluate-file", *words]) == 2
    assert message in capsys.readouterr().err


def test_data_that_are_not_there(capsys):
    write(**truth("synthetic", *SMALL)[1])
    assert main(["evaluate-file", "predictions.npz", "--protocol", "h36m/p1"]) == 2
    assert "data_3d_h36m.npz" in capsys.readouterr().err


def test_a_text_file_is_no_npz(capsys):
    Path("a.npz").write_text("poses")
    assert main(["evaluate-file", "a.npz", "--data", "synthetic", *SMALL]) == 2
    assert "expected an npz (zip) archive in a.npz" in capsys.readouterr().err


def test_recordings_are_listed(capsys):
    assert main(["evaluate-file", "--list", "--data", "synthetic", *SMALL]) == 0
    said = capsys.readouterr().out
    _, arrays = truth("synthetic", *SMALL)
    for name in dict.fromkeys(arrays["recordings"].tolist()):
        assert name in said
    assert f"joints: {', '.join(arrays['joints'])}" in said


def test_the_writer_of_the_page_makes_a_file_that_is_scored(tmp_path):
    page = (ROOT / "docs/guide/evaluate_file.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    assert "lifting" not in program
    assert len([line for line in program.splitlines() if line.strip()]) <= 10
    root = tmp_path / "files"
    root.mkdir()
    config, arrays = truth("h36m_gt", f"data.root={root}", *WRITERS["h36m_gt"](root))
    name = re.search(r'\["(S9.*?)"\]', program)[1]
    rows = arrays["recordings"] == name
    assert rows.any(), sorted(set(arrays["recordings"].tolist()))
    np.save("poses.npy", arrays["joints_3d"][rows])
    np.savetxt("joints.txt", arrays["joints"], fmt="%s")
    exec(program, {})
    found = score_file(Path("predictions.npz"), config, build_data(config))
    assert found.answered == int(rows.sum()) < found.samples
    assert found.record.samples["coverage"] == found.answered / found.samples
    assert found.record.metrics["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found.record.method == "ours"
