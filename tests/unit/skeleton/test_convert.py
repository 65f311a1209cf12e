import pytest
import torch

from lifting.errors import ConfigError, ShapeError
from lifting.skeleton import (
    BODY_25,
    COCO_17,
    H36M_17,
    HALPE_26,
    MPI_INF_3DHP_17,
    MPI_INF_3DHP_28,
    SKELETONS,
    SMPL_22,
    Skeleton,
    conversion,
    get_skeleton,
)
from lifting.skeleton.convert import remap_joints
from lifting.skeleton.recipes import CONVERSIONS


def numbered(skeleton) -> torch.Tensor:
    """Joint j lies at (j, 100 - j)."""
    index = torch.arange(float(len(skeleton)))
    return torch.stack((index, 100 - index), dim=-1)


@pytest.mark.parametrize("pair", CONVERSIONS, ids=lambda p: f"{p[0]}-{p[1]}")
def test_every_recipe_is_translation_equivariant_and_keeps_sides(pair):
    source, target = (get_skeleton(name) for name in pair)
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(4, len(source), 3, generator=generator)
    mapped, confidence = remap_joints(pose, source, target)
    assert mapped.shape == (4, len(target), 3)
    assert (confidence == 1).all()
    moved, _ = remap_joints(pose + 5, source, target)
    torch.testing.assert_close(moved, mapped + 5)
    flipped, _ = remap_joints(pose[:, list(source.flip_index)], source, target)
    torch.testing.assert_close(flipped, mapped[:, list(target.flip_index)])


def test_mpi_orders_are_the_published_ones():
    relevant = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
    mapped, _ = remap_joints(numbered(MPI_INF_3DHP_28), MPI_INF_3DHP_28, MPI_INF_3DHP_17)
    assert mapped[:, 0].tolist() == relevant
    order = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    mapped, _ = remap_joints(numbered(MPI_INF_3DHP_17), MPI_INF_3DHP_17, H36M_17)
    assert mapped[:, 0].tolist() == order


@pytest.mark.parametrize(
    ("skeleton", "limbs"),
    [
        (COCO_17, [12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10]),
        (BODY_25, [9, 10, 11, 12, 13, 14, 5, 6, 7, 2, 3, 4]),
        (HALPE_26, [12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10]),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_limbs_have_the_published_indices(skeleton, limbs):
    mapped, _ = remap_joints(numbered(skeleton), skeleton, H36M_17)
    assert mapped[[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16], 0].tolist() == limbs


def test_coco_trunk_and_head_by_hand():
    pose = numbered(COCO_17)
    mapped, _ = remap_joints(pose, COCO_17, H36M_17)
    thorax = 5.5 * 2 / 3
    head = 3.5 + 1.5 - 0
    expected = torch.tensor([11.5, (11.5 + thorax) / 2, thorax, 0, head])
    torch.testing.assert_close(mapped[[0, 7, 8, 9, 10], 0], expected)


def test_hidden_ears_let_the_eyes_stand_in():
    pose, seen = numbered(COCO_17), torch.full((17,), 0.9)
    seen[3] = 0
    mapped, confidence = remap_joints(pose, COCO_17, H36M_17, seen)
    assert mapped[10, 0] == pytest.approx(2 * 1.5 - 0)
    assert confidence[10] == pytest.approx(0.9)
    seen[1] = 0
    mapped, confidence = remap_joints(pose, COCO_17, H36M_17, seen)
    assert mapped[10, 0] == pytest.approx(5.0)
    assert confidence[10] == 0


def test_a_derived_joint_is_as_sure_as_its_least_sure_parent():
    seen = torch.ones(17)
    seen[11] = 0.25
    _, confidence = remap_joints(numbered(COCO_17), COCO_17, H36M_17, seen)
    assert confidence[0] == 0.25
    assert confidence[7] == 0.25
    assert confidence[8] == 1


def test_errors():
    with pytest.raises(
        ConfigError, match="expected a known conversion of joints, got smpl24 to coco17"
    ):
        remap_joints(torch.zeros(24, 3), get_skeleton("smpl24"), COCO_17)
    with pytest.raises(ShapeError, match="joints=17"):
        remap_joints(torch.zeros(16, 2), COCO_17, H36M_17)


def test_renamings_work_both_ways_and_behind_other_recipes():
    pose = torch.randn(3, 17, 3, generator=torch.Generator().manual_seed(0))
    there, _ = remap_joints(pose, MPI_INF_3DHP_17, H36M_17)
    back, _ = remap_joints(there, H36M_17, MPI_INF_3DHP_17)
    assert torch.equal(back, pose)
    assert not torch.equal(there, pose)

    coco = torch.randn(3, 17, 3, generator=torch.Generator().manual_seed(1))
    ours, _ = remap_joints(coco, COCO_17, H36M_17)
    theirs, _ = remap_joints(coco, COCO_17, MPI_INF_3DHP_17)
    assert torch.equal(theirs, remap_joints(ours, H36M_17, MPI_INF_3DHP_17)[0])
    assert conversion(COCO_17, MPI_INF_3DHP_17).approximate == {
        "spine", "neck", "head", "head_top",
    }  # fmt: skip
    direct, _ = remap_joints(numbered(MPI_INF_3DHP_28), MPI_INF_3DHP_28, H36M_17)
    assert direct[:4, 0].tolist() == [4, 23, 24, 25]


def test_joints_of_one_name_are_not_taken_for_the_same():
    """`neck` of h36m17 is the point at the face, that of mpi17 the thorax."""
    neck = conversion(MPI_INF_3DHP_17, H36M_17).recipes["neck"]
    assert neck == ({"head": 1.0},)
    with pytest.raises(ConfigError, match="expected a known conversion"):
        conversion(H36M_17, COCO_17)
    assert "hip" not in conversion(COCO_17, H36M_17).approximate


def test_sets_are_known_by_their_joints_and_not_by_their_names():
    mine = Skeleton("my 17", H36M_17.joints, H36M_17.parents, H36M_17.mirror)
    assert mine == H36M_17
    assert hash(mine) == hash(H36M_17)
    assert conversion(COCO_17, mine) is conversion(COCO_17, H36M_17)
    called = Skeleton("h36m17", MPI_INF_3DHP_17.joints, MPI_INF_3DHP_17.parents, ())
    assert called != H36M_17
    with pytest.raises(ConfigError, match="expected a known conversion"):
        conversion(called, SMPL_22)


@pytest.mark.parametrize("source", SKELETONS.values(), ids=lambda s: s.name)
def test_weights_sum_to_one(source):
    for target in SKELETONS.values():
        try:
            recipes = conversion(source, target).recipes
        except ConfigError:
            continue
        assert list(recipes) == list(target.joints)
        for options in recipes.values():
            for recipe in options:
                assert sum(recipe.values()) == pytest.approx(1)
