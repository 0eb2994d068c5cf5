"""What does not fit in a file of one's own is told before anything is written."""

from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError

OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


WRONG = {
    "a picture without its place": (
        "visualization/lost.yaml", "# No place.\n_target_: bare.bare\n", "visualization=[lost]",
        r"bare\.bare does not say where it belongs; .*# @package visualization\.",
    ),
    "a network that is no chain": (
        "model/other.yaml", "# No chain.\n_target_: other.Other\n", "model=other",
        r"model\._target_=other\.Other: gives a Other; it must give a torch\.nn\.Sequential",
    ),
    "a chain with a forward of its own": (
        "model/twice.yaml", "# Twice.\n_target_: other.twice\n", "model=twice",
        r"other\.twice: gives a Twice, which has a forward of its own; it would be lost",
    ),
    "an empty chain": (
        "model/empty.yaml", "# Nothing.\n_target_: other.empty\n", "model=empty",
        r"the last block of a network is named 'head'",
    ),
    "a network that counts the classes itself": (
        "model/five.yaml", "# Five.\n_target_: other.five\n", "model=five",
        r"head gives \(2, 5\) and not \(2, 2\)",
    ),
    "a dataset that is a tuple": (
        "dataset/pair.yaml",
        "as stripes: other.pair",
        "dataset=pair", r"dataset\._target_=other\.pair: gives a tuple; .*Source",
    ),
    "images that shrink": (
        "augmentation/cut.yaml", "# Cut.\n_target_: other.cut\n", "augmentation=cut",
        r"augmentation\._target_=other\.cut: of images \(2, 3, .* the shape stays",
    ),
    "images up to 255": (
        "augmentation/loud.yaml", "# Loud.\n_target_: other.loud\n", "augmentation=loud",
        r"other\.loud: gives float32 from .* it must lie in \[0, 1\]",
    ),
    "images in double precision": (
        "augmentation/double.yaml", "# Double.\n_target_: other.double\n", "augmentation=double",
        r"other\.double: gives torch\.float64; it must give uint8",
    ),
    "images that are arrays": (
        "augmentation/arrays.yaml", "# Arrays.\n_target_: other.arrays\n", "augmentation=arrays",
        r"other\.arrays: gives a ndarray; it must give a tensor",
    ),
    "a network that does not ask for the classes": (
        "model/deaf.yaml", "# Deaf.\n_target_: other.deaf\n", "model=deaf",
        r"model\._target_=other\.deaf: does not take outputs; a model is made of image_size",
    ),
    "an augmentation that cannot be called": (
        "augmentation/inert.yaml", "# Inert.\n_target_: other.Inert\n", "augmentation=inert",
        r"augmentation\._target_=other\.Inert: gives a Inert, which cannot be called with images",
    ),
    "a class that is abstract": (
        "augmentation/half.yaml", "# Half.\n_target_: other.Half\n", "augmentation=half",
        r"other\.Half: is an abstract class; it lacks __call__",
    ),
    "a function that wants the images": (
        "augmentation/plain.yaml", "# Plain.\n_target_: other.flip\n", "augmentation=plain",
        r"augmentation\.images: is missing; other\.flip needs it; a function is not called with",
    ),
    "a file that is not there": (
        "augmentation/lost.yaml", "# Lost.\n_target_: othr.cut\n", "augmentation=lost",
        r"_target_=othr\.cut: there is no othr\.py in .*mine; did you mean 'other'\?",
    ),
    "reading that is no function": (
        "dataset/still.yaml",
        "as stripes: other.still",
        "dataset=still", r"stripes: its read is a ndarray; give a function",
    ),
    "splits of fewer images": (
        "dataset/short.yaml",
        "as stripes: other.short",
        "dataset=short", r"stripes: its given has 3 entries, for 80 images",
    ),
    "a picture of nothing": (
        "visualization/blind.yaml",
        "# @package visualization.blind\n# Blind.\n_target_: other.arrays\n",
        "visualization=[blind]", r"blind\._target_=other\.arrays: does not take probe",
    ),
    "masks with channels": (
        "dataset/masked.yaml",
        "as stripes: other.masked",
        "dataset=masked", r"its masks are an array \(80, 3, 16, 16\) of bool; give an",
    ),
    "a place that is not the first line": (
        "experiment/late.yaml", "# Late.\n# @package _global_\nname: late\n", "experiment=late",
        r"experiment/late\.yaml: its first line must be '# @package _global_'",
    ),
    "a file that an editor began with a mark": (
        "experiment/bom.yaml", "\ufeff# @package _global_\nname: bom\n", "experiment=bom",
        r"experiment/bom\.yaml: save it as UTF-8 without a BOM",
    ),
    "an experiment without its place": (
        "experiment/lost.yaml", "# Lost.\nname: lost\n", "experiment=lost",
        r"experiment/lost\.yaml: its first line must be '# @package _global_'",
    ),
    "a group that is misspelt in a defaults list": (
        "experiment/e.yaml", "# @package _global_\ndefaults:\n  - override /modle: dense\n",
        "experiment=e", r"experiment/e\.yaml: override /modle: no such group; did you mean 'model'",
    ),
    "a group without its slash": (
        "experiment/e.yaml", "# @package _global_\ndefaults:\n  - override model: dense\n",
        "experiment=e", r"experiment/e\.yaml: in its defaults write '- override /model: …'",
    ),
    "a group that is not overridden": (
        "experiment/e.yaml", "# @package _global_\ndefaults:\n  - /model: dense\n",
        "experiment=e", r"model: is chosen already; in a .* write '- override /model: …'",
    ),
    "a group that is taken for a folder": (
        "experiment/e.yaml", "# @package _global_\ndefaults:\n  - model: dense\n",
        "experiment=e", r"experiment/e\.yaml: in its defaults write '- override /model: dense'",
    ),
    "a key that YAML takes for true": (
        "model/on.yaml", "# On.\n_target_: dense.dense\non: 3\n", "model=on",
        r"model\.true=3: this key is no text: YAML takes on, off",
    ),
    "a misspelt target": (
        "model/slip.yaml", "# Slip.\n_traget_: dense.dense\n", "model=slip",
        r"model\._target_: is missing; .*, and '_traget_' is not it",
    ),
    "a type that is misspelt in quotes": (
        "augmentation/typed.yaml", "# Typed.\n_target_: other.typed\nsize: 2\n",
        "augmentation=typed", r"size=2: .*other\.py annotates it as PositivInt, .* 'PositiveInt'",
    ),
    "a wrong value in a mapping": (
        "augmentation/typed.yaml", "# Typed.\n_target_: other.typed\nby: {a: 1, b: x}\n",
        "augmentation=typed", r"augmentation\.by\.b=x: must be an integer",
    ),
    "labels that are a list": (
        "dataset/listed.yaml",
        "as stripes: other.listed",
        "dataset=listed", r"stripes: its labels are a list; give an array",
    ),
}  # fmt: skip


OTHER = """
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import replace
import numpy as np
from torch import nn
from stripes import stripes

class Other(nn.Module):
    def __init__(self, image_size: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(3 * image_size**2, outputs)

class Twice(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)

def twice(image_size: int, outputs: int) -> nn.Sequential:
    return Twice(OrderedDict(flat=nn.Flatten(), head=nn.Linear(3 * image_size**2, outputs)))

def empty(image_size: int, outputs: int) -> nn.Sequential:
    return nn.Sequential()

def five(image_size: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(flat=nn.Flatten(), head=nn.Linear(3 * image_size**2, 5)))

def pair(images: int = 80):
    return [], []

def deaf(image_size: int) -> nn.Sequential:
    return nn.Sequential()

class Inert:
    pass

class Half(ABC):
    @abstractmethod
    def __call__(self, images): ...

def flip(images):
    return images.flip(-1)

def cut():
    return lambda images: images[..., 1:]

def loud():
    return lambda images: images.float()

def double():
    return lambda images: images.double() / 255

def arrays():
    return lambda images: images.numpy()

def typed(size: "PositivInt" = 1, by: dict[str, int] = {}, act: "str | Kind | None" = None):
    return lambda images: images

def masked(images: int = 80):
    source = stripes(images)
    return replace(source, masks=np.zeros((images, 3, 16, 16), dtype=bool))

def still(images: int = 80):
    return replace(stripes(images), read=stripes(images).labels)

def short(images: int = 80):
    return replace(stripes(images), given=["train"] * 3)

def listed(images: int = 80):
    source = stripes(images)
    return replace(source, labels=source.labels.tolist())
"""


@pytest.mark.parametrize(("file", "text", "word", "said"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_told(file: str, text: str, word: str, said: str, mine: Path) -> None:
    (mine / "other.py").write_text(OTHER)
    (mine / file).parent.mkdir(exist_ok=True)
    if text.startswith("as stripes: "):
        stripes = (mine / "dataset" / "stripes.yaml").read_text()
        text = stripes.replace("stripes.stripes", text.removeprefix("as stripes: "))
    (mine / file).write_text(text)
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES, word], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("act", ["null", "relu"])
def test_a_known_part_of_an_annotation_is_enough(act: str, mine: Path) -> None:
    """`str | Kind | None`: what Kind is, nobody knows here."""
    (mine / "other.py").write_text(OTHER)
    (mine / "augmentation" / "typed.yaml").write_text(f"# T.\n_target_: other.typed\nact: {act}\n")
    cnnexp.run([*OVERRIDES, "augmentation=typed", "task=anatomy"], config_dir=str(mine))
    with pytest.raises(InputError, match=r"augmentation\.act=3: .* annotates it as str \| Kind"):
        cnnexp.run([*OVERRIDES, "augmentation=typed", "augmentation.act=3"], config_dir=str(mine))
