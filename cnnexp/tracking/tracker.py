"""A run as MLflow keeps it: parameters, metrics, files, data, model, and how it ended."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnexp.tracking import hints, lookup, store
from cnnexp.tracking.entries import batches_of, clean, cut, text_of
from cnnexp.tracking.environment import mask
from cnnexp.tracking.none import NullTracker, Status
from cnnexp.tracking.outbox import METRICS_PER_BATCH, Outbox

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

# Limits of mlflow.utils.validation: MAX_PARAMS_TAGS_PER_BATCH, MAX_PARAM_VAL_LENGTH,
# MAX_TAG_VAL_LENGTH, MAX_DATASET_DIGEST_SIZE.
ENTRIES_PER_BATCH = 100
PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 6000, 8000, 36
FLUSH_SECONDS = 10.0
END = "the end of the run"


class Tracker(NullTracker):
    """One run in MLflow's store: a new one, or `run_id` reopened.

    Raises InputError where the store cannot be used. Once it is open, what cannot be sent is a
    warning: a run does not fail for its tracking, since its folder has everything. What a server
    that is away could not take is sent once it is back.

    experiment: its name in MLflow. folder: the run's, kept so that the run is found by its id.
    tags: those of `environment.as_tags`, seed, the config's hash, what else runs are searched by.
    clock: seconds since 1970, of what is logged.
    """

    def __init__(
        self,
        uri: str = "sqlite:///mlflow.db",
        system_metrics: bool = True,
        log_model: bool = True,
        *,
        experiment: str = "run",
        run_name: str | None = None,
        run_id: str | None = None,
        folder: Path | str | None = None,
        tags: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._now_ms = lambda: int(clock() * 1000)
        self.uri = store.ensure_store(uri)
        self._client = store.connect(self.uri)
        self._wants_system_metrics = system_metrics
        self._wants_model = log_model
        self._monitor: Any = None
        self._ended = False
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._folder = None if folder is None else Path(folder)
        place = {} if folder is None else {lookup.FOLDER_TAG: str(Path(folder).absolute())}
        if run_id is None:
            in_here = lookup.experiment_by_name(self._client, self.uri, experiment)
            self.experiment_id = in_here
            if place:  # a process that was killed may have begun it
                run_id = lookup.run_of_folder(self._client, [in_here], *place.values())
        self._reopened = run_id is not None
        if run_id is None:
            # With the folder from the first: if the answer is lost, task=sync finds the run by it.
            run = self._client.create_run(in_here, self._now_ms(), tags=place, run_name=run_name)
        else:
            run = lookup.reopen(self._client, self.uri, run_id)
            self._client.set_tag(run_id, lookup.WHOLE_TAG, "false")
            self.experiment_id = run.info.experiment_id
        self.run_id = self._run = str(run.info.run_id)
        self._outbox = Outbox(self._client, self.uri, self._run, self._reopened)
        self._params = dict(run.data.params)
        self._tags = dict(run.data.tags)
        self.log_tags({**(tags or {}), **place})

    @property
    def hint(self) -> str:
        return hints.hint(self.uri, str(self.experiment_id), self._run)

    def __enter__(self) -> "Tracker":
        super().__enter__()
        if self._wants_system_metrics and self._monitor is None:
            self._watch_system(self._reopened)
        return self

    def _watch_system(self, before: bool) -> None:
        """before: the run may have such measurements already; their steps are counted on."""

        def start() -> None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._monitor = SystemMetricsMonitor(
                self._run, sampling_interval=5, resume_logging=before, tracking_uri=self.uri
            )
            self._monitor.start()

        self._outbox.put("system metrics", start)

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        values = {clean(name): cut(text_of(value), PARAM_LENGTH) for name, value in params.items()}
        before = {name: self._params[name] for name in values if name in self._params}
        changes = {
            f"cnnexp.changed.{name}": f"{old} -> {values[name]}"
            for name, old in before.items()
            if old != values[name]
        }
        new = [Param(name, value) for name, value in values.items() if name not in before]
        self._params.update((param.key, param.value) for param in new)

        def send() -> None:
            for batch in batches_of(new, ENTRIES_PER_BATCH):
                self._client.log_batch(self._run, params=batch)

        self._outbox.put("parameters", send)
        self.log_tags(changes)

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        new = {clean(name): cut(text_of(value), TAG_LENGTH) for name, value in tags.items()}
        changed = {
            f"cnnexp.changed.{name}": cut(f"{self._tags[name]} -> {value}", TAG_LENGTH)
            for name, value in new.items()
            if self._tags.get(name, value) != value and not name.startswith("cnnexp.changed.")
        }
        new.update(changed)
        self._tags.update(new)

        def send() -> None:
            for batch in batches_of([RunTag(*item) for item in new.items()], ENTRIES_PER_BATCH):
                self._client.log_batch(self._run, tags=batch)

        self._outbox.put("tags", send)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        now_ms = self._now_ms()
        self._outbox.metrics += [(name, value, now_ms, step) for name, value in metrics.items()]
        many = len(self._outbox.metrics) >= METRICS_PER_BATCH
        if many or time.monotonic() >= self._flush_at:
            self.flush()

    def flush(self) -> None:
        if not self._ended:
            self._outbox.flush()
            # MLflow's thread ends for good when the server does not answer it.
            thread = self._monitor and self._monitor._process
            if thread and not thread.is_alive() and not self._outbox.metrics:
                self._watch_system(True)
        self._flush_at = time.monotonic() + FLUSH_SECONDS

    def log_file(self, path: Path | str, folder: str = "") -> None:
        def send() -> None:
            self._client.log_artifact(self._run, str(path), folder or None)

        self._outbox.put(Path(path).name, send)

    def log_text(self, text: str, name: str) -> None:
        self._outbox.put(name, lambda: self._client.log_text(self._run, text, name))

    def log_folder(self, path: Path | str, folder: str = "") -> None:
        def send() -> None:
            self._client.log_artifacts(self._run, str(path), folder or None)

        self._outbox.put(Path(path).name, send)

    def log_dataset(
        self,
        name: str,
        digest: str,
        counts: Mapping[str, int],
        shape: Mapping[str, int],
        source: str,
    ) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                # A name per split: equal name and digest would be one dataset with one context.
                Dataset(
                    name=f"{name}/{split}",
                    digest=digest[:DIGEST_LENGTH],
                    source_type="local",
                    source=json.dumps({"uri": mask(source)}),
                    profile=json.dumps({"images": count, **shape}),
                ),
                [InputTag("mlflow.data.context", split)],
            )
            for split, count in counts.items()
        ]
        self._outbox.put("dataset", lambda: self._client.log_inputs(self._run, inputs))
        self.log_tags({"cnnexp.data": digest})

    def log_model(
        self, network: "nn.Module", example: np.ndarray, classes: Sequence[str]
    ) -> str | None:
        if not self._wants_model:
            return None
        from cnnexp.tracking.model import NotExportable, log_network

        def send() -> str | None:
            ids = str(self.experiment_id), self._run
            try:
                return log_network(self._client, *ids, network, example, classes)
            except NotExportable as reason:
                log.warning("MLflow: the run is without its model: %s", reason)
                return None

        uri: str | None = self._outbox.put("model", send)
        return uri

    def finish(self, status: Status = "FINISHED") -> None:
        if self._ended:
            return
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        outbox, ended_ms = self._outbox, self._now_ms()

        def unsent() -> list[str]:
            metrics = [f"{len(outbox.metrics)} metrics"] if outbox.metrics else []
            return metrics + [what for what, _ in outbox.others if what != END]

        def end() -> None:
            if not unsent():
                self._client.set_tag(self._run, lookup.WHOLE_TAG, "true")
            self._client.set_terminated(self._run, status, ended_ms)

        outbox.others.append((END, end))
        outbox.send()
        # A run that was stopped, or is short of time, does not wait.
        if status == "FINISHED" and outbox.waiting and outbox.wait():
            outbox.send()
        self._ended = True
        if outbox.waiting:
            log.warning("MLflow: not sent: %s", ", ".join(unsent() or [END]))
            if self._folder is not None:
                log.warning(
                    "MLflow: what is missing there: %s", hints.sync_command(self.uri, self._folder)
                )
