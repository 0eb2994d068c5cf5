"""Neighbours, maps, class means and mistakes: legible with any names, classes and images."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.models.normalize import Normalize
from cnnexp.visualization.class_gradcam import class_gradcam
from cnnexp.visualization.embedding import embedding
from cnnexp.visualization.mistakes import mistakes
from cnnexp.visualization.neighbours import neighbours
from cnnexp.visualization.probe import Probe

LONG = "a rather long name of a class that goes on: {}"
VISUALISERS = {
    "neighbours": lambda probe: neighbours(probe, k=10, queries=1),
    "one neighbour": lambda probe: neighbours(probe, k=1, queries=2),
    "embedding": lambda probe: embedding(probe),
    "class_gradcam": lambda probe: class_gradcam(probe, classes=6),
    "mistakes": lambda probe: mistakes(probe, wrong=3, right=4),
    "one mistake": lambda probe: mistakes(probe, wrong=1, right=1),
}


@pytest.mark.parametrize("visualise", VISUALISERS.values(), ids=VISUALISERS)
@pytest.mark.parametrize(("k", "name"), [(2, "{}"), (100, LONG)])
def test_legible(
    visualise: Callable, k: int, name: str, make_probe: Callable[..., Probe],
    legible: Callable[[Figure], None],
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 8, 3)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, k))
    network = nn.Sequential(OrderedDict(normalize=Normalize([0.5] * 3, [0.2] * 3)))
    network.add_module("a_long_name_of_a_block", maps)
    network.add_module("head", head)
    images = torch.rand(240, 3, 8, 8, generator=generator).mul(255).byte()
    labels = torch.arange(240) % k
    shares = np.random.default_rng(0).dirichlet(np.ones(k), 240)
    shares[:120] = 0.1 * shares[:120] + 0.9 * np.eye(k)[labels[:120]]
    probe = make_probe(
        network.eval(), images, labels, [name.format(i) for i in range(k)],
        [f"{'folder/' * 20}{i}.png" for i in range(240)], probabilities=shares,
    )  # fmt: skip
    for picture in visualise(probe).values():
        assert max(picture.figure.get_size_inches()) < 25
        assert min(text.get_fontsize() for text in picture.figure.texts) >= 7.5
        legible(picture.figure)
