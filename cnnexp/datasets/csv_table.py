"""Your own images, their classes in a table: a folder or zip of images, a CSV with a row for each.

Kaggle's usual form: images/0001.jpg …, and train.csv with the columns id and label.
"""

import hashlib
import re
import unicodedata
from bisect import bisect
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnexp.datasets.archive import FileList, list_files, natural
from cnnexp.datasets.class_folders import IMAGES
from cnnexp.datasets.image_folder import SPELLINGS
from cnnexp.datasets.source import Source
from cnnexp.datasets.table_file import TABLES, Table, few, read_table
from cnnexp.errors import InputError, nearest

LAYOUT = "a folder or zip of images, with a table that names each image and its class"
LABELS = ("label", "class", "target", "category")
NEAR = 12  # names before and after, where one that is meant is looked for
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")


class Row(NamedTuple):
    """split, group: "" for none. number: in the table, from 1."""

    label: str
    split: str
    group: str
    number: int

    def said(self) -> str:
        return " ".join(filter(None, (self.label, self.split, self.group)))


Find = Callable[[str], list[int]]  # what a table calls a file -> the files that this may be


def csv_table(
    root: str | Path | None,
    table: str | Path | None = None,
    image: str | int | None = None,
    label: str | int | None = None,
    split_column: str | int | None = None,
    group_column: str | int | None = None,
) -> Source:
    """N images of `root`, a folder or zip, that the rows of a table name; K classes.

    table: a CSV or TSV, named from `root` or from the working folder; None: the only one in `root`.
    image: the column with the files' names: paths below `root`, or their ends where one file alone
        ends so; without extension, too. None: the column that names most files.
    label: the column with the classes; None: the only other one, or the one of `LABELS`.
    split_column: with train, validation or test, or nothing, as folders are spelt; None: no split.
    group_column: with what belongs together, a patient's number, say, or nothing.
    Raises InputError for rows that say no class, or no file that is there, or two classes of one.
    """
    if root is None:
        raise InputError(f"dataset.root is not set; give {LAYOUT}")
    if Path(root).suffix.casefold() in TABLES and Path(root).expanduser().is_file():
        raise InputError(
            f"dataset.root={root}: is the table; name the folder of the images, and the table with "
            f"dataset.table={root}"
        )
    files = list_files(root, LAYOUT)
    read = read_table(files, table)
    find = _finder(files)
    at = {"image": _image_column(read, image, find, files)}
    for key, column in (("split_column", split_column), ("group_column", group_column)):
        if column is not None:
            at[key] = _named(read, key, column)
    at["label"] = _label_column(read, label, list(at.values()))
    rows = _rows(read, at, find, files)
    classes = _classes(read, [row.label for row in rows.values()])
    number = {name: i for i, name in enumerate(classes)}
    index = sorted(rows)
    # Not of the table's bytes: a remark in it, or other rows first, make no other images.
    lines = (
        f"{files.names[i]}\0{files.stamps[i]}\0{rows[i].label}\0{rows[i].split}\n" for i in index
    )
    digest = hashlib.sha256("".join(lines).encode("utf-8", "backslashreplace")).hexdigest()
    others = [
        (name, "not in the table")
        for i, name in enumerate(files.names)
        if i not in rows and not name.casefold().endswith(TABLES)
    ]
    given = [rows[i].split for i in index]
    place = files.root.resolve()
    return Source(
        name=(place.name if place.is_dir() else place.stem) or "csv",
        classes=tuple(classes),
        paths=[files.names[i] for i in index],
        labels=np.array([number[rows[i].label] for i in index], dtype=np.int64),
        read=lambda i: files.read(index[i]),
        fingerprint=digest,
        given=np.array(given) if any(given) else None,
        groups=None if group_column is None else np.array([rows[i].group for i in index]),
        listed=tuple(sorted([*files.listed, *others])),
    )


def _finder(files: FileList) -> Find:
    """By the path below the root, or its end, each with or without the extension of an image."""
    known: dict[str, list[tuple[tuple[bool, bool], int]]] = {}
    for i, path in enumerate(files.names):
        name = _plain(path)
        for begin in (0, *(slash.end() for slash in re.finditer("/", name))):
            end = name[begin:]
            known.setdefault(end, []).append(((begin > 0, False), i))
            if end.casefold().endswith(IMAGES):
                known.setdefault(end.rpartition(".")[0], []).append(((begin > 0, True), i))

    def find(text: str) -> list[int]:
        found = known.get(_plain(text), [])
        best = min((rank for rank, _ in found), default=None)
        return [i for rank, i in found if rank == best]

    return find


def _plain(name: str) -> str:
    """Windows writes backslashes, and macOS an ä as two characters."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def _named(table: Table, key: str, column: str | int) -> int:
    column = str(column)
    if column not in table.columns:
        without = f" (dataset.{key}=null goes without)" if key.endswith("_column") else ""
        raise InputError(
            f"dataset.{key}={column}: {table.place} has no such column"
            f"{nearest(column, table.columns) or ';'} its columns: {few(table.columns)}{without}"
        )
    return table.columns.index(column)


def _image_column(table: Table, image: str | int | None, find: Find, files: FileList) -> int:
    if image is not None:
        return _named(table, "image", image)
    # Different files: the numbers 0 to 9 of a label may be names of files, too.
    counts = [
        len({row[c] for _, row in table.rows if name and find(row[c])})
        for c, name in enumerate(table.columns)
    ]
    best = [c for c, count in enumerate(counts) if count == max(counts)]
    if not any(counts):
        number, row = table.rows[0]
        example = f", such as {files.names[0]}" if files.names else ""
        raise table.wrong(
            f"no column names files in dataset.root={files.root}: row {number} has {few(row)}; "
            f"there are {len(files.names):,} files{example}"
        )
    if len(best) > 1:
        both = " and ".join(table.columns[c] for c in best)
        raise table.wrong(
            f"columns {both} name files; say which with dataset.image={table.columns[best[0]]}"
        )
    if find(table.columns[best[0]]):
        raise table.wrong(
            f"its first line names an image, {table.columns[best[0]]}; it is to name the columns, "
            "such as id,label"
        )
    return best[0]


def _label_column(table: Table, label: str | int | None, taken: list[int]) -> int:
    if label is not None:
        column = _named(table, "label", label)
        if column in taken:
            raise InputError(f"dataset.label={label}: has the images' names or their split already")
        return column
    others = [c for c, name in enumerate(table.columns) if name and c not in taken]
    usual = [c for c in others if table.columns[c].casefold() in LABELS]
    for found in (others, usual):
        if len(found) == 1:
            return found[0]
    if not others:
        raise table.wrong(f"has no column with classes beside {few(table.columns)}")
    ones = [c for c in others if all(re.fullmatch(r"[01](\.0*)?", row[c]) for _, row in table.rows)]
    each = (
        "; columns of 0 and 1 for each class are not read: write one column with the names of the "
        "classes"
    )
    raise table.wrong(
        "which column has the classes? Say so with dataset.label=<column>: "
        f"{few([table.columns[c] for c in others])}{each * (len(ones) > 1)}"
    )


def _rows(table: Table, at: dict[str, int], find: Find, files: FileList) -> dict[int, Row]:
    """By file."""
    found: dict[int, Row] = {}
    lost = [(number, row[at["image"]]) for number, row in table.rows if not find(row[at["image"]])]
    if lost:
        number, name = lost[0]
        more = f" ({len(lost):,} rows are so)" if len(lost) > 1 else ""
        raise table.wrong(
            f"row {number}, {table.columns[at['image']]}: {name or 'nothing'} is no file in "
            f"dataset.root={files.root}{more}{_like(name, files)}"
        )
    for number, row in table.rows:
        name, label = row[at["image"]], row[at["label"]]
        if not label:
            raise table.wrong(
                f"row {number}: {name} has no {table.columns[at['label']]}; write its class, or "
                "take the row out"
            )
        first, *others = find(name)
        if others:
            raise table.wrong(
                f"row {number}: {name} may be {files.names[first]} or {files.names[others[0]]}; "
                "write the path below dataset.root, or let that be the folder that is meant"
            )
        split = _split(table, number, row[at["split_column"]]) if "split_column" in at else ""
        group = row[at["group_column"]] if "group_column" in at else ""
        own = Row(label, split, group, number)
        before = found.setdefault(first, own)
        if before[:3] != own[:3]:
            raise table.wrong(
                f"row {number}: {files.names[first]} is {own.said()}, and in row {before.number} "
                f"{before.said()}; keep one of them"
            )
    return found


def _like(name: str, files: FileList) -> str:
    """The file that may be meant: of this name elsewhere or in capitals, or among its neighbours.

    Of a hundred thousand names most are a little like any other, and all take seconds to compare.
    """
    stem = Path(_plain(name)).stem.casefold()
    same = [one for one in files.names if Path(one).stem.casefold() == stem]
    at = bisect(files.names, name)
    near = nearest(name, files.names[max(0, at - NEAR) : at + NEAR])
    return f"; did you mean '{same[0]}'?" if stem and same else near


def _split(table: Table, number: int, text: str) -> str:
    split = next((s for s, words in SPELLINGS.items() if text.casefold() in words), "")
    if text and not split:
        raise table.wrong(
            f"row {number}: the split {text!r} is unknown; allowed: {', '.join(SPELLINGS)}, or "
            "nothing for an image that is to be split"
        )
    return split


def _classes(table: Table, labels: list[str]) -> list[str]:
    """In the order of numbers, where all are numbers: 2 before 10."""
    names = sorted(set(labels), key=natural)
    if all(NUMBER.fullmatch(name) for name in names):
        names.sort(key=float)
        for one, other in pairwise(names):
            if float(one) == float(other):
                raise table.wrong(
                    f"classes {one} and {other} are the same number; write it in one way"
                )
    if len(names) < 2:
        raise table.wrong(f"has one class ({names[0]}); two are needed")
    return names
