"""The command's process ends at once, and loses nothing: what it printed, its code, its threads."""

import subprocess
import sys
from pathlib import Path

import pytest

# In place of the command itself; the console script and `python -m cnnexp` call cli().
BEFORE = "import atexit, sys, threading, time\nimport cnnexp.__main__ as command\n"
AFTER = "command.main = lambda: (print('out'), print('err', file=sys.stderr), 3)[-1]\ncommand.cli()"


def left(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", BEFORE + code + AFTER], text=True, capture_output=True, check=False
    )


def test_what_was_printed_and_registered_comes_out() -> None:
    done = left("atexit.register(print, 'at exit')\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\nat exit\n", "err\n")


def test_python_takes_nothing_apart() -> None:
    done = left("class Part:\n    def __del__(self): print('apart')\npart = Part()\n")
    assert (done.returncode, done.stdout) == (3, "out\n")


def test_a_signal_that_ends_is_no_other_way_out() -> None:
    part = "class Part:\n    def __del__(self): print('apart')\npart = Part()\n"
    done = left(f"{part}def main(): sys.exit(143)\ncommand.main = main\ncommand.cli()\n")
    assert (done.returncode, done.stdout) == (143, "")
    said = left("def main(): sys.exit('no')\ncommand.main = main\ncommand.cli()\n")
    assert (said.returncode, said.stderr) == (1, "no\n")


def test_a_thread_that_works_is_waited_for() -> None:
    done = left("threading.Thread(target=lambda: (time.sleep(0.5), print('worked'))).start()\n")
    assert (done.returncode, done.stdout) == (3, "out\nworked\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", BEFORE + AFTER],
            text=True, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
