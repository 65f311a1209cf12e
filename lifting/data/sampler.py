"""Which samples a batch holds, and when: seeded epochs that resume and split to the bit.

A pass over the training samples is a permutation drawn from (seed, number of the pass) alone, one
over those of evaluation has the order of the tracks. An epoch is one pass, cut into the fewest
batches of at most ``batch_size`` samples, equal in size within one, so that no batch is a lone
leftover; or it has so many full batches as are asked for, whatever the number of samples, and the
passes go on from one epoch to the next. Of several processes each takes a slice of every batch,
equal in size within one again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

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
        number: Batch within the epoch, counted from 0; the same for all processes' slices.
        samples: ``(batch,)`` int64, indices of samples: a process's slice of the batch.
        before: Samples of the batch before the slice.
        after: Samples of the batch behind it.
    """

    epoch: int
    number: int
    samples: Tensor
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        """Samples of the whole batch: what is random is drawn for all of them."""
        return self.before + len(self.samples) + self.after

    @property
    def slice(self) -> slice:
        """Where the samples stand in the whole batch."""
        return slice(self.before, self.before + len(self.samples))


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

    The batches are those of a single process, and every process gets its slice of each; so every
    sample belongs to exactly one slice, and the first batches hold the same samples whatever the
    number of processes. In evaluation, where a batch would have fewer samples than there are
    processes, there are fewer and larger ones.

    Args:
        samples: Number of samples of the split.
        batch_size: Samples a batch at most, over all processes.
        seed: Seed of the permutations.
        shuffle: Permute, as in training; else keep the order of the tracks.
        share: Part of this process.
        batches: Batches of an epoch; None cuts one pass.

    Raises:
        DataError: There are fewer samples than processes, in a batch of training or at all.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        share: Share,
        batches: int | None = None,
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
        self.batches = batches or -(-samples // batch_size)
        self.length = samples if batches is None else batches * min(batch_size, samples)
        if not shuffle:
            self.batches = min(self.batches, samples // share.world)
        elif (smallest := self.length // self.batches) < share.world:
            raise DataError(
                f"expected batches of at least one sample for each of {share.world} "
                f"processes, got some of {smallest}; raise data.batch_size or use fewer "
                "trainer.devices"
            )

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
        start = self.first()
        self.resumed = None
        yield from islice(self._slices(), start, None)

    def size(self, number: int) -> int:
        """Samples of a batch, over all processes."""
        return self.length // self.batches + (number < self.length % self.batches)

    def share_of_step(self, number: int, accumulate: int, batches: int) -> float:
        """What makes the mean over processes and batches of a step the mean over its samples.

        Args:
            number: The batch of the step that is at work.
            accumulate: Batches of a step, but for the last of an epoch, which has what is left.
            batches: Batches of an epoch, where it does not have them all.

        Returns:
            Factor of the batch's loss; 1 where all that the step consists of are equal in size.
        """
        start = number - number % accumulate
        step = sum(self.size(i) for i in range(start, min(start + accumulate, batches)))
        return accumulate * self.size(number) / step

    def _slices(self) -> Iterator[BatchKey]:
        order = self._order() if self.shuffle else torch.arange(self.samples)
        for number, batch in enumerate(torch.tensor_split(order, self.batches)):
            slices = torch.tensor_split(batch, self.share.world)
            own, before = slices[self.share.rank], sum(map(len, slices[: self.share.rank]))
            after = len(batch) - before - len(own)
            yield BatchKey(self.epoch, number, own, before, after)

    def _order(self) -> Tensor:
        """The samples of an epoch: what it takes of the permutations one after another."""
        start = self.epoch * self.length
        first, last = start // self.samples, (start + self.length - 1) // self.samples
        passes = [
            torch.randperm(self.samples, generator=stream(self.seed, number))
            for number in range(first, last + 1)
        ]
        return torch.cat(passes).narrow(0, start - first * self.samples, self.length)


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
