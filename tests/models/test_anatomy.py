"""The layer table against hand-computed numbers and against libraries' own counts."""

import copy
import itertools

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnnexp.models.anatomy import anatomy, receptive_field
from cnnexp.models.baseline import baseline
from cnnexp.models.lenet5 import lenet5


def test_lenet_table_to_the_digit() -> None:
    # (output, size, parameters): (f*f*c_in + 1)*c_out for a convolution, (in + 1)*out for a dense
    # layer.
    expected = [
        ((8, 28, 28), 6272, 608),
        ((8, 14, 14), 1568, 0),
        ((16, 10, 10), 1600, 3216),
        ((16, 5, 5), 400, 0),
        ((120,), 120, 48120),
        ((84,), 84, 10164),
        ((10,), 10, 850),
    ]
    rows = anatomy(lenet5(32, 10), 32)
    assert [(row.shape, row.size, row.parameters) for row in rows] == expected
    # 28*28*8 outputs of 5*5*3 products; 10*10*16 of 5*5*8; then in*out.
    products = [470_400, 0, 320_000, 0, 48_000, 10_080, 840]
    assert [row.multiply_adds for row in rows] == products
    # 5; +1*1; +4*2; +1*2; the first dense layer is a window of 5 places that lie 4 apart.
    assert [row.receptive_field for row in rows] == [5, 6, 14, 16, 32, 32, 32]
    assert [row.name for row in rows][:2] == ["block1.0", "block1.2"]


def test_published_numbers_of_vgg16_and_resnet18() -> None:
    # 138,357,544 and 11,689,512 parameters: torchvision's model cards. Receptive fields after the
    # last pooling and the last stage: 212 and 435 (Araujo et al. 2019, table 1).
    rows = anatomy(torchvision.models.vgg16(), 224)
    assert sum(row.parameters for row in rows) == 138_357_544
    assert sum(row.multiply_adds for row in rows) == 15_470_264_320
    assert {row.name: row.receptive_field for row in rows}["features.30"] == 212
    assert rows[-1].receptive_field == 212 + 6 * 32  # the dense layers' window: 7x7 places
    rows = anatomy(torchvision.models.resnet18(), 224)
    assert sum(row.parameters for row in rows) == 11_689_512
    assert {row.name: row.receptive_field for row in rows}["layer4.1.conv2"] == 435
    assert rows[-1].receptive_field == 435 + 6 * 32


def test_what_has_seen_everything_sees_no_more() -> None:
    """Squeeze and excitation, again and again, and layers on (B, H, W, C)."""
    rows = anatomy(torchvision.models.mobilenet_v3_small(), 224)
    assert 224 <= rows[-1].receptive_field < 2 * 224
    rows = anatomy(torchvision.models.convnext_tiny(), 224)
    fields = {row.name: row.receptive_field for row in rows}
    assert fields["features.1.0.block.3"] == 4 + 6 * 4  # a dense layer for each place
    assert fields["avgpool"] == fields["features.7.2.block.5"] + 6 * 32
    assert anatomy(torchvision.models.vit_b_16(), 224)[-1].receptive_field == 224


def test_code_that_asks_for_values_has_a_table_too() -> None:
    """Meta tensors have none: then the network is run."""

    class Scaled(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.conv, self.kind, self.plain = nn.Conv2d(3, 4, 3), kind, torch.full((4, 1, 1), 0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            if self.kind == "full":
                return x * torch.full((1, 4, 1, 1), 0.5, device=x.device)
            if self.kind == "plain":
                return x * self.plain
            return x if x.sum().item() > 0 else -x

    for kind in ("full", "plain", "item"):
        (row, *_) = anatomy(nn.Sequential(Scaled(kind)), 8)
        assert (row.shape, row.parameters, row.receptive_field) == ((4, 6, 6), 112, 3)
        assert row.multiply_adds == 4 * 6 * 6 * 27


def test_receptive_fields_of_what_has_no_row() -> None:
    """Activations, halves of a tensor, pooling to a size."""
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
    network = nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(3), last)
    # Windows of 4 that lie 4 apart: 3 + 3, and 3 of them: 6 + 2 * 4.
    assert [receptive_field(network, name, 14).side for name in "0123"] == [3, 3, 6, 14]
    enlarged = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(7), nn.Flatten())
    assert receptive_field(enlarged, "2", 4).side == 4, "seven places, but copies of two"

    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.chunk(2, dim=1)[1]

    assert receptive_field(nn.Sequential(nn.Conv2d(3, 4, 5), Halves()), "1", 9).side == 5


def test_weights_that_two_layers_share_count_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    network[1].weight = network[0].weight
    assert [row.parameters for row in anatomy(network, 8)] == [3 * 3 * 9 + 3, 3]


def test_branches_count_the_larger_field_and_dilation_spreads() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small = nn.Conv2d(3, 4, 1)
            self.wide = nn.Conv2d(3, 4, 3, padding=4, dilation=4)
            self.after = nn.Conv2d(8, 2, 3, stride=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.after(torch.cat([self.small(x), self.wide(x)], 1))

    rows = {row.name: row for row in anatomy(Branches(), 16)}
    assert (rows["small"].receptive_field, rows["wide"].receptive_field) == (1, 9)
    assert rows["after"].receptive_field == 11
    assert (rows["after"].shape, rows["wide"].dilation) == ((2, 7, 7), 4)


def test_receptive_field_is_where_the_gradient_reaches() -> None:
    """The table's number against the pixels that really change a middle output."""
    network = baseline(64, 2, widths=[[4], [4]], kernel_size=5, norm="none", pool="average")
    field = [row for row in anatomy(network, 64) if row.kind == "AvgPool2d"][-1].receptive_field
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)  # positive: no ReLU closes, no gradient cancels
    network.block2(network.block1(image))[0, 0, 8, 8].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert field == int(rows.max() - rows.min()) + 1


class Shrunk(nn.Module):
    """To half the size, with antialiasing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)


CASES = {
    "enlarged": [nn.Conv2d(3, 4, 3, 4, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)],
    "bilinear": [nn.Conv2d(3, 4, 3, 2), nn.UpsamplingBilinear2d(None, 2), nn.Conv2d(4, 4, 3)],
    "shrunk": [nn.Conv2d(3, 4, 3), Shrunk(), nn.Conv2d(4, 4, 3)],
    "shuffled": [nn.Conv2d(3, 16, 3, 4, 1), nn.PixelShuffle(2), nn.Conv2d(4, 4, 3)],
    "unshuffled": [nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3), nn.Conv2d(4, 4, 3)],
    "transposed": [nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(4, 4, 3)],
    "wider": [nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 4, 3, 2, 1, 1), nn.Conv2d(4, 4, 3)],
    "oblong": [nn.Conv2d(3, 4, (1, 7)), nn.Conv2d(4, 4, (7, 1)), nn.Conv2d(4, 4, (5, 1), (2, 1))],
    "uneven": [nn.Conv2d(3, 4, 3, (2, 1)), nn.AvgPool2d((3, 2), (2, 1)),
               nn.Conv2d(4, 4, 3, dilation=(2, 1))],
}  # fmt: skip


def test_convolutions_of_other_dimensions() -> None:
    """Over channels, as in ECA (Wang et al. 2020), and over frames of one image."""

    class Weighed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps, self.weigh = nn.Conv2d(3, 4, 3, padding=1), nn.Conv1d(1, 1, 3, padding=1)
            self.deep = nn.Conv3d(1, 1, (1, 3, 3), padding=(0, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = self.maps(x)
            weights = self.weigh(maps.mean((2, 3))[:, None])[:, 0, :, None, None]
            return self.deep((maps * weights)[:, None])[:, 0]

    rows = {row.name: row for row in anatomy(Weighed(), 16)}
    assert rows["maps"].receptive_field == 3
    assert (rows["weigh"].parameters, rows["deep"].parameters) == (4, 10)


@pytest.mark.parametrize("name", CASES)
def test_receptive_fields_of_what_enlarges_or_is_oblong(name: str) -> None:
    """Against the gradient, of the place that sees most among those in the middle."""
    network = nn.Sequential(*copy.deepcopy(CASES[name]))
    for module in network:
        for parameter in module.parameters():
            nn.init.constant_(parameter, 0.1)
    image = torch.rand(1, 3, 48, 48, requires_grad=True)
    maps = network(image)
    middle = [range(side // 2 - 2, side // 2 + 2) for side in maps.shape[-2:]]
    seen = 0
    for row, column in itertools.product(*middle):
        (gradient,) = torch.autograd.grad(maps[0, 0, row, column], image, retain_graph=True)
        for axis in (0, 1):
            places = gradient[0].abs().sum(dim=(0, 1 + axis)).nonzero()
            seen = max(seen, int(places.max() - places.min()) + 1)
    assert anatomy(network, 48)[-1].receptive_field == seen


def test_the_network_stays_as_it_was() -> None:
    network = lenet5(32, 10).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    anatomy(network, 32)
    assert network.training
    assert all(not module._forward_hooks for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("size", [32, 224])
def test_big_inputs_cost_nothing(size: int) -> None:
    rows = anatomy(baseline(size, 10), size)
    assert rows[0].multiply_adds == size * size * 32 * 27


def test_what_is_not_in_a_layer_of_its_own_is_counted_too() -> None:
    """Attention keeps three of its matrices itself and calls the fourth as a function."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.scale * x.flatten(2).transpose(1, 2)  # (B, 16, 8)
            return self.attention(x, x, x, need_weights=False)[0]

    network = nn.Sequential(nn.Conv2d(3, 8, 1), Tokens())
    rows = {row.name: row for row in anatomy(network, 4)}
    # 4*8; 3*8*8 + 3*8 + 8*8 + 8; the scale.
    assert {name: row.parameters for name, row in rows.items()} == {
        "0": 32, "1.attention": 288, "1": 8,
    }  # fmt: skip
    # 16 pixels of 3*8; 16 tokens through four matrices of 8*8, and 16*16 products of 8, twice.
    assert (rows["0"].multiply_adds, rows["1"].multiply_adds) == (384, 0)
    assert rows["1.attention"].multiply_adds == 16 * 4 * 64 + 2 * 16 * 16 * 8
