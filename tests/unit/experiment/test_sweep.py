from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lifting.errors import ConfigError
from lifting.experiment.folder import finished_run, mark_finished
from lifting.experiment.load import load_experiment
from lifting.experiment.sweep import JobKey, Sweep, find_sweep, load_sweep

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def folder(tiny_experiment, tmp_path) -> Path:
    (tmp_path / "experiments" / "sweep").mkdir()
    return tmp_path / "experiments" / "sweep"


def load(folder: Path, text: str, overrides: tuple[str, ...] = (), **options) -> Sweep:
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return load_sweep("study", overrides, **options)


def test_a_sweep_is_the_base_the_grid_and_what_is_named(folder):
    sweep = load(
        folder,
        """
        experiment: tiny
        description: a study
        settings: {trainer.max_epochs: 1}
        seeds: [3, 1]
        grid: {method.head.width: [16, 8], method.loss: [squared, absolute]}
        variants: {slow, at first: {optimizer.lr: 1.0e-4, optimizer: {warmup_steps: 2}}}
        test_variants: {noted: {method.note: "a: b, [c]"}}
        """.replace("slow, at first", '"slow, at first"'),
        output=folder / "runs",
    )
    # width 16 with squared loss is the base itself
    names = [
        "base", "width=16, loss=absolute", "width=8, loss=squared", "width=8, loss=absolute",
        "slow, at first", "noted",
    ]  # fmt: skip
    assert [v.name for v in sweep.variants] == names
    assert [v.trains for v in sweep.variants] == [True] * 5 + [False]
    assert list(sweep.jobs) == [JobKey(name, seed) for seed in (3, 1) for name in names]
    config = sweep.jobs[JobKey("width=8, loss=absolute", 1)].config
    assert (config.method["head"]["width"], config.method["loss"]) == (8, "absolute")
    assert (config.seed, config.trainer.max_epochs) == (1, 1)
    assert config.run == "width-8-loss-absolute-seed1"
    assert config.output == str(folder / "runs")
    slow = sweep.jobs[JobKey("slow, at first", 3)]
    assert (slow.config.optimizer.lr, slow.config.optimizer.warmup_steps) == (1e-4, 2)
    assert slow.weights_of is None
    noted = sweep.jobs[JobKey("noted", 3)]
    assert noted.config.method["note"] == "a: b, [c]"
    assert noted.weights_of == sweep.jobs[JobKey("base", 3)].config


def test_settings_of_the_command_line_lie_below_the_variants(folder):
    text = "experiment: tiny\nsettings: {optimizer.lr: 1.0}\nvariants: {a: {optimizer.lr: 3.0}}\n"
    sweep = load(folder, text, ("optimizer.lr=2.0",))
    assert [job.config.optimizer.lr for job in sweep.jobs.values()] == [2.0, 3.0]
    assert sweep.output == Path("outputs/sweep/study")


def test_a_variant_may_lay_a_file_over_the_experiment(folder):
    (folder.parent / "wide.yaml").write_text("method: {head: {width: 99}}\n")
    sweep = load(folder, "experiment: tiny\nvariants: {wide: {extends: wide}}\n")
    assert sweep.jobs[JobKey("wide", 0)].config.method["head"]["width"] == 99


def test_settings_may_not_follow_the_seed(folder):
    (folder.parent / "follows.yaml").write_text("data: {noise_seed: '${seed}'}\n")
    text = "experiment: tiny\nseeds: [0, 1]\nvariants: {a: {extends: follows}}\n"
    with pytest.raises(ConfigError, match=r"variant 'a' of .*got others with seed 1"):
        load(folder, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("variants: {a: {seed: 1}}", "expected 'experiment' in"),
        ("experiment: tny", r"expected a grid or variants in .* got none"),
        ("experiment: tny\ngrid: {method.note: [a]}", "unknown experiment 'tny'.*'tiny'"),
        ("experiment: tiny\nvariant: {}", "unknown key 'variant'; did you mean 'variants'"),
        ("experiment: tiny\nvariants: {a: {method.nite: 1}}",
         "variant 'a' of .*unknown key 'method.nite'; did you mean 'note'"),
        ("experiment: tiny\ngrid: {method.head.width: [8, x]}",
         "variant 'width=x' of .*expected 'method.head.width' to be a whole number"),
        ("experiment: tiny\ngrid: {method.note: []}", "expected 'grid.method.note'.*list values"),
        ("experiment: tiny\ngrid: {method.note: a}", "expected 'grid.method.note'.*list values"),
        ("experiment: tiny\ngrid: {method.note: [a, a]}", "'note=a' twice"),
        ("experiment: tiny\nvariants: {base: {method.note: a}}", "'base' twice"),
        ("experiment: tiny\nvariants: {a: {method.note: b}, a: {method.note: c}}",
         "expected YAML.*duplicate key a"),
        ("experiment: tiny\nvariants: {a: {method.note: b}, c: {method.note: b}}",
         "got the same for 'a' and 'c'"),
        ("experiment: tiny\nvariants: {a: {method.note: null}}", "the same for 'base' and 'a'"),
        ("experiment: tiny\nvariants: {a: {}}", "expected keys and values in 'variants.a'"),
        ("experiment: tiny\nvariants: {a: [b]}", "expected keys and values in 'variants.a'"),
        ("experiment: tiny\nvariants: {'+': {method.note: a}}", "expected a letter first"),
        ("experiment: tiny\ngrid: {seed: [1, 2]}", "expected no 'seed' in 'grid'.*'seeds'"),
        ("experiment: tiny\nsettings: {output: x}\nvariants: {a: {method.note: b}}",
         "expected no 'output' in 'settings'.*--output"),
        ("experiment: tiny\nseeds: []\nvariants: {a: {method.note: b}}", "expected 'seeds'"),
        ("experiment: tiny\nseeds: [1, 1]\nvariants: {a: {method.note: b}}", "different seeds"),
        ("experiment: tiny\nseeds: [-1]\nvariants: {a: {method.note: b}}", "expected 'seed'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(folder, text, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        load(folder, text)


def test_the_command_line_may_not_set_what_the_sweep_sets(folder):
    text = "experiment: tiny\nvariants: {a: {method.note: b}}\n"
    with pytest.raises(ConfigError, match="expected no 'run' in --set, got 'run=x'"):
        load(folder, text, ("run=x",))


def test_a_sweep_is_found_by_name_and_by_path(folder):
    path = folder / "study.yaml"
    path.touch()
    assert find_sweep("study") == find_sweep(str(path)) == path
    assert find_sweep(str(folder.parent / "study.yaml")) == path
    for name in ("stdy", str(folder / "stdy.yaml")):
        with pytest.raises(ConfigError, match=r"unknown sweep .*did you mean 'study'"):
            find_sweep(name)


def test_a_finished_run_is_known_by_what_it_measures(tiny_experiment, tmp_path):
    config = load_experiment(tiny_experiment)
    folder = Path(config.output) / "tiny" / "run"
    assert finished_run(config) is None
    assert mark_finished(folder, config) == folder
    assert finished_run(load_experiment(tiny_experiment, ["wandb.mode=offline"])) == folder
    other = load_experiment(tiny_experiment, ["optimizer.lr=0.5"])
    assert finished_run(other) is None
    # A test of another run's weights is not that run.
    assert finished_run(config, weights_of=other) is None
    mark_finished(folder, config, weights_of=other)
    assert finished_run(config) is None
    assert finished_run(config, weights_of=other) == folder


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments/sweep").glob("*.yaml")))
def test_the_sweeps_of_the_repository_are_valid(path, monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(REPOSITORY / "experiments"))
    seeds = yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]
    sweep = load_sweep(path.stem)
    assert sweep.seeds == tuple(seeds)
    assert len(sweep.variants) > 1
    assert sweep.description
