"""Which blocks train, at which rates; frozen weights and buffers do not move."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from cnnexp.errors import InputError
from cnnexp.training.optimization import parameter_groups
from cnnexp.training.phases import (
    acts_in_training,
    block_rates,
    check_frozen,
    fingerprints,
    freeze,
    frozen_prefix,
    set_mode,
    trainable_blocks,
)


def network() -> nn.Sequential:
    chain = nn.Sequential()
    chain.add_module("normalize", nn.Identity())
    for number, (width, filters) in enumerate([(3, 4), (4, 4), (4, 8)], start=1):
        layers = nn.Sequential(nn.Conv2d(width, filters, 3), nn.BatchNorm2d(filters), nn.ReLU())
        chain.add_module(f"block{number}", layers)
    chain.add_module("pool", nn.AdaptiveAvgPool2d(1))
    chain.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(8, 2)))
    return chain


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all", ("block1", "block2", "block3", "head")),
        (1, ("head",)),
        (2, ("block3", "head")),  # pool has no weights
        (["head", "block3"], ("block3", "head")),
        (["block[12]"], ("block1", "block2")),
        (["*"], ("block1", "block2", "block3", "head")),
    ],
)
def test_blocks_by_name_glob_and_number(wanted: object, expected: tuple[str, ...]) -> None:
    assert trainable_blocks(network(), wanted, "phases.x.trainable") == expected  # type: ignore[arg-type]


def test_a_misspelt_block_lists_them() -> None:
    with pytest.raises(InputError) as caught:
        trainable_blocks(network(), ["head", "blok3"], "phases.x.trainable")
    assert str(caught.value) == (
        "phases.x.trainable: no block with weights is named blok3; did you mean 'block3'? "
        "allowed: block1, block2, block3, head"
    )
    with pytest.raises(InputError, match=r"5: the network has 4 blocks with weights: block1, "):
        trainable_blocks(network(), 5, "phases.x.trainable")
    with pytest.raises(InputError, match=r"trains in this phase is named block1; .*: block3, head"):
        block_rates(("block3", "head"), {"block1": 0.1}, "phases.x.lr_scale")


def test_rates_by_block() -> None:
    rates = block_rates(("block2", "block3", "head"), {"block2": 0.1, "block*": 0.5}, "k")
    assert rates == {"block2": 0.1, "block3": 0.5, "head": 1.0}
    groups = parameter_groups(network(), 0.2, rates)
    # Two for each rate: weights, and biases and norms without decay; block1 is in none.
    found = [(group["lr"], [tuple(p.shape) for p in group["params"]]) for group in groups]
    assert found == [
        (pytest.approx(0.02), [(4, 4, 3, 3)]), (pytest.approx(0.02), [(4,), (4,), (4,)]),
        (pytest.approx(0.1), [(8, 4, 3, 3)]), (pytest.approx(0.1), [(8,), (8,), (8,)]),
        (pytest.approx(0.2), [(2, 8)]), (pytest.approx(0.2), [(2,)]),
    ]  # fmt: skip
    assert ["weight_decay" in group for group in groups] == [False, True] * 3


def test_the_prefix_that_can_be_stored() -> None:
    assert frozen_prefix(network(), ("head",)) == 5  # normalize, block1..3, pool
    assert frozen_prefix(network(), ("block2", "head")) == 2
    assert frozen_prefix(network(), ("block1", "head")) == 0  # normalize alone is not worth it


class Noise(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + torch.randn_like(images) if self.training else images


@pytest.mark.parametrize("own", [nn.Dropout(0.5), Noise()])
def test_what_has_no_weights_trains_with_the_block_behind_it(own: nn.Module) -> None:
    """A dropout that stands alone drops where the next block trains, and nowhere else."""
    chain = nn.Sequential()
    chain.add_module("first", nn.Conv2d(3, 4, 3))
    chain.add_module("between", own)
    chain.add_module("pool", nn.AdaptiveAvgPool2d(1))
    chain.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    assert acts_in_training(own)
    assert not acts_in_training(chain.pool)
    for trainable, acts, prefix in ((("head",), True, 1), (("first",), False, 0)):
        set_mode(chain, True, trainable)
        assert own.training is acts
        assert frozen_prefix(chain, trainable) == prefix, "what it does is not stored"
    set_mode(chain, False, ("first", "head"))
    assert not own.training
    ahead = nn.Sequential()
    ahead.add_module("between", own)
    ahead.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    set_mode(ahead, True, trainable_blocks(ahead, "all", "trainable"))
    assert own.training
    given = torch.ones(2, 3, 2, 2)
    assert not torch.equal(ahead.between(given), given)


def resnet_chain() -> nn.Sequential:
    net = resnet18()
    chain = nn.Sequential()
    chain.add_module("stem", nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool))
    for number in range(1, 5):
        chain.add_module(f"layer{number}", net.get_submodule(f"layer{number}"))
    chain.add_module("head", nn.Sequential(net.avgpool, nn.Flatten(), nn.Linear(512, 2)))
    return chain


def steps(chain: nn.Sequential, trainable: tuple[str, ...]) -> None:
    freeze(chain, trainable)
    set_mode(chain, True, trainable)
    optimizer = torch.optim.SGD(
        parameter_groups(chain, 0.1, dict.fromkeys(trainable, 1.0)), weight_decay=0.1
    )
    for _ in range(3):
        loss = nn.functional.cross_entropy(chain(torch.rand(4, 3, 32, 32)), torch.arange(4) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_frozen_batch_norm_keeps_its_statistics_to_the_bit() -> None:
    chain = resnet_chain()
    before = {k: v.clone() for k, v in chain.state_dict().items()}
    prints = fingerprints(chain, ["stem", "layer1", "layer2", "layer3"])
    steps(chain, ("layer4", "head"))
    moved = {k for k, v in chain.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in before if k.startswith("layer4") and "running" in k}
    assert statistics <= moved, "the trainable block's statistics did not move"
    assert {name.partition(".")[0] for name in moved} == {"layer4", "head"}
    check_frozen(chain, prints, "x")


@pytest.mark.parametrize("what", ["layer2.0.conv1.weight", "layer2.1.bn2.running_mean"])
def test_a_planted_change_in_a_frozen_block_is_caught(what: str) -> None:
    chain = resnet_chain()
    prints = fingerprints(chain, ["stem", "layer1", "layer2", "layer3"])
    with torch.no_grad():
        chain.state_dict()[what].view(-1)[0] += 1e-6
    with pytest.raises(InputError, match=r"phase finetune: layer2 was frozen"):
        check_frozen(chain, prints, "finetune")


def test_a_fingerprint_tells_names_and_shapes_apart() -> None:
    one, other, third = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False), nn.Embedding(2, 3)
    named = nn.Module()
    named.register_buffer("other", torch.zeros(3, 2))
    for block in (one, other, third):
        nn.init.zeros_(block.weight)
    found = [fingerprints(nn.Sequential(b))["0"] for b in (one, other, named)]
    assert len(set(found)) == 3
