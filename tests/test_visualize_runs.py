"""task=visualize runs=[…]: the same images through finished runs, none of which has seen them."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import cnnexp
from cnnexp.errors import InputError
from cnnexp.runs import Result

SMALL = ["debug=smoke", "model.widths=[[4],[8]]", "model.dense=[8]", "visualization=none",
         "tracking=none", "trainer.precision=32-true"]  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work with 'quotes' and spaces")


@pytest.fixture(autouse=True)
def there(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def train(work: Path, *typed: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        return cnnexp.run([*SMALL, *typed])


@pytest.fixture(scope="module")
def first(work: Path) -> Result:
    return train(work, "seed=0")


@pytest.fixture(scope="module")
def second(work: Path) -> Result:
    """Another seed, and images of another size."""
    return train(work, "seed=1", "dataset.image_size=16")


@pytest.fixture(scope="module")
def resplit(work: Path) -> Result:
    """Its test images are others; some of them the first run has learned from."""
    return train(work, "dataset.split_seed=1", "dataset.split={train: 16, validation: 8, test: 60}")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def split_of(result: Result, *splits: str) -> set[str]:
    return {r["sha256"] for r in rows(result.folder / "splits.csv") if r["split"] in splits}


def visualize(*results: Result, typed: tuple[str, ...] = ()) -> Result:
    names = ",".join(str(result.folder) for result in results)
    return cnnexp.run(["task=visualize", f"runs=[{names}]", "tracking=none", *typed])


def numbers(result: Result) -> dict:
    return json.loads((result.folder / "figures" / "pictures.json").read_text())["side_by_side"][
        "numbers"
    ]


def test_two_runs(
    first: Result, second: Result, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the runs' own predictions.csv: all their test images are common."""
    result = visualize(first, second)
    assert result.folder.parent == work / "outputs" / "side_by_side"
    path = result.folder / "figures" / "side_by_side.png"
    assert str(path.relative_to(work)) in capsys.readouterr().out
    with Image.open(path) as image:
        image.verify()
    tables = [rows(run.folder / "predictions.csv") for run in (first, second)]
    said = [{row["path"]: row["prediction"] for row in table} for table in tables]
    differ = {name for name in said[0] if said[0][name] != said[1][name]}
    found = numbers(result)
    assert found["common_test_images"] == len(said[0]) == 80
    assert found["predictions_differ"] == len(differ)
    chosen = found["rows_chosen_because_they_differ"]
    assert set(found["images"][:chosen]) <= differ
    assert not set(found["images"][chosen:]) & differ
    assert len(found["images"]) == len(set(found["images"])) == 8
    accuracies = [run["accuracy"] for run in found["runs"]]
    assert accuracies == pytest.approx(
        [run.metrics["test/accuracy"] for run in (first, second)], abs=1e-6
    )
    assert result.metrics == {"images": 80, "differ": len(differ)}


def test_ends_of_names(first: Result, second: Result) -> None:
    ids = [result.folder.name[-6:] for result in (first, second)]
    result = cnnexp.run(["task=visualize", f"runs=[{ids[0]},{ids[1]}]", "tracking=none"])
    assert numbers(result)["common_test_images"] == 80
    with pytest.raises(InputError, match=r"^runs: .* is named twice"):
        cnnexp.run(["task=visualize", f"runs=[{ids[0]},{first.folder}]", "tracking=none"])


def test_what_one_has_learned_from_is_never_shown(first: Result, resplit: Result) -> None:
    both = split_of(first, "test") & split_of(resplit, "test")
    learned = split_of(first, "train", "validation") | split_of(resplit, "train", "validation")
    found = numbers(visualize(first, resplit))
    assert 0 < found["common_test_images"] == len(both - learned) < 80
    paths = {row["path"]: row["sha256"] for row in rows(first.folder / "splits.csv")}
    assert {paths[path] for path in found["images"]} <= both - learned


def test_a_copy_that_was_learned_is_not_shown(first: Result, second: Result, work: Path) -> None:
    """An image that is in a run's test split, and once more in its training split."""
    folder = work / "copies"
    shutil.copytree(second.folder, folder)
    table = rows(folder / "splits.csv")
    copies = [{**row, "split": "train"} for row in table if row["split"] == "test"][:75]
    with (folder / "splits.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, table[0].keys())
        out.writeheader()
        out.writerows(copies + table)
    result = cnnexp.run(["task=visualize", f"runs=[{first.folder},{folder}]", "tracking=none"])
    found = numbers(result)
    assert found["common_test_images"] == 5
    assert not set(found["images"]) & {row["path"] for row in copies}


def test_refused_before_a_network_is_built(
    first: Result, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnexp.tasks.side_by_side.load_run", lambda config: 1 / 0)

    def other(name: str, change: str, to: str) -> Path:
        folder = work / name
        shutil.copytree(first.folder, folder)
        for file in ("run.json", "splits.csv"):
            text = (folder / file).read_text()
            (folder / file).write_text(text.replace(change, to))
        return folder

    for name, change, to, said in [
        ("classes", '"9"', '"nine"', "^runs: the classes differ: 0, 1, .*nine in classes; 0, 1"),
        (
            "learned",
            ",test\n",
            ",train\n",
            "^runs: their test splits, of 0 and ",
        ),
        ("untrained", '"classes"', '"no"', "^runs: the classes differ: none in"),
    ]:
        folder = other(name, change, to)
        with pytest.raises(InputError, match=said):
            cnnexp.run(["task=visualize", f"runs=[{first.folder},{folder}]", "tracking=none"])
    (folder / "run.json").write_text((first.folder / "run.json").read_text())
    (folder / "splits.csv").unlink()
    with pytest.raises(InputError, match=r"splits\.csv cannot be read"):
        cnnexp.run(["task=visualize", f"runs=[{first.folder},{folder}]", "tracking=none"])
    assert not list(work.glob("outputs/side_by_side/*/figures/.*"))
