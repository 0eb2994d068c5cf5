"""The examples of docs/developing/extending.md, as they stand there, in a folder of their own."""

from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError

OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


def test_all_four_together(mine: Path) -> None:
    result = cnnexp.run(OVERRIDES, config_dir=str(mine))
    assert result.metrics["test/accuracy"] == 1.0
    assert (result.folder / "figures" / "class_means.png").stat().st_size > 1000
    assert result.network.stem.out_channels == 24
    report = (result.folder / "report.html").read_text()
    assert "needs no convolutions" in report
    assert "The mean image of each of 2 classes." in report


TOKENS = """
from collections import OrderedDict
from torch import nn


def tokens(image_size: int, outputs: int) -> nn.Sequential:
    patches = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2))  # (B, 8, tokens)
    count = (image_size // 4) ** 2
    mix = nn.Sequential(nn.Linear(count, count), nn.GELU())
    head = nn.Sequential(nn.Flatten(), nn.Linear(8 * count, outputs))
    return nn.Sequential(OrderedDict(patches=patches, mix=mix, head=head))
"""


def test_a_network_without_maps_trains_with_the_pictures_it_can_have(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "tokens.py").write_text(TOKENS)
    (mine / "model" / "tokens.yaml").write_text("# Patches.\n_target_: tokens.tokens\n")
    words = ["model=tokens", "dataset.per_class=20", "trainer.max_epochs=1", "tracking=none"]
    visualizations = "visualization=[gradcam,filters,kernels,mistakes]"
    result = cnnexp.run([*words, visualizations], config_dir=str(mine))
    out = capsys.readouterr().out
    why = "no block of this network gives a map (a transformer's give tokens)"
    assert f"note      visualization.gradcam is left out: {why}\n" in out
    assert f"picture   gradcam is left out: {why}\n" in out
    assert "note      visualization.filters is left out: no block before the head has a" in out
    drawn = {path.stem for path in (result.folder / "figures").glob("*.png")}
    assert {"kernels", "mistakes"} <= drawn
    assert not any("cam" in name or "filters" in name for name in drawn)


def test_their_annotations_are_checked(mine: Path) -> None:
    with pytest.raises(InputError, match=r"model\.growth=0"):
        cnnexp.run([*OVERRIDES, "model.growth=0"], config_dir=str(mine))
    with pytest.raises(InputError, match=r"share"):
        cnnexp.run([*OVERRIDES, "augmentation.shair=0.2"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_was_not_named_is_not_imported(mine: Path) -> None:
    with pytest.raises(InputError, match=r"^model=dense: no such option; "):
        cnnexp.run(["model=dense"])


def test_the_folder_has_an_argument_of_its_own(mine: Path) -> None:
    with pytest.raises(
        InputError, match=r"--config-dir: from Python it is .*config_dir='<folder>'"
    ):
        cnnexp.run(["--config-dir", str(mine), "model=dense"])


LOST = """
from collections import OrderedDict
import torch
from torch import nn

class Lost(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.cut = (nn.Conv2d(3, 3, 1) for _ in range(3))

    def forward(self, x):
        with torch.no_grad():
            x = self.cut(x)
        return self.used(x)

def lost(image_size: int, outputs: int) -> nn.Sequential:
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, outputs))
    return nn.Sequential(OrderedDict(stem=Lost(), head=head))
"""


def test_layers_that_nothing_trains_are_named(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "lost.py").write_text(LOST)
    (mine / "model" / "lost.yaml").write_text("# Lost.\n_target_: lost.lost\n")
    words = ["model=lost", OVERRIDES[1], "visualization=none", "tracking=none"]
    cnnexp.run([*words, "trainer.max_epochs=2"], config_dir=str(mine))
    told = capsys.readouterr().out
    names = "stem.cut.bias, stem.cut.weight, stem.unused.bias, stem.unused.weight"
    assert told.count(f"note      {names} have no gradient: they stay as before") == 1
