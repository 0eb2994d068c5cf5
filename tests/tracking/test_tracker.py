"""What is logged is what MLflow holds; how a run ends is what it shows."""

import importlib
import json
import logging
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnexp.errors import InputError
from cnnexp.tracking import lookup, store
from cnnexp.tracking.entries import clean
from cnnexp.tracking.none import NullTracker, ending
from cnnexp.tracking.tracker import Tracker


def quiet(
    uri: str, run_id: str | None = None, experiment: str = "cats", folder: Path | None = None
) -> Tracker:
    return Tracker(uri, system_metrics=False, experiment=experiment, run_id=run_id, folder=folder)


def history(tracker: Tracker, name: str) -> list[tuple[int, float]]:
    assert tracker.run_id is not None
    found = store.connect(tracker.uri).get_metric_history(tracker.run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


def run_of(tracker: Tracker) -> Any:
    return store.connect(tracker.uri).get_run(str(tracker.run_id))


def test_a_run_from_beginning_to_end(uri: str, tmp_path: Path) -> None:
    figure = tmp_path / "figures" / "deep" / "cam.png"
    figure.parent.mkdir(parents=True)
    figure.write_bytes(b"\x89PNG")
    with Tracker(
        uri, system_metrics=False, experiment="cats", run_name="first", folder=tmp_path,
        tags={"seed": 0},
    ) as tracker:  # fmt: skip
        assert run_of(tracker).info.status == "RUNNING"
        tracker.log_metrics({"val/accuracy": 0.5, "epoch": 0}, step=10)
        tracker.log_file(figure, "single")
        tracker.log_folder(tmp_path / "figures", "figures")
    run = run_of(tracker)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert (run.data.tags["seed"], run.data.tags["cnnexp.folder"]) == ("0", str(tmp_path))
    assert run.data.metrics == {"val/accuracy": 0.5, "epoch": 0}
    artifacts = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / "cats"
    kept = {str(file.relative_to(artifacts)) for file in artifacts.rglob("*.png")}
    assert kept == {
        f"{tracker.run_id}/artifacts/single/cam.png",
        f"{tracker.run_id}/artifacts/figures/deep/cam.png",
    }


def test_parameters(uri: str) -> None:
    with quiet(uri) as tracker:
        tracker.log_params(
            {
                "run": None,
                "flag": True,
                "widths": [[32, 32]],
                "empty": "",
                "tracking.uri": "http://me:secret@host",
                "long": "x" * 7000,
                "odd?key": 1,
            }
        )
        tracker.log_params({f"many.{number}": number for number in range(250)})
    params = run_of(tracker).data.params
    assert params.pop("long") == "x" * 5999 + "…"
    assert len([name for name in params if name.startswith("many.")]) == 250
    assert {k: v for k, v in params.items() if not k.startswith("many.")} == {
        "run": "null",
        "flag": "true",
        "widths": "[[32, 32]]",
        "empty": "",
        "tracking.uri": "http://***@host",
        "odd_3f_key": "1",
    }


def test_a_resumed_run_is_the_same_run_and_records_what_changed(uri: str) -> None:
    first = quiet(uri)
    first.log_params({"optimizer.lr": 0.1, "seed": 0})
    first.log_tags({"git.commit": "aaa"})
    first.log_metrics({"loss": 2.0}, step=1)
    with pytest.raises(ZeroDivisionError), first:
        raise ZeroDivisionError
    assert run_of(first).info.status == "FAILED"
    with quiet(uri, first.run_id) as second:
        assert run_of(second).info.status == "RUNNING"
        second.log_params({"optimizer.lr": 0.01, "seed": 0, "new": 1})
        second.log_tags({"git.commit": "bbb"})
        second.log_metrics({"loss": 1.0}, step=2)
    run = run_of(second)
    assert second.run_id == first.run_id
    assert second.experiment_id == first.experiment_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"optimizer.lr": "0.1", "seed": "0", "new": "1"}
    assert run.data.tags["cnnexp.changed.optimizer.lr"] == "0.1 -> 0.01"
    assert run.data.tags["git.commit"] == "bbb"
    assert run.data.tags["cnnexp.changed.git.commit"] == "aaa -> bbb"
    assert "cnnexp.changed.seed" not in run.data.tags
    assert history(second, "loss") == [(1, 2.0), (2, 1.0)]


def test_a_run_that_is_not_there_cannot_be_resumed(uri: str) -> None:
    with pytest.raises(InputError, match=r"tracking\.uri.*cannot go on with run") as caught:
        quiet(uri, "0" * 32)
    assert "\n" not in str(caught.value)


def test_metrics_wait_and_arrive_whole(uri: str) -> None:
    tracker = quiet(uri)
    for step in range(999):
        tracker.log_metrics({"loss": step / 2}, step)
    assert history(tracker, "loss") == []
    tracker.log_metrics({"loss": 999 / 2}, 999)  # a thousand are a batch
    assert len(history(tracker, "loss")) == 1000
    tracker.log_metrics({"loss": math.nan}, 1000)
    tracker.log_metrics({"loss": math.inf, "f1/Kätzchen (grau), //jung": 1}, 1001)
    tracker.flush()
    values = dict(history(tracker, "loss"))
    assert [values[step] for step in range(1000)] == [step / 2 for step in range(1000)]
    assert math.isnan(values[1000])
    assert values[1001] > 1e308
    assert history(tracker, "f1/Kätzchen _28_grau_29__2c_ /jung") == [(1001, 1)]
    tracker.finish()


def test_time_alone_sends_metrics(uri: str) -> None:
    tracker = quiet(uri)
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker._flush_at = time.monotonic()  # as after ten seconds
    tracker.log_metrics({"loss": 2.0}, 1)
    assert history(tracker, "loss") == [(0, 1.0), (1, 2.0)]
    tracker.finish()


def test_a_store_that_fails_for_a_while_costs_nothing(
    uri: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def rename(old: str, new: str) -> None:
        database = sqlite3.connect(uri.removeprefix("sqlite:///"))
        database.execute(f"ALTER TABLE {old} RENAME TO {new}")
        database.close()

    (tmp_path / "present.png").touch()
    with quiet(uri) as tracker:
        tracker.log_metrics({"loss": 1.0}, 0)
        rename("metrics", "away")
        tracker.flush()
        assert "metrics wait to be sent" in caplog.text
        tracker.log_metrics({"loss": 2.0}, 1)
        tracker.log_file(tmp_path / "absent.png")
        tracker.log_file(tmp_path / "present.png")
        assert "absent.png waits to be sent" in caplog.text
        rename("away", "metrics")
        assert history(tracker, "loss") == []
    assert history(tracker, "loss") == [(0, 1.0), (1, 2.0)]
    files = store.connect(uri).list_artifacts(tracker.run_id)
    assert [file.path for file in files] == ["present.png"]
    assert re.search(r"not sent: absent.png$", caplog.text, re.MULTILINE)
    assert caplog.text.count("absent.png waits") == 1, "though it was tried again"
    assert all(
        "\n" not in record.getMessage() for record in caplog.records if "cnnexp" in record.name
    )


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (None, "FINISHED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(2), "FAILED"),
        (ValueError(), "FAILED"),
        (InputError("x"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (chained(SystemExit(1), KeyboardInterrupt()), "KILLED"),  # what Lightning makes of Ctrl-C
        (chained(RuntimeError(), ValueError()), "FAILED"),
    ],
)
def test_how_a_run_ended(problem: BaseException | None, status: str) -> None:
    assert ending(problem) == status


def test_lightnings_own_sigterm_is_a_killed_run() -> None:
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    assert ending(SIGTERMException()) == "KILLED"


def be_killed(tracker: Tracker, number: signal.Signals) -> None:
    with tracker:
        tracker.log_metrics({"loss": 1.0}, 7)
        assert signal.getsignal(number) != signal.SIG_DFL, "it would end pytest"
        os.kill(os.getpid(), number)
        time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_run_as_killed(number: signal.Signals, uri: str) -> None:
    tracker, before = quiet(uri), signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            be_killed(tracker, number)
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    run = run_of(tracker)
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"loss": 1.0}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_given_back_and_not_taken_from_others(number: signal.Signals) -> None:
    def other(number: int, frame: object) -> None: ...

    before = signal.signal(number, signal.SIG_DFL)
    try:
        with NullTracker():
            assert signal.getsignal(number) not in (signal.SIG_DFL, None)
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, other)
        with NullTracker():
            assert signal.getsignal(number) is other
        assert signal.getsignal(number) is other
    finally:
        signal.signal(number, before)


def test_datasets(uri: str) -> None:
    counts = {"train": 3, "validation": 2, "test": 1}
    digest, shape = "0123456789abcdef" * 4, {"height": 8, "width": 8, "classes": 2}
    with quiet(uri) as tracker:
        for _ in range(2):  # as a resumed run does
            tracker.log_dataset(
                "cats_dogs", digest, counts, shape, "https://me:secret@host/cats.zip"
            )
    run = run_of(tracker)
    inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert len(run.inputs.dataset_inputs) == 3
    profiles = {split: json.loads(dataset.profile) for split, dataset in inputs.items()}
    assert profiles == {split: {"images": count, **shape} for split, count in counts.items()}
    assert {i.tags[0].key for i in run.inputs.dataset_inputs} == {"mlflow.data.context"}
    assert inputs["train"].name == "cats_dogs/train"
    assert inputs["train"].digest == "0123456789abcdef0123456789abcdef0123"
    assert json.loads(inputs["test"].source) == {"uri": "https://***@host/cats.zip"}
    assert run.data.tags["cnnexp.data"] == digest


class Scale(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(torch.float32) / 255 if images.dtype == torch.uint8 else images


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    convolution = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
    )
    head = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(16, 3))
    return nn.Sequential(Scale(), convolution, head)


def test_the_model_loads_back_and_predicts_the_same(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network().train()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 9, 9), dtype=np.uint8)
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with quiet(uri) as tracker:
        model_uri = tracker.log_model(network, images[:2], ["a", "b", "c"])
    assert (root.level, root.handlers) == (before[0], before[1])
    assert network.training  # and its mode is what it was
    network.eval()
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")  # refuses any pickle
    flavor = importlib.import_module("mlflow.pytorch")
    pyfunc = importlib.import_module("mlflow.pyfunc")
    assert model_uri is not None
    for address in (model_uri, f"runs:/{tracker.run_id}/model"):
        with torch.no_grad():
            loaded = flavor.load_model(address)(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(loaded, wanted, atol=1e-5)
    served = pyfunc.load_model(model_uri)
    np.testing.assert_allclose(served.predict(images[:1]), wanted[:1], atol=1e-5)
    assert served.metadata.metadata == {"classes": ["a", "b", "c"]}
    assert "uint8" in str(served.metadata.signature.inputs)
    models = store.connect(uri).search_logged_models([str(tracker.experiment_id)])
    assert [(model.source_run_id, str(model.status)) for model in models] == [
        (tracker.run_id, "READY")
    ]


def test_a_network_that_cannot_be_exported_is_a_warning(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Branches(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1).float()
            return flat if flat.sum().item() > 0 else -flat

    images = np.ones((2, 3, 4, 4), np.uint8)
    with quiet(uri) as tracker:
        assert tracker.log_model(nn.Sequential(Branches()), images, ["a"]) is None
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert line.startswith("MLflow: the run is without its model: it cannot be exported: Could not")
    assert run_of(tracker).info.status == "FINISHED"
    (model,) = store.connect(uri).search_logged_models([str(tracker.experiment_id)])
    assert str(model.status) == "FAILED"


def test_a_model_whose_server_went_away_meanwhile_is_there_once(uri: str) -> None:
    images = np.ones((2, 3, 9, 9), np.uint8)
    with quiet(uri) as tracker, quiet(uri) as other:
        of_other = other.log_model(small_network(), images, ["a"])
        store.connect(uri).create_logged_model(  # and nothing came of it
            str(tracker.experiment_id), name="model", source_run_id=tracker.run_id
        )
        first = tracker.log_model(small_network(), images, ["a"])
        assert tracker.log_model(small_network(), images, ["a"]) == first, "the run has one"
    models = store.connect(uri).search_logged_models([str(tracker.experiment_id)])
    assert {f"models:/{model.model_id}" for model in models} == {of_other, first}
    assert len(models) == 2


def test_a_model_that_is_not_wanted(uri: str) -> None:
    with Tracker(uri, system_metrics=False, log_model=False, experiment="cats") as tracker:
        assert tracker.log_model(small_network(), np.ones((2, 3, 9, 9), np.uint8), ["a"]) is None
    assert store.connect(uri).search_logged_models([str(tracker.experiment_id)]) == []


def test_system_metrics(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    name = "system/cpu_utilization_percentage"
    with Tracker(uri) as tracker:
        time.sleep(0.5)
    steps = [step for step, _ in history(tracker, name)]
    assert steps == list(range(len(steps)))
    assert steps
    with Tracker(uri, run_id=tracker.run_id) as again:
        time.sleep(0.5)
    longer = [step for step, _ in history(again, name)]
    assert longer == list(range(len(longer)))
    assert len(longer) > len(steps)


def test_nothing_is_imported_where_nothing_is_tracked(tmp_path: Path) -> None:
    """Of a training: tests/reliability/test_lost_files.py, whose runs are not tracked."""
    script = """
import sys
from cnnexp.tracking.none import NullTracker
from cnnexp.tracking.tracker import Tracker
from cnnexp.tracking import environment, store
with NullTracker(uri="sqlite:///x.db", experiment="cats", run_id=None) as tracker:
    tracker.log_params({"a": 1}); tracker.log_model(None, None, []); tracker.log_file("x")
    tracker.log_metrics({"loss": 1.0}, 1); tracker.flush()
assert tracker.run_id is None and tracker.hint == ""
print({"torch", "mlflow"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("val/accuracy", "val/accuracy"),
        ("a:b*c", "a_3a_b_2a_c"),
        ("/a//../b/", "a/b"),
        ("..", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_that_mlflow_would_refuse(name: str, cleaned: str) -> None:
    assert clean(name) == cleaned


@pytest.mark.parametrize("name", ["plain", "it's 100%", 'a "b"'])
def test_a_run_that_was_begun_by_a_killed_process_goes_on(
    name: str, uri: str, tmp_path: Path
) -> None:
    """It was killed before it could note the run's id."""
    folder, other = tmp_path / name, tmp_path / "other"
    first = quiet(uri, folder=folder)
    with quiet(uri, folder=folder) as again, quiet(uri, folder=other) as new:
        assert again.run_id == first.run_id != new.run_id


def test_a_run_that_goes_on_sends_no_step_twice(uri: str) -> None:
    first = quiet(uri)
    for step in (1, 2):
        first.log_metrics({"loss": 1.0 / step}, step=step)
    first.flush()
    with quiet(uri, run_id=first.run_id) as again:
        for step in (2, 3):
            again.log_metrics({"loss": 1.0 / step, "lr": 0.1}, step=step)
    client = store.connect(uri)
    history = client.get_metric_history(str(first.run_id), "loss")
    assert sorted((m.step, m.value) for m in history) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [m.step for m in client.get_metric_history(str(first.run_id), "lr")] == [2, 3]


@pytest.mark.parametrize("there", [True, False])
def test_a_run_is_whole_only_where_all_was_sent(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """task=sync leaves out those that are: a file that could not be sent must be brought later."""
    monkeypatch.setattr("cnnexp.tracking.outbox.PATIENCE_SECONDS", 0)
    file = tmp_path / "report.html"
    tracker = Tracker(uri, system_metrics=False, experiment="cats", folder=tmp_path)
    if there:
        file.touch()
    tracker.log_file(file)
    tracker.finish()
    tags = store.connect(tracker.uri).get_run(str(tracker.run_id)).data.tags
    assert (tags.get(lookup.WHOLE_TAG) == "true") == there
