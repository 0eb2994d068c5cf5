"""One thread or several: sums in another order, so the same to a tolerance. The same count, the
same to the bit: tests/test_reproduce.py."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import cnnexp

ONE_EPOCH = [
    "dataset=shapes", "dataset.images=300", "dataset.image_size=32", "trainer.max_epochs=1",
    "augmentation=crop_flip", "trainer.log_every_n_steps=1", "visualization=none", "tracking=none",
    "trainer.precision=32-true",
]  # fmt: skip
# Relative, as docs/reliability.md says.
OF_THE_FIRST_STEP, OF_THE_FIRST_EPOCH = 1e-5, 1e-3


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def trained(threads: int) -> dict[str, float]:
    """The first value of each metric."""
    torch.set_num_threads(threads)
    folder = cnnexp.run(ONE_EPOCH).folder
    assert folder is not None
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    return {row["metric"]: float(row["value"]) for row in reversed(rows)}


def test_of_thread_counts(work: Path) -> None:
    one, three = trained(1), trained(3)
    assert three["train/loss_step"] == pytest.approx(one["train/loss_step"], rel=OF_THE_FIRST_STEP)
    assert three["val/loss"] == pytest.approx(one["val/loss"], rel=OF_THE_FIRST_EPOCH)
