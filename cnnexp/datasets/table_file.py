"""A table in a text file: columns with names, and rows, in commas, semicolons or tabs."""

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnexp.datasets.archive import FileList
from cnnexp.errors import InputError, nearest

TABLES = (".csv", ".tsv")
SIGNS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
SHOWN = 12  # names in an error


@dataclass(frozen=True)
class Table:
    """place: for people. columns: their names. rows: (its number in the file, from 1; fields)."""

    place: str
    columns: list[str]
    rows: list[tuple[int, list[str]]]

    def wrong(self, what: str) -> InputError:
        return InputError(f"dataset.table={self.place}: {what}")


def few(names: Sequence[str]) -> str:
    """`id, label`, abbreviated where there are many."""
    return ", ".join(names[:SHOWN]) + (f", … ({len(names):,} in all)" if len(names) > SHOWN else "")


def read_table(files: FileList, table: str | Path | None) -> Table:
    """table: as `csv_table` takes it. Raises InputError where there is none, or no such table."""
    if table is None:
        found = [name for name in files.names if name.casefold().endswith(TABLES)]
        least = min((name.count("/") for name in found), default=0)
        found = [name for name in found if name.count("/") == least]
        if not found:
            raise InputError(
                f"dataset.root={files.root} holds no table ({', '.join(TABLES)}); name it with "
                "dataset.table=<file>, or, with a folder for each class, use dataset=image_folder"
            )
        if len(found) > 1:
            raise InputError(
                f"dataset.root={files.root} holds {len(found)} tables: {few(found)}; name the one "
                "with the classes with dataset.table=<file>"
            )
        table = found[0]
    path = table_path(files.root, files.names, table)
    if path is None:
        name = Path(table).as_posix()
        return _parsed(str(files.root / name), files.read(files.names.index(name)))
    if path.is_file():
        try:
            return _parsed(str(path), path.read_bytes())
        except OSError as error:
            raise InputError(f"dataset.table={path}: cannot be read: {error.strerror}") from None
    if path.is_dir() or (files.root / path).is_dir():
        raise InputError(f"dataset.table={table}: is a folder; name the file in it")
    beside = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
    near = nearest(path.name, [*beside, *(n for n in files.names if n.casefold().endswith(TABLES))])
    raise InputError(
        f"dataset.table={table}: no such file, neither in dataset.root={files.root} nor in the "
        f"working folder{near}"
    )


def table_path(root: Path, names: Collection[str], table: str | Path) -> Path | None:
    """Where a table is: named from the images first, so that a run's own is found wherever a later
    command is typed. None: in the archive `root`, whose files these names are.
    """
    if root.is_file() and Path(table).as_posix() in names:
        return None
    outside = Path(table).expanduser()
    within = root / outside
    return within if within.is_file() else outside


def _parsed(place: str, content: bytes) -> Table:
    """Commas, semicolons or tabs, whichever parts the first line into the most columns."""
    wrong = Table(place, [], []).wrong
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise wrong(
            f"line {line} is no text in UTF-8; save the table as CSV in UTF-8 (in Excel: CSV UTF-8)"
        ) from None
    rows: list[tuple[int, list[str]]] = []
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    by = max(",;\t", key=lambda sign: _fields(header, sign))
    # strict: else a quote that is not closed takes the rest of the table into one field.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=by, skipinitialspace=by != "\t", strict=True
    )
    try:
        for number, fields in enumerate(reader, start=1):
            if any(field.strip() for field in fields):
                rows.append((number, [field.strip() for field in fields]))
    except csv.Error as error:
        raise wrong(
            f"line {reader.line_num} is no row of a table: {error}; is a quote not closed?"
        ) from None
    if len(rows) < 2:
        raise wrong(
            "has no rows" + (" below the columns' names" if rows else "") + "; "
            "it needs a line with the columns' names (id,label) and a row for each image"
        )
    columns = rows[0][1]
    for name in columns:
        if name and columns.count(name) > 1:
            raise wrong(f"column {name!r} is there twice; each has a name of its own")
    for number, fields in rows[1:]:
        if len(fields) < len(columns) or any(fields[len(columns) :]):
            raise wrong(
                f"row {number} has {len(fields)} field{'s' * (len(fields) != 1)}, and there are "
                f"{len(columns)} columns ({few(columns)}); text with {SIGNS[by]} in it is "
                "written in quotes"
            )
    return Table(place, columns, rows[1:])


def _fields(header: str, sign: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=sign), []))
    except csv.Error:  # longer than a field may be
        return 0
