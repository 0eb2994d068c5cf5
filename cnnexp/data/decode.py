"""A dataset's files through the gate and to their size, on all cores, in their order."""

import hashlib
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from cnnexp.cores import usable_cores
from cnnexp.data import gate
from cnnexp.data.resize import fit
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError

SLICE = 32  # images per task of the thread pool


# What reading a file may end in.
UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass
class Tried:
    """What has been read, as indices into the source."""

    good: list[int] = field(default_factory=list)
    sha256: list[str] = field(default_factory=list)  # of the good ones
    refused: list[tuple[int, str]] = field(default_factory=list)  # (index, reason)
    unread: int = 0  # refused by the disk, not by the gate: worth another try

    def add(self, other: "Tried") -> None:
        self.good += other.good
        self.sha256 += other.sha256
        self.refused += other.refused
        self.unread += other.unread


def decode(
    source: Source, indices: Sequence[int], image_size: int, resize: str
) -> Iterator[tuple[np.ndarray, Tried]]:
    """For one slice of `indices` after the other: the good images (n, S, S, 3) uint8, and the rest.

    A few slices per core are decoded ahead, no more: memory stays bounded.
    """
    workers = usable_cores()
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for at in range(0, len(indices), SLICE):
            part = indices[at : at + SLICE]
            waiting.append(pool.submit(_decode_slice, source, part, image_size, resize))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode_slice(
    source: Source, indices: Sequence[int], image_size: int, resize: str
) -> tuple[np.ndarray, Tried]:
    rows = np.empty((len(indices), image_size, image_size, 3), dtype=np.uint8)
    found = Tried()
    for i in indices:
        try:
            content = source.read(i)
        except UNREADABLE as error:
            found.refused.append((i, f"cannot be read: {' '.join(str(error).split())}"))
            found.unread += isinstance(error, OSError)
            continue
        except Exception as error:
            error.add_note(f"raised by dataset {source.name}, reading {source.paths[i]}")
            raise
        check_content(source, i, content)
        if _is_ready(content, image_size):
            rows[len(found.good)] = content
        else:
            image = gate.read(content, image_size)
            if isinstance(image, str):
                found.refused.append((i, image))
                continue
            rows[len(found.good)] = fit(image, image_size, resize)
        found.good.append(i)
        found.sha256.append(sha256_of(content))
    return rows[: len(found.good)], found


def check_content(source: Source, i: int, content: object) -> None:
    """Raises InputError for what is no image's."""
    if not isinstance(content, bytes | np.ndarray):
        raise InputError(
            f"dataset {source.name}: of {source.paths[i]} it reads a {type(content).__name__}; "
            "read must give the file's bytes, or an array of uint8"
        )


def _is_ready(content: bytes | np.ndarray, image_size: int) -> bool:
    wanted = (image_size, image_size, 3)
    return isinstance(content, np.ndarray) and content.shape == wanted and content.dtype == np.uint8


def sha256_of(content: bytes | np.ndarray) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()
