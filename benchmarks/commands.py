"""What the benchmarks have in common: a command that is run in a folder, timed and watched."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from cnnexp.data.image_set import ImageSet

SIDES = Path(__file__).resolve().parent / "sides"
LOOKS_S = 0.05  # memory is looked at so often


@dataclass(frozen=True)
class Done:
    """seconds: of the whole command. resident, own: MiB at most, of the process and those that it
    started; own is without the files that they have mapped. text: what it printed.
    """

    seconds: float
    resident: float
    own: float
    text: str

    def last_line(self) -> Any:
        """The JSON that a side ends with."""
        return json.loads(self.text.strip().splitlines()[-1])


def done(command: list[str], folder: Path) -> Done:
    """Run it; a command that fails ends the benchmark with what it printed."""
    began_s = time.perf_counter()
    resident = own = 0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            found = list(memory_of(process))
            if not found:
                break
            # What processes share is counted once: the largest of them.
            apart = sum(alone for _, alone in found)
            resident = max(resident, apart + max(whole - alone for whole, alone in found))
            own = max(own, apart)
            time.sleep(LOOKS_S)
        code = process.wait()
        seconds = time.perf_counter() - began_s
        output.seek(0)
        text = output.read()
    if code:
        sys.exit(f"{' '.join(command)}:\n{text}")
    return Done(seconds, resident / 2**20, own / 2**20, text)


def memory_of(process: psutil.Process) -> Iterator[tuple[int, int]]:
    """(resident, without what it shares or maps), bytes, of it and of the processes it started."""
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                memory = one.memory_info()
                yield memory.rss, memory.rss - getattr(memory, "shared", 0)


def ours(*words: str) -> list[str]:
    """The command that a user types."""
    return [sys.executable, "-m", "cnnexp", *words]


def loaded(overrides: list[str]) -> tuple[dict[str, Any], "ImageSet"]:
    """The config of these words, and its images."""
    from cnnexp.config.compose import compose  # not all benchmarks need them
    from cnnexp.execution import checked
    from cnnexp.experiment import load_images
    from cnnexp.sources import find_images

    config = checked(compose(overrides).config, overrides)
    return config, load_images(config, find_images(config))


def baseline(words: list[str], epochs: int) -> list[str]:
    """Overrides of the training that sides/loop.py does, too. words: what was typed."""
    return [
        "experiment=cifar10_baseline",
        *absolute(words),
        f"trainer.max_epochs={epochs}",
        "trainer.accelerator=cpu",
        "visualization=none",
    ]


def newest_run(folder: Path) -> dict[str, Any]:
    """run.json of the run in outputs/ that was written last."""
    newest = max(folder.glob("outputs/*/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    run: dict[str, Any] = json.loads(newest.read_text())
    return run


def absolute(words: list[str]) -> list[str]:
    """The same words for a command that is run in another folder."""
    paths = ("dataset.root", "model.weights")
    parted = [word.partition("=") for word in words]
    return [
        f"{key}={Path(value).resolve()}"
        if key in paths and Path(value).exists()
        else key + equals + value
        for key, equals, value in parted
    ]
