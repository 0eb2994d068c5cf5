"""Disks that are full, and folders that nobody may write to: one line, and the run goes on later.

A small tmpfs is the disk: needs root.
"""

import csv
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.__main__ import main
from cnnexp.training.checkpoints import WholeFileIO

SMALL = [
    "dataset=shapes", "dataset.images=200", "dataset.image_size=24", "model.widths=[[8],[8]]",
    "model.dense=[16]", "name=small", "visualization=activations", "trainer.max_epochs=2",
    "tracking.system_metrics=false",
]  # fmt: skip
pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes it so large, in bytes; it holds what it held."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: int) -> Path:
        options = f"size={size}" if not os.path.ismount(place) else f"remount,size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
        return place

    yield sized
    if os.path.ismount(place):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(place: Path) -> int:
    numbers = os.statvfs(place)
    return (numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize


def results(folder: Path) -> list[tuple[str, ...]]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    return [row for row in rows if row[2] not in ("train_s", "images_per_s", "elapsed_s")]


@pytest.mark.parametrize("size", [600_000, 5_000_000])  # a little too large, far too large
def test_a_checkpoint_that_does_not_fit_is_the_disks_refusal(
    size: int, disk: Callable[[int], Path]
) -> None:
    place = disk(2_000_000)
    with pytest.raises(OSError, match="No space left on device"):
        WholeFileIO().save_checkpoint({"weights": torch.zeros(size)}, place / "last.ckpt")
    assert list(place.iterdir()) == []


def test_a_full_disk_before_anything_is_written_is_said(
    disk: Callable[[int], Path],
    work: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = disk(16_384)
    (place / "full").write_bytes(bytes(4096))
    assert main([*SMALL, "tracking=none", f"paths.outputs={place}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device: make room there, and try again" in line


def test_a_store_that_finds_no_room_is_refused_whole(
    disk: Callable[[int], Path], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = disk(100_000)
    store = f"sqlite:///{place}/mlflow.db"
    assert main([*SMALL, f"paths.outputs={work}", f"tracking.uri={store}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"tracking.uri: cannot make {place}/mlflow.db: " in line
    assert "disk is full; make room, set tracking.uri=" in line
    assert [path.name for path in place.iterdir()] == ["mlflow.db.lock"]
    assert not list(work.glob("small/*"))


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    disk: Callable[[int], Path],
    work: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """At ten sizes, from what the first files take to what all take: in each the run ends whole, or
    in one line, and then as the one that had room.
    """
    place = disk(100_000_000)
    whole = cnnexp.run([*SMALL, f"paths.outputs={place}/whole"]).folder
    assert whole is not None
    needed = used(place)
    stopped = 0
    for tenth in range(10):
        room = used(place) + (tenth + 1) * needed // 10
        disk(room)
        outputs = f"paths.outputs={place}/cut{tenth}"
        capsys.readouterr()
        code = main([*SMALL, outputs])
        problems = capsys.readouterr().err
        assert code == (2 if problems else 0)
        if not code:
            continue
        stopped += 1
        record_property("full disks", 1)
        (line,) = problems.splitlines()
        assert "No space left on device" in line
        disk(room + 2 * needed)
        folders = list((place / f"cut{tenth}" / "small").glob("*/run.json"))
        if folders:  # else nothing had begun
            again = shlex.split(line.partition("go on with: python -m cnnexp ")[2])
            assert main([*again, outputs]) == 0
            (folder,) = (path.parent for path in folders)
            assert json.loads((folder / "run.json").read_text())["status"] == "FINISHED"
            assert results(folder) == results(whole), tenth
            assert [p for p in folder.rglob("*") if p.name.endswith(".part")] == []
    assert stopped >= 5


@pytest.mark.parametrize(
    "command",
    [["task=anatomy"], ["-m", "seed=0,1", *SMALL, "tracking=none"]],
    ids=["task", "sweep"],
)
def test_a_full_disk_is_one_line_everywhere(
    command: list[str], disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place = disk(1 << 16)
    with suppress(OSError), (place / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    assert main([*command, f"paths.outputs={place}"]) == 2
    assert "No space left on device: make room there, and try again\n" in capsys.readouterr().err
