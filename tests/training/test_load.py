"""Beside other work fewer threads are faster: that it is noticed, and when it is said."""

import subprocess
import sys
import time

import pytest

from cnnexp.training.load import OtherLoad, fewer_threads


def test_another_process_is_seen_and_this_one_is_not() -> None:
    burning = [sys.executable, "-c", "while True: pass"]
    load, others = OtherLoad(), [subprocess.Popen(burning) for _ in range(2)]
    try:
        time.sleep(2)
        both = load.cores()
    finally:
        for process in others:
            process.kill()
            process.wait()
    assert both > 0.4  # two of them get that much of any machine, also of a busy one
    load = OtherLoad()
    until_s = time.process_time() + 1  # a second of this process's own
    while time.process_time() < until_s:
        pass
    assert load.cores() < both


@pytest.mark.parametrize(
    ("others", "threads", "cores", "wanted"),
    [(1.0, 2, 2, 1), (2.0, 2, 2, 1), (1.0, 8, 8, 7), (6.6, 8, 8, 1)],
)
def test_it_says_how_many_threads(others: float, threads: int, cores: int, wanted: int) -> None:
    said = fewer_threads(others, threads, cores)
    assert said is not None
    assert f"{others:.1f} of {cores} cores" in said
    assert f"OMP_NUM_THREADS={wanted} " in said


@pytest.mark.parametrize(
    ("others", "threads", "cores"),
    [(0.0, 2, 2), (0.4, 2, 2), (1.0, 1, 2), (3.0, 4, 8), (1.0, 1, 1)],
)
def test_it_is_silent_where_there_is_room(others: float, threads: int, cores: int) -> None:
    assert fewer_threads(others, threads, cores) is None


def test_a_short_look_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    load = OtherLoad()
    monkeypatch.setattr(load, "cores", lambda: 1.0)
    assert load.advice(1000) is None
    monkeypatch.setattr("cnnexp.training.load.LOOK_S", 0.0)
    assert load.advice(1000) is not None
