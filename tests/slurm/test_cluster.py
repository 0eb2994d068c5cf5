"""On a real SLURM of two nodes (scripts/slurm_cluster.sh): what is interrupted ends as if it had
not been, in the folder, in MLflow and in SLURM.
"""

import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cnnexp.tracking.store import connect

pytestmark = pytest.mark.slurm

Work = Any  # of conftest.py
ROOT = Path(__file__).parents[2]
LIMIT = ["hydra.launcher.timeout_min=9", "hydra.launcher.signal_delay_s=30"]
TOLD = re.compile(r"^(?:slurm +)?(\d[\d_]*)(?::|$)", re.MULTILINE)
SBATCH = ["--parsable", "--cpus-per-task=1", "--mem=1G", "--gpus-per-node=0"]


def until(true: Callable[[], Any], seconds: float = 400) -> Any:
    """What it gives when it is true; an assertion where that takes too long."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never was"
        time.sleep(0.3)
    return found


def accounting(job: str) -> str:
    """sacct's state of a job."""
    command = ["sacct", "-n", "-X", "-P", "-D", "-o", "State", "-j", job]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return [line for line in lines if line][-1] if any(lines) else ""


def slurm_id(work: Work) -> str:
    """As the launcher, or sbatch, tells it."""
    return str(until(lambda: TOLD.search(work.told))[1])


def limit(work: Work, minutes: int) -> None:
    """The job's new time limit."""
    command = ["scontrol", "update", f"JobId={slurm_id(work)}", f"TimeLimit={minutes}"]
    subprocess.run(command, check=True)


def minutes_used(work: Work) -> int:
    """As long as the job has run; a limit of that is about to end."""
    command = ["squeue", "-h", "-o", "%M", "-j", slurm_id(work)]
    used = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(used.split(":")[0]) + 1


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "checkpoints" / "train" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def tracked(work: Work) -> list[Any]:
    """MLflow's runs that are no sweeps."""
    client = connect(f"sqlite:///{work.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def check_like(work: Work, whole: Work, *, killed: bool = False) -> None:
    """One folder and one MLflow run, finished, to the bit like one that was not interrupted.

    killed: what it logged after its last checkpoint is there again, and its last seconds' is lost.
    """
    (job,) = work.jobs()
    folder, other = Path(job["folder"]), Path(whole.jobs()[0]["folder"])
    assert list((work.folder / "outputs" / "small").iterdir()) == [folder]
    assert (job["status"], work.run_json()["status"]) == ("FINISHED", "FINISHED")
    ours, theirs = weights(folder), weights(other)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    (run,) = tracked(work)
    assert (run.info.status, run.info.run_id) == ("FINISHED", work.run_json()["mlflow_run_id"])
    steps = []
    for one in (folder, other):
        with (one / "metrics.csv").open() as file:
            steps.append([(row["step"], row["metric"]) for row in csv.DictReader(file)])
    client = connect(f"sqlite:///{work.folder / 'mlflow.db'}")
    logged = [m.step for m in client.get_metric_history(run.info.run_id, "train/loss_step")]
    assert sorted(set(logged)) == list(range(5, 271, 5))
    if killed:
        saved = [{row for row in own if row[1].endswith(("_step", "val/loss"))} for own in steps]
        assert saved[0] == saved[1]
    else:
        assert sorted(steps[0]) == sorted(steps[1])
        assert len(logged) == len(set(logged))


@pytest.fixture(scope="module")
def begun(make_work: Callable[[str], Work]) -> Iterator[dict[str, Any]]:
    """All at once, for most of the time goes by in waiting: name -> (folder, process)."""
    works = {name: make_work(name) for name in (
        "whole", "sweep", "limit", "requeue", "cancel", "run", "seeds", "from_job"
    )}  # fmt: skip
    for name in ("whole", "seeds", "from_job"):
        works[name].slow.unlink()
    own = ["--config-dir", "mine", "experiment=small"]
    short = ["--time=9", "--signal=USR1@30"]
    start = {
        "limit": lambda work: work.submit(*LIMIT),
        "run": lambda work: work.start(
            "sbatch", *SBATCH, *short, str(ROOT / "slurm/run.sbatch"), *own
        ),
        "requeue": lambda work: work.submit(),
        "cancel": lambda work: work.submit(),
        "whole": lambda work: work.run("-m"),
        "seeds": lambda work: work.start(
            "sbatch", *SBATCH, "--array=0-1", str(ROOT / "slurm/seeds.sbatch"), *own,
            "trainer.max_epochs=1",
        ),
        "from_job": lambda work: work.start(
            "sbatch", *SBATCH, str(ROOT / "slurm/sweep.sbatch"), *own, *work.launcher, "seed=0,1",
            "trainer.max_epochs=1",
        ),
        "sweep": lambda work: work.submit(
            "seed=0,1,2,3", "trainer.max_epochs=1", "hydra.launcher.array_parallelism=2",
        ),
    }  # fmt: skip
    yield {name: (works[name], begin(works[name])) for name, begin in start.items()}
    for told in [TOLD.search(work.told) for work in works.values()]:
        if told:  # with -x, some may still be there
            subprocess.run(["scancel", "--quiet", told[1]])


def test_a_job_is_queued_again_at_its_time_limit(begun: dict[str, Any]) -> None:
    """Told by submitit's signal, and by that of slurm/run.sbatch; the YAML is another by then."""
    whole, alone = begun["whole"]
    for name in ("limit", "run"):
        work, _ = begun[name]
        until(work.trained)
        work.experiment.write_text(work.experiment.read_text().replace("mixup: 0.2", "mixup: 0.4"))
        limit(work, minutes_used(work))
    for name in ("limit", "run"):
        work, _ = begun[name]
        until(work.restarted)
        limit(work, 9)
        assert ("STOPPED", "KILLED") in work.seen
        work.slow.unlink()
    work, launcher = begun["limit"]
    assert launcher.wait(400) == 0, work.told
    assert alone.wait(400) == 0, whole.told
    check_like(work, whole)
    assert until(lambda: accounting(slurm_id(work)) == "COMPLETED")
    work, _ = begun["run"]
    until(lambda: work.jobs()[0]["status"] == "FINISHED")
    check_like(work, whole)


def test_a_requeue(begun: dict[str, Any]) -> None:
    work, launcher = begun["requeue"]
    until(work.trained)
    subprocess.run(["scontrol", "requeue", slurm_id(work)], check=True)
    until(work.restarted)
    assert ("STOPPED", "KILLED") in work.seen
    work.slow.unlink()
    assert launcher.wait(400) == 0, work.told
    check_like(work, begun["whole"][0])


def test_a_cancelled_job_is_left_where_it_was_and_goes_on_here(begun: dict[str, Any]) -> None:
    work, launcher = begun["cancel"]
    until(work.trained)
    subprocess.run(["scancel", slurm_id(work)], check=True)
    assert launcher.wait(400) == 0, work.told
    assert "CANCELLED" in accounting(slurm_id(work))
    assert re.search(r"stopped: CANCELLED.* in SLURM, see .*_log\.out", work.told), work.told
    assert (work.jobs()[0]["status"], work.run_json()["status"]) == ("STOPPED", "KILLED")
    assert [run.info.status for run in tracked(work)] == ["KILLED"]
    work.slow.unlink()
    assert work.run("-m").wait(400) == 0, work.told
    check_like(work, begun["whole"][0])


def test_a_sweep_runs_what_was_submitted(begun: dict[str, Any]) -> None:
    """Four jobs, two at a time; the YAML is spoiled while the others wait."""
    work, launcher = begun["sweep"]
    slurm_id(work)
    work.experiment.write_text("# @package _global_\nmodel: {widths: [[8]]}\nnothing: 1\n")
    work.slow.unlink()
    assert launcher.wait(400) == 0, work.told
    assert [job["status"] for job in work.jobs()] == ["FINISHED"] * 4
    for job in work.jobs():
        saved = yaml.safe_load((Path(job["folder"]) / "config.yaml").read_text())
        assert saved["model"]["widths"] == [[4], [4]]
        assert f"seed={saved['seed']}" == job["label"]
    assert [run.info.status for run in tracked(work)] == ["FINISHED"] * 4
    logs = list(work.folder.glob("outputs/sweeps/*/slurm/*/*_log.out"))
    assert len(logs) == 4
    assert all("val/accuracy" in log.read_text() for log in logs)


@pytest.mark.parametrize("name", ["seeds", "from_job"])
def test_sbatch_scripts(name: str, begun: dict[str, Any]) -> None:
    work, sbatch = begun[name]
    assert sbatch.wait(60) == 0, work.told
    until(lambda: [job["status"] for job in work.jobs()] == ["FINISHED"] * 2)
    assert len(tracked(work)) == 2


def test_a_job_that_fails_is_not_queued_again(make_work: Callable[[str], Work]) -> None:
    work = make_work("fail")
    work.slow.unlink()
    launcher = work.submit("optimizer.lr=1e30", *LIMIT)
    assert launcher.wait(400) == 1, work.told
    assert work.jobs()[0]["status"] == "FAILED"
    assert until(lambda: accounting(slurm_id(work)) == "FAILED")
    assert not work.restarted()
    assert "failed    " in work.told


def test_a_dead_nodes_job_goes_on_elsewhere(
    make_work: Callable[[str], Work], begun: dict[str, Any]
) -> None:
    """SLURM starts it on the other node, while the old process is still there, and writes."""
    work = make_work("node")
    launcher = work.submit()
    until(work.trained)
    command = ["squeue", "-h", "-o", "%N", "-j", slurm_id(work)]
    node = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    pid = int(Path(f"/var/lib/slurm-test/slurmd.{node}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    try:
        until(work.restarted)
        orphans = until(lambda: list(work.folder.glob("outputs/sweeps/*/slurm/*/*_log.out")))
        until(lambda: "has taken over; this process ends" in orphans[0].read_text())
        work.slow.unlink()
        assert launcher.wait(400) == 0, work.told
        check_like(work, begun["whole"][0], killed=True)
    finally:
        subprocess.run(["slurmd", "-N", node], check=True)
