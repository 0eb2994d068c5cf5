"""A real server on loopback: a bare `mlflow ui` shows the runs, and runs can be kept by it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cnnexp.tracking import lookup, outbox, store
from cnnexp.tracking.tracker import Tracker

pytestmark = pytest.mark.slow


@contextmanager
def mlflow_ui(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """`mlflow ui` started in `folder` with nothing but a port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < end, (folder / "server.log").read_text()
                time.sleep(0.3)
        yield address, process
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def get(address: str, route: str, /, **query: str) -> bytes:
    with urllib.request.urlopen(f"{address}{route}?{urllib.parse.urlencode(query)}") as answer:
        return answer.read()


def test_a_bare_mlflow_ui_shows_runs_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cam.png").write_bytes(b"\x89PNG and more")
    with Tracker(experiment="cats", run_name="first", system_metrics=False) as tracker:
        tracker.log_metrics({"val/accuracy": 0.75, "epoch": 3}, step=40)
        tracker.log_file("cam.png", "figures")
        assert tracker.hint == "mlflow ui"
        assert tracker.run_id is not None
    with mlflow_ui(tmp_path) as (address, _):
        api = "/api/2.0/mlflow"
        run = json.loads(get(address, f"{api}/runs/get", run_id=tracker.run_id))["run"]
        assert run["info"]["run_name"] == "first"
        assert run["info"]["status"] == "FINISHED"
        metrics = {m["key"]: (m["value"], int(m["step"])) for m in run["data"]["metrics"]}
        assert metrics == {"val/accuracy": (0.75, 40), "epoch": (3, 40)}
        listed = get(address, f"{api}/artifacts/list", run_id=tracker.run_id, path="figures")
        assert [file["path"] for file in json.loads(listed)["files"]] == ["figures/cam.png"]
        image = get(address, "/get-artifact", run_uuid=tracker.run_id, path="figures/cam.png")
        assert image == b"\x89PNG and more"


def test_runs_on_a_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cam.png").write_bytes(b"\x89PNG")
    with mlflow_ui(tmp_path) as (address, process):
        with Tracker(address, experiment="cats", folder=tmp_path) as tracker:
            tracker.log_params({"empty": "", "lr": 0.1})
            tracker.log_metrics({"loss": float("nan")}, 0)
            tracker.log_metrics({"loss": 0.5}, 1)
            tracker.log_file(tmp_path / "cam.png")
        run_id = tracker.run_id
        assert run_id is not None
        run = store.connect(address).get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.params == {"empty": "", "lr": "0.1"}
        assert run.data.metrics["loss"] == 0.5
        assert tracker.hint == f"{address}/#/experiments/{run.info.experiment_id}/runs/{run_id}"
        assert lookup.find_run_folder(run_id[:10], address) == tmp_path
        assert (tmp_path / "mlartifacts" / "1" / run_id / "artifacts" / "cam.png").exists()
        assert not caplog.records

        # The server dies in the middle of a run: warnings, seconds, and the run goes on.
        monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 1)  # it does not come back
        with Tracker(address, experiment="cats", folder=tmp_path, system_metrics=False) as tracker:
            stop(process)
            start = time.monotonic()
            tracker.log_metrics({"loss": 0.5}, 1)
            tracker.flush()
            assert time.monotonic() - start < 30
            start = time.monotonic()
            tracker.log_metrics({"loss": 0.25}, 2)
            tracker.flush()  # not tried again at once
            assert time.monotonic() - start < 1
    messages = [record.getMessage() for record in caplog.records if "cnnexp" in record.name]
    assert any(re.search("metrics wait to be sent", message) for message in messages)
    assert "MLflow: not sent: 2 metrics" in messages
    assert any("what is missing there: python -m cnnexp task=sync" in line for line in messages)
