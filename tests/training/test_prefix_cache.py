"""Outputs of frozen blocks: what is stored is what the blocks give; what is damaged is not used."""

import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from cnnexp.training.prefix_cache import Prefix, size_of, stored_outputs

GIGABYTE = 1e9


class Counted(nn.Conv2d):
    """A convolution that knows how many images it has seen."""

    seen = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        type(self).seen += len(images)
        return super().forward(images.float() / 255)


@pytest.fixture
def make() -> Callable[..., Prefix]:
    Counted.seen = 0
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (150, 6, 6, 3), np.uint8))

    def prefix(**changes: object) -> Prefix:
        torch.manual_seed(0)
        values: dict = {
            "blocks": nn.Sequential(Counted(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5)),
            "images": images,
            "indices": np.arange(1, 140, 2),
            "precision": "32-true",
            "device": torch.device("cpu"),
            "content": ["some images"],
        }
        return Prefix(**values | changes)

    return prefix


def test_stored_is_what_the_blocks_give(make: Callable[..., Prefix], tmp_path: Path) -> None:
    prefix = make()
    found = stored_outputs(prefix, tmp_path, GIGABYTE)
    assert found is not None
    assert found.shape == (70, 4, 4, 5)
    assert found.nbytes == size_of(prefix) == 70 * 4 * 4 * 5 * 4
    images = prefix.images[torch.from_numpy(prefix.indices)].permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = prefix.blocks.eval()(images)
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected)


def test_what_is_at_hand_is_said(
    make: Callable[..., Prefix], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cnnexp"):
        stored_outputs(make(), tmp_path, GIGABYTE)
        assert "at hand" not in caplog.text
        whole = stored_outputs(make(), tmp_path, GIGABYTE)
    assert whole is not None
    assert f"are at hand, {len(whole)} of them" in caplog.text


def test_each_image_runs_once(make: Callable[..., Prefix], tmp_path: Path) -> None:
    stored_outputs(make(), tmp_path, GIGABYTE)
    assert Counted.seen == 70 + 2  # two to know the size
    stored_outputs(make(), tmp_path, GIGABYTE)
    assert Counted.seen == 72 + 2  # two to see that they are still what comes out


class Louder(Counted):
    gain = 1.0  # neither a weight nor in its text

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * super().forward(images)


def test_what_no_key_knows_is_found_out(make: Callable[..., Prefix], tmp_path: Path) -> None:
    """Of blocks, or of what draws: edited code elsewhere, attributes that are no plain numbers."""
    first, second = (make(blocks=nn.Sequential(Louder(3, 5, 3))) for _ in range(2))
    second.blocks[0].gain = np.float32(1.5)
    assert first.key() == second.key()
    found = stored_outputs(first, tmp_path, GIGABYTE)
    other = stored_outputs(second, tmp_path, GIGABYTE)
    assert found is not None
    assert other is not None
    torch.testing.assert_close(other, 1.5 * found)
    dark = make(blocks=first.blocks, augment=torch.zeros_like, seed=1)
    dim = make(blocks=first.blocks, augment=lambda images: images // 2, seed=1)
    assert dark.key() == dim.key()
    assert not torch.equal(*(stored_outputs(one, tmp_path, GIGABYTE) for one in (dark, dim)))


@pytest.mark.parametrize(
    "change",
    [
        {"content": ["other images"]},
        {"precision": "bf16-mixed"},
        {"blocks": nn.Sequential(Counted(3, 5, 3))},
        {"augment": lambda images: images},
    ],
)
def test_the_key_names_all_that_matters(make: Callable[..., Prefix], change: dict) -> None:
    assert make(**change).key() != make().key()
    assert make().key() == make().key()


OWN = """
from torch import nn

class Own(nn.Conv2d):
    def __init__(self, gain):
        super().__init__(3, 5, 3)
        self.gain, self.no_plain_value = gain, object()

    def forward(self, images):
        return super().forward(images / 255.0) * self.gain
"""


def test_the_key_names_what_a_person_wrote(
    make: Callable[..., Prefix], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class's file, and the numbers that its modules keep to themselves."""
    monkeypatch.syspath_prepend(tmp_path)

    def key(text: str, gain: float) -> str:
        (tmp_path / "own_block.py").write_text(text)
        monkeypatch.delitem(sys.modules, "own_block", raising=False)
        importlib.invalidate_caches()
        own = importlib.import_module("own_block").Own
        torch.manual_seed(0)
        return make(blocks=nn.Sequential(own(gain))).key()

    first = key(OWN, 1.0)
    assert key(OWN, 1.0) == first
    assert len({first, key(OWN, 1.02), key(OWN.replace("255.0", "256.0"), 1.0)}) == 3


def test_smaller_batches_give_the_same(make: Callable[..., Prefix], tmp_path: Path) -> None:
    whole = stored_outputs(make(), tmp_path / "64", GIGABYTE)
    some = stored_outputs(make(batch=9), tmp_path / "9", GIGABYTE)
    assert whole is not None
    assert some is not None
    torch.testing.assert_close(some, whole)


def test_what_may_not_push_out_others(make: Callable[..., Prefix], tmp_path: Path) -> None:
    size = size_of(make())
    entries = [make(content=[name]) for name in "abc"]
    for prefix in entries[:2]:
        assert stored_outputs(prefix, tmp_path, 2.5 * size, evict=False) is not None
    assert stored_outputs(entries[2], tmp_path, 2.5 * size, evict=False) is None
    there = [(tmp_path / "prefix" / prefix.key()).exists() for prefix in entries]
    assert there == [True, True, False]
    assert stored_outputs(entries[0], tmp_path, 2.5 * size, evict=False) is not None


def test_flat_outputs_and_half_precision(make: Callable[..., Prefix], tmp_path: Path) -> None:
    blocks = nn.Sequential(Counted(3, 5, 3), nn.Flatten())
    found = stored_outputs(make(blocks=blocks, precision="bf16-mixed"), tmp_path, GIGABYTE)
    assert found is not None
    assert (found.shape, found.dtype) == ((70, 80), torch.bfloat16)


def test_views_are_drawn_once_each(make: Callable[..., Prefix], tmp_path: Path) -> None:
    def dim(images: torch.Tensor) -> torch.Tensor:
        return (images * torch.rand(len(images), 1, 1, 1)).to(torch.uint8)

    prefix = make(blocks=nn.Sequential(Counted(3, 5, 3)), augment=dim, views=3)
    found = stored_outputs(prefix, tmp_path, GIGABYTE)
    assert found is not None
    views = found.view(3, 70, -1)
    assert not torch.equal(views[0], views[1])
    again = stored_outputs(prefix, tmp_path / "elsewhere", GIGABYTE)
    assert again is not None
    assert torch.equal(found, again)  # a function of the seed


@pytest.mark.parametrize("damage", ["bit", "short", "index", "gone"])
def test_a_damaged_entry_is_built_again(
    make: Callable[..., Prefix], tmp_path: Path, damage: str
) -> None:
    whole = stored_outputs(make(), tmp_path, GIGABYTE)
    assert whole is not None
    expected = whole.clone()
    folder = tmp_path / "prefix" / make().key()
    data = bytearray((folder / "outputs.bin").read_bytes())
    if damage == "bit":
        data[100] ^= 1
        (folder / "outputs.bin").write_bytes(data)
    elif damage == "short":
        (folder / "outputs.bin").write_bytes(data[:-1])
    elif damage == "index":
        (folder / "index.json").write_text('{"shape": [70')
    else:
        (folder / "outputs.bin").unlink()
    found = stored_outputs(make(), tmp_path, GIGABYTE)
    assert found is not None
    assert torch.equal(found, expected)
    assert Counted.seen == 2 * 72


def test_the_longest_unused_goes_first(make: Callable[..., Prefix], tmp_path: Path) -> None:
    size = size_of(make())
    entries = [make(content=[name]) for name in "abc"]
    for age, prefix in enumerate(entries[:2]):
        stored_outputs(prefix, tmp_path, GIGABYTE)
        index = tmp_path / "prefix" / prefix.key() / "index.json"
        os.utime(index, (1000 + age, 1000 + age))
    stored_outputs(entries[0], tmp_path, GIGABYTE)  # used again: b is older now
    stored_outputs(entries[2], tmp_path, 2.5 * size)
    there = [(tmp_path / "prefix" / prefix.key()).exists() for prefix in entries]
    assert there == [True, False, True]


def test_what_a_killed_builder_left_goes(make: Callable[..., Prefix], tmp_path: Path) -> None:
    for name in ("left", "being-built"):
        (tmp_path / "prefix" / name).mkdir(parents=True)
        (tmp_path / "prefix" / name / ".outputs.bin.x.part").write_bytes(bytes(1000))
    with FileLock(tmp_path / "prefix" / "being-built" / "lock"):
        assert stored_outputs(make(), tmp_path, GIGABYTE) is not None
    there = {path.name for path in (tmp_path / "prefix").iterdir()}
    assert there == {"being-built", make().key()}


def test_room_is_made_before_the_disk_is_looked_at(
    make: Callable[..., Prefix], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk for two entries, full with old ones."""
    size = size_of(make())
    for name in "ab":
        stored_outputs(make(content=[name]), tmp_path, GIGABYTE)

    def disk(_: Path) -> SimpleNamespace:
        used = sum(path.stat().st_size for path in tmp_path.rglob("outputs.bin"))
        return SimpleNamespace(free=2.5 * size - used)

    monkeypatch.setattr(shutil, "disk_usage", disk)
    assert stored_outputs(make(content=["c"]), tmp_path, 2.5 * size) is not None


def test_what_does_not_fit_is_said(
    make: Callable[..., Prefix], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "cnnexp"):
        assert stored_outputs(make(), tmp_path, 100) is None
    assert "training.prefix_cache_gb" in caplog.text
    assert not (tmp_path / "prefix").exists()


def test_an_index_names_types_not_code(make: Callable[..., Prefix], tmp_path: Path) -> None:
    stored_outputs(make(), tmp_path, GIGABYTE)
    index = tmp_path / "prefix" / make().key() / "index.json"
    values = json.loads(index.read_text()) | {"dtype": "os.system"}
    index.write_text(json.dumps(values))
    assert stored_outputs(make(), tmp_path, GIGABYTE) is not None
    assert json.loads(index.read_text())["dtype"] == "torch.float32"


def test_of_augmented_images_the_key_names_views_and_seed(make: Callable[..., Prefix]) -> None:
    """Against another augmented one: without augmentation neither counts."""
    own = {"augment": lambda images: images, "views": 2, "seed": 0}
    keys = {make(**own | more).key() for more in ({}, {"views": 3}, {"seed": 3})}
    assert len(keys) == 3
    assert make(seed=3).key() == make(seed=0).key()
