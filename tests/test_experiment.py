"""What is refused before a run begins, and what is told of it when it has ended."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from cnnexp.config.instantiate import allow_folder, resolve
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


def test_a_block_gives_one_tensor() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    for name in ("block1", "head"):
        network = nn.Sequential(OrderedDict(block1=nn.Identity(), head=nn.Flatten()))
        setattr(network, name, Twice())
        with pytest.raises(InputError, match=rf"^model: {name} gives a tuple; .*one tensor"):
            check_network(network, {"dataset": {"image_size": 4, "batch_size": 2}})


def test_the_line_of_a_persons_own_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(
        "import torch\n\nclass Halves(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.cat([x, x[:, :, 1:]], dim=1)\n"
    )
    allow_folder(tmp_path)
    halves = resolve("halves.Halves")
    network = nn.Sequential(OrderedDict(block1=halves(), head=nn.Flatten()))
    with pytest.raises(InputError, match=r"\(block1, given 3x4x4, halves\.py line 5: Sizes"):
        check_network(network, {"dataset": {"image_size": 4, "batch_size": 2}})


def test_images_per_second_are_those_of_all_epochs() -> None:
    """100 images in a second, then 100 in a third of one: 200 in 4/3 of a second."""

    def phase(*speeds: float) -> dict[str, object]:
        history = [
            {"epoch": i, "val/loss": 1.0, "images_per_s": speed} for i, speed in enumerate(speeds)
        ]
        return {"history": history, "best_epoch": 0, "train_s": 1.0, "steps": 1}

    merit = figures_of_merit({"head": phase(100.0), "rest": phase(300.0)}, None, "val/loss")
    assert merit["images_per_s"] == pytest.approx(150)
