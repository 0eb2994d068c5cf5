"""A SQLite store that is locked or deleted under a running job: the run ends as it would, and what
the store lacks comes in then, or with the command that is said."""

import csv
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cnnexp.__main__ import main
from cnnexp.tracking import lookup, outbox, store

pytestmark = pytest.mark.slow
EPOCHS = 30
STORE = Path("mlflow.db")
WORDS = ["tracking=mlflow", f"trainer.max_epochs={EPOCHS}", "visualization=activations"]
MLFLOW_WAITS = 20.0  # seconds for who writes just now: mlflow.store.db.utils, PRAGMA busy_timeout


@pytest.fixture
def train(work: Path, small: list[str]) -> Callable[[Callable[[], None]], str]:
    """A run under which something happens once it trains; what it said."""

    def trained(happening: Callable[[], None]) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "cnnexp", *small, *WORDS],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        while not any("val/loss" in path.read_text() for path in work.rglob("metrics.csv")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        happening()
        said = process.communicate(timeout=600)[0]
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert all(len(line) < 300 for line in said.splitlines() if line.startswith("note"))
        return said

    return trained


def lock(seconds: float) -> None:
    """Another program begins to write, and takes its time."""
    with closing(sqlite3.connect(STORE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)


def bring_in(said: str) -> None:
    (command,) = re.findall(r"what is missing there: python (.+)", said)
    done = subprocess.run(
        [sys.executable, *shlex.split(command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check_whole() -> None:
    """MLflow has of the run what its folder has."""
    (folder,) = Path("outputs/small").iterdir()
    client = store.connect(store.absolute_uri(f"sqlite:///{STORE}"))
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.tags[lookup.WHOLE_TAG]) == ("FINISHED", "true")
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "val/loss"]
    history = client.get_metric_history(run.info.run_id, "val/loss")
    there = sorted((one.step, one.value) for one in history)
    assert there == [(int(row["step"]), pytest.approx(float(row["value"]))) for row in rows]
    assert len(there) == EPOCHS
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "predictions.csv", "report.html", "figures"} <= files


def test_locked_while_mlflow_waits(train: Callable[[Callable[[], None]], str]) -> None:
    said = train(lambda: lock(MLFLOW_WAITS / 4))
    assert "MLflow" not in said
    check_whole()


def test_locked_for_longer(train: Callable[[Callable[[], None]], str]) -> None:
    """The run waits for its store at its end."""
    said = train(lambda: lock(MLFLOW_WAITS + outbox.PATIENCE_SECONDS / 2))
    assert "database is locked" in said
    assert "task=sync" not in said
    check_whole()


def test_locked_before_it_begins(
    work: Path, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store.ensure_store(f"sqlite:///{STORE}")
    with closing(sqlite3.connect(STORE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert main([*small, *WORDS]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # keys are typed twice, which is said
    assert line.endswith("database is locked; end the program that writes into it, or wait for it")
    assert not Path("outputs").exists()


def test_deleted(train: Callable[[Callable[[], None]], str]) -> None:
    said = train(STORE.unlink)
    assert "metrics wait to be sent" in said
    bring_in(said)
    check_whole()


def test_overwritten(train: Callable[[Callable[[], None]], str]) -> None:
    def overwrite() -> None:
        STORE.unlink()
        STORE.write_bytes(bytes(range(256)) * 20)

    said = train(overwrite)
    assert not store.locked(STORE.absolute())  # it is no database at all
    STORE.unlink()
    bring_in(said)
    check_whole()
