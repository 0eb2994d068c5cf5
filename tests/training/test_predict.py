"""Answers for a whole split."""

import torch
from torch import nn

from cnnexp.models.normalize import Normalize
from cnnexp.tasks.predict import in_order
from cnnexp.training.predict import predict_logits


def test_each_modules_mode_stays() -> None:
    """A frozen part is in eval mode while the rest trains."""
    network = nn.Sequential(
        Normalize(), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 2)
    )
    network.train()[1].eval()
    before = network[1].running_mean.clone()
    images = torch.randint(0, 256, (5, 4, 4, 3), dtype=torch.uint8).numpy()
    seen = []
    network[2].register_forward_hook(lambda module, *_: seen.append(module.training))
    logits, _, indices = predict_logits(
        network, in_order(images), precision="32-true", device=torch.device("cpu")
    )
    assert seen == [False]
    assert [module.training for module in network] == [True, False, True, True, True]
    assert network.training
    assert torch.equal(network[1].running_mean, before)
    assert logits.shape == (5, 2)
    assert indices.tolist() == [0, 1, 2, 3, 4]
