"""Two real processes give what one gives, also when one of them has little to score."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow

PROGRAM = textwrap.dedent(
    """
    import sys
    import torch
    from torch import distributed
    from lifting.batch import PoseBatch, Prediction
    from lifting.geometry.camera import Camera
    from lifting.metrics.calibration import UncertaintyRanking
    from lifting.metrics.collection import PoseMetrics
    from lifting.metrics.motion import Tracks
    from lifting.metrics.single import MPJPE, PAMPJPE
    from lifting.metrics.protocol import get_protocol
    from lifting.metrics.single_scores import AUC
    from lifting.skeleton import H36M_17

    rank, store = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    generator = torch.Generator().manual_seed(0)
    labels = 300 * torch.randn(31, 1, 17, 3, generator=generator)
    predicted = labels - labels[:, :, :1] + 50 * torch.randn(31, 1, 17, 3, generator=generator)
    sigma = 5 + 90 * torch.rand(31, 1, 17, generator=generator)
    action = torch.randint(0, 3, (31,), generator=generator)

    def part(index, rich):
        count = len(index)
        batch = PoseBatch(skeleton=H36M_17,
            keypoints_2d=torch.zeros(count, 1, 17, 2),
            camera=Camera(intrinsics=torch.zeros(count, 9), size=torch.zeros(count, 2)),
            joints_3d=labels[index], action=action[index],
            sequence=index // 16, frame=index % 16,
        )
        prediction = Prediction(skeleton=H36M_17, joints_3d=predicted[index])
        if rich:
            prediction.sigma = sigma[index]
            prediction.hypotheses = predicted[index][:, None] * torch.tensor([0.9, 1.1])[
                :, None, None, None]
            prediction.extras = {"context": predicted[index] * 1.1}
        return prediction, batch

    def fresh():
        tracks = Tracks(torch.tensor([50.0, 25.0]), torch.tensor([16, 15]))
        return PoseMetrics(get_protocol("default"), H36M_17, ("a", "b", "c"), tracks=tracks)

    everything = torch.arange(31)
    shares = everything[:20], everything[20:]
    one_process = fresh()
    one_process.update(*part(everything, True))
    motion = one_process._motion.settle()  # before anybody else is asked
    # A single process's own sums, read without a reduction.
    reference_sums = {k: v.clone() for k, v in one_process._sums._values.items()}
    mine = fresh()
    for piece in shares[rank].split(8):
        mine.update(*part(piece, True))
    totals = mine._sums.totals()
    assert set(totals) == set(reference_sums)
    for key, value in reference_sums.items():
        torch.testing.assert_close(totals[key], value, rtol=1e-9, atol=1e-9, msg=key)
    mine.compute()
    if rank == 0:
        assert mine.per_action()["a"]["mpjpe_mm"] > 0  # asks no other process

    # Neighbours on one process, on two, and in no order.
    shuffled = torch.randperm(31, generator=generator)
    for mine_now in (shares[rank], everything[rank::2], shuffled[:9] if rank else shuffled[9:]):
        split = fresh()
        for piece in mine_now.split(4):
            split.update(*part(piece, False))
        values = split.compute()
        names = "mpjve_mm_per_%s", "acceleration_error_mm_per_%s2"
        for name, (by_frame, count, by_time, timed) in zip(names, motion.tolist()):
            assert count == timed > 0
            for unit, total in (("frame", by_frame), ("second", by_time)):
                expected = torch.tensor(total / count, dtype=torch.float64)
                torch.testing.assert_close(values[name % unit], expected, rtol=1e-9, atol=1e-9)

    lonely = fresh()
    if rank == 0:
        lonely.update(*part(everything, True))
    for key, value in lonely._sums.totals().items():
        torch.testing.assert_close(value, reference_sums[key], rtol=1e-9, atol=1e-9, msg=key)
    assert "context_mpjpe_mm" in lonely.compute()

    target = (labels - labels[:, :, :1])[:, 0]
    pose = predicted[:, 0]
    for make in (MPJPE, PAMPJPE, lambda **k: AUC(17, **k)):
        alone = make(sync_on_compute=False)
        alone.update(pose, target)
        joined = make()
        joined.update(pose[shares[rank]], target[shares[rank]])
        torch.testing.assert_close(joined.compute(), alone.compute(), rtol=1e-9, atol=1e-9)
    error = (pose - target).norm(dim=-1)
    alone, joined = UncertaintyRanking(sync_on_compute=False), UncertaintyRanking()
    alone.update(sigma[:, 0], error)
    joined.update(sigma[shares[rank], 0], error[shares[rank]])
    for key, value in alone.compute().items():
        torch.testing.assert_close(joined.compute()[key], value, rtol=1e-9, atol=1e-9)
    distributed.destroy_process_group()
    print("agreed")
    """
)


def test_two_processes_agree_with_one(tmp_path):
    program = tmp_path / "worker.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(program)]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store")],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [worker.communicate(timeout=240)[0] for worker in workers]
    for worker, output in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, output
        assert "agreed" in output
