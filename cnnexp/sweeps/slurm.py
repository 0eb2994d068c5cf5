"""A sweep's jobs on a SLURM cluster, as an array of submitit's.

Each runs the config that was submitted, whatever the YAML files say when it starts. Before the time
limit it saves where it is, and is queued again; see docs/slurm.md.
"""

import importlib.util
import math
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from cnnexp.config.check import check_keys
from cnnexp.config.compose import compose
from cnnexp.config.explain import CONFIG_ERRORS, explained
from cnnexp.config.instantiate import resolve
from cnnexp.config.own_folder import allow_folder
from cnnexp.errors import InputError
from cnnexp.execution import checked
from cnnexp.files import shown_path
from cnnexp.sweeps.job import work
from cnnexp.sweeps.killed import note_killed
from cnnexp.sweeps.ledger import DONE, Entry, Ledger, Status
from cnnexp.sweeps.words import ended

LISTED = 12  # jobs whose logs are named
SEVERAL = ("nodes", "ntasks", "tasks-per-node", "ntasks-per-node", "ntasks-per-gpu",
           "ntasks-per-core", "ntasks-per-socket")  # fmt: skip
TOO_LONG = "all its time limits are used up"
ASK_SECONDS = 20.0  # between two questions to sacct, which serves the whole cluster
EARLIER_SECONDS = 60  # by so much SLURM may warn sooner than told (sbatch's manual, --signal)
START_SECONDS = 30  # until a job trains
REQUEUE_SECONDS = 180.0  # until a job whose node died is seen in the queue, if it is to be


def cluster_options(node: DictConfig) -> dict[str, Any] | None:
    """hydra.launcher's keys, checked; None where jobs do not go to SLURM. InputError where it, or
    something that is needed for it, is not here.
    """
    if not str(node._target_).endswith(("sweeps.slurm.submit", ".SlurmLauncher")):
        return None
    if importlib.util.find_spec("submitit") is None:
        raise InputError("hydra/launcher: jobs on SLURM need: pip install 'cnnexp[slurm]'")
    for program, of in (("sbatch", "its programs"), ("sacct", "its accounting")):
        if shutil.which(program) is None:
            raise InputError(
                f"hydra/launcher: there is no {program} here; run this where SLURM and {of} are: "
                "on the cluster's login node"
            )
    asked = subprocess.run(["sacct", "-n", "-X"], capture_output=True, text=True)
    if asked.returncode:
        because = " ".join(asked.stderr.split()) or f"exit code {asked.returncode}"
        raise InputError(
            f"hydra/launcher: sacct does not answer ({because}): without SLURM's accounting nobody "
            "would notice that a job was cancelled; use slurm/run.sbatch instead"
        )
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

    given = {str(key): node[key] for key in node if key not in ("_target_", "python")}
    known_keys = [field.name for field in fields(SlurmQueueConf) if field.name[0] != "_"]
    check_keys(given, known_keys, "hydra.launcher.")
    given["submitit_folder"] = ""  # its own place is of no use here
    try:
        known = OmegaConf.merge(OmegaConf.structured(SlurmQueueConf), given)
        options = OmegaConf.to_container(known, resolve=True)
    except CONFIG_ERRORS as error:
        raise InputError(f"hydra.launcher.{explained(error, [], {})}") from None
    assert isinstance(options, dict)
    check_one_process(options)
    check_time(options["timeout_min"], options["signal_delay_s"])
    own = {str(key): value for key, value in options.items()}
    del own["_target_"], own["submitit_folder"]
    return {**own, "python": node.get("python")}


def check_time(limit_min: int, warning_s: int) -> None:
    """Raises InputError where a job would be told to leave before it could do anything."""
    if limit_min < 1:  # SLURM takes 0 for no limit
        raise InputError(f"hydra.launcher.timeout_min={limit_min}: must be at least 1")
    least = math.ceil((warning_s + EARLIER_SECONDS + START_SECONDS) / 60)
    if limit_min < least:
        raise InputError(
            f"hydra.launcher.timeout_min={limit_min}: the job would be told to save and leave, "
            f"signal_delay_s={warning_s} before its limit and up to a minute sooner, before it "
            f"could train; give it {least} minutes or more"
        )


def check_one_process(options: Mapping[Any, Any]) -> None:
    """Raises InputError where SLURM would start a job's process more than once."""
    for where, given in (
        ("", options),
        ("additional_parameters.", options["additional_parameters"]),
    ):
        for key, value in given.items():
            if str(key).replace("_", "-") in SEVERAL and str(value) != "1":
                raise InputError(
                    f"hydra.launcher.{where}{key}={value}: a sweep's jobs are one process each, "
                    "others would do the same again; of several processes one run at a time, with "
                    "slurm/ddp.sbatch"
                )


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
    """Hand the jobs to SLURM and wait until all have ended, whichever way."""
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError

    own = dict(options)
    executor = AutoExecutor(
        cluster="slurm",
        folder=ledger.folder / "slurm" / "%j",
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
    todo = []
    for entry in entries:
        composed = compose(entry.overrides, config_dir)
        config = checked(composed.config, entry.overrides)
        todo.append(SlurmJob(ledger.folder, entry.overrides, config, config_dir))
    try:
        with executor.batch():
            jobs = [executor.submit(one) for one in todo]
    except FailedJobError as error:  # SLURM refuses: no such partition, more than a node has …
        raise InputError(f"hydra/launcher: {' '.join(str(error).split())}") from None
    for entry, job in list(zip(entries, jobs, strict=True))[:LISTED]:
        print(f"{'slurm':<9} {job.job_id}: {entry.label}  {shown_path(Path(job.paths.stdout))}")
    if len(jobs) > LISTED:
        print(f"{'':<9} … and {len(jobs) - LISTED} more")
    array = jobs[0].job_id.partition("_")[0]
    try:
        wait(ledger, dict(zip(jobs, entries, strict=True)))
    except (KeyboardInterrupt, SystemExit):
        print(f"\nthe jobs stay in SLURM: squeue -j {array}; to end them: scancel {array}")
        raise


def wait(ledger: Ledger, left: dict[Any, Entry]) -> None:
    """Say of each job how it ended. That its node died need not be its end: SLURM queues it again,
    a moment later.
    """
    total, asked = ledger.total(), time.monotonic()
    lost: dict[Any, float] = {}  # jobs whose nodes have died -> when that was seen
    while left:
        time.sleep(1)
        if time.monotonic() - asked > ASK_SECONDS:
            asked = time.monotonic()
            watcher = next(iter(left)).watcher
            if lost:
                watcher.clear()  # what has ended it does not ask for again
            watcher.update()
        for job in list(left):
            if not job.done():
                lost.pop(job, None)
                continue
            entry = ledger.read(left[job].overrides) or left[job]
            unended = entry.status not in (*DONE, "FAILED")
            if unended and job.state == "NODE_FAIL":
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
    return f"{job.state} in SLURM"
