"""Who runs a sweep's jobs: Hydra's launchers on this machine, or a SLURM cluster."""

import functools
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from cnnexp.config.compose import PRIMARY
from cnnexp.config.quoting import in_quotes
from cnnexp.errors import InputError
from cnnexp.interrupts import interrupts_wait
from cnnexp.sweeps.job import BASIC, job
from cnnexp.sweeps.killed import is_dead_worker, note_killed, tell_killed
from cnnexp.sweeps.ledger import DONE, Entry, Ledger
from cnnexp.sweeps.slurm import submit

Launch = Callable[[Sequence[Entry]], None]


def multirun_config(overrides: Sequence[str]) -> DictConfig:
    """The config that Hydra's launchers are made of; several jobs at once want joblib's."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None

    def composed(*more: str) -> DictConfig:
        return hydra.compose_config(
            PRIMARY, [*overrides, *more], RunMode.MULTIRUN, with_log_configuration=False
        )

    config = composed()
    if config.hydra.sweeper._target_.rpartition(".")[2] != "BasicSweeper":
        raise InputError("hydra/sweeper: sweeps are cnnexp's own; Bayesian ones with sweep=optuna")
    if config.n_jobs > 1 and config.hydra.launcher._target_ == BASIC:
        config = composed("hydra/launcher=joblib", f"hydra.launcher.n_jobs={config.n_jobs}")
    return config


def launching(
    ledger: Ledger,
    config: DictConfig,
    options: Mapping[str, Any] | None,
    config_dir: Path | None,
) -> Launch:
    """What runs jobs and comes back when they have ended. options: of SLURM; None: here."""
    if options is not None:
        return functools.partial(submit, ledger, options=options, config_dir=config_dir)
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    with open_dict(config):  # its jobs know the sweep's folder
        config.hydra.sweep.dir = str(ledger.folder)
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={in_quotes(str(ledger.folder))}")
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=job, config=config
    )
    kills = Counter[int]()  # of a job's number

    def launch(entries: Sequence[Entry]) -> None:
        left = list(entries)
        while left:
            try:
                with warnings.catch_warnings():
                    # loky's, when it starts a process anew whose memory has grown.
                    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
                    launcher.launch([entry.overrides for entry in left], initial_job_idx=0)
                return
            except BaseException as problem:
                if isinstance(problem, KeyboardInterrupt):
                    print("\nleaving when the store knows of it …", flush=True)
                with interrupts_wait():
                    killed = note_killed(ledger)
                if not killed or not is_dead_worker(problem):
                    raise
                kills.update(entry.number for entry in killed)
                tell_killed(ledger, killed, kills, str(problem))
                left = [entry for entry in left if open_still(ledger, entry)]

    return launch


def open_still(ledger: Ledger, entry: Entry) -> bool:
    """Whether the job has not come to an end."""
    known = ledger.read(entry.overrides)
    return known is None or known.status not in (*DONE, "FAILED")
