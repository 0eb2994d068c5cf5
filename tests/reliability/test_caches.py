"""A cache that goes away or is damaged while a run uses it changes nothing in its results."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp.training.checkpoints import network_state
from cnnexp.training.fit import SavesEpochs

SMALL = [
    "dataset=shapes", "dataset.images=200", "dataset.image_size=24", "model.widths=[[8],[8]]",
    "model.dense=[]", "name=small", "visualization=none", "tracking=none", "phases=finetune",
    "phases.head.epochs=2", "phases.finetune.epochs=2", "phases.finetune.trainable=[block2,head]",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("work")


def remove(cache: Path) -> None:
    shutil.rmtree(cache)


def spoil(cache: Path) -> None:
    """Every file has another byte in its middle: beside its place, as a copy that went wrong."""
    for path in [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.with_name("spoilt").write_bytes(content)
        path.with_name("spoilt").replace(path)


def shorten(cache: Path) -> None:
    for path in [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size]:
        path.with_name("short").write_bytes(path.read_bytes()[:-5])
        path.with_name("short").replace(path)


def best(folder: Path | None) -> dict[str, torch.Tensor]:
    assert folder is not None
    return network_state(folder / "checkpoints" / "finetune" / "best.ckpt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cache of a run, and the run's folder, `whole`."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNEXP_CACHE", str(folder / "cache"))
        done = cnnexp.run(SMALL).folder
    assert done is not None
    done.rename(folder / "whole")
    return folder


@pytest.mark.parametrize("harm", [remove, spoil, shorten])
def test_within_each_phase(
    harm: Callable[[Path], None], trained: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = best(trained / "whole")
    shutil.copytree(trained / "cache", work / "cache")
    save, harmed = SavesEpochs.on_train_epoch_end, []

    def harming(self: SavesEpochs, *others: Any) -> None:
        if len(self.table.history) == 0:  # the first epoch of a phase ends
            harm(work / "cache")
            harmed.append(self.table.first_epoch)
        save(self, *others)

    with monkeypatch.context() as patch:
        patch.setattr(SavesEpochs, "on_train_epoch_end", harming)
        again = best(cnnexp.run(SMALL).folder)
    assert harmed == [0, 2]
    after = best(cnnexp.run(SMALL).folder)  # what is left of the cache is not believed
    for state in (again, after):
        assert all(torch.equal(state[key], value) for key, value in whole.items())
