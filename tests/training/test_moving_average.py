"""Weights averaged over the steps of a training."""

from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.training.moving_average import average


def averaged(start: float, new: float, count: int, decay: float) -> float:
    value = torch.tensor([start])
    average([(value, torch.tensor([new]))], count, decay)
    return value.item()


def test_by_hand() -> None:
    # The first step is taken whole. (1 + 1)/(10 + 1); from 8 on 9/18 reaches the decay.
    values = [averaged(0.0, 1.0, n, 0.5) for n in (0, 1, 8, 100)]
    assert values == pytest.approx([1.0, 1 - 2 / 11, 0.5, 0.5])


def test_a_short_run_leaves_its_initial_weights_behind() -> None:
    weight = torch.tensor([100.0])
    for count in range(30):
        average([(weight, torch.tensor([1.0 if count else 100.0]))], count, 0.999)
    assert weight.item() == pytest.approx(1.0, abs=0.01)


def test_an_average_of_equal_weights_is_that_weight_to_the_bit() -> None:
    """Frozen blocks are averaged, too, and must not move."""
    weights = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    own = weights.clone()
    average([(own, weights)], 500, 0.999)
    assert torch.equal(own, weights)


def test_it_counts_the_optimizers_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not batches, whose gradients are added up before there is one."""
    monkeypatch.chdir(tmp_path)
    result = cnnexp.run([
        "dataset=shapes", "dataset.images=120", "dataset.image_size=24", "dataset.batch_size=16",
        "model.widths=[[4],[4]]", "model.dense=[8]", "trainer.max_epochs=2", "training.ema=0.9",
        "trainer.accumulate_grad_batches=2", "visualization=none", "tracking=none",
    ])  # fmt: skip
    assert result.folder is not None
    saved = torch.load(result.folder / "checkpoints" / "train" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2 * 3  # 72 images, five batches an epoch
    assert saved["averaging_state"]["n_averaged"] == saved["global_step"]
    # Counters are taken as they are: of batches.
    averaged, current = (
        {k: v for k, v in saved[of].items() if k.endswith("num_batches_tracked")}
        for of in ("state_dict", "current_model_state")
    )
    assert averaged == current
    assert [int(count) for count in averaged.values()] == [10, 10]
