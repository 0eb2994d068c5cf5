"""What was freed stays in the process, and what is imported is not searched for garbage."""

import ctypes
import os
import subprocess
import sys

import pytest

# Prints how many pages the system had to hand out for a block that is taken and given back.
FAULTS = """
import ctypes, resource, sys
from cnnexp.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 * 2**20
for turn in range(5):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    if turn == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> int:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env={**plain, **environment}, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's malloc"
)
def test_a_block_that_comes_again_is_there() -> None:
    assert faults("not kept") > 1000
    assert faults("kept") < 100
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="131072") > 1000  # the person's own wish


# Prints how many full searches imports have cost, and whether a cycle from before them is freed.
IMPORTS = """
import gc, sys, weakref
from cnnexp.memory import lasting_imports
if sys.argv[1] == "torch is there":
    sys.modules["torch"] = sys
class Knot: pass
knot = Knot()
knot.itself, known = knot, weakref.ref(knot)
with lasting_imports():
    many = [[n] for n in range(10**6)]
searches = gc.get_stats()[2]["collections"]
del knot
gc.collect()
print(searches, "kept" if known() else "freed", gc.isenabled())
"""


def imported(how: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, how], text=True, capture_output=True, check=True
    )
    return done.stdout.split()


def test_imports_are_not_searched_for_garbage() -> None:
    assert imported("at the start") == ["0", "kept", "True"]
    searches, knot, enabled = imported("torch is there")
    assert int(searches) > 1
    assert (knot, enabled) == ("freed", "True")
