"""Files below one root, in a folder or inside a zip, listed and read alike; nothing is unpacked."""

import os
import re
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnexp.errors import InputError, nearest
from cnnexp.files import printable

DEEPEST = 64  # folders in one another
LARGEST = 64 << 20  # bytes of one file; a photograph has 0.01 to 20 MiB
HIDDEN_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "ehthumbs.db")


@dataclass(frozen=True)
class FileList:
    """Ordinary files below `root`, sorted by name.

    names: relative, with "/" ("Cat/1.jpg"). stamps: change when a file does. read: i -> bytes, from
        any thread. folders: all below the root, without hidden ones. listed: passed over, and why.
    """

    root: Path
    names: tuple[str, ...]
    stamps: tuple[str, ...]
    read: Callable[[int], bytes]
    folders: frozenset[str]
    listed: tuple[tuple[str, str], ...]


def list_files(root: Path | str, expected: str) -> FileList:
    """Of a folder or a zip. expected: the layout, for the error where there is neither."""
    root = Path(root).expanduser()
    if root.is_dir():
        return _list_folder(root)
    if root.is_file() and zipfile.is_zipfile(root):  # a pipe would be waited for
        return _list_zip(root)
    if root.exists():
        raise InputError(
            f"dataset.root={root} is neither a folder nor a whole zip; expected {expected}"
        )
    beside = os.listdir(root.parent) if root.parent.is_dir() else []
    raise InputError(
        f"dataset.root={root} does not exist; expected {expected}{nearest(root.name, beside)}"
    )


def natural(name: str) -> tuple:
    """Sorts as people do: class2 before class10, upper and lower case together."""
    parts = [part.casefold() for part in re.split(r"([0-9]+)", name)]
    # Digits by their count, then one by one: `int` refuses those of a hostile name.
    parts[1::2] = (part.lstrip("0") for part in parts[1::2])
    return [(len(part) if i % 2 else -1, part) for i, part in enumerate(parts)], name


def _passed_over(name: str, size: int) -> str | None:
    """Why a file is no image by its name or size; None: the gate decides."""
    base = name.rsplit("/", 1)[-1]
    if base.casefold() in (*SYSTEM_FILES, ".ds_store"):
        return "not an image file"
    if name.count("/") > DEEPEST:  # each of its ends is looked at
        return f"more than {DEEPEST} folders deep"
    if base.startswith("."):
        return "hidden: its name begins with a dot"
    if size > LARGEST:
        return f"{size / 2**20:,.0f} MiB: larger than {LARGEST >> 20} MiB"
    return None


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder in HIDDEN_FOLDERS


def _list_folder(root: Path) -> FileList:
    found: dict[str, tuple[str, str]] = {}  # name -> (path on disk, stamp)
    folders: set[str] = set()
    listed: list[tuple[str, str]] = []
    for path, name, entry in _walk(str(root), "", (), listed):
        if entry is None:
            folders.add(name)
        elif reason := _passed_over(name, entry.st_size):
            listed.append((name, reason))
        else:
            # The change time tells files apart that an archive gave the same modification time.
            found[name] = (path, f"{entry.st_size}:{entry.st_mtime_ns}:{entry.st_ctime_ns}")
    names = tuple(sorted(found))
    places = [found[name][0] for name in names]

    def read(i: int) -> bytes:
        with open(places[i], "rb") as file:
            return file.read(LARGEST)

    stamps = tuple(found[name][1] for name in names)
    return FileList(root, names, stamps, read, frozenset(folders), tuple(listed))


def _walk(
    path: str, name: str, above: tuple[tuple[int, int], ...], listed: list[tuple[str, str]]
) -> Iterator[tuple[str, str, os.stat_result | None]]:
    """(path on disk, printable name, stat) of files; None instead of stat for folders.

    above: device and inode of the folders on the way here; a link back to one is not followed.
    """
    try:
        here = os.stat(path)
        if (here.st_dev, here.st_ino) in above:
            listed.append((name + "/", "a link to a folder above it"))
            return
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        listed.append((name + "/", f"cannot be opened: {error.strerror}"))
        return
    if name:
        yield path, name, None
    for entry in entries:
        own = printable(entry.name)
        below = f"{name}/{own}" if name else own
        try:
            kind = entry.stat()
        except OSError:
            listed.append((below, "a broken link"))
            continue
        if stat.S_ISDIR(kind.st_mode):
            if _is_hidden(entry.name):
                listed.append((below + "/", "hidden folder"))
            else:
                inside = (*above, (here.st_dev, here.st_ino))
                yield from _walk(entry.path, below, inside, listed)
        elif stat.S_ISREG(kind.st_mode):
            yield entry.path, below, kind
        else:
            listed.append((below, "not an ordinary file"))


def _list_zip(root: Path) -> FileList:
    try:
        archive = zipfile.ZipFile(root)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(f"dataset.root={root} is a damaged zip: {error}") from error
    found: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    listed: dict[str, str] = {}
    for member in archive.infolist():
        # Some Windows programs write backslashes.
        name = printable(member.filename.replace("\\", "/"))
        parts = name.rstrip("/").split("/")
        hidden = next((k for k, part in enumerate(parts[:-1]) if _is_hidden(part)), None)
        if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
            listed[name] = "refused: its name points outside the archive"
        elif hidden is not None:
            listed["/".join(parts[: hidden + 1]) + "/"] = "hidden folder"
        elif name.endswith("/"):
            if not _is_hidden(parts[-1]):
                folders.add("/".join(parts))
        elif reason := _passed_over(name, member.file_size):
            listed[name] = reason
        elif member.flag_bits & 1:
            listed[name] = "encrypted"
        else:
            found[name] = member  # of two members with one name the later one counts
    for name in found:
        folders.update(name[: at.start()] for at in re.finditer("/", name))
    names = tuple(sorted(found))
    members = [found[name] for name in names]
    lock = threading.Lock()

    def read(i: int) -> bytes:
        with lock:  # opening and closing count references without one; reading has its own lock
            member = archive.open(members[i])
        try:
            return member.read(LARGEST)  # never more than the declared size: a bomb stays small
        finally:
            with lock:
                member.close()

    stamps = tuple(f"{m.file_size}:{m.CRC:08x}" for m in members)
    return FileList(root, names, stamps, read, frozenset(folders), tuple(sorted(listed.items())))
