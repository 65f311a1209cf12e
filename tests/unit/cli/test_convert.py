"""``lifting convert``: published weights become checkpoints that the other commands read."""

import json
from pathlib import Path

import pytest
import torch

from lifting.cli.main import main
from lifting.experiment.checkpoint import load_weights, method_config_of, read_checkpoint
from lifting.methods.diffpose import checkpoint as diffpose
from lifting.methods.discovery import load_config_class, load_module_class
from lifting.methods.settings import ModuleSettings
from lifting.methods.uao import checkpoint as uao
from lifting.nn.graph import partitioned_adjacency

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SMALL = {
    "uao": {"hidden": 16, "blocks": 1, "channel_hidden": 8},
    "diffpose": {"hidden": 16, "layers": 1, "heads": 2},
}


@pytest.fixture(autouse=True)
def _experiments(monkeypatch):
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(EXPERIMENTS))


def overrides(method):
    return [f"--set=method.{k}={v}" for k, v in SMALL[method].items()]


def build(method):
    torch.manual_seed(3)
    config = load_config_class(method)(**SMALL[method])
    return load_module_class(method)(config, ModuleSettings(method))


def check(output, method, module):
    """The checkpoint loads into a module of its own configuration and holds the weights."""
    checkpoint = read_checkpoint(output, method)
    assert method_config_of(checkpoint).items() >= SMALL[method].items()
    again = build(method)
    load_weights(again, checkpoint, output)
    state = module.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())


def test_uao(tmp_path, capsys):
    module, file, output = build("uao"), tmp_path / "official.pth", tmp_path / "uao.ckpt"
    weights = uao.export_state(module.network.state_dict(), module.config)
    torch.save({**weights, "A": partitioned_adjacency(module.skeleton)}, file)
    command = ["convert", "uao_released", str(file), "--output", str(output)]
    assert main([*command, *overrides("uao")]) == 0
    out = capsys.readouterr().out
    assert f"written: {output}" in out
    assert "not used: A" in out
    assert main([*command, *overrides("uao"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["written"], told["unused"]) == ([str(output)], ["A"])
    check(output, "uao", module)


def test_diffpose_from_two_files(tmp_path, capsys):
    module, output = build("diffpose"), tmp_path / "diffpose.ckpt"
    files = []
    for part, timed in (("denoiser", True), ("context", False)):
        network = getattr(module.network, part)
        state = diffpose.export_state(network.state_dict(), 1, timed=timed)
        files.append(tmp_path / f"{part}.pth")
        torch.save([state, {}, 0, 0], files[-1])
    command = ["convert", "diffpose", *map(str, files), "--output", str(output)]
    as_many = "--set=method.denoiser_layers=null"  # as the context encoder has
    assert main([*command, *overrides("diffpose"), as_many]) == 0
    check(output, "diffpose", module)
    assert main(["convert", "diffpose", str(files[0]), "--output", str(output)]) == 2
    assert "expected 2 files for 'diffpose' (denoiser, then context" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simple_baseline", "a.pth", "--output", "b.ckpt"], "got 'simple_baseline'; known: "),
        (["uao", "a.pth", "--output", "b.pth"], "name ending in .ckpt, got b.pth"),
        (["uao", "nowhere.pth", "--output", "b.ckpt"], "nowhere.pth, found no file"),
        (["uoa", "a.pth", "--output", "b.ckpt"], "did you mean 'uao'?"),
    ],
)
def test_mistakes(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_of_another_size_leave_no_file(tmp_path, capsys):
    module, file, output = build("uao"), tmp_path / "official.pth", tmp_path / "uao.ckpt"
    torch.save(uao.export_state(module.network.state_dict(), module.config), file)
    assert main(["convert", "uao", str(file), "--output", str(output)]) == 2
    assert "error: expected" in capsys.readouterr().err
    assert not output.exists()
