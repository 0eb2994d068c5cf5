"""The image store: every image decoded and resized once, shared by runs, also at the same time.

A store is a folder with `images.npy`, (N, S, S, 3) uint8, and `index.json`, whose first line is the
checksum of the rest, and which has that of the pixels. One process builds while others wait; what
is damaged or half is built again.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np

from cnnexp.data import gate
from cnnexp.data.check_source import check_repeats, check_same
from cnnexp.data.decode import Tried, decode
from cnnexp.data.lock import held
from cnnexp.data.progress import Bar
from cnnexp.data.seal import intact, seal
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.files import clear_parts, whole_file

VERSION = 2  # raise it when the store's files, the gate or the resizing change
HEADER = 128  # bytes before the pixels: numpy pads a header of this length to a multiple of 64


@dataclass(frozen=True)
class Stored:
    """images: memory map (N, S, S, 3) uint8, row i is the source's image tried.good[i]."""

    images: np.ndarray
    tried: Tried


# Given what was tried, the indices to read next, none when it is enough.
More = Callable[[Tried], Sequence[int]]


def store_key(source: Source, image_size: int, resize: str, subset: str) -> str:
    """Same key = same rows. subset: names the choice of images where not all are read."""
    digest = hashlib.sha256()
    head = (VERSION, source.name, source.fingerprint, image_size, resize, subset, source.classes)
    digest.update(json.dumps(head).encode())
    digest.update("\n".join(source.paths).encode("utf-8", "backslashreplace"))
    digest.update(source.labels.astype("<i8").tobytes())
    name = re.sub(r"[^\w.-]", "_", source.name)[:60]
    return f"{name}-{image_size}-{digest.hexdigest()[:20]}"


def open_or_build(
    folder: Path,
    source: Source,
    image_size: int,
    resize: str,
    more: More,
    *,
    spot_check: bool = False,
) -> Stored:
    """The store in `folder`, built first where it is absent, damaged or incomplete.

    spot_check: some images are read once more: of a store that is there, for the code that makes
    them may have been edited; of a new one, for `read` may not bear several threads.
    """
    stored = _open(folder, source, image_size)
    if stored and not stored.tried.unread:
        if spot_check:
            check_same(source, stored.tried)
        return stored
    try:
        with held(folder / "lock", "decoding these images"):
            stored = _open(folder, source, image_size)  # what another process built meanwhile
            if stored and not stored.tried.unread:
                return stored
            _build(folder, source, image_size, resize, more, spot_check)
            stored = _open(folder, source, image_size)
    except OSError as error:
        raise _no_room(folder, str(error)) from error
    if stored is None:
        raise _no_room(folder, "what was written there cannot be read back")
    return stored


def _open(folder: Path, source: Source, image_size: int) -> Stored | None:
    """None where there is no store, or one that is not to be believed."""
    try:
        checksum, body = (folder / "index.json").read_bytes().split(b"\n", 1)
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            return None
        index = json.loads(body)
        tried = Tried(
            index["good"],
            index["sha256"],
            [(i, why) for i, why in index["refused"]],
            index["unread"],
        )
        shape = (len(tried.good), image_size, image_size, 3)
        path = folder / "images.npy"
        if not intact(path, index["pixels"], skip=HEADER):
            return None
        # Copy-on-write: the file stays as it is, and torch, which knows no read-only tensors,
        # neither warns nor dies of a segmentation fault where something writes in place.
        images = np.load(path, mmap_mode="c")
        if images.shape != shape or images.dtype != np.uint8:
            return None
        # A store that was replaced between the two files is seen by its new index.
        if (folder / "index.json").read_bytes()[: len(checksum)] != checksum:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    paths = index["paths"]
    if any(paths[k] != source.paths[i] for k, i in enumerate(tried.good)):
        return None
    return Stored(images, tried)


def _build(
    folder: Path, source: Source, image_size: int, resize: str, more: More, spot_check: bool
) -> None:
    (folder / "index.json").unlink(missing_ok=True)
    clear_parts(folder)  # of a builder that was killed: we hold the lock
    tried = Tried()
    with whole_file(folder / "images.npy", "wb") as file, gate.quiet():
        file.write(_header(0, image_size))
        sha256 = _fill(file, folder, tried, source, image_size, resize, more)
        file.seek(0)
        file.write(_header(len(tried.good), image_size))
        if not tried.good:
            raise _nothing(source, tried)
        if spot_check:
            check_repeats(source, tried)
    body = json.dumps(
        {
            "good": tried.good,
            "paths": [source.paths[i] for i in tried.good],
            "sha256": tried.sha256,
            "refused": tried.refused,
            "unread": tried.unread,
            "pixels": seal(folder / "images.npy", sha256),
        }
    ).encode()
    with whole_file(folder / "index.json", "wb") as file:
        file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _fill(
    file: IO[bytes],
    folder: Path,
    tried: Tried,
    source: Source,
    image_size: int,
    resize: str,
    more: More,
) -> str:
    """The pixels' checksum."""
    digest = hashlib.sha256()
    with Bar(f"decoding {source.name}", 0, "images") as bar:
        while indices := list(more(tried)):
            _check_room(folder, len(indices) * image_size**2 * 3)
            total = bar.done + len(indices)
            for rows, found in decode(source, indices, image_size, resize):
                file.write(rows.data)
                digest.update(rows.data)
                tried.add(found)
                bar.at(len(tried.good) + len(tried.refused), total)
    return digest.hexdigest()


def _header(count: int, image_size: int) -> bytes:
    shape = (count, image_size, image_size, 3)
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    assert header.tell() == HEADER, f"numpy wrote a header of {header.tell()} bytes"
    return header.getvalue()


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"decoded images need {size / 1e6:,.1f} MB, {folder} has {free / 1e6:,.1f} MB free; "
            "set paths.cache to another disk, or a smaller dataset.image_size"
        )


def _no_room(folder: Path, why: str) -> InputError:
    return InputError(
        f"decoded images cannot be stored in {folder} ({why}); "
        "set paths.cache to a folder that can be written"
    )


def _nothing(source: Source, tried: Tried) -> InputError:
    i, reason = tried.refused[0]
    return InputError(
        f"{source.name}: none of {len(tried.refused):,} files is a usable image "
        f"(the first, {source.paths[i]}: {reason})"
    )
