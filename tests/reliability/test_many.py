"""Sixteen commands at once, where nothing is yet: neither a cache nor a store."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.tracking.lookup import logged_steps
from cnnexp.tracking.store import connect

COUNT = 16
IMAGES = 120
DATASET = f"""
import os, time
import numpy as np
from cnnexp.datasets.source import Source

def written_down() -> Source:
    def read(i):
        time.sleep(0.05)
        with open("reads", "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        return np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)

    names = [f"{{i:03d}}" for i in range({IMAGES})]
    return Source("written_down", ("cat", "dog"), names, np.arange({IMAGES}) % 2, read, "1")
"""
YAML = """# Each read leaves its process's number in a file.
_target_: written_down.written_down
image_size: 16
batch_size: 16
split: { train: 0.6, validation: 0.2, test: 0.2 }
"""
WORDS = [
    "dataset=written_down", "model.widths=[[4],[4]]", "model.dense=[]", "name=many",
    "trainer.max_epochs=2", "visualization=none", "tracking.system_metrics=false",
]  # fmt: skip


def start(folder: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnexp", "--config-dir", "mine", *WORDS, f"seed={seed}"],
        cwd=folder,
        env={**os.environ, "CNNEXP_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_nothing_is_lost_or_done_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    (tmp_path / "mine" / "dataset").mkdir(parents=True)
    (tmp_path / "mine" / "written_down.py").write_text(DATASET)
    (tmp_path / "mine" / "dataset" / "written_down.yaml").write_text(YAML)
    first = start(tmp_path, COUNT)
    begun_s = time.monotonic()
    while not (tmp_path / "reads").exists():  # it holds the cache's lock
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() - begun_s < 120
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (tmp_path / "reads").unlink()

    processes = [start(tmp_path, seed) for seed in range(COUNT)]
    said = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * COUNT, said
    reads = Counter((tmp_path / "reads").read_text().split())
    # One has read them all, and some of them once more; who finds the store looks at as many.
    most, *others = sorted(reads.values(), reverse=True)
    assert IMAGES + 2 <= most <= IMAGES + 12
    assert all(2 <= count <= 12 for count in others)

    folders = sorted((tmp_path / "outputs" / "many").iterdir())
    client = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("many")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(folders) == COUNT, "the killed one had not begun"
    assert [run.info.status for run in runs] == ["FINISHED"] * COUNT
    by_folder = {Path(run.data.tags["cnnexp.folder"]).name: run.info.run_id for run in runs}
    for folder in folders:
        with (folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] == "val/loss"]
        assert len(rows) == 2
        there = logged_steps(client, by_folder[folder.name], "val/loss")
        assert there == {int(row["step"]) for row in rows}
        record_property("runs at once", 1)
