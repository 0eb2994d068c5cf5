"""The inception block by hand, and the networks that are made of it."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.config.compose import compose, resolved
from cnnexp.config.groups import config_folder
from cnnexp.config.instantiate import call
from cnnexp.errors import InputError
from cnnexp.models.anatomy import anatomy
from cnnexp.models.baseline import baseline
from cnnexp.models.googlenet import googlenet
from cnnexp.models.inception import Branches, inception, inception_block

# Rows 1, 2, 3, 4: the sums over 3x3 and 5x5 windows, zeros outside, and the 3x3 maxima.
IMAGE = torch.arange(1.0, 5.0).view(1, 1, 4, 1).expand(1, 1, 4, 4)
SUMS_3 = torch.tensor([[6, 9, 9, 6], [12, 18, 18, 12], [18, 27, 27, 18], [14, 21, 21, 14]])
SUMS_5 = torch.tensor([[18, 24, 24, 18], [30, 40, 40, 30], [30, 40, 40, 30], [27, 36, 36, 27]])
MAXIMA = torch.tensor([[2] * 4, [3] * 4, [4] * 4, [4] * 4])

NARROW = ((32, 32), (64, 64), (128, 128))  # the baseline's


def block(
    channels: int,
    width: int,
    kind: Any = "reduced",
    shares: Sequence[int] = (64, 128, 32, 32),
    reductions: Sequence[int] = (96, 16),
    norm: Any = "none",
) -> Branches:
    return inception_block(
        channels,
        width,
        kind=kind,
        shares=shares,
        reductions=reductions,
        norm=norm,
        activation="relu",
    )


def fill(network: nn.Module, value: float) -> None:
    """All weights the value, all biases 0."""
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, value if name.endswith("weight") else 0.0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("kind", "width", "factors"),
    [
        ("three_branch", 3, (2, 2, 2)),
        ("naive", 4, (2, 2, 2, 1)),  # three convolutions, and the one channel that pooling passes
        ("reduced", 4, (2, 4, 4, 2)),  # two convolutions one after the other
    ],
)
def test_branches_by_hand_and_in_order(kind: str, width: int, factors: tuple[int, ...]) -> None:
    network = block(1, width, kind, shares=(1, 1, 1, 1), reductions=(1, 1))
    fill(network, 2.0)
    maps = network(IMAGE)
    assert maps.shape == (1, width, 4, 4)
    by_hand = [IMAGE[0, 0], SUMS_3, SUMS_5, MAXIMA]
    for channel, factor in enumerate(factors):
        torch.testing.assert_close(maps[0, channel], factor * by_hand[channel].float())


def test_every_convolution_is_activated() -> None:
    network = block(1, 4, shares=(1, 1, 1, 1), reductions=(1, 1))
    fill(network, -1.0)  # of a positive image: nothing passes
    assert not network(IMAGE).any()


def test_the_first_block_of_googlenet() -> None:
    """Szegedy et al. 2015, table 1, row "inception (3a)": 192 -> 256 channels."""
    network = block(192, 256)
    settings = {
        name: [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in branch
               if isinstance(c, nn.Conv2d)]
        for name, branch in network.items()
    }  # fmt: skip
    assert settings == {
        "1x1": [(192, 64, 1)],
        "3x3": [(192, 96, 1), (96, 128, 3)],
        "5x5": [(192, 16, 1), (16, 32, 5)],
        "pool": [(192, 32, 1)],
    }
    by_hand = 193 * (64 + 96 + 16 + 32) + (9 * 96 + 1) * 128 + (25 * 16 + 1) * 32
    assert count(network) == by_hand


@pytest.mark.parametrize(
    ("kind", "channels", "width", "parts"),
    [
        ("reduced", 32, 64, [16, 32, 8, 8]),
        ("naive", 32, 64, [9, 18, 5, 32]),  # 32 left of 64: shares of 9.1, 18.3, 4.6
        ("naive", 3, 32, [8, 17, 4, 3]),  # 29 left of 32: 8.3, 16.6, 4.1
        ("three_branch", 32, 64, [18, 37, 9]),  # 18.3, 36.6, 9.1
        ("three_branch", 32, 128, [37, 73, 18]),  # 36.6, 73.1, 18.3
    ],
)
def test_width_is_shared_to_the_last_channel(
    kind: str, channels: int, width: int, parts: list[int]
) -> None:
    network = block(channels, width, kind)
    maps = torch.rand(2, channels, 5, 5)
    assert [branch(maps).shape[1] for branch in network.values()] == parts
    assert network(maps).shape == (2, width, 5, 5)


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model.kind=naive: .* leaves 0 of 64.*model.blocks=1"):
        block(64, 64, "naive")
    with pytest.raises(InputError, match=r"^model.kind=naive: .* leaves -16 of 48"):
        block(64, 48, "naive")
    with pytest.raises(InputError, match=r"^model.shares=\[64, 128, 32, 32\]: .* 3 channels"):
        block(3, 3)
    with pytest.raises(InputError, match=r"model.replace=\[2, 4\]: there is no stage 4"):
        inception(32, 10, replace=[2, 4])
    with pytest.raises(InputError, match=r"model.widths\[1\]=\[\]"):
        inception(32, 10, widths=[[32], []], replace=[2])
    with pytest.raises(InputError, match=r"stage 3 of 3 leaves no pixel"):
        inception(4, 10)
    with pytest.raises(InputError, match=r"stage 3 of 3 gets no pixel"):
        googlenet(7, 10)
    assert googlenet(8, 10).eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 10)


def test_the_largest_branch_is_the_receptive_field() -> None:
    chain = nn.Sequential(block(3, 12, "naive"), nn.MaxPool2d(2))
    rows = {row.name: row for row in anatomy(chain, 16)}
    assert rows["0.5x5.0"].receptive_field == 5
    assert (rows["0.pool.0"].receptive_field, rows["0.pool.0"].stride) == (3, 1)
    assert rows["1"].receptive_field == 5 + 1
    assert rows["1"].shape == (12, 8, 8)


@pytest.mark.parametrize("kind", ["naive", "reduced", "three_branch"])
@pytest.mark.parametrize("replace", [[], [3], [2, 3], [1, 2, 3]])
def test_nothing_else_differs_from_the_baseline(kind: Any, replace: list[int]) -> None:
    own = inception(32, 10, kind=kind, replace=replace, widths=NARROW, blocks=1)
    others = baseline(32, 10, widths=NARROW)
    assert [n for n, _ in own.named_children()] == [n for n, _ in others.named_children()]
    image = torch.rand(2, 3, 32, 32)
    for number, (name, plain) in enumerate(others.named_children(), start=1):
        mine = own.get_submodule(name)
        if number not in replace:
            assert str(mine) == str(plain)
            mine.load_state_dict(plain.state_dict())
        else:
            assert str(mine[-1]) == str(plain[-1])  # pooling
            assert [type(layer).__name__ for layer in mine] == ["Branches", "MaxPool2d"]
            assert mine(image).shape == plain(image).shape
        image = plain(image)


def test_settings_reach_the_blocks() -> None:
    network = inception(
        32, 3, widths=[[8], [16, 24]], replace=[2], blocks=2, norm="group", activation="silu",
        pool="average", dropout=0.1, reduce="average", dense=[], kernel_size=5, padding="valid",
    )  # fmt: skip
    kinds = [type(layer).__name__ for layer in network.modules()]
    # One plain convolution, two blocks of six; two blocks' pooling beside that of the stages.
    names = ("Conv2d", "GroupNorm", "SiLU", "BatchNorm2d", "ReLU", "AvgPool2d", "MaxPool2d")
    assert [kinds.count(name) for name in names] == [13, 13, 13, 0, 0, 2, 2]
    assert network.block1(torch.rand(1, 3, 32, 32)).shape == (1, 8, 14, 14)
    assert network.block2(torch.rand(1, 8, 14, 14)).shape == (1, 24, 7, 7)
    assert all((c.bias is None) for c in network.modules() if isinstance(c, nn.Conv2d))


def test_parameters_by_formula() -> None:
    def branches(channels: int, width: int) -> int:
        """Eighths: 2 + 4 + 1 + 1 of the width, reductions 3 and 1/2; two per channel by norm."""
        e = width // 8
        reductions = channels * (2 * e + 3 * e + e // 2 + e)
        return reductions + 9 * 3 * e * 4 * e + 25 * e // 2 * e + 2 * (8 * e + 3 * e + e // 2)

    convolutions = 27 * 32 + 9 * 32 * 32 + 4 * 32
    head = (4 * 4 * 128 + 1) * 512 + 513 * 10
    by_hand = convolutions + branches(32, 64) + branches(64, 128) + head
    network = inception(32, 10, widths=NARROW, blocks=1, reductions=(96, 16))
    assert count(network) == by_hand == 1_111_858


def test_it_has_the_parameters_of_the_baseline() -> None:
    settings = resolved(compose(["model=inception"]).config)["model"]
    network = call(settings, image_size=32, outputs=10)
    assert count(network) == pytest.approx(count(baseline(32, 10)), rel=0.01)
    text = (config_folder() / "model" / "inception.yaml").read_text()
    assert f"{count(network):,} parameters" in text
    assert f"(baseline: {count(baseline(32, 10)):,}" in text


@pytest.mark.parametrize("kind", ["naive", "reduced", "three_branch"])
def test_googlenet_takes_every_kind_as_it_stands(kind: Any) -> None:
    assert googlenet(32, 10, kind=kind).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_googlenet_halves_between_its_stages() -> None:
    network = googlenet(32, 10, stem=[8], widths=[[16, 24], [32], [40, 48]], head_dropout=0.0)
    maps = torch.rand(2, 3, 32, 32)
    shapes = {}
    for name, part in network.named_children():
        maps = part(maps)
        shapes[name] = tuple(maps.shape[1:])
    assert shapes == {
        "stem": (8, 16, 16), "block1": (24, 16, 16), "block2": (32, 8, 8), "block3": (48, 4, 4),
        "head": (10,),
    }  # fmt: skip
    assert sum(isinstance(part, Branches) for part in network.modules()) == 5
