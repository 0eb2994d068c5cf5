"""What is refused before a run begins, and what is told of it when it has ended."""

from collections import OrderedDict

import pytest
from torch import nn

from cnnexp.errors import InputError
from cnnexp.experiment import check_network
from cnnexp.recording import figures_of_merit


def test_the_block_that_cannot_take_its_maps_is_named() -> None:
    network = nn.Sequential(
        OrderedDict(
            block1=nn.Conv2d(3, 4, 3), block2=nn.Conv2d(5, 4, 3), head=nn.AdaptiveMaxPool2d(1)
        )
    ).train()
    config = {"dataset": {"image_size": 9, "batch_size": 2}}
    with pytest.raises(InputError, match=r"^dataset\.image_size=9: .*\(block2, given 4x7x7: "):
        check_network(network, config)
    assert network.training


def test_images_per_second_are_those_of_all_epochs() -> None:
    """100 images in a second, then 100 in a third of one: 200 in 4/3 of a second."""

    def phase(*speeds: float) -> dict[str, object]:
        history = [
            {"epoch": i, "val/loss": 1.0, "images_per_s": speed} for i, speed in enumerate(speeds)
        ]
        return {"history": history, "best_epoch": 0, "train_s": 1.0, "steps": 1}

    merit = figures_of_merit({"head": phase(100.0), "rest": phase(300.0)}, None, "val/loss")
    assert merit["images_per_s"] == pytest.approx(150)
