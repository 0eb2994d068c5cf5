"""tracking=mlflow: a run in the store, or kept for it where no server answers."""

import logging
from collections.abc import Mapping
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
    *,
    experiment: str = "run",
    run_name: str | None = None,
    run_id: str | None = None,
    folder: Path | None = None,
    tags: Mapping[str, Any] | None = None,
) -> NullTracker:
    """A `Tracker`; or, where no server answers and if_unreachable is keep, one that keeps the run
    for task=sync. For the others see `Tracker`.
    """
    try:
        return Tracker(
            uri, system_metrics, log_model, experiment=experiment, run_name=run_name,
            run_id=run_id, folder=folder, tags=tags,
        )  # fmt: skip
    except store.UnreachableError as problem:
        if if_unreachable == "stop":
            raise
        log.warning("%s; the run is kept in its folder", problem.reason)
        return Kept(hints.sync_command(uri, folder or Path("outputs")))


class Kept(NullTracker):
    """Sends nothing. hint: the command that brings the run in later."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    @property
    def hint(self) -> str:
        return self._command
