"""Runs that were chosen by F1, for classes of other sizes, are judged by it."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import cnnexp

CATS, DOGS = range(0, 160, 2), range(1, 40, 2)  # 80 and 20 images


@pytest.fixture
def two(make_run: Callable[..., Path]) -> Callable[..., list[str]]:
    """constant takes all for cats: 80 of 100 are right, F1 is (160 / 180 + 0) / 2 = 44.4%. careful
    knows each dog and takes 25 cats for one: 75 right, F1 (110 / 135 + 40 / 65) / 2 = 71.5%.
    """

    def make(**monitors: str) -> list[str]:
        images, classes = [*CATS, *DOGS], ("cat", "dog")
        wrong = {"constant": list(DOGS), "careful": list(CATS[:25])}
        folders = [
            make_run(
                name,
                0,
                wrong[name],
                images=images,
                classes=classes,
                learned=range(200, 260),
                training__monitor=by,
            )
            for name, by in monitors.items()
        ]
        return ["task=compare", f"runs=[{','.join(map(str, folders))}]", "tracking=none"]

    return make


def test_by_f1(two: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder = cnnexp.run(two(constant="val/f1", careful="val/f1")).folder
    assert folder is not None
    out = capsys.readouterr().out
    assert "all runs were chosen by val/f1: they are judged by the mean F1 of the classes" in out
    assert "constant: every image is taken for cat" in out
    assert "one run of careful is better than one run of constant: +27.1 points of F1 (" in out
    with (folder / "table.csv").open(newline="") as file:
        best = next(csv.DictReader(file))
    low, f1, high = (float(best[key]) for key in ("f1_low", "f1", "f1_high"))
    assert f1 == pytest.approx(0.715, abs=5e-4)
    assert low < f1 < high
    assert f"{f1:.3f} ({low:.3f} to {high:.3f})" in out
    with (folder / "pairs.csv").open(newline="") as file:
        (pair,) = csv.DictReader(file)
    assert (pair["first"], pair["second"], pair["better"]) == ("careful", "constant", "true")
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert "points of F1" in page
    assert "F1 of the first minus the second, in percentage points" in page
    assert "Differences of F1, pair by pair" in page


def test_where_not_all_were(
    two: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    cnnexp.run(two(constant="val/f1", careful="val/accuracy"))
    out = capsys.readouterr().out
    assert "not all runs were chosen by val/f1: they are judged by accuracy" in out
    assert "constant and careful are not distinguishable with 100 test images: +5.0 points (" in out
