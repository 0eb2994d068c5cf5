"""A model, a dataset, an augmentation and a picture from outside: one .py and one .yaml each."""

from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError

FILES = {
    "tiny.py": '''
from collections import OrderedDict
from torch import nn
from cnnexp.config.types import PositiveInt

def tiny(image_size: int, outputs: int, *, width: PositiveInt = 4) -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        block1=nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        head=nn.Sequential(nn.Flatten(), nn.Linear(width * (image_size // 2) ** 2, outputs)),
    ))
''',
    "model/tiny.yaml": "# One small convolution.\n_target_: tiny.tiny\nwidth: 6\n",
    "stripes.py": '''
import numpy as np
from cnnexp.datasets.source import Source

def stripes(images: int = 80) -> Source:
    noise = np.random.default_rng(0)
    labels = np.arange(images) % 2
    pixels = noise.integers(0, 60, (images, 16, 16, 3), dtype=np.uint8)
    for image, label in zip(pixels, labels):
        if label:
            image[::4] += 150
        else:
            image[:, ::4] += 150
    return Source("stripes", ("across", "down"), [f"{i:03}" for i in range(images)],
                  labels, pixels.__getitem__, str(images))
''',
    "dataset/stripes.yaml": """# Stripes across or down.
_target_: stripes.stripes
images: 80
image_size: 16
resize: crop
batch_size: 16
per_class: null
split: {train: 0.6, validation: 0.2, test: 0.2}
split_seed: 0
duplicates: keep
""",
    "negative.py": '''
import torch
from cnnexp.config.types import Probability

class Negative:
    def __init__(self, share: Probability = 0.5) -> None:
        self.share = share

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        turned = torch.rand(len(images), 1, 1, 1) < self.share
        return torch.where(turned, 255 - images, images)
''',
    "augmentation/negative.yaml": "# Negatives.\n_target_: negative.Negative\nshare: 0.1\n",
    "brightness.py": '''
from matplotlib.figure import Figure
from cnnexp.reporting.picture import Picture

def brightness(probe, *, bins: int = 10) -> dict[str, Picture]:
    figure = Figure()
    figure.subplots().hist(probe.images.float().cpu().flatten().numpy(), bins=bins)
    alt = f"A histogram of {len(probe.images)} images."
    words = {"reading": "Dark is at the left.", "alt": alt}
    return {"brightness": Picture(figure, title="Brightness", **words)}

def bare(probe) -> dict[str, Figure]:
    return {"bare": Figure()}
''',
    "visualization/brightness.yaml": "# @package visualization.brightness\n"
    "# How bright the images are.\n_target_: brightness.brightness\nbins: 8\n",
    "visualization/bare.yaml": "# @package visualization.bare\n# No words.\n"
    "_target_: brightness.bare\n",
}  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


OVERRIDES = ["model=tiny", "dataset=stripes", "augmentation=negative", "visualization=[brightness]",
             "trainer.max_epochs=6", "optimizer.lr=0.01", "tracking=none"]  # fmt: skip


def test_all_four_together(mine: Path) -> None:
    result = cnnexp.run(OVERRIDES, config_dir=str(mine))
    assert result.metrics["test/accuracy"] == 1.0
    assert (result.folder / "figures" / "brightness.png").stat().st_size > 1000
    assert result.network[1][0].out_channels == 6
    report = (result.folder / "report.html").read_text()
    assert "Dark is at the left." in report
    assert "A histogram of 16 images." in report


def test_a_picture_has_words(mine: Path) -> None:
    said = r"visualization\.bare: 'bare' is a Figure.*cnnexp\.reporting\.picture\.Picture"
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES[:3], "visualization=[bare]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_their_annotations_are_checked(mine: Path) -> None:
    with pytest.raises(InputError, match=r"model\.width"):
        cnnexp.run([*OVERRIDES, "model.width=0"], config_dir=str(mine))
    with pytest.raises(InputError, match=r"share"):
        cnnexp.run([*OVERRIDES, "augmentation.shair=0.2"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_was_not_named_is_not_imported(mine: Path) -> None:
    with pytest.raises(InputError, match="model"):
        cnnexp.run(["model=tiny"])
