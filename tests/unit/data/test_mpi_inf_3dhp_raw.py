"""Tiny files of MPI-INF-3DHP as it is distributed: MATLAB 5, MATLAB 7.3 and calibration text."""

import random

import h5py
import numpy as np
import pytest
from published_npz import TO_MPI, people, projected, write_mpi_train
from python2_pickle import damaged_bytes
from scipy.io import savemat

from lifting.data.config import DataConfig
from lifting.data.describe import is_found
from lifting.data.sets.mpi_inf_3dhp.config import Config as Mpi3dhpConfig
from lifting.data.sets.mpi_inf_3dhp.files import find_homes, read_calibration
from lifting.data.sets.mpi_inf_3dhp.reader import cache_key, tracks
from lifting.data.sources import load_tracks
from lifting.errors import DataError, MissingDataError
from lifting.geometry.camera import camera_to_world, project
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
from lifting.skeleton.convert import remap_joints

# Where the 17 joints of the published scores are among the 28.
RELEVANT = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
FRAMES = 6
STUDIO, OUTDOOR = (1500.17, 1500.17, 1017.39, 1043.03), (1683.98, 1683.98, 939.86, 560.14)


def camera(number, seed):
    """Lens, rotation (world z up to camera) and shift of a camera that sees the origin."""
    angle = number * 2 * np.pi / 14 + 0.1 * seed
    forward = np.array([np.cos(angle), np.sin(angle), 0])
    right = np.array([np.sin(angle), -np.cos(angle), 0])
    rotation = np.stack([right, (0, 0, -1), forward])
    return (1490.0 + number, 1495.0 + seed, 1024.7, 1051.4), rotation, np.array([10, 900, 4500.0])


def seen(seed, number):
    world = people(FRAMES, seed)[:, TO_MPI] * 1000
    lens, rotation, shift = camera(number, seed)
    points = world @ rotation.T + shift
    return world, points, projected(points, lens)


def twenty_eight(values):
    """Rows of 28 joints; those that are no part of the 17 hold nonsense."""
    every = np.full((len(values), 28, values.shape[-1]), 5e4)
    every[:, RELEVANT] = values
    return every.reshape(len(values), -1)


def cells(values):
    made = np.empty((len(values), 1), dtype=object)
    made[:, 0] = [None] * len(values)
    for i, value in enumerate(values):
        made[i, 0] = value
    return made


def write_train(folder, seed, radial="0"):
    folder.mkdir(parents=True)
    views = [seen(seed, number) for number in range(14)]
    labels = [twenty_eight(points) for _, points, _ in views]
    contents = {
        "annot2": cells([twenty_eight(pixels) for *_, pixels in views]),
        "annot3": cells(labels),
        "univ_annot3": cells([0.9 * label for label in labels]),
        "cameras": np.arange(14)[:, None],
        "frames": np.arange(FRAMES)[:, None],
    }
    savemat(folder / "annot.mat", contents, do_compression=bool(seed % 2))
    text = ["Skeltool Camera Calibration File V1.0"]
    for number in range(14):
        (fx, fy, cx, cy), rotation, shift = camera(number, seed)
        outer = np.eye(4)
        outer[:3, :3], outer[:3, 3] = rotation, shift
        row = " ".join(f"{value:.9g}" for value in outer.reshape(-1))
        text += [
            f"name          {number}", "  sensor      10 10", "  size        2048 2048",
            "  animated    0", f"  intrinsic   {fx} 0 {cx} 0 0 {fy} {cy} 0 0 0 1 0 0 0 0 1",
            f"  extrinsic   {row}", f"  radial      {radial}",
        ]  # fmt: skip
    (folder / "camera.calibration").write_text("\n".join(text) + "\n")


def write_test(folder, seed, lens, *, reverse=False):
    folder.mkdir(parents=True)
    points = people(FRAMES, seed)[:, TO_MPI] * (1000, 1000, -1000) + (0, 900, 5000)
    points = points[..., [0, 2, 1]] * (1, 1, 1) + (0, 0, 7000)
    values = {
        "annot2": projected(points, lens)[:, None],
        "annot3": points[:, None],
        "univ_annot3": 0.9 * points[:, None],
        "valid_frame": (np.arange(FRAMES) % 3 > 0).astype(float)[:, None],
        "activity_annotation": np.ones((FRAMES, 1)),
    }
    path = folder / "annot_data.mat"
    if reverse:
        savemat(path, {name: value.T for name, value in values.items()})
        return points
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in values.items():
            file.create_dataset(name, data=value, compression="gzip")
        references = file.create_dataset("bb_crop", (FRAMES, 1), h5py.ref_dtype)
        references[0, 0] = file["annot2"].ref
    return points


@pytest.fixture
def dataset(tmp_path):
    home = tmp_path / "mpi_inf_3dhp"
    for i, name in enumerate(("S1/Seq1", "S1/Seq2", "S8/Seq1")):
        write_train(home / name, i)
    return tmp_path


def config(root, **options):
    options = {
        "train_subjects": ("S1", "S8"), "val_subjects": ("S8",), "cameras": ("0", "4"), **options
    }  # fmt: skip
    return DataConfig(name="mpi_inf_3dhp", root=str(root), mpi_inf_3dhp=Mpi3dhpConfig(**options))


def test_training_files_give_labels_pixels_and_cameras(dataset):
    got = tracks(config(dataset, annotation="annot3"), "train")
    assert got.track_names == ("S1/Seq1/0", "S1/Seq1/4", "S1/Seq2/0", "S1/Seq2/4")
    for track, (seed, number) in enumerate([(0, 0), (0, 4), (1, 0), (1, 4)]):
        rows = slice(int(got.offsets[track]), int(got.offsets[track + 1]))
        world, points, pixels = seen(seed, number)
        np.testing.assert_allclose(got.joints_3d[rows], points, rtol=0, atol=1e-3)
        np.testing.assert_allclose(got.keypoints_2d[rows], pixels, rtol=0, atol=1e-3)
        filmed = got.cameras[int(got.camera[track])]
        again = project(got.joints_3d[rows], filmed.intrinsics)
        np.testing.assert_allclose(again, pixels, rtol=0, atol=0.01)
        back = camera_to_world(got.joints_3d[rows], filmed.rotation, filmed.position)
        np.testing.assert_allclose(back, world, rtol=0, atol=0.01)
    assert got.source["annotation"] == "annot3"
    assert got.source["form"] == "distributed files"
    assert got.source["frame_rate"] == "25 a second in S1/Seq1; 50 a second in S1/Seq2"
    assert got.source["frame_counts"].startswith("S1/Seq1 6 against 6416; S1/Seq2 6 against 12430")
    assert got.source["intrinsics"] == "calibrated, linear"
    assert got.fps.tolist() == [25, 25, 50, 50]
    assert got.camera_kind == "true"
    assert got.visible is None


def test_the_two_annotations_are_kept_apart(dataset):
    plain = tracks(config(dataset, annotation="annot3"), "val")
    scaled = tracks(config(dataset), "val")
    assert plain.track_names == ("S8/Seq1/0", "S8/Seq1/4")
    assert scaled.source["annotation"] == "univ_annot3"
    np.testing.assert_allclose(scaled.joints_3d, 0.9 * plain.joints_3d, rtol=1e-5)
    assert cache_key(config(dataset), "val") != cache_key(
        config(dataset, annotation="annot3"), "val"
    )


@pytest.mark.parametrize("wish", ["h36m17", "mpi17"])
def test_joints_are_those_of_the_scores_in_their_own_order(dataset, wish):
    """28 joints become 17 whatever is wished for; a joint has its name in either order."""
    got = tracks(config(dataset, skeleton=wish, cameras=(), every=2), "val")
    assert len(got.track_names) == 14
    assert got.fps.tolist() == [12.5] * 14
    assert got.skeleton is MPI_INF_3DHP_17
    _, points, _ = seen(2, 0)
    np.testing.assert_allclose(got.joints_3d[:3], 0.9 * points[::2], rtol=1e-5)
    converted, _ = remap_joints(got.joints_3d[:3], MPI_INF_3DHP_17, H36M_17)
    for theirs, ours in enumerate(TO_MPI):
        np.testing.assert_allclose(converted[:, ours], 0.9 * points[::2, theirs], rtol=1e-5)
    assert TO_MPI[got.skeleton.index("right_knee")] == H36M_17.index("right_knee") == 2


@pytest.mark.parametrize("reverse", [False, True], ids=["hdf5", "matlab5"])
def test_test_files_with_their_two_kinds_of_camera(reverse, tmp_path):
    home = tmp_path / "mpi_inf_3dhp" / "mpi_inf_3dhp_test_set"
    studio = write_test(home / "TS1", 1, STUDIO, reverse=reverse)
    write_test(home / "TS6", 2, OUTDOOR, reverse=reverse)
    wanted = config(tmp_path, test_sequences=("TS1", "TS6"), annotation="annot3")
    got = tracks(wanted, "test")
    assert got.track_names == ("TS1", "TS6")
    np.testing.assert_allclose(got.joints_3d[:FRAMES], studio, rtol=1e-6)
    assert got.visible.all(1).tolist() == [False, True, True] * 4
    assert got.cameras.size[got.camera].tolist() == [[2048, 2048], [1920, 1080]]
    for track in range(2):
        rows = slice(track * FRAMES, (track + 1) * FRAMES)
        again = project(got.joints_3d[rows], got.cameras[int(got.camera[track])].intrinsics)
        np.testing.assert_allclose(again, got.keypoints_2d[rows], atol=0.02)
    assert got.source["valid_frames"] == "TS1 4, TS6 4; 8 in all against 2929 published"
    assert got.fps.tolist() == [50, 50]
    assert got.camera_kind == "true"
    assert "TS1 6 (4 valid) against 6151 (603 valid)" in got.source["frame_counts"]


def test_only_the_outdoor_sequences(tmp_path, caplog):
    home = tmp_path / "mpi_inf_3dhp" / "mpi_inf_3dhp_test_set"
    for number in (5, 6):
        write_test(home / f"TS{number}", number, OUTDOOR)
    assert is_found("mpi_inf_3dhp", str(tmp_path / "mpi_inf_3dhp"))
    got = tracks(config(tmp_path), "test")
    assert got.track_names == ("TS5", "TS6")
    said = "TS1, TS2, TS3, TS4 not found: the published test has all six; 2 of 6 scored"
    assert got.source["sequences"] == said
    assert said in caplog.text
    with pytest.raises(MissingDataError, match=r"data_test_3dhp\.npz or TS4/annot_data\.mat"):
        tracks(config(tmp_path, test_sequences=("TS4", "TS5")), "test")
    key = cache_key(config(tmp_path), "test")
    write_test(home / "TS1", 1, STUDIO)
    assert cache_key(config(tmp_path), "test") != key


def test_the_order_of_human36m_is_refused(tmp_path):
    points = write_test(tmp_path / "TS5", 5, OUTDOOR)[:, np.argsort(TO_MPI)]
    with h5py.File(tmp_path / "TS5" / "annot_data.mat", "a") as file:
        file["univ_annot3"][...] = points[:, None]
    with pytest.raises(DataError, match=r"order of mpi17 .*sound ones in the order of h36m17"):
        tracks(config(tmp_path), "test")


def test_a_sequence_is_counted_once_whatever_leads_to_it(dataset, monkeypatch):
    """A data set below another root, copies, and links: the first place counts."""
    home = dataset / "mpi_inf_3dhp"
    write_test(home / "mpi_inf_3dhp_test_set" / "TS5", 5, OUTDOOR)
    write_test(dataset / "TS5", 6, OUTDOOR)
    write_train(dataset / "S1" / "Seq1", 4)
    (home / "S8" / "Seq2").symlink_to(home / "S8" / "Seq1")
    monkeypatch.setenv("LIFTING_DATA", str(dataset))
    found = find_homes(None, ("S1/Seq1", "S1/Seq2", "S8/Seq1", "S8/Seq2", "TS5", "TS6"))
    places = [one.path.parent.relative_to(home).as_posix() for one in found]
    assert places == ["S1/Seq1", "S1/Seq2", "S8/Seq1", "mpi_inf_3dhp_test_set/TS5"]
    wanted = DataConfig(**{**vars(config(dataset)), "root": None})
    assert tracks(wanted, "val").track_names == ("S8/Seq1/0", "S8/Seq1/4")
    assert len(tracks(wanted, "test")) == FRAMES


def test_the_npz_form_goes_first(dataset):
    path = dataset / "mpi_inf_3dhp" / "data_train_3dhp.npz"
    write_mpi_train(path, {"S1 Seq1": 3, "S8 Seq1": 5}, ("0", "4"))
    got = tracks(config(dataset), "val")
    assert got.source["form"] == "npz"
    assert len(got) == 10


def test_it_is_cached(dataset):
    wanted = DataConfig(**{**vars(config(dataset)), "cache": str(dataset / "cache")})
    first, again = load_tracks(wanted, "val"), load_tracks(wanted, "val")
    np.testing.assert_array_equal(first.joints_3d, again.joints_3d)
    assert again.source == first.source


def test_what_is_missing_is_named(dataset):
    home = dataset / "mpi_inf_3dhp"
    with pytest.raises(MissingDataError, match=r"S2/Seq1/annot\.mat.*vcai\.mpi-inf\.mpg\.de"):
        tracks(config(dataset, train_subjects=("S1", "S2")), "train")
    with pytest.raises(MissingDataError, match=r"TS1/annot_data\.mat"):
        tracks(config(dataset), "test")
    (home / "S8" / "Seq1" / "camera.calibration").unlink()
    with pytest.raises(MissingDataError, match=r"camera\.calibration.*comes with each sequence"):
        tracks(config(dataset), "val")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"annot2": cells([np.zeros((3, 50))] * 14)}, r"'annot2\[0\]' of shape \(frames, 56\)"),
        ({"annot2": cells([np.zeros((3, 56))] * 14)}, "as many 2D as 3D frames"),
        ({"univ_annot3": cells([np.zeros((FRAMES, 84))] * 14)}, "thigh"),
        ({"univ_annot3": cells([np.full((FRAMES, 84), np.nan)] * 14)}, "finite 'univ_annot3"),
        ({"univ_annot3": np.zeros((2, 2))}, r"univ_annot3\[4\]|no array of numbers|IndexError"),
    ],
)
def test_other_forms_are_refused(change, reason, dataset):
    path = dataset / "mpi_inf_3dhp" / "S8" / "Seq1" / "annot.mat"
    _, points, pixels = seen(2, 0)
    sound = {
        "annot2": cells([twenty_eight(pixels)] * 14),
        "univ_annot3": cells([twenty_eight(points)] * 14),
    }
    savemat(path, {**sound, **change})
    with pytest.raises(DataError, match=reason):
        tracks(config(dataset), "val")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name", "nom", "cameras, each after a line 'name'"),
        ("extrinsic", "other", "16 numbers after 'extrinsic' of camera 0"),
        ("size        2048 2048", "size  2048", "2 numbers after 'size'"),
        ("intrinsic   1490.0", "intrinsic   abc", "16 numbers after 'intrinsic'"),
        ("intrinsic   1490.0", "intrinsic   -1", "positive focal lengths"),
        ("extrinsic   ", "extrinsic   7", "a rotation in 'extrinsic'"),
    ],
)
def test_calibrations_are_checked(old, new, reason, dataset):
    path = dataset / "mpi_inf_3dhp" / "S1" / "Seq1" / "camera.calibration"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=reason):
        read_calibration(path)


def test_radial_terms_are_recorded(tmp_path):
    write_train(tmp_path / "S8" / "Seq1", 2, radial="0.1 0")
    got = tracks(config(tmp_path, train_subjects=("S8",)), "val")
    assert "radial terms" in got.source["intrinsics"]


def test_damaged_calibrations_raise_nothing_but_data_errors(damage_count, dataset):
    path = dataset / "mpi_inf_3dhp" / "S1" / "Seq1" / "camera.calibration"
    raw, refused, rng = path.read_bytes(), 0, random.Random(0)
    for changed in damaged_bytes(raw, damage_count):
        start = rng.randrange(max(len(changed), 1))
        path.write_bytes(changed[:start] + changed[start + rng.randint(0, 4) :])
        try:
            read_calibration(path)
        except DataError:
            refused += 1
    assert refused > damage_count // 10
