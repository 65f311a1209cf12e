"""From tracks to batches: every sample once, the same stream always, errors by message."""

from collections import Counter
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from lifting.batch import PoseBatch
from lifting.data import sources
from lifting.data.config import DataConfig
from lifting.data.datamodule import PoseDataModule
from lifting.data.sampler import BatchSampler, Share
from lifting.data.sequence import MotionClips, PoseTracks
from lifting.data.sets.synthetic import reader as synthetic
from lifting.errors import ConfigError, DataError
from lifting.geometry.camera import Camera, project
from lifting.skeleton import H36M_17

LENGTHS = (7, 1, 12, 10)


def make_tracks(lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames, tracks = sum(lengths), len(lengths)
    joints = torch.randn(frames, 17, 3, generator=generator) * 300
    joints[..., 2] += 4500
    intrinsics = torch.tensor([[1145.0, 1143, 512, 515, -0.2, 0.24, -0.002, 0.001, -0.001]])
    cameras = Camera(
        intrinsics=intrinsics.repeat(2, 1) + torch.tensor([[0.0], [1.0]]) * (intrinsics > 1),
        size=torch.tensor([[1000.0, 1002.0], [1000.0, 1000.0]]),
        rotation=torch.eye(3).repeat(2, 1, 1),
        position=torch.zeros(2, 3),
    )
    camera = torch.arange(tracks) % 2
    rows = camera.repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    return PoseTracks(
        skeleton=H36M_17,
        joints_3d=joints,
        keypoints_2d=project(joints, cameras.intrinsics[rows]),
        confidence=torch.rand(frames, 17, generator=generator),
        offsets=torch.tensor([0, *lengths]).cumsum(0),
        cameras=cameras,
        camera=camera,
        recording=torch.arange(tracks) // 2,
        subject=torch.arange(tracks) // 2,
        action=torch.arange(tracks) % 3,
        track_names=tuple(f"track{i}" for i in range(tracks)),
        subject_names=("anna", "ben", "cleo"),
        action_names=("Sitting", "Walking", "Waiting"),
        fps=50.0,
        source={"dataset": "fake"},
        extras={},
        world="z up",
    )


def module(tracks=None, seed=3, **options):
    tracks = make_tracks() if tracks is None else tracks
    given = {"train": tracks, "val": tracks, "test": tracks}
    options = {"batch_size": 8, "eval_batch_size": 8, **options}
    return PoseDataModule(DataConfig(**options), seed, given)


def identities(loader):
    return [
        tuple(pair)
        for b in loader
        for pair in zip(b.sequence.tolist(), b.frame.tolist(), strict=1)
    ]


ALL = [(s, f) for s, n in enumerate(LENGTHS) for f in range(n)]


def test_every_training_sample_comes_once_an_epoch():
    loader = module().train_dataloader()
    seen = identities(loader)
    assert Counter(seen) == Counter(ALL)
    assert seen != ALL
    assert [len(b) for b in loader] == [8, 8, 7, 7]


def test_evaluation_keeps_the_order_of_the_tracks():
    for loader in (module().val_dataloader(), module().test_dataloader()):
        assert identities(loader) == ALL


def test_epochs_differ_and_repeat():
    loader = module().train_dataloader()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(torch.cat([b.keypoints_2d for b in loader]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_seeds_differ():
    a, b = (identities(module(seed=s).train_dataloader()) for s in (0, 1))
    assert a != b


def test_a_batch_holds_what_the_tracks_say():
    tracks = make_tracks()
    batch = next(iter(module(tracks, eval_batch_size=64).val_dataloader()))
    track = batch.sequence
    rows = tracks.offsets[track] + batch.frame
    assert torch.equal(batch.keypoints_2d[:, 0], tracks.keypoints_2d[rows])
    assert torch.equal(batch.joints_3d[:, 0], tracks.joints_3d[rows])
    assert torch.equal(batch.confidence[:, 0], tracks.confidence[rows])
    assert torch.equal(batch.camera.intrinsics, tracks.cameras.intrinsics[tracks.camera[track]])
    assert torch.equal(batch.camera.rotation, tracks.cameras.rotation[tracks.camera[track]])
    assert torch.equal(batch.action, tracks.action[track])
    assert torch.equal(batch.subject, tracks.subject[track])


@pytest.mark.parametrize(("target", "targets"), [("middle", 1), ("all", 5)])
def test_windows_hold_the_frames_around_the_middle(target, targets):
    tracks = make_tracks()
    data = module(tracks, frames=5, window_stride=2, target=target, eval_batch_size=64)
    batch = next(iter(data.val_dataloader()))
    assert batch.keypoints_2d.shape == (30, 5, 17, 2)
    assert batch.confidence.shape == (30, 5, 17)
    assert batch.joints_3d.shape == (30, targets, 17, 3)
    sample = ALL.index((2, 1))
    expected = tracks.keypoints_2d[8 + torch.tensor([0, 0, 1, 3, 5])]
    assert torch.equal(batch.keypoints_2d[sample], expected)
    assert torch.equal(batch.joints_3d[sample, targets // 2], tracks.joints_3d[9])


def test_sampling_counts_middle_frames_within_a_track():
    data = module(train_every=5, eval_every=3)
    assert identities(data.val_dataloader()) == [p for p in ALL if p[1] % 3 == 0]
    expected = [p for p in ALL if p[1] % 5 == 0]
    assert Counter(identities(data.train_dataloader())) == Counter(expected)


@pytest.mark.parametrize("target", ["middle", "all"])
@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_augmented_labels_still_project_to_the_keypoints(target, jitter):
    data = module(frames=3, target=target, bone_jitter=jitter, flip=True)
    for batch in data.train_dataloader():
        seen = project(batch.joints_3d, batch.camera.intrinsics[:, None])
        keypoints = batch.keypoints_2d if target == "all" else batch.keypoints_2d[:, 1:2]
        torch.testing.assert_close(seen, keypoints, rtol=0, atol=0.02)
        assert batch.camera.rotation is None


def test_flip_mirrors_some_samples_in_training_only():
    tracks = make_tracks()
    batch = next(iter(module(tracks, batch_size=64).train_dataloader()))
    plain = tracks.joints_3d[tracks.offsets[batch.sequence] + batch.frame]
    same = (batch.joints_3d[:, 0] == plain).flatten(1).all(1)
    assert 5 < same.sum() < 25
    straight = next(iter(module(tracks, batch_size=64, flip=False).train_dataloader()))
    assert straight.camera.rotation is not None


def flatten(batch):
    return torch.cat(
        [
            v.flatten().double()
            for v in (batch.keypoints_2d, batch.joints_3d, batch.confidence, batch.frame)
        ]
        + [batch.camera.intrinsics.flatten().double()]
    )


def test_the_stream_is_the_same_for_any_number_of_workers():
    streams = []
    for workers in (0, 1, 2):
        loader = module(workers=workers, frames=3, bone_jitter=0.05).train_dataloader()
        stream = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            stream += [flatten(b) for b in loader]
        streams.append(torch.cat(stream))
    assert torch.equal(streams[0], streams[1])
    assert torch.equal(streams[0], streams[2])


def test_loaders_leave_the_global_random_numbers_alone():
    loader = module().train_dataloader()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)


class Recorder(pl.LightningModule):
    """Keeps the batches it is trained on; may stop in the middle of an epoch."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []
        self.stop_at = stop_at

    def training_step(self, batch: PoseBatch, batch_idx):
        self.seen.append((self.current_epoch, flatten(batch)))
        if self.stop_at == len(self.seen):
            self.trainer.should_stop = True
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, epochs, *, workers=0, ckpt=None, callbacks=(), stop_at=None, **options):
    recorder = Recorder(stop_at)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
        default_root_dir=folder,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **options,
    )
    trainer.fit(recorder, datamodule=module(workers=workers), ckpt_path=ckpt)
    return recorder, trainer


def assert_same_run(expected, got):
    assert [e for e, _ in expected] == [e for e, _ in got]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(expected, got, strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("limit", [None, 3])
def test_resuming_at_an_epoch_gives_the_same_batches(tmp_path, workers, limit):
    whole, _ = fit(tmp_path, 3, limit_train_batches=limit)
    first, trainer = fit(tmp_path, 1, workers=workers, limit_train_batches=limit)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    rest, _ = fit(
        tmp_path, 3, workers=workers, ckpt=tmp_path / "one.ckpt", limit_train_batches=limit
    )
    assert_same_run(whole.seen, first.seen + rest.seen)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [4, 6])
@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_within_an_epoch_gives_the_next_batch(tmp_path, workers, step):
    saver = pl.callbacks.ModelCheckpoint(
        dirpath=tmp_path, filename="{step}", every_n_train_steps=step, save_top_k=-1
    )
    whole, _ = fit(tmp_path, 3, callbacks=[saver])
    rest, _ = fit(tmp_path, 3, workers=workers, ckpt=tmp_path / f"step={step}.ckpt")
    assert_same_run(whole.seen[step:], rest.seen)


def keys(samples, batch_size, world, *, shuffle):
    """Of each process, in turn."""
    return [
        list(BatchSampler(samples, batch_size, seed=0, shuffle=shuffle, share=Share(rank, world)))
        for rank in range(world)
    ]


def samples_of(batches):
    """Of each batch, whose slices come from all processes."""
    return [torch.cat([key.samples for key in slices]).tolist() for slices in batches]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("samples", [30, 31, 32])
def test_processes_evaluate_the_batches_of_one(world, samples):
    whole = samples_of(zip(*keys(samples, 4, 1, shuffle=False), strict=True))
    parts = keys(samples, 4, world, shuffle=False)
    found = samples_of(zip(*parts, strict=True))
    assert found == whole  # so a limited split has the same samples, too
    assert [sample for batch in found for sample in batch] == list(range(samples))
    for part in parts:
        assert [key.number for key in part] == list(range(len(whole)))
        assert all(len(key.samples) > 0 for key in part)
        assert [key.size for key in part] == [len(batch) for batch in whole]


@pytest.mark.parametrize("samples", [3, 7, 8])
def test_evaluation_leaves_no_process_without_samples(samples):
    parts = keys(samples, 2, 3, shuffle=False)
    found = samples_of(zip(*parts, strict=True))
    assert [sample for batch in found for sample in batch] == list(range(samples))
    assert all(len(key.samples) > 0 for part in parts for key in part)


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("samples", [30, 31, 32])
def test_processes_train_on_slices_of_the_batches_of_one(world, samples):
    whole = keys(samples, 6, 1, shuffle=True)[0]
    parts = keys(samples, 6, world, shuffle=True)
    sampler = BatchSampler(samples, 6, seed=0, shuffle=True, share=Share(0, world))
    for key, *slices in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([s.samples for s in slices]), key.samples)
        assert {s.number for s in slices} == {key.number}
        assert {s.size for s in slices} == {len(key.samples)} == {sampler.size(key.number)}
        assert all(torch.equal(key.samples[s.slice], s.samples) for s in slices)
        counts = [len(s.samples) for s in slices]
        assert max(counts) - min(counts) <= 1 <= min(counts)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize(("samples", "batches"), [(30, 4), (30, 1), (7, 5), (3, 2), (1000, 2)])
def test_an_epoch_of_so_many_batches_takes_passes_one_after_another(samples, batches, world):
    epochs, size = 6, min(6, samples)
    seen = []
    for rank in range(world):
        sampler = BatchSampler(
            samples, 6, seed=0, shuffle=True, share=Share(rank, world), batches=batches
        )
        seen.append([])
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            keys_of_epoch = list(sampler)
            assert len(keys_of_epoch) == len(sampler) == batches
            assert {key.size for key in keys_of_epoch} == {size} == {sampler.size(0)}
            assert sampler.share_of_step(0, 2, batches) == 1 or batches == 1
            seen[-1] += keys_of_epoch
    found = [sample for batch in samples_of(zip(*seen, strict=True)) for sample in batch]
    whole = len(found) // samples
    for start in range(0, whole * samples, samples):
        assert sorted(found[start : start + samples]) == list(range(samples))
    assert len(set(found[whole * samples :])) == len(found) % samples
    if whole > 1 and samples > 7:
        assert found[:samples] != found[samples : 2 * samples]


def test_an_epoch_that_is_one_pass_has_the_order_it_had():
    one_pass = BatchSampler(12, 6, seed=5, shuffle=True, share=Share())
    counted = BatchSampler(12, 6, seed=5, shuffle=True, share=Share(), batches=2)
    for epoch in range(3):
        one_pass.set_epoch(epoch)
        counted.set_epoch(epoch)
        for a, b in zip(one_pass, counted, strict=True):
            assert torch.equal(a.samples, b.samples)


def test_only_training_epochs_are_counted_in_batches():
    data = module(batch_size=4, eval_batch_size=4, epoch_batches=50)
    assert len(data.train_dataloader()) == 50
    assert len(data.val_dataloader()) == len(module(eval_batch_size=4).val_dataloader())


def trained_by(world, rank, workers=0, tracks=None, **options):
    """Training batches of one of several processes, of the second epoch."""
    data = module(tracks, workers=workers, **options)
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)
    return list(loader)


def fields_of(batch):
    """All of a batch's tensors, by name."""
    found = {
        f.name: getattr(batch, f.name)
        for f in fields(batch)
        if torch.is_tensor(getattr(batch, f.name))
    }
    return found | {"intrinsics": batch.camera.intrinsics, "size": batch.camera.size}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"workers": 1, "frames": 3, "bone_jitter": 0.1},
        {"frames": 5, "target": "all", "bone_jitter": 0.1, "window_stride": 2},
        {"frames": 3, "windows": "chunks", "target": "all"},
        {"views": "together", "flip": False, "bone_jitter": 0.1, "batch_size": 4},
        {"frames": 3, "turn": 90.0},
    ],
)
def test_what_processes_see_is_what_one_sees(world, options):
    tracks = make_tracks((9, 9, 9, 9))
    whole = trained_by(1, 0, tracks=tracks, **options)
    parts = [trained_by(world, rank, tracks=tracks, **options) for rank in range(world)]
    for batch, *slices in zip(whole, *parts, strict=True):
        for name, value in fields_of(batch).items():
            assert torch.equal(value, torch.cat([fields_of(s)[name] for s in slices])), name


def test_fewer_samples_than_processes_are_refused():
    with pytest.raises(DataError, match="one sample for each of 4 processes, got 3"):
        BatchSampler(3, 2, seed=0, shuffle=False, share=Share(0, 4))
    expected = r"one sample for each of 4 processes, got some of 3; raise data.batch_size"
    with pytest.raises(DataError, match=expected):  # three batches: 4, 3 and 3
        BatchSampler(10, 4, seed=0, shuffle=True, share=Share(0, 4))


def test_no_training_batch_is_a_lone_sample():
    sampler = BatchSampler(17, 8, seed=0, shuffle=True, share=Share())
    assert [len(key.samples) for key in sampler] == [6, 6, 5]


def test_splits_are_loaded_once_and_only_when_needed(monkeypatch):
    calls = []

    def load(config, split):
        calls.append(split)
        return make_tracks()

    monkeypatch.setattr("lifting.data.datamodule.load_tracks", load)
    data = PoseDataModule(DataConfig(), 0)
    data.setup("fit")
    data.setup("fit")
    data.train_dataloader()
    assert calls == ["train", "val"]
    assert data.info("test").track_names == tuple(f"track{i}" for i in range(4))
    data.setup("predict")
    assert calls == ["train", "val", "test"]


def test_info_names_the_integers_of_a_batch():
    info = module().info("val")
    assert info.skeleton is H36M_17
    assert info.subject_names == ("anna", "ben", "cleo")
    assert info.action_names == ("Sitting", "Walking", "Waiting")
    assert info.fps.tolist() == [50.0] * len(info.track_names)
    assert info.source == {"dataset": "fake"}


def test_fingerprint_follows_the_content_of_loaded_splits():
    data = module()
    assert data.fingerprint() == ""
    data.setup("fit")
    first = data.fingerprint()
    assert [part.split(":")[0] for part in first.split()] == ["train", "val"]
    again = module()
    again.setup("fit")
    assert again.fingerprint() == first
    other = module(make_tracks(seed=1))
    other.setup("fit")
    assert other.fingerprint() != first


def test_prediction_takes_unlabelled_tracks_and_testing_does_not():
    data = module(replace(make_tracks(), joints_3d=None))
    assert next(iter(data.predict_dataloader())).joints_3d is None
    with pytest.raises(DataError, match=r"tracks with 3D labels, got none.*only be predicted"):
        data.test_dataloader()


def test_extras_come_in_windows_and_say_who_was_mirrored():
    tracks = make_tracks()
    extras = {"row": torch.arange(30)[:, None].expand(30, 2).clone()}
    data = module(replace(tracks, extras=extras), frames=3)
    batch = next(iter(data.train_dataloader()))
    assert batch.extras["row"].shape == (8, 3, 2)
    rows = tracks.offsets[batch.sequence] + batch.frame
    assert torch.equal(batch.extras["row"][:, 1, 0], rows)
    straight = (batch.joints_3d[:, 0] == tracks.joints_3d[rows]).flatten(1).all(1)
    assert torch.equal(batch.extras["mirrored"], ~straight)


@pytest.mark.parametrize("option", [{"bone_jitter": 0.1}, {"turn": 30}])
@pytest.mark.parametrize("thing", ["sigma", "pictures"])
def test_what_cannot_follow_a_new_pose_is_refused(option, thing):
    tracks = make_tracks()
    if thing == "pictures":
        tracks = replace(tracks, image=torch.zeros(30, 3, 4, 4, dtype=torch.uint8))
    else:
        tracks = replace(tracks, extras={"sigma": torch.ones(30, 17)})
    with pytest.raises(ConfigError, match=f"keypoints alone .*got {thing}, which do not move"):
        module(tracks, **option).train_dataloader()


@pytest.mark.parametrize("missing", ["world", "rotation"])
def test_nobody_is_turned_about_a_vertical_that_is_not_known(missing):
    tracks = make_tracks()
    if missing == "world":
        tracks = replace(tracks, world=None)
    else:
        cameras = Camera(intrinsics=tracks.cameras.intrinsics, size=tracks.cameras.size)
        tracks = replace(tracks, cameras=cameras)
    with pytest.raises(ConfigError, match=r"vertical is known.*none in fake; set data\.turn to 0"):
        module(tracks, turn=30.0).train_dataloader()


def test_people_are_turned_about_the_vertical_of_the_world():
    tracks = make_tracks()
    down = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the second axis points down
    cameras = replace(tracks.cameras, rotation=down.repeat(2, 1, 1))
    data = module(replace(tracks, cameras=cameras), turn=180.0, flip=False)
    for batch in data.train_dataloader():
        before = tracks.joints_3d[tracks.offsets[batch.sequence] + batch.frame]
        after = batch.joints_3d[:, 0]
        torch.testing.assert_close(after[..., 1], before[..., 1], rtol=0, atol=1e-3)
        assert (after[..., 0] - before[..., 0]).abs().max() > 50


def test_views_that_are_seen_together_are_not_turned():
    with pytest.raises(ConfigError, match=r"as they are, got data\.turn=30"):
        module(make_tracks((9, 9)), views="together", flip=False, turn=30.0).train_dataloader()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 4}, "odd, positive number of frames.*frames=4"),
        ({"window_stride": 0}, "positive stride.*window_stride=0"),
        ({"batch_size": 0}, "data.batch_size of at least 1, got 0"),
        ({"eval_batch_size": -1}, "data.eval_batch_size of at least 1, got -1"),
        ({"train_every": 0}, "data.train_every of at least 1"),
        ({"eval_every": 0}, "data.eval_every of at least 1"),
        ({"workers": -1}, "data.workers of at least 0, got -1"),
        ({"bone_jitter": 0.9}, "data.bone_jitter between 0 and 0.3, got 0.9"),
        ({"turn": 181}, "data.turn between 0 and 180 degrees, got 181"),
        ({"turn": -1}, "data.turn between 0 and 180"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PoseDataModule(DataConfig(**options), 0)


@pytest.mark.parametrize("name", ["keypoints_2d", "joints_3d", "confidence"])
def test_values_that_are_not_finite_are_named(name):
    tracks = make_tracks()
    getattr(tracks, name)[10, 6] = float("nan")
    expected = f"finite {name} in the val split.*joint left_ankle, frame 2 of track 'track2'"
    with pytest.raises(DataError, match=expected):
        module(tracks).val_dataloader()


def test_invalid_labels_may_be_anything_and_become_zeros():
    tracks = make_tracks()
    tracks.joints_3d[10, 6] = float("nan")
    visible = torch.ones(30, 17, dtype=torch.bool)
    visible[10, 6] = False
    tracks = replace(tracks, visible=visible)
    batch = next(iter(module(tracks, eval_batch_size=64).val_dataloader()))
    assert torch.equal(batch.joints_3d[10, 0, 6], torch.zeros(3))
    assert batch.visible.sum() == 30 * 17 - 1
    assert torch.isnan(tracks.joints_3d).any()


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="frames in the val split of fake, got none"):
        module(make_tracks(lengths=())).val_dataloader()


def test_an_unknown_data_set_is_named_with_a_suggestion():
    with pytest.raises(
        ConfigError, match=r"unknown data set 'synthetik'; did you mean 'synthetic'"
    ):
        PoseDataModule(DataConfig(name="synthetik"), 0).setup("fit")


def test_sources_film_once_and_keep_the_result(monkeypatch, tmp_path):
    filmed = []

    def motion(config, split):
        return MotionClips(
            skeleton=H36M_17,
            joints_3d=torch.zeros(4, 17, 3),
            offsets=torch.tensor([0, 4]),
            subject=torch.zeros(1, dtype=torch.long),
            action=torch.zeros(1, dtype=torch.long),
            names=("clip",),
            subject_names=("anna",),
            action_names=("Sitting",),
            fps=50.0,
            source={"dataset": "fake", "split": split},
        )

    def film(clips, *, rig, noise, seed, extras=()):
        filmed.append((clips.source["split"], rig, noise, seed, extras))
        return make_tracks(seed=seed)

    monkeypatch.setattr(synthetic, "motion", motion)
    monkeypatch.setattr(synthetic, "cache_key", lambda config, split: {"split": split})
    monkeypatch.setattr(sources, "film", film)
    config = DataConfig(cache=str(tmp_path), noise="light", cameras="wild")
    first = sources.load_tracks(config, "train")
    again = sources.load_tracks(config, "train")
    assert filmed == [("train", "wild", "light", 0, ())]
    assert torch.equal(first.keypoints_2d, again.keypoints_2d)
    for change in ({"noise": "cpn"}, {"cameras": "h36m"}, {"noise_seed": 1}):
        sources.load_tracks(replace(config, **change), "train")
    assert len(filmed) == 4
    seeds = {sources.film_seed(n, s) for n in range(3) for s in sources.SPLITS}
    assert len(seeds) == 9
