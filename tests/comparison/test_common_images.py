"""Which test images count, and what each run said of them."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnexp.comparison.test_images import (
    common_test_images,
    count_splits,
    read_answers,
)
from cnnexp.errors import InputError

MakeRun = Callable[..., Path]
CLASSES = ["cat", "dog", "owl"]


def test_the_same_images(make_run: MakeRun) -> None:
    a, b = make_run(wrong=[0, 5]), make_run(seed=1, wrong=[5])
    found = read_answers([a, b], CLASSES)
    assert found.paths == [f"new, {i}.png" for i in range(30)]
    assert found.labels.tolist() == [i % 3 for i in range(30)]
    assert np.argwhere(~found.right).tolist() == [[0, 0], [5, 0], [5, 1]]
    assert found.predictions[0].tolist() == [1, 0]
    assert found.tested.tolist() == [30, 30]


def test_what_any_has_learned_from_does_not_count(make_run: MakeRun) -> None:
    a = make_run(wrong=[12])
    b = make_run(images=range(10, 40), learned=range(10))
    c = make_run(images=range(5, 35), learned=[15, 20])
    found = read_answers([a, b, c], CLASSES)
    left = [i for i in range(10, 30) if i not in (15, 20)]
    assert found.paths == [f"new, {i}.png" for i in left]
    assert found.learned == 12
    assert np.flatnonzero(~found.right[:, 0]).tolist() == [left.index(12)]
    assert common_test_images([a, b, c]) == [(f"{i:064x}", CLASSES[i % 3]) for i in left]


def test_the_order_of_rows_does_not_matter(make_run: MakeRun) -> None:
    a, b = make_run(wrong=[3]), make_run(seed=1, wrong=[4])
    path = b / "predictions.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    assert np.argwhere(~read_answers([a, b], CLASSES).right).tolist() == [[3, 0], [4, 1]]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"images": range(40, 50)}, "their test splits, of 10 and 30 images, share none"),
        ({"images": range(5), "learned": range(5)}, "that they share each was learned from by one"),
    ],
)
def test_no_common_image(make_run: MakeRun, other: dict[str, range], why: str) -> None:
    runs = [make_run(), make_run(**other)]
    with pytest.raises(InputError, match=rf"^runs: .*{why}"):
        read_answers(runs, CLASSES)


def test_an_answer_that_is_missing(make_run: MakeRun) -> None:
    a, b = make_run(), make_run(seed=1)
    path = a / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:11]) + "\n")
    assert len(read_answers([a, b], CLASSES).labels) == 10


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("splits.csv", None, r"splits\.csv cannot be read .*nobody knows what the run learned"),
        ("splits.csv", b"path,sha256\n1,2\n", r"splits\.csv cannot be read"),
        ("splits.csv", b"", r"splits\.csv cannot be read"),
        ("predictions.csv", b"path,label\na,b\n", r"predictions\.csv cannot be read"),
        ("predictions.csv", b"path,prediction\n\xff,cat\n", r"predictions\.csv cannot be read"),
        ("predictions.csv", b"path,prediction\na,cow\n", r"names classes that run\.json does not"),
        ("predictions.csv", b"path,prediction\n", r"names classes"),
    ],
)
def test_broken_files(name: str, content: bytes | None, said: str, make_run: MakeRun) -> None:
    runs = [make_run(), make_run(seed=1)]
    (runs[1] / name).unlink()
    if content is not None:
        (runs[1] / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_answers(runs, CLASSES)
    assert "\n" not in str(caught.value)


def test_names_that_look_like_numbers_and_lines(make_run: MakeRun) -> None:
    classes = ["0", "1e3", "null"]
    run = make_run(classes=classes, wrong=[2])
    path = run / "splits.csv"
    for name in ("splits.csv", "predictions.csv"):
        path = run / name
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        rows[1][0] = 'a\n"b", c.png'
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    found = read_answers([run, run], classes)
    assert found.paths[0] == 'a\n"b", c.png'
    assert np.argwhere(~found.right).tolist() == [[2, 0], [2, 1]]
    assert count_splits(run) == {"test": 30, "train": 60}
