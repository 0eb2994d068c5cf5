"""One run of one task: its config checked, then the task's function."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cnnexp.config.compose import compose, resolved
from cnnexp.config.instantiate import resolve
from cnnexp.config.located import located
from cnnexp.config.phases import check_heeded
from cnnexp.config.rerun import check_command
from cnnexp.config.schema import COMPARES
from cnnexp.errors import InputError
from cnnexp.interrupts import interrupts_wait
from cnnexp.memory import keep_freed_memory, lasting_imports


def run_one(overrides: Sequence[str], config_dir: Path | None) -> Any:
    """What the task gives. Raises InputError."""
    composed = compose(overrides, config_dir)
    check_single(overrides)
    return execute(checked(composed.config, composed.overrides))


def check_single(overrides: Sequence[str]) -> None:
    """Raises InputError for what one run alone would not heed."""
    keys = [line.lstrip("+").partition("=")[0] for line in overrides]
    for key in ("input", "run", "runs"):
        if keys.count(key) > 1:
            many = f"; several in one list: '{key}=[a,b]'" if key != "run" else ""
            raise InputError(f"{key}: is given {keys.count(key)} times, and takes one value{many}")
    for key, line in zip(keys, overrides, strict=True):
        if key == "n_jobs" or key.startswith("search."):
            raise InputError(
                f"{line}: is for several runs: add -m, or sweep=optuna for a search; for one run "
                "leave it out"
            )


def checked(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """The composed config as plain dicts, valid in itself and on this disk.

    overrides: what was typed, kept with the run; a finished run's config yields to it.
    """
    with located(config, overrides):
        checked = check_command(resolved(config), overrides)
        check_heeded(config, overrides)
    return {"overrides": list(overrides), **checked}


def execute(config: dict[str, Any]) -> Any:
    """The task's function, given the whole config; its Result."""
    from cnnexp.sources import look_ahead  # numpy

    look_ahead(config)
    if (
        sys.stdout.isatty() and config["task"].get("name") not in COMPARES
    ):  # importing torch, Lightning and the rest takes some seconds
        print("loading torch …", end="\r", flush=True)
    keep_freed_memory()
    with interrupts_wait(), lasting_imports(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # in notebooks; of MLflow
        task = resolve(config["task"]["_target_"], "task._target_")
    return task(config)
