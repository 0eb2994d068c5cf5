"""Who trains, who chooses, who tests: a seeded, stratified split that does not depend on the disk.

Given splits are respected by one rule: images given as validation or test stay what they are, all
others form the pool, and whatever is not given is taken out of the pool (test first, then
validation, then train, so that asking for fewer training images leaves the test set as it was).
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cnnexp.data.image_set import ImageSet
from cnnexp.datasets.source import SPLITS
from cnnexp.errors import InputError
from cnnexp.files import whole_file

Sizes = Mapping[str, int | float]
Names = Sequence[str]
Groups = dict[tuple[int, str], np.ndarray]  # (label, pool) -> indices in seeded order

LEAST = 0.9  # of the training images asked for, where files had to be left out


def pools_of(given: np.ndarray | None, count: int) -> np.ndarray:
    """(N,) of "train" (the pool), "validation", "test": where each image may go."""
    if given is None:
        return np.full(count, "train", dtype="<U10")
    return np.where(np.isin(given, SPLITS[1:]), given, "train").astype("<U10")


def seeded_groups(
    paths: Sequence[str], labels: np.ndarray, pools: np.ndarray, split_seed: int
) -> Groups:
    """Each class and pool in its own order, a function of the paths and the seed alone."""
    by_path = np.array(sorted(range(len(paths)), key=paths.__getitem__), dtype=np.int64)
    order = by_path[np.random.default_rng(split_seed).permutation(len(paths))]
    kinds, pool_of = np.unique(pools, return_inverse=True)
    known, label_of = np.unique(labels, return_inverse=True)
    codes = (pool_of * len(known) + label_of)[order]
    members = order[np.argsort(codes, kind="stable")]
    ends = np.cumsum(np.bincount(codes, minlength=len(kinds) * len(known)))
    keys = [(int(label), str(pool)) for pool in kinds for label in known]
    return dict(zip(keys, np.split(members, ends[:-1]), strict=True))


def needed(split: Sizes, pools: np.ndarray) -> dict[str, int] | None:
    """pool -> images per class that the split takes out of it; None: all (fractions)."""
    if not _counts(split):
        return None
    present = set(np.unique(pools).tolist()) | {"train"}
    need = {pool: 0 for pool in SPLITS if pool in present}
    for name in SPLITS:
        need[name if name in present else "train"] += int(split[name])
    return need


def check_enough(groups: Groups, need: Mapping[str, int], split: Sizes, classes: Names) -> None:
    """InputError naming the first class with fewer files than `split` asks for."""
    for pool, count in need.items():
        for label, name in enumerate(classes):
            have = len(groups.get((label, pool), ()))
            if have < count:
                taken = [s for s in SPLITS if s == pool or (pool == "train" and s not in need)]
                asked = " + ".join(f"{s} {split[s]}" for s in taken)
                raise InputError(
                    f"class {name!r} has {have:,} images, dataset.split asks for {count:,} "
                    f"({asked}); ask for fewer, or give fractions such as 0.6, 0.2, 0.2"
                )


def divide(
    groups: Groups,
    usable: np.ndarray,
    classes: Names,
    split: Sizes,
    per_class: int | None = None,
    fold: int | None = None,
    folds: int = 5,
    lost: Mapping[int, str] | None = None,
) -> dict[str, np.ndarray]:
    """split's name -> sorted indices. `usable`: (N,) bool, the good images. lost: of the others,
    each with its path and the reason, one is named where a class has too few.

    fold: from 0, of `folds` (stratified cross-validation): training and validation images together
    are cut into so many parts of equal size, class by class; this one validates, the others train.
    The test images are the same whatever the fold.

    Where images per class are asked for and files had to be left out, training gets what is there,
    as long as that is at least `LEAST` of what it was to get; validation and test never get fewer.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    pools = {pool for _, pool in groups}
    for label, name in enumerate(classes):
        own = {pool: groups[label, pool] for pool in SPLITS if (label, pool) in groups}
        left = {pool: group[usable[group]] for pool, group in own.items()}
        have = {pool: len(group) for pool, group in left.items()}
        gone = [i for some in own.values() for i in some[~usable[some]]]
        example = next((lost[i] for i in gone if i in lost), "") if lost else ""
        sizes = _sizes(split, have, pools, name, len(gone), example)
        for target in reversed(SPLITS):
            pool = target if target in pools else "train"
            parts[target].append(left[pool][: sizes[target]])
            left[pool] = left[pool][sizes[target] :]
        if fold is not None:
            both = np.concatenate([parts["validation"][-1], parts["train"][-1]])
            if len(both) < folds:
                raise InputError(
                    f"dataset.folds={folds}: class {name!r} has {len(both)} images beside those "
                    "for testing; give fewer folds"
                )
            # The larger parts lie elsewhere for each class, so that folds are of one size.
            cut = np.array_split(both, folds)
            place = (fold + label) % folds
            parts["validation"][-1] = cut.pop(place)
            parts["train"][-1] = np.concatenate(cut)
        if per_class is not None:
            check_per_class(per_class, len(parts["train"][-1]), name, split)
            parts["train"][-1] = parts["train"][-1][:per_class]
    result = {name: np.sort(np.concatenate(parts[name])) for name in SPLITS}
    refuse_empty(result, groups, lost)
    return result


def refuse_empty(
    parts: Mapping[str, np.ndarray], groups: Groups, lost: Mapping[int, str] | None
) -> None:
    """InputError where a split has no image; lost: as for `divide`."""
    for target, index in parts.items():
        if len(index) == 0:
            given = [i for (_, pool), some in groups.items() if pool == target for i in some]
            why = [lost[i] for i in given if i in lost] if lost else []
            because = f": {len(why):,} are left out, {why[0]}" if why else ""
            raise InputError(
                f"the {target} split is empty{because}; give it images, or change dataset.split"
            )


def untrained(usable: np.ndarray, pools: np.ndarray) -> dict[str, np.ndarray]:
    """As `divide`, where nothing is trained: those given for testing test, or all."""
    given = pools == "test"
    nothing = np.zeros(0, dtype=np.int64)
    test = np.flatnonzero(usable & given) if given.any() else np.flatnonzero(usable)
    return {"train": nothing, "validation": nothing, "test": test}


def write_splits(path: Path | str, images: ImageSet) -> None:
    """splits.csv: path, sha256, class, split, and group where some belong together; sorted by split
    and path.
    """
    with whole_file(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        groups = images.groups
        together = () if groups is None else ("group",)
        rows.writerow(("path", "sha256", "class", "split", *together))
        for name in SPLITS:
            for i in sorted(images.split[name].tolist(), key=images.paths.__getitem__):
                label = images.classes[images.labels[i]]
                own = () if groups is None else (groups[i],)
                rows.writerow((images.paths[i], images.sha256[i], label, name, *own))


def _counts(split: Sizes) -> bool:
    return isinstance(split["train"], int)


def _sizes(
    split: Sizes,
    have: Mapping[str, int],
    pools: set[str],
    name: str,
    gone: int = 0,
    example: str = "",
) -> dict[str, int]:
    """split's name -> images of one class; `have`: pool -> its usable images of this class.

    gone: images of the class that are not usable; example: why one of them is not.
    """
    if _counts(split):
        return _whole_sizes(split, have, pools, name)
    given = {target for target in SPLITS[1:] if target in pools}
    sizes = {target: have.get(target, 0) for target in given}
    count, share = have.get("train", 0), 1 - sum(split[target] for target in given)
    # A small class keeps one image on each side; what is given counts as its fraction of the whole.
    for target in SPLITS[1:]:
        if target not in given:
            sizes[target] = max(1, round(count * split[target] / share))
    taken = sum(sizes[target] for target in SPLITS[1:] if target not in given)
    whole = sum(split[target] for target in SPLITS) > 1 - 1e-9
    sizes["train"] = (
        count - taken if whole else min(count - taken, round(count * split["train"] / share))
    )
    if sizes["train"] < 1:
        names = ["train", *(t for t in SPLITS[1:] if t not in given)]
        parts = " and ".join(names)
        images = "image" if count == 1 else "images"
        if gone:
            images += f" ({gone:,} others are copies or were left out: {example})"
        elif not sum(have.values()):
            images += " (no label names it)"
        elif not count:
            given_as = " and ".join(sorted(pool for pool in have if have[pool]))
            images += f" ({sum(have.values()):,} are given as {given_as})"
        raise InputError(
            f"class {name!r} has {count} usable {images}, too few for {parts}, which need "
            f"{len(names)} (dataset.split={_show(split)}); add images or remove the class"
        )
    return sizes


def _whole_sizes(
    split: Sizes, have: Mapping[str, int], pools: set[str], name: str
) -> dict[str, int]:
    sizes = {target: int(split[target]) for target in SPLITS}
    for target in SPLITS[1:]:
        if target in pools and have.get(target, 0) < sizes[target]:
            raise InputError(
                f"class {name!r} has {have.get(target, 0):,} usable images in the given {target} "
                f"split, dataset.split.{target}={sizes[target]}; ask for fewer, or give fractions"
            )
    rest = have.get("train", 0) - sum(sizes[t] for t in SPLITS[1:] if t not in pools)
    if rest < LEAST * sizes["train"]:
        raise InputError(
            f"class {name!r} has {have.get('train', 0):,} usable images (others were left out), "
            f"which leaves {max(0, rest):,} of {sizes['train']:,} for training; "
            "make dataset.split smaller"
        )
    return sizes | {"train": min(rest, sizes["train"])}


def check_per_class(per_class: int, have: int, name: str, split: Sizes) -> None:
    if per_class > have:
        raise InputError(
            f"dataset.per_class={per_class}, but class {name!r} has {have} training images "
            f"(dataset.split={_show(split)}); "
            f"give at most {have}, or null for all"
        )


def _show(split: Sizes) -> str:
    return "{" + ", ".join(f"{name}: {split[name]}" for name in split) + "}"
