from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.logits import to_probabilities
from cnnexp.visualization.layers import (
    UpTo,
    block_outputs,
    default_layer,
)

Make = Callable[..., nn.Sequential]


@pytest.mark.parametrize(
    ("stages", "size", "layer"),
    [
        (3, 32, "block3"),  # 16, 8, 4
        (5, 32, "block3"),  # 16, 8, 4, 2, 1
        (5, 64, "block4"),
        (1, 8, "block1"),
        (3, (32, 60), "block3"),  # 4 x 7
        (3, (31, 60), "block2"),  # 3 x 7 is too small
    ],
)
def test_default_layer_is_the_deepest_with_a_map_of_4(
    make_network: Make, stages: int, size: int | tuple[int, int], layer: str
) -> None:
    network = make_network((2,) * stages, size=64)
    network.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    assert default_layer(network, size) == layer


def test_default_layer_is_not_fooled_by_a_block_that_enlarges(make_network: Make) -> None:
    """As VGG16's adaptive pooling to 7x7 does with the 1x1 maps of a 32-pixel image."""
    network = make_network((2,) * 5, size=32)
    network.head = nn.Identity()
    del network.head
    network.pool = nn.AdaptiveAvgPool2d(7)
    network.head = nn.Sequential(nn.Flatten(), nn.Linear(2 * 49, 3))
    assert default_layer(network, 32) == "block3"
    assert default_layer(network, 224) == "pool"  # 7x7 maps stay as they are


def test_default_layer_ends_before_a_flat_block(make_network: Make) -> None:
    network = make_network(size=16)
    head = network.head
    del network.head
    network.flatten, network.head = head[0], head[1]
    assert default_layer(network, 16) == "block2"


def test_default_layer_lists_the_sizes_if_there_is_none(make_network: Make) -> None:
    network = make_network((2, 2), size=6)
    with pytest.raises(InputError, match=r"normalize 6x6, block1 3x3, block2 1x1\); use a larger"):
        default_layer(network, 6)


def test_a_layer_that_nobody_calls_is_refused(images: torch.Tensor) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare, self.flat = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3), nn.Flatten()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.flat(x)
            return self.used(x)

    network = nn.Sequential(OrderedDict(block1=Unused(), head=nn.Flatten()))
    assert UpTo(network, "block1.used", "key")(images.float()).shape == (5, 2, 14, 14)
    with pytest.raises(InputError, match=r"^key: layer 'block1\.spare' is not called as a module"):
        UpTo(network, "block1.spare", "key")(images.float())
    with pytest.raises(InputError, match=r"^key: layer 'block1\.flat' gives no map, .* is 2-dim"):
        UpTo(network, "block1.flat", "key")(images.float())


def test_a_block_that_is_there_twice(images: torch.Tensor) -> None:
    shared, last = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 2, 3)
    blocks = OrderedDict(block1=shared, block2=shared, block3=last, head=nn.Flatten())
    network = nn.Sequential(blocks)
    given = UpTo(network, "block3", "key")(images.float())
    assert torch.equal(given, last(shared(shared(images.float()))))


def test_block_outputs_are_those_of_slices(make_network: Make, images: torch.Tensor) -> None:
    network = make_network()
    outputs = block_outputs(network, images)
    assert list(outputs) == ["normalize", "block1", "block2", "head"]
    for number, values in enumerate(outputs.values(), start=1):
        assert torch.equal(values, network[:number](images))


def test_block_outputs_outlive_what_is_done_in_place(images: torch.Tensor) -> None:
    network = nn.Sequential()
    network.block1, network.head = nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True)
    outputs = block_outputs(network, images.float())
    assert torch.equal(outputs["block1"], network.block1(images.float()))
    assert (outputs["block1"] < 0).any()


def test_probabilities() -> None:
    assert torch.allclose(
        to_probabilities(torch.tensor([[0.0], [1.0986123]])),
        torch.tensor([[0.5, 0.5], [0.25, 0.75]]),  # logit ln 3: odds 3 to 1
    )
    logits = torch.tensor([[1.0, 2.0, 4.0]]).log()
    assert torch.allclose(to_probabilities(logits), torch.tensor([[1.0, 2.0, 4.0]]) / 7)
    assert to_probabilities(logits.bfloat16()).dtype == torch.float32
