"""Training on single frames beside whole windows, and what networks make of a part of one."""

import pytest
import torch

from lifting.batch import stills
from lifting.errors import ConfigError, ShapeError
from lifting.experiment.build import build_module
from lifting.experiment.load import load_experiment

FRAMES = 5
SMALL = ["method.width=16", "method.heads=2", f"data.frames={FRAMES}", "method.stills=0.5"]
EXPERIMENTS = {
    "mixste": ["method.layers=1"],
    "d3dp": ["method.layers=1"],
    "motionbert": ["method.depth=1", "method.representation=16"],
    "motionbert_pretrained": ["method.depth=1", "method.representation=16"],
    "motionagformer": ["method.layers=1", "method.representation=16"],
    "motionagformer fixed": ["method.layers=1", "method.representation=16"],
}


def make_module(name, *more):
    name, _, graph = name.partition(" ")
    graphs = [f"method.frame_graph={graph}"] if graph else []
    overrides = [*SMALL, *EXPERIMENTS[name], *graphs, *more]
    return build_module(load_experiment(name, overrides))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_part_of_a_batch_is_cut_to_single_frames(name, make_batch, without_trainer, monkeypatch):
    module, batch = without_trainer(make_module(name)), make_batch(FRAMES, FRAMES)
    module.begin_stage(module.stages()[0])
    seen, forward = [], module.network.forward

    def watched(*args, **kwargs):
        place = kwargs.get("place", args[-1] if isinstance(args[-1], int) else None)
        seen.append((tuple(args[0].shape[:2]), place))
        return forward(*args, **kwargs)

    monkeypatch.setattr(module.network, "forward", watched)
    for _ in range(20):
        module.training_step(batch, 0).backward()
    assert {shape for shape, _ in seen} == {(4, 1), (4, FRAMES)}
    assert {place for (_, n), place in seen if n == 1} == set(range(FRAMES))
    assert all(place is None for (_, n), place in seen if n == FRAMES)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("name", ["mixste", "motionbert", "motionagformer fixed"])
def test_a_still_counts_as_a_window_in_the_loss(name, make_batch, without_trainer):
    """With one answer to all poses, the loss is the windows' mean distance, cut or whole."""
    batch, losses = make_batch(FRAMES, FRAMES), []
    batch.joints_3d[:] = batch.joints_3d[:, :1]  # no matter which frame is taken
    terms = [] if name == "mixste" else ["method.loss.scale=0", "method.loss.velocity=0"]
    for share in (0.0, 0.5):
        module = without_trainer(make_module(name, f"method.stills={share}", *terms))
        last = module.network.output if name == "mixste" else module.network.head
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        losses.append(module.training_step(batch, 0).item())
    per_pose = module.target(batch).norm(dim=-1).mean((1, 2)) / 1000
    assert losses == pytest.approx([per_pose.mean().item()] * 2, rel=1e-5)


def test_one_window_stays_whole(make_batch, without_trainer, monkeypatch):
    module = without_trainer(make_module("mixste", "method.stills=0.99"))
    shapes, forward = [], module.network.forward
    monkeypatch.setattr(
        module.network,
        "forward",
        lambda x, **where: shapes.append(x.shape[:2]) or forward(x, **where),
    )
    module.training_step(make_batch(FRAMES, FRAMES).rows(slice(0, 1)), 0)
    module.training_step(make_batch(FRAMES, FRAMES), 0)
    assert shapes == [(1, FRAMES), (7, 1), (1, FRAMES)]


def test_a_still_is_the_middle_frame_with_its_label(make_batch):
    batch = make_batch(FRAMES, FRAMES)
    single = stills(batch)
    torch.testing.assert_close(single.keypoints_2d, batch.keypoints_2d[:, 2:3])
    torch.testing.assert_close(single.joints_3d, batch.joints_3d[:, 2:3])
    assert len(single) == len(batch)


@pytest.mark.parametrize("name", ["mixste", "motionbert", "motionagformer"])
def test_at_the_start_a_window_is_its_frames(name, make_batch):
    """What mixes frames does nothing then, so that a window is answered as its stills are."""
    module = make_module(name).eval()
    batch = make_batch(FRAMES, FRAMES)
    given = batch.keypoints_2d / 500 if name == "mixste" else module.network_input(batch)
    with torch.no_grad():
        whole = module.network(given)
        single = [module.network(given[:, i : i + 1], place=i) for i in range(FRAMES)]
        torch.testing.assert_close(torch.cat(single, dim=1), whole)
        with pytest.raises(ShapeError):
            module.network(given[:, :2], place=0)
        released = make_module(name, "method.stills=0").eval()
        assert (released.network(given) - released.network(given.flip(1)).flip(1)).abs().max() > 0


def test_graphs_without_a_way_around_them_cannot_be_left_out():
    with pytest.raises(ConfigError, match=r"method\.stills to be 0 with bare_graphs"):
        make_module("motionagformer", "method.bare_graphs=true")
