"""What runs=[…] names: runs, folders, globs, sweeps; what is left out is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnexp.comparison.selection import select_runs
from cnnexp.errors import InputError
from cnnexp.runs import owned

MakeRun = Callable[..., Path]
Command = Callable[..., dict[str, Any]]


def test_runs_by_folder_name_and_id(make_run: MakeRun, command: Command) -> None:
    runs = [make_run(seed=seed) for seed in range(3)]
    named = command(runs[0], runs[1].name, runs[2].name[-6:], f"outputs/made/{runs[0].name}")
    found = select_runs(named)
    assert found.folders == runs
    assert found.notes == []


def test_folders_and_globs(make_run: MakeRun, command: Command, work: Path) -> None:
    first, second = make_run("deep_a"), make_run("deep_b")
    other = make_run("flat")
    (work / "outputs" / "comparisons" / "x").mkdir(parents=True)
    assert select_runs(command("outputs/deep_*")).folders == [first, second]
    assert select_runs(command("outputs/deep_a", "outputs/flat")).folders == [first, other]
    assert set(select_runs(command("outputs/*")).folders) == {first, second, other}
    assert select_runs(command("deep_a", "flat")).folders == [first, other]
    assert select_runs(command("outputs/deep_?", "outputs/deep_a")).folders == [first, second]


def test_only_the_finished_jobs_of_a_sweep(make_run: MakeRun, command: Command, work: Path) -> None:
    runs = [make_run(seed=seed) for seed in range(5)]
    jobs = work / "outputs" / "sweeps" / "s" / "jobs"
    jobs.mkdir(parents=True)
    for number, status in enumerate(["FINISHED", "FINISHED", "FAILED", "PRUNED", "RUNNING"]):
        job = {"status": status, "folder": str(runs[number]), "overrides": []}
        (jobs / f"{number}.json").write_text(json.dumps(job))
    moved = {"status": "FINISHED", "folder": f"/elsewhere/made/{runs[0].name}"}
    (jobs / "6.json").write_text(json.dumps(moved))
    (jobs / "7.json").write_text(json.dumps({"status": "FINISHED", "folder": "/gone/away"}))
    (jobs / "8.json").write_text("{")
    found = select_runs(command("outputs/sweeps/s"))
    assert found.folders == runs[:2]
    assert found.notes == [
        "outputs/sweeps/s: 5 of 8 jobs are left out: 1 failed, 1 not here any more, 1 pruned, "
        "1 running, 1 unreadable"
    ]


def test_what_is_not_tested_is_left_out(make_run: MakeRun, command: Command) -> None:
    good = [make_run(seed=seed) for seed in range(2)]
    running, killed, failed, untested = (
        make_run(status="RUNNING"), make_run(status="RUNNING"), make_run(status="FAILED"),
        make_run(),
    )  # fmt: skip
    (untested / "predictions.csv").unlink()
    with owned(running):
        found = select_runs(command("outputs/made"))
    assert found.folders == good
    assert found.notes == [
        f"left out, still running: outputs/made/{running.name}",
        f"left out, killed: outputs/made/{killed.name}",
        f"left out, failed: outputs/made/{failed.name}",
        f"left out, not tested (no predictions.csv): outputs/made/{untested.name}",
    ]


@pytest.mark.parametrize(
    ("runs", "parts"),
    [
        (["outputs/mad"], ["runs: outputs/mad", "did you mean 'outputs/made'?"]),
        (["outputs/maade", "x"], ["did you mean 'outputs/made'?"]),
        (["nothing"], ["runs: nothing", "no such folder or glob", "hexadecimal", "newest here is"]),
        (["outputs/mode_*"], ["runs: outputs/mode_* matches no folder", "newest here is"]),
        (["empty"], ["runs: empty holds no runs", "outputs/<name>"]),
        (["outputs/made"], ["one tested run is left", "two are needed", "left out, failed"]),
        (["abcdef12"], ["runs=abcdef12: no such folder", "tracking=none"]),
        ([""], ["holds no runs"]),
        (["outputs"], ["holds no runs itself; name folders in it: runs=[outputs/made]"]),
    ],
)
def test_wrong(
    runs: list[str], parts: list[str], make_run: MakeRun, command: Command, work: Path
) -> None:
    make_run()
    make_run(status="FAILED")
    (work / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        select_runs(command(*runs))
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
