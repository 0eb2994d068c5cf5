"""A run's folder: made once, filled with whole files, enough to evaluate and explain the run
anywhere.
"""

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from cnnexp.errors import InputError
from cnnexp.files import PART, whole_file

if TYPE_CHECKING:  # a command that only reads runs need not wait for these
    from torch import nn

LOCK = ".lock"  # in a run's folder: held by the process that works on it


@dataclass(frozen=True)
class Result:
    """What a task gives back: metrics by name, the run's folder and, after training, its
    network, in eval mode. exit_code: of the command line.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None
    network: "nn.Sequential | None" = None
    exit_code: int = 0


@dataclass(frozen=True)
class Job:
    """What a sweep tells one of its runs, as config["job"]; no part of what makes it that run.

    folder: the run's. label: what it differs by from the others. tags: of its run in MLflow.
    stop: (epoch, the monitored value) -> whether it is to be given up.
    """

    folder: Path
    label: str
    tags: Mapping[str, str]
    stop: Callable[[int, float], bool] | None = None


def create_run_folder(
    outputs: Path, name: str, fill: Callable[[Path], None] = lambda folder: None
) -> Path:
    """outputs/<name>/<time>_<id>, new: two runs that start in the same second never share one.

    fill: writes what the folder has in it when it appears.
    """
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}_{secrets.token_hex(3)}"
    folder = (outputs / name / stamp).absolute()
    part = outputs.absolute() / f".{stamp}{PART}"  # where nobody looks for runs
    try:
        (part / "figures").mkdir(parents=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"paths.outputs={outputs}: cannot make a folder there ({error.strerror}); "
            "choose one that you may write to"
        ) from None
    try:
        fill(part)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """In the context the run is this process's alone; one that dies lets go of it. Raises
    InputError where it is another's.
    """
    try:
        lock = filelock.FileLock(folder / LOCK).acquire(timeout=1)  # `died` holds it for a moment
    except filelock.Timeout:
        raise InputError(f"{folder}: another process is at work on it") from None
    with lock:
        try:
            yield
        finally:
            with suppress(OSError):  # what ended the run is said, not this
                (folder / LOCK).unlink()


def died(folder: Path) -> bool:
    """Whether the run's process is no more, and could not write how it ended: killed by `kill -9`
    or for the memory it took, or the machine went off. InputError where run.json cannot be read.
    """
    if (folder / LOCK).exists():
        lock = filelock.FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except (filelock.Timeout, OSError):  # one that may not be opened: somebody else's run
            return False
        lock.release()
    # Read now: one that ended a moment ago has written so before it let go.
    return read_json(folder / "run.json").get("status") == "RUNNING"


def now() -> str:
    """ISO 8601, local time with its offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(json_text(values))


def json_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, default=str) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); is this a run's folder?") from None
