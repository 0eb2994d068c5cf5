"""Any number of classes and images, names of any length: nothing is cut off, nothing overlaps."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.reporting.confusion import confusion_matrix
from cnnexp.visualization.activations import activations
from cnnexp.visualization.overlay import heat_overlays
from cnnexp.visualization.probe import Probe

Tiles = Callable[..., list[list[Any]]]

Legible = Callable[[Figure], None]
LONG = "a rather long name of a class that goes on: {}"


def test_the_check_of_legibility_sees_what_is_wrong(legible: Legible) -> None:
    apart = Figure(figsize=(4, 1))
    apart.text(0.1, 0.5, "here")
    apart.text(0.6, 0.5, "there")
    legible(apart)
    apart.text(0.65, 0.52, "upon it")
    with pytest.raises(AssertionError, match="upon it"):
        legible(apart)
    cut = Figure(figsize=(4, 1))
    cut.text(0.9, 0.5, "too long for that")
    with pytest.raises(AssertionError, match="too long"):
        legible(cut)


@pytest.mark.parametrize(
    ("k", "name"), [*((k, LONG) for k in (2, 10, 11, 27, 100)), (2, "{}"), (27, "{}")]
)
def test_confusion_matrix_is_legible(k: int, name: str, legible: Legible) -> None:
    generator = np.random.default_rng(k)
    labels = generator.integers(0, k, 3000)
    predictions = np.where(generator.random(3000) < 0.8, labels, generator.integers(0, k, 3000))
    figure = confusion_matrix(labels, predictions, [name.format(i) for i in range(k)]).figure
    axes = figure.axes[0]
    assert len(axes.get_yticklabels()) == k
    assert min(label.get_fontsize() for label in axes.get_yticklabels()) >= 6
    assert all(text.get_fontsize() >= 5 for text in axes.texts)
    assert bool(axes.texts) == (k <= 27)
    assert ("Most often confused" in [text.get_text() for text in figure.texts]) == (k > 10)
    assert max(figure.get_size_inches()) < 18
    legible(figure)


@pytest.mark.parametrize(("count", "name"), [(1, LONG), (3, LONG), (16, LONG), (16, "{}")])
def test_overlays_are_legible(count: int, name: str, legible: Legible, tiles: Tiles) -> None:
    generator = np.random.default_rng(count)
    figure = heat_overlays(
        images=generator.integers(0, 256, (count, 3, 8, 8)).astype(np.uint8),
        maps=generator.random((count, 8, 8)).astype(np.float32) * 1e-4,
        labels=[i % 3 for i in range(count)],
        targets=[i % 2 for i in range(count)],
        probabilities=np.tile([0.2, 0.5, 0.3], (count, 1)),
        classes=[name.format(i) for i in range(3)],
        title="Grad-CAM at " + "block" * 20,
        lines=["a line " * 30],
        unit="evidence (logit)",
    )
    assert len(tiles(figure)) == 2 * count
    legible(figure)


def test_activations_are_legible(legible: Legible, make_probe: Callable[..., Probe]) -> None:
    blocks = OrderedDict(
        (f"{'stage' * 8}{i}", nn.Conv2d(c, 200, 1)) for i, c in enumerate((3, 200, 200))
    )
    blocks["few"] = nn.Conv2d(200, 2, 1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(2 * 16, 2))
    network = nn.Sequential(OrderedDict(**blocks, head=head)).eval()
    probe = make_probe(
        network,
        torch.rand(1, 3, 4, 4).mul(255),
        torch.tensor([1]),
        (LONG.format(0), LONG.format(1)),
        ("folder/" * 20 + "image.png",),
    )
    legible(activations(probe, channels=20)["activations_1"].figure)
