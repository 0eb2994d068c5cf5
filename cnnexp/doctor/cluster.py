"""SLURM: what submits jobs and asks after them, where there is a cluster."""

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping

from cnnexp.doctor.finding import Finding, note, ok

COMMANDS = ("sbatch", "scontrol", "sacct")


def slurm(environment: Mapping[str, str], *, in_container: bool) -> Finding:
    """Looked at inside a job, and where SLURM_CONF is set or one of its commands is.

    A fault is a note: a run works here, but no job can be submitted from here.
    """
    search = environment.get("PATH")
    here = [name for name in COMMANDS if shutil.which(name, path=search)]
    job = environment.get("SLURM_JOB_ID")
    if not (job or here or "SLURM_CONF" in environment):
        return ok("none here")
    inside = f"job {job}, " if job else ""
    if missing := ", ".join(name for name in COMMANDS if name not in here):
        elsewhere = (
            "outside the container" if in_container else "a login node, or: module load slurm"
        )
        return note(f"{inside}{missing} not found", f"submit from {elsewhere}")
    for command, fix in (
        (["scontrol", "ping"], "is slurmctld up? does SLURM_CONF name the right file?"),
        # A cancelled job that has no record is waited for for ever.
        (["sacct", "--noheader", "--allocations"], "submitit needs accounting; use slurm/*.sbatch"),
    ):
        if said := failure(command, environment):
            return note(f"{inside}{' '.join(command)}: {said}", fix)
    if importlib.util.find_spec("submitit") is None:
        return note(f"{inside}sweeps cannot be submitted", "pip install 'cnnexp[slurm]'")
    return ok(f"{inside}{', '.join(COMMANDS)} answer")


def failure(command: list[str], environment: Mapping[str, str]) -> str:
    """What a command says that fails, in a line; "" where it succeeds."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    try:
        done = subprocess.run(
            [program or command[0], *command[1:]],
            env=dict(environment), capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "no answer in 10 s"
    except OSError as error:
        return str(error)
    said = (done.stderr or done.stdout).strip().splitlines()
    down = next((line for line in done.stdout.splitlines() if line.endswith("DOWN")), "")
    if done.returncode == 0 and not down:
        return ""
    return down or (said[-1] if said else f"exit code {done.returncode}")
