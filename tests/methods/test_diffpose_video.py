"""DiffPose on video: chunks of whole tracks, the MixSTE context, imported weights."""

import functools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from lifting.batch import PoseBatch, Prediction, flip_pose, root_relative
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.errors import CheckpointError, ConfigError, ShapeError
from lifting.experiment.checkpoint import load_weights, read_checkpoint
from lifting.experiment.load import load_experiment, method_config
from lifting.experiment.trained import convert
from lifting.methods.diffpose.checkpoint import (
    export_state,
    load_context,
    read_context,
)
from lifting.methods.diffpose.config import Config
from lifting.methods.diffpose.context import VideoContextEncoder, VideoSize
from lifting.methods.diffpose.module import Module
from lifting.methods.diffpose.network import Denoiser, NetworkSize
from lifting.methods.settings import ModuleSettings
from lifting.metrics.collection import PoseMetrics
from lifting.metrics.protocol import get_protocol
from lifting.nn.mixste import export_mixste_state, import_mixste_state
from lifting.nn.units import flip_screen
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17

FRAMES = 5
SIZE = VideoSize(FRAMES, width=16, layers=2, heads=4)
SMALL = Config(
    hidden=16, layers=2, hypotheses=3, context="mixste", context_width=16, context_layers=2,
    context_heads=4, context_flip=True,
)  # fmt: skip
LENGTHS = (10, 3, 12, 23)
"""Whole chunks; a track shorter than one; overlaps of three and of two frames."""


@pytest.fixture
def tracks(tiny_tracks):
    return replace(tiny_tracks, offsets=torch.tensor([0, *LENGTHS]).cumsum(0))


def disturbed(module, size=0.1):
    """In evaluation mode, with weights in which every part counts; some start at zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module.eval()


def make_encoder(size=SIZE):
    torch.manual_seed(0)
    return disturbed(VideoContextEncoder(17, size))


def make_module(config=SMALL, frames=FRAMES):
    torch.manual_seed(0)
    return disturbed(Module(config, ModuleSettings("diffpose", frames=frames, target="all")))


def windows(size=3, frames=FRAMES):
    return torch.rand(size, frames, 17, 2, generator=torch.Generator().manual_seed(2)) - 0.5


# --- chunks ----------------------------------------------------------------------------------


def gathered(tracks, kind, every=1):
    """Start of each window within its track, and how often each frame of a track counts."""
    options = GatherOptions(frames=FRAMES, windows=kind, all_targets=True, every=every)
    batches = TrackBatches(tracks, options)
    batch = batches.gather(torch.arange(len(batches)))
    starts = batch.frame - FRAMES // 2
    frames = starts[:, None] + torch.arange(FRAMES)
    last = tracks.offsets.diff()[batch.sequence, None] - 1
    counted = batch.visible.all(-1)
    assert torch.equal(counted, batch.visible.any(-1))
    track = batch.sequence[:, None].expand_as(frames)
    rows = tracks.offsets[track] + frames.minimum(last)
    assert torch.equal(batch.keypoints_2d, tracks.keypoints_2d[rows])
    assert torch.equal(batch.joints_3d, tracks.joints_3d[rows])
    where = list(zip(batch.sequence.tolist(), starts.tolist(), strict=True))
    return where, Counter((rows[counted]).tolist())


CHUNKS = [
    (0, 0), (0, 5), (1, 0), (2, 0), (2, 5), (2, 7), (3, 0), (3, 5), (3, 10), (3, 15), (3, 18)
]  # fmt: skip


def test_chunks_count_every_frame_of_a_track_once(tracks):
    starts, counts = gathered(tracks, "chunks")
    assert starts == CHUNKS
    assert counts == dict.fromkeys(range(48), 1)


def test_released_chunks_count_overlap_and_padding_too(tracks):
    starts, counts = gathered(tracks, "chunks_released")
    assert starts == CHUNKS
    last_of_short, overlap = 12, (20, 21, 22, 43, 44)
    wanted = {**dict.fromkeys(range(48), 1), last_of_short: 3, **dict.fromkeys(overlap, 2)}
    assert counts == wanted


@pytest.mark.parametrize("kind", ["chunks", "chunks_released"])
def test_every_nth_frame_counts(tracks, kind):
    _, counts = gathered(tracks, kind, every=4)
    first = torch.tensor([0, 10, 13, 25])
    lengths = torch.tensor(LENGTHS)
    wanted = {int(f) + i for f, n in zip(first, lengths, strict=True) for i in range(0, n, 4)}
    assert set(counts) == wanted
    assert (max(counts.values()) == 1) == (kind == "chunks")


@pytest.mark.parametrize("every", [1, 3])
def test_training_windows_lie_within_their_track(tracks, every):
    starts, counts = gathered(tracks, "inner", every)
    latest = {0: 5, 1: 0, 2: 7, 3: 18}
    assert starts == [(t, s) for t, most in latest.items() for s in range(0, most + 1, every)]
    assert [counts[row] for row in (10, 11, 12)] == [1, 1, 1]


def test_labels_that_are_not_valid_stay_out(tracks):
    visible = torch.ones(48, 17, dtype=torch.bool)
    visible[14, 3] = False
    options = GatherOptions(frames=FRAMES, windows="chunks", all_targets=True)
    batches = TrackBatches(replace(tracks, visible=visible), options)
    batch = batches.gather(torch.tensor([3]))
    assert not batch.visible[0, 1, 3]
    assert batch.visible.sum() == FRAMES * 17 - 1


@pytest.mark.parametrize(
    ("kind", "repeated", "wanted"),
    [("chunks", 0.0, 0.0), ("chunks", 16.0, 0.0), ("chunks_released", 16.0, 16 * 7 / 55)],
)
def test_scores_are_over_whole_tracks(tracks, kind, repeated, wanted):
    """A prediction that is wrong only where a frame comes again: the last, or the padded one."""
    given = {"test": tracks}
    config = DataConfig(frames=FRAMES, target="all", windows=kind, eval_batch_size=4)
    data = PoseDataModule(config, 0, given)
    metrics = PoseMetrics(get_protocol("default"), H36M_17, tracks.action_names)
    seen = set()
    for batch in data.test_dataloader():
        answer = root_relative(batch.joints_3d, 0)
        for i in range(len(batch)):
            for j in range(FRAMES):
                key = (int(batch.sequence[i]), answer[i, j].sum().item())
                answer[i, j, 1:, 0] += repeated * 17 / 16 * (key in seen)
                seen.add(key)
        metrics.update(Prediction(skeleton=H36M_17, joints_3d=answer), batch)
    assert float(metrics.compute()["mpjpe_mm"]) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("change", [{"target": "middle"}, {"window_stride": 2}])
def test_chunks_need_all_neighbouring_frames(change):
    options = {"frames": FRAMES, "target": "all", "windows": "chunks", **change}
    with pytest.raises(ConfigError, match=r"expected data.target 'all' and data.window_stride 1"):
        PoseDataModule(DataConfig(**options), 0)


# --- network ---------------------------------------------------------------------------------


def test_size_is_the_published_one():
    with torch.device("meta"):
        encoder = VideoContextEncoder(17, VideoSize(243))
    assert sum(p.numel() for p in encoder.parameters()) == 33_783_811
    official = export_mixste_state(encoder.state_dict(), 8)
    assert len(official) == 204
    shapes = {
        "Spatial_patch_to_embedding.weight": (512, 2),
        "Spatial_pos_embed": (1, 17, 512),
        "Temporal_pos_embed": (1, 243, 512),
        "STEblocks.7.attn.qkv.weight": (1536, 512),
        "TTEblocks.0.attn.proj.bias": (512,),
        "TTEblocks.7.mlp.fc1.weight": (1024, 512),
        "STEblocks.0.mlp.fc2.weight": (512, 1024),
        "head.0.weight": (512,),
        "head.1.weight": (3, 512),
    }
    assert {name: tuple(official[name].shape) for name in shapes} == shapes


def test_positions_start_at_zero():
    encoder = VideoContextEncoder(17, SIZE)
    assert not encoder.joint_position.any()
    assert not encoder.frame_position.any()


def test_windows_are_lifted_on_their_own_and_as_a_whole():
    encoder, uv = make_encoder(), windows()
    with torch.no_grad():
        together, alone = encoder(uv), encoder(uv[1:2])
        moved = uv.clone()
        moved[1, 0, 4] += 0.5
        after = encoder(moved)
    torch.testing.assert_close(together[1:2], alone)
    change = (after - together).abs().amax((-2, -1))
    assert (change[[0, 2]] == 0).all()
    assert (change[1] > 1e-4).all()


def test_order_of_the_frames_counts():
    encoder, uv = make_encoder(), windows(1)
    with torch.no_grad():
        backwards = encoder(uv.flip(1)).flip(1)
        assert (backwards - encoder(uv)).abs().max() > 1e-3
        encoder.frame_position.zero_()
        torch.testing.assert_close(encoder(uv.flip(1)).flip(1), encoder(uv))


@pytest.mark.parametrize(("rate", "differ"), [(0.0, False), (0.5, True)])
def test_sub_layers_are_left_out_in_training_only(rate, differ):
    encoder, uv = make_encoder(replace(SIZE, drop_path=rate)), windows()
    with torch.no_grad():
        assert torch.equal(encoder(uv), encoder(uv))
        encoder.train()
        assert torch.equal(encoder(uv), encoder(uv)) != differ
    assert [block.rate for block in encoder.over_frames] == [0.0, rate]


def test_other_windows_are_refused():
    with pytest.raises(ShapeError, match=r"uv of shape"):
        make_encoder()(windows(frames=4))
    with pytest.raises(ShapeError, match=r"uv of shape"):
        make_encoder()(windows()[:, :, :16])


# --- module ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context_width": 18}, "method.context_width to be a multiple of context_heads=4"),
        ({"context_layers": 0}, "method.context_layers to be at least 1"),
        ({"context_drop_path": 1.0}, "method.context_drop_path to be between 0 and below 1"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **change)


def test_middle_frames_alone_are_refused():
    with pytest.raises(ConfigError, match=r"data.target 'all' with method.context 'mixste'"):
        Module(SMALL, ModuleSettings("diffpose", frames=FRAMES))


def test_every_frame_is_refined_on_its_own_around_the_video_context(make_batch):
    module, batch = make_module(), make_batch(frames=FRAMES, targets=FRAMES)
    sizes = []
    module.network.denoiser.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    with torch.no_grad():
        answer = module.predict(batch)
    assert answer.joints_3d.shape == (8, FRAMES, 17, 3)
    assert answer.hypotheses.shape == (8, 3, FRAMES, 17, 3)
    assert (answer.joints_3d[..., 0, :] == 0).all()
    assert sizes == [3 * 8 * FRAMES] * len(module.network.steps)
    encoder, uv = module.network.context, module._screen(batch)
    with torch.no_grad():
        mirrored = flip_pose(encoder(flip_screen(uv, H36M_17)), H36M_17)
        context = root_relative((encoder(uv) + mirrored) / 2, 0)
    torch.testing.assert_close(answer.extras["context"], 1000 * context, rtol=1e-4, atol=1e-2)


def test_windows_of_a_batch_do_not_mix(make_batch):
    module, batch = make_module(), make_batch(frames=FRAMES, targets=FRAMES)
    alone = PoseBatch(
        skeleton=H36M_17, keypoints_2d=batch.keypoints_2d[3:4], camera=batch.camera[3:4]
    )
    with torch.no_grad():
        together, single = module.predict(batch), module.predict(alone)
    torch.testing.assert_close(together.joints_3d[3:4], single.joints_3d, rtol=1e-5, atol=1e-2)


def test_mirrored_average_is_of_the_trained_encoder_only():
    plain = make_module(replace(SMALL, context_flip=False)).network
    averaged = make_module().network
    uv = windows().flatten(0, 1)
    with torch.no_grad():
        assert not torch.allclose(averaged.lift(uv), plain.lift(uv), atol=1e-3)
        torch.testing.assert_close(averaged.train().lift(uv), plain.train().lift(uv))


@pytest.mark.parametrize("stage", [0, 1])
def test_training_step_reaches_only_the_stage(stage, make_batch, without_trainer):
    module = without_trainer(make_module())
    module.begin_stage(module.stages()[stage])
    module.train()
    module.training_step(make_batch(frames=FRAMES, targets=FRAMES), 0).backward()
    reached = {k.split(".")[1] for k, p in module.named_parameters() if p.grad is not None}
    assert reached == {("context", "denoiser")[stage]}


def test_unmoved_latents_decode_to_the_prediction(make_batch):
    module, batch = make_module(), make_batch(frames=FRAMES, targets=FRAMES)
    latents = {k: v.requires_grad_() for k, v in module.encode(batch).items()}
    decoded = module.decode(latents, batch)
    with torch.no_grad():
        answer = module.predict(batch).joints_3d
    # Weights as wild as these amplify rounding, in which an answer without gradient differs.
    torch.testing.assert_close(decoded.pose, answer, rtol=1e-3, atol=1e-2)
    (gradient,) = torch.autograd.grad(decoded.pose[2, 0].square().sum(), latents.values())
    assert gradient[2, -1].norm() > 0
    assert not gradient[[0, 1, 3]].any()


def test_context_learns_what_only_the_other_frames_tell():
    """Depth is the window's mean place; a frame's own place would leave 0.8 of its variance."""
    torch.manual_seed(0)
    encoder = VideoContextEncoder(17, replace(SIZE, layers=1))
    place = torch.rand(32, FRAMES, 1, 1) - 0.5
    uv = place.expand(-1, -1, 17, 2)
    depth = place.mean(dim=1, keepdim=True).expand(-1, FRAMES, 17, 1)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=5e-3)
    for _ in range(100):
        loss = (encoder(uv)[..., 2:] - depth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * depth.var().item()


# --- imported weights ------------------------------------------------------------------------


def official_file(path, **extra):
    """A file of the authors' form, and the encoder it holds."""
    encoder = make_encoder()
    official = export_mixste_state(encoder.state_dict(), SIZE.layers)
    weights = {f"module.{name}": value for name, value in official.items()}
    torch.save({"epoch": 3, "lr": 4e-5, "model_pos": weights, **extra}, path)
    return encoder


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_video_file_is_read_without_its_generator(tmp_path):
    path = tmp_path / "mixste.bin"
    encoder = official_file(path, random_state=np.random.RandomState(3))
    imported = read_context(path, SIZE.layers, video=True)
    assert same(imported.state, encoder.state_dict())
    module = make_module(replace(SMALL, context_checkpoint=str(path)))
    module.begin_stage(module.stages()[-1])
    assert same(module.network.context.state_dict(), encoder.state_dict())


def test_own_checkpoint_gives_the_video_encoder(tmp_path):
    trained, path = make_module(), tmp_path / "own.ckpt"
    torch.save({"state_dict": trained.state_dict(), "lifting": {"method": "diffpose"}}, path)
    encoder = VideoContextEncoder(17, SIZE)
    load_context(encoder, path, SMALL)
    assert same(encoder.state_dict(), trained.network.context.state_dict())
    with pytest.raises(CheckpointError, match=r"missing .*unknown"):
        load_context(make_module(replace(SMALL, context="gcn")).network.context, path, SMALL)
    with pytest.raises(CheckpointError, match=r"encoder of mpi17, got one of h36m17"):
        load_context(encoder, path, SMALL, MPI_INF_3DHP_17)


def test_refusals(tmp_path):
    path = tmp_path / "mixste.bin"
    official_file(path, random_state=functools.partial(print))
    with pytest.raises(CheckpointError, match="tensors and plain values in"):
        read_context(path, SIZE.layers, video=True)
    official_file(path)
    with pytest.raises(CheckpointError, match=r"expected the list \[model, optimiser"):
        read_context(path, SIZE.layers)
    with pytest.raises(CheckpointError, match=r"24 missing \['STEblocks\.2"):
        read_context(path, SIZE.layers + 1, video=True)
    longer = VideoContextEncoder(17, replace(SIZE, frames=7))
    with pytest.raises(CheckpointError, match=r"frame_position of shape \(1, 7, 16\), got \(1, 5"):
        load_context(longer, path, SMALL)
    torch.save([{}], path)
    with pytest.raises(CheckpointError, match="expected a mapping with weights under 'model_pos'"):
        read_context(path, SIZE.layers, video=True)
    with pytest.raises(CheckpointError, match="expected a tensor under every name"):
        import_mixste_state({"head.1.bias": 1}, SIZE.layers)


def test_published_files_become_a_checkpoint(tmp_path):
    encoder = official_file(tmp_path / "mixste.bin", random_state=np.random.RandomState(0))
    denoiser = disturbed(Denoiser(5, 5, H36M_17, NetworkSize(hidden=16, layers=2)))
    official = export_state(denoiser.state_dict(), 2, timed=True)
    torch.save([{f"module.{k}": v for k, v in official.items()}], tmp_path / "denoiser.pth")
    config = load_experiment(
        "diffpose_released",
        ["extends=overlay/diffpose_video_released", "method.hidden=16", "method.layers=2",
         "method.context_width=16", "method.context_layers=2", "method.context_heads=4",
         f"data.frames={FRAMES}"],
    )  # fmt: skip
    output = tmp_path / "video.ckpt"
    convert(config, [tmp_path / "denoiser.pth", tmp_path / "mixste.bin"], output)
    settings = ModuleSettings("diffpose", frames=FRAMES, target="all")
    module = Module(method_config(config.method), settings)
    load_weights(module, read_checkpoint(output, "diffpose"), output)
    assert same(module.network.context.state_dict(), encoder.state_dict())
    assert same(module.network.denoiser.state_dict(), denoiser.state_dict())
    assert module.network.steps == (0,)
