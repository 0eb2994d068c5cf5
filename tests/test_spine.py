"""A network that is no chain, or whose blocks do not fit, is refused before a run begins."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.models.normalize import Normalize
from cnnexp.rehearsal import try_out
from cnnexp.spine import as_spine, channels_last
from cnnexp.training.phases import freeze, parameter_counts

DENSE = nn.Linear(48, 5)


def chain(**blocks: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(blocks))


def test_normalize_is_put_in_front() -> None:
    given = chain(flat=nn.Flatten(), head=DENSE)
    network = as_spine(given, "mine.net")
    assert [name for name, _ in network.named_children()] == ["normalize", "flat", "head"]
    assert network.head is DENSE
    own = as_spine(chain(normalize=Normalize(), flat=nn.Flatten(), head=DENSE), "mine.net")
    assert [name for name, _ in own.named_children()] == ["normalize", "flat", "head"]
    try_out(network, 4, 5)


RELU, CONV = nn.ReLU(), nn.Conv2d(3, 3, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (DENSE, r"gives a Linear; it must give a torch\.nn\.Sequential"),
        (chain(head=DENSE, last=nn.ReLU()), "named 'head', this one's are head, last"),
        (
            chain(one=nn.Conv2d(3, 3, 1), relu1=RELU, two=nn.Flatten(), relu2=RELU, head=DENSE),
            "its blocks relu1 and relu2 are one object; make one for each",
        ),
        (
            chain(one=nn.Sequential(CONV), two=nn.Sequential(RELU, CONV), head=DENSE),
            r"its blocks one and two share weights \(two\.1\.weight\); a phase trains whole",
        ),
        (chain(normalize=nn.Identity(), head=DENSE), "must be the first, and a cnnexp"),
        (chain(flat=nn.Flatten(), normalize=Normalize(), head=DENSE), "must be the first"),
        (chain(head=nn.Flatten()), "nothing to train"),
    ],
)
def test_what_is_no_spine(given: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=rf"^model\._target_=mine\.net: .*{said}"):
        as_spine(given, "mine.net")


def test_what_the_model_has_fixed_stays_fixed() -> None:
    stem = nn.Sequential(nn.Conv2d(3, 2, 1).requires_grad_(False), nn.Conv2d(2, 4, 1))
    network = as_spine(chain(stem=stem, flat=nn.Flatten(), head=nn.Linear(64, 5)), "mine.net")
    for trainable in (["head"], ["stem", "head"]):
        freeze(network, trainable)
        assert not any(p.requires_grad for p in stem[0].parameters())
        assert all(p.requires_grad == ("stem" in trainable) for p in stem[1].parameters())
    assert parameter_counts(network, ["stem", "head"]) == (12 + 325, 8 + 12 + 325)


def test_weights_of_five_dimensions_are_left_as_they_are() -> None:
    network = chain(plane=nn.Conv2d(3, 4, 3), volume=nn.Conv3d(1, 2, 3), head=DENSE)
    channels_last(network)
    assert network.plane.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.volume.weight.is_contiguous()
