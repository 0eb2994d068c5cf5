"""Nothing is tracked: the shape of every tracker, and how a run's end is told."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from cnnexp.errors import Pruned
from cnnexp.interrupts import signals_leave

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


Status = Literal["FINISHED", "FAILED", "KILLED"]


def ending(problem: BaseException | None) -> Status:
    """How a run ended that `problem` ended: signals kill it, anything else fails.

    Lightning turns Ctrl-C into SystemExit(1) and SIGTERM into an exception of its own, so what led
    to `problem` is looked through, too.
    """
    first = problem
    while problem is not None:
        code = problem.code if isinstance(problem, SystemExit) else None
        by_signal = isinstance(code, int) and code > 128
        if by_signal or isinstance(problem, KeyboardInterrupt):
            return "KILLED"
        if isinstance(problem, Pruned):
            return "KILLED"
        if type(problem).__name__ == "SIGTERMException":  # Lightning's; named, not imported
            return "KILLED"
        problem = problem.__cause__ or problem.__context__
    if first is None or (isinstance(first, SystemExit) and not first.code):
        return "FINISHED"
    return "FAILED"


class NullTracker:
    """`tracking=none`, and what every tracker can do.

    As a context manager it records how the run ended, also by a signal.
    """

    run_id: str | None = None
    experiment_id: str | None = None

    _signals: AbstractContextManager[None]

    def __init__(self, **_: Any) -> None: ...

    @property
    def hint(self) -> str:
        """One line: the command or the address that shows the run."""
        return ""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """params: flat, "optimizer.lr" -> value.

        MLflow keeps a run's first value; where a resumed run has another, the tag
        cnnexp.changed.<name> says so.
        """

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """A tag that had another value is replaced; cnnexp.changed.<name> says from what."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Sent in batches, every few seconds and on `flush`."""

    def log_file(self, path: Path | str, folder: str = "") -> None:
        """folder: of the artifacts, "" for the top."""

    def log_text(self, text: str, name: str) -> None:
        """As a file of that name, at the top."""

    def log_folder(self, path: Path | str, folder: str = "") -> None:
        """All that is in `path`, with its subfolders."""

    def log_dataset(
        self,
        name: str,
        digest: str,
        counts: Mapping[str, int],
        shape: Mapping[str, int],
        source: str,
    ) -> None:
        """Each split as an input. counts: split -> its images. shape: height, width, classes.
        source: the file, folder or address of the images.
        """

    def log_model(
        self, network: "nn.Module", example: "np.ndarray", classes: Sequence[str]
    ) -> str | None:
        """network: images (B, 3, H, W) -> logits. example: (2, 3, H, W) uint8.

        The model's URI, or None where none was logged.
        """
        return None

    def flush(self) -> None:
        """Send the metrics that wait."""

    def finish(self, status: Status = "FINISHED") -> None:
        """Send what waits and end the run; what follows is ignored."""

    def __enter__(self) -> "NullTracker":
        self._signals = signals_leave()
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.finish(ending(problem))
        finally:
            self._signals.__exit__(None, None, None)
