"""Weights averaged over the steps of a training."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cnnexp.training.fit import moving_average


def test_moving_average_by_hand() -> None:
    average = moving_average(0.5)
    # The first count is 1: (1 + 1)/(10 + 1); from 8 on 9/18 reaches the decay.
    values = [
        average(torch.tensor(0.0), torch.tensor(1.0), torch.tensor(n)).item() for n in (1, 8, 100)
    ]
    assert values == pytest.approx([1 - 2 / 11, 0.5, 0.5])


def test_a_short_run_leaves_its_initial_weights_behind() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 100.0)
    averaged = AveragedModel(network, avg_fn=moving_average(0.999))
    with torch.no_grad():
        for _ in range(30):
            network.weight.fill_(1.0)
            averaged.update_parameters(network)
    assert averaged.module.weight.item() == pytest.approx(1.0, abs=0.01)


def test_an_average_of_equal_weights_is_that_weight_to_the_bit() -> None:
    """Frozen blocks are averaged, too, and must not move; counters are taken as they are."""
    weights = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(moving_average(0.999)(weights, weights, torch.tensor(500)), weights)
    found = moving_average(0.999)(torch.tensor(3), torch.tensor(8), torch.tensor(500))
    assert found == 8
