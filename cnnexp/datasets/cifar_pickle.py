"""CIFAR's batches: pickles of Python 2, read without letting them call anything.

A pickle names the functions that rebuild it. Here each of the few names that the official batches
use (protocol 2; dicts, lists, ints, byte strings, one uint8 array) leads to a stand-in that only
keeps what it is given; any other name is refused.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from cnnexp.errors import InputError, one_line

MOST = 2_000_000  # steps of one pickle; CIFAR-100's 50,000 images take 300,000
ROW = 3 * 32 * 32  # bytes of one image: 1024 red, 1024 green, 1024 blue


class _Kept:
    """Stands for an array or a dtype under construction."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("text in another encoding than latin1")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable] = {
    ("numpy.core.multiarray", "_reconstruct"): _Kept,
    ("numpy._core.multiarray", "_reconstruct"): _Kept,
    ("numpy", "ndarray"): _Kept,
    ("numpy", "dtype"): _Kept,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside itself")


def _check_sizes(content: bytes) -> None:
    """Before the unpickler makes room for what a pickle says that it has.

    `genops` itself raises ValueError for a string that is longer than what follows.
    """
    for number, (step, argument, _) in enumerate(pickletools.genops(content)):
        sizes = step.name in ("PUT", "BINPUT", "LONG_BINPUT", "FRAME")  # of its memo, of a part
        if number > MOST or (sizes and argument is not None and argument > len(content)):
            raise pickle.UnpicklingError("it asks for more room than its bytes can fill")


def read_batch(file: IO[bytes], key: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) uint8 and labels (N,) int64; InputError naming `where`."""
    batch = _load(file, where)
    array, labels = batch.get(b"data"), batch.get(key)
    try:
        assert isinstance(array, _Kept)
        _, shape, dtype, columns_first, raw = array.state
        (code, *_) = dtype.arguments
        count, width = shape
        good = code in ("u1", b"u1", "|u1") and width == ROW and len(raw) == count * ROW
        if not good or columns_first or not isinstance(raw, bytes):
            raise ValueError
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(count, ROW)
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{where}: its data is not an array (N, {ROW}) of bytes") from error
    if not isinstance(labels, list) or len(labels) != count or count == 0:
        raise InputError(f"{where}: it has no list of {count} labels under {key.decode()!r}")
    if not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise InputError(f"{where}: it has labels that are no numbers")
    return pixels, np.array(labels, dtype=np.int64)


def read_names(file: IO[bytes], key: bytes, where: str) -> tuple[str, ...]:
    """Class names of the meta file."""
    names = _load(file, where).get(key)
    if (
        not isinstance(names, list)
        or len(names) < 2
        or not all(isinstance(n, bytes) for n in names)
    ):
        raise InputError(f"{where}: it has no list of class names under {key.decode()!r}")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _load(file: IO[bytes], where: str) -> dict:
    try:
        content = file.read()
        _check_sizes(content)
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged pickles raise nearly anything
        raise InputError(
            f"{where} is not an official CIFAR batch ({one_line(error)}); download it again"
        ) from error
    if not isinstance(batch, dict):
        raise InputError(
            f"{where} is not an official CIFAR batch: it holds a {type(batch).__name__}"
        )
    return batch
