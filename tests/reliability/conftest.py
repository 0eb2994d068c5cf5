"""A folder to work in, with a cache of its own; one in which runs have ended."""

from pathlib import Path

import pytest
from PIL import Image

import cnnexp

SMALL_RUN = [
    "dataset=shapes", "dataset.images=80", "dataset.image_size=24", "dataset.batch_size=16",
    "model.widths=[[4],[4]]", "model.dense=[]", "name=small", "visualization=none",
    "trainer.max_epochs=1", "tracking=none",
]  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, `whole` and `other`, and a photograph."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNEXP_CACHE", str(folder / "cache"))
        for seed, name in enumerate(("whole", "other")):
            done = cnnexp.run([*SMALL_RUN, f"seed={seed}"]).folder
            assert done is not None
            done.rename(folder / name)
        Image.new("RGB", (20, 20), "red").save("photo.png")
    return folder
