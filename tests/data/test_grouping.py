"""Whole groups on one side of the split, counted by hand and with sizes that nobody chose."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from cnnexp.data.grouping import divide_groups, group_names, parts_of
from cnnexp.data.image_set import ImageSet
from cnnexp.data.split import pools_of, seeded_groups
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2}
Shelf = Callable[..., Any]
Prepared = Callable[..., ImageSet]


def patients(sizes: list[int], classes: int = 2) -> list[tuple[str, int]]:
    """(path, label): images of a patient are of all classes in turn."""
    return [
        (f"{i % classes}/p{patient}_{i}", i % classes)
        for patient, size in enumerate(sizes)
        for i in range(size)
    ]


def named(
    pattern: str | None, paths: list[str], split: Any = SPLIT, groups: Any = None
) -> tuple[np.ndarray, int]:
    source = Source(
        "made", ("a", "b"), paths, np.zeros(len(paths), dtype=np.int64), lambda i: b"", "digest",
        groups=None if groups is None else np.array(groups),
    )  # fmt: skip
    found = group_names(pattern, source, split)
    assert found is not None
    return found


def divided(
    items: list[tuple[str, int]], where: dict[str, str] | None = None, **more: Any
) -> dict[str, list[str]]:
    """Split -> paths, in the order of the listing."""
    paths, labels = [path for path, _ in items], np.array([label for _, label in items])
    pools = pools_of(np.array([where.get(p, "") for p in paths]) if where else None, len(paths))
    split = more.pop("split", SPLIT)
    names, _ = named(r"p\d+", paths, split)
    seed = more.pop("split_seed", 0)
    classes = [str(k) for k in range(labels.max() + 1)]
    usable = np.ones(len(paths), dtype=bool)
    parts = divide_groups(
        names, labels, pools, seeded_groups(paths, labels, pools, seed), usable, classes,
        split, seed, **more,
    )  # fmt: skip
    assert all((np.diff(index) > 0).all() for index in parts.values())  # sorted, none twice
    return {name: [paths[i] for i in index] for name, index in parts.items()}


def owners(paths: list[str]) -> set[str]:
    return {path.partition("/")[2].partition("_")[0] for path in paths}


@settings(max_examples=60, deadline=None)
@for_all(st.lists(st.integers(1, 30), min_size=12, max_size=60), st.integers(0, 5))
def test_nobody_is_on_two_sides(sizes: list[int], seed: int) -> None:
    items = patients([size + 1 for size in sizes])
    try:
        parts = divided(items, split_seed=seed)
    except InputError:  # a few large patients: a class may be missing somewhere
        return
    sides = [owners(paths) for paths in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == len(sizes)
    assert sum(map(len, parts.values())) == len(items)
    shuffled = random.Random(1).sample(items, len(items))
    assert {n: sorted(p) for n, p in divided(shuffled, split_seed=seed).items()} == {
        n: sorted(p) for n, p in parts.items()
    }


def test_shares_are_met_in_each_class_and_by_groups_of_all_sizes() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 20, 200).tolist()
    items = patients(sizes)
    parts = divided(items)
    for label in range(2):
        own = [path for path, at in items if at == label]
        for name, share in SPLIT.items():
            count = sum(path in set(own) for path in parts[name])
            assert abs(count / len(own) - share) < 0.01
    for name, share in SPLIT.items():
        large = [p for p in owners(parts[name]) if sizes[int(p[1:])] >= 15]
        assert abs(len(large) / sum(size >= 15 for size in sizes) - share) < 0.08
    assert divided(items, split_seed=1)["test"] != parts["test"]


def test_each_seed_draws_others_and_groups_of_all_sizes_test() -> None:
    """Thirty patients of sizes that are all different: no ties for a seed to decide."""
    sizes = np.random.default_rng(0).permutation(np.arange(20, 200, 6)).tolist()
    items = patients(sizes)
    drawn = [owners(divided(items, split_seed=seed)["test"]) for seed in range(20)]
    assert len({frozenset(some) for some in drawn}) > 15
    ranks = {f"p{p}": rank for rank, p in enumerate(np.argsort(sizes))}
    quarters = [min(3, ranks[owner] // 8) for some in drawn for owner in some]
    assert min(np.bincount(quarters, minlength=4)) > 0.1 * len(quarters)


@pytest.mark.parametrize("split", [SPLIT, {"train": 0.7, "validation": 0.15, "test": 0.15}])
def test_three_groups_of_a_class_are_enough(split: dict[str, float]) -> None:
    """Each class's images are of three patients, as large as the others or not."""
    for seed in range(10):
        sizes = np.random.default_rng(seed).integers(5, 60, 6)
        items = [(f"{p % 2}/p{p}_{i}", p % 2) for p, n in enumerate(sizes) for i in range(n)]
        parts = divided(items, split=split, split_seed=seed)
        for label in "01":
            sides = [{path for path in paths if path[0] == label} for paths in parts.values()]
            assert all(sides)
            assert [len(owners(list(side))) for side in sides] == [1, 1, 1]


def test_a_rest_is_left_out_and_fewer_images_train() -> None:
    items = patients([4] * 50)
    whole = divided(items)
    some = divided(items, split={"train": 0.3, "validation": 0.2, "test": 0.2})
    assert len(some["train"]) == 60
    assert (some["test"], some["validation"]) == (whole["test"], whole["validation"])
    assert set(some["train"]) < set(whole["train"])
    few = divided(items, per_class=7)
    assert sorted(path[0] for path in few["train"]) == ["0"] * 7 + ["1"] * 7
    assert set(few["train"]) < set(whole["train"])
    assert (few["test"], few["validation"]) == (whole["test"], whole["validation"])
    with pytest.raises(InputError, match=r"dataset\.per_class=70, but class '0' has 60"):
        divided(items, per_class=70)


@pytest.mark.parametrize("given", [False, True])
def test_folds(given: bool) -> None:
    """Each patient that does not test validates once; given validation images are cut, too."""
    items = patients([4] * 50)
    where = {path: "validation" for path, _ in items[:40]} if given else None
    whole = divided(items, where)
    found = [divided(items, where, fold=i, folds=5) for i in range(5)]
    for one in found:
        assert one["test"] == whole["test"]
        assert not owners(one["train"]) & owners(one["validation"])
    validated = [path for one in found for path in one["validation"]]
    assert sorted(validated) == sorted(whole["train"] + whole["validation"])
    assert {len(one["validation"]) for one in found} == {len(validated) // 5}


def test_folds_of_a_part_of_the_images() -> None:
    """`dataset.split` may leave images out; folds are of the others, the same for each."""
    items, part = patients([4] * 50), {"train": 0.3, "validation": 0.2, "test": 0.2}
    whole = divided(items, split=part)
    found = [divided(items, split=part, fold=i, folds=5) for i in range(5)]
    members = [set(one["train"] + one["validation"]) for one in found]
    assert all(one == members[0] for one in members)
    assert len(members[0]) == len(whole["train"]) + len(whole["validation"]) == 100
    assert all(one["test"] == whole["test"] for one in found)


def test_folds_of_a_class_in_two_groups() -> None:
    items = [*patients([6] * 40, classes=1), *[(f"1/p{p}_x{i}", 1) for p in (1, 2) for i in (1, 2)]]
    items += [("1/p39_x", 1)]
    where = {path: "validation" for path, _ in items[:40]}
    where |= {path: "test" for path, _ in items if "/p39_" in path}

    def all_folds() -> None:
        for fold in range(3):
            divided(items, where, fold=fold, folds=3)

    with pytest.raises(InputError, match=r"in the validation split.*; give fewer folds"):
        all_folds()


def test_given_test_images_stay() -> None:
    items = patients([4] * 50)
    where = {path: "test" for path, _ in items[:40]}
    parts = divided(items, where)
    assert parts["test"] == list(where)
    assert len(parts["validation"]) == 40
    assert not owners(parts["train"]) & owners(parts["validation"])


def test_a_part_that_is_to_have_nothing_gets_nothing() -> None:
    names = np.array([f"p{i // 3}" for i in range(90)])
    part = parts_of(names, np.zeros(90, dtype=int), [0.5, 0.5, 0.0], 0)
    assert np.bincount(part, minlength=3).tolist() == [45, 45, 0]


def test_what_is_found() -> None:
    paths = ["a/x_P1_s2.png", "b/x_P1_s3.png", "a/y_P1_s2.png", "a/other.png"]
    names, alone = named(r"P\d", paths, SPLIT)
    assert (len(set(names)), alone) == (2, 1)
    names, _ = named(r"([xy])_(P\d)", paths, SPLIT)
    assert names[0] == names[1] != names[2]
    for pattern, said in (
        ("(", r"dataset\.group_by=\(: not a regular expression: missing \)"),
        ("Q", r"is found in no image's path, such as a/x_P1_s2\.png; nothing stays together"),
        ("Q*", "is found in no"),
        (r"^.*$", r"is another in each, such as a/x_P1_s2\.png; nothing stays together"),
    ):
        with pytest.raises(InputError, match=said):
            named(pattern, paths, SPLIT)


def test_what_the_dataset_says() -> None:
    paths = ["a/1", "a/2", "b/1", "b/2"]
    names, alone = named(None, paths, groups=["x", "y", "x", ""])
    assert names[0] == names[2] != names[1]
    assert (len(set(names)), alone) == (3, 1)
    gaps = np.array(["x", "x", None, np.nan], dtype=object)
    assert named(None, paths, groups=gaps)[1] == 2
    for pattern, groups, said in (
        (None, ["", "", "", ""], "dataset made: its groups: there are none, such as a/1; nothing"),
        (None, ["w", "x", "y", "z"], "all differ, such as a/1; nothing stays together"),
        ("[ab]", ["x", "x", "y", "y"], r"dataset\.group_by=\[ab\]: the dataset says itself"),
    ):
        with pytest.raises(InputError, match=said):
            named(pattern, paths, groups=groups)


def test_too_few_groups() -> None:
    with pytest.raises(InputError, match=r"class '1' has no image in the .* one group"):
        divided([*patients([3] * 20, classes=1), ("1/p3_a", 1), ("1/p3_b", 1)])
    with pytest.raises(InputError, match=r"dataset\.group_by=.*: whole groups .* give fractions"):
        divided(patients([4] * 50), split={"train": 10, "validation": 5, "test": 5})


def test_what_a_person_is_told(shelf: Shelf, prepared: Prepared, tmp_path: Path) -> None:
    """Of the shelf's cat/0 … dog/7: the same numbers stay together; no 7 is found."""
    split = {"train": 0.5, "validation": 0.25, "test": 0.25}
    images = prepared(shelf().source(), tmp_path, split=split, group_by="[0-6]")
    sides = [{images.paths[i][-1] for i in index} for index in images.split.values()]
    assert not set.intersection(*sides[:2]) | set.intersection(*sides[1:])
    assert images.notes == (
        "9 groups of 1 to 2 images stay together; 2 images of no group are each one of their own",
    )
    source = shelf().source()
    given = np.array(["test" if path == "cat/3" else "" for path in source.paths])
    images = prepared(replace(source, given=given), tmp_path, split=split, group_by=r"\d")
    assert "the given splits part groups, 1 of them, '3' for one" in images.notes[1]


def test_a_split_of_unreadable_files_is_empty(
    shelf: Shelf, prepared: Prepared, tmp_path: Path
) -> None:
    books = shelf()
    contents = {f"{c}/1x": b"no image" for c in ("cat", "dog")}
    for path, content in contents.items():
        books.paths.append(path)
        books.contents.append(content)
    books.given = dict.fromkeys(contents, "test")
    split = {"train": 0.5, "validation": 0.25, "test": 0.25}
    with pytest.raises(InputError, match="the test split is empty: 2 are left out"):
        prepared(books.source(), tmp_path, split=split, group_by=r"\d")
