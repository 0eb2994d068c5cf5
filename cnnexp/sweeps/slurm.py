"""A sweep's jobs on a SLURM cluster, as an array of submitit's.

Each runs the config that was submitted, whatever the YAML files say when it starts. Before the time
limit it saves where it is, and is queued again; see docs/slurm.md.
"""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cnnexp.config.compose import compose
from cnnexp.config.identity import config_hash
from cnnexp.config.instantiate import resolve
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError
from cnnexp.execution import checked
from cnnexp.files import shown_path
from cnnexp.sweeps.again import unclaimed
from cnnexp.sweeps.job import work
from cnnexp.sweeps.killed import note_killed
from cnnexp.sweeps.ledger import DONE, Entry, Ledger, Status
from cnnexp.sweeps.words import ended
from cnnexp.sweeps.words import jobs as counted

LISTED = 12  # jobs whose logs are named
LOGS = "slurm/%j"  # in the sweep's folder; as submitit reads it
TOO_LONG = "all its time limits are used up"
ASK_SECONDS = 20.0  # between two questions to sacct, which serves the whole cluster
REQUEUE_SECONDS = 180.0  # until a job that is lost is seen in the queue, if it is to be


@dataclass(frozen=True)
class SlurmJob:
    """What runs on the node. folder: the sweep's. config: checked. code: --config-dir, or None."""

    folder: Path
    overrides: list[str]
    config: dict[str, Any]
    code: Path | None

    def __call__(self) -> None:
        """Raises RuntimeError where the job fails, so that SLURM, too, calls it failed."""
        allow_folder(self.code)
        # submitit lets SIGTERM pass, and would ask for the requeue before the run has ended.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        early: list[int] = []
        requeue = signal.signal(signal.SIGUSR2, lambda number, frame: early.append(number))
        # No exception may leave a handler while torch is imported: its C++ would abort.
        resolve(self.config["task"]["_target_"], "task._target_")
        try:
            signal.signal(signal.SIGUSR2, leave)
            if early:
                leave(signal.SIGUSR2, None)
            entry = work(Ledger(self.folder), self.overrides, lambda: dict(self.config))
        except SystemExit as leaving:
            if leaving.code == 128 + signal.SIGUSR2 and callable(requeue):
                requeue(signal.SIGUSR2, None)
            raise
        finally:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # or Python, as it ends, dies of it
        if entry is not None and entry.status == "FAILED":
            raise RuntimeError(entry.problem)

    def checkpoint(self) -> Any:
        """What submitit is to run after a requeue: the same, which goes on where it was."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Unwinds the run: what is open is closed, and its end is written down."""
    raise SystemExit(128 + number)


def submit(
    ledger: Ledger, entries: Sequence[Entry], options: Mapping[str, Any], config_dir: Path | None
) -> None:
    """Hand the jobs to SLURM, but for those that an earlier command has handed to it and that wait
    or run there still, and wait until all have ended, whichever way.
    """
    todo = {}
    for entry in entries:
        composed = compose(entry.overrides, config_dir)
        config = checked(composed.config, entry.overrides)
        todo[entry.number] = SlurmJob(ledger.folder, entry.overrides, config, config_dir)
    waiting = known_to_slurm(ledger, entries, todo)
    if waiting:
        print(f"in SLURM already: {counted(len(waiting))}, from an earlier command")
    own = [entry.number for entry in waiting.values()]
    new = unclaimed([entry for entry in entries if entry.number not in own], ledger)
    if new:
        waiting |= hand_in(ledger, new, todo, options)
    for job, entry in list(waiting.items())[:LISTED]:
        print(f"{'slurm':<9} {job.job_id}: {entry.label}  {shown_path(Path(job.paths.stdout))}")
    if len(waiting) > LISTED:
        print(f"{'':<9} … and {len(waiting) - LISTED} more")
    arrays = ",".join(dict.fromkeys(job.job_id.partition("_")[0] for job in waiting))
    try:
        wait(ledger, waiting)
    except (KeyboardInterrupt, SystemExit):
        print(f"\nthe jobs stay in SLURM: squeue -j {arrays}; to end them: scancel {arrays}")
        raise


def known_to_slurm(
    ledger: Ledger, entries: Sequence[Entry], todo: Mapping[int, SlurmJob]
) -> dict[Any, Entry]:
    """Jobs that wait or run there with the config that they would be submitted with now."""
    from submitit import SlurmJob as Submitted

    with ledger.facts() as facts:
        known = facts.get("slurm", {})
    queue = in_queue() if known else set()
    if queue is None:
        raise InputError(
            "hydra/launcher: squeue does not answer, and jobs of an earlier command may wait "
            "there; try again later"
        )
    found: dict[Any, Entry] = {}
    for entry in entries:
        job_id, digest = known.get(ledger.path(entry.overrides).stem, (None, None))
        if job_id in queue and digest == config_hash(todo[entry.number].config):
            found[Submitted(ledger.folder / LOGS, job_id)] = entry
    return found


def in_queue() -> set[str] | None:
    """The numbers of a person's jobs that wait or run; None where SLURM gives no answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return None if asked.returncode else set(asked.stdout.split())


def hand_in(
    ledger: Ledger,
    entries: Sequence[Entry],
    todo: Mapping[int, SlurmJob],
    options: Mapping[str, Any],
) -> dict[Any, Entry]:
    """As one array; its numbers are in sweep.json from then on."""
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError

    own = dict(options)
    executor = AutoExecutor(
        cluster="slurm",
        folder=ledger.folder / LOGS,
        slurm_max_num_timeout=own.pop("max_num_timeout"),
        slurm_python=own.pop("python"),
    )
    # As submitit names them: what every cluster has, and what SLURM alone has.
    common = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node",
              "tasks_per_node", "stderr_to_stdout")  # fmt: skip
    given = {
        key if key in common else f"slurm_{key}": value
        for key, value in own.items()
        if value is not None
    }
    if own["cpus_per_task"] is not None:  # from 22.05 on srun does not take it from sbatch
        given["slurm_srun_args"] = [f"--cpus-per-task={own['cpus_per_task']}"]
    executor.update_parameters(**given)
    try:
        with executor.batch():
            jobs = [executor.submit(todo[entry.number]) for entry in entries]
    except FailedJobError as error:  # SLURM refuses: no such partition, more than a node has …
        raise InputError(f"hydra/launcher: {' '.join(str(error).split())}") from None
    handed = dict(zip(jobs, entries, strict=True))
    with ledger.facts() as facts:
        facts.setdefault("slurm", {}).update({
            ledger.path(entry.overrides).stem: [job.job_id, config_hash(todo[entry.number].config)]
            for job, entry in handed.items()
        })  # fmt: skip
    return handed


def wait(ledger: Ledger, left: dict[Any, Entry]) -> None:
    """Say of each job how it ended. That its node died need not be its end: SLURM queues it again,
    a moment later. Of a job of an array that is cancelled before it began sacct may know nothing
    (22.05): it is lost, too, when the queue does not have it.
    """
    total, asked = ledger.total(), time.monotonic()
    lost: dict[Any, float] = {}  # jobs -> since when
    queue: set[str] | None = None
    while left:
        time.sleep(1)
        if time.monotonic() - asked > ASK_SECONDS:
            asked = time.monotonic()
            watcher = next(iter(left)).watcher
            if lost:
                watcher.clear()  # what has ended it does not ask for again
            watcher.update()
            queue = in_queue()
        for job in list(left):
            if not job.done() and (queue is None or job.job_id in queue):
                lost.pop(job, None)
                continue
            entry = ledger.read(left[job].overrides) or left[job]
            unended = entry.status not in (*DONE, "FAILED")
            if unended and (job.state == "NODE_FAIL" or not job.done()):
                since = lost.setdefault(job, time.monotonic())
                if time.monotonic() - since < REQUEUE_SECONDS:
                    continue
            del left[job]
            over = unended and not ledger.busy(entry)
            if over:
                how = f"{said_of(job)}, see {shown_path(Path(job.paths.stdout))}"
                note_killed(ledger)
                # What could have begun goes on where it was, with the same command.
                begun = entry.status != "WAITING" or how.startswith(TOO_LONG)
                status: Status = "STOPPED" if begun else "FAILED"
                entry = replace(entry, status=status, problem=how)
                ledger.write(entry)
            line = ended(entry, ledger.entries(), total)
            if over and entry.status == "STOPPED":
                line += f": {entry.problem}"
            print(line, flush=True)


def said_of(job: Any) -> str:
    """How SLURM has it, or why submitit did not queue it again."""
    if "not requeued because: timed-out too many times" in (job.stdout() or ""):
        return f"{TOO_LONG} (timeout_min, max_num_timeout)"
    if not job.done():
        return "no longer in SLURM's queue"
    if job.paths.result_pickle.exists():  # sacct may not know of it yet
        return "it ended with an error"
    return f"{job.state} in SLURM"
