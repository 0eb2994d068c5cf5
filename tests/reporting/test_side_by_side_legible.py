"""Six networks, eight images, names of any length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.models.normalize import Normalize
from cnnexp.visualization.side_by_side import Column, side_by_side

Tiles = Callable[..., list[list[Any]]]

LONG = "a rather long name of a class that goes on: {}"


def network(size: int, flat: bool) -> nn.Sequential:
    """flat: without a map of 4x4."""
    pool = nn.AdaptiveAvgPool2d(2 if flat else size // 2)
    chain = nn.Sequential()
    chain.add_module("normalize", Normalize([0.4] * 3, [0.3] * 3))
    chain.add_module("stage" * 10, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), pool))
    chain.add_module("head", nn.Sequential(nn.Flatten(), nn.LazyLinear(3)))
    chain(torch.zeros(1, 3, size, size))
    return chain.eval()


@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (6, 8)])
def test_any_number(
    columns: int, rows: int, legible: Callable[[Figure], None], tiles: Tiles
) -> None:
    generator = np.random.default_rng(columns)
    given = [
        Column(
            name=LONG.format(i),
            notes=("abcdef, seed 4294967295",),
            network=network(8 + 4 * i, flat=i == 1),
            images=torch.randint(0, 256, (rows, 3, 8 + 4 * i, 8 + 4 * i)).byte(),
            probabilities=generator.dirichlet(np.ones(3), rows),
            accuracy=1.0,
        )
        for i in range(columns)
    ]
    picture = side_by_side(
        given,
        labels=[i % 3 for i in range(rows)],
        classes=["cat", LONG.format(1), LONG.format(2)],
        paths=["folder/" * 20 + f"{i}.png" for i in range(rows)],
        disagreed=rows // 2,
        differ=1234,
        common=10_000,
    )
    assert len(tiles(picture.figure)) == rows * (columns + 1)
    legible(picture.figure)
    assert max(picture.figure.get_size_inches()) < 24
