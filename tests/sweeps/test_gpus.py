"""Processes of a sweep take GPUs by name; whether there are any, CUDA alone knows."""

import multiprocessing
import os
from pathlib import Path

import pytest

from cnnexp.sweeps.gpus import take_gpu, visible_gpus


def take(folder: Path, said: "multiprocessing.Queue[str | None]", end: object) -> None:
    first = take_gpu(folder)
    # Asked again while the others hold theirs: they let go when all have been heard.
    assert take_gpu(folder) == os.environ["CUDA_VISIBLE_DEVICES"] or take_gpu(folder) is None
    said.put(first)
    end.wait()  # type: ignore[attr-defined]


def test_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    context = multiprocessing.get_context("spawn")
    said, end = context.Queue(), context.Event()
    processes = [context.Process(target=take, args=(tmp_path, said, end)) for _ in range(3)]
    for process in processes:
        process.start()
    taken = [said.get(timeout=60) for _ in processes]
    assert sorted(taken, key=str) == ["2", "5", None], "the third shares"
    end.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"


@pytest.mark.parametrize(("listed", "names"), [("", []), ("3", ["3"]), ("0, 1", ["0", "1"])])
def test_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, names: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert visible_gpus() == names
    if len(names) < 2:
        assert take_gpu(tmp_path) is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == listed
