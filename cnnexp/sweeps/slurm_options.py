"""hydra.launcher's keys for a SLURM cluster, checked before anything is submitted."""

import importlib.util
import math
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cnnexp.config.check import check_keys
from cnnexp.config.explain import CONFIG_ERRORS, explained
from cnnexp.errors import InputError

SEVERAL = ("nodes", "ntasks", "tasks-per-node", "ntasks-per-node", "ntasks-per-gpu",
           "ntasks-per-core", "ntasks-per-socket")  # fmt: skip
EARLIER_SECONDS = 60  # by so much SLURM may warn sooner than told (sbatch's manual, --signal)
START_SECONDS = 30  # until a job trains


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
