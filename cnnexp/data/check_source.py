"""Whether what a dataset says of its images can be, and whether they are what was stored."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from cnnexp.data import gate
from cnnexp.data.decode import UNREADABLE, Tried, check_content, sha256_of
from cnnexp.datasets.source import SPLITS, Source
from cnnexp.errors import InputError

SOME = 10  # images that are read once more


def check_source(source: Source) -> None:
    """Raises InputError for what a dataset says that cannot be."""
    if not isinstance(source.name, str) or not source.name:
        raise InputError(f"dataset: its Source has the name {source.name!r}; give it a text")
    for what, kinds, wanted in (
        ("classes", (tuple, list), "names: tuple(map(str, …))"),
        ("paths", (tuple, list, np.ndarray), "texts"),
        ("listed", (tuple, list), "pairs (path, reason)"),
    ):
        values = getattr(source, what)
        if not isinstance(values, kinds) or getattr(values, "ndim", 1) != 1:
            is_now = f"the text {values!r}" if isinstance(values, str) else _what(values)
            raise InputError(
                f"dataset {source.name}: its {what} are {is_now}; give a tuple of {wanted}"
            )
    n, k = len(source.paths), len(source.classes)
    for pair in source.listed:
        texts = isinstance(pair, tuple | list) and all(isinstance(text, str) for text in pair)
        if not texts or len(pair) != 2:
            raise InputError(
                f"dataset {source.name}: its listed has {pair!r}; give a pair of texts, "
                "(path, reason)"
            )
    for name in source.classes:
        if not isinstance(name, str) or list(source.classes).count(name) > 1:
            raise InputError(
                f"dataset {source.name}: its class {name!r} "
                + ("is there twice" if isinstance(name, str) else "is no text; give str(name)")
            )
    if k < 2:
        raise InputError(
            f"{source.name} has one class ({', '.join(source.classes)}); two are needed"
        )
    if n == 0:
        raise InputError(f"dataset {source.name} has no images: its paths are empty")
    for path in source.paths:
        if not isinstance(path, str):
            raise InputError(
                f"dataset {source.name}: its path {path!r} is a {type(path).__name__}; give "
                "str(path)"
            )
    labels = source.labels
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(
            f"dataset {source.name}: its labels are "
            f"{_what(source.labels)}; give an array (N,) of whole numbers, int64, which count the "
            "classes from 0"
        )
    if len(source.labels) != n:
        raise InputError(
            f"dataset {source.name} is inconsistent: {n} paths and {len(source.labels)} labels"
        )
    if len(set(source.paths)) != n:
        path, count = Counter(source.paths).most_common(1)[0]
        raise InputError(
            f"dataset {source.name}: its path {path!r} is there {count} times; each image has its "
            "own"
        )
    if source.labels.min() < 0 or source.labels.max() >= k:
        wrong = int(np.flatnonzero((source.labels < 0) | (source.labels >= k))[0])
        raise InputError(
            f"dataset {source.name} has labels outside 0..{k - 1}: image {source.paths[wrong]!r} "
            f"has {source.labels[wrong]}; a label is an index into classes, from 0"
        )
    for what in ("given", "groups", "masks"):
        values = getattr(source, what)
        if values is not None and len(values) != n:
            raise InputError(
                f"dataset {source.name}: its {what} has {len(values)} entries, for {n} images"
            )
    if source.groups is not None:
        for path, group in zip(source.paths, source.groups, strict=True):
            if group is not None and not np.isscalar(group):
                raise InputError(
                    f"dataset {source.name}: the group of {path!r} is {_what(group)}; give a "
                    "text, a number, or None for none"
                )
    masks = source.masks
    if masks is not None and (
        not isinstance(masks, np.ndarray)
        or masks.ndim != 3
        or masks.dtype.kind not in "biu"
        or 0 in masks.shape
    ):
        raise InputError(
            f"dataset {source.name}: its masks are {_what(masks)}; give an array ({n}, H, W) of "
            "bool, true on the object, of the images' height and width, or smaller alike"
        )
    if not isinstance(source.fingerprint, str) or not source.fingerprint:
        raise InputError(
            f"dataset {source.name}: its fingerprint is {source.fingerprint!r}; give a text that "
            "changes when any image would: by it stored images are found again"
        )
    if not callable(source.read):
        raise InputError(
            f"dataset {source.name}: its read is a {type(source.read).__name__}; give a function: "
            "number of an image -> its bytes or array, such as images.__getitem__"
        )
    other = [] if source.given is None else sorted(set(source.given) - {*SPLITS, ""}, key=str)
    if other:
        raise InputError(
            f"dataset {source.name}: its split {str(other[0])!r} is unknown; allowed: "
            f"{', '.join(SPLITS)}, or '' for an image that is to be split"
        )


def check_masks(source: Source, index: Sequence[int]) -> None:
    """Raises InputError where masks have not the proportions of their images, but for rounding to
    whole pixels. index: of some images that can be read.
    """
    assert source.masks is not None
    height, width = source.masks.shape[1:]
    for i in index:
        image = gate.read(source.read(i))
        if isinstance(image, str):
            continue
        # Both sides may have been rounded up or down: is there a scale that explains them?
        smallest = max((height - 1) / image.height, (width - 1) / image.width)
        if smallest >= min((height + 1) / image.height, (width + 1) / image.width):
            raise InputError(
                f"dataset {source.name}: its masks are {height} x {width} pixels and "
                f"{source.paths[i]} has {image.height} x {image.width} (height x width); give "
                "masks of the images' size, or smaller alike"
            )


def check_same(source: Source, tried: Tried) -> None:
    """Raises InputError where one of some images is not the one that was stored: the code that
    makes the images was edited, and the fingerprint does not know.
    """
    if other := other_now(source, tried.good, tried.sha256):
        raise InputError(
            f"dataset {source.name}: {other} is another image than the one that was stored under "
            "its fingerprint; give a fingerprint that changes with what makes the images: a higher "
            "version in it, or the code's own text"
        )


def check_repeats(source: Source, tried: Tried) -> None:
    """Raises InputError where one of some images, just read by several threads, is another when it
    is read again by one.
    """
    if other := other_now(source, tried.good, tried.sha256):
        raise InputError(
            f"dataset {source.name}: its read gives another image for {other} when it is called "
            "again; it is called by several threads at once: let each call open what it reads, or "
            "hold a lock, and draw nothing by chance"
        )


def other_now(source: Source, index: Sequence[int], sha256: Sequence[str]) -> str:
    """The path of an image whose content is not this any more, of the first, the last and `SOME`
    between; "" where all are. index: of the images in the source.
    """
    some = np.random.default_rng(0).choice(len(index), min(SOME, len(index)), replace=False)
    for row in dict.fromkeys([0, len(index) - 1, *some.tolist()]):
        now = ""
        with suppress(*UNREADABLE):  # one that cannot be read at this moment
            content = source.read(index[row])
            check_content(source, index[row], content)
            now = sha256_of(content)
        if now and now != sha256[row]:
            return source.paths[index[row]]
    return ""


def _what(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"an array {values.shape} of {values.dtype}"
    return f"a {type(values).__name__}"
