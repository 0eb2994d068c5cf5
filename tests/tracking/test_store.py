"""The store is made once, whatever asks for it; wrong stores are told in one line."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cnnexp.errors import InputError
from cnnexp.tracking import hints, lookup, store
from cnnexp.tracking.tracker import Tracker

# mlflow is imported once (seconds of processor time each), then four processes start at one moment.
FOUR = """
import multiprocessing
from cnnexp.tracking import store
from cnnexp.tracking.tracker import Tracker

def start(number, barrier):
    barrier.wait()
    with Tracker(experiment="same", run_name=str(number), system_metrics=False) as tracker:
        tracker.log_metrics({"number": float(number)}, step=0)

store._import_mlflow()
context = multiprocessing.get_context("fork")
barrier = context.Barrier(4)
processes = [context.Process(target=start, args=(number, barrier)) for number in range(4)]
for process in processes:
    process.start()
for process in processes:
    process.join()
print([process.exitcode for process in processes])
"""


def error(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.slow
def test_four_processes_on_a_fresh_store(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FOUR], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr == ""  # nor are migrations announced
    assert done.stdout == "[0, 0, 0, 0]\n"
    client = store.connect(f"sqlite:///{tmp_path}/mlflow.db")
    names = {experiment.name: experiment for experiment in client.search_experiments()}
    assert set(names) == {"Default", "same"}
    assert client.search_runs([names["Default"].experiment_id]) == []
    runs = client.search_runs([names["same"].experiment_id])
    assert sorted(run.data.metrics["number"] for run in runs) == [0, 1, 2, 3]
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"mlflow.db", "mlflow.db.lock"}


def test_what_a_killed_process_left_of_a_store_goes(tmp_path: Path) -> None:
    for name in (".mlflow.db.a1b2_3c4", ".mlflow.db.mine", ".other.db.a1b2_3c4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mlflow.db").write_bytes(bytes(100))
    store.ensure_store(f"sqlite:///{tmp_path}/mlflow.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".mlflow.db.mine", ".other.db.a1b2_3c4", "mlflow.db", "mlflow.db.lock",
    ]  # fmt: skip


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runs.db"
    path.parent.mkdir()
    path.touch()
    assert store.ensure_store(f"sqlite:///{path}") == f"sqlite:///{path}"
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("latest_metrics",) in tables


def test_relative_uris_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.absolute_uri("sqlite:///a b/mlflow.db") == f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert store.absolute_uri("sqlite:////abs/mlflow.db") == "sqlite:////abs/mlflow.db"
    assert store.absolute_uri("https://host:5000/") == "https://host:5000"


@pytest.mark.parametrize(
    "wrong",
    ["", "mlruns", "file:///mlruns", "sqlite:///", "sqlite://:memory:", "sqlite:///:memory:"],
)
def test_other_uris_are_refused(wrong: str) -> None:
    text = error(lambda: store.ensure_store(wrong))
    assert "tracking.uri" in text
    assert "sqlite:///file.db" in text


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database")
    assert "is not a SQLite database" in error(lambda: store.ensure_store(f"sqlite:///{path}"))
    assert path.read_text() == "these are my notes, not a database"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = error(lambda: store.ensure_store(f"sqlite:///{tmp_path}/file/mlflow.db"))
    assert "tracking.uri: cannot write" in text


def test_a_store_of_another_mlflow_is_left_alone(uri: str) -> None:
    path = uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")  # MLflow 0.9
    database.close()
    before = Path(path).read_bytes()
    assert f"mlflow db upgrade '{uri}'" in error(lambda: store.ensure_store(uri))
    assert Path(path).read_bytes() == before


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = time.monotonic()
    text = error(lambda: store.ensure_store(f"http://me:secret@127.0.0.1:{port}"))
    assert time.monotonic() - start < 5
    assert "no MLflow server answers" in text
    assert "tracking.uri" in text
    assert "secret" not in text


@pytest.mark.slow  # it waits thirty seconds
def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        error(lambda: store.ensure_store(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - start < 45, "one attempt"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_a_deleted_experiment(uri: str) -> None:
    client = store.connect(uri)
    number = lookup.experiment_by_name(client, uri, "cats")
    assert lookup.experiment_by_name(client, uri, "cats") == number
    # Else MLflow's pages would open as those of a language model's application.
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    client.delete_experiment(number)
    text = error(lambda: lookup.experiment_by_name(client, uri, "cats"))
    assert f"mlflow experiments restore --experiment-id {number}" in text


def test_an_experiment_that_another_process_made_meanwhile(uri: str) -> None:
    from mlflow import MlflowClient

    class Late(MlflowClient):
        """Sees the store as it was before the other process wrote to it, once."""

        looked = False

        def get_experiment_by_name(self, name: str) -> Any:
            if not self.looked:
                self.looked = True
                return None
            return super().get_experiment_by_name(name)

    number = store.connect(uri).create_experiment("cats")
    assert lookup.experiment_by_name(Late(uri), uri, "cats") == number


def test_artifacts_lie_beside_the_store(uri: str) -> None:
    client = store.connect(uri)
    experiment = client.get_experiment(lookup.experiment_by_name(client, uri, "a/b: ü"))
    beside = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / "a_b_ü"
    assert experiment.artifact_location == beside.as_uri()


def make_run(uri: str, folder: Path) -> str:
    with Tracker(uri, system_metrics=False, folder=folder) as tracker:
        assert tracker.run_id is not None
        return tracker.run_id


def test_a_run_is_found_by_its_id(uri: str, tmp_path: Path) -> None:
    run_id = make_run(uri, tmp_path)
    assert lookup.find_run_folder(run_id, uri) == tmp_path
    assert lookup.find_run_folder(run_id[:12], uri) == tmp_path


def test_runs_that_cannot_be_found(uri: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    first, second = make_run(uri, gone), make_run(uri, gone)
    assert f"kept in {gone}" in error(lambda: lookup.find_run_folder(first, uri))
    assert "no MLflow run starts with" in error(lambda: lookup.find_run_folder("0" * 32, uri))
    assert "neither a folder nor" in error(lambda: lookup.find_run_folder("last'%", uri))
    other = store.connect(uri).create_run("0").info.run_id
    assert "not made by cnnexp" in error(lambda: lookup.find_run_folder(other, uri))
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        for table in ("runs", "tags"):
            change = (
                f"UPDATE {table} SET run_uuid = ? || substr(run_uuid, 6) WHERE run_uuid IN (?, ?)"
            )
            database.execute(change, ("abcde", first, second))
    database.close()
    text = error(lambda: lookup.find_run_folder("abcde", uri))
    assert "abcde" + first[5:] in text
    assert "abcde" + second[5:] in text


def test_looking_for_a_run_makes_no_store(tmp_path: Path) -> None:
    error(lambda: lookup.find_run_folder("abcdef", f"sqlite:///{tmp_path}/mlflow.db"))
    assert list(tmp_path.iterdir()) == []


def test_the_hint_names_the_store(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hints.hint(uri, "1", "abc") == f"mlflow ui --backend-store-uri '{uri}'"
    monkeypatch.chdir(Path(uri.removeprefix("sqlite:///")).parent)
    assert hints.hint(uri, "1", "abc") == "mlflow ui"
    old = Path("mlruns/0/meta.yaml")  # then a bare `mlflow ui` opens ./mlruns
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps({}))
    assert hints.hint(uri, "1", "abc") != "mlflow ui"
    assert hints.hint("http://me:secret@host:5000", "1", "abc") == (
        "http://***@host:5000/#/experiments/1/runs/abc"
    )
