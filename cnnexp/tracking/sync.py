"""A run's folder, brought into MLflow's store: all of it, or what is missing there, each once."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnexp.tracking import lookup, store
from cnnexp.tracking.entries import clean
from cnnexp.tracking.metrics_file import read_metrics
from cnnexp.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

Place = tuple[str, int]  # name, step


class Value(NamedTuple):
    value: float
    at_s: float  # since 1970


def find_run(client: "MlflowClient", folder: Path, run_id: str | None) -> Any | None:
    """The run in this store that is the folder's: by its id, or by the folder's name where the
    process that made it was killed before it could note the id.
    """
    from mlflow.exceptions import MlflowException

    if run_id is not None:
        try:
            return client.get_run(run_id)
        except MlflowException:  # it belongs to another store
            return None
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = lookup.run_of_folder(client, experiments, str(folder.absolute()))
    return None if found is None else client.get_run(found)


def whole(run: Any) -> bool:
    """Whether nothing of the run is missing."""
    return run.data.tags.get(lookup.WHOLE_TAG) == "true"


def logged(folder: Path, info: Mapping[str, Any]) -> dict[Place, Value]:
    """What the run sent or would have sent, by name and step as MLflow has them. info: run.json's.

    metrics.csv has no times: they are spread over the run's. What the run reached in the end is at
    step 0, see `RunLogger.log_summary`.
    """
    rows = read_metrics(folder)
    reached = info.get("metrics", {})
    began_s, ended_s = times(folder, info)
    found: dict[Place, Value] = {}
    for number, row in enumerate(rows, start=1):
        at_s = began_s + (ended_s - began_s) * number / len(rows)
        step, name = int(row["step"]), row["metric"]
        if name in reached and float(row["value"]) == reached[name]:
            step = 0
        else:
            found["epoch", step] = Value(float(row["epoch"]), at_s)
        found[clean(name), step] = Value(float(row["value"]), at_s)
    return found


def times(folder: Path, info: Mapping[str, Any]) -> tuple[float, float]:
    """When the run began and ended, in seconds since 1970; one that was broken off ended as it last
    measured something.
    """
    began = datetime.fromisoformat(str(info["started"])).timestamp()
    if ended := info.get("finished"):
        return began, datetime.fromisoformat(str(ended)).timestamp()
    measured = folder / "metrics.csv"
    return began, max(began, measured.stat().st_mtime if measured.is_file() else began)


def missing(tracker: Tracker, wanted: Mapping[Place, Value]) -> dict[Place, Value]:
    """Of the values that the run should have those that the store has not."""
    client, run_id = store.connect(tracker.uri), str(tracker.run_id)
    there = {
        (name, step)
        for name in client.get_run(run_id).data.metrics
        for step in lookup.logged_steps(client, run_id, name)
    }
    return {place: value for place, value in wanted.items() if place not in there}


class Clock:
    """Tells the time that it was set to."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
