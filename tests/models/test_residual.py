"""The residual block by hand, and the networks that are made of it."""

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from cnnexp.config.compose import compose, resolved
from cnnexp.config.groups import config_folder
from cnnexp.config.instantiate import call
from cnnexp.errors import InputError
from cnnexp.models.anatomy import anatomy
from cnnexp.models.baseline import baseline
from cnnexp.models.residual import ResidualBlock, residual
from cnnexp.models.resnet import resnet

IMAGE = torch.tensor([[-2.0, 1.0, 0.0], [3.0, -1.0, 2.0], [-4.0, 5.0, 0.0]]).view(1, 1, 3, 3)


def block(
    channels: int, width: int, *, pre: bool = False, stride: int = 1, norm: Any = "none"
) -> ResidualBlock:
    return ResidualBlock(
        channels, width, width, stride=stride, norm=norm, activation="relu", pre_activation=pre
    )


def centre(network: nn.Module, first: float, second: float) -> None:
    """The block's convolutions become multiplications: only the middle of the kernel is not 0."""
    convolutions = [layer for layer in network.residual if isinstance(layer, nn.Conv2d)]  # type: ignore[union-attr]
    for convolution, value in zip(convolutions, (first, second), strict=True):
        nn.init.zeros_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        convolution.weight.data[:, :, 1, 1] = value


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_silent_branch_leaves_the_shortcut() -> None:
    for norm in ("none", "batch", "group"):
        after, before = block(1, 1, norm=norm).eval(), block(1, 1, pre=True, norm=norm).eval()
        centre(after, 0.0, 0.0)
        centre(before, 0.0, 0.0)
        torch.testing.assert_close(after(IMAGE), IMAGE.clamp(min=0))
        torch.testing.assert_close(before(IMAGE), IMAGE)  # nothing stands on the identity's way


def test_both_orders_by_hand() -> None:
    """relu(x + 3 relu(2 x)) as in 2015; x + 3 relu(2 relu(x)) = x + 3 relu(-2 relu(x)) as drawn."""
    after, before = block(1, 1), block(1, 1, pre=True)
    centre(after, 2.0, 3.0)
    centre(before, 2.0, 3.0)
    torch.testing.assert_close(after(IMAGE), 7 * IMAGE.clamp(min=0))
    torch.testing.assert_close(before(IMAGE), torch.where(IMAGE > 0, 7 * IMAGE, IMAGE))
    centre(after, -2.0, 3.0)  # x < 0: x - 6x = -5x; else x
    centre(before, -2.0, 3.0)  # the input is activated first: nothing is negative in between
    torch.testing.assert_close(after(IMAGE), torch.where(IMAGE < 0, -5 * IMAGE, IMAGE))
    torch.testing.assert_close(before(IMAGE), IMAGE)


def test_convolutions_see_their_neighbours() -> None:
    network = block(1, 1)
    centre(network, 1.0, 1.0)
    nn.init.ones_(network.residual[0].weight)  # the sum over 3x3, zeros outside
    sums = torch.tensor([[1.0, 3.0, 2.0], [2.0, 4.0, 7.0], [3.0, 5.0, 6.0]])
    torch.testing.assert_close(network(IMAGE)[0, 0], (IMAGE[0, 0] + sums).clamp(min=0))


@pytest.mark.parametrize("pre", [False, True])
def test_a_projection_only_where_the_shape_changes(pre: bool) -> None:
    assert count(block(8, 8, pre=pre).shortcut) == 0
    assert block(8, 8, pre=pre, stride=2).shortcut[0].weight.shape == (8, 8, 1, 1)
    projecting = block(2, 3, pre=pre)
    assert projecting(torch.rand(1, 2, 5, 5)).shape == (1, 3, 5, 5)
    assert block(2, 3, pre=pre, stride=2)(torch.rand(1, 2, 5, 5)).shape == (1, 3, 3, 3)
    # A silent branch, and a projection of ones: the sum over channels, of the activated input
    # where the block pre-activates.
    centre(projecting, 0.0, 0.0)
    nn.init.ones_(projecting.shortcut[0].weight)
    nn.init.zeros_(projecting.shortcut[0].bias)
    maps = torch.cat([IMAGE, IMAGE + 2], dim=1)
    seen = maps.clamp(min=0) if pre else maps
    torch.testing.assert_close(projecting(maps)[0, 0], seen.sum(1)[0].clamp(min=0))


def test_normalisation_stands_where_the_papers_draw_it() -> None:
    kinds = {
        pre: [type(layer).__name__ for layer in block(2, 4, pre=pre, norm="batch").modules()
              if not list(layer.children())]
        for pre in (False, True)
    }  # fmt: skip
    assert kinds[False] == [
        "Sequential", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d",
        "Conv2d", "BatchNorm2d", "ReLU",
    ]  # fmt: skip
    assert kinds[True] == [
        "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "Conv2d", "Identity",
    ]  # fmt: skip


@pytest.mark.parametrize("replace", [[], [3], [2, 3], [1, 2, 3]])
def test_nothing_else_differs_from_the_baseline(replace: list[int]) -> None:
    widths = ((32, 32), (64,) * 4, (128,) * 4)
    own = residual(32, 10, replace=replace, widths=widths)
    others = baseline(32, 10, widths=widths)
    assert [n for n, _ in own.named_children()] == [n for n, _ in others.named_children()]
    image = torch.rand(2, 3, 32, 32)
    for number, (name, plain) in enumerate(others.named_children(), start=1):
        mine = own.get_submodule(name)
        if number not in replace:
            assert str(mine) == str(plain)
            mine.load_state_dict(plain.state_dict())
        else:
            assert str(mine[-1]) == str(plain[-1])  # pooling
            assert mine(image).shape == plain(image).shape
            # Without shortcut and the activation after it: the baseline's layers, one for one.
            *blocks, pool = mine
            layers = [layer for block in blocks for layer in (*block.residual, block.after)]
            layers.append(pool)
            assert [str(type(a)) for a in layers] == [str(type(b)) for b in plain]
            weights = [p.shape for block in blocks for p in block.residual.parameters()]
            assert weights == [p.shape for p in plain.parameters()]
        image = plain(image)


def test_what_leaves_pre_activating_stages_is_activated() -> None:
    kinds = [
        [type(layer).__name__ for layer in part]
        for part in residual(32, 10, replace=[1, 2], pre_activation=True)
    ][:3]
    assert kinds[0] == ["ResidualBlock", "MaxPool2d"]  # the next block begins with both
    assert kinds[1] == ["ResidualBlock", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert kinds[2][:2] == ["Conv2d", "BatchNorm2d"]
    last = resnet(32, 10, widths=[4, 8], depths=[1, 2], pre_activation=True)
    assert [type(layer).__name__ for layer in last.stem] == ["Conv2d"]
    assert [type(layer).__name__ for layer in last.block2][2:] == ["BatchNorm2d", "ReLU"]
    assert len(last.block1) == 1


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"model.widths\[0\]=\[16\]: .* even number"):
        residual(32, 10, widths=[[16], [32, 32]], replace=[1])
    with pytest.raises(InputError, match=r"model.replace=\[4\]: there is no stage 4"):
        residual(32, 10, replace=[4])
    with pytest.raises(InputError, match=r"stage 3 of 3 leaves no pixel"):
        residual(4, 10)
    with pytest.raises(InputError, match=r"model.depths=\[2, 2\]: .* 3"):
        resnet(32, 10, widths=[8, 16, 32], depths=[2, 2])


def test_parameters_by_formula_and_matched() -> None:
    # The baseline's, and 1x1 convolutions with their normalisation: 32 -> 64 and 64 -> 128.
    shortcuts = 32 * 64 + 2 * 64 + 64 * 128 + 2 * 128
    single = residual(32, 10, widths=((32, 32), (64, 64), (128, 128)))
    assert count(single) == count(baseline(32, 10)) + shortcuts
    settings = resolved(compose(["model=residual"]).config)["model"]
    network = call(settings, image_size=32, outputs=10)
    # A first convolution's filter less: its weights, those that read it, and its normalisation.
    fewer = 4 * (9 * 32 + 9 * 64 + 2) + 4 * (9 * 64 + 9 * 128 + 2)
    assert count(network) == count(single) - fewer
    assert count(network) == pytest.approx(count(baseline(32, 10)), rel=0.01)
    text = (config_folder() / "model" / "residual.yaml").read_text()
    assert f"{count(network):,} parameters" in text
    assert f"(baseline: {count(baseline(32, 10)):,}" in text


def test_four_convolutions_are_two_blocks() -> None:
    network = residual(32, 10, widths=[[8], [12, 16, 20, 16]], replace=[2])
    blocks = [layer for layer in network.block2 if isinstance(layer, ResidualBlock)]
    assert [[c.out_channels for c in b.residual if isinstance(c, nn.Conv2d)] for b in blocks] == [
        [12, 16], [20, 16],
    ]  # fmt: skip
    assert [b.identity for b in blocks] == [False, True]


def test_resnet18_is_torchvisions_but_for_the_stem() -> None:
    ours = resnet(32, 10).eval()
    theirs = torchvision.models.resnet18(num_classes=10).eval()
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    assert count(ours) == count(theirs) == 11_173_962
    # Both list a block's two convolutions, then the shortcut's.
    values = theirs.state_dict().values()
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs(images))


def test_resnet34_by_its_published_size() -> None:
    # 21,797,672: torchvision's model card; less the 7x7 stem and 1000 classes, and 3x3 and 10.
    published = 21_797_672 - 49 * 3 * 64 + 9 * 3 * 64 - 513 * 990
    assert count(resnet(32, 10, depths=[3, 4, 6, 3])) == published
    rows = anatomy(resnet(32, 10), 32)
    # The stem's 3, two convolutions more per block: 4 of them at each of the distances 1, 2, 4, 8,
    # but a stage's first reads at the distance before.
    fields = {row.name: row.receptive_field for row in rows}
    stages = 3 + 2 * 4, 2 * (1 + 3 * 2), 2 * (2 + 3 * 4), 2 * (4 + 3 * 8)
    assert fields["block4.1.residual.3"] == sum(stages)
    assert [row.shape for row in rows if row.name.endswith(".1.residual.3")] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4),
    ]  # fmt: skip


def test_resnets_weights_begin_as_he_et_al_say() -> None:
    torch.manual_seed(0)
    weight = resnet(32, 10).block4[0].residual[0].weight  # 256 -> 512: backwards, 512 count
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
