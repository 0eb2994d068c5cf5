"""One job of a sweep: in this process, in one beside it or on another machine."""

import contextlib
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cnnexp.config.identity import PASSING, config_hash
from cnnexp.config.own_folder import allow_folder
from cnnexp.config.saved import record
from cnnexp.errors import InputError, Pruned, one_line
from cnnexp.execution import checked, execute
from cnnexp.runs import Job, create_run_folder
from cnnexp.sweeps import parent, search
from cnnexp.sweeps.gpus import take_gpu
from cnnexp.sweeps.ledger import DONE, Entry, Ledger
from cnnexp.sweeps.words import ended, started

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def job(config: DictConfig) -> float | None:
    """What Hydra's launchers call; the best monitored value on the validation images."""
    node = HydraConfig.get()
    for source in node.runtime.config_sources:
        if source.provider in ("command-line", "hydra.searchpath in command-line"):
            allow_folder(Path(source.path))
    overrides = list(node.overrides.task)
    # A job is known by what was typed: name=${hydra:runtime.choices.model}, say.
    as_typed = cast(list[str], OmegaConf.to_container(node.overrides.task, resolve=False))
    ledger = Ledger(Path(node.sweep.dir))
    if ledger.read(as_typed) is None:  # launched by something else than a sweep of ours
        return _value(execute(checked(config, overrides)).metrics, config.training.monitor)
    if "joblib" in node.launcher._target_:
        take_gpu(ledger.folder)
    beside = node.launcher._target_ != BASIC  # others are printing, too
    entry = work(ledger, as_typed, lambda: checked(config, overrides), quiet=beside)
    return entry.value if entry else None


def work(
    ledger: Ledger,
    overrides: Sequence[str],
    config: Callable[[], dict[str, Any]],
    *,
    quiet: bool = False,
) -> Entry | None:
    """Do the job, unless it is done; its entry, or None where another process is doing it.

    What goes wrong is written down and told at once, and the other jobs go on: only a signal ends
    the sweep.
    """
    entry = ledger.read(overrides)
    assert entry is not None
    total, restarted = ledger.total(), ledger.owner(entry).restarted()
    with ledger.claimed(entry) as mine:
        if not mine:
            return None
        entry = ledger.read(overrides) or entry  # another may have finished it meanwhile
        try:
            plain = config()
            if restarted:  # by SLURM: what it began with counts, not what the files say now
                plain |= entry.config
            if remembered(entry, plain):
                return entry
            print(started(entry, ledger.entries(), total, plain["n_jobs"]), flush=True)
            with silent() if quiet else contextlib.nullcontext():
                run(ledger, entry, plain)
        except Pruned as pruned:
            entry.status, entry.value = "PRUNED", pruned.value
        except Exception as problem:
            entry.status, entry.problem = "FAILED", _told(problem, entry, ledger)
            if entry.folder and not record(Path(entry.folder)):  # it had not begun
                shutil.rmtree(entry.folder, ignore_errors=True)
                entry.folder = None
        except BaseException:
            entry.status = "STOPPED"
            ledger.write(entry)
            raise
        ledger.write(entry)
        print(ended(entry, ledger.entries(), total), flush=True)
        return entry


def remembered(entry: Entry, config: Mapping[str, Any]) -> bool:
    """Whether the training was done before, with this very config."""
    training = config["task"]["name"] == "train"
    return training and entry.status in DONE and entry.config_hash == config_hash(config)


def run(ledger: Ledger, entry: Entry, config: dict[str, Any]) -> None:
    """Do it, in the folder where it was interrupted or in a new one; the entry says what came out.

    Raises what the task raises.
    """
    began, digest = time.monotonic(), config_hash(config)
    interrupted = entry.status in ("RUNNING", "STOPPED") and entry.config_hash == digest
    entry.config, entry.config_hash = identity(config), digest
    entry.problem, entry.value, entry.metrics = "", None, {}
    entry.seconds = entry.seconds if interrupted else 0.0
    entry.monitor = config["training"]["monitor"]
    if config["task"]["name"] == "train":
        if not (interrupted and entry.folder and Path(entry.folder).is_dir()):
            outputs = Path(config["paths"]["outputs"])
            entry.folder = str(create_run_folder(outputs, config["name"]))
        stop = None
        if entry.trial is not None and config["search"]["pruning"]:
            stop = search.stopper(ledger, entry.trial)
        tags = parent.tags(ledger, config)
        config["job"] = Job(Path(entry.folder), entry.label, tags, stop)
    entry.status = "RUNNING"
    ledger.write(entry)
    known = record(Path(entry.folder)) if entry.folder else {}
    if known.get("status") == "FINISHED":  # killed after its end, before it was noted here
        entry.metrics = known["metrics"]
    else:
        config["resume"] = entry.folder if known else None
        try:
            entry.metrics = dict(execute(config).metrics)
        finally:
            entry.seconds += time.monotonic() - began
    entry.value, entry.status = _value(entry.metrics, entry.monitor), "FINISHED"


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """All that makes the run that run: no passwords of stores, no places."""
    return {key: config[key] for key in config if key not in PASSING}


def _value(metrics: Mapping[str, float], monitor: str) -> float | None:
    return metrics.get(f"best/{monitor}")


def _told(problem: Exception, entry: Entry, ledger: Ledger) -> str:
    """One line; of a bug the traceback is kept beside the job."""
    if isinstance(problem, InputError):
        return one_line(problem)
    path = ledger.path(entry.overrides).with_suffix(".txt")
    path.write_text(traceback.format_exc(), encoding="utf-8")
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0] if lines else ''} ({path})"


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing on stdout: a run's own lines are in its log.txt."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        former, sys.stdout = sys.stdout, nowhere
        try:
            yield
        finally:
            sys.stdout = former
