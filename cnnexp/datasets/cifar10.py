"""CIFAR-10 and CIFAR-100 in their official pickled form (Krizhevsky 2009), not freely unpickled."""

import hashlib
import logging
import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from cnnexp.data.download import checksum
from cnnexp.data.download import download as fetch
from cnnexp.datasets.cifar_pickle import read_batch, read_names
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError, nearest

log = logging.getLogger("cnnexp")

URL = "https://www.cs.toronto.edu/~kriz/"
LARGEST = 256 << 20  # bytes of one batch; the largest official one has 155 MB
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
    if variant not in VARIANTS:
        allowed = ", ".join(VARIANTS)
        raise InputError(
            f"dataset.variant={variant} is unknown; allowed: {allowed}{nearest(variant, VARIANTS)}"
        )
    _, _, _, batches, meta, (names_key, labels_key) = VARIANTS[variant]
    where, members = _members(root, cache, download, variant)
    missing = [name for name in (*batches, meta) if name not in members]
    if missing:
        raise InputError(
            f"{where} lacks {', '.join(missing)}; expected the official {variant} files"
        )
    classes = read_names(members[meta], names_key, f"{where}: {meta}")
    pixels, labels, paths, given = [], [], [], []
    for name in batches:
        rows, marks = read_batch(members.pop(name), labels_key, len(classes), f"{where}: {name}")
        pixels.append(rows)
        labels += marks
        paths += [f"{name}/{i:05d}" for i in range(len(marks))]
        given += ["test" if name.startswith("test") else ""] * len(marks)
    starts = np.cumsum([0] + [len(rows) for rows in pixels])
    digest = hashlib.sha256()
    for rows in pixels:
        digest.update(rows.data)

    def read(i: int) -> np.ndarray:
        batch = int(np.searchsorted(starts, i, side="right")) - 1
        planes = pixels[batch][i - starts[batch]].reshape(3, 32, 32)  # all red, green, blue
        return np.ascontiguousarray(planes.transpose(1, 2, 0))  # (32, 32, 3)

    return Source(
        name=variant,
        classes=classes,
        paths=paths,
        labels=np.array(labels, dtype=np.int64),
        read=read,
        fingerprint=digest.hexdigest(),
        given=np.array(given),
    )


def _members(
    root: str | Path | None, cache: str | Path, download: bool, variant: str
) -> tuple[Path, dict[str, bytes]]:
    """Where the official files are, and their bytes by name."""
    archive, md5, folder, batches, meta, _ = VARIANTS[variant]
    wanted = {*batches, meta}
    if root is None:
        path = Path(cache).expanduser() / "downloads" / archive
        if not download and not path.exists():
            raise InputError(
                f"{variant} is not at {path} and dataset.download=false; "
                "set dataset.download=true or dataset.root=<archive or folder>"
            )
        return path, _from_archive(fetch(URL + archive, path, md5=md5), wanted)
    path = Path(root).expanduser()
    for place in (path, path / folder):
        if (place / batches[0]).is_file():
            return place, _from_folder(place, wanted)
    if path.is_dir():
        path = path / archive
    if not path.is_file():
        raise InputError(
            f"dataset.root={root} does not hold {variant}; expected {archive}, or the folder "
            f"{folder} with {batches[0]} in it"
        )
    if checksum(path, "md5") != md5:
        log.warning("%s is not the official %s: its md5 differs from %s", path, archive, md5)
    return path, _from_archive(path, wanted)


def _from_folder(folder: Path, wanted: set[str]) -> dict[str, bytes]:
    members = {}
    for name in wanted:
        if (folder / name).is_file():
            _check_size(folder, name, (folder / name).stat().st_size)
            members[name] = (folder / name).read_bytes()
    return members


def _from_archive(path: Path, wanted: set[str]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|*") as archive:  # as a stream: once through, nothing unpacked
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and name in wanted:
                    _check_size(path, name, member.size)
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    members[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{path} is not CIFAR's archive, a whole tar.gz ({error}); download it again, or set "
            "dataset.root to where it is"
        ) from error
    return members


def _check_size(where: Path, name: str, size: int) -> None:
    if size > LARGEST:
        raise InputError(f"{where}: {name} has {size:,} bytes, more than any official batch")
