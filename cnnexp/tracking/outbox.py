"""What a run sends to its store, in order; what a store that is away could not take waits."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnexp.tracking import lookup, store
from cnnexp.tracking.entries import clean

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)

METRICS_PER_BATCH = 1000  # mlflow.utils.validation: MAX_METRICS_PER_BATCH
RETRY_SECONDS = 60.0  # a server that is away must not hold up training at every flush
PATIENCE_SECONDS = 120.0  # a finished run waits so long for its server, which may be restarted

Send = Callable[[], Any]


class Outbox:
    """For one run. reopened: it may have some of the metrics already: none is sent twice for one
    step.

    A server is away that does not answer, a SQLite file that another program has locked.
    """

    def __init__(
        self, client: "MlflowClient", uri: str, run_id: str, reopened: bool = False
    ) -> None:
        self._client, self._uri, self._run = client, uri, run_id
        self.metrics: list[tuple[str, float, int, int]] = []  # name, value, milliseconds, step
        self.others: list[tuple[str, Send]] = []  # what it is, how it is sent
        self._retry_at = 0.0  # of the monotonic clock; 0: nothing has failed
        self._said: set[str] = set()
        self._reopened = reopened
        self._there: dict[str, set[int]] = {}  # metric -> steps, before it was reopened

    @property
    def waiting(self) -> bool:
        return bool(self.metrics or self.others)

    def put(self, what: str, send: Send) -> Any:
        """Now, with what `send` returns; or later, after what waits. Nothing is raised."""
        for again in () if self.others else (False, True):
            try:
                return send()
            except Exception as problem:
                # Of jobs that begin together each makes the same row: the second time it is there.
                if again or "IntegrityError" not in str(problem):
                    self._failed(f"{what} waits", problem)
                    break
        self.others.append((what, send))
        return None

    def _failed(self, what_waits: str, problem: Exception) -> None:
        said = f"{what_waits} to be sent: {store.masked_line(problem)}"
        if said not in self._said:
            log.warning("MLflow: %s", said)
            self._said.add(said)
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def flush(self) -> None:
        if time.monotonic() >= self._retry_at:
            self.send()

    def send(self) -> None:
        """All that waits. While the store is away, one attempt fails and the rest is not tried."""
        if self._retry_at and self._away():
            self._retry_at = time.monotonic() + RETRY_SECONDS
            return
        self._retry_at = 0.0
        try:
            self._send_metrics()
        except Exception as problem:
            self._failed("metrics wait", problem)
        for entry in list(self.others):
            if self._retry_at and self._away():
                return
            try:
                entry[1]()
                self.others.remove(entry)
            except Exception as problem:
                self._failed(f"{entry[0]} waits", problem)

    def _send_metrics(self) -> None:
        from mlflow.entities import Metric

        while self.metrics:
            # With the times they had: MLflow keeps rows that are equal in everything once (they are
            # its table's primary key), so a batch whose answer was lost is not there twice.
            batch = [
                Metric(clean(name), float(value), ms, step)
                for name, value, ms, step in self.metrics[:METRICS_PER_BATCH]
            ]
            self._client.log_batch(self._run, metrics=[m for m in batch if self._is_new(m)])
            del self.metrics[: len(batch)]

    def _is_new(self, metric: "Metric") -> bool:
        if self._reopened and metric.key not in self._there:
            self._there[metric.key] = lookup.logged_steps(self._client, self._run, metric.key)
        return metric.step not in self._there.get(metric.key, ())

    def wait(self) -> bool:
        """For the store, but not for ever; whether it is there."""
        end = time.monotonic() + PATIENCE_SECONDS
        away = self._away()
        if away:
            log.warning("MLflow: waiting %.0f s at most for the store", PATIENCE_SECONDS)
        while away and time.monotonic() < end:
            time.sleep(2)
            away = self._away()
        return not away

    def _away(self) -> bool:
        path = store.database(self._uri)
        if path is not None:
            return store.locked(path)
        try:
            store.reach(self._uri, seconds=5)  # training stands still meanwhile
        except store.UnreachableError:
            return True
        except Exception:  # it answers, if only that it does not know us
            return False
        return False
