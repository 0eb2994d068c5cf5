"""How this process asks the system for memory, and looks for what it may free."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT = 2**30  # bytes


def keep_freed_memory() -> None:
    """Up to 1 GiB of what was freed stays in the process. To be called before torch is imported.

    Each training step asks for the blocks that the last one freed. Of large ones glibc gives the
    pages back at once, and the system fills others with zeros, which is a good part of a step on a
    CPU. Large pages, for which PyTorch asks the system, cost fewer such faults.
    What the environment says of either is left as it is; other C libraries are, too.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if own or sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, KEPT)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)


@contextmanager
def lasting_imports() -> Iterator[None]:
    """What is imported here stays until the process ends: Python's search for unreachable cycles
    leaves it out. Through torch, Lightning and MLflow one search takes half a second, and their
    imports alone start eight (benchmarks/overhead.py: the first step comes a second sooner).

    Where torch is there already nothing is changed: a notebook's networks are not to stay for ever.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
