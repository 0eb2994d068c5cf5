"""A sweep's jobs on the disk: who does what, what came out; a sweep begun again goes on from it.

<sweep>/sweep.json          the command, how many jobs, MLflow's parent runs
<sweep>/jobs/<digest>.json  a job, by the digest of its overrides but `PASSING`; whole at any moment
<sweep>/jobs/<digest>.lock  held by the process that does it, and let go when that dies
<sweep>/jobs/<digest>.owner on SLURM: which start of which job does it, see `Owner`
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import filelock

from cnnexp.config.saved import record
from cnnexp.data.lock import held
from cnnexp.errors import InputError
from cnnexp.files import whole_file
from cnnexp.monitor import sign_of
from cnnexp.sweeps.owner import PATIENCE_SECONDS, Owner
from cnnexp.tracking.environment import mask

# STOPPED: by a signal; so is a job that is RUNNING and held by nobody: its process was killed.
Status = Literal["WAITING", "RUNNING", "FINISHED", "PRUNED", "FAILED", "STOPPED"]
DONE: tuple[Status, ...] = ("FINISHED", "PRUNED")
# Where things lie and how they are run: another value of these is the same sweep, the same job.
PASSING = r"[+~]*(hydra[./]|paths\.|tracking\b|n_jobs=|search\.trials=)"


@dataclass
class Entry:
    """A job. number: from 1. label: what sets it apart. overrides: as Hydra is given them.

    config: all that makes the run that run, as it was last begun; config_hash: of this. folder: the
    run's. value: of `monitor`, the best on the validation images. problem: why it failed. trial: of
    a search, Optuna's number.
    """

    number: int
    label: str
    overrides: list[str]
    status: Status = "WAITING"
    config: dict[str, Any] = field(default_factory=dict)
    config_hash: str | None = None
    folder: str | None = None
    monitor: str = "val/accuracy"
    value: float | None = None
    seconds: float = 0.0
    problem: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    trial: int | None = None

    @property
    def sign(self) -> int:
        """1 where high values are good, -1 where low ones are."""
        return sign_of(self.monitor)


class Ledger:
    """The jobs of one sweep. On the disk no override has a password: an entry that was read is not
    to be run, one that was planned is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, overrides: Sequence[str]) -> Path:
        lines = in_order([mask(line) for line in overrides if not re.match(PASSING, line)])
        digest = hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]
        return self.folder / "jobs" / f"{digest}.json"

    def read(self, overrides: Sequence[str]) -> Entry | None:
        return _entry(self.path(overrides))

    def write(self, entry: Entry) -> None:
        with whole_file(self.path(entry.overrides)) as file:
            kept = replace(entry, overrides=[mask(line) for line in entry.overrides])
            json.dump(dataclasses.asdict(kept), file, indent=2)

    def plan(self, entry: Entry) -> Entry:
        """The entry as it is there already, with this one's number, or else this one; written."""
        with self._held():
            known = self.read(entry.overrides)
            if known is None or known.number != entry.number:
                known = replace(known or entry, number=entry.number)
                self.write(known)
        return replace(known, overrides=entry.overrides)

    def entries(self) -> list[Entry]:
        """In order of their numbers."""
        found = (_entry(path) for path in (self.folder / "jobs").glob("*.json"))
        return sorted((entry for entry in found if entry), key=lambda entry: entry.number)

    def elsewhere(self, entry: Entry) -> list[Entry]:
        """The same job in other sweeps beside this one."""
        own = self.path(entry.overrides)
        paths = sorted(self.folder.parent.glob(f"*/jobs/{own.name}"))
        return [known for path in paths if path != own and (known := _entry(path))]

    def forgive(self) -> None:
        """Jobs that failed wait again: with the same command they are tried anew, or go on where
        their processes were killed. Not a search's: its study has learned from them.
        """
        with self._held():
            for entry in self.entries():
                if entry.status == "FAILED" and entry.trial is None:
                    killed = entry.folder and record(Path(entry.folder)).get("status") == "KILLED"
                    status: Status = "STOPPED" if killed else "WAITING"
                    self.write(replace(entry, status=status, problem=""))

    @contextmanager
    def claimed(self, entry: Entry) -> Iterator[bool]:
        """Whether the job is this process's while the context lasts; no: another is doing it.

        A process of a SLURM job that was started again takes it from the job's earlier start, which
        may still run on a node that SLURM holds to be dead.
        """
        lock, owner = self._lock(entry), self.owner(entry)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if not owner.restarted():
                yield False
                return
        try:
            with owner.taken():
                with suppress(filelock.Timeout):  # of a node that is off nobody lets go
                    lock.acquire(timeout=PATIENCE_SECONDS)
                yield True
        finally:
            lock.release(force=True)

    def busy(self, entry: Entry) -> bool:
        """Whether a living process is doing the job, and is to go on with it."""
        lock = self._lock(entry)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return not self.owner(entry).restarted()
        lock.release()
        return False

    def owner(self, entry: Entry) -> Owner:
        return Owner(self.path(entry.overrides).with_suffix(".owner"))

    def _lock(self, entry: Entry) -> filelock.FileLock:
        return filelock.FileLock(self.path(entry.overrides).with_suffix(".lock"))

    @contextmanager
    def facts(self) -> Iterator[dict[str, Any]]:
        """sweep.json, to read and to change; what is in it afterwards is written."""
        path = self.folder / "sweep.json"
        with self._held():
            known = _json(path) if path.is_file() else {}
            before = json.dumps(known)
            yield known
            if json.dumps(known) != before:
                with whole_file(path) as file:
                    json.dump(known, file, indent=2)

    def total(self) -> int:
        """How many jobs there will be: a search plans them one by one."""
        with self.facts() as facts:
            return int(facts.get("total", 0))

    def _held(self) -> Any:
        return held(self.folder / "jobs" / "sweep.lock", "writing the sweep's list of jobs")


def in_order(overrides: Sequence[str]) -> list[str]:
    """By their keys: in which order they were typed is no difference. Of a key that is there twice
    the last still counts.
    """
    return sorted(overrides, key=lambda line: line.lstrip("+~").partition("=")[0])


def _entry(path: Path) -> Entry | None:
    if not path.is_file():
        return None
    known = _json(path)
    names = {field.name for field in dataclasses.fields(Entry)}
    try:
        return Entry(**{key: value for key, value in known.items() if key in names})
    except TypeError as error:
        raise InputError(f"{path} is not a sweep's job ({error}); delete it") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it") from None
    return known if isinstance(known, dict) else {}
