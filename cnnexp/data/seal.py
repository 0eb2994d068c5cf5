"""Whether a large file is still what was written: a checksum that is computed again only where the
file was written to since.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TypedDict


class Seal(TypedDict):
    """Of a file: of its bytes, how many, and when it was written last, ns since 1970."""

    sha256: str
    bytes: int
    written_ns: int


def seal(path: Path, sha256: str) -> Seal:
    """sha256: of its bytes, as they were written."""
    found = path.stat()
    return {"sha256": sha256, "bytes": found.st_size, "written_ns": found.st_mtime_ns}


def intact(path: Path, sealed: Seal, skip: int = 0) -> bool:
    """skip: so many bytes at its beginning are not part of the checksum.

    A file with its time of writing is believed. Another one, a copy, say, is read; if it is found
    to be the same it gets that time, so that this is done once. OSError where it cannot be read.
    """
    found = path.stat()
    if found.st_size != sealed["bytes"]:
        return False
    if found.st_mtime_ns == sealed["written_ns"]:
        return True
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(skip)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != sealed["sha256"]:
        return False
    with suppress(OSError):  # somebody else's
        os.utime(path, ns=(found.st_atime_ns, sealed["written_ns"]))
    return True
