"""task=compare: made runs -> the answer on the terminal, tables, a page; then trained ones."""

import base64
import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

import cnnexp
from cnnexp.comparison.flip_gallery import how_many
from cnnexp.errors import InputError
from cnnexp.runs import Result

MakeRun = Callable[..., Path]
ODD = 'a_b & <i>"$x$"'  # in HTML, LaTeX and Markdown


def make_three_groups(make_run: MakeRun) -> None:
    """good: three seeds, two or three wrong; poor: two seeds, 16 wrong; and one run with lr."""
    for seed, wrong in enumerate([[0, 1], [1, 2], [0, 1, 3]]):
        make_run("good", seed, wrong, overrides=["name=good", "experiment=x"])
    for seed in (0, 1):
        make_run("poor", seed, range(5, 21), overrides=["name=poor", f"seed={seed}", "n_jobs=2"])
    make_run("poor", 0, range(4, 21), optimizer__lr=0.5, metrics={"parameters": 9e6})


@pytest.fixture
def three_groups(make_run: MakeRun) -> None:
    make_three_groups(make_run)


class Compared(NamedTuple):
    work: Path
    result: Result
    out: str


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, make_run_in: Callable[[Path], MakeRun]
) -> Compared:
    """The three groups, once for all tests that read what came of it."""
    work, out = tmp_path_factory.mktemp("work"), io.StringIO()
    make_three_groups(make_run_in(work))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.chdir(work)
        result = compare("outputs/good", "outputs/poor")
    return Compared(work, result, out.getvalue())


def compare(*runs: object, typed: tuple[str, ...] = ()) -> Result:
    names = ",".join(str(run) for run in runs)
    return cnnexp.run(["task=compare", f"runs=[{names}]", "tracking=none", *typed])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_answer(compared: Compared) -> None:
    """Accuracies by hand: (28 + 28 + 27) / 90, 14 / 30, 13 / 30."""
    work, result, out = compared
    assert out.startswith("compare   6 runs in 3 groups, on 30 test images\n")
    table = [line.split() for line in out.splitlines()[2:6]]
    assert table[1][:3] == ["good", "3", "92.2%"]
    assert table[2][:4] == ["poor", "optimizer.lr=0.001", "2", "46.7%"]
    assert table[3][:4] == ["poor", "optimizer.lr=0.5", "1", "43.3%"]
    assert "1.92" in table[1]  # standard deviation of 28, 28, 27 of 30, in points
    assert re.search(
        r"verdict   good is better than poor optimizer\.lr=0\.001: \+45\.6 points "
        r"\(95% interval \d+\.\d to \d+\.\d\)\n", out
    )  # fmt: skip
    assert re.search(
        r"poor optimizer\.lr=0\.001 and poor optimizer\.lr=0\.5 are not distinguishable with 30 "
        r"test images: \+3\.3 points \(.*\); one seed: others may differ", out
    )  # fmt: skip
    # Wrong: 2, 2 and 3 images of good, which poor gets right; 16 of poor, which good gets right.
    assert (
        "flips     good alone is right on 16.0 images, poor optimizer.lr=0.001 alone on 2.3 "
        "(means over pairs of seeds)\n"
    ) in out
    assert "in short  good is the best of 3: better than both others" in out
    assert result.folder is not None
    assert result.folder.parent == work / "outputs" / "comparisons"
    assert f"report    {(result.folder / 'comparison.html').relative_to(work)}" in out
    assert re.search(r"next      python -m cnnexp task=diff a=outputs/good/\S+ b=outputs/poor", out)
    assert result.metrics["accuracy/good"] == pytest.approx(83 / 90)
    assert result.metrics["difference/good - poor optimizer.lr=0.5"] == pytest.approx(
        83 / 90 - 13 / 30
    )
    assert (result.folder / "log.txt").read_text() in out.replace("\r", "")


def test_the_tables(compared: Compared) -> None:
    folder = compared.result.folder
    assert folder is not None
    table = rows(folder / "table.csv")
    assert [row["seeds"] for row in table] == ["0 1 2", "0 1", "0"]
    assert [float(x) for x in table[0]["accuracy_of_each_seed"].split()] == pytest.approx(
        [28 / 30, 28 / 30, 27 / 30], abs=1e-5
    )
    # Macro F1 of the third group by hand: of each class 17 images in a row are taken for the next.
    assert float(table[2]["f1"]) == pytest.approx(0.4333, abs=0.01)
    assert float(table[2]["parameters"]) == 9e6
    pairs = rows(folder / "pairs.csv")
    assert [(p["first"], p["better"]) for p in pairs] == [
        ("good", "true"), ("good", "true"), ("poor optimizer.lr=0.001", "false"),
    ]  # fmt: skip
    flips = rows(folder / "flips.csv")
    assert [row["path"] for row in flips] == [f"new, {i}.png" for i in range(21)]
    assert flips[0] == {
        "path": "new, 0.png", "class": "cat", "right: good": "0.3333",
        "right: poor optimizer.lr=0.001": "1", "right: poor optimizer.lr=0.5": "1",
    }  # fmt: skip


def test_labels_are_text_everywhere(make_run: MakeRun) -> None:
    """Also where a config says something odd."""
    make_run("one", metrics={"test/loss": None})
    make_run("one", model={"_target_": "cnnexp.models.lenet5.lenet5", "x": ODD})
    make_run("one", model={"_target_": "cnnexp.models.lenet5.lenet5", "x": "b"})
    folder = compare("outputs/one").folder
    assert folder is not None
    tex = (folder / "table.tex").read_text()
    assert r"a\_b \& \textless{}i\textgreater{}" in tex
    assert r"\$x\$" in tex
    assert tex.count(r"\\") == 4
    assert len({line.count(" & ") for line in tex.splitlines() if line.endswith(r"\\")}) == 1
    markdown = (folder / "table.md").read_text().splitlines()
    assert r"a\_b & \<i\>" in (folder / "table.md").read_text()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in markdown}) == 1
    assert "<i>" not in (folder / "comparison.html").read_text()


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page(compared: Compared) -> None:
    folder = compared.result.folder
    assert folder is not None
    page = Page(folder / "comparison.html")
    assert "good is the best of 3: better than both others" in page.text
    assert "good is better than poor optimizer.lr=0.001" in page.text
    assert "good is better than one run of poor optimizer.lr=0.5" in page.text
    # Each group's command, with its seeds; how a sweep was run is no part of it.
    assert "python -m cnnexp -m name=good experiment=x seed=0,1,2" in page.text
    assert "python -m cnnexp -m name=poor seed=0,1" in page.text
    assert "cccccccccc" in page.text
    assert "optimizer.lr 0.001 0.001 0.5" in page.text
    for number, title in enumerate(
        ["Differences of accuracy, pair by pair", "Learning curves of all groups",
         "Accuracy and what it costs", "Recall per class"], start=1,
    ):  # fmt: skip
        assert f"Figure {number}. {title}." in page.text
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [a["href"][1:] for a in page.all("a")]
    assert set(links) <= set(ids)
    of_figures = ("figure-", "caption-")
    sections = [i for i in ids if not i.startswith(("h-", *of_figures))]
    assert sections == [link for link in links if not link.startswith(of_figures)]
    assert all(image["alt"] for image in page.all("img"))
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert not page.all("script")
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    text = (folder / "comparison.html").read_text()
    for tag in {name for name, _ in page.tags} - {"meta", "link", "img"}:
        assert len(page.all(tag)) == text.count(f"</{tag}>"), tag
    for image in page.all("img"):
        assert base64.b64decode(image["src"].partition("base64,")[2])


def test_more_than_ten_groups(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """The best with each other; all pairs in the file."""
    for number in range(13):
        make_run(f"net{number}", wrong=range(number))
    folder = compare("outputs/net*").folder
    out = capsys.readouterr().out
    assert out.count("verdict ") == 12
    assert "all 78 pairs are in pairs.csv" in out
    assert folder is not None
    assert len(rows(folder / "pairs.csv")) == 78
    page = Page(folder / "comparison.html")
    assert "the best group with each other one" in page.text


def test_a_tie_is_no_lead(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Both right on 28 of 30, on others; a third on 27."""
    for name, wrong in (("one", [0, 1]), ("two", [2, 3]), ("three", [0, 1, 2])):
        make_run(name, wrong=wrong)
    compare("outputs/*")
    assert (
        "in short  one and two have the same accuracy; with 30 test images they cannot be told "
        "from three; one seed: others may differ\n"
    ) in capsys.readouterr().out


def test_equals_before_others(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    for name, wrong in (("one", [0]), ("two", [1]), ("three", range(20))):
        make_run(name, wrong=wrong)
    compare("outputs/*")
    said = "in short  one and two have the highest accuracy, and the same; three is worse; one seed"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wide", "why"),
    [
        ((2, 18, 3), "for runs of wide lie 53.3 points apart"),
        ((6, 9), "for so few seeds hardly tell how far apart runs lie; more would"),
        ((4, 5), "for so few test images"),
    ],
)
def test_why_a_large_difference_tells_little(
    wide: tuple[int, ...], why: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, wrong in enumerate(wide):
        make_run("wide", seed, range(wrong))
        make_run("narrow", seed, [seed])
    compare("outputs/*")
    out = capsys.readouterr().out
    assert "not distinguishable" in out
    assert f", {why}\n" in out


def test_options_of_one_function_have_their_own_names(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, widths in (("baseline", [[8]]), ("baseline_deep", [[8], [16]])):
        model = {"_target_": "cnnexp.models.baseline.baseline", "widths": widths, "dropout": 0.5}
        folder = make_run("own", overrides=[f"model={option}"], model=model)
        info = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(info | {"model": option}))
    compare("outputs/own")
    out = capsys.readouterr().out
    assert "model=baseline " in out
    assert "model=baseline_deep " in out
    assert "widths" not in out


def test_a_few_steps_are_no_training(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    for name, steps in (("a", 49), ("b", 50)):
        path = make_run(name) / "run.json"
        info = json.loads(path.read_text())
        for record in info["phases"].values():
            record["steps"] = steps
        path.write_text(json.dumps(info))
    compare("outputs/a", "outputs/b")
    said = "note      a: fewer than 50 steps of training: what is compared is how training"
    assert said in capsys.readouterr().out


def test_seeds_of_one_group(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        make_run("same", seed, [seed])
    result = compare("outputs/same")
    out = capsys.readouterr().out
    assert "all runs are one group's: there is nothing to compare" in out
    assert result.metrics["accuracy/same"] == pytest.approx(29 / 30)
    assert result.folder is not None
    assert "same: 96.7% over 3 seeds" in Page(result.folder / "comparison.html").text


def test_seeds_of_several_states_of_the_code(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "poor", "same"):
        for seed in (0, 1):
            path = make_run(name, seed, [3] if name == "poor" else []) / "run.json"
            if name != "same":
                path.write_text(path.read_text().replace("c" * 40, str(seed) * 40))
    compare("outputs/good", "outputs/poor", "outputs/same")
    said = "not all of it was trained by the same state of the code; task=diff says which"
    assert f"note      good, poor: {said}\n" in capsys.readouterr().out


def test_code_of_ones_own_and_runs_that_went_on(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of one's own is in no git; a run may have gone on after an edit."""
    for name in ("edited", "on", "ours", "same"):
        for seed in (0, 1):
            path = make_run(name, seed, [3] if name == "on" else []) / "run.json"
            info = json.loads(path.read_text())
            files = {"net.py": "b" if (name, seed) == ("edited", 1) else "a", f"{name}.py": "c"}
            if name == "ours":
                info["environment"]["cnnexp_git"] = {"commit": str(seed) * 40}
            info["environment"]["own_code"] = files
            if (name, seed) == ("on", 1):
                info["earlier_environments"] = [info["environment"] | {"own_code": {"net.py": "0"}}]
            path.write_text(json.dumps(info))
    compare("outputs/edited", "outputs/on", "outputs/ours", "outputs/same")
    said = "not all of it was trained by the same state of the code"
    assert f"note      edited, ours, on: {said}" in capsys.readouterr().out
    compare("outputs/same")
    assert said not in capsys.readouterr().out


def test_notes_are_told(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a")
    make_run("b", images=range(10, 40), learned=range(5))
    make_run("b", status="KILLED")
    folder = compare("outputs/a", "outputs/b").folder
    out = capsys.readouterr().out
    note = (
        "compared on the 20 different test images that are common to all runs, each of which was "
        "tested on 30; 5 are left out because a run has learned from them"
    )
    assert f"note      {note}\n" in out
    assert "note      left out, interrupted: outputs/b/" in out
    assert folder is not None
    assert note in Page(folder / "comparison.html").text


def test_runs_that_are_not_alike_are_told(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("a")
    make_run("fold", dataset__fold=1)
    later = make_run("later")
    info = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps({**info, "ancestors": 1}))
    compare("outputs/a", "outputs/fold", "outputs/later")
    out = capsys.readouterr().out
    assert "note      later: began with weights of other runs (init_from), whose epochs" in out
    assert "note      fold: folds of a cross-validation, whose training and" in out


@pytest.mark.parametrize(("epochs", "told"), [((2, 2, 4), True), ((3, 3, 4), False)])
def test_unlike_effort_is_told(
    epochs: tuple[int, ...], told: bool, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, count in enumerate(epochs):
        make_run("ab"[number > 1], epochs=count, seed=number)
    folder = compare("outputs/a", "outputs/b").folder
    note = "trained for 2 to 4 epochs (a, b): a verdict is of networks and of effort"
    assert (f"note      {note}\n" in capsys.readouterr().out) == told
    assert folder is not None
    assert (note in Page(folder / "comparison.html").text) == told


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ([], ["task=compare: needs runs=[…]", "outputs/<name>", "globs"]),
        (["runs=[]"], ["task=compare: needs runs=[…]"]),
        (["runs=outputs/made"], ["runs=outputs/made", "must be a list"]),
        (
            ["runs=[outputs/made,outputs/mad]"],
            ["runs: outputs/mad", "did you mean 'outputs/made'?"],
        ),
        (["runs=[outputs/made]"], ["one tested run is left"]),
        (["runs=[outputs/made,outputs/other]"], ["the classes differ", "cow", "cat"]),
        (["runs=[outputs/made,outputs/far]"], ["their test splits, of ", " share none"]),
        (["runs=[outputs/made,outputs/edge]"], ["only 2 of 30 test images or more are in all"]),
        (["runs=[outputs/made]", "model=lenet5"], ["model=lenet5: task=compare takes runs, task"]),
        (["runs=[outputs/made]", "a=x"], ["a=x: only task=diff"]),
        (["runs=[outputs/made,outputs/far]", "task=evaluate"], ["only task=visualize", "compare"]),
        (["runs=[outputs/made,outputs/far]", "dataset.root=no"], ["dataset.root=no", "no such"]),
    ],
)
def test_wrong(typed: list[str], parts: list[str], make_run: MakeRun, work: Path) -> None:
    make_run()
    make_run("other", classes=["cat", "cow", "dog"])
    make_run("far", images=range(50, 60))
    make_run("edge", images=range(28, 58))
    with pytest.raises(InputError) as caught:
        cnnexp.run(["task=compare", "tracking=none", *typed])
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (work / "outputs" / "comparisons").exists()


@pytest.mark.usefixtures("three_groups")
def test_the_answer_waits_for_no_heavy_library(work: Path) -> None:
    code = (
        "import sys; from cnnexp.comparison.comparison import Comparison; from cnnexp import run; "
        "import cnnexp.tasks.compare as task; from cnnexp.errors import InputError\n"
        "def stop(*a): raise InputError('told')\n"
        "task.create_run_folder = stop\n"
        "try: run(['task=compare', 'runs=[outputs/good,outputs/poor]', 'tracking=none'])\n"
        "except InputError as error: print(error)\n"
        "print({'torch', 'matplotlib', 'pandas', 'mlflow', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=work, check=True
    )
    assert "verdict   good is better" in done.stdout
    assert done.stdout.endswith("told\nset()\n")


def test_how_many_images_flip() -> None:
    assert how_many("1", 1, 1, 1) == "1 image"
    assert how_many("16", 1, 8, 16) == "16 images; shown: 8 of 16"
    assert how_many("2.3", 9, 5, 5) == "2.3 images, mean over pairs of seeds"


def test_trained_runs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With images and checkpoints at hand: those that flip, and the same through all groups."""
    small = ["debug=smoke", "model.widths=[[4],[8]]", "model.dense=[8]", "visualization=none",
             "tracking=none", "trainer.precision=32-true"]  # fmt: skip
    for name, more in (("wide", []), ("low", ["optimizer.lr=1e-6"])):
        cnnexp.run([*small, f"name={name}", *more])
    capsys.readouterr()
    result = compare("outputs/wide", "outputs/low")
    out = capsys.readouterr().out
    assert "no picture" not in out
    assert result.folder is not None
    for stem in ("flips", "side_by_side"):
        with Image.open(result.folder / "figures" / f"{stem}.png") as image:
            image.verify()
    page = Page(result.folder / "comparison.html")
    assert "Images that flip between" in page.text
    assert "The same images, side by side." in page.text
