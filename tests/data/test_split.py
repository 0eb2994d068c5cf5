"""Splits counted by hand."""

import csv
import random
import string
from pathlib import Path

import numpy as np
import pytest

from cnnexp.data.image_set import ImageSet
from cnnexp.data.split import (
    check_enough,
    divide,
    needed,
    pools_of,
    seeded_groups,
    write_splits,
)
from cnnexp.errors import InputError

THIRDS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def run(
    counts: dict[str, int],
    split: dict,
    seed: int = 0,
    given: dict[str, str] | None = None,
    bad: tuple[str, ...] = (),
    per_class: int | None = None,
    shuffle: int | None = None,
) -> dict[str, list[str]]:
    """{"cat": 5, "dog": 3} are paths cat/0 … dog/2; given: path -> split; names per split back."""
    classes = list(counts)
    items = [
        (f"{name}/{i}", label) for label, name in enumerate(classes) for i in range(counts[name])
    ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(items)
    paths, labels = [path for path, _ in items], np.array([label for _, label in items])
    where = np.array([(given or {}).get(path, "") for path in paths])
    pools = pools_of(where if given else None, len(paths))
    groups = seeded_groups(paths, labels, pools, seed)
    if (need := needed(split, pools)) is not None:
        check_enough(groups, need, split, classes)
    usable = np.array([path not in bad for path in paths])
    parts = divide(groups, usable, classes, split, per_class)
    assert all((np.diff(index) > 0).all() for index in parts.values())  # sorted, none twice
    return {name: [paths[i] for i in index] for name, index in parts.items()}


def sizes(parts: dict[str, list[str]], name: str) -> tuple[int, int, int]:
    """train, validation, test images of one class."""
    counts = [sum(path.startswith(f"{name}/") for path in parts[s]) for s in parts]
    return counts[0], counts[1], counts[2]


def test_fractions_are_stratified() -> None:
    parts = run({"cat": 50, "dog": 10}, THIRDS)
    assert sizes(parts, "cat") == (30, 10, 10)
    assert sizes(parts, "dog") == (6, 2, 2)
    assert len({path for names in parts.values() for path in names}) == 60


def test_fractions_may_leave_images_over() -> None:
    parts = run({"cat": 50, "dog": 10}, {"train": 0.3, "validation": 0.1, "test": 0.1})
    assert sizes(parts, "cat") == (15, 5, 5)
    assert sizes(parts, "dog") == (3, 1, 1)


def test_small_classes_are_in_every_split() -> None:
    parts = run({"cat": 50, "dog": 3}, {"train": 0.8, "validation": 0.1, "test": 0.1})
    assert sizes(parts, "dog") == (1, 1, 1)


def test_counts_are_per_class() -> None:
    parts = run({"cat": 50, "dog": 20}, {"train": 7, "validation": 3, "test": 5})
    assert sizes(parts, "cat") == sizes(parts, "dog") == (7, 3, 5)


def test_order_on_disk_does_not_matter() -> None:
    counts = {"cat": 40, "dog": 40}
    one, other = (run(counts, THIRDS, shuffle=k) for k in (1, 2))
    assert {s: set(names) for s, names in one.items()} == {s: set(n) for s, n in other.items()}


def test_the_seed_does() -> None:
    counts = {"cat": 40, "dog": 40}
    assert set(run(counts, THIRDS, seed=0)["test"]) != set(run(counts, THIRDS, seed=1)["test"])


def test_fewer_training_images_leave_the_test_set_alone() -> None:
    counts = {"cat": 40, "dog": 40}
    all_of_them = run(counts, {"train": 20, "validation": 5, "test": 8})
    few = run(counts, {"train": 2, "validation": 5, "test": 8})
    fewer = run(counts, {"train": 20, "validation": 5, "test": 8}, per_class=2)
    assert all_of_them["test"] == few["test"] == fewer["test"]
    assert all_of_them["validation"] == few["validation"] == fewer["validation"]
    assert sizes(fewer, "cat") == sizes(fewer, "dog") == (2, 5, 8)
    assert set(fewer["train"]) < set(all_of_them["train"])


GIVEN_TEST = {f"{name}/{i}": "test" for name in ("cat", "dog") for i in range(4)}
GIVEN_VALIDATION = {f"{name}/{i}": "validation" for name in ("cat", "dog") for i in range(4, 10)}


def test_given_test_stays_and_validation_comes_out_of_train() -> None:
    # 16 of 20 are left; 0.2 of 0.8 is a quarter of them.
    parts = run({"cat": 20, "dog": 20}, THIRDS, given=GIVEN_TEST)
    assert set(parts["test"]) == set(GIVEN_TEST)
    assert sizes(parts, "cat") == sizes(parts, "dog") == (12, 4, 4)


def test_all_given() -> None:
    parts = run({"cat": 20, "dog": 20}, THIRDS, given=GIVEN_TEST | GIVEN_VALIDATION)
    assert set(parts["test"]) == set(GIVEN_TEST)
    assert set(parts["validation"]) == set(GIVEN_VALIDATION)
    assert sizes(parts, "cat") == (10, 6, 4)


def test_train_and_validation_given_test_comes_out_of_train() -> None:
    given = GIVEN_VALIDATION | {f"{name}/{i}": "train" for name in ("cat", "dog") for i in (0, 1)}
    parts = run({"cat": 14, "dog": 14}, THIRDS, given=given)
    assert set(parts["validation"]) == set(GIVEN_VALIDATION)
    assert sizes(parts, "cat") == (6, 6, 2)  # 8 left, 0.2 of 0.8 of them


def test_a_given_split_of_which_nothing_is_left_says_why() -> None:
    """As a copy of the test folder that is given as validation, too."""
    parts = {"cat": np.arange(4), "dog": np.arange(4, 8)}
    given = ["train", "train", "validation", "test"] * 2
    groups = {
        (label, pool): index[[place == pool for place in given[:4]]]
        for label, index in enumerate(parts.values())
        for pool in ("train", "validation", "test")
    }
    usable = np.array([pool != "validation" for pool in given])
    lost = {2: "val/cat/2: a copy of test/cat/3", 6: "val/dog/6: a copy of test/dog/7"}
    with pytest.raises(InputError) as caught:
        divide(groups, usable, ["cat", "dog"], THIRDS, lost=lost)
    assert str(caught.value) == (
        "the validation split is empty: 2 are left out, val/cat/2: a copy of test/cat/3; "
        "give it images, or change dataset.split"
    )


def test_counts_take_of_what_is_given() -> None:
    split = {"train": 5, "validation": 2, "test": 3}
    parts = run({"cat": 20, "dog": 20}, split, given=GIVEN_TEST)
    assert set(parts["test"]) < set(GIVEN_TEST)
    assert sizes(parts, "cat") == (5, 2, 3)


def test_left_out_files_cost_training_images_only() -> None:
    split = {"train": 10, "validation": 5, "test": 5}
    parts = run({"cat": 20, "dog": 20}, split, bad=("dog/7",))
    assert sizes(parts, "cat") == (10, 5, 5)
    assert sizes(parts, "dog") == (9, 5, 5)
    assert not any("dog/7" in names for names in parts.values())


COUNTS = {"train": 10, "validation": 5, "test": 5}


@pytest.mark.parametrize(
    ("counts", "options", "words"),
    [
        ({"cat": 20, "dog": 19}, {"split": COUNTS}, ["'dog'", "19", "20", "dataset.split"]),
        (
            {"cat": 20, "dog": 20},
            {"split": COUNTS, "bad": ("dog/1", "dog/2")},
            ["'dog'", "18", "8 of 10", "dataset.split"],
        ),
        ({"cat": 20, "dog": 2}, {"split": THIRDS}, ["'dog'", "2 usable", "too few"]),
        (
            {"cat": 20, "dog": 20},
            {"split": THIRDS, "per_class": 13},
            ["per_class=13", "12", "(dataset.split={train: "],
        ),
        (
            {"cat": 20, "dog": 20},
            {"split": COUNTS, "given": GIVEN_TEST},
            ["'cat' has 4 images", "5", "test 5"],
        ),
    ],
)
def test_errors_are_one_line(counts: dict, options: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        run(counts, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


def test_manifest(tmp_path: Path) -> None:
    images = ImageSet(
        name="letters",
        classes=("vowel", "consonant"),
        images=np.zeros((5, 2, 2, 3), np.uint8),
        labels=np.array([0, 1, 1, 1, 0]),
        paths=tuple("acbde"),
        sha256=tuple(string.digits[:5]),
        split={"train": np.array([1, 2]), "validation": np.array([0]), "test": np.array([4])},
        left_out=(),
        notes=(),
        digest="",
    )
    write_splits(tmp_path / "splits.csv", images)
    with open(tmp_path / "splits.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "sha256", "class", "split"],
            ["b", "2", "consonant", "train"],
            ["c", "1", "consonant", "train"],
            ["a", "0", "vowel", "validation"],
            ["e", "4", "vowel", "test"],
        ]


@pytest.mark.parametrize("given", [False, True])
def test_folds(given: bool) -> None:
    """Each image beside the test images validates once; classes keep their shares."""
    labels = np.array([0] * 53 + [1] * 101)
    paths = [f"{i:03d}" for i in range(len(labels))]
    where = np.where(np.arange(len(labels)) % 4 == 0, "validation", "") if given else None
    groups = seeded_groups(paths, labels, pools_of(where, len(labels)), 3)
    usable = np.ones(len(labels), dtype=bool)
    split = {"train": 0.6, "validation": 0.2, "test": 0.2}
    whole = divide(groups, usable, ["a", "b"], split)
    folds = [divide(groups, usable, ["a", "b"], split, fold=i, folds=5) for i in range(5)]
    for found in folds:
        assert np.array_equal(found["test"], whole["test"])
        assert sorted(np.concatenate([*found.values()])) == list(range(len(labels)))
        shares = [labels[found[name]].mean() for name in ("train", "validation")]
        assert shares[0] == pytest.approx(shares[1], abs=0.05)
    rest = np.sort(np.concatenate([whole["train"], whole["validation"]]))
    validated = np.concatenate([found["validation"] for found in folds])
    assert np.array_equal(np.sort(validated), rest)
    sizes = [len(found["validation"]) for found in folds]
    assert max(sizes) - min(sizes) <= 2
    fewer = divide(groups, usable, ["a", "b"], split, 7, fold=2, folds=5)
    assert np.bincount(labels[fewer["train"]]).tolist() == [7, 7]
    assert np.array_equal(fewer["validation"], folds[2]["validation"])


def test_wrong_folds() -> None:
    split = {"train": 0.6, "validation": 0.2, "test": 0.2}
    groups = seeded_groups(["a", "b", "c", "d"], np.array([0, 0, 0, 0]), pools_of(None, 4), 0)
    with pytest.raises(InputError, match=r"dataset\.folds=5: class 'x' has 3 images"):
        divide(groups, np.ones(4, dtype=bool), ["x"], split, fold=0)


def test_folds_are_of_one_size() -> None:
    """Of ten classes with one image too many each no fold has all of these."""
    labels = np.repeat(np.arange(10), 13)
    groups = seeded_groups([f"{i:03d}" for i in range(130)], labels, pools_of(None, 130), 0)
    split, names = {"train": 0.6, "validation": 0.2, "test": 0.2}, [*"abcdefghij"]
    usable = np.ones(130, dtype=bool)
    folds = [divide(groups, usable, names, split, fold=i, folds=3) for i in range(3)]
    sizes = [len(found["validation"]) for found in folds]
    assert max(sizes) - min(sizes) <= 1, sizes


def test_per_class_may_be_all_that_there_is() -> None:
    labels = np.repeat([0, 1], 10)
    groups = seeded_groups([f"{i:02d}" for i in range(20)], labels, pools_of(None, 20), 0)
    split, usable = {"train": 6, "validation": 2, "test": 2}, np.ones(20, dtype=bool)
    found = divide(groups, usable, ["a", "b"], split, per_class=6)
    assert len(found["train"]) == 12
