"""task=anatomy as a person sees it: the LeNet table of the course, and its CSV."""

import csv
from pathlib import Path

import pytest

import cnnexp


def test_lenet_printed_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cnnexp.run(["task=anatomy", "model=lenet5", "name=lenet"])
    said = capsys.readouterr().out
    for numbers in (
        ("28x28x8", "6,272", "608"),
        ("14x14x8", "1,568", "0"),
        ("10x10x16", "1,600", "3,216"),
        ("5x5x16", "400", "0"),
        ("120", "120", "48,120"),
        ("84", "84", "10,164"),
        ("10", "10", "850"),
    ):
        assert any(line.split()[-5:-2] == list(numbers) for line in said.splitlines()), numbers
    assert "62,958" in said  # the sum
    with (tmp_path / "outputs" / "anatomy" / "lenet_32.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["parameters"]) for row in table] == [608, 0, 3216, 0, 48120, 10164, 850]
    assert result.metrics["parameters"] == 62_958


def test_variants_of_a_model_lie_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    variants = [[], ["model.norm=none"], ["model.widths=[[8,8],[8]]"], ["model.widths=[[8],[8,8]]"]]
    for typed in [*variants, variants[1]]:
        cnnexp.run(["task=anatomy", "name=net", *typed])
    names = {path.name for path in Path("outputs/anatomy").iterdir()}
    assert {"net_32.csv", "net_32_norm=none.csv"} < names
    assert len(names) == 4


def test_any_size_without_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cnnexp.run(["task=anatomy", "dataset=cats_dogs", "dataset.image_size=224",
                "model=baseline_deep", f"paths.cache={tmp_path}/empty"])  # fmt: skip
    said = capsys.readouterr().out
    assert "input 224x224x3" in said
    assert "assumed" in said
