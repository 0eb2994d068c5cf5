"""What every model owes: one parametrised contract over all of configs/model."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.config.compose import compose, resolved
from cnnexp.config.instantiate import call
from cnnexp.errors import InputError
from cnnexp.models.anatomy import anatomy
from cnnexp.models.baseline import baseline
from cnnexp.models.normalize import Normalize
from cnnexp.training.optimization import parameter_groups
from cnnexp.training.phases import fingerprints, freeze, set_mode
from cnnexp.visualization.layers import block_shapes, default_layer

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
SAME = {"vgg16_finetune": "vgg16", "vgg16_frozen": "vgg16"}  # but for the phases they bring
MODELS = sorted({path.stem for path in CONFIGS.glob("*.yaml")} - SAME.keys())
SIZE, CLASSES = 32, 7


def node(name: str) -> dict[str, Any]:
    return resolved(compose([f"model={name}"]).config)["model"]


@pytest.fixture(scope="module", params=MODELS)
def built(request: pytest.FixtureRequest) -> nn.Sequential:
    """As its YAML says, but with weights that are drawn: none can be downloaded here.

    Built once for all tests; one that changes it takes `network`.
    """
    torch.manual_seed(0)
    settings = node(request.param)
    drawn = {"weights": None} if "weights" in settings else {}
    return call(settings | drawn, image_size=SIZE, outputs=CLASSES)


@pytest.fixture
def network(built: nn.Sequential) -> nn.Sequential:
    torch.manual_seed(0)
    return deepcopy(built)


@pytest.mark.parametrize(("name", "other"), SAME.items())
def test_one_network_of_several_configs(name: str, other: str) -> None:
    assert node(name) == node(other)


def test_contract(network: nn.Sequential) -> None:
    images = torch.rand(4, 3, SIZE, SIZE)
    blocks = [block for block, _ in network.named_children()]
    assert blocks[-1] == "head"
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", block) for block in blocks)
    logits = network(images)
    assert logits.shape == (4, CLASSES)
    assert logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    rows = anatomy(network, SIZE)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in network.parameters())


def test_grad_cams_layer_is_a_map(built: nn.Sequential) -> None:
    shape = block_shapes(built, SIZE)[default_layer(built, SIZE)]
    assert min(shape[1:]) >= 4


def test_what_is_frozen_gets_no_gradient_and_does_not_move(network: nn.Sequential) -> None:
    freeze(network, ["head"])
    set_mode(network, True, ["head"])
    before = fingerprints(network)
    optimizer = torch.optim.SGD(parameter_groups(network, 0.1, {"head": 1.0}))
    nn.functional.cross_entropy(network(torch.rand(4, 3, SIZE, SIZE)), torch.arange(4)).backward()
    optimizer.step()
    with_gradient = {
        n.partition(".")[0] for n, p in network.named_parameters() if p.grad is not None
    }
    assert with_gradient == {"head"}
    after = fingerprints(network)
    assert {block for block in before if before[block] != after[block]} == {"head"}


def test_weights_go_out_and_in(network: nn.Sequential, tmp_path: Path) -> None:
    network.eval()
    other = deepcopy(network)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.rand(2, 3, SIZE, SIZE)
    torch.testing.assert_close(other(images), network(images))


def test_no_activation_works_in_place(built: nn.Sequential) -> None:
    """A hook on the layer before must see what that layer gave."""
    assert not [m for m in built.modules() if getattr(m, "inplace", False)]


def test_the_assignments_network() -> None:
    """2x(conv32), pool, 2x(conv64), pool, dense 512 on CIFAR-10, counted by hand."""
    network = baseline(32, 10, widths=[[32, 32], [64, 64]], norm="none", head_dropout=0.0)
    convolutions = 28 * 32 + 289 * 32 + 289 * 64 + 577 * 64
    dense = (64 * 8 * 8 + 1) * 512 + 513 * 10
    assert sum(p.numel() for p in network.parameters()) == convolutions + dense


def test_settings_change_the_network() -> None:
    network = baseline(
        48, 3, widths=[[8], [16, 16], [24]], kernel_size=5, padding="valid", norm="group",
        activation="silu", pool="average", dropout=0.1, reduce="average", dense=[],
    head_dropout=0.0, )  # fmt: skip
    kinds = [type(m).__name__ for m in network.modules()]
    assert [kinds.count(k) for k in ("Conv2d", "GroupNorm", "SiLU", "AvgPool2d", "Dropout2d")] == [
        4, 4, 4, 3, 3,
    ]  # fmt: skip
    # 32 -> 28 -> 14 -> 10 -> 6 -> 3, too small for another 5x5.
    with pytest.raises(InputError, match=r"stage 3 of 3 .*dataset.image_size"):
        baseline(32, 3, widths=[[8], [16, 16], [24]], kernel_size=5, padding="valid")


def test_normalize_takes_bytes_and_shares() -> None:
    block = Normalize([0.5, 0.25, 0.0], [0.5, 0.25, 1.0])
    images = torch.tensor([[[[0, 255]], [[255, 0]], [[51, 102]]]], dtype=torch.uint8)
    expected = torch.tensor([[[[-1.0, 1.0]], [[3.0, -1.0]], [[0.2, 0.4]]]])
    torch.testing.assert_close(block(images), expected)
    torch.testing.assert_close(block(images.float() / 255), expected)
