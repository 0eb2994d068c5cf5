"""Several processes that train one network together, each with its part of every batch.

All of them run the same command. On one machine the command starts them, with torch's launcher; on
several srun does. The first one, of rank 0, does all that is not training, and writes.
"""

import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple

from cnnexp.cores import usable_cores
from cnnexp.errors import InputError

PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")  # to the processes
WAIT = timedelta(hours=6)  # while the first one tests and draws; launchers end those left behind
LAST_WORDS = timedelta(seconds=60)  # while the first one writes how a run ended that broke off


class Place(NamedTuple):
    """A process among `size`, of which `devices` are on each machine. rank, local: from 0."""

    rank: int = 0
    size: int = 1
    local: int = 0
    devices: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


def several(config: Mapping[str, Any]) -> bool:
    """Whether the run may want more than one process: `trainer=ddp`."""
    return config["task"].get("name") == "train" and config["trainer"].get("devices") != 1


def place(config: Mapping[str, Any]) -> Place | None:
    """Where this process stands; None where nobody has started its fellows yet.

    Raises InputError where srun has started another number than trainer.devices says.
    """
    if not several(config):
        return Place()
    env, wanted = os.environ, config["trainer"]["devices"]
    if "TORCHELASTIC_RUN_ID" in env:
        numbers = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return Place(*(int(env[name]) for name in numbers))
    size = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if size == 1:
        return None
    nodes = int(env.get("SLURM_STEP_NUM_NODES", 1))
    devices = size // nodes
    if size % nodes or wanted not in ("auto", devices) or "SLURM_NTASKS_PER_NODE" not in env:
        raise InputError(
            f"trainer.devices={wanted}: srun has started {size} processes on {nodes} machines; "
            f"use srun --ntasks-per-node={devices if wanted == 'auto' else wanted}"
        )
    return Place(int(env["SLURM_PROCID"]), size, int(env["SLURM_LOCALID"]), devices)


def beside_the_first() -> bool:
    """Whether another process says what concerns all: the one that started this one, or the first
    of a SLURM step. Before the config is known, which `place` reads.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ or os.environ.get("SLURM_PROCID", "0") != "0"


def here_of(config: Mapping[str, Any]) -> Place:
    """Where this process stands; alone, where it has no fellows."""
    return place(config) or Place()


def start(config: Mapping[str, Any], argv: Sequence[str]) -> int:
    """Run `cnnexp <argv>` in as many processes as trainer.devices says; the exit code."""
    count = config["trainer"]["devices"]
    if count == "auto":
        count = gpus()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // count)))
    import logging

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(PASSED_ON)
    # A process says itself what is wrong; who of them ended first is of no interest.
    logging.disable()
    launch = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, max_restarts=0, monitor_interval=0.1,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost",
        run_id=uuid.uuid4().hex,
    )  # fmt: skip
    try:
        elastic_launch(launch, sys.executable)("-m", "cnnexp", *argv)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as signal:
        return 128 + int(signal.sigval)
    return 0


def gpus() -> int:
    """How many torch sees; InputError where that is none."""
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            "trainer.devices=auto: torch sees no GPU here; say how many processes are wanted: "
            "trainer.devices=2"
        )
    return torch.cuda.device_count()


@contextmanager
def joined(config: Mapping[str, Any]) -> Iterator[Place]:
    """In the context the processes of the run know each other; all but the first print nothing."""
    here = place(config)
    if here is None:
        raise InputError(
            f"trainer.devices={config['trainer']['devices']}: only the command line starts several "
            "processes, one run at a time: python -m cnnexp trainer=ddp …"
        )
    if here.size == 1:
        yield here
        return
    import torch
    from torch import distributed

    environment = cluster(here)
    os.environ["MASTER_ADDR"] = environment.main_address
    os.environ["MASTER_PORT"] = str(environment.main_port)
    backend = "gloo"
    if torch.cuda.is_available() and config["trainer"]["accelerator"] != "cpu":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(here.local)
    distributed.init_process_group(backend, rank=here.rank, world_size=here.size, timeout=WAIT)
    former = sys.stdout
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = former if here.first else nowhere
        try:
            yield here
            distributed.barrier()
        finally:
            sys.stdout = former
            distributed.destroy_process_group()


def cluster(here: Place) -> Any:
    """What tells Lightning who else is there. It must not see a cluster where it trains alone, nor
    ask SLURM for a requeue: that is done elsewhere.
    """
    from pytorch_lightning.plugins.environments import (
        LightningEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )

    if here.size == 1:
        return LightningEnvironment()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return TorchElasticEnvironment()
    return SLURMEnvironment(auto_requeue=False)


def from_first(here: Place, value: Any = None) -> Any:
    """What the first process gives, in all of them."""
    if here.size == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def last_to_leave(here: Place) -> Iterator[None]:
    """For all but the first process: however the context ends, the first has ended before.

    As soon as one has failed, launchers may end the others: the first must have written that the
    run failed, or was interrupted. It never sends; that it has closed its door is waited for.
    """
    import torch
    from torch import distributed

    try:
        yield
    except BaseException:
        with suppress(RuntimeError):
            if waiting := distributed.irecv(torch.zeros(1), src=0):
                waiting.wait(LAST_WORDS)
        raise
