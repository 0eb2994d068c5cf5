"""MLflow's store: a SQLite file that is made once, or a server."""

import glob
import logging
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cnnexp.errors import InputError
from cnnexp.interrupts import interrupts_wait
from cnnexp.tracking.environment import mask

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
LOCK_SECONDS = 120  # making a store takes one or two, more on a network file system


class UnreachableError(InputError):
    """No server answers. reason: without advice."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"tracking.uri: {reason}; start it, or set another tracking.uri, or "
            "tracking.if_unreachable=keep (task=sync brings the run in later), or tracking=none"
        )


def absolute_uri(uri: str) -> str:
    """`sqlite:///name.db` with the file's absolute path; a server's address as it is."""
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/")
    name = uri.removeprefix(SQLITE)
    if name == uri or not name or name == ":memory:" or name.endswith("/"):
        raise InputError(
            f"tracking.uri: '{mask(uri)}' names no store; allowed are sqlite:///file.db, "
            "http://server:5000 and https://…, or tracking=none"
        )
    return SQLITE + Path(name).expanduser().absolute().as_posix()


def database(uri: str) -> Path | None:
    """The SQLite file of an absolute URI; None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def connect(uri: str) -> "MlflowClient":
    """A client of the store at an absolute URI."""
    _import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _import_mlflow() -> None:
    # Read when mlflow is imported; whoever set them otherwise keeps what they set.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # else each migration is announced
    # Two lines per run between our own, which name the run and how to see it.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server that goes away holds a run up for seconds; by default seven retries are four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with interrupts_wait(), warnings.catch_warnings():
        # mlflow 3.17 asks SQLAlchemy 2.1 for a loader strategy that is going away.
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    # Of a store that fails they write pages. We say it in a line: its errors are raised, too.
    for name in ("mlflow.store.db.utils", "mlflow.system_metrics.system_metrics_monitor"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def ensure_store(uri: str) -> str:
    """Make the SQLite store if it is not there, or reach the server; the absolute URI.

    Safe for several processes at once. Raises InputError where there is no usable store.
    """
    uri = absolute_uri(uri)
    path = database(uri)
    if path is None:
        reach(uri)
        return uri
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            if not path.exists() or path.stat().st_size == 0:
                _make(path)
    except Timeout:
        raise InputError(
            f"tracking.uri: another process has held {path}.lock for {LOCK_SECONDS} s; "
            "end it, or set another tracking.uri"
        ) from None
    except OSError as problem:
        raise InputError(
            f"tracking.uri: cannot write {path}: {problem.strerror or problem}; "
            "set tracking.uri=sqlite:////a/writable/folder/mlflow.db or tracking=none"
        ) from None
    check(path, uri)
    return uri


def _make(path: Path) -> None:
    """A migrated database in `path`'s place, whole or not at all.

    MLflow would migrate in place: processes that look meanwhile die of "duplicate column name", and
    one that is killed leaves a database that nobody can open.
    """
    _import_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.exc import DBAPIError

    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[a-z0-9_]' * 8}"):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed: the lock is ours
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new = folder / path.name
    # Its 67 migrations wait seconds for the disk; here the file need be on it at the end only.
    event.listen(Engine, "connect", _without_waiting)
    try:
        store = SqlAlchemyStore(f"{SQLITE}{new.as_posix()}", artifact_root(path).as_uri())
        store.engine.dispose()
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except DBAPIError as problem:  # a full disk, say
        raise InputError(
            f"tracking.uri: cannot make {path}: {problem.orig}; make room, set "
            "tracking.uri=sqlite:////another/folder/mlflow.db or tracking=none"
        ) from problem
    finally:
        event.remove(Engine, "connect", _without_waiting)
        shutil.rmtree(folder, ignore_errors=True)


def _without_waiting(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")


def check(path: Path, uri: str) -> None:
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":  # https://www.sqlite.org/fileformat.html
            raise InputError(f"tracking.uri: {path} is not a SQLite database; name another file")
    try:
        connect(uri).search_experiments(max_results=1)
    except Exception as problem:
        if "out-of-date" in str(problem):
            advice = f"back it up and run: mlflow db upgrade '{uri}'"
        elif "is locked" in str(problem):
            advice = "end the program that writes into it, or wait for it"
        else:
            advice = "name another file"
        raise InputError(f"tracking.uri: {path}: {masked_line(problem)}; {advice}") from None


def locked(path: Path) -> bool:
    """Whether another program keeps everybody from writing into a database."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=1)) as database:
            database.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as problem:
        return "locked" in str(problem)
    return False


def reach(uri: str, seconds: int = 30) -> None:
    """seconds: a busy server may take ten when many jobs begin at once."""
    try:
        with _impatient(seconds):
            connect(uri).search_experiments(max_results=1)
    except Exception as problem:
        if "error code 401" in str(problem):
            user = os.environ.get("MLFLOW_TRACKING_USERNAME")
            why = (
                f"refuses {user}: the name or the password of"
                if user
                else "wants to know who asks: set"
            )
            raise InputError(
                f"tracking.uri: {mask(uri)} {why} MLFLOW_TRACKING_USERNAME and "
                f"MLFLOW_TRACKING_PASSWORD{' is wrong' if user else ''}"
            ) from None
        reason = f"no MLflow server answers at {mask(uri)} ({masked_line(problem)})"
        raise UnreachableError(reason) from None


@contextmanager
def _impatient(seconds: int) -> Iterator[None]:
    """One attempt per request."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def masked_line(problem: BaseException, length: int = 160) -> str:
    """What went wrong, without passwords."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    # SQLAlchemy may begin with advice on its own use.
    telling = (one for one in lines if not one.startswith("(raised as a result of"))
    line = mask(next(telling, lines[0]))
    return line if len(line) <= length else line[: length - 1] + "…"


def artifact_root(path: Path) -> Path:
    """Where a bare `mlflow server` beside the database would keep files, too."""
    return path.parent / "mlartifacts"
