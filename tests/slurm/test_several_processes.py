"""slurm/ddp.sbatch on the two nodes: several processes train as one does; interrupted, they go on
to the bit. That is so of two: in which order more of them are added up torch changes after a start.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnexp.tracking.store import connect

pytestmark = pytest.mark.slurm

Work = Any  # of conftest.py
NODES = ["--nodes=2", "--time=30"]
# What is drawn for a part of a batch, and its own statistics, are not those of the whole batch.
SAME = ["training.mixup=0", "model.norm=group", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def begun(make_work: Callable[[str], Work]) -> Iterator[dict[str, Any]]:
    """All at once, for most of the time goes by in waiting. alone: the process that trains one."""
    works = {name: make_work(name) for name in ("one", "two", "four", "limit", "requeue")}
    for name in ("one", "two", "four"):
        works[name].slow.unlink()
    for name in ("limit", "two", "requeue", "four"):
        tasks = f"--ntasks-per-node={2 if name == 'four' else 1}"
        works[name].sbatch("ddp.sbatch", *NODES, tasks, typed=SAME)
    alone = works["one"].run(*SAME)
    yield {**works, "alone": alone}
    alone.kill()
    alone.wait()
    for work in works.values():
        work.cancel()


def run_folder(work: Work) -> Path:
    """Of its only run."""
    (folder,) = (work.folder / "outputs" / "small").iterdir()
    return folder


def metrics(work: Work) -> dict[tuple[str, str], float]:
    """(step, name) -> value, without times."""
    with (run_folder(work) / "metrics.csv").open() as file:
        rows = [(row["step"], row["metric"], float(row["value"])) for row in csv.DictReader(file)]
    assert len({row[:2] for row in rows}) == len(rows), "no metric step twice"
    return {row[:2]: row[2] for row in rows if not row[1].endswith(("_s", "_per_s"))}


def weights(work: Work) -> dict[str, torch.Tensor]:
    path = run_folder(work) / "checkpoints" / "train" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def status(work: Work) -> str:
    return json.loads((run_folder(work) / "run.json").read_text())["status"]


def tracked(work: Work) -> list[str]:
    """The states of MLflow's runs."""
    client = connect(f"sqlite:///{work.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def output(work: Work) -> str:
    return (work.folder / f"slurm-{work.slurm_id()}.out").read_text()


def finished(work: Work) -> None:
    """In SLURM, in the folder and in MLflow."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    assert work.until(lambda: work.accounting().startswith(over))
    assert work.accounting() == "COMPLETED", output(work)
    assert (status(work), tracked(work)) == ("FINISHED", ["FINISHED"])


def check_like(work: Work, whole: Work) -> None:
    """To the bit."""
    finished(work)
    finished(whole)
    ours, theirs = weights(work), weights(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_they_save_before_the_time_limit_and_go_on(begun: dict[str, Any]) -> None:
    """The first one has two minutes to say how the run stands, though the others have gone."""
    work = begun["limit"]
    work.until(work.trained)
    work.nearly_over(120)
    work.until(work.queued_again)
    assert (status(work), tracked(work)) == ("KILLED", ["KILLED"])
    assert re.search(r"\ngo on     python -m cnnexp .*resume=outputs/small/", output(work))
    work.limit(30)
    work.slow.unlink()
    check_like(work, begun["two"])
    # The mean over the interrupted epoch is one of means: it may differ in its last bit.
    assert metrics(work) == pytest.approx(metrics(begun["two"]), rel=1e-6)


def test_they_go_on_after_a_requeue(begun: dict[str, Any]) -> None:
    """Where a step takes as long as here they may be killed before they agree on leaving: then
    they go on from the last epoch.
    """
    work = begun["requeue"]
    work.until(work.trained)
    work.requeue()
    work.until(work.queued_again)
    work.slow.unlink()
    check_like(work, begun["two"])


@pytest.mark.parametrize(("name", "processes"), [("two", 2), ("four", 4)])
def test_they_train_as_one_does(name: str, processes: int, begun: dict[str, Any]) -> None:
    one, several = begun["one"], begun[name]
    assert begun["alone"].wait(900) == 0, one.told
    finished(several)
    assert f"batches of 8 in {processes} parts, one for each process" in output(several)
    assert output(several).count("test      accuracy") == 1, "the others say nothing"
    expected = metrics(one)
    assert len([name for _, name in expected if name == "train/loss_step"]) == 270 / 5
    found, norms = metrics(several), {key for key in expected if key[1] == "train/gradient_norm"}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        # Of norms after 200 steps differences of 1.2e-5 have been seen.
        assert found[key] == pytest.approx(value, rel=3e-5 if key in norms else 1e-5, abs=1e-5), key
    ours, theirs = weights(several), weights(one)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-5)
