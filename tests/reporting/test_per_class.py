"""Scores class by class, counted by hand."""

import json
from pathlib import Path

import pytest

from cnnexp.reporting.run_report.per_class import per_class
from cnnexp.reporting.run_report.report import write_report
from cnnexp.reporting.run_report.run_files import read_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of four cats three are found, the fourth is a dog; of three dogs two, the third is an owl;
    no owl is tested, and no emu is there at all.
    """
    classes = ["cat", "dog", "owl", "emu"]
    answers = [("cat", "cat")] * 3 + [("cat", "dog")] + [("dog", "dog")] * 2 + [("dog", "owl")]
    lines = ["path,index,label,prediction,p_cat,p_dog,p_owl,p_emu"]
    for i, (label, said) in enumerate(answers):
        shares = ",".join("0.7" if name == said else "0.1" for name in classes)
        lines.append(f"{i}.png,{i},{label},{said},{shares}")
    (tmp_path / "predictions.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "run.json").write_text(json.dumps({"classes": classes}))
    return tmp_path


def test_by_hand(folder: Path) -> None:
    found = per_class(read_run(folder))
    assert found is not None
    keys = ("name", "images", "precision", "recall", "f1", "taken")
    assert [tuple(row[key] for key in keys) for row in found["rows"]] == [
        ("cat", "4", "100%", "75.0%", "0.857", "dog (1 of 4)"),  # 2 * 3 / (3 + 4)
        ("dog", "3", "66.7%", "66.7%", "0.667", "owl (1 of 3)"),
        ("owl", "0", "0.0%", "–", "–", ""),
        ("emu", "0", "–", "–", "–", ""),
    ]
    # Wilson, 3 of 4, z = 1.96: (0.75 + 0.48 ± 1.96 sqrt(0.046875 + 0.06)) / 1.96
    assert found["rows"][0]["interval"] == "30.1% to 95.4%"
    assert found["rows"][2]["interval"] == "–"
    assert found["means"] == {"precision": "83.3%", "recall": "70.8%", "f1": "0.762"}
    assert not found["folded"]


def test_classes_have_the_numbers_that_figures_give_them(folder: Path) -> None:
    alike = {"cat": "BMW 3 Sedan 2012", "dog": "BMW 3 Wagon 2012"}
    for file in ("predictions.csv", "run.json"):
        text = (folder / file).read_text()
        for short, long in alike.items():
            text = text.replace(short, long)
        (folder / file).write_text(text)
    found = per_class(read_run(folder))
    assert found is not None
    names = [row["name"] for row in found["rows"]]
    assert names == ["1 BMW 3 Sedan 2012", "2 BMW 3 Wagon 2012", "owl", "emu"]
    assert found["rows"][0]["taken"] == "2 BMW 3 Wagon 2012 (1 of 4)"


def test_it_stands_in_the_report(folder: Path) -> None:
    page = write_report(folder).read_text(encoding="utf-8")
    confusion = page[page.index('id="confusion"') :]
    assert '<th scope="row">cat</th><td class="number">4</td>' in confusion
    (folder / "predictions.csv").unlink()
    assert per_class(read_run(folder)) is None
    assert 'id="confusion"' not in write_report(folder).read_text(encoding="utf-8")
