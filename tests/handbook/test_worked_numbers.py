"""The handbook's worked numbers, twice: by the layers that models are made of, and by loops."""

import itertools
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.models.anatomy import anatomy
from cnnexp.models.layers import convolution, dense_head
from cnnexp.models.lenet5 import lenet5

# Image I, (3, 4, 4): red all 1, green all 2, blue 1 to 4 by row.
IMAGE = np.stack(
    [np.full((4, 4), 1.0), np.full((4, 4), 2.0), np.repeat([1.0, 2, 3, 4], 4).reshape(4, 4)]
)
ONES = np.ones((3, 3, 3))
VERTICAL = np.array([[[1.0, 0, -1]] * 3])  # (1, 3, 3)
STEP = np.array([[[10.0, 10, 10, 0, 0, 0]] * 6])  # (1, 6, 6)


def by_loops(
    image: np.ndarray, kernel: np.ndarray, padding: int = 0, stride: int = 1, dilation: int = 1
) -> np.ndarray:
    """(C, H, W), (C, F, F) -> (H', W'): each output is a sum that is written out."""
    image = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
    side = kernel.shape[1]
    reach = dilation * (side - 1) + 1
    rows = range(0, image.shape[1] - reach + 1, stride)
    columns = range(0, image.shape[2] - reach + 1, stride)
    places = list(itertools.product(range(len(image)), range(side), range(side)))
    return np.array(
        [
            [
                sum(
                    image[c, y + dilation * i, x + dilation * j] * kernel[c, i, j]
                    for c, i, j in places
                )
                for x in columns
            ]
            for y in rows
        ]
    )


def by_layer(
    image: np.ndarray,
    kernel: np.ndarray,
    padding: int | Literal["same", "valid"] = 0,
    stride: int = 1,
    dilation: int = 1,
) -> np.ndarray:
    """The same by the layer of our models."""
    (layer,) = convolution(
        len(image), 1, kernel.shape[1], norm="none", activation=None, padding=padding, stride=stride
    )
    assert isinstance(layer, nn.Conv2d)
    layer.dilation = (dilation, dilation)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel))
        assert layer.bias is not None
        layer.bias.zero_()
        return layer(torch.from_numpy(image).float()[None])[0, 0].numpy()


@pytest.mark.parametrize(
    ("padding", "dilation", "wanted"),
    [
        (0, 1, [[45, 45], [54, 54]]),
        (1, 1, [[18, 27, 27, 18], [30, 45, 45, 30], [36, 54, 54, 36], [26, 39, 39, 26]]),
        (2, 2, [[20] * 4, [24] * 4, [20] * 4, [24] * 4]),
    ],
)
def test_an_image_and_a_filter(padding: int, dilation: int, wanted: list[list[int]]) -> None:
    for way in (by_loops, by_layer):
        found = way(IMAGE, ONES, padding=padding, dilation=dilation)
        np.testing.assert_array_equal(found, wanted, err_msg=way.__name__)


def test_same_padding_is_the_padding_of_the_formula() -> None:
    same = by_layer(IMAGE, ONES, padding="same")
    np.testing.assert_array_equal(same, by_loops(IMAGE, ONES, padding=1))


def test_max_pooling() -> None:
    wanted = [[[1, 1], [1, 1]], [[2, 2], [2, 2]], [[2, 2], [4, 4]]]
    layer = nn.MaxPool2d(2)(torch.from_numpy(IMAGE)[None])[0].numpy()
    loops = [
        [[max(channel[2 * y + i, 2 * x + j] for i in (0, 1) for j in (0, 1)) for x in (0, 1)]
         for y in (0, 1)]
        for channel in IMAGE
    ]  # fmt: skip
    np.testing.assert_array_equal(layer, wanted)
    np.testing.assert_array_equal(loops, wanted)


def test_a_vertical_edge() -> None:
    for way in (by_loops, by_layer):
        np.testing.assert_array_equal(way(STEP, VERTICAL), [[0, 30, 30, 0]] * 4)


def size(n: int, f: int, p: int = 0, s: int = 1, d: int = 1) -> int:
    """Of the output: the handbook's formula."""
    return math.floor((n + 2 * p - d * (f - 1) - 1) / s) + 1


def cases() -> Iterator[tuple[int, int, int, int, int]]:
    for n, f, p, s, d in itertools.product((6, 7, 12), (1, 3, 5), (0, 1, 2), (1, 2, 3), (1, 2)):
        if n + 2 * p >= d * (f - 1) + 1:
            yield n, f, p, s, d


@pytest.mark.parametrize(("n", "f", "p", "s", "d"), list(cases()))
def test_the_size_of_an_output(n: int, f: int, p: int, s: int, d: int) -> None:
    image, kernel = np.ones((1, n, n)), np.ones((1, f, f))
    wanted = (size(n, f, p, s, d),) * 2
    assert by_loops(image, kernel, p, s, d).shape == wanted
    assert by_layer(image, kernel, p, s, d).shape == wanted


@pytest.mark.parametrize(
    ("channels", "side", "filters", "kernel", "stride", "shape"),
    [
        (32, 128, 16, 3, 1, (16, 126, 126)),
        (32, 128, 16, 3, 2, (16, 63, 63)),
        (32, 64, 16, 1, 1, (16, 64, 64)),
    ],
)
def test_shapes(
    channels: int, side: int, filters: int, kernel: int, stride: int, shape: tuple[int, ...]
) -> None:
    layers = convolution(
        channels, filters, kernel, norm="none", activation=None, stride=stride, padding=0
    )
    found = nn.Sequential(*layers)(torch.zeros(1, channels, side, side))
    assert found.shape[1:] == shape == (filters, *[size(side, kernel, s=stride)] * 2)


@pytest.mark.parametrize(
    ("n", "f", "s", "exact", "rounded"), [(6, 3, 1, 1.0, 1), (6, 3, 2, 3.5, 4)]
)
def test_padding_for_an_output_as_large_as_the_input(
    n: int, f: int, s: int, exact: float, rounded: int
) -> None:
    assert (s * (n - 1) - n + f) / 2 == exact
    assert math.ceil(exact) == rounded
    image, kernel = np.ones((1, n, n)), np.ones((1, f, f))
    for way in (by_loops, by_layer):
        assert way(image, kernel, padding=rounded, stride=s).shape == (n, n)
        if rounded != exact:
            assert way(image, kernel, padding=rounded - 1, stride=s).shape == (n - 1, n - 1)


def parameters(*layers: nn.Module) -> int:
    return sum(weights.numel() for layer in layers for weights in layer.parameters())


def test_parameters() -> None:
    ten = convolution(3, 10, 3, norm="none", activation=None)
    assert parameters(*ten) == 280 == (3 * 3 * 3 + 1) * 10
    six = convolution(3, 6, 5, norm="none", activation=None, padding=0)
    assert parameters(*six) == 456 == (5 * 5 * 3 + 1) * 6
    maps = nn.Sequential(*six)(torch.zeros(1, 3, 32, 32)).numel()
    assert maps == 4704
    between = dense_head(
        3, 32, maps, reduce="flatten", dense=[], activation="relu", dropout=0.0
    )  # fmt: skip
    assert parameters(between) == (3072 + 1) * 4704 == 14_455_392


def test_the_table_of_lenet() -> None:
    """(f * f * channels + 1) * filters, (in + 1) * out; sizes by the formula."""
    first, second = size(32, 5), size(size(32, 5) // 2, 5)
    wanted = [
        ((8, first, first), (5 * 5 * 3 + 1) * 8),
        ((8, first // 2, first // 2), 0),
        ((16, second, second), (5 * 5 * 8 + 1) * 16),
        ((16, second // 2, second // 2), 0),
        ((120,), (second // 2 * (second // 2) * 16 + 1) * 120),
        ((84,), (120 + 1) * 84),
        ((10,), (84 + 1) * 10),
    ]
    assert [count for _, count in wanted] == [608, 0, 3216, 0, 48_120, 10_164, 850]
    assert [math.prod(shape) for shape, _ in wanted] == [6272, 1568, 1600, 400, 120, 84, 10]
    rows = anatomy(lenet5(32, 10), 32)
    assert [(tuple(row.shape), row.parameters) for row in rows] == wanted
