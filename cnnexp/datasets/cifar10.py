"""CIFAR-10 and CIFAR-100 in their official pickled form (Krizhevsky 2009), not freely unpickled."""

import hashlib
import json
import logging
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Literal, NoReturn

import numpy as np

from cnnexp.data.download import checksum
from cnnexp.data.download import download as fetch
from cnnexp.datasets.cifar_pickle import read_batch, read_names
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

log = logging.getLogger("cnnexp")

Contents = Callable[[], Iterator[tuple[str, IO[bytes]]]]

URL = "https://www.cs.toronto.edu/~kriz/"
LONGEST = 64 << 10  # bytes of a file's long name, or of what else an archive says of it
READ_WHOLE = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
LARGEST = 256 << 20  # bytes of one batch; the largest official one has 155 MB
MEMBERS = 1000  # of an archive; an official one has 9
# variant -> archive, its md5 (from that page), folder, batches, meta file, keys of names and labels
VARIANTS = {
    "cifar10": (
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3d95e74349a",
        "cifar-10-batches-py",
        (
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
            "test_batch",
        ),
        "batches.meta",
        (b"label_names", b"labels"),
    ),
    "cifar100": (
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-python",
        ("train", "test"),
        "meta",
        (b"fine_label_names", b"fine_labels"),
    ),
}


def cifar10(
    root: str | Path | None = None,
    cache: str | Path = "~/.cache/cnnexp",
    download: bool = True,
    variant: Literal["cifar10", "cifar100"] = "cifar10",
) -> Source:
    """60,000 images of 32x32; the test batch is given as the test split.

    root: the folder of the batches, the folder that holds it, or the archive; null: downloaded.
    """
    _, _, _, batches, meta, (names_key, labels_key) = VARIANTS[variant]
    where, contents = _contents(root, cache, download, variant)
    classes: tuple[str, ...] = ()
    labels: dict[str, np.ndarray] = {}
    digests: dict[str, str] = {}
    for name, file in contents():  # one after the other: all together they take 184 MB
        if name == meta:
            classes = read_names(file, names_key, f"{where}: {name}")
        else:
            rows, labels[name] = read_batch(file, labels_key, f"{where}: {name}")
            digests[name] = hashlib.sha256(rows.data).hexdigest()
            del rows
    missing = [name for name in batches if name not in labels] + [meta] * (not classes)
    if missing:
        raise InputError(
            f"{where} lacks {', '.join(missing)}; expected the official {variant} files"
        )
    for name in batches:
        if labels[name].min() < 0 or labels[name].max() >= len(classes):
            raise InputError(f"{where}: {name}: it has labels outside 0..{len(classes) - 1}")
    starts = np.cumsum([0] + [len(labels[name]) for name in batches])
    lock = threading.Lock()
    pixels: dict[str, np.ndarray] = {}

    def read(i: int) -> np.ndarray:
        nonlocal pixels
        with lock:  # read again, where no store has them yet
            if not pixels:
                pixels |= {
                    name: read_batch(file, labels_key, f"{where}: {name}")[0]
                    for name, file in contents()
                    if name != meta
                }
        batch = int(np.searchsorted(starts, i, side="right")) - 1
        planes = pixels[batches[batch]][i - starts[batch]].reshape(3, 32, 32)  # red, green, blue
        return np.ascontiguousarray(planes.transpose(1, 2, 0))  # (32, 32, 3)

    return Source(
        name=variant,
        classes=classes,
        paths=[f"{name}/{i:05d}" for name in batches for i in range(len(labels[name]))],
        labels=np.concatenate([labels[name] for name in batches]),
        read=read,
        fingerprint=hashlib.sha256(json.dumps([digests[n] for n in batches]).encode()).hexdigest(),
        given=np.array(
            ["test" if n.startswith("test") else "" for n in batches for _ in labels[n]]
        ),
    )


def _contents(
    root: str | Path | None, cache: str | Path, download: bool, variant: str
) -> tuple[Path, Contents]:
    """Where the official files are, and what opens them, one after the other."""
    archive, md5, folder, batches, meta, _ = VARIANTS[variant]
    wanted = (*batches, meta)
    if root is None:
        path = Path(cache).expanduser() / "downloads" / archive
        if not download and not path.exists():
            raise InputError(
                f"{variant} is not at {path} and dataset.download=false; "
                "set dataset.download=true or dataset.root=<archive or folder>"
            )
        fetch(URL + archive, path, md5=md5)
        return path, partial(_from_archive, path, wanted)
    path = Path(root).expanduser()
    for place in (path, path / folder):
        if (place / batches[0]).is_file():
            return place, partial(_from_folder, place, wanted)
    if path.name in wanted and path.is_file():
        raise InputError(
            f"dataset.root={root}: is one of the files; name the folder that holds all of them: "
            f"dataset.root={path.parent}"
        )
    if path.is_dir():
        path = path / archive
    if not path.is_file():
        raise InputError(
            f"dataset.root={root} does not hold {variant}; expected {archive}, or the folder "
            f"{folder} with {batches[0]} in it"
        )
    if checksum(path, "md5") != md5:
        log.warning(
            "note: %s is not the official %s (its md5 is not %s), and is used all the same",
            path,
            archive,
            md5,
        )
    return path, partial(_from_archive, path, wanted)


class _Header(tarfile.TarInfo):
    """tarfile reads long names, and lists of what a sparse file has, whole into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in READ_WHOLE and header.size > LONGEST:
            raise tarfile.ReadError(f"a name of {header.size:,} bytes")
        return header

    def _proc_sparse(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("a sparse file, which no batch is")

    _proc_gnusparse_10 = _proc_sparse


def _from_folder(folder: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in wanted:
        if (folder / name).is_file():
            _check_size(folder, name, (folder / name).stat().st_size)
            with (folder / name).open("rb") as file:
                yield name, file


def _from_archive(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    try:
        # As a stream: once through, nothing unpacked.
        with tarfile.open(path, "r|*", tarinfo=_Header) as archive:
            for number, member in enumerate(archive):
                if number == MEMBERS:  # `archive` keeps them all
                    raise tarfile.ReadError(f"it has more than {MEMBERS:,} files")
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and name in wanted:
                    _check_size(path, name, member.size)
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield name, file
    except (tarfile.TarError, EOFError, OSError, RecursionError, zlib.error) as error:
        raise InputError(
            f"{path} is not CIFAR's archive, a whole tar.gz ({error}); download it again, or set "
            "dataset.root to where it is"
        ) from error


def _check_size(where: Path, name: str, size: int) -> None:
    if size > LARGEST:
        raise InputError(f"{where}: {name} has {size:,} bytes, more than any official batch")
