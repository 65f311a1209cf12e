from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutated_yaml import LAUGHS, REFERENCES, yaml_mutations

from lifting.atomic import replacing, write_text
from lifting.errors import ConfigError, OutputError
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import (
    experiment_folders,
    find_experiment,
    find_file,
    list_experiments,
    load_data,
    load_experiment,
    load_values,
    method_config,
    save_resolved,
    to_plain,
    to_run,
)


@pytest.fixture
def folder(tiny_experiment):
    return experiment_folders()[0]


def write(folder: Path, name: str, text: str) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_defaults_and_method_keys_are_filled_in(tiny_experiment):
    config = load_experiment(tiny_experiment)
    assert isinstance(config, ExperimentConfig)
    assert config.name == "tiny"
    assert config.optimizer.betas == (0.9, 0.999)
    assert config.method == {
        "name": "tiny_method",
        "head": {"width": 16, "dropout": 0.2},
        "warm_epochs": 2,
        "noise": 0.01,
        "loss": "squared",
        "scales": (1.0, 1.0),
        "note": None,
    }
    built = method_config(config.method)
    assert (built.head.width, built.scales) == (16, (1.0, 1.0))


def test_extends_in_order_then_own_keys_then_overrides(folder):
    write(folder, "base", "seed: 1\noptimizer: {lr: 0.5}\ntrainer: {max_epochs: 7}\n")
    write(folder, "data/far", "data: {eval_every: 9, frames: 3}\nseed: 2\n")
    write(folder, "mine", "extends: [tiny, base, data/far]\ndata: {frames: 5}\n")
    config = load_experiment("mine", ["trainer.max_epochs=8", "trainer.max_epochs=9"])
    assert config.name == "mine"
    assert config.description == ""
    assert (config.seed, config.data.frames, config.data.eval_every) == (2, 5, 9)
    assert (config.optimizer.lr, config.trainer.max_epochs) == (0.5, 9)


def test_overlay_goes_below_overrides_and_above_the_file(folder):
    write(folder, "data/far", "name: no\ndata: {frames: 3, eval_every: 4}\n")
    config = load_experiment("tiny", ["data.frames=7", "extends=data/far"])
    assert (config.name, config.data.frames, config.data.eval_every) == ("tiny", 7, 4)


def test_an_overlays_file_for_the_method_follows_it(folder):
    write(folder, "overlay/small", "trainer: {max_epochs: 1}\nmethod: {loss: absolute}\n")
    write(folder, "overlay/small_tiny_method", "method: {head: {width: 2}, warm_epochs: 0}\n")
    write(folder, "overlay/small_other", "method: {nothing: 1}\n")
    config = load_experiment("tiny", ["extends=overlay/small", "method.warm_epochs=4"])
    assert config.trainer.max_epochs == 1
    assert config.method["head"] == {"width": 2, "dropout": 0.2}
    assert (config.method["loss"], config.method["warm_epochs"]) == ("absolute", 4)
    assert load_experiment("tiny").method["head"]["width"] == 16


def test_values_of_a_checkpoint_go_between_file_and_overrides(tiny_experiment):
    method = {"name": "tiny_method", "warm_epochs": 5, "head": {"width": 99, "dropout": 0.1}}
    config = load_experiment(tiny_experiment, ["method.head.width=3"], method=method)
    assert config.method["warm_epochs"] == 5
    assert config.method["head"] == {"width": 3, "dropout": 0.1}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.lr=1e-4", 1e-4),
        ("optimizer.betas=[0.5, 0.6]", (0.5, 0.6)),
        ("trainer.limit_val_batches=null", None),
        ("data.synthetic.extras=[mixtures]", ("mixtures",)),
        ("run=2024", "2024"),
        ("seed=${data.noise_seed}", 0),
    ],
)
def test_override_values(tiny_experiment, override, expected):
    value = load_experiment(tiny_experiment, [override])
    for part in override.split("=")[0].split("."):
        value = getattr(value, part)
    assert value == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.framse=3", r"unknown key 'data.framse'; did you mean 'frames'\?"),
        ("optimiser.lr=1", r"unknown key 'optimiser'; did you mean 'optimizer'\?"),
        ("method.warm_epoch=1", r"unknown key 'method.warm_epoch'; did you mean 'warm_epochs'\?"),
        ("method.head.widht=1", r"unknown key 'method.head.widht'; did you mean 'width'\?"),
        ("data.frames=abc", r"expected 'data.frames' to be a whole number, got 'abc' \(str\)"),
        ("data.frames=1.5", r"'data.frames' to be a whole number, got 1.5 \(float\)"),
        ("data.teacher.bone_lengths=[1]", r"expected .data.teacher.bone_lengths. to be a section"),
        ("data.flip=7.5", r"expected 'data.flip' to be true or false, got 7.5"),
        (
            "optimizer.betas=[[0.9],0.9]",
            r"'optimizer.betas' to be a list of 2 values, each a number",
        ),
        ("pss=[[clusters]]", r"'pss' to be a list, each text, got \[\['clusters'\]\]"),
        ("wandb.tags=[{a: 1}]", r"'wandb.tags' to be a list, each text"),
        ("optimizer.betas=[0.9]", r"'optimizer.betas' to be a list of 2 values, each a number"),
        ("data.cameras=h37m", r"'data.cameras' to be one of h36m, random, wild, got 'h37m'"),
        ("trainer.max_epochs=null", r"'trainer.max_epochs' to be a whole number, got None"),
        ("trainer.limit_val_batches=x", r"to be a whole number or null, got 'x'"),
        ("method.loss=cubic", r"'method.loss' to be one of squared, absolute, got 'cubic'"),
        ("data=cmu", r"expected 'data' to be a section of keys, got 'cmu'.*extends=data/NAME"),
        ("data.frames=8", r"'data.frames' to be an odd number from 1, .*got 8"),
        ("optimizer.lr=-1", r"'optimizer.lr' to be more than 0, got -1"),
        ("optimizer.matrix_lr=-1", r"'optimizer.matrix_lr' to be more than 0, got -1"),
        ("data.batch_size=0", r"'data.batch_size' to be a whole number from 1, got 0"),
        ("trainer.monitor=test/mpjpe_mm", r"key of the validation split.*got 'test/mpjpe_mm'"),
        ("data.name=cmv", r"unknown data set 'cmv'; did you mean 'cmu'\?"),
        ("name=a/b", r"'name' to be a name fit for a folder"),
        ("method.name=tiny_metod", r"unknown method 'tiny_metod'; did you mean 'tiny_method'\?"),
        ("method.name=null", r"expected 'method.name'"),
        ("seed=${nothing}", r"expected a value for 'seed'.*'nothing' not found"),
        ("seed=???", r"expected a value for 'seed'"),
        ("seed=[1", r"expected a YAML value in the override, got 'seed=\[1'"),
        ("seed", r"expected an override as key=value, got 'seed'"),
        ("=3", r"expected an override as key=value, got '=3'"),
        ("extends=data/cmv", r"unknown file 'data/cmv' in 'extends'"),
        ("extends=../../../x", r"unknown file '../../../x' in 'extends'"),
        ("extends=" + "x" * 300, r"unknown file 'xxx"),
        ("optimizer.lr=1e999", r"expected a finite number for 'optimizer.lr' in the override"),
        ("optimizer.lr=nan", r"'optimizer.lr'.* got nan"),
        ("seed=" + "9" * 5000, r"expected a YAML value in the override, got 'seed=999"),
        ("seed=" + "9" * 400, r"expected a number of 64 bits for 'seed'.*, got one of 1329"),
        ("description=" + "[" * 40 + "]" * 40, r"expected at most 32 levels in the override"),
        ("seed=!!bool z", r"expected a YAML value in the override"),
        ("method=[1]", r"expected 'method.name', got method: \[1\]"),
        ("run=" + "x" * 101, r"a name fit for a folder"),
        ('output="a\\0b"', r"expected text for 'output' .*NUL"),
    ],
)
def test_mistakes_are_named(tiny_experiment, override, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(tiny_experiment, [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\nc: 2\n", r"expected YAML in .*broken.yaml, line 3, got: did not find"),
        ("seed: 1\nseed: 2\n", r"line 2, got: found duplicate key seed"),
        ("- 1\n", r"expected keys and values in .*broken.yaml, got a list"),
        ("extends: {a: 1}\n", r"expected 'extends' in .*broken.yaml to list names"),
        ("extends: broken\n", r"without a circle, got broken -> broken"),
        ("extends: [tiny, tinny]\n", r"unknown file 'tinny' .*did you mean 'tiny'\?"),
        ("seed: 1\n", r"expected 'method.name', got method: None"),
    ],
)
def test_broken_files(folder, text, message):
    write(folder, "broken", text)
    with pytest.raises(ConfigError, match=message):
        load_experiment("broken")


def test_unknown_experiment_names_the_nearest(folder):
    write(folder, "base", "")
    with pytest.raises(
        ConfigError, match=r"unknown experiment 'tny'; did you mean 'tiny'\? known: .*tiny"
    ):
        find_experiment("tny")
    with pytest.raises(ConfigError, match="does not exist"):
        find_experiment(str(folder / "tny.yaml"))


def test_list_leaves_out_the_base(folder):
    write(folder, "base", "")
    listed = list_experiments()
    assert listed["tiny"] == "a test of the layers around a method"
    assert "simple_baseline" in listed
    assert "base" not in listed


def test_a_broken_file_hides_no_other(folder):
    write(folder, "broken", "a: [\n")
    listed = list_experiments()
    assert listed["broken"].startswith("broken: expected YAML in")
    assert "tiny" in listed
    with pytest.raises(ConfigError, match=r"unknown experiment 'tny'; did you mean 'tiny'\?"):
        find_experiment("tny")


def test_an_unknown_overlay_is_named_as_one_of_the_overrides(folder):
    message = (
        r"unknown file 'data/cmv' in 'extends' of the overrides of tiny; did you mean 'data/cmu'"
    )
    with pytest.raises(ConfigError, match=message) as error:
        load_experiment("tiny", ["extends=data/cmv"])
    assert "overlay/" not in str(error.value)


def test_files_are_looked_up_one_at_a_time(folder, tmp_path, monkeypatch):
    here = tmp_path / "here"
    for place in (here, here / "experiments"):
        place.mkdir()
    monkeypatch.chdir(here)
    own = Path("experiments")
    shipped = Path(__file__).parents[3] / "experiments"
    assert experiment_folders() == [folder, own, shipped]
    write(own, "tiny", "seed: 1\n")
    write(own, "simple_baseline", "extends: tiny\nseed: 2\n")
    assert find_file("tiny.yaml") == folder / "tiny.yaml"
    assert find_file("simple_baseline.yaml") == own / "simple_baseline.yaml"
    assert find_file("data/cmu.yaml") == shipped / "data" / "cmu.yaml"
    assert find_file("data/cmv.yaml") is None
    write(own, "mine", "extends: uao\n")
    assert load_experiment("mine").method["name"] == "uao"
    assert load_experiment("simple_baseline").method["name"] == "tiny_method"


def test_no_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"got .*none, which is none; set LIFTING_EXPERIMENTS"):
        experiment_folders()
    monkeypatch.delenv("LIFTING_EXPERIMENTS")
    monkeypatch.setattr("lifting.experiment.load.CHECKOUT", tmp_path / "gone")
    with pytest.raises(ConfigError, match="got neither folder; install the package again"):
        experiment_folders()


def test_resolved_file_loads_to_the_same_experiment(tiny_experiment, tmp_path):
    config = load_experiment(tiny_experiment, ["data.frames=3", "method.note=x"])
    path = tmp_path / "outputs" / "tiny" / "run" / "config.yaml"
    save_resolved(config, path)
    (path.parent / "checkpoints").mkdir()
    again = load_experiment(str(path))
    assert to_plain(again) == to_plain(config)
    assert again.name == "tiny"


def test_the_output_of_a_run_is_where_the_run_lies(tiny_experiment, tmp_path, monkeypatch):
    config = load_experiment(tiny_experiment)
    run = tmp_path / "moved" / "tiny" / "run"
    (run / "checkpoints").mkdir(parents=True)
    path = run / "config.yaml"
    save_resolved(config, path)
    assert str(tmp_path) not in path.read_text()
    assert load_experiment(str(path)).output == str(tmp_path / "moved")
    # Configurations of older versions hold the place where the run was made.
    path.write_text(f"{path.read_text()}output: {tmp_path / 'gone'}\n")
    assert load_experiment(str(path)).output == str(tmp_path / "moved")
    assert load_experiment(str(path), ["output=there"]).output == "there"
    monkeypatch.chdir(run)
    assert load_experiment("config.yaml").output == str(tmp_path / "moved")
    alone = run.rename(tmp_path / "alone")
    assert load_experiment(str(alone / "config.yaml")).output == "outputs"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(OutputError, match=r"expected to write .*a.txt"):
        write_text(path / "below" / "b.txt", "x")


def test_loading_imports_no_torch(tiny_experiment):
    code = (
        "import sys; import lifting.experiment.load, lifting.experiment.folder;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


RESOLVERS = (
    "${oc.env:LIFTING_SECRET}", "\\${oc.env:LIFTING_SECRET}", "x${oc.env:LIFTING_SECRET,y}",
    "${${oc.env:LIFTING_SECRET}}", "${oc.decode:'1'}", "${oc.create:{a: 1}}", "${mine:1}",
    "${${name}:LIFTING_SECRET}", "${ oc.env : LIFTING_SECRET }",
)  # fmt: skip
NO_RESOLVER = r"expected \$\{\.\.\.\} to name another key for .*, which asks for something"


@pytest.mark.parametrize("asked", RESOLVERS)
def test_nothing_but_a_key_can_be_referred_to(folder, tmp_path, monkeypatch, asked):
    monkeypatch.setenv("LIFTING_SECRET", "hunter2")
    text = json.dumps(asked)
    plain = to_plain(load_experiment("tiny"))
    write(folder, "asking", f"extends: tiny\ntags: 1\nwandb: {{tags: [a, {text}]}}\n")
    write(folder, "data/asking", f"data: {{root: {text}}}\n")
    stored = tmp_path / "config.yaml"
    stored.write_text(f"{text}: 1\n", encoding="utf-8")
    for load in (
        lambda: load_experiment("asking"),
        lambda: load_experiment("tiny", ["extends=data/asking"]),
        lambda: load_experiment("tiny", [f"description={text}"]),
        lambda: load_experiment("tiny", method={"name": "tiny_method", "note": asked}),
        lambda: load_experiment(str(stored)),
        lambda: load_values({**plain, "method": {**plain["method"], "note": asked}}),
        lambda: method_config({"name": "tiny_method", "note": asked}),
        lambda: load_data("asking"),
    ):
        with pytest.raises(ConfigError, match=NO_RESOLVER) as error:
            load()
        assert "hunter2" not in str(error.value)


def test_a_resolver_cannot_be_put_together_from_parts(tiny_experiment):
    with pytest.raises(ConfigError, match=NO_RESOLVER):
        load_experiment(tiny_experiment, ["run=$", "description=${run}{oc.env:HOME}"])


def test_keys_are_referred_to_in_every_form(folder):
    text = "extends: tiny\nseed: ${data.frames}\nrun: frames\ndata: {noise_seed: '${..seed}'}\n"
    write(folder, "refers", text + "description: a ${name} ${data[frames]} ${data.${run}}\n")
    config = load_experiment("refers", ["data.frames=3"])
    assert (config.seed, config.data.noise_seed) == (3, 3)
    assert config.description == "a refers 3 3"


def test_references_that_multiply_or_go_in_a_circle(folder):
    for text, message in ((REFERENCES, "at most 24 references"), (LAUGHS, "alias")):
        write(folder, "bomb", f"extends: tiny\n{text}")
        with pytest.raises(ConfigError, match=message):
            load_experiment("bomb")
    write(folder, "bomb", "extends: tiny\nrun: ${description}\ndescription: ${run}\n")
    with pytest.raises(ConfigError, match=r"expected (a value|references)"):
        load_experiment("bomb")


def test_a_file_that_no_person_wrote_is_not_parsed(folder):
    write(folder, "long", "# x\n" * 300_000)
    with pytest.raises(ConfigError, match="expected at most 1048576 bytes of keys and values"):
        load_experiment("long")


def test_mutations_of_a_stored_configuration(tiny_experiment, tmp_path):
    path = tmp_path / "config.yaml"
    save_resolved(load_experiment(tiny_experiment), path)
    loaded = 0
    for data in yaml_mutations(path.read_bytes(), 20):
        path.write_bytes(data)
        try:
            config = load_experiment(str(path))
        except ConfigError:
            continue
        loaded += 1
        save_resolved(config, path)
        assert to_run(load_experiment(str(path))) == to_run(config)
    assert loaded < 10
