"""Sweeps beside each other: what one has done, another need not do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnexp
from cnnexp.errors import InputError

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


@pytest.mark.parametrize(
    "other",
    ["n_jobs=2", "tracking.system_metrics=false", "paths.cache=elsewhere", "tracking=mlflow"],
)
def test_how_and_where_jobs_are_run_makes_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "sweep=seeds", "seed=0,1"]
    assert cnnexp.run(words).exit_code == 0
    first = capsys.readouterr().out
    assert cnnexp.run([*words, other]).exit_code == 0
    again = capsys.readouterr().out
    assert "finished already: 2 of 2 jobs\n" in again
    ranking = [line for line in first.splitlines() if "ranking" in line or "2 runs" in line]
    assert ranking
    assert ranking == [line for line in again.splitlines() if line in ranking]
    assert len(list(tmp_path.glob("outputs/small/*/run.json"))) == 2
    assert len(list(tmp_path.glob("outputs/sweeps/*/jobs/*.json"))) == 2


def test_where_jobs_lie_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^paths\.cache=a,b: says where jobs lie .* one value$"):
        cnnexp.run([*SMALL, "sweep=seeds", "seed=0", "paths.cache=a,b"])
    assert list(tmp_path.glob("outputs/**/*.json")) == []


def test_what_is_typed_back_is_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hydra's own text of an override escapes `$` and `:`."""
    monkeypatch.chdir(tmp_path)
    name = "name=of_${hydra:runtime.choices.model}"
    words = [word for word in SMALL if not word.startswith(("model", "name"))]
    words += [name, "sweep=seeds", "seed=0", "model=lenet5,baseline"]
    assert cnnexp.run(words).exit_code == 0
    (best,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best ")]
    assert f"'{name}'" in best
    assert {path.name for path in (tmp_path / "outputs").iterdir()} >= {"of_baseline", "of_lenet5"}


def test_the_option_that_lacks_a_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"model\.dropout=0: unknown key; .* \(with model=lenet5\)$"
    ):
        cnnexp.run(["sweep=seeds", "seed=0", "model=baseline,lenet5", "model.dropout=0,0.2"])
    with pytest.raises(InputError, match=r"max_epochs=-1: .* or null$"):  # whatever the model
        cnnexp.run(["sweep=seeds", "seed=0", "model=baseline,lenet5", "trainer.max_epochs=-1"])
    assert list(tmp_path.iterdir()) == []


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
