"""Sweeps beside each other: what one has done, another need not do."""

import shutil
from pathlib import Path

import pytest

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
