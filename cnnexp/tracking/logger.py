"""Lightning's metrics, to metrics.csv in the run's folder and to the tracker."""

import csv
import time
from argparse import Namespace
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from cnnexp.tracking.metrics_file import NAME, prepare
from cnnexp.tracking.none import NullTracker

FLUSH_SECONDS = 5.0  # what a killed process may lose


class RunLogger(Logger):
    """Appends step, epoch, metric, value to <folder>/metrics.csv; a resumed run goes on there.

    keep: so many bytes of a file that is there, see `position`; None: all. What a killed run logged
    after its last checkpoint is logged again.
    """

    def __init__(
        self, folder: Path, tracker: NullTracker | None = None, keep: int | None = None
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.tracker = tracker or NullTracker()
        self._epoch = 1
        self._first_epoch = self._first_step = 0
        self._with_epoch: deque[int] = deque(maxlen=2)  # the last steps that it was sent with
        self._flushed = time.monotonic()
        self._path = self.folder / NAME
        self._rows: list[tuple[int, int, str, float]] = []
        prepare(self._path, keep)

    @property
    def name(self) -> str:
        return self.folder.parent.name

    @property
    def version(self) -> str:
        return self.folder.name

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    def begin_phase(self, first_epoch: int, first_step: int) -> None:
        """What the run had before: Lightning counts each phase's epochs and steps from 0."""
        self._first_epoch, self._first_step = first_epoch, first_step

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """metrics: name -> number or one-element tensor; an `epoch` among them counts from 0.

        step, epoch: of the phase.
        """
        step = self._first_step + (step or 0)
        values = {name: float(value) for name, value in metrics.items()}
        # Lightning counts from 0; people, and the table on the terminal, from 1.
        epoch = self._first_epoch + int(values["epoch"]) + 1 if "epoch" in values else self._epoch
        values["epoch"] = epoch
        if epoch != self._epoch or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
            self._epoch = epoch
        self._rows += [
            (step, epoch, name, value) for name, value in values.items() if name != "epoch"
        ]
        # An epoch's end is logged at its last step, which may have been logged.
        if step in self._with_epoch:
            del values["epoch"]
        else:
            self._with_epoch.append(step)
        self.tracker.log_metrics(values, step)

    @rank_zero_only
    def log_summary(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """What the run reached, once it is over. step, epoch: its last.

        MLflow gets step 0: its charts draw what has no other step as bars, one per run.
        """
        self._rows += [(step, epoch, name, value) for name, value in metrics.items()]
        self.tracker.log_metrics(metrics, 0)

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Nothing: the whole config is logged when the run starts."""

    def save(self) -> None:
        """Nothing: Lightning calls it after every log_metrics."""

    def flush(self) -> None:
        """Write and send what waits."""
        self._flushed = time.monotonic()
        if self._rows:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(self._rows)
            self._rows = []
        self.tracker.flush()

    def position(self) -> int:
        """The file's length with all that was logged so far: a checkpoint keeps it."""
        self.flush()
        return self._path.stat().st_size

    def finalize(self, status: str) -> None:
        """Called by Lightning after each fit and test; the run itself goes on."""
        self.flush()
