"""From a dataset's listing to images ready for training: checked, decoded once, split."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cnnexp.data.check_source import SOME, check_masks
from cnnexp.data.decode import Tried
from cnnexp.data.grouping import divide_groups, group_names, group_notes, images_together
from cnnexp.data.image_set import ImageSet, LeftOut
from cnnexp.data.resize import fit
from cnnexp.data.split import (
    Groups,
    Sizes,
    check_enough,
    divide,
    needed,
    pools_of,
    seeded_groups,
    untrained,
)
from cnnexp.data.store import More, open_or_build, store_key
from cnnexp.datasets.source import SPLITS, Source

# Of exact copies the one that is kept: a given test or validation set stays as it was given.
RANK = {"test": 0, "validation": 1, "train": 2}


def prepare(
    source: Source,
    *,
    image_size: int,
    resize: str = "crop",
    split: Sizes | None,
    split_seed: int = 0,
    per_class: int | None = None,
    fold: int | None = None,
    folds: int = 5,
    duplicates: str = "leave_out",
    group_by: str | None = None,
    cache: Path | str,
    spot_check: bool = False,
) -> ImageSet:
    """The images of `source`, (N, image_size, image_size, 3) uint8 in a store under `cache`.

    Where `split` counts images per class and there are more, only as many files are read as are
    needed, in the split's seeded order. None: nothing is trained; those that are given for testing
    test, else all. N may exceed what is split: copies that were left out, and
    images that the split did not ask for, stay in the store. group_by: a regular expression; images
    with the same match in their paths stay on one side of the split, as those of one of `source`'s
    own groups do. spot_check: some images are
    compared with what was stored: the code that makes or reads them may have been edited.
    """
    named_groups = None if split is None else group_names(group_by, source, split)
    labels = source.labels
    pools = pools_of(source.given, len(labels))
    groups = seeded_groups(source.paths, labels, pools, split_seed)
    need = None if split is None else needed(split, pools)
    if split is not None and need is not None:
        check_enough(groups, need, split, source.classes)
    if need is not None and all(len(group) <= need[pool] for (_, pool), group in groups.items()):
        need = None  # every image is wanted: the store is the same for every split
    subset = ""
    if need is not None:
        where = hashlib.sha256("\n".join(pools).encode()).hexdigest()
        subset = json.dumps([sorted(need.items()), split_seed, duplicates, where])
    folder = Path(cache).expanduser() / "images" / store_key(source, image_size, resize, subset)
    more = _more(source, groups, need, pools, duplicates)
    stored = open_or_build(folder, source, image_size, resize, more, spot_check=spot_check)
    tried = stored.tried

    copies = _copies(source, pools, tried)
    usable = np.zeros(len(labels), dtype=bool)
    usable[tried.good] = True
    if duplicates == "leave_out":
        usable[list(copies)] = False
    lost = dict(tried.refused)
    if duplicates == "leave_out":
        lost |= {i: _copy_of(source, i, j) for i, j in copies.items()}
    named = {i: f"{source.paths[i]}: {reason}" for i, reason in lost.items()}
    notes: list[str] = []
    if split is None:
        chosen = untrained(usable, pools)
    else:
        if named_groups is None:
            chosen = divide(groups, usable, source.classes, split, per_class, fold, folds, named)
        else:
            names, alone = named_groups
            chosen = divide_groups(
                names, labels, pools, groups, usable, source.classes, split, split_seed, per_class,
                fold, folds, named,
            )  # fmt: skip
            notes = group_notes(names, alone, chosen)
            fold = None  # no group is parted
        notes += _notes(source, pools, chosen, copies, duplicates, split, per_class, fold)
    row = np.full(len(labels), -1, dtype=np.int64)  # index in the source -> row of the store
    row[tried.good] = np.arange(len(tried.good))
    parts = {name: np.sort(row[chosen[name]]) for name in SPLITS}

    rest = np.setdiff1d(np.arange(len(tried.good)), parts["test"])
    left_out = [LeftOut(path, reason) for path, reason in source.listed]
    left_out += [LeftOut(source.paths[i], reason) for i, reason in lost.items()]
    index = np.array(tried.good, dtype=np.int64)
    return ImageSet(
        name=source.name,
        classes=tuple(source.classes),
        images=stored.images,
        labels=labels[index],
        paths=tuple(source.paths[i] for i in tried.good),
        sha256=tuple(tried.sha256),
        split=parts,
        left_out=tuple(sorted(left_out, key=lambda item: item.path)),
        notes=tuple(notes),
        digest=_digest(source.classes, labels[index], tried.sha256, parts),
        content=_digest(
            source.classes, labels[index], tried.sha256, {"test": parts["test"], "": rest}
        ),
        listing=source.listing(),
        masks=_masks(source, index, image_size, resize),
        groups=_groups(group_by, source, index),
    )


def _more(
    source: Source, groups: Groups, need: dict[str, int] | None, pools: np.ndarray, duplicates: str
) -> More:
    """All images at once, or per class as many as are still missing, in the seeded order."""

    def everything(tried: Tried) -> Sequence[int]:
        if tried.good or tried.refused:
            return ()
        return sorted(range(len(source.paths)), key=source.paths.__getitem__)

    def missing(tried: Tried) -> Sequence[int]:
        assert need is not None
        usable = set(tried.good)
        if duplicates == "leave_out":
            usable -= set(_copies(source, pools, tried))
        seen = set(tried.good) | {i for i, _ in tried.refused}
        wanted: list[int] = []
        for (_, pool), group in groups.items():
            order = group.tolist()
            short = need[pool] - sum(i in usable for i in order)
            wanted += [i for i in order if i not in seen][: max(0, short)]
        return sorted(wanted, key=source.paths.__getitem__)

    return everything if need is None else missing


def _copies(source: Source, pools: np.ndarray, tried: Tried) -> dict[int, int]:
    """Index of each exact copy -> index of the one that is kept: a given test image first.

    Copies in two classes of one split have a label that nobody knows: none is kept, and each leads
    to one in another class.
    """
    alike: dict[str, list[int]] = {}
    order = sorted(
        zip(tried.good, tried.sha256, strict=True),
        key=lambda item: (RANK[str(pools[item[0]])], source.paths[item[0]]),
    )
    for i, digest in order:
        alike.setdefault(digest, []).append(i)
    copies: dict[int, int] = {}
    for first, *rest in alike.values():
        copies |= dict.fromkeys(rest, first)
        others = [i for i in rest if source.labels[i] != source.labels[first]]
        if any(pools[i] == pools[first] for i in others):
            copies |= {i: others[0] for i in (first, *rest) if i not in others}
    return copies


def _copy_of(source: Source, copy: int, kept: int) -> str:
    reason = f"exact duplicate of {source.paths[kept]}"
    if source.labels[copy] != source.labels[kept]:
        reason += f", which is in another class: {source.classes[source.labels[kept]]}"
    return reason


def _notes(
    source: Source,
    pools: np.ndarray,
    chosen: dict[str, np.ndarray],
    copies: dict[int, int],
    duplicates: str,
    split: Sizes,
    per_class: int | None,
    fold: int | None,
) -> list[str]:
    notes = []
    given = set() if source.given is None else set(np.unique(source.given)) - {""}
    taken = [name for name in SPLITS[1:] if name not in given]
    if given and taken:
        notes.append(
            f"no {' and no '.join(taken)} split is given: taken out of the training images"
        )
    if fold is not None and "validation" in given:
        notes.append(
            "folds are cut from the images given for training and for validation alike: where "
            "that split keeps images together, of one patient or film, they are parted"
        )
    if duplicates == "keep":
        where = {int(i): name for name in SPLITS for i in chosen[name]}
        both = [(i, j) for i, j in copies.items() if i in where and j in where]
        across = sum(where[i] != where[j] for i, j in both)
        if both:
            notes.append(
                f"{len(both)} exact copies of other images are kept, {across} of them in another "
                "split than their original; dataset.duplicates=leave_out leaves them out"
            )
    if inner := _folders_in_all(source):
        notes.append(
            f"each class folder holds the folders {', '.join(inner[:5])}: if these are the "
            "classes, dataset.root is one folder too high"
        )
    counts = np.bincount(source.labels[chosen["train"]], minlength=len(source.classes))
    asked = split["train"] if per_class is None and fold is None else per_class
    for label, name in enumerate(source.classes):
        if isinstance(asked, int) and counts[label] < asked:
            notes.append(
                f"class {name!r} trains on {counts[label]:,} images instead of {asked:,}: "
                "the others were left out"
            )
    for name in SPLITS[1:]:
        lacks = set(range(len(source.classes))) - set(source.labels[chosen[name]].tolist())
        if some := ", ".join(repr(source.classes[label]) for label in sorted(lacks)[:5]):
            more = ", …" * (len(lacks) > 5)
            notes.append(f"no {name} image of {some}{more}: its figures say nothing of these")
    if counts[most := int(counts.argmax())] >= 3 * counts[least := int(counts.argmin())]:
        notes.append(
            f"unbalanced: {counts[most]} training images of {source.classes[most]!r}, "
            f"{counts[least]} of {source.classes[least]!r}; "
            "training.class_weights=balanced weighs them equally"
        )
    return notes


def _folders_in_all(source: Source) -> list[str]:
    """Names of two folders or more that the images of each class lie in, directly below it."""
    below: list[set[str]] = [set() for _ in source.classes]
    for path, label in zip(source.paths, source.labels, strict=True):
        inner, found, _ = f"/{path}".partition(f"/{source.classes[label]}/")[2].partition("/")
        if not found:  # it lies in its class's folder, or in none
            return []
        below[label].add(inner)
    same = all(names == below[0] for names in below)
    return sorted(below[0]) if same and len(below[0]) > 1 else []


def _digest(
    classes: Sequence[str], labels: np.ndarray, sha256: Sequence[str], parts: dict[str, np.ndarray]
) -> str:
    """Of the files' contents, labels and splits; not of their paths, order and size in pixels."""
    lines = [
        f"{name} {classes[labels[i]]} {sha256[i]}" for name, some in parts.items() for i in some
    ]
    return hashlib.sha256("\n".join([*classes, *sorted(lines)]).encode()).hexdigest()


def _groups(group_by: str | None, source: Source, index: np.ndarray) -> np.ndarray | None:
    """Of images of no group the path, as a group of their own."""
    names = images_together(group_by, source)
    return None if names is None else np.array([names[i] or source.paths[i] for i in index])


def _masks(source: Source, index: np.ndarray, image_size: int, resize: str) -> np.ndarray | None:
    if source.masks is None:
        return None
    given = source.masks[index] != 0
    if given.shape[1:] == (image_size, image_size):
        return given
    check_masks(source, index[:SOME].tolist())
    masks = (Image.fromarray(mask.astype(np.uint8) * 255) for mask in given)
    return np.stack([fit(mask, image_size, resize, smooth=False) > 127 for mask in masks])
