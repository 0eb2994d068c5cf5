"""What is said of a cluster that is not there, or not as it must be; nothing is written then."""

import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from cnnexp.__main__ import main
from cnnexp.config.identity import config_hash
from cnnexp.errors import InputError
from cnnexp.sweeps import slurm
from cnnexp.sweeps.ledger import Entry, Ledger, Status

pytest.importorskip("submitit")

COMMAND = ["-m", "seed=0", "hydra/launcher=slurm_cpu"]
Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """The one line that the command says. programs: PATH."""

    def refuse(*typed: str, programs: str = "") -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", programs)
        assert main([*COMMAND, *typed]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1
        assert not (tmp_path / "outputs").exists()
        return said.err

    return refuse


@pytest.fixture
def programs(tmp_path: Path) -> str:
    """A PATH with sbatch, and with a sacct as it is where there is no accounting."""
    folder = tmp_path / "programs"
    folder.mkdir()
    said = "Slurm accounting storage is disabled"  # of sacct 22.05
    for name, code in (("sbatch", "exit 0"), ("sacct", f"echo '{said}' >&2; exit 1")):
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_no_cluster(refused: Refused, programs: str) -> None:
    assert "there is no sbatch here" in refused()
    (Path(programs) / "sacct").unlink()
    assert "there is no sacct here" in refused(programs=programs)


def test_no_accounting(refused: Refused, programs: str) -> None:
    line = refused(programs=programs)
    assert "sacct does not answer (Slurm accounting storage is disabled)" in line
    assert "slurm/run.sbatch" in line


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hydra.launcher.timeout_min=abc", "hydra.launcher.timeout_min: Value 'abc'"),
        (
            "+hydra.launcher.partiton=gpu",
            "hydra.launcher.partiton=gpu: unknown key; did you mean 'partition'?",
        ),
        ("hydra.launcher.partion=gpu", "hydra.launcher.partion=gpu: unknown key; did you mean"),
        ("hydra.launcher.timeout_min=0", "hydra.launcher.timeout_min=0: must be at least 1"),
        ("hydra.launcher.timeout_min=3", "could train; give it 4 minutes or more"),
        ("hydra/launcher=slurm_cup", "did you mean 'slurm_cpu'? allowed: slurm_cpu, slurm_gpu"),
    ],
)
def test_wrong_keys(typed: str, said: str, refused: Refused, programs: str) -> None:
    (Path(programs) / "sacct").write_text("#!/bin/sh\n")
    assert said in refused(typed, programs=programs)


@pytest.mark.parametrize(
    "typed",
    [
        "+hydra.launcher.tasks_per_node=2",
        "hydra.launcher.tasks_per_node=2",
        "+hydra.launcher.nodes=2",
        "+hydra.launcher.additional_parameters.ntasks=2",
        "+hydra.launcher.additional_parameters.ntasks-per-node=2",
    ],
)
def test_a_job_is_one_process(typed: str, refused: Refused, programs: str) -> None:
    """The processes that SLURM starts would not know of each other, and do the job twice."""
    (Path(programs) / "sacct").write_text("#!/bin/sh\n")
    line = refused(typed, programs=programs)
    assert line.startswith(f"error: {typed.lstrip('+')}: a sweep's jobs are one process each")
    assert "slurm/ddp.sbatch" in line
    line = refused(typed, "trainer=ddp", programs=programs)
    assert line.startswith("error: trainer.devices=auto: a sweep's jobs are one process each; of")
    assert "slurm/ddp.sbatch" in line


@pytest.mark.parametrize("requeued", [True, False])
def test_a_dead_node(
    requeued: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """sacct may be asked between the node's death and the job's return to the queue."""
    from submitit.slurm.slurm import SlurmJob

    job = f"7{requeued:d}"  # submitit remembers jobs that have ended
    answers = tmp_path / "answers"
    answers.write_text("NODE_FAIL\nNODE_FAIL\n" + "RUNNING\nCOMPLETED\n" * requeued)
    sacct = tmp_path / "sacct"  # each line once, the last for good
    sacct.write_text(f"""#!/bin/sh
echo 'JobID|State|NodeList'
echo "{job}|$(head -n 1 {answers})|node1"
[ "$(wc -l < {answers})" = 1 ] || sed -i 1d {answers}
""")
    sacct.chmod(0o755)
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 20))
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.025)
    monkeypatch.setattr(slurm, "REQUEUE_SECONDS", 600.0 if requeued else 0.2)
    ledger = Ledger(tmp_path / "sweep")
    entry = ledger.plan(Entry(1, "seed=0", ["seed=0"]))
    slurm.wait(ledger, {SlurmJob(tmp_path, job): entry})
    said = capsys.readouterr().out
    assert said.count("seed=0") == 1
    assert ("COMPLETED" if requeued else "NODE_FAIL") + " in SLURM, see" in said


def test_a_job_that_only_the_queue_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """sacct of 22.05 has no word of an array's job that is cancelled before it began."""
    from submitit.slurm.slurm import SlurmJob

    answers = tmp_path / "answers"  # of the queue; an empty line is a SLURM that does not answer
    answers.write_text("90_1 91\n91\n\n90_1 91\n91\n")
    for name, code in (
        ("sacct", "echo 'JobID|State|NodeList'"),
        ("squeue", f"line=$(head -n 1 {answers}); [ \"$(wc -l < {answers})\" = 1 ] ||"
                   f" sed -i 1d {answers}; echo $line; [ -n \"$line\" ]"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 20))
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.025)
    monkeypatch.setattr(slurm, "REQUEUE_SECONDS", 0.2)
    ledger = Ledger(tmp_path / "sweep")
    entry = ledger.plan(Entry(1, "seed=1", ["seed=1"]))
    slurm.wait(ledger, {SlurmJob(tmp_path, "90_1"): entry})
    assert "seed=1  FAILED: no longer in SLURM's queue, see" in capsys.readouterr().out
    assert answers.read_text() == "91\n"


def test_a_queue_that_does_not_answer_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For longer than a lost job is waited for; sacct knows that the job runs."""
    from submitit.slurm.slurm import SlurmJob

    answers = tmp_path / "answers"
    answers.write_text("RUNNING\n" * 12 + "COMPLETED\n")
    for name, code in (
        ("squeue", "exit 1"),
        ("sacct", f"echo 'JobID|State|NodeList'; echo \"92|$(head -n 1 {answers})|node1\"\n"
                  f"[ \"$(wc -l < {answers})\" = 1 ] || sed -i 1d {answers}"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 20))
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.025)
    monkeypatch.setattr(slurm, "REQUEUE_SECONDS", 0.1)
    ledger = Ledger(tmp_path / "sweep")
    entry = ledger.plan(Entry(1, "seed=1", ["seed=1"]))
    slurm.wait(ledger, {SlurmJob(tmp_path, "92"): entry})
    assert "COMPLETED in SLURM, see" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["echo 90_0 91", "echo 91", "exit 1"])
def test_jobs_of_an_earlier_command(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the queue, not there any more, and where squeue does not answer."""
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ledger = Ledger(tmp_path / "sweep")
    entries = [ledger.plan(Entry(n, f"seed={n}", [f"seed={n}"])) for n in (1, 2)]
    todo = {
        entry.number: slurm.SlurmJob(ledger.folder, entry.overrides, {"seed": entry.number}, None)
        for entry in entries
    }
    assert slurm.known_to_slurm(ledger, entries, todo) == {}  # nothing was handed in
    with ledger.facts() as facts:
        facts["slurm"] = {
            ledger.path(entries[0].overrides).stem: ["90_0", config_hash({"seed": 1})],
            ledger.path(entries[1].overrides).stem: ["91", config_hash({"seed": 7})],  # another
        }
    if answer == "exit 1":
        with pytest.raises(InputError, match="squeue does not answer"):
            slurm.known_to_slurm(ledger, entries, todo)
        return
    found = slurm.known_to_slurm(ledger, entries, todo)
    assert {job.job_id: entry.number for job, entry in found.items()} == (
        {"90_0": 1} if "90_0" in answer else {}
    )


@pytest.mark.parametrize(("status", "limits"), [("STOPPED", False), ("WAITING", True)])
def test_what_had_begun_goes_on(
    status: Status,
    limits: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SLURM calls a job failed that has used up its time limits; its folder is good. So is that of
    one whose limits were too short to begin.
    """
    from submitit.slurm.slurm import SlurmJob

    sacct = tmp_path / "sacct"
    sacct.write_text("#!/bin/sh\necho 'JobID|State|NodeList'\necho '80|FAILED|node1'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ledger = Ledger(tmp_path / "sweep")
    entry = Entry(1, "seed=0", ["seed=0"], status=status, folder="there")
    job = SlurmJob(tmp_path, "80")
    said = "FAILED in SLURM"
    if limits:
        job.paths.stdout.parent.mkdir(parents=True, exist_ok=True)
        job.paths.stdout.write_text("not requeued because: timed-out too many times")
        said = "all its time limits are used up (timeout_min, max_num_timeout)"
    slurm.wait(ledger, {job: ledger.plan(entry)})
    (entry,) = ledger.entries()
    assert (entry.status, entry.folder) == ("STOPPED", "there")
    assert f"stopped: {said}, see" in capsys.readouterr().out


def test_submitit_is_not_installed(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment without [slurm]: the import system finds no such module."""
    find = PathFinder.find_spec
    monkeypatch.setattr(
        PathFinder,
        "find_spec",
        lambda name, *more: None if name == "submitit" else find(name, *more),
    )
    monkeypatch.delitem(sys.modules, "submitit", raising=False)
    assert refused() == ("error: hydra/launcher: jobs on SLURM need: pip install 'cnnexp[slurm]'\n")
