import pytest
import pytorch_lightning as pl
import torch

from lifting.experiment.callbacks import AveragedWeights, average_decay
from lifting.experiment.config import EmaConfig


class Counter(pl.LightningModule):
    """One weight, which is the number of the batch when a step ends."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("constant", torch.tensor(3))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight - batch_idx) ** 2 / 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def average_after(steps: int, options: EmaConfig) -> float:
    average = AveragedWeights(options)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, callbacks=[average], logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    module = Counter()
    trainer.fit(module, torch.utils.data.DataLoader(torch.zeros(steps, 1)))
    assert int(module.constant) == 3
    return module.weight.item()


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_recurrence_of_its_decay(warmup):
    options = EmaConfig(decay=0.9, warmup=warmup)
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]  # the weight as each step ends
    expected = values[0]
    for step, value in enumerate(values[1:], start=1):
        decay = average_decay(options, step)
        expected = decay * expected + (1 - decay) * value
    assert average_after(len(values), options) == pytest.approx(expected)


def test_the_decay_rises_to_its_value():
    options = EmaConfig(decay=0.999)
    decays = [average_decay(options, step) for step in (0, 90, 500, 10_000)]
    assert decays == pytest.approx([0.1, 0.91, 501 / 510, 0.999])
    assert average_decay(EmaConfig(decay=0.999, warmup=False), 0) == 0.999
