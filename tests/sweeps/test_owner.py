"""A job that SLURM has started twice: the newer process has it, and the older one ends."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.owner import LOOK_SECONDS

# Claims the job, says so, and writes for as long as it lives; whatever ends it orderly is told.
HOLDS = """
import sys, time
from pathlib import Path
from cnnexp.sweeps.ledger import Entry, Ledger
folder = Path(sys.argv[1])
try:
    with Ledger(folder).claimed(Entry(1, "", ["seed=1"])) as mine:
        print(mine, flush=True)
        while mine:
            with (folder / "written").open("a") as file:
                file.write("x")
            time.sleep(0.05)
finally:
    (folder / "unwound").touch()
"""

Hold = Callable[[Mapping[str, str]], "subprocess.Popen[str]"]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "jobs").mkdir()
    return Ledger(tmp_path)


@pytest.fixture
def hold(ledger: Ledger) -> Iterator[Hold]:
    """Another process that has the job, in such an environment."""
    started = []

    def start(slurm: Mapping[str, str]) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(ledger.folder)],
            env={**os.environ, **slurm}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_restarted_job_takes_over_and_the_orphan_ends_without_a_word(
    ledger: Ledger, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = hold({"SLURM_JOB_ID": "5"})
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    entry = Entry(1, "", ["seed=1"])
    assert not ledger.busy(entry)
    began = time.monotonic()
    with ledger.claimed(entry) as mine:
        assert mine is True
        # It has waited until the orphan was gone: nobody writes any more.
        assert LOOK_SECONDS - 1 < time.monotonic() - began < 4 * LOOK_SECONDS
        assert orphan.wait(1) == 1
        written = (ledger.folder / "written").read_bytes()
        time.sleep(0.3)
        assert (ledger.folder / "written").read_bytes() == written
        assert not (ledger.folder / "unwound").exists()
        monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
        assert not ledger.busy(entry)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"SLURM_JOB_ID": "5"}, {"SLURM_JOB_ID": "5"}),  # a process beside it, in the same job
        ({"SLURM_JOB_ID": "5"}, {"SLURM_JOB_ID": "6", "SLURM_RESTART_COUNT": "1"}),
        ({"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "1"}, {"SLURM_JOB_ID": "5"}),
        ({"SLURM_JOB_ID": "5"}, {}),
        ({}, {"SLURM_JOB_ID": "5", "SLURM_RESTART_COUNT": "1"}),
        ({}, {}),
    ],
)
def test_for_all_others_the_lock_decides(
    theirs: Mapping[str, str],
    ours: Mapping[str, str],
    ledger: Ledger,
    hold: Hold,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = hold(theirs)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    entry = Entry(1, "", ["seed=1"])
    assert ledger.busy(entry)
    with ledger.claimed(entry) as mine:
        assert mine is False
    assert bool(list(ledger.folder.glob("jobs/*.owner"))) == bool(theirs)
    other.kill()
    other.wait()
    with ledger.claimed(entry) as mine:
        assert mine is True
    assert bool(list(ledger.folder.glob("jobs/*.owner"))) == bool(theirs or ours)
