"""The examples of docs/developing/extending.md, as they stand there, in a folder of their own."""

import json
import re
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.config.instantiate import allow_folder
from cnnexp.cores import usable_cores
from cnnexp.errors import InputError
from cnnexp.files import digest
from cnnexp.own_code import changed_since

PAGE = Path(__file__).parents[1] / "docs" / "developing" / "extending.md"
# The page's blocks that say which file they are, in a comment or in the line before them.
BLOCK = re.compile(
    r"(?:`mine/(\S+?)`[^\n]*\n\n```yaml\n|^```(?:python|yaml)\n# mine/(\S+)\n)(.*?)^```",
    re.DOTALL | re.MULTILINE,
)
FILES = {above or inside: text for above, inside, text in BLOCK.findall(PAGE.read_text())} | {
    "bare.py": "from matplotlib.figure import Figure\n\n"
    "def bare(probe) -> dict[str, Figure]:\n    return {'bare': Figure()}\n",
    "visualization/bare.yaml": "# @package visualization.bare\n# No words.\n_target_: bare.bare\n",
}


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


def test_a_picture_has_words(mine: Path) -> None:
    said = r"visualization\.bare: 'bare' is a Figure.*cnnexp\.reporting\.picture\.Picture"
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES[:3], "visualization=[bare]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("None", r"gives a NoneType; return a dictionary"),
        ("{'../a': 1}", r"'\.\./a' names a file"),
        ("{'reliability': 1}", "another picture is named 'reliability'"),
    ],
)
def test_what_is_no_dictionary_of_pictures(mine: Path, gives: str, said: str) -> None:
    (mine / "odd.py").write_text(f"def odd(probe):\n    return {gives}\n")
    (mine / "visualization" / "odd.yaml").write_text(
        "# @package visualization.odd\n# Nothing.\n_target_: odd.odd\n"
    )
    with pytest.raises(InputError, match=rf"visualization\.odd: {said}"):
        cnnexp.run([*OVERRIDES[:3], "visualization=[odd]"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_picture_that_fails_is_named(mine: Path) -> None:
    (mine / "fails.py").write_text("def fails(probe):\n    return probe.no_such_thing\n")
    (mine / "visualization" / "fails.yaml").write_text(
        "# @package visualization.fails\n# Nothing.\n_target_: fails.fails\n"
    )
    with pytest.raises(AttributeError) as caught:
        cnnexp.run([*OVERRIDES[:3], "visualization=[fails]"], config_dir=str(mine))
    assert caught.value.__notes__ == ["raised by visualization.fails._target_=fails.fails"]


def test_their_annotations_are_checked(mine: Path) -> None:
    with pytest.raises(InputError, match=r"model\.growth=0"):
        cnnexp.run([*OVERRIDES, "model.growth=0"], config_dir=str(mine))
    with pytest.raises(InputError, match=r"share"):
        cnnexp.run([*OVERRIDES, "augmentation.shair=0.2"], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_was_not_named_is_not_imported(mine: Path) -> None:
    with pytest.raises(InputError, match=r"^model=dense: no such option; "):
        cnnexp.run(["model=dense"])


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
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "other.pair"),
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
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "other.still"),
        "dataset=still", r"stripes: its read is a ndarray; give a function",
    ),
    "splits of fewer images": (
        "dataset/short.yaml",
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "other.short"),
        "dataset=short", r"stripes: its given has 3 entries, for 80 images",
    ),
    "a picture of nothing": (
        "visualization/blind.yaml",
        "# @package visualization.blind\n# Blind.\n_target_: other.arrays\n",
        "visualization=[blind]", r"blind\._target_=other\.arrays: does not take probe",
    ),
    "masks with channels": (
        "dataset/masked.yaml",
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "other.masked"),
        "dataset=masked", r"its masks are an array \(80, 3, 16, 16\) of bool; give an",
    ),
    "a place that is not the first line": (
        "experiment/late.yaml", "# Late.\n# @package _global_\nname: late\n", "experiment=late",
        r"experiment/late\.yaml: its first line must be '# @package _global_'",
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
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "other.listed"),
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

def typed(size: "PositivInt" = 1, by: dict[str, int] = {}):
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
    (mine / file).write_text(text)
    with pytest.raises(InputError, match=said):
        cnnexp.run([*OVERRIDES, word], config_dir=str(mine))
    assert list(Path.cwd().iterdir()) == []


def test_edited_images_under_an_old_fingerprint(mine: Path) -> None:
    small = [*OVERRIDES[:2], "visualization=none", "tracking=none", "trainer.max_epochs=1"]
    cnnexp.run(small, config_dir=str(mine))
    code = (mine / "stripes.py").read_text()
    (mine / "stripes.py").write_text(
        code.replace("return Source(", "pixels = 255 - pixels\n    return Source(")
    )
    with pytest.raises(InputError, match="another image than the one that was stored under its"):
        cnnexp.run(small, config_dir=str(mine))


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


MEDDLES = """
def meddles(probe):
    for parameter in probe.network.parameters():
        parameter.data.zero_()
    return {}
"""


def test_a_picture_cannot_change_the_network(mine: Path) -> None:
    (mine / "meddles.py").write_text(MEDDLES)
    (mine / "visualization" / "meddles.yaml").write_text(
        "# @package visualization.meddles\n# Nothing.\n_target_: meddles.meddles\n"
    )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    clean, meddled = (
        cnnexp.run([*words, f"visualization={which}"], config_dir=str(mine))
        for which in ("none", "[meddles]")
    )
    for mine_, theirs in zip(clean.network.parameters(), meddled.network.parameters(), strict=True):
        assert torch.equal(mine_, theirs)


RUINS = """
import torch

def ruins(probe):
    probe.network.train()
    torch.nn.init.zeros_(probe.network.head[-1].weight)
    probe.network.stem.register_forward_hook(lambda module, given, gives: 0 * gives)
    probe.images.zero_()
    return {}

def fails(probe):
    if not probe.rehearsal:
        raise KeyError("cat")
    return {}
"""


def test_a_picture_spoils_no_other(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it does with the network and the images; one that fails is left out."""
    (mine / "ruins.py").write_text(RUINS)
    for name in ("ruins", "fails"):
        (mine / "visualization" / f"a_{name}.yaml").write_text(
            f"# @package visualization.a_{name}\n# Bad.\n_target_: ruins.{name}\n"
        )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    alone, after = (
        cnnexp.run([*words, f"visualization={which}"], config_dir=str(mine)).folder / "figures"
        for which in ("[gradcam,class_means]", "[a_ruins,a_fails,gradcam,class_means]")
    )
    drawn = sorted(path.name for path in alone.glob("*.svg"))
    assert [path.name for path in sorted(after.glob("*.svg"))] == drawn
    assert {"gradcam.svg", "class_means.svg"} <= {*drawn}
    for name in ("gradcam.svg", "class_means.svg"):
        assert (alone / name).read_bytes() == (after / name).read_bytes()
    said = "picture   a_fails is left out, for it failed, ruins.py line 13: KeyError: 'cat'\n"
    out, err = capsys.readouterr()
    assert said in out
    assert err.startswith('Traceback (most recent call last):\n  File "')
    assert "KeyError: 'cat'\nraised by visualization.a_fails._target_=ruins.fails\n" in err
    assert "cnnexp/answers.py" not in err


SELDOM = """
import torch

class Seldom:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return CHANGED if self.calls > 7 else images
"""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("images[:, :1]", r"of images \(\d+, 3, \d+, \d+\) it makes \(\d+, 1, "),
        ("images.float()", r"gives float32 from 0 to \d+; it must lie in \[0, 1\]"),
    ],
)
def test_what_an_augmentation_seldom_does_is_seen(changed: str, said: str, mine: Path) -> None:
    """The images that it is tried with do not show it; one channel would be taken for three."""
    (mine / "seldom.py").write_text(SELDOM.replace("CHANGED", changed))
    (mine / "augmentation" / "seldom.yaml").write_text("# Seldom.\n_target_: seldom.Seldom\n")
    words = [*OVERRIDES[:2], "augmentation=seldom", "visualization=none", "tracking=none",
             "dataset.batch_size=8"]  # fmt: skip
    with pytest.raises(InputError, match=rf"augmentation\._target_=seldom\.Seldom: {said}"):
        cnnexp.run(words, config_dir=str(mine))
    (run,) = Path.cwd().glob("outputs/*/*/run.json")
    assert json.loads(run.read_text())["status"] == "FAILED"


WRITES = """
import numpy as np
from matplotlib.figure import Figure
from cnnexp.reporting.picture import Picture

def writes(probe):
    probe.test.store[:] = 0

def numbers(probe, kind):
    value = {"array": np.arange(2, dtype=np.float32), "set": {1}}[kind]
    return {"numbers": Picture(Figure(), "n", "n", "n" if kind == "array" else 3, {"x": value})}
"""


def test_what_a_picture_may_not_write_and_what_it_may_measure(mine: Path) -> None:
    (mine / "writes.py").write_text(WRITES)
    for name, key in (("writes", ""), ("numbers", "kind: array\n")):
        (mine / "visualization" / f"a_{name}.yaml").write_text(
            f"# @package visualization.a_{name}\n# Bad.\n_target_: writes.{name}\n{key}"
        )
    words = [*OVERRIDES[:2], "tracking=none", "trainer.max_epochs=1"]
    with pytest.raises(ValueError, match="read-only"):
        cnnexp.run([*words, "visualization=[a_writes]"], config_dir=str(mine))
    measured = [*words, "visualization=[a_numbers]"]
    folder = cnnexp.run(measured, config_dir=str(mine)).folder
    kept = json.loads((folder / "figures" / "pictures.json").read_text())["numbers"]["numbers"]
    assert kept == {"x": [0.0, 1.0]}
    with pytest.raises(InputError, match=r"a_numbers: 'numbers' has a int as alt; give text"):
        cnnexp.run([*measured, "visualization.a_numbers.kind=set"], config_dir=str(mine))


MIXED = """
import time
from dataclasses import replace
from stripes import stripes

def mixed(images: int = 80, edited: bool = False):
    source, now = stripes(images), {}

    def read(i):  # two threads take each other's number
        now["i"] = i
        time.sleep(0.001)
        return source.read(now["i"])

    def other(i):  # all but the first and the last
        return source.read(i if i in (0, images - 1) else images - 1 - i)

    return replace(source, read=other if edited else read if images == 96 else source.read)
"""


@pytest.mark.skipif(usable_cores() < 2, reason="one core: no two threads read at a time")
def test_images_that_are_not_read_alike_twice(mine: Path) -> None:
    (mine / "mixed.py").write_text(MIXED)
    (mine / "dataset" / "mixed.yaml").write_text(
        FILES["dataset/stripes.yaml"].replace("stripes.stripes", "mixed.mixed") + "edited: false\n"
    )
    words = ["model=dense", "dataset=mixed", "task=data", "tracking=none"]
    said = r"its read gives another image for \d+ when it is called again; it is called by several"
    for _ in range(2):  # what was mixed up is not kept
        with pytest.raises(InputError, match=said):
            cnnexp.run([*words, "dataset.images=96"], config_dir=str(mine))
    cnnexp.run(words, config_dir=str(mine))
    with pytest.raises(InputError, match="another image than the one that was stored under its"):
        cnnexp.run([*words, "dataset.edited=true"], config_dir=str(mine))


@pytest.mark.parametrize(("draws", "said"), [("np.random", False), ("OWN", True)])
def test_an_augmentation_with_a_generator_of_its_own(
    draws: str, said: bool, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "dims.py").write_text(
        "import numpy as np\nimport torch\n\nOWN = np.random.default_rng(0)\n\ndef dims():\n"
        f"    return lambda x: x.float() / 255 * torch.tensor({draws}.random((len(x), 1, 1, 1))"
        ").float()\n"
    )
    (mine / "augmentation" / "dims.yaml").write_text("# Darker.\n_target_: dims.dims\n")
    words = [*OVERRIDES[:2], "augmentation=dims", "visualization=none", "tracking=none"]
    cnnexp.run([*words, "trainer.max_epochs=1"], config_dir=str(mine))
    note = "note      augmentation._target_=dims.dims draws from a generator of its own: with the"
    assert (note in capsys.readouterr().out) == said


@pytest.mark.parametrize(("size", "said"), [("1", True), ("len(images)", False)])
def test_an_augmentation_that_draws_once_for_a_batch(
    size: str, said: bool, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "dims.py").write_text(
        "import torch\n\ndef dims():\n"
        f"    return lambda images: images.float() / 255 * torch.rand({size}, 1, 1, 1)\n"
    )
    (mine / "augmentation" / "dims.yaml").write_text("# Darker.\n_target_: dims.dims\n")
    words = [*OVERRIDES[:2], "augmentation=dims", "visualization=none", "tracking=none"]
    cnnexp.run([*words, "trainer.max_epochs=1"], config_dir=str(mine))
    note = "note      augmentation._target_=dims.dims draws once for a whole batch: 4 copies"
    assert (note in capsys.readouterr().out) == said


def test_the_folder_has_an_argument_of_its_own(mine: Path) -> None:
    with pytest.raises(
        InputError, match=r"--config-dir: from Python it is .*config_dir='<folder>'"
    ):
        cnnexp.run(["--config-dir", str(mine), "model=dense"])


def test_an_augmentation_that_raises_is_named(mine: Path) -> None:
    (mine / "fails.py").write_text("def fails():\n    return lambda images: images[9]\n")
    (mine / "augmentation" / "fails.yaml").write_text("# Fails.\n_target_: fails.fails\n")
    with pytest.raises(IndexError) as caught:
        cnnexp.run([*OVERRIDES[:2], "augmentation=fails"], config_dir=str(mine))
    (note,) = caught.value.__notes__
    assert note.startswith("raised by augmentation._target_=fails.fails, of images (2, 3, ")
    assert list(Path.cwd().iterdir()) == []


def test_own_code_that_changed_is_said(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited model with the same weights gives other answers, and no config shows it."""
    words = [*OVERRIDES[:2], "visualization=none", "tracking=none", "trainer.max_epochs=1"]

    def said(*typed: str) -> str:
        capsys.readouterr()
        cnnexp.run(list(typed), config_dir=str(mine))
        return capsys.readouterr().out

    first = cnnexp.run(words, config_dir=str(mine)).folder
    sweep = [*words, "sweep=seeds", "seed=0,1"]
    again = "changed since the run began"
    assert "changed" not in said("task=evaluate", f"run={first}")
    assert "since then" not in said(*sweep)
    model = mine / "dense.py"
    model.write_text(model.read_text().replace("nn.ReLU", "nn.Tanh"))
    assert f"note      dense.py has {again}" in said("task=evaluate", f"run={first}")
    repeated = said(*sweep)
    assert "finished already: 2 of 2" in repeated
    assert "note      since then dense.py changed; delete outputs/sweeps/" in repeated
    second = cnnexp.run(words, config_dir=str(mine)).folder
    told = said("task=diff", f"a={first}", f"b={second}")
    assert re.search(r"^code +dense\.py +[0-9a-f]{12} +[0-9a-f]{12}$", told, re.MULTILINE)
    assert "code, data and environment are the same" not in told


def test_a_strangers_run_names_no_other_files(mine: Path) -> None:
    allow_folder(mine)
    (mine / "own.py").write_text("a = 1\n")
    (mine.parent / "secret").write_text("b = 2\n")
    known = {"own.py": digest(mine / "own.py"), "../secret": "0", "/dev/zero": "0", "\x1b[2J": "0"}
    assert changed_since({"environment": {"own_code": known}}) == []
    (mine / "own.py").write_text("a = 2\n")
    assert changed_since({"environment": {"own_code": known}}) == ["own.py"]
    assert changed_since({"environment": {"own_code": ["own.py"]}}) == []
    assert changed_since({}) == []
