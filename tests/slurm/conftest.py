"""A folder to work in, and a network that trains slowly while a file is there."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# A second a step at first, then three: it must not end by itself on a slow machine.
CODE = """
import itertools
import time
from pathlib import Path

def slow(path: str):
    steps = itertools.count()
    def pass_on(images):
        if Path(path).exists():
            time.sleep(1 if next(steps) < 12 else 3)
        return images
    return pass_on
"""
# 72 training images: 9 steps an epoch.
EXPERIMENT = """# @package _global_
# Small.
defaults:
  - override /dataset: shapes
  - override /visualization: none
  - override /augmentation: slow
name: small
dataset: {{images: 120, image_size: 24, batch_size: 8}}
model: {{widths: [[4], [4]], dense: []}}
training: {{mixup: 0.2, ema: 0.9}}
trainer: {{max_epochs: 30, precision: 32-true, log_every_n_steps: 5}}
tracking: {{system_metrics: false, log_model: false}}
paths: {{cache: {cache}}}
"""
TOLD = re.compile(r"^(?:slurm +)?(\d[\d_]*)(?::|$)", re.MULTILINE)
LAUNCHER = ["hydra/launcher=slurm_cpu", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]


def asked(*command: str) -> str:
    """What a program answers."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    told = asked("sinfo", "-h", "-N", "-o", "%N %t")
    assert told.split() == ["node1", "idle", "node2", "idle"], "scripts/slurm_cluster.sh up"


class Work:
    """A person's folder, with configs of their own."""

    launcher = LAUNCHER

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.slow = folder, folder / "slow"
        for group in ("augmentation", "experiment"):
            (folder / "mine" / group).mkdir(parents=True)
        (folder / "mine" / "slowly.py").write_text(CODE)
        (folder / "mine" / "augmentation" / "slow.yaml").write_text(
            f"# Slow.\n_target_: slowly.slow\npath: {self.slow}\n"
        )
        self.experiment = folder / "mine" / "experiment" / "small.yaml"
        self.experiment.write_text(EXPERIMENT.format(cache=cache))
        self.slow.touch()
        self.seen: set[tuple[str, str]] = set()  # of a job: in the ledger, in run.json
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            for job in self.jobs():
                path = Path(job["folder"] or "none") / "run.json"
                if path.is_file():
                    self.seen.add((job["status"], json.loads(path.read_text())["status"]))
            time.sleep(0.3)

    def jobs(self) -> list[dict[str, Any]]:
        """The sweeps' entries, by seed."""
        paths = self.folder.glob("outputs/sweeps/*/jobs/*.json")
        return sorted((json.loads(p.read_text()) for p in paths), key=lambda job: job["label"])

    def run_json(self) -> dict[str, Any]:
        """Of the sweep's one run."""
        (job,) = self.jobs()
        return json.loads((Path(job["folder"]) / "run.json").read_text())

    def trained(self) -> bool:
        """Whether an epoch has been saved."""
        return any(self.folder.glob("outputs/small/*/checkpoints/train/last.ckpt"))

    def restarted(self) -> bool:
        """Whether SLURM has started the job again."""
        owners = self.folder.glob("outputs/sweeps/*/jobs/*.owner")
        return any(json.loads(owner.read_text())[1] > 0 for owner in owners)

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Its output goes to `told`."""
        with (self.folder / "told").open("a") as told:
            return subprocess.Popen(
                command, cwd=self.folder, stdout=told, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1",
                     "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )  # fmt: skip

    def run(self, *typed: str) -> "subprocess.Popen[str]":
        own = ["--config-dir", "mine", "experiment=small"]
        return self.start(sys.executable, "-m", "cnnexp", *own, *typed)

    def submit(self, *typed: str) -> "subprocess.Popen[str]":
        return self.run("-m", *LAUNCHER, *typed)

    def sbatch(self, script: str, *options: str, typed: Sequence[str] = ()) -> None:
        """One of slurm/, as it is. options: of sbatch, for CPUs. typed: after the script's name."""
        small = ["--parsable", "--cpus-per-task=1", "--mem=1G", "--gpus-per-node=0", *options]
        own = ["--config-dir", "mine", "experiment=small"]
        sbatch = self.start("sbatch", *small, str(ROOT / "slurm" / script), *own, *typed)
        assert sbatch.wait(60) == 0, self.told

    @property
    def told(self) -> str:
        return (self.folder / "told").read_text()

    @staticmethod
    def until(true: Callable[[], Any], seconds: float = 900) -> Any:
        """What it gives when it is true; an assertion where that takes too long."""
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, "it never was"
            time.sleep(0.3)
        return found

    def slurm_id(self) -> str:
        """As the launcher, or sbatch, tells it."""
        return str(self.until(lambda: TOLD.search(self.told))[1])

    def cancel(self) -> None:
        """What may still be there, after a test that failed."""
        if told := TOLD.search(self.told):
            subprocess.run(["scancel", "--quiet", told[1]])

    def accounting(self) -> str:
        """sacct's state of the job, the last one of several starts."""
        states = asked("sacct", "-n", "-X", "-P", "-D", "-o", "State", "-j", self.slurm_id())
        return states.split("\n")[-1]

    def requeue(self) -> None:
        asked("scontrol", "requeue", self.slurm_id())

    def queued_again(self) -> bool:
        return asked("squeue", "-h", "-O", "RestartCnt", "-j", self.slurm_id()) == "1"

    def limit(self, minutes: int) -> None:
        """The job's new time limit."""
        asked("scontrol", "update", f"JobId={self.slurm_id()}", f"TimeLimit={minutes}")

    def nearly_over(self, signal_s: int) -> None:
        """A limit that comes soon, but not before the signal that is sent `signal_s` earlier: SLURM
        looks every 30 s whether there is something to do.
        """
        used = asked("squeue", "-h", "-o", "%M", "-j", self.slurm_id())
        minutes, seconds = (int(part) for part in used.split(":"))
        self.limit(minutes + (seconds + signal_s + 45) // 60 + 1)


@pytest.fixture(scope="session")
def make_work(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Work]:
    cache = tmp_path_factory.mktemp("cache")
    return lambda name: Work(tmp_path_factory.mktemp(name), cache)
