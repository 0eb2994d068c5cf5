"""Images that belong together, of one patient or scene, say, on the same side of the split.

Else a network is tested on patients that it knows: leakage, the most frequent reason for results
that nobody can repeat (Kapoor and Narayanan 2023, "Leakage and the reproducibility crisis in
machine-learning-based science", L3.2).
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from cnnexp.data.split import Groups, Sizes, check_per_class, refuse_empty
from cnnexp.datasets.source import SPLITS, Source
from cnnexp.errors import InputError

KEY = "dataset.group_by"


def images_together(pattern: str | None, source: Source) -> list[str] | None:
    """Of each image its group's name, "" for none; None where nothing is known to belong together.
    pattern: as for `group_names`. Raises InputError where it is no regular expression.
    """
    if pattern is not None:
        return found_in(pattern, source.paths)
    if source.groups is None:
        return None
    # None and NaN, as a table with gaps has them, are no group.
    return ["" if name is None or name != name else str(name) for name in source.groups]


def group_names(pattern: str | None, source: Source, split: Sizes) -> tuple[np.ndarray, int] | None:
    """(N,) of each image's group, of an image of no group its path; and how many of those are.
    None: nothing belongs together.

    pattern: a regular expression; a group is what it finds in a path, or what its parentheses hold.
    None: the groups that the dataset brings. Raises InputError where both are there, where no two
    images stay together, or where `split` counts images.
    """
    own = images_together(pattern, source)
    if own is None:
        return None
    if pattern is None:
        key, missing, each = f"dataset {source.name}: its groups", "there are none", "all differ"
    else:
        key, missing, each = f"{KEY}={pattern}", "is found in no image's path", "is another in each"
        if source.groups is not None:
            raise InputError(f"{key}: the dataset says itself what belongs together; leave it out")
    if isinstance(split["train"], int):
        raise InputError(
            f"{key}: whole groups cannot make up so many images of each class; give fractions, "
            "'dataset.split={train: 0.7, validation: 0.15, test: 0.15}'"
        )
    names = [name or path for name, path in zip(own, source.paths, strict=True)]
    alone = own.count("")
    if len(set(names)) == len(names):
        without = "" if pattern is None else f" ({KEY}=null goes without)"
        raise InputError(
            f"{key}: {missing if alone == len(names) else each}, such as {source.paths[0]}; "
            f"nothing stays together{without}"
        )
    return np.array(names), alone


def found_in(pattern: str, paths: Sequence[str]) -> list[str]:
    """What the regular expression finds in each path, or its parentheses hold; "" for nothing."""
    try:
        found = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise InputError(f"{KEY}={pattern}: not a regular expression: {error}") from None
    return [
        "" if match is None else " ".join(filter(None, match.groups())) or match[0]
        for match in found
    ]


def divide_groups(
    names: np.ndarray,
    labels: np.ndarray,
    pools: np.ndarray,
    seeded: Groups,
    usable: np.ndarray,
    classes: Sequence[str],
    split: Sizes,
    split_seed: int,
    per_class: int | None = None,
    fold: int | None = None,
    folds: int = 5,
    lost: Mapping[int, str] | None = None,
) -> dict[str, np.ndarray]:
    """As `split.divide`, by whole groups, names: (N,), which may have images of several classes;
    so that each split's share of each class is near what was asked for. split: fractions. The test
    images are the same whatever the fold. Given splits stay, also where they part a group.
    """
    chosen = {name: np.flatnonzero(usable & (pools == name)) for name in SPLITS}
    given = [name for name in SPLITS[1:] if (pools == name).any()]
    left = 1 - sum(split[name] for name in given)
    pool = chosen["train"]

    def spread(members: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
        part = parts_of(names[members], labels[members], shares, split_seed)
        return [members[part == number] for number in range(len(shares))]

    # The test images first: fewer that train, or folds, leave them as they are.
    for name in reversed(SPLITS):
        if name in given or (fold is not None and name != "test"):
            continue
        share = min(1.0, split[name] / left)
        chosen[name], pool = spread(pool, [share, 1 - share])
        left -= split[name]
    if fold is not None:
        asked = split["train"] + (0 if "validation" in given else split["validation"])
        share = min(1.0, asked / left)
        pool, _ = spread(pool, [share, 1 - share])
        cut = spread(np.union1d(pool, chosen["validation"]), [1 / folds] * folds)
        chosen["validation"] = cut.pop(fold)
        chosen["train"] = np.concatenate(cut)
        given = [name for name in given if name == "test"]
    refuse_empty(chosen, seeded, lost)
    if per_class is not None:
        kept = []
        for label, name in enumerate(classes):
            order = np.concatenate([some for (at, _), some in seeded.items() if at == label])
            own = order[np.isin(order, chosen["train"])]
            check_per_class(per_class, len(own), name, split)
            kept.append(own[:per_class])
        chosen["train"] = np.concatenate(kept)
    there = {target: set(labels[chosen[target]].tolist()) for target in SPLITS}
    for label, name in enumerate(classes):
        for target in SPLITS:
            if target not in given and label not in there[target]:
                several = len(set(names[usable & (labels == label)].tolist()))
                fewer = "" if fold is None else "give fewer folds, "
                raise InputError(
                    f"class {name!r} has no image in the {target} split: its images are of "
                    + (
                        "one group, which cannot be parted"
                        if several == 1
                        else f"{several} groups; {fewer}add images, make that split larger "
                        "or try another dataset.split_seed"
                    )
                )
    return {name: np.sort(chosen[name]) for name in SPLITS}


def parts_of(
    names: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """(N,): which part each image goes to with its group. shares: of each class, that each part is
    to have; they sum to 1.

    Large groups first, in a seeded order in which a group may come before one of up to twice its
    size: each goes where it adds the least to the squared distance between the shares that parts
    have of each class and those that they are to have, relative to these. Where a part then lacks a
    class of which another has two groups, it gets the smallest.
    """
    groups, group = np.unique(names, return_inverse=True)  # in an order that no disk gives
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(groups), len(classes)))
    np.add.at(counts, (group, label), 1)
    sizes = counts.sum(axis=1)
    order = np.argsort(-sizes * np.random.default_rng(seed).uniform(0.5, 1, len(groups)))
    shared = counts / counts.sum(axis=0)
    goal = np.array(shares)[:, None]
    lacking = np.repeat(goal, len(classes), axis=1)  # (P, K)
    part = np.zeros(len(groups), dtype=np.int64)
    weight = 1 / np.maximum(goal, 1e-9)  # a part that is to have nothing gets nothing
    for number in order:
        own = shared[number]
        part[number] = int(((own**2 - 2 * own * lacking) * weight).sum(axis=1).argmin())
        lacking[part[number]] -= own
    there = np.zeros(lacking.shape, dtype=np.int64)  # groups that have images of the class
    np.add.at(there, part, counts > 0)
    for empty, k in np.argwhere((there == 0) & (goal > 1e-9)):
        can = [
            number
            for number in np.flatnonzero(counts[:, k])
            if (there[part[number], counts[number] > 0] > 1).all()
        ]
        if can and not there[empty, k]:
            moved = min(can, key=lambda number: (sizes[number], number))
            there[part[moved]] -= counts[moved] > 0
            there[empty] += counts[moved] > 0
            part[moved] = empty
    return part[group]


def group_notes(names: np.ndarray, alone: int, chosen: Mapping[str, np.ndarray]) -> list[str]:
    """How large the groups are, and whether given splits part some."""
    members = np.concatenate([chosen[name] for name in SPLITS])
    _, counts = np.unique(names[members], return_counts=True)
    least, most = int(counts.min()), int(counts.max())
    sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    images = "image" if most == 1 else "images"
    line = f"{len(counts):,} groups of {sizes} {images} stay together"
    if alone:
        line += f"; {alone:,} images of no group are each one of their own"
    notes = [line]
    where = [set(names[chosen[name]].tolist()) for name in SPLITS]
    parted = (where[0] & where[1]) | (where[0] & where[2]) | (where[1] & where[2])
    if parted:
        notes.append(
            f"the given splits part groups, {len(parted):,} of them, {min(parted)!r} for one: what "
            "is tested on is known from training"
        )
    return notes
