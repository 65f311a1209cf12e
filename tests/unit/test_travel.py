"""The skeleton of a batch and of an answer arrives wherever the batch does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lifting.batch import PoseBatch, Prediction, collate
from lifting.data.gather import GatherOptions, TrackBatches
from lifting.data.sampler import BatchKey
from lifting.errors import DataError
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.trained import claims_of
from lifting.methods.discovery import load_config_class, load_module_class
from lifting.methods.settings import ModuleSettings
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17, Skeleton
from lifting.skeleton.convert import remap_joints

MINE = Skeleton("my own", H36M_17.joints, H36M_17.parents, H36M_17.mirror)


class Batches(torch.utils.data.Dataset):
    """Batches of single samples, as a user's own data set might give them."""

    def __init__(self, tracks):
        self.batches = TrackBatches(tracks, GatherOptions())

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.batches[BatchKey(0, index, torch.tensor([index]))]


class Seeing(pl.LightningModule):
    """Answers with the input's own joints and remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, batch: PoseBatch) -> Prediction:
        self.seen.append(batch.skeleton)
        return Prediction(skeleton=batch.skeleton, joints_3d=self.weight * batch.joints_3d)

    def test_step(self, batch, batch_idx):
        self.log("seen", float(len(self(batch).skeleton)), batch_size=len(batch))

    def predict_step(self, batch, batch_idx):
        return self(batch)


@pytest.fixture
def own_tracks(tiny_tracks):
    tiny_tracks.skeleton = MINE
    return tiny_tracks


def trainer(tmp_path, **options):
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, **options,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1])
def test_through_a_plain_loader_test_and_predict(own_tracks, tmp_path, workers):
    loader = DataLoader(Batches(own_tracks), batch_size=2, collate_fn=collate, num_workers=workers)
    module = Seeing()
    trainer(tmp_path).test(module, loader, verbose=False)
    answers = trainer(tmp_path).predict(module, loader, return_predictions=True)
    assert len(answers) == 3
    for skeleton in (*module.seen, *(answer.skeleton for answer in answers)):
        assert skeleton == MINE
        assert skeleton.name == "my own"
    if workers == 0:
        assert all(skeleton is MINE for skeleton in module.seen)
    assert answers[0].joints_3d.shape == (2, 1, 17, 3)


def test_rows_collate_and_views_keep_it(own_tracks):
    whole = TrackBatches(own_tracks, GatherOptions()).gather(torch.arange(8))
    assert whole.rows(slice(2, 4)).skeleton is MINE
    again = collate([whole.rows(slice(0, 4)), whole.rows(slice(4, 8))])
    assert again.skeleton is MINE
    assert torch.equal(again.keypoints_2d, whole.keypoints_2d)
    other = whole.rows(slice(0, 2))
    other.skeleton = MPI_INF_3DHP_17
    with pytest.raises(DataError, match="expected samples of one skeleton, got my own and mpi17"):
        collate([whole, other])


def test_a_compiled_function_reads_it(tiny_batch):
    def flipped(batch: PoseBatch) -> torch.Tensor:
        return batch.keypoints_2d[..., list(batch.skeleton.flip_index), :] + batch.skeleton.root

    compiled = torch.compile(flipped, backend="eager", fullgraph=True)
    assert torch.equal(compiled(tiny_batch), flipped(tiny_batch))
    tiny_batch.skeleton = MPI_INF_3DHP_17
    assert torch.equal(compiled(tiny_batch), flipped(tiny_batch))


PROCESS = """
import sys, torch, torch.distributed as dist
from lifting.batch import Prediction
from lifting.skeleton import H36M_17, MPI_INF_3DHP_17
rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mine = (H36M_17, MPI_INF_3DHP_17)[rank]
answer = Prediction(skeleton=mine, joints_3d=torch.full((1, 1, 17, 3), float(rank)))
found = [None, None]
dist.all_gather_object(found, answer)
assert [one.skeleton for one in found] == [H36M_17, MPI_INF_3DHP_17], found
assert found[1].joints_3d.mean() == 1
dist.barrier()
"""


def test_two_processes_exchange_it(tmp_path):
    import subprocess

    command = [sys.executable, "-c", PROCESS]
    root = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], cwd=root)
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]


def test_a_checkpoint_holds_it_in_plain_values(tmp_path, tiny_batch):
    settings = ModuleSettings("simple_baseline", skeleton=MPI_INF_3DHP_17.plain())
    config = load_config_class("simple_baseline")(channels=8, blocks=0)
    module = load_module_class("simple_baseline")(config, settings).eval()
    module.claim = {"fps": 25.0, "frames": 9, "dataset": "tiny", "protocol": "3dhp"}
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    path = tmp_path / "some.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    claims = claims_of(read_checkpoint(path, "simple_baseline"), path)
    assert claims.skeleton == MPI_INF_3DHP_17
    assert (claims.fps, claims.frames, claims.trained_on) == (25.0, 9, "tiny")
    assert claims.normalisation == module.normalisation
    with pytest.raises(DataError, match="expected input with the joints of mpi17, got h36m17"):
        module.infer(tiny_batch)
    points, _ = remap_joints(tiny_batch.keypoints_2d, H36M_17, MPI_INF_3DHP_17)
    other = PoseBatch(skeleton=MPI_INF_3DHP_17, keypoints_2d=points, camera=tiny_batch.camera)
    assert module.infer(other).skeleton == MPI_INF_3DHP_17
