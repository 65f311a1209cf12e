"""2D mixtures of whole splits: made, written, read and attached."""

import argparse
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lifting.cli import data as cli
from lifting.data.augment import mirror_samples
from lifting.data.detections import Detections
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.data.heatmaps import Crop, map_to_frame
from lifting.data.mixture_file import (
    MixtureOptions,
    MixtureSet,
    make_mixtures,
    read_mixture_file,
    with_mixtures,
    write_mixture_file,
)
from lifting.data.mixtures import confidence_sigma, detection_mixtures, point_mixtures
from lifting.data.sources import load_tracks
from lifting.errors import ConfigError, DataError, MissingDataError
from lifting.experiment.load import load_experiment
from lifting.skeleton import H36M_17, HUMANEVA_15


def plain_set(tracks, kernels=2):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(len(tracks), 17, kernels, 5, generator=generator)
    values[..., 0] /= values[..., 0].sum(-1, keepdim=True)
    return MixtureSet(values, tracks.offsets, tracks.track_names, "made up")


# --- one frame -------------------------------------------------------------------------------


def test_deviation_is_that_of_the_confidence():
    points = torch.zeros(1, 17, 2)
    points[0, 1] = torch.tensor([100.0, 400.0])
    confidence = torch.ones(1, 17)
    confidence[0, :3] = torch.tensor([0.5, 0.1, 0.0])
    base = 0.008 * 400
    wanted = [base * math.sqrt(1 - 9 * math.log(c)) for c in (0.5, 0.1, 0.02, 1.0)]
    got = confidence_sigma(points, confidence)[0, :4]
    torch.testing.assert_close(got, torch.tensor(wanted))


def test_a_point_has_one_kernel():
    found = Detections(
        torch.rand(2, 3, 2), torch.ones(2, 3), torch.tensor([[5.0, 0.1, 2]] * 2), torch.zeros(2, 3)
    )
    mixtures = point_mixtures(found, torch.tensor([1000.0, 500.0]))
    assert mixtures.shape == (2, 3, 1, 5)
    assert (mixtures[..., 0] == 1).all()
    assert torch.equal(mixtures[:, :, 0, 1:3], found.keypoints_2d)
    wanted = torch.tensor([[0.01, 0.002, 0.004], [0.02, 0.004, 0.008]])
    torch.testing.assert_close(mixtures[:, :, 0, 3], wanted)
    torch.testing.assert_close(mixtures[:, :, 0, 4], wanted)


def test_error_model_without_draws_puts_three_kernels_evenly_around():
    points = torch.rand(4, 17, 2) * 1000
    points.requires_grad_()
    sigma = torch.full((4, 17), 6.0)
    found = Detections(points, torch.ones(4, 17), sigma, sigma > 7)
    made = detection_mixtures(
        found, H36M_17, torch.full((4,), 1000.0), partner=True, generator=None
    )
    away = made[:, :, 1:4, 1:3] - points[:, :, None]
    radius = torch.full((4, 17, 3), 2.5 * 6 * math.sqrt(math.pi / 2))
    torch.testing.assert_close(away.norm(dim=-1), radius, rtol=1e-3, atol=0)
    torch.testing.assert_close(away.sum(2), torch.zeros(4, 17, 2), rtol=0, atol=1e-3)
    assert torch.equal(made[:, :, 4, 1:3], points[:, list(H36M_17.flip_index)])
    (gradient,) = torch.autograd.grad(made[:, :, 1:4, 1:3].sum(), points)
    assert (gradient == 3).all()


# --- splits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "kernels"), [("confidence", 1), ("synthetic", 5)])
def test_sources_around_the_detection(tiny_tracks, source, kernels):
    seen = []
    tracks = replace(tiny_tracks, confidence=torch.full((48, 17), 0.4))
    made = make_mixtures(tracks, MixtureOptions(source), seen.append)
    assert made.mixtures.shape == (48, 17, kernels, 5)
    assert sum(seen) == 48
    assert made.names == tiny_tracks.track_names
    assert torch.equal(made.mixtures[:, :, 0, 1:3], tracks.keypoints_2d)
    sigma = confidence_sigma(tracks.keypoints_2d, tracks.confidence).clamp(min=1)
    torch.testing.assert_close(made.mixtures[:, :, 0, 3] * 500, sigma)
    known = replace(tracks, extras={"sigma": torch.full((48, 17), 11.0)})
    wider = make_mixtures(known, MixtureOptions(source)).mixtures
    torch.testing.assert_close(wider[:, :, 0, 3], torch.full((48, 17), 11 / 500))
    assert torch.equal(wider, make_mixtures(known, MixtureOptions(source)).mixtures)


def test_drawn_heatmaps_are_fitted(tiny_tracks):
    made = make_mixtures(tiny_tracks, MixtureOptions("heatmap", kernels=3))
    assert made.mixtures.shape == (48, 17, 3, 5)
    torch.testing.assert_close(made.mixtures[..., 0].sum(-1), torch.ones(48, 17))
    nearest = made.mixtures[..., 1:3] - tiny_tracks.keypoints_2d[:, :, None]
    size = (tiny_tracks.keypoints_2d.amax(1) - tiny_tracks.keypoints_2d.amin(1)).amax(-1)
    nearest = nearest.norm(dim=-1).amin(-1) / size[:, None]
    assert nearest.median() < 0.02
    assert made.source == "heatmap, seed 0, 3 kernels, drawn maps"


def test_own_heatmaps_are_fitted_track_by_track(tiny_tracks, tmp_path):
    cells = torch.arange(16.0)
    for track, name in enumerate(tiny_tracks.track_names):
        u, v = 4.0 + track, 9.0
        bell = (-((cells[:, None] - v) ** 2 + (cells - u) ** 2) / 8).exp()
        np.savez(
            tmp_path / f"{name.replace('/', '_')}.npz",
            heatmaps=bell.expand(12, 17, 16, 16).numpy(),
            crop=np.tile([100.0, 50, 4], (12, 1)),
        )
    options = MixtureOptions("heatmap", kernels=1, heatmaps=tmp_path)
    made = make_mixtures(tiny_tracks, options).mixtures[:, :, 0]
    crop = Crop(torch.tensor([[100.0, 50]]), torch.tensor([4.0]))
    for track in range(4):
        wanted = map_to_frame(torch.tensor([[[4.0 + track, 9.0]]]), crop)[0, 0]
        got = made[12 * track : 12 * track + 12]
        torch.testing.assert_close(
            got[..., 1:3], wanted.expand(12, 17, 2), atol=0.2, rtol=0
        )  # cut at 5 % of the peak
        assert (got[..., 3] * 500 / 4 - 2).abs().max() < 0.25
    np.savez(tmp_path / "b_view1.npz", heatmaps=np.ones((3, 17, 4, 4)), crop=np.ones((3, 3)))
    with pytest.raises(DataError, match="heatmaps of 12 frames and 17 joints"):
        make_mixtures(tiny_tracks, options)
    (tmp_path / "b_view1.npz").unlink()
    with pytest.raises(MissingDataError, match="b_view1"):
        make_mixtures(tiny_tracks, options)
    with pytest.raises(ConfigError, match="expected source heatmap"):
        make_mixtures(tiny_tracks, replace(options, source="confidence"))


# --- files -----------------------------------------------------------------------------------


def test_file_round_trip_and_attachment(tiny_tracks, tmp_path):
    part, path = plain_set(tiny_tracks), tmp_path / "m.npz"
    write_mixture_file(path, {"test": part, "val": plain_set(tiny_tracks, 4)}, H36M_17)
    read = read_mixture_file(path, "test", H36M_17)
    torch.testing.assert_close(read.mixtures, part.mixtures)
    assert (read.names, read.source) == (part.names, "made up")
    tracks = with_mixtures(tiny_tracks, path, "test")
    torch.testing.assert_close(tracks.extras["mixtures"], part.mixtures)
    assert tracks.source["mixtures"] == "m.npz, made up"
    assert with_mixtures(tiny_tracks, path, "val").extras["mixtures"].shape[2] == 4
    # other tracks of the file, in another order
    some = tiny_tracks.select(torch.tensor([3, 1]))
    rows = torch.cat((torch.arange(36, 48), torch.arange(12, 24)))
    chosen = with_mixtures(some, path, "test").extras["mixtures"]
    torch.testing.assert_close(chosen, part.mixtures[rows])
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["mixtures_test"].dtype == np.float32
        assert arrays["tracks_val"].tolist() == list(tiny_tracks.track_names)


def test_files_of_other_data_are_refused(tiny_tracks, tmp_path):
    path = tmp_path / "m.npz"
    part = plain_set(tiny_tracks)
    write_mixture_file(path, {"test": part}, H36M_17)
    with pytest.raises(DataError, match="'mixtures_train'"):
        with_mixtures(tiny_tracks, path, "train")
    with pytest.raises(MissingDataError, match="absent"):
        with_mixtures(tiny_tracks, tmp_path / "absent.npz", "test")
    renamed = replace(tiny_tracks, track_names=("a/view0", "a/view1", "b/view0", "c/view1"))
    with pytest.raises(DataError, match="track 'c/view1' in the test part"):
        with_mixtures(renamed, path, "test")
    other = replace(tiny_tracks, offsets=torch.tensor([0, 12, 24, 35, 48]))
    with pytest.raises(DataError, match="11 frames of 'b/view0'"):
        with_mixtures(other, path, "test")
    with pytest.raises(DataError, match="the joints of humaneva15"):
        read_mixture_file(path, "test", HUMANEVA_15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"offsets": torch.tensor([0, 12, 12, 36, 48])}, "rising offsets"),
        (lambda p: {"offsets": torch.tensor([0, 48])}, "rising offsets"),
        (lambda p: {"offsets": torch.zeros(0, dtype=torch.int64)}, "rising offsets"),
        (lambda p: {"mixtures": p.mixtures * -1}, "weights and spreads from 0"),
        (lambda p: {"mixtures": p.mixtures * torch.nan}, "finite"),
        (lambda p: {"mixtures": p.mixtures[..., :4]}, "kernels 5"),
    ],
)
def test_impossible_files_are_refused(tiny_tracks, tmp_path, change, message):
    part = plain_set(tiny_tracks)
    write_mixture_file(tmp_path / "m.npz", {"test": replace(part, **change(part))}, H36M_17)
    with pytest.raises(ValueError, match=message):
        read_mixture_file(tmp_path / "m.npz", "test", H36M_17)


def test_batches_tell_whose_mixtures_are_mirrored(tiny_tracks, tmp_path):
    write_mixture_file(tmp_path / "m.npz", {"test": plain_set(tiny_tracks)}, H36M_17)
    tracks = with_mixtures(tiny_tracks, tmp_path / "m.npz", "test")
    batch = TrackBatches(tracks, GatherOptions()).gather(torch.arange(5))
    assert not batch.extras["mirrored"].any()
    mirror_samples(batch, torch.tensor([1, 4]), H36M_17)
    assert batch.extras["mirrored"].tolist() == [False, True, False, False, True]


# --- command and data section ----------------------------------------------------------------

SMALL = (
    "data.synthetic.train_sequences=1", "data.synthetic.val_sequences=1",
    "data.synthetic.test_sequences=1", "data.synthetic.sequence_frames=12",
)  # fmt: skip


def test_command_makes_what_the_data_section_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIFTING_CACHE", str(tmp_path / "cache"))
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    output = tmp_path / "m.npz"
    words = ["data", "mixtures", "diffpose", *SMALL, "--source", "synthetic"]
    words += ["--splits", "val", "test", "--output", str(output)]
    args = parser.parse_args(words)
    assert args.handler(args) == 0
    assert "synthetic, seed 0" in capsys.readouterr().out
    data = load_experiment("diffpose", [*SMALL, f"data.mixtures={output}"]).data
    tracks = load_tracks(data, "val")
    assert tracks.extras["mixtures"].shape == (len(tracks), 17, 5, 5)
    assert torch.equal(tracks.extras["mixtures"][:, :, 0, 1:3], tracks.keypoints_2d)
    with pytest.raises(DataError, match="mixtures_train"):
        load_tracks(data, "train")


def test_training_can_have_other_noise_than_the_test(tmp_path):
    changes = [*SMALL, f"data.cache={tmp_path}"]
    plain = load_experiment("diffpose", changes).data
    exact = load_experiment("diffpose", [*changes, "data.noise_train=none"]).data
    assert not torch.equal(
        load_tracks(plain, "train").keypoints_2d, load_tracks(exact, "train").keypoints_2d
    )
    assert (load_tracks(exact, "train").confidence == 1).all()
    for split in ("val", "test"):
        assert torch.equal(
            load_tracks(plain, split).keypoints_2d, load_tracks(exact, split).keypoints_2d
        )
