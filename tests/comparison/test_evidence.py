"""What a verdict rests on, in words: `800 test images and 2 or 3 seeds`."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cnnexp
from cnnexp.comparison.groups import Group
from cnnexp.comparison.verdicts import Family, Verdict, evidence, far_apart, judge
from cnnexp.reporting.statistics import holm, measure

MakeRun = Callable[..., Path]


def group(count: int, fold: bool) -> Group:
    runs: Any = [SimpleNamespace(config={"dataset": {"fold": 0 if fold else None}})] * count
    return Group("a", tuple(runs), {})


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([group(3, False), group(3, False)], "1,000 test images and 3 seeds"),
        ([group(5, True), group(5, True)], "1,000 test images and 5 folds"),
        ([group(3, False), group(5, True)], "1,000 test images and 3 or 5 seeds or folds"),
        ([group(1, False), group(3, False)], "1,000 test images"),
    ],
)
def test_seeds_and_folds_are_called_what_they_are(groups: list[Group], said: str) -> None:
    assert evidence(groups, 1000) == said


def test_a_third_groups_seeds_that_lie_far_apart_are_named() -> None:
    """Their variance is pooled: without that group the verdict may be another."""
    groups = [Group(name, (), {}) for name in "abc"]
    verdict = Verdict(0, 1, 0.034, -0.005, 0.074, 0.08, 0.08, 0.01)
    near, wide = ([0.13, 0.14, 0.135], [0.10, 0.102, 0.096]), [0.05, 0.12, 0.08]
    said = far_apart(verdict, groups, [*near, wide])
    assert said == ", for all groups' seeds are pooled, and runs of c lie 7.0 points apart"
    assert far_apart(verdict, groups, near) == ""
    images = Verdict(
        0, 1, 0.034, -0.1, 0.17, 0.5, 0.5, -0.09
    )  # few of them: seeds are not the reason
    assert far_apart(images, groups, [*near, wide]) == ""
    assert far_apart(verdict, groups, [*near, [0.05, 0.06, 0.055]]) == ""


def test_f1_is_of_the_classes_that_were_tested(make_run: Callable[..., Path]) -> None:
    """Of two emus that were predicted there is no image; as in the run's own test/f1.

    Of 8 cats and 8 dogs all dogs, and of the cats six, are right: 2 * 6 / (8 + 6), 2 * 8 / 16.
    """
    folders = [make_run(), make_run(seed=1)]
    lines = ["path,index,label,prediction,p_cat,p_dog,p_owl"]
    for i in range(16):
        label = "cat" if i < 8 else "dog"
        said = "owl" if i < 2 else label
        shares = ",".join("0.8" if name == said else "0.1" for name in ("cat", "dog", "owl"))
        lines.append(f"{i}.png,{i},{label},{said},{shares}")
    splits = ["path,sha256,class,split"]
    splits += [f"{i}.png,{i:064x},{'cat' if i < 8 else 'dog'},test" for i in range(16)]
    splits += [f"o{i}.png,{i + 99:064x},owl,train" for i in range(3)]
    for folder in folders:
        (folder / "predictions.csv").write_text("\n".join(lines) + "\n")
        (folder / "splits.csv").write_text("\n".join(splits) + "\n")
    cnnexp.run(["task=compare", f"runs=[{folders[0]},{folders[1]}]", "tracking=none"])
    (path,) = Path("outputs").glob("**/table.csv")
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["f1"]) == pytest.approx((12 / 14 + 1) / 2, abs=1e-4)


def test_images_of_one_patient_are_one_piece_of_evidence(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine images that only one of two runs has right are of one patient; then of none."""
    folders = [make_run("good"), make_run("poor", wrong=range(9))]
    words = ["task=compare", f"runs=[{folders[0]},{folders[1]}]", "tracking=none"]
    cnnexp.run(words)
    out = capsys.readouterr().out
    assert "is better than" in out
    assert "groups" not in out.partition("note")[2].partition("\n")[0]
    for folder in folders:
        head, *rows = (folder / "splits.csv").read_text().splitlines()
        groups = [f"p{max(0, i - 8)}" if ",test" in row else row for i, row in enumerate(rows)]
        lines = [f"{row},{g.partition(',')[0]}" for row, g in zip(rows, groups, strict=True)]
        (folder / "splits.csv").write_text("\n".join([f"{head},group", *lines, ""]))
    cnnexp.run(words)
    out = capsys.readouterr().out
    assert "the test images are of 22 groups that belong together" in out
    assert "are not distinguishable" in out


def test_verdicts_are_corrected_for_all_pairs_of_all_families() -> None:
    """Alone each of two pairs would count (p about 0.04), of two such pairs none does."""
    right = np.ones((400, 4), dtype=bool)
    right[:14, 1] = right[:3, 0] = right[100:114, 3] = right[110:113, 2] = False
    right[:3, 1] = right[110:113, 3] = True
    measured = measure(right, [[0], [1], [2], [3]])
    (one,) = judge(measured, [Family("", [0, 1])])
    assert 0.025 < one.p < 0.05
    assert one.better
    both = judge(measured, [Family("50", [0, 1]), Family("100", [2, 3])])
    assert [v.corrected for v in both] == pytest.approx(holm(np.array([v.p for v in both])))
    assert not any(v.better for v in both)
