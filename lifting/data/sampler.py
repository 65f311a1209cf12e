"""Which samples a batch holds, and when: seeded epochs that resume and split to the bit.

An epoch is a permutation drawn from (seed, epoch) alone. It is cut into the fewest batches of at
most ``batch_size`` samples, equal in size within one, so that no batch is a lone leftover.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Sampler

from lifting.batch import PoseBatch
from lifting.errors import DataError


@dataclass(frozen=True, slots=True)
class BatchKey:
    """All that a batch depends on beside the tracks.

    Attributes:
        epoch: Epoch, counted from 0.
        number: Batch within the epoch, counted from 0 over all processes.
        samples: ``(batch,)`` int64, indices of samples.
    """

    epoch: int
    number: int
    samples: Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the data one process of a distributed run works on.

    Attributes:
        rank: This process, counted from 0.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1


def stream(seed: int, *numbers: int) -> Generator:
    """A generator on the CPU whose numbers depend on its arguments only."""
    text = "/".join(str(n) for n in (seed, *numbers))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class BatchSampler(Sampler[BatchKey]):
    """Cuts an epoch into batches; shared out among processes without padding.

    In training every process gets the same number of samples, so at most ``world - 1`` of an
    epoch's permutation are left out. In evaluation every sample belongs to exactly one process,
    and all processes have the same number of batches.

    Args:
        samples: Number of samples of the split.
        batch_size: Samples a batch at most.
        seed: Seed of the permutations.
        shuffle: Permute, as in training; else keep the order of the tracks.
        share: Part of this process.

    Raises:
        DataError: There are fewer samples than processes.
    """

    def __init__(
        self, samples: int, batch_size: int, *, seed: int, shuffle: bool, share: Share
    ) -> None:
        if samples < share.world:
            raise DataError(
                f"expected at least one sample for each of {share.world} processes, got "
                f"{samples}; use fewer devices or more data"
            )
        self.samples = samples
        self.seed = seed
        self.shuffle = shuffle
        self.share = share
        self.epoch = 0
        self.resumed: tuple[int, int] | None = None
        largest = samples // share.world if shuffle else -(-samples // share.world)
        self.batches = min(-(-largest // batch_size), samples // share.world)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls this, on resuming too."""
        self.epoch = epoch

    def resume_at(self, epoch: int, batch: int) -> None:
        """Leave out the first batches of one epoch, once."""
        self.resumed = (epoch, batch)

    def first(self) -> int:
        """Number of the batch that the next iteration begins with."""
        if self.resumed is None or self.resumed[0] != self.epoch:
            return 0
        return self.resumed[1] % self.batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[BatchKey]:
        pieces = torch.tensor_split(self._mine(), self.batches)
        start = self.first()
        self.resumed = None
        for i in range(start, self.batches):
            number = i * self.share.world + self.share.rank
            yield BatchKey(self.epoch, number, pieces[i])

    def _mine(self) -> Tensor:
        rank, world = self.share.rank, self.share.world
        if not self.shuffle:
            return torch.tensor_split(torch.arange(self.samples), world)[rank]
        order = torch.randperm(self.samples, generator=stream(self.seed, self.epoch))
        return order[rank : self.samples - self.samples % world : world]


class BatchLoader(DataLoader[PoseBatch]):
    """A loader of whole batches that knows how far it has come in its epoch.

    Lightning makes a loader's iterator before it tells the sampler the epoch (on resuming), and
    loader processes ask for work as soon as they are made; so the true iterator starts with the
    first batch that is asked for. The position goes into checkpoints, so that a run stopped
    within an epoch continues with the next batch.
    """

    sampler: BatchSampler
    delivered: int = 0

    def __iter__(self) -> Iterator[PoseBatch]:  # type: ignore[override]
        self.delivered = self.sampler.first()
        for batch in super().__iter__():
            self.delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were delivered."""
        return {"epoch": self.sampler.epoch, "delivered": self.delivered}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue, if that epoch is run, after the batches that were delivered."""
        self.sampler.resume_at(int(state["epoch"]), int(state["delivered"]))
