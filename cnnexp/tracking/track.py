"""tracking=mlflow: a run in the store, or kept for it where no server answers."""

import logging
from pathlib import Path
from typing import Any, Literal

from cnnexp.tracking import hints, store
from cnnexp.tracking.none import NullTracker
from cnnexp.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def track(
    uri: str = "sqlite:///mlflow.db",
    if_unreachable: Literal["stop", "keep"] = "stop",
    system_metrics: bool = True,
    log_model: bool = True,
    **of_run: Any,
) -> NullTracker:
    """A `Tracker`; or, where no server answers and if_unreachable is keep, one that keeps the run
    for task=sync. of_run: see `Tracker`.
    """
    try:
        return Tracker(uri, system_metrics, log_model, **of_run)
    except store.UnreachableError as problem:
        if if_unreachable == "stop":
            raise
        folder = of_run.get("folder") or "outputs"
        log.warning("%s; the run is kept in its folder", problem.reason)
        return Kept(hints.sync_command(uri, Path(folder)))


class Kept(NullTracker):
    """Sends nothing. hint: the command that brings the run in later."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    @property
    def hint(self) -> str:
        return self._command
