"""Several processes train as one does: real ones, over gloo, started by the command."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.__main__ import main
from cnnexp.errors import InputError
from cnnexp.processes import Place, place
from cnnexp.start import check_parts

# 126 training images make batches of 63: no half of one is as large as the other. Phases: a head on
# frozen blocks whose outputs are stored, then the last block with it.
SMALL = [
    "dataset=shapes", "dataset.images=230", "dataset.image_size=24", "dataset.split.train=0.55",
    "model.norm=group", "model.widths=[[8],[8]]", "model.dense=[]", "phases=finetune",
    "phases.head.epochs=2", "phases.finetune.epochs=3", "training.class_weights=balanced",
    "trainer.precision=32-true", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1",
    "visualization=none", "tracking=none",
]  # fmt: skip
# More than a second: a signal finds it at work.
LONG = [line.replace("finetune.epochs=3", "finetune.epochs=30") for line in SMALL]
TWO = ["trainer=ddp", "trainer.devices=2"]
STEP = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "2"}  # fmt: skip
ELASTIC = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1",
           "LOCAL_WORLD_SIZE": "2"}  # fmt: skip


def start(folder: Path, *typed: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cnnexp", *typed], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "CNNEXP_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes."""
    work = tmp_path_factory.mktemp("two")
    process = start(work, *SMALL, *TWO)
    told, problems = process.communicate()
    assert process.returncode == 0, problems
    assert "batches of 64 in 2 parts, one for each process" in told
    assert told.count("test      after finetune: accuracy") == 1, "the others say nothing"
    (folder,) = (work / "outputs" / "shapes_baseline").iterdir()
    return folder


def metrics(folder: Path) -> dict[tuple[str, str], float]:
    """(step, name) -> value, without times."""
    with (folder / "metrics.csv").open() as file:
        rows = [(row["step"], row["metric"], float(row["value"])) for row in csv.DictReader(file)]
    assert len({row[:2] for row in rows}) == len(rows), "no metric step twice"
    return {row[:2]: row[2] for row in rows if not row[1].endswith(("_s", "_per_s"))}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "checkpoints" / "finetune" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def test_two_processes_train_as_one_does(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    one = cnnexp.run(SMALL).folder
    assert one is not None
    expected = metrics(one)
    assert len([name for _, name in expected if name == "train/loss_step"]) == 5 * 2
    assert metrics(two) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, rtol=1e-4, atol=1e-5)
    said = [(run / "predictions.csv").read_text().splitlines() for run in (one, two)]
    assert [row.split(",")[:3] for row in said[0]] == [row.split(",")[:3] for row in said[1]]


@pytest.mark.slow
def test_a_run_of_two_processes_is_repeated_by_two(two: Path) -> None:
    typed = (f"run=outputs/shapes_baseline/{two.name}", "paths.outputs=again", "tracking=none")
    again = start(two.parents[2], "task=reproduce", *typed)
    told, problems = again.communicate()
    assert (again.returncode, problems) == (0, "")
    assert "in 2 parts, one for each process" in told
    assert told.count(" predictions, to the bit") == 1
    assert "differs" not in told


@pytest.mark.slow
def test_stopped_together_and_gone_on_with(tmp_path: Path) -> None:
    """SIGTERM to the command: all save the same step; what follows is as if nothing had been."""
    uninterrupted = start(tmp_path, *LONG, *TWO, "name=whole")
    _, problems = uninterrupted.communicate()
    assert uninterrupted.returncode == 0, problems
    (whole,) = (tmp_path / "outputs" / "whole").iterdir()
    stopped = start(tmp_path, *LONG, *TWO, "name=stopped")
    until = time.monotonic() + 300
    while not list(tmp_path.glob("outputs/stopped/*/checkpoints/finetune/last.ckpt")):
        assert time.monotonic() < until
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    told, problems = stopped.communicate()
    assert (stopped.returncode, problems) == (143, "")
    (folder,) = (tmp_path / "outputs" / "stopped").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    assert f"resume=outputs/stopped/{folder.name}" in told

    going_on = start(tmp_path, f"resume={folder.relative_to(tmp_path)}")
    _, problems = going_on.communicate()
    assert (going_on.returncode, problems) == (0, "")
    assert metrics(folder) == metrics(whole)
    for name, value in weights(whole).items():
        assert torch.equal(weights(folder)[name], value), name


@pytest.mark.slow
def test_a_finished_run_is_done_for_all(two: Path) -> None:
    """As when a cluster queues its job once more."""
    process = start(two.parents[2], *SMALL, *TWO, "resume=auto")
    told, problems = process.communicate(timeout=120)
    assert (process.returncode, problems) == (0, "")
    assert told.count("finished ") == 1
    assert two.name in told
    assert len(list(two.parent.iterdir())) == 1


@pytest.mark.slow
def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    """It is found when the processes know each other already."""
    wrong = ["visualization=gradcam", "visualization.gradcam.layer=blok1"]
    process = start(tmp_path, *SMALL, *TWO, *wrong)
    _, problems = process.communicate()
    assert process.returncode == 2
    note, line = problems.splitlines()
    assert note == "note: visualization is typed twice; the last counts: visualization=gradcam"
    assert line.startswith("error: visualization.gradcam.layer: no block 'blok1'")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_what_fails_in_training_is_said_once(tmp_path: Path) -> None:
    """By the first process, which has written it down before a launcher ends it."""
    process = start(tmp_path, *SMALL, *TWO, "optimizer.lr=1e30")
    _, problems = process.communicate()
    assert process.returncode == 2
    (line,) = problems.splitlines()
    assert line.startswith("error: the validation loss is nan after epoch 1: training diverged")
    (path,) = tmp_path.glob("outputs/*/*/run.json")
    assert json.loads(path.read_text())["status"] == "FAILED"


@pytest.mark.parametrize(
    ("size", "images", "smallest"),
    [(3, 230, 2), (6, 7, 3), (6, 13, 4), (64, 65, 32), (64, 230, 57)],
)
def test_a_batch_is_large_enough_for_all(
    size: int, images: int, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images for each of the two processes, in the smallest batch, too."""
    for name, value in ELASTIC.items():
        monkeypatch.setenv(name, value)
    config = {"task": {"name": "train"}, "trainer": {"devices": 2}, "dataset": {"batch_size": size}}
    if smallest >= 4:
        check_parts(config, images)
    else:
        with pytest.raises(InputError, match=f"dataset.batch_size={size}: {smallest} images"):
            check_parts(config, images)


def test_python_starts_no_processes() -> None:
    with pytest.raises(InputError, match=r"trainer\.devices=2: only the command line starts"):
        cnnexp.run([*SMALL, *TWO])


@pytest.mark.parametrize(
    ("devices", "environment", "expected"),
    [
        (1, STEP, Place()),  # a job of one process sees no cluster
        (2, {}, None),
        ("auto", {"SLURM_STEP_NUM_TASKS": "1"}, None),  # srun python … trainer=ddp
        (2, ELASTIC, Place(1, 2, 1, 2)),
        ("auto", STEP, Place(3, 4, 1, 2)),
        (2, STEP, Place(3, 4, 1, 2)),
    ],
)
def test_place(
    devices: object,
    environment: dict[str, str],
    expected: Place | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = {"task": {"name": "train"}, "trainer": {"devices": devices}}
    assert place(config) == expected
    assert place({**config, "task": {"name": "evaluate"}}) == Place()


@pytest.mark.parametrize(
    ("devices", "changed"),
    [(4, {}), ("auto", {"SLURM_STEP_NUM_TASKS": "3"}), (2, {"SLURM_NTASKS_PER_NODE": None})],
)
def test_another_number_of_tasks(
    devices: object, changed: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (STEP | changed).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="use srun --ntasks-per-node="):
        place({"task": {"name": "train"}, "trainer": {"devices": devices}})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_needs_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "trainer=ddp"]) == 2
    problems = capsys.readouterr().err
    assert problems.startswith("error: trainer.devices=auto: torch sees no GPU here; say how many")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("many", [["-m", "seed=0,1"], ["task=suite", "suite=cifar10"]])
def test_no_sweep_of_several_processes(
    many: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*many, *TWO]) == 2
    assert "trainer.devices=2: a sweep's jobs are one process each; of" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
