import pytest

from lifting.errors import ConfigError
from lifting.metrics.protocol import (
    DHP_GROUPS,
    action_key,
    get_protocol,
    group_actions,
    joint_key,
    protocol_names,
)
from lifting.skeleton import H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, get_skeleton


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_names_joints_of_its_skeletons(name):
    protocol = get_protocol(name)
    for skeleton_name in (protocol.skeleton, *(n for n in protocol.others if n != "*")):
        skeleton = get_skeleton(skeleton_name)
        on = protocol.on(skeleton)
        assert on.skeleton == skeleton_name
        assert skeleton.index(on.root) == skeleton.root
        for group in ("position", "threshold"):
            assert len(set(on.joint_indices(group, skeleton))) >= 14
        assert on.id_for(on.headline).startswith(f"{name}/v1|mm|{skeleton_name}:")


def test_the_identifier_says_how_a_number_was_made():
    protocol = get_protocol("h36m/p2")
    expected = "h36m/p2/v1|mm|h36m17:all|hip|similarity|joint>action|visible"
    assert protocol.id_for("pa_mpjpe_action_mm") == expected
    assert protocol.id_for("mpjpe_mm/Walking") == "h36m/p2/v1|mm|h36m17:all|hip|none|joint|visible"
    scale = protocol.id_for("n_mpjpe_mm")
    assert scale.split("|")[4] == "scale"
    assert protocol.id_for("oracle/p_best@H20_mm") == protocol.id_for("mpjpe_mm")
    assert protocol.id_for("context_pa_mpjpe_mm") == protocol.id_for("pa_mpjpe_mm")
    assert "head_top+neck" in get_protocol("3dhp").id_for("pck_150mm")
    assert ":all|" in get_protocol("3dhp").id_for("mpjpe_mm")


def test_mpi_inf_3dhp_scores_fourteen_joints_by_threshold_and_all_by_position():
    protocol = get_protocol("3dhp")
    left_out = set(range(17)) - set(protocol.joint_indices("threshold", MPI_INF_3DHP_17))
    assert left_out == {14, 15, 16}
    assert protocol.joint_indices("position", MPI_INF_3DHP_17) == tuple(range(17))
    converted = protocol.on(H36M_17)
    dropped = set(range(17)) - set(converted.joint_indices("threshold", H36M_17))
    assert {H36M_17.joints[j] for j in dropped} == {"hip", "spine", "neck"}


def test_humaneva_on_seventeen_joints_leaves_out_the_two_that_are_guessed():
    on = get_protocol("humaneva").on(H36M_17)
    assert set(range(17)) - set(on.joint_indices("position", H36M_17)) == {7, 9}


def test_default_admits_any_skeleton():
    assert get_protocol("default").on(HUMANEVA_15).root == "pelvis"
    assert (
        len(get_protocol("default").on(HUMANEVA_15).joint_indices("position", HUMANEVA_15)) == 15
    )


def test_actions_are_compared_whole():
    given = [
        "Sitting",
        "SittingDown",
        "turn 90 left",
        "turn 180 right",
        "run_2",
        "run_3",
        "Sitting",
    ]
    names, index = group_actions(given)
    assert names == tuple(given[:-1])
    assert index == (0, 1, 2, 3, 4, 5, 0)
    assert group_actions([]) == ((), ())


def test_every_action_has_a_key_of_its_own():
    names = ("Walking", "a/b", "a", "joint", "joint/hip", "action/joint/hip", "action", "", "test")
    keys = [action_key("mpjpe_mm", name) for name in names]
    assert keys[:4] == ["mpjpe_mm/Walking", "mpjpe_mm/a/b", "mpjpe_mm/a", "mpjpe_mm/joint"]
    assert joint_key("mpjpe_mm", "hip") == "mpjpe_mm/joint/hip"
    assert len({*keys, joint_key("mpjpe_mm", "hip")}) == len(names) + 1
    protocol = get_protocol("default")
    assert {protocol.id_for(key) for key in keys} == {protocol.id_for("mpjpe_mm")}


def test_errors_name_what_exists():
    with pytest.raises(ConfigError, match=r"unknown protocol 'h36m/p3'; did you mean 'h36m/p"):
        get_protocol("h36m/p3")
    with pytest.raises(ConfigError, match="unknown metric 'mpjp_mm'; did you mean 'mpjpe_mm'"):
        get_protocol("default").id_for("mpjp_mm")
    with pytest.raises(ConfigError, match=r"expected poses of protocol '3dpw' on one of h36m17, "
                       "got skeleton 'mpi17'"):  # fmt: skip
        get_protocol("3dpw").on(MPI_INF_3DHP_17)


def test_groups_cover_the_scored_joints_once():
    joints = [j for group in DHP_GROUPS.values() for j in group]
    assert len(joints) == len(set(joints)) == 14
