"""Real sweeps: killed and begun again, several processes at once, a search with hopeless trials."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from cnnexp.config.saved import record
from cnnexp.runs import died
from cnnexp.sweeps.ledger import Ledger
from cnnexp.sweeps.words import ranked
from cnnexp.tracking.store import connect

CNNEXP = [sys.executable, "-m", "cnnexp"]
SMALL = [
    "dataset=shapes", "dataset.images=120", "dataset.image_size=32", "trainer.max_epochs=2",
    "model.widths=[[4,4],[4,4]]", "model.dense=[]", "visualization=none",
    "tracking.system_metrics=false", "tracking.log_model=false", "name=small",
]  # fmt: skip

LONG = [line.replace("max_epochs=2", "max_epochs=500") for line in SMALL]


def start(folder: Path, *typed: str, small: Sequence[str] = SMALL) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*CNNEXP, *typed, *small], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "CNNEXP_CACHE": str(folder / "cache")},
    )  # fmt: skip


def jobs(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in folder.glob("outputs/sweeps/*/jobs/*.json")]
    return sorted(found, key=lambda job: job["number"])


def finished(folder: Path) -> int:
    return sum(job["status"] == "FINISHED" for job in jobs(folder))


def runs(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("outputs/small/*/run.json")]


def statuses(folder: Path) -> list[str]:
    """Of the runs, as their folders have it."""
    return [record(run)["status"] for run in runs(folder)]


def until_begun(folder: Path, count: int, times: int = 1) -> None:
    """Until so many jobs train, for the times-th time."""
    end, logs = time.monotonic() + 120, "outputs/small/*/log.txt"
    while True:
        texts = [path.read_text() for path in folder.glob(logs)]
        if sum(text.count("epoch   train loss") >= times for text in texts) >= count:
            return
        assert time.monotonic() < end
        time.sleep(0.2)


def tracked(folder: Path) -> tuple[list[Any], list[Any]]:
    """MLflow's parent runs and their children."""
    client = connect(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return parents, [run for run in runs if run not in parents]


def check_whole(folder: Path, count: int) -> None:
    """Each job once: one folder, one run in MLflow, below one parent."""
    assert [job["status"] for job in jobs(folder)] == ["FINISHED"] * count
    folders = [Path(job["folder"]) for job in jobs(folder)]
    assert sorted(folders) == sorted((folder / "outputs" / "small").iterdir())
    (parent,), children = tracked(folder)
    assert len(children) == count
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    ids = {json.loads((path / "run.json").read_text())["mlflow_run_id"] for path in folders}
    assert ids == {run.info.run_id for run in children}
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    best = ranked(Ledger(sweep).entries())[0]
    assert parent.data.metrics["best/val/accuracy"] == pytest.approx(best.mean)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "after"), [(4, 2), (12, 5)])
def test_a_killed_sweep_goes_on(tmp_path: Path, count: int, after: int) -> None:
    command = ["-m", f"optimizer.lr={','.join(f'0.{i + 1:03d}' for i in range(count))}"]
    sweep = start(tmp_path, *command)
    until, at_work = time.monotonic() + 600, 0
    while finished(tmp_path) < after and time.monotonic() < until:
        assert sweep.poll() is None, sweep.communicate()[0]
        at_work += any(record(r)["status"] == "RUNNING" and not died(r) for r in runs(tmp_path))
        time.sleep(0.05)
    assert at_work > 10
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate()
    assert all(died(run) for run in runs(tmp_path) if record(run)["status"] == "RUNNING")
    before = {job["folder"] for job in jobs(tmp_path) if job["status"] == "FINISHED"}
    assert after <= len(before) < count
    told, _ = start(tmp_path, *command).communicate()
    assert f"finished already: {len(before)} of {count} jobs" in told
    assert before <= {job["folder"] for job in jobs(tmp_path)}
    check_whole(tmp_path, count)

    again = start(tmp_path, *command, small=SMALL[::-1])
    told, _ = again.communicate()
    assert again.returncode == 0
    assert "\njob " not in told, "nothing is left to do, in whichever order it is typed"
    assert "best      python -m cnnexp" in told
    check_whole(tmp_path, count)


@pytest.mark.slow
def test_four_processes_share_the_jobs(tmp_path: Path) -> None:
    command = ["-m", "seed=range(0,8)"]
    for sweep in [start(tmp_path, *command) for _ in range(4)]:
        told, _ = sweep.communicate()
        assert sweep.returncode == 0, told
    check_whole(tmp_path, 8)


@pytest.mark.slow
def test_jobs_beside_each_other(tmp_path: Path) -> None:
    """In processes of their own; one that fails is told at once and does not stop the others."""
    sweep = start(tmp_path, "-m", "seed=0,1", "optimizer.lr=0.01,1e30", "n_jobs=2")
    told, _ = sweep.communicate()
    assert sweep.returncode == 1, told
    assert [job["status"] for job in jobs(tmp_path)] == ["FINISHED", "FAILED"] * 2
    assert told.count("FAILED: ") == 2
    assert "epoch   train loss" not in told, "their own lines would be mixed up"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_beside_each_other(tmp_path: Path, number: int, code: int) -> None:
    """Their processes are ended at once: the sweep says for them that they were stopped."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    try:
        sweep = start(tmp_path, "-m", "seed=0,1,2", "n_jobs=2", small=LONG)
    finally:
        signal.signal(signal.SIGINT, before)
    until_begun(tmp_path, 2)
    os.kill(sweep.pid, number) if number == signal.SIGTERM else os.killpg(sweep.pid, number)
    told, _ = sweep.communicate(timeout=60)
    assert (sweep.returncode, "Traceback" in told) == (code, False), told
    assert "\nto go on: python -m cnnexp -m seed=0,1,2 n_jobs=2" in told
    assert [job["status"] for job in jobs(tmp_path)] == ["STOPPED", "STOPPED", "WAITING"]
    assert statuses(tmp_path) == ["KILLED"] * 2
    parents, children = tracked(tmp_path)
    assert {run.info.status for run in (*parents, *children)} == {"KILLED"}
    assert (len(parents), len(children)) == (1, 2)


@pytest.mark.slow
def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """As a machine that is short of memory does it: its job goes on where it was, and fails when it
    happens again; the others come to their end.
    """
    sweep = start(tmp_path, "-m", "seed=0,1", "n_jobs=2", small=LONG)
    for times in (1, 2):
        until_begun(tmp_path, 2, times)
        workers = [
            p for p in psutil.Process(sweep.pid).children() if "popen_loky" in str(p.cmdline())
        ]
        workers[0].kill()
    told, _ = sweep.communicate(timeout=120)
    assert (sweep.returncode, "Traceback" in told) == (1, False), told
    assert told.count("ended by SIGKILL(-9), itself or one beside it; it goes on where it was") == 2
    assert told.count("FAILED: ") == 2
    assert [job["status"] for job in jobs(tmp_path)] == ["FAILED"] * 2
    assert statuses(tmp_path) == ["KILLED"] * 2, "one folder each"
    assert "short of memory? n_jobs=1" in told


@pytest.mark.slow
def test_a_search(tmp_path: Path) -> None:
    """Optuna's trials are jobs as others are; the test images stay untouched."""
    command = ["sweep=optuna", "optimizer.lr=tag(log,interval(1e-6,3e-1))", "search.trials=8"]
    sweep = start(tmp_path, *command)
    told, _ = sweep.communicate()
    assert sweep.returncode == 0, told
    states = [job["status"] for job in jobs(tmp_path)]
    assert len(states) == 8
    assert set(states) <= {"FINISHED", "PRUNED"}
    for job in jobs(tmp_path):
        assert not any(name.startswith("test/") for name in job["metrics"])
        assert not (Path(job["folder"]) / "predictions.csv").exists()
    assert "\nown       the config's own values (job 1) reached val/accuracy 0." in told
    (line,) = [line for line in told.splitlines() if line.startswith("best ")]
    assert "optimizer.lr=" in line
    assert "sweep=seeds" in line
    assert "sweep=optuna" not in line, "the search is over"
