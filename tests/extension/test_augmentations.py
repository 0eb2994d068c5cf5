"""Augmentations of one's own: what they draw from, and what they give."""

import json
from pathlib import Path

import pytest

import cnnexp
from cnnexp.errors import InputError

OVERRIDES = ["model=dense", "dataset=stripes", "augmentation=negative",
             "visualization=[class_means]", "trainer.max_epochs=6", "optimizer.lr=0.01",
             "tracking=none"]  # fmt: skip


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


def test_what_frozen_blocks_made_of_an_augmentation_that_was_edited(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edit that the first images do not show: what is stored is of other pixels."""
    words = ["augmentation=negative", "dataset.per_class=20", "model.widths=[[8],[16]]",
             "visualization=none", "tracking=none", "phases=frozen", "training.views=2",
             "paths.cache=cache", "trainer.max_epochs=4"]  # fmt: skip

    def stored() -> int:
        cnnexp.run(words, config_dir=str(mine))
        return len(list(Path("cache/prefix").glob("*/index.json")))

    first = stored()
    assert stored() == first
    code = mine / "negative.py"
    code.write_text(code.read_text() + "\n# Another.\n")
    assert stored() == first + 1


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        ("torch.rand(len(x), 1, 1, 1)", ""),
        ("torch.rand(1, 1, 1, 1)", "draws once for a whole batch: 4 copies"),
        ("torch.tensor(np.random.random((len(x), 1, 1, 1))).float()", ""),
        ("torch.tensor(OWN.random((len(x), 1, 1, 1))).float()", "gives other images with the same"),
    ],
)
def test_what_an_augmentation_draws_from(
    factor: str, said: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "dims.py").write_text(
        "import numpy as np\nimport torch\n\nOWN = np.random.default_rng(0)\n\ndef dims():\n"
        f"    return lambda x: x.float() / 255 * {factor}\n"
    )
    (mine / "augmentation" / "dims.yaml").write_text("# Darker.\n_target_: dims.dims\n")
    words = [*OVERRIDES[:2], "augmentation=dims", "visualization=none", "tracking=none"]
    cnnexp.run([*words, "trainer.max_epochs=1"], config_dir=str(mine))
    out = capsys.readouterr().out
    note = "note      augmentation._target_=dims.dims "
    assert (note in out) == bool(said)
    assert not said or f"{note}{said}" in out


def test_an_augmentation_that_raises_is_named(mine: Path) -> None:
    (mine / "fails.py").write_text("def fails():\n    return lambda images: images[9]\n")
    (mine / "augmentation" / "fails.yaml").write_text("# Fails.\n_target_: fails.fails\n")
    with pytest.raises(IndexError) as caught:
        cnnexp.run([*OVERRIDES[:2], "augmentation=fails"], config_dir=str(mine))
    (note,) = caught.value.__notes__
    assert note.startswith("raised by augmentation._target_=fails.fails, of images (2, 3, ")
    assert list(Path.cwd().iterdir()) == []
