"""What is found in MLflow's store by its name."""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cnnexp.errors import InputError
from cnnexp.tracking.environment import mask
from cnnexp.tracking.store import (
    absolute_uri,
    artifact_root,
    check,
    connect,
    database,
    ensure_store,
    masked_line,
    reach,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

FOLDER_TAG = "cnnexp.folder"
WHOLE_TAG = "cnnexp.whole"  # true: the run has ended, and nothing of it is missing
# Its pages open with training runs, not with what language models need.
KIND = {"mlflow.experimentKind": "custom_model_development"}


def experiment_by_name(client: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment, made where there is none; several processes may ask at once."""
    from mlflow.exceptions import MlflowException

    path = database(uri)
    # Without a location the client would write to ./mlruns; a server knows its own place.
    folder = re.sub(r"[^\w.-]+", "_", name)
    place = (artifact_root(path) / folder).as_uri() if path is not None else None
    for attempt in range(2):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise InputError(
                f"name: experiment '{name}' was deleted in {mask(uri)}; restore it with "
                f"`MLFLOW_TRACKING_URI='{mask(uri)}' mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or set another name"
            )
        if found is not None:
            return str(found.experiment_id)
        try:
            return client.create_experiment(name, artifact_location=place, tags=KIND)
        except MlflowException as problem:
            # Another process was quicker: what it made is read again, never "Default" taken.
            if problem.error_code != "RESOURCE_ALREADY_EXISTS" or attempt:
                raise
    raise AssertionError("unreachable")


def reopen(client: "MlflowClient", uri: str, run_id: str) -> "Run":
    """The run, marked as running again."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, status="RUNNING")
        return client.get_run(run_id)
    except MlflowException as problem:
        raise InputError(
            f"tracking.uri: {mask(uri)} cannot go on with run '{run_id}': {masked_line(problem)}; "
            "set tracking.uri to the store where it began, or tracking=none"
        ) from None


def set_killed(uri: str | None, run_id: str | None) -> None:
    """Of a run whose process is no more. A store that is away is a warning: its folder knows it."""
    if uri is None or run_id is None:
        return
    from mlflow.exceptions import MlflowException

    try:
        connect(ensure_store(uri)).set_terminated(run_id, "KILLED")
    except (InputError, MlflowException) as problem:
        log.warning("MLflow: run %s is not marked as killed: %s", run_id, masked_line(problem))


def logged_steps(client: "MlflowClient", run_id: str, metric: str) -> set[int]:
    return {value.step for value in client.get_metric_history(run_id, metric)}


def run_of_folder(client: "MlflowClient", experiment_ids: list[str], folder: str) -> str | None:
    """The id of the run that a folder belongs to. A filter has no escape: of a name with both kinds
    of quotes it cannot ask.
    """
    quote = next((mark for mark in "'\"" if mark not in folder), None)
    if quote is None:
        return None
    where = f"tags.`{FOLDER_TAG}` = {quote}{folder}{quote}"
    found = client.search_runs(experiment_ids, where, max_results=1)
    return str(found[0].info.run_id) if found else None


def find_run_folder(run_id: str, uri: str, key: str = "run") -> Path:
    """The folder of the run whose MLflow id is, or starts with, `run_id`. Makes no store.

    key: of the config, which named it.
    """
    uri = absolute_uri(uri)
    path, where = database(uri), mask(uri)
    if path is not None and not path.exists():
        raise InputError(f"{key}: '{run_id}' is no folder, and there is no MLflow store at {where}")
    if not re.fullmatch("[0-9a-f]{4,32}", run_id):
        raise InputError(f"{key}: '{run_id}' is neither a folder nor an MLflow run id")
    check(path, uri) if path else reach(uri)
    client = connect(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(experiments, f"attributes.run_id LIKE '{run_id}%'", max_results=5)
    if not found:
        raise InputError(f"{key}: no MLflow run starts with '{run_id}' in {where} (tracking.uri)")
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found)
        raise InputError(f"{key}: '{run_id}' is the start of several MLflow runs: {ids}")
    folder = found[0].data.tags.get(FOLDER_TAG)
    if folder is None:
        raise InputError(f"{key}: MLflow run {found[0].info.run_id} was not made by cnnexp")
    if not Path(folder).is_dir():
        raise InputError(
            f"{key}: MLflow run {found[0].info.run_id} was kept in {folder}, which is not here"
        )
    return Path(folder)
