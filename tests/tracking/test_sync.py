"""Runs that could not reach their server, brought into a store: whole, once, as if they had."""

import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import cnnexp
from cnnexp.__main__ import main
from cnnexp.errors import InputError
from cnnexp.runs import owned
from cnnexp.tracking import store
from cnnexp.tracking.sync import logged
from cnnexp.tracking.tracker import Tracker

SMALL = [
    "dataset=shapes", "dataset.images=120", "dataset.image_size=24", "trainer.max_epochs=2",
    "model.widths=[[4]]", "model.dense=[]", "visualization=none", "tracking.system_metrics=false",
    "name=small",
]  # fmt: skip
HERE = "tracking.uri=sqlite:///mlflow.db"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def runs() -> list[Any]:
    """The newest first."""
    client = store.connect(store.absolute_uri("sqlite:///mlflow.db"))
    experiment = client.get_experiment_by_name("small")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def histories(run: Any) -> list[tuple[str, int, float]]:
    """Name, step, value; without what depends on the clock."""
    client = store.connect(store.absolute_uri("sqlite:///mlflow.db"))
    names = [name for name in run.data.metrics if not name.endswith(("_s", "_per_s"))]
    return sorted(
        (name, metric.step, metric.value)
        for name in names
        for metric in client.get_metric_history(run.info.run_id, name)
    )


def files(run: Any, folder: str = "") -> set[str]:
    client = store.connect(store.absolute_uri("sqlite:///mlflow.db"))
    found = client.list_artifacts(run.info.run_id, folder)
    inside = [files(run, one.path) for one in found if one.is_dir]
    return {one.path for one in found if not one.is_dir}.union(*inside)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_run_without_its_server_is_brought_in(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"tracking.uri=http://127.0.0.1:{closed_port()}"
    with pytest.raises(InputError, match=r"no MLflow server answers .*if_unreachable=keep"):
        cnnexp.run([*SMALL, away])
    assert not (work / "outputs").exists()

    tracked = cnnexp.run([*SMALL, HERE]).folder
    capsys.readouterr()
    kept = cnnexp.run([*SMALL, away, "tracking.if_unreachable=keep"]).folder
    assert tracked is not None
    assert kept is not None
    told = capsys.readouterr().out
    assert "no MLflow server answers at http://127.0.0.1" in told
    command = f"python -m cnnexp task=sync 'runs=[outputs/small/{kept.name}]' {away}"
    assert f"compare   {command}\n" in told
    assert len(runs()) == 1

    result = cnnexp.run(["task=sync", "runs=[outputs/small]", HERE])
    assert result.metrics == {
        "sync/new": 1,
        "sync/completed": 0,
        "sync/there": 1,
        "sync/running": 0,
        "sync/failed": 0,
    }
    (brought,), (own,) = (
        [run for run in runs() if run.data.tags["cnnexp.folder"] == str(folder)]
        for folder in (kept, tracked)
    )
    assert histories(brought) == histories(own)
    assert len(histories(own)) > 30
    assert files(brought) == files(own) > {"report.html", "figures/learning_curves.png"}
    differing = {key for key, value in own.data.params.items() if brought.data.params[key] != value}
    assert differing == {"tracking.uri", "tracking.if_unreachable"}
    assert own.data.tags.keys() == brought.data.tags.keys()
    assert brought.info.status == "FINISHED"
    assert brought.outputs.model_outputs
    datasets = [
        {(i.dataset.name, i.dataset.digest, i.dataset.profile) for i in run.inputs.dataset_inputs}
        for run in (brought, own)
    ]
    assert len(datasets[0]) == 3
    assert datasets[0] == datasets[1]
    info = json.loads((kept / "run.json").read_text())
    assert info["mlflow_run_id"] == brought.info.run_id
    assert brought.info.start_time <= own.info.end_time + 600_000
    assert brought.info.end_time - brought.info.start_time < 120_000
    assert abs(brought.info.start_time - own.info.start_time) < 600_000

    again = cnnexp.run(["task=sync", "runs=[outputs/small]", HERE])
    assert again.metrics["sync/there"] == 2
    assert len(runs()) == 2
    assert histories(brought) == histories(own)


def test_what_is_missing_is_completed(work: Path) -> None:
    """The process that brought it in was killed: the run is there, in part, and not noted."""
    folder = cnnexp.run([*SMALL, "tracking=none"]).folder
    assert folder is not None
    uri = store.ensure_store("sqlite:///mlflow.db")
    half = Tracker(uri, system_metrics=False, experiment="small", folder=folder)
    half.log_metrics({"val/loss": -1.0}, 2)
    half.flush()
    result = cnnexp.run(["task=sync", "runs=[outputs/small]"])
    assert result.metrics["sync/completed"] == 1
    (run,) = runs()
    assert run.info.run_id == half.run_id
    assert run.info.status == "FINISHED"
    at = [value for name, step, value in histories(run) if (name, step) == ("val/loss", 2)]
    assert at == [-1.0], "what is there is left"
    places = [place[:2] for place in histories(run)]
    assert len(set(places)) == len(places)
    assert ("best/val/accuracy", 0) in places


def test_a_sweeps_runs_are_brought_in_below_their_parent(work: Path) -> None:
    """As if the store had been there; another store gets a parent of its own."""
    words = ["-m", *SMALL, "trainer.max_epochs=1"]
    here = [HERE, "tracking.log_model=false"]  # of one run they are compared above
    assert main([*words, "seed=0,1", *here]) == 0
    assert main([*words, "seed=2,3", "tracking=none"]) == 0
    result = cnnexp.run(["task=sync", "runs=[outputs/small]", *here])
    assert (result.metrics["sync/new"], result.metrics["sync/there"]) == (2, 2)

    def family(uri: str) -> list[tuple[Any, list[Any]]]:
        """Each parent, the newest first, with its runs by name."""
        client = store.connect(store.absolute_uri(uri))
        experiment = client.get_experiment_by_name("small")
        found = list(client.search_runs([experiment.experiment_id]))
        of = "mlflow.parentRunId"
        return [
            (one, sorted((run for run in found if run.data.tags.get(of) == one.info.run_id),
                         key=lambda run: run.info.run_name))
            for one in found if of not in run_tags(one)
        ]  # fmt: skip

    brought, tracked = family("sqlite:///mlflow.db")
    for (parent, children), seeds in ((brought, (2, 3)), (tracked, (0, 1))):
        assert [run.info.run_name[:6] for run in children] == [f"seed={seed}" for seed in seeds]
        assert {run.data.tags["sweep"] for run in children} == {parent.data.tags["sweep"]}
        assert f"seed={seeds[0]},{seeds[1]}" in parent.data.tags["command"]
        assert (parent.info.status, parent.data.metrics["jobs_finished"]) == ("FINISHED", 2)
    assert run_tags(brought[0]) == run_tags(tracked[0])
    assert [run_tags(run) for run in brought[1]] == [run_tags(run) for run in tracked[1]]

    cnnexp.run(["task=sync", "runs=[outputs/small]", *here])
    assert len(family("sqlite:///mlflow.db")) == 2, "each once"
    other = ["tracking.uri=sqlite:///other.db", "tracking.log_model=false"]
    cnnexp.run(["task=sync", "runs=[outputs/small]", *other])
    assert [len(children) for _, children in family("sqlite:///other.db")] == [2, 2]


def run_tags(run: Any) -> set[str]:
    """Their names."""
    return set(run.data.tags)


def test_what_cannot_be_brought_in(work: Path) -> None:
    with pytest.raises(InputError, match=r"task=sync: needs runs=\[…\]"):
        cnnexp.run(["task=sync"])
    folder = cnnexp.run([*SMALL, "tracking=none"]).folder
    assert folder is not None
    with pytest.raises(InputError, match="tracking=none: task=sync needs a store"):
        cnnexp.run(["task=sync", f"runs=[{folder}]", "tracking=none"])
    other = cnnexp.run([*SMALL, "tracking=none", "seed=1"]).folder
    assert other is not None
    with owned(folder):
        assert cnnexp.run(["task=sync", f"runs=[{folder}]"]).metrics["sync/failed"] == 1
    kept = (folder / "run.json").read_text()
    (folder / "run.json").write_text(kept.replace('"FINISHED"', '"RUNNING"'))
    (folder / "metrics.csv").rename(folder / "kept.csv")
    assert cnnexp.run(["task=sync", f"runs=[{folder}]"]).metrics["sync/failed"] == 1
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED", "all the same"
    (folder / "kept.csv").rename(folder / "metrics.csv")
    (folder / "run.json").write_text(kept)
    next(folder.glob("checkpoints/*/best.ckpt")).unlink()
    result = cnnexp.run(["task=sync", f"runs=[{folder},{other}]"])
    assert (result.exit_code, result.metrics["sync/failed"], result.metrics["sync/new"]) == (
        1,
        1,
        1,
    )
    assert [Path(run.data.tags["cnnexp.folder"]) for run in runs()] == [other], "and no other"


def test_a_run_that_was_killed_without_a_word(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "cnnexp", *SMALL, HERE]
    process = subprocess.Popen([*command, "trainer.max_epochs=2000"], stdout=subprocess.DEVNULL)
    try:
        while not (begun := [*work.glob("outputs/small/*/checkpoints/*/last.ckpt")]):
            assert process.poll() is None
            time.sleep(0.1)
        folder = begun[0].parents[2]
        found = f"runs=[{folder}]"
        assert cnnexp.run(["task=sync", found, HERE]).metrics["sync/running"] == 1
        assert "runs      ok      1, none of them killed" in doctor(capsys)
    finally:
        process.kill()
        process.wait()
    shown = f"outputs/small/{folder.name}"
    assert (
        f"runs      note    {shown} was killed (kill -9, out of memory, or the machine went off); "
        f"go on: python -m cnnexp resume={shown}; or let MLflow know: "
        f"python -m cnnexp task=sync 'runs=[{shown}]'"
    ) in doctor(capsys)
    assert [run.info.status for run in runs()] == ["RUNNING"]
    assert cnnexp.run(["task=sync", found, HERE]).metrics["sync/completed"] == 1
    (run,) = runs()
    assert run.info.status == "KILLED"
    last_ms = 1000 * (folder / "metrics.csv").stat().st_mtime
    assert run.info.start_time < run.info.end_time == pytest.approx(last_ms, abs=2)
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    assert "1, none of them killed" in doctor(capsys)


def doctor(capsys: pytest.CaptureFixture[str]) -> str:
    """What it says, its findings' own lines as they are."""
    capsys.readouterr()
    main(["task=doctor", HERE])
    return capsys.readouterr().out


def test_a_server_that_asks_for_a_password() -> None:
    class Asks(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Asks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(InputError, match=r"wants to know who asks: set MLFLOW_TRACKING_US"):
                store.ensure_store(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()


def test_only_the_value_that_was_reached_is_at_step_0(tmp_path: Path) -> None:
    rows = ["step,epoch,metric,value", "5,1,images_per_s,90.0", "10,2,images_per_s,100.0"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    info = {"started": "2026-01-01T00:00:00+00:00", "metrics": {"images_per_s": 100.0}}
    found = {place: value.value for place, value in logged(tmp_path, info).items()}
    assert found == {("images_per_s", 5): 90.0, ("epoch", 5): 1.0, ("images_per_s", 0): 100.0}
