"""On a real SLURM of two nodes (scripts/slurm_cluster.sh): what is interrupted ends as if it had
not been, in the folder, in MLflow and in SLURM.
"""

import csv
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cnnexp.tracking.store import connect

pytestmark = pytest.mark.slurm

Work = Any  # of conftest.py
LIMIT = ["hydra.launcher.timeout_min=9", "hydra.launcher.signal_delay_s=60"]


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
    """All at once, for most of the time goes by in waiting: name -> (folder, the process that waits
    for its jobs).
    """
    works = {name: make_work(name) for name in (
        "whole", "sweep", "limit", "requeue", "cancel", "run", "seeds", "from_job"
    )}  # fmt: skip
    for name in ("whole", "seeds", "from_job"):
        works[name].slow.unlink()
    short = ["--time=9", "--signal=USR1@60"]
    quick = "trainer.max_epochs=1"
    start = {
        "limit": lambda work: work.submit(*LIMIT),
        "run": lambda work: work.sbatch("run.sbatch", *short),
        "requeue": lambda work: work.submit(),
        "cancel": lambda work: work.submit(),
        "whole": lambda work: work.run("-m"),
        "seeds": lambda work: work.sbatch("seeds.sbatch", "--array=0-1", typed=[quick]),
        "from_job": lambda work: work.sbatch(
            "sweep.sbatch", typed=[*work.launcher, "seed=0,1", quick]
        ),
        "sweep": lambda work: work.submit(
            "seed=0,1,2,3", quick, "hydra.launcher.array_parallelism=2",
        ),
    }  # fmt: skip
    yield {name: (works[name], begin(works[name])) for name, begin in start.items()}
    for work in works.values():
        work.cancel()


def test_a_job_is_queued_again_at_its_time_limit(begun: dict[str, Any]) -> None:
    """Told by submitit's signal, and by that of slurm/run.sbatch; the YAML is another by then."""
    whole, alone = begun["whole"]
    for name in ("limit", "run"):
        work, _ = begun[name]
        work.until(work.trained)
        work.experiment.write_text(work.experiment.read_text().replace("mixup: 0.2", "mixup: 0.4"))
        work.nearly_over(60)
    for name in ("limit", "run"):
        work, _ = begun[name]
        work.until(work.restarted)
        work.limit(9)
        assert ("STOPPED", "KILLED") in work.seen
        work.slow.unlink()
    work, launcher = begun["limit"]
    assert launcher.wait(900) == 0, work.told
    assert alone.wait(900) == 0, whole.told
    check_like(work, whole)
    assert work.until(lambda: work.accounting() == "COMPLETED")
    work, _ = begun["run"]
    work.until(lambda: work.jobs()[0]["status"] == "FINISHED")
    check_like(work, whole)


def test_a_requeue(begun: dict[str, Any]) -> None:
    work, launcher = begun["requeue"]
    work.until(work.trained)
    work.requeue()
    work.until(work.restarted)
    assert ("STOPPED", "KILLED") in work.seen
    work.slow.unlink()
    assert launcher.wait(900) == 0, work.told
    check_like(work, begun["whole"][0])


def test_a_cancelled_job_is_left_where_it_was_and_goes_on_here(begun: dict[str, Any]) -> None:
    work, launcher = begun["cancel"]
    work.until(work.trained)
    subprocess.run(["scancel", work.slurm_id()], check=True)
    assert launcher.wait(900) == 1, work.told
    assert "left      1 job; to go on: python -m cnnexp" in work.told
    assert "CANCELLED" in work.accounting()
    assert re.search(r"stopped: CANCELLED.* in SLURM, see .*_log\.out", work.told), work.told
    assert (work.jobs()[0]["status"], work.run_json()["status"]) == ("STOPPED", "KILLED")
    assert [run.info.status for run in tracked(work)] == ["KILLED"]
    work.slow.unlink()
    assert work.run("-m").wait(900) == 0, work.told
    check_like(work, begun["whole"][0])


def test_a_sweep_runs_what_was_submitted(begun: dict[str, Any]) -> None:
    """Four jobs, two at a time; the YAML is spoiled while the others wait."""
    work, launcher = begun["sweep"]
    work.slurm_id()
    work.experiment.write_text("# @package _global_\nmodel: {widths: [[8]]}\nnothing: 1\n")
    work.slow.unlink()
    assert launcher.wait(900) == 0, work.told
    assert [job["status"] for job in work.jobs()] == ["FINISHED"] * 4
    for job in work.jobs():
        saved = yaml.safe_load((Path(job["folder"]) / "config.yaml").read_text())
        assert saved["model"]["widths"] == [[4], [4]]
        assert f"seed={saved['seed']}" == job["label"]
    assert [run.info.status for run in tracked(work)] == ["FINISHED"] * 4
    logs = list(work.folder.glob("outputs/sweeps/*/slurm/*/*_log.out"))
    assert len(logs) == 4
    assert all("val/accuracy" in log.read_text() for log in logs)


def test_a_command_begun_again_waits_for_the_jobs_that_are_there(
    make_work: Callable[[str], Work],
) -> None:
    """The first runs, the second waits, the third was cancelled."""
    work, typed = make_work("again"), ["seed=0,1,2", "hydra.launcher.array_parallelism=1"]
    launcher = work.submit(*typed)
    number = work.slurm_id().partition("_")[0]
    work.until(lambda: "RUNNING" in [job["status"] for job in work.jobs()])
    subprocess.run(["scancel", f"{number}_2"], check=True)
    launcher.terminate()
    assert launcher.wait(60) == 128 + signal.SIGTERM, work.told
    assert f"the jobs stay in SLURM: squeue -j {number}; to end them" in work.told
    again = work.submit(*typed)
    work.until(lambda: "in SLURM already: 2 jobs, from an earlier command" in work.told)
    work.slow.unlink()
    assert again.wait(900) == 0, work.told
    assert [job["status"] for job in work.jobs()] == ["FINISHED"] * 3
    logs = list(work.folder.glob("outputs/sweeps/*/slurm/*/*_log.out"))
    assert len(logs) == 3, work.told


@pytest.mark.parametrize("name", ["seeds", "from_job"])
def test_sbatch_scripts(name: str, begun: dict[str, Any]) -> None:
    work, _ = begun[name]
    work.until(lambda: [job["status"] for job in work.jobs()] == ["FINISHED"] * 2)
    assert len(tracked(work)) == 2


def test_a_job_that_fails_is_not_queued_again(make_work: Callable[[str], Work]) -> None:
    work = make_work("fail")
    work.slow.unlink()
    launcher = work.submit("optimizer.lr=1e30", *LIMIT)
    assert launcher.wait(900) == 1, work.told
    assert work.jobs()[0]["status"] == "FAILED"
    assert work.until(lambda: work.accounting() == "FAILED")
    assert not work.restarted()
    assert "failed    " in work.told


def test_a_job_that_never_begins(make_work: Callable[[str], Work]) -> None:
    work = make_work("never")
    launcher = work.submit("hydra.launcher.python=nopython", *LIMIT)
    assert launcher.wait(900) == 1, work.told
    assert work.jobs()[0]["status"] == "FAILED"
    assert re.search(r"failed    .*: FAILED in SLURM, see .*_log\.out", work.told), work.told
    assert "another process" not in work.told


def test_a_dead_nodes_job_goes_on_elsewhere(
    make_work: Callable[[str], Work], begun: dict[str, Any]
) -> None:
    """SLURM starts it on the other node, while the old process is still there, and writes."""
    work = make_work("node")
    launcher = work.submit()
    work.until(work.trained)
    command = ["squeue", "-h", "-o", "%N", "-j", work.slurm_id()]
    node = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    pid = int(Path(f"/var/lib/slurm-test/slurmd.{node}.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    try:
        work.until(work.restarted)
        orphans = work.until(lambda: list(work.folder.glob("outputs/sweeps/*/slurm/*/*_log.out")))
        work.until(lambda: "has taken over; this process ends" in orphans[0].read_text())
        work.slow.unlink()
        assert launcher.wait(900) == 0, work.told
        check_like(work, begun["whole"][0], killed=True)
    finally:
        subprocess.run(["slurmd", "-N", node], check=True)
