"""A run that is killed at any moment and begun again is, to the bit, the one that never was.

CNNEXP_KILLS says how many moments are tried of each kind and experiment (5: 40 kills in all).
"""

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnexp.tracking.store import connect

KILLS = int(os.environ.get("CNNEXP_KILLS", "5"))
SMALL = [
    "dataset=shapes", "dataset.images=240", "dataset.image_size=24", "dataset.batch_size=16",
    "model.widths=[[8],[8]]", "model.dense=[16]", "model.head_dropout=0.2", "name=small",
    "tracking.system_metrics=false", "trainer.log_every_n_steps=2", "visualization=activations",
]  # fmt: skip
TWO_PHASES = ["phases=finetune", "phases.head.epochs=3", "phases.finetune.epochs=3"]
EXPERIMENTS = {
    "one phase": ["trainer.max_epochs=6", "augmentation=crop_flip", "training.ema=0.9"],
    "stopped early": ["trainer.max_epochs=9", "training.early_stopping=2", "training.mixup=0.2"],
    "cached": [*TWO_PHASES, "phases.finetune.trainable=[block2,head]"],
    "not cached": [*TWO_PHASES, "augmentation=crop_flip", "training.mixup=0.2"],
}
TIMED = {"train_s", "images_per_s", "elapsed_s"}

# `python -m cnnexp` that kills itself as its N-th file takes its place, or just after.
KILLED_AT_A_FILE = """
import atexit, os, runpy, signal, sys
wanted, after = int(sys.argv.pop(1)), sys.argv.pop(1) == "after"
count = 0
def killing(move):
    def moved(*paths, **options):
        global count
        count += 1
        if count == wanted and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = move(*paths, **options)
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return moved
os.replace, os.rename = killing(os.replace), killing(os.rename)
atexit.register(lambda: print("moved", count, file=sys.stderr))
runpy.run_module("cnnexp", run_name="__main__")
"""


def command(*before: str, words: Sequence[str], folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *before, *words, *SMALL, "resume=auto"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "CNNEXP_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def at_a_time(folder: Path, words: Sequence[str], after_s: float) -> str:
    """Killed after so many seconds, unless it has ended by then."""
    process = command("-m", "cnnexp", words=words, folder=folder)
    try:
        return process.communicate(timeout=after_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def at_a_file(folder: Path, words: Sequence[str], number: int, when: str) -> str:
    before = ("-c", KILLED_AT_A_FILE, str(number), when)
    return command(*before, words=words, folder=folder).communicate()[0]


def to_the_end(folder: Path, words: Sequence[str]) -> str:
    """The same command again."""
    process = command("-m", "cnnexp", words=words, folder=folder)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """All that a checkpoint holds: weights, the optimizer's and the average's."""
    found: dict[str, torch.Tensor] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif isinstance(value, dict):
            for key, one in value.items():
                walk(one, f"{name}.{key}")
        elif isinstance(value, list | tuple):
            for key, one in enumerate(value):
                walk(one, f"{name}.{key}")

    walk(torch.load(path, weights_only=True, map_location="cpu"), "")
    return found


def metrics(path: Path) -> list[tuple[str, ...]]:
    with path.open(newline="") as file:
        table = [tuple(row.values()) for row in csv.DictReader(file)]
    return [row for row in table if row[2] not in TIMED]


def history(folder: Path) -> dict[str, Any]:
    """What MLflow has: of one run, its state, what was logged when, its files."""
    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    points = {
        key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
        if key not in TIMED
    }
    files, folders = [], [""]
    while folders:
        for one in client.list_artifacts(run.info.run_id, folders.pop() or None):
            (folders if one.is_dir else files).append(one.path)
    inputs = sorted(one.dataset.name for one in run.inputs.dataset_inputs)
    return {
        "status": run.info.status,
        "metrics": points,
        "parameters": {k: v for k, v in run.data.params.items() if not k.startswith("paths.")},
        "inputs": inputs,
        "files": sorted(files),
    }


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def check_same(whole: Path, killed: Path) -> None:
    (own,), (other,) = ((f / "outputs" / "small").iterdir() for f in (killed, whole))
    assert names(own) == names(other), "files"
    for path in other.glob("checkpoints/*/*.ckpt"):
        ours, theirs = tensors(own / path.relative_to(other)), tensors(path)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), path
    assert metrics(own / "metrics.csv") == metrics(other / "metrics.csv")
    for name in ("predictions.csv", "splits.csv", "anatomy.csv"):
        assert (own / name).read_bytes() == (other / name).read_bytes(), name
    assert json.loads((own / "run.json").read_text())["status"] == "FINISHED"
    assert history(killed) == history(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_and_begun_again(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    words = EXPERIMENTS[name]
    (tmp_path / "warm").mkdir()
    to_the_end(tmp_path / "warm", words)  # whatever Python compiles
    whole = tmp_path / "whole"
    whole.mkdir()
    began_s = time.monotonic()
    said = at_a_file(whole, words, -1, "")
    took_s = time.monotonic() - began_s
    files = int(said.rpartition("moved ")[2])
    chance = random.Random(name)
    moments: list[tuple[Any, ...]] = [
        *((at_a_time, chance.uniform(0, took_s)) for _ in range(KILLS)),
        *((at_a_file, number, chance.choice(["before", "after"]))
          for number in sorted(chance.sample(range(1, files + 1), KILLS))),
    ]  # fmt: skip
    wrong = []
    for number, (kill, *when) in enumerate(moments):
        folder = tmp_path / f"killed{number}"
        folder.mkdir()
        said = kill(folder, words, *when)
        again = to_the_end(folder, words)
        try:
            check_same(whole, folder)
            record_property("kills survived", 1)
        except AssertionError as error:
            wrong.append(f"{kill.__name__} {when}: {error}\n{said[-600:]}\n{again[-600:]}")
    assert not wrong, f"{len(wrong)} of {len(moments)}:\n" + "\n---\n".join(wrong)
