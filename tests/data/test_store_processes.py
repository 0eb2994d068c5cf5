"""Several real processes and one store."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

# Prepares 40 + 40 images; each read takes a while and leaves the process's number in a log.
SCRIPT = """
import os, sys, time
import numpy as np
from cnnexp.data.prepare import prepare
from cnnexp.datasets.source import Source

cache, pause_s = sys.argv[1], float(sys.argv[2])

def read(i):
    time.sleep(pause_s)
    with open(cache + "/reads", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return np.full((8, 8, 3), i, np.uint8)

names = [f"{i:03d}" for i in range(80)]
source = Source("slow", ("cat", "dog"), names, np.arange(80) % 2, read, "1")
split = {"train": 0.5, "validation": 0.25, "test": 0.25}
images = prepare(source, image_size=8, split=split, cache=cache)
assert (images.images[:, 0, 0, 0] == np.arange(80)).all()
print(images.digest)
"""


def start(cache: Path, pause_s: float) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, str(cache), str(pause_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    processes = [start(tmp_path, 0.02) for _ in range(4)]
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(digests) == 1
    readers = (tmp_path / "reads").read_text().split()
    assert len(readers) == 80
    assert len(set(readers)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_a_killed_builder_blocks_nobody(tmp_path: Path) -> None:
    builder = start(tmp_path, 0.5)
    begin_s = time.monotonic()
    while not (tmp_path / "reads").exists():
        assert time.monotonic() - begin_s < 60
        time.sleep(0.02)
    builder.kill()
    builder.communicate()
    folder = next((tmp_path / "images").iterdir())
    assert any(path.name.startswith(".images.npy") for path in folder.iterdir())  # half a store
    other = start(tmp_path, 0)
    other.communicate(timeout=60)
    assert other.returncode == 0
    assert {path.name for path in folder.iterdir()} == {"images.npy", "index.json", "lock"}
