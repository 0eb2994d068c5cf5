"""Sweeps beside each other: what one has done, another need not do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnexp

SMALL = ["dataset=shapes", "dataset.images=60", "dataset.image_size=32", "trainer.max_epochs=1",
         "model.widths=[[4]]", "model.dense=[]", "visualization=none", "tracking=none",
         "name=small"]  # fmt: skip


def test_one_seed_more_trains_that_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def runs(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        result = cnnexp.run([*SMALL, *words])
        assert result.exit_code == 0
        return len(list(tmp_path.glob("outputs/small/*/run.json"))), capsys.readouterr().out

    assert runs("sweep=seeds", "seed=0,1")[0] == 2
    count, out = runs("sweep=seeds", "seed=2,1,0")
    assert count == 3
    assert "finished already: 2 of 3 jobs (2 by another sweep in outputs/sweeps)\n" in out
    assert "finished already: 3 of 3 jobs\n" in runs("sweep=seeds", "seed=2,1,0")[1]
    assert runs("sweep=seeds", "seed=0,1", "optimizer.lr=0.01")[0] == 5  # other jobs
    # A run that is gone is no result.
    oldest = min(path.parent for path in tmp_path.glob("outputs/small/*/run.json"))
    shutil.rmtree(oldest)
    assert "finished already: 1 of 2 jobs (1 by" in runs("sweep=seeds", "seed=1,0")[1]
    # Of a sweep's own it is said.
    out = runs("sweep=seeds", "seed=2,1,0")[1]
    assert "finished already: 3 of 3 jobs\n" in out
    assert "the folder of a job is not here any more; delete outputs/sweeps/" in out


def write_photos(folder: Path, first: int, last: int) -> None:
    for name, level in (("cat", 60), ("dog", 160)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, last):
            noise = np.random.default_rng(number).integers(0, 60, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise + np.uint8(level)).save(folder / name / f"{number}.png")


def test_other_images_are_said_and_not_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", 0, 20)
    words = ["dataset=image_folder", "dataset.root=photos", "dataset.image_size=32", *SMALL[3:]]

    def said(seeds: str) -> str:
        capsys.readouterr()
        assert cnnexp.run([*words, "sweep=seeds", f"seed={seeds}"]).exit_code == 0
        return capsys.readouterr().out

    assert "finished" not in said("0,1")
    again = said("0,1")
    assert "finished already: 2 of 2 jobs\n" in again
    assert "since then" not in again
    write_photos(tmp_path / "photos", 20, 30)
    changed = "note      since then the images of 2 jobs changed (files were added, removed or"
    assert changed in said("0,1")
    assert "finished" not in said("0,1,2")  # all three train on what is there now
    assert len(list(tmp_path.glob("outputs/small/*/run.json"))) == 5
