import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lifting.batch import flip_pose
from lifting.errors import ConfigError, DataError, MissingDataError, OutputError, ShapeError
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.metrics.clusters import PoseClusters, fit_pss, kmeans, lloyd_step
from lifting.metrics.functional.structure import nearest_center, structure_matches, unit_pose
from lifting.metrics.single_scores import PSS
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17


def families(count, *, seed=5, spread=15.0):
    """Poses around six prototypes."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = 300 * torch.randn(6, 17, 3, generator=torch.Generator().manual_seed(1)).double()
    label = torch.randint(6, (count,), generator=generator)
    noise = spread * torch.randn(count, 17, 3, generator=generator, dtype=torch.float64)
    poses = prototypes[label] + noise
    return poses - poses[:, :1], label


@pytest.fixture(scope="module")
def clusters():
    poses, _ = families(400)
    return fit_pss(poses, 6, joint_names=H36M_17.joints, root="hip", dataset="made up", n_init=3)


def score(clusters, predicted, target, mask=None, **options):
    metric = PSS(clusters, H36M_17.joints, "hip", **options)
    metric.update(predicted, target, mask)
    return metric


def test_clusters_find_the_families(clusters):
    poses, label = families(200, seed=9)
    found = nearest_center(unit_pose(poses), clusters.centers)
    for family in range(6):
        assert len(found[label == family].unique()) == 1
    assert len(found.unique()) == 6


def test_scale_is_forgiven_but_swaps_and_turns_are_not(clusters):
    poses, _ = families(200, seed=9)
    assert float(score(clusters, 3.1 * poses, poses).compute()) == 100
    assert float(score(clusters, flip_pose(poses, H36M_17), poses).compute()) < 50
    turn = axis_angle_to_matrix(torch.tensor([0.0, 2.5, 0.0]).double())
    turned = poses @ turn.T
    assert float(score(clusters, turned, poses).compute()) < 50
    assert float(score(clusters, turned, poses, rotate=True).compute()) == 100


def test_batches_do_not_matter_and_bad_poses_are_counted(clusters):
    poses, _ = families(60, seed=2, spread=200.0)
    predicted, _ = families(60, seed=3, spread=200.0)
    mask = torch.ones(60, 17, dtype=torch.bool)
    mask[:7, 4] = False
    predicted[10, 3] = torch.nan
    predicted[11] = 0
    whole = score(clusters, predicted, poses, mask)
    parts = PSS(clusters, H36M_17.joints, "hip")
    for index in torch.arange(60).split([9, 1, 50]):
        parts.update(predicted[index], poses[index], mask[index])
    assert_close(whole.compute(), parts.compute(), rtol=1e-12, atol=0)
    assert (int(whole.n_skipped), int(whole.n_degenerate), int(whole.count)) == (7, 2, 53)
    clean = [i for i in range(7, 60) if i not in (10, 11)]
    hits = structure_matches(predicted[clean], poses[clean], clusters.centers).sum()
    assert_close(whole.compute(), 100 * hits.double() / 53)


def test_nearest_center_takes_the_first_of_equals_and_is_exact_when_close():
    features = torch.randn(500, 9, generator=torch.Generator().manual_seed(0)).double()
    centers = torch.cat((features[:4], features[:4], features[4:8] + 1e-6, features[4:8]))
    exact = (features[:, None] - centers[None]).square().sum(-1).argmin(1)
    found = nearest_center(features, centers)
    assert found[:4].tolist() == [0, 1, 2, 3]
    assert found[4:8].tolist() == [12, 13, 14, 15]
    clear = torch.arange(8, 500)
    top = (features[:, None] - centers[None]).square().sum(-1).topk(2, largest=False).values
    clear = clear[(top[8:, 1] - top[8:, 0]) > 1e-12]
    assert torch.equal(found[clear], exact[clear])


def test_fits_are_reproducible_and_keep_the_best_restart():
    poses, _ = families(150, spread=150.0)
    options = {"joint_names": H36M_17.joints, "root": "hip"}
    first = fit_pss(poses, 10, seed=4, n_init=3, **options)
    again = fit_pss(poses, 10, seed=4, n_init=3, **options)
    assert first.fingerprint == again.fingerprint
    singles = [kmeans(unit_pose(poses), 10, seed=4 + r) for r in range(3)]
    assert first.inertia == min(fit.inertia for fit in singles)
    assert all(fit.steps < 300 for fit in singles)
    assert fit_pss(poses, 10, seed=99, n_init=1, **options).fingerprint != first.fingerprint


def test_lloyd_never_increases_inertia():
    data = unit_pose(families(120, spread=300.0)[0])
    centers = data[:7].clone()
    inertia = []
    for _ in range(8):
        labels = nearest_center(data, centers)
        inertia.append(float((data - centers[labels]).square().sum()))
        centers = lloyd_step(data, centers)
    assert inertia == sorted(inertia, reverse=True)


def test_an_empty_cluster_starts_again_at_the_farthest_sample():
    data = torch.tensor([[0.0], [1.0], [2.0], [50.0]]).double()
    moved = lloyd_step(data, torch.tensor([[1.0], [1000.0]]).double())
    assert float(moved[1]) == 50


def test_file_round_trip(clusters, tmp_path):
    path = tmp_path / "made" / "pss.npz"
    clusters.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["pss.npz"]
    found = PoseClusters.load(path)
    assert torch.equal(found.centers, clusters.centers)
    assert found.fingerprint == clusters.fingerprint
    assert (found.joint_names, found.root, found.dataset) == (H36M_17.joints, "hip", "made up")
    with np.load(path, allow_pickle=False) as archive:
        assert str(archive["normalisation"]) == "unit_frobenius_root_centred"
        assert str(archive["frame"]) == "camera"
        assert int(archive["K"]) == 6


def test_damaged_files_are_refused(clusters, tmp_path):
    with pytest.raises(
        MissingDataError, match=r"expected pose clusters at .*none\.npz, got no such"
    ):
        PoseClusters.load(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(DataError, match="expected pose clusters as a plain npz file"):
        PoseClusters.load(text)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, centers=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="expected pose clusters as a plain npz file"):
        PoseClusters.load(pickled)
    path = tmp_path / "pss.npz"
    clusters.save(path)
    with np.load(path) as archive:
        content = dict(archive)
    np.savez(path, **{**content, "centers": content["centers"] + 1e-9})
    with pytest.raises(DataError, match="expected centres with fingerprint"):
        PoseClusters.load(path)
    np.savez(path, **{k: v for k, v in content.items() if k != "seed"})
    with pytest.raises(DataError, match="version pss-v1 without seed"):
        PoseClusters.load(path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match=r"expected to write .*pss\.npz"):
        clusters.save(blocked / "pss.npz")


def test_other_joints_are_refused(clusters):
    with pytest.raises(ConfigError, match="expected poses with the joints of the clusters"):
        PSS(clusters, MPI_INF_3DHP_17.joints, "pelvis")
    with pytest.raises(ConfigError, match=r"root 'hip'.*got root 'spine'"):
        PSS(clusters, H36M_17.joints, "spine")
    with pytest.raises(ShapeError, match="joints=17"):
        score(clusters, torch.zeros(2, 16, 3), torch.zeros(2, 16, 3))


def test_fits_refuse_what_they_cannot_use():
    poses, _ = families(20)
    options = {"joint_names": H36M_17.joints, "root": "hip"}
    with pytest.raises(DataError, match="expected at least 50 finite poses to cluster, got 20"):
        fit_pss(poses, 50, **options)
    with pytest.raises(ConfigError, match="expected the root among the joints, got 'pelvis'"):
        fit_pss(poses, 5, joint_names=H36M_17.joints, root="pelvis")
    with pytest.raises(ShapeError, match="joints=17"):
        fit_pss(poses[:, :16], 5, **options)
    with pytest.raises(ConfigError, match="expected between 1 and 20 clusters"):
        kmeans(unit_pose(poses), 0)
    poses[0] = 0
    assert fit_pss(poses, 5, n_init=1, **options).n_train == 19
