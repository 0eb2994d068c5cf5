"""Own images whose classes a table tells."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cnnexp
from cnnexp.datasets.csv_table import csv_table
from cnnexp.errors import InputError

LayOut = Callable[[Path, list[str]], Path]
Make = Callable[..., Path]
LEAVES = ["images/01.jpg", "images/02.jpg", "images/03.png", "notes.txt"]
PLAIN = "id,label\n01,oak\n02,elm\n03,oak\n"
SPLIT, SET = "id,label,set\n01,oak,train\n02,elm,\n", {"split_column": "set"}
SMALL = [
    "dataset=csv", "dataset.root=leaves", "dataset.image_size=16", "dataset.batch_size=16",
    "trainer.max_epochs=1", "model.widths=[[4],[4],[8]]", "model.dense=[8]", "visualization=none",
    "tracking=none", "augmentation=none", "name=leaves",
]  # fmt: skip


@pytest.fixture
def make(lay_out: LayOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A table, and names of files -> leaves/ with both, in the working folder."""
    monkeypatch.chdir(tmp_path)

    def made(table: str | bytes = PLAIN, names: list[str] = LEAVES) -> Path:
        root = lay_out(Path("leaves"), names)
        content = table if isinstance(table, bytes) else table.encode()
        (root / "train.csv").write_bytes(content)
        return root

    return made


def classes_of(root: Path, **options: Any) -> dict[str, str]:
    source = csv_table(root, **options)
    return {
        path: source.classes[label] for path, label in zip(source.paths, source.labels, strict=True)
    }


def test_as_kaggle_has_it(make: Make) -> None:
    source = csv_table(make())
    assert source.name == "leaves"
    assert source.classes == ("elm", "oak")
    assert list(source.paths) == LEAVES[:3]
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [1, 0, 1]
    assert [source.read(i) for i in range(3)] == [name.encode() for name in LEAVES[:3]]
    assert source.given is None
    assert source.listed == (("notes.txt", "not in the table"),)


@pytest.mark.parametrize(
    "table",
    {
        "as Excel writes it": "\ufeffid;label\r\n01;oak\r\n02;elm\r\n03;oak\r\n;;\r\n",
        "tabs": "id\tlabel\n01\toak\n02\telm\n03\toak",
        "quotes, blanks, an empty line": '"id", "label"\n"01", "oak"\n\n02 , elm\n03,oak\n',
        "other columns first": "age,Label,id\n1,oak,01\n2,elm,02\n3,oak,03\n",
        "as pandas numbers rows": ",id,kind\n0,01,oak\n1,02,elm\n2,03,oak\n",
        "paths": "file,kind\nimages/01.jpg,oak\n./images/02.jpg,elm\nimages\\03.png,oak\n",
        "names": "file,kind\n01.jpg,oak\n02.jpg,elm\n03.png,oak\n",
        "a row twice": PLAIN + "01.jpg,oak\n",
    }.items(),
    ids=lambda case: case[0],
)
def test_forms(make: Make, table: tuple[str, str]) -> None:
    assert list(classes_of(make(table[1])).values()) == ["oak", "elm", "oak"]


def test_text_in_quotes(make: Make) -> None:
    root = make('id,label\n01,"oak, ""red"""\n02,"elm"\n')
    assert csv_table(root).classes == ("elm", 'oak, "red"')


def test_line_ends_of_an_old_mac(make: Make) -> None:
    assert classes_of(make(PLAIN.replace("\n", "\r"))) == classes_of(make(PLAIN))


def test_numbers_sort_as_numbers(make: Make) -> None:
    assert csv_table(make("id,label\n01,10\n02,2\n03,-1\n")).classes == ("-1", "2", "10")
    assert csv_table(make("id,label\n01,c10\n02,c2\n")).classes == ("c2", "c10")


def test_a_label_that_could_be_a_file(make: Make) -> None:
    names = [f"{number}.png" for number in range(6)]
    rows = "".join(f"{number},{number % 2}\n" for number in range(6))
    assert classes_of(make("digit,id\n" + rows.replace(",", ",x"), names), label="id")
    root = make("id,digit\n" + rows, names)
    assert list(classes_of(root).values()) == ["0", "1"] * 3


def test_the_root_counts_more_than_its_folders(make: Make) -> None:
    root = make("id,label\n1,a\n2,b\n", ["1.jpg", "2.jpg", "test/1.jpg", "test/2.jpg", "2.txt"])
    assert classes_of(root) == {"1.jpg": "a", "2.jpg": "b"}


def test_columns_that_are_named(make: Make) -> None:
    root = make("small,large,kind,age\n01,01.jpg,oak,3\n02,02.jpg,elm,4\n")
    found = classes_of(root, image="large", label="kind")
    assert found == {"images/01.jpg": "oak", "images/02.jpg": "elm"}
    root = make("id,3,age\n01,oak,3\n02,elm,4\n")
    assert classes_of(root, label=3) == found, "as a command line has it"


def test_a_given_split(make: Make) -> None:
    root = make("id,label,set\n01,oak,Train\n02,elm,val\n03,oak,\n")
    source = csv_table(root, split_column="set")
    assert source.given is not None
    assert source.given.tolist() == ["train", "validation", ""]
    assert csv_table(root).given is None


def test_a_column_of_patients(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    trees = [f"tree {i // 4}" for i in range(40)]
    rows = [f"{i:02},{'oak' if i % 2 else 'elm'},{trees[i]}" for i in range(40)]
    root = make("id,label,tree\n" + "\n".join(rows), [f"images/{i:02}.png" for i in range(40)])
    for i in range(40):
        Image.new("RGB", (20, 20), (i, 9 * i % 256, 0)).save(root / "images" / f"{i:02}.png")
    source = csv_table(root, group_column="tree")
    assert source.groups is not None
    assert source.groups.tolist() == trees
    done = cnnexp.run([*SMALL, "dataset.group_column=tree"])
    assert done.folder is not None
    side: dict[str, set[str]] = {}
    for line in (done.folder / "splits.csv").read_text().splitlines()[1:]:
        path, _, _, split, tree = line.split(",")
        assert tree == trees[int(Path(path).stem)]
        side.setdefault(tree, set()).add(split)
    assert len(side) == 10
    assert all(len(splits) == 1 for splits in side.values())
    tested = sum("test" in splits for splits in side.values())
    assert f"{4 * tested} images of {tested} group" in capsys.readouterr().out
    told = f"{4 * tested} test images of {tested} group"
    assert told in (done.folder / "report.html").read_text()
    cnnexp.run(["task=evaluate", f"run={done.folder}"])
    assert f"{4 * tested} images of {tested} group" in capsys.readouterr().out
    assert "10 groups of 4 images stay together" in (done.folder / "log.txt").read_text()


def test_a_zip(make: Make) -> None:
    shutil.make_archive("leaves", "zip", make())
    assert classes_of(Path("leaves.zip")) == classes_of(Path("leaves"))
    assert classes_of(Path("leaves.zip"), table="train.csv") == classes_of(Path("leaves"))
    Path("here.csv").write_text("id,label\n01,ash\n02,elm\n")
    assert csv_table("leaves.zip", table="here.csv").classes == ("ash", "elm")


def test_where_the_table_is_looked_for(make: Make, tmp_path: Path) -> None:
    root = make()
    assert csv_table(root, "leaves/train.csv").classes == ("elm", "oak")
    assert csv_table(root, tmp_path / "leaves" / "train.csv").classes == ("elm", "oak")
    Path("train.csv").write_text("id,label\n01,ash\n02,elm\n")
    assert csv_table(root, "train.csv").classes == ("elm", "oak")  # the root's
    assert csv_table(root, "./../train.csv").classes == ("ash", "elm")
    assert csv_table(root / "images", "train.csv").classes == ("ash", "elm")


def test_the_fingerprint_is_of_what_the_rows_say(make: Make) -> None:
    root = make()

    def fingerprint(rows: str, split_column: str | None = None) -> str:
        (root / "train.csv").write_text(rows)
        return csv_table(root, split_column=split_column).fingerprint

    first = fingerprint("id,label,age\n01,oak,1\n02,elm,2\n")
    assert fingerprint("id,label\n02,elm\n01.jpg,oak\n") == first
    assert fingerprint("id,label\n01,elm\n02,oak\n") != first
    assert fingerprint("id,label,set\n01,oak,train\n02,elm,test\n", "set") != first
    (root / "images" / "01.jpg").write_bytes(b"another")
    assert fingerprint("id,label\n01,oak\n02,elm\n") != first


# What is wrong -> the table, what is typed, and what is said.
WRONG: dict[str, tuple[str | bytes, dict[str, str], str]] = {
    "no image": (PLAIN + "04,oak\n05,elm\n", {}, "04 is no file in dataset.root=leaves (2 rows"),
    "capitals": (PLAIN + "images/01.JPG,oak\n", {}, "did you mean 'images/01.jpg'?"),
    "a slip": (PLAIN + "imges/01.jpg,oak\n", {}, "did you mean 'images/01.jpg'?"),
    "no name": (PLAIN + ",oak\n", {}, "row 5, id: nothing is no file"),
    "outside": (PLAIN + "../leaves/images/01.jpg,oak\n", {}, "row 5, id: ../leaves/images/01.jpg"),
    "no class": (PLAIN + "01,\n", {}, "row 5: 01 has no label; write its class"),
    "two classes": (PLAIN + "01.jpg,elm\n", {}, "row 5: images/01.jpg is elm, and in row 2 oak"),
    "two splits": (SPLIT + "01,oak,test\n", SET, "01.jpg is oak test, and in row 2 oak train"),
    "no such split": (SPLIT + "03,oak,hold\n", SET, "row 4: the split 'hold' is unknown; all"),
    "too few fields": (
        PLAIN + "01\n",
        {},
        "row 5 has 1 field, and there are 2 columns (id, label)",
    ),
    "too many fields": (PLAIN + "01,oak, red\n", {}, "(id, label); text with a comma in it is"),
    "a quote": (PLAIN + '01,"oak\n', {}, "line 5 is no row of a table: unexpected end of data; is"),
    "a long header": ("id" * 70_000 + ",label\n01,oak\n", {}, "line 1 is no row of a table: field"),
    "encoding": ("id,label\n01,Bär\n".encode("cp1252"), {}, "line 2 is no text in UTF-8; save"),
    "empty": ("", {}, "has no rows; it needs"),
    "no rows": ("id,label\n", {}, "has no rows below the columns' names; it needs"),
    "no header": ("01.jpg,oak\n02.jpg,elm\n", {}, "its first line names an image, 01.jpg; it is"),
    "a column twice": ("id,label,label\n01,a,b\n", {}, "column 'label' is there twice"),
    "one class": ("id,label\n01,oak\n02,oak\n", {}, "has one class (oak); two are needed"),
    "one number": ("id,label\n01,1\n02,1.0\n", {}, "classes 1 and 1.0 are the same number"),
    "other names": ("id,label\nx,oak\ny,elm\n", {}, "no column names files in dataset.root=leaves"),
    "an example": ("id,label\nx,oak\ny,elm\n", {}, "row 2 has x, oak; there are 5 files, such"),
    "two columns": ("id,file\n01,01.jpg\n", {}, "columns id and file name files; say which with"),
    "no classes": ("id\n01\n02\n", {}, "has no column with classes beside id"),
    "several": ("id,kind,age\n01,oak,1\n", {}, "dataset.label=<column>: kind, age"),
    "ones": ("id,oak,elm\n01,1,0\n02,0.0,1\n", {}, "for each class are not read: write one c"),
    "image": (
        PLAIN,
        {"image": "ids"},
        "dataset.image=ids: leaves/train.csv has no such column; did",
    ),
    "label": (PLAIN, {"label": "x"}, "dataset.label=x: leaves/train.csv has no such column; its c"),
    "split": (PLAIN, {"split_column": "x"}, "dataset.split_column=x: leaves/train.csv has no such"),
    "no split": (PLAIN, {"split_column": "x"}, "label (dataset.split_column=null goes without)"),
    "one for both": (PLAIN, {"label": "id"}, "dataset.label=id: has the images' names"),
    "table": (PLAIN, {"table": "leaves/trian.csv"}, "dataset.table=leaves/trian.csv: no such file"),
    "root's": (PLAIN, {"table": "trian.csv"}, "working folder; did you mean 'train.csv'?"),
    "a folder": (PLAIN, {"table": "images"}, "dataset.table=images: is a folder; name the file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(make: Make, case: str) -> None:
    table, options, said = WRONG[case]
    with pytest.raises(InputError) as caught:
        csv_table(make(table), **options)
    assert re.fullmatch(r"(?=dataset\.).*" + re.escape(said) + ".*", str(caught.value))


def test_errors_of_the_root(make: Make) -> None:
    root = make(names=["a/1.jpg", "b/1.jpg"])
    for given, said in (
        (None, "dataset.root is not set"),
        (root / "train.csv", "dataset.root=leaves/train.csv: is the table; name the folder"),
        (root / "a", r"dataset.root=leaves/a holds no table \(.csv, .tsv\); name it"),
        ("leafs", "dataset.root=leafs does not exist; .* did you mean 'leaves'"),
    ):
        with pytest.raises(InputError, match=said):
            csv_table(given)
    (root / "train.csv").write_text("id,label\n1,oak\n")
    with pytest.raises(InputError, match=r"row 2: 1 may be a/1.jpg or b/1.jpg; write the path"):
        csv_table(root)
    (root / "test.csv").write_text("id\n")
    with pytest.raises(InputError, match=r"root=leaves holds 2 tables: test.csv, train.csv; name"):
        csv_table(root)


def write_leaves(folder: Path) -> None:
    drawn = np.random.default_rng(0)
    rows = ["id,label"]
    (folder / "images").mkdir(parents=True)
    for number in range(40):
        pixels = drawn.integers(0, 100, (16, 16, 3), np.uint8) + np.uint8(number % 2 * 150)
        Image.fromarray(pixels).save(folder / "images" / f"{number:03}.png")
        rows.append(f"{number:03},{('oak', 'elm')[number % 2]}")
    (folder / "train.csv").write_text("\n".join(rows))


def test_a_run_its_evaluation_and_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named from here, moved, edited: a run's images are found, and are its own or are not."""
    monkeypatch.chdir(tmp_path)
    write_leaves(tmp_path / "leaves")
    run = cnnexp.run([*SMALL, "dataset.table=leaves/train.csv"]).folder
    assert run is not None
    (tmp_path / "other").mkdir()
    shutil.move("leaves", "other/trees")
    monkeypatch.chdir(tmp_path / "other")
    about = ["task=evaluate", f"run={run.absolute()}", "dataset.root=trees"]
    capsys.readouterr()
    cnnexp.run(about)
    assert "not those of the run" not in capsys.readouterr().out
    stopped = json.loads((tmp_path / run / "run.json").read_text()) | {"status": "KILLED"}
    (tmp_path / run / "run.json").write_text(json.dumps(stopped))
    shutil.move("trees/train.csv", "a (1).csv")
    on = [f"resume={tmp_path / run}", "dataset.root=trees", "dataset.table=a (1).csv"]
    assert cnnexp.run(on).metrics["test/accuracy"] >= 0
    table = Path("a (1).csv")
    table.write_text(table.read_text().replace("000,oak", "000,elm"))
    cnnexp.run([*about, "dataset.table=a (1).csv"])
    assert "the images are not those of the run" in capsys.readouterr().out


def test_a_zip_s_own_table_is_the_run_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another of that name in the working folder is not, also where the run is tested again."""
    monkeypatch.chdir(tmp_path)
    write_leaves(tmp_path / "leaves")
    shutil.make_archive("leaves", "zip", "leaves")
    table = (tmp_path / "leaves" / "train.csv").read_text()
    Path("train.csv").write_text(
        table.replace("oak", "x").replace("elm", "oak").replace("x", "elm")
    )
    zipped = [word.replace("root=leaves", "root=leaves.zip") for word in SMALL]
    run = cnnexp.run([*zipped, "dataset.table=train.csv"])
    assert run.folder is not None
    cnnexp.run(["task=evaluate", f"run={run.folder}"])
    assert "not those of the run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [("000,oak", "000,elm"), (",p0\n", ",p7\n")], ids=["class", "group"]
)
def test_a_sweep_says_that_the_table_was_edited(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_leaves(tmp_path / "leaves")
    table = tmp_path / "leaves" / "train.csv"
    first, *rows = table.read_text().splitlines()
    rows = [f"{row},p{number // 6}" for number, row in enumerate(rows)]
    table.write_text("\n".join([f"{first},patient", *rows, ""]))
    columns = ["dataset.label=label", "dataset.group_column=patient"]
    sweep = ["sweep=seeds", *SMALL, *columns, "seed=0"]
    cnnexp.run(sweep)
    stamp = os.stat(table)
    table.write_text(table.read_text().replace(*change))
    os.utime(table, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # its text counts
    capsys.readouterr()
    cnnexp.run(sweep)
    assert "since then the images of 1 job changed" in capsys.readouterr().out


def test_nothing_is_written_where_the_table_is_wrong(make: Make, tmp_path: Path) -> None:
    make(PLAIN + "04,oak\n")
    with pytest.raises(InputError, match=r"^dataset.table=leaves/train.csv: row 5"):
        cnnexp.run(SMALL)
    assert not (tmp_path / "outputs").exists()
