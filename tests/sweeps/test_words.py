"""A sweep's lines."""

import csv
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution

from cnnexp.sweeps import search
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.sweep import last_words, summary
from cnnexp.sweeps.words import as_csv, ended, ranked, started, table, without_seed


def job(number: int, label: str, value: float | None, **more: object) -> Entry:
    status = "FINISHED" if value is not None else "WAITING"
    return Entry(number, label, [label], **{"status": status, "value": value, **more})


def test_ranking_by_hand() -> None:
    jobs = [
        job(1, "seed=0 optimizer.lr=0.1", 0.80),
        job(2, "seed=0 optimizer.lr=0.2", 0.85),
        job(3, "seed=1 optimizer.lr=0.1", 0.90),
        job(4, "seed=1 optimizer.lr=0.2", 0.87),
        job(5, "seed=2 optimizer.lr=0.1", None),
        job(6, "optimizer.lr=0.3", 0.99, status="FAILED"),
        job(7, "optimizer.lr=0.4", float("nan")),
    ]
    best, other = ranked(jobs)
    assert (best.label, best.mean, len(best.jobs)) == ("optimizer.lr=0.2", 0.86, 2)
    assert round(best.spread or 0, 6) == 0.014142  # 0.02 / sqrt(2)
    assert (other.label, round(other.mean, 6)) == ("optimizer.lr=0.1", 0.85)
    lines = table([best, other])
    assert lines[1].split() == ["1", "optimizer.lr=0.2", "0.8600", "±", "0.0141", "2", "runs"]


def test_the_table_of_jobs() -> None:
    jobs = [
        job(1, "frozen model.widths='[[8], [16]]' seed=0", 0.5, seconds=61.26, folder="outputs/a"),
        job(2, "scratch seed=0", None),
        job(3, "scratch seed=1", 0.25, monitor="val/loss", status="PRUNED"),
    ]
    assert list(csv.reader(as_csv(jobs).splitlines())) == [
        [
            "job",
            "step",
            "model.widths",
            "seed",
            "status",
            "val/accuracy",
            "val/loss",
            "seconds",
            "folder",
        ],
        ["1", "frozen", "[[8], [16]]", "0", "FINISHED", "0.5", "", "61.3", "outputs/a"],
        ["2", "scratch", "", "0", "WAITING", "", "", "", ""],
        ["3", "scratch", "", "1", "PRUNED", "", "0.25", "", ""],
    ]  # fmt: skip


def test_a_loss_is_good_where_it_is_low() -> None:
    jobs = [job(1, "a=1", 0.3, monitor="val/loss"), job(2, "a=2", 0.2, monitor="val/loss")]
    assert [group.label for group in ranked(jobs)] == ["a=2", "a=1"]
    assert ended(jobs[1], jobs, 2).endswith("the best so far")
    assert not ended(jobs[0], jobs, 2).endswith("the best so far")


def test_best_so_far_is_better_than_another() -> None:
    first, second, third = job(1, "a=1", 0.5), job(2, "a=2", 0.5), job(3, "a=3", 0.6)
    assert "best" not in ended(first, [first], 3)
    assert "best" not in ended(second, [first, second], 3)
    assert ended(third, [first, second, third], 3).endswith("the best so far")


def test_what_to_type_next(tmp_path: Path) -> None:
    """The best config, with all its folds; a comparison of what was tested."""
    ledger = Ledger(tmp_path)
    for number in (1, 2, 3):
        one = job(number, f"dataset.fold={number} a={number % 2}", 0.5 + 0.1 * (number % 2))
        one.overrides = ["sweep=folds", f"dataset.fold={number}", f"a={number % 2}"]
        ledger.write(one)
    told = dict(last_words(ledger, ledger.entries(), "x"))
    assert told["best"] == "python -m cnnexp -m a=1 dataset.fold=1,3"
    assert "compare" not in told
    for one in ledger.entries():
        one.metrics = {"test/accuracy": 0.5}
        ledger.write(one)
    assert "task=compare" in dict(last_words(ledger, ledger.entries(), "x"))["compare"]


def test_what_a_search_ends_with(tmp_path: Path) -> None:
    """Of four trials two proposed what was there already; then one is still open."""
    ledger = Ledger(tmp_path)
    study = search.study_at(ledger, 1)
    for number, value in enumerate((0.25, 0.25, 0.5, 0.25000001), start=1):
        study.enqueue_trial({"a": value})
        study.ask({"a": FloatDistribution(0.0, 1.0)})
        ledger.plan(job(number, f"a={value:.4g}", value, trial=number - 1))
    told = dict(last_words(ledger, ledger.entries(), "x"))
    assert told["repeated"] == "2 trials proposed what another had"
    assert "a=0.5" in told["best"]
    ledger.write(job(6, "a=6", None, trial=5))
    told = dict(last_words(ledger, ledger.entries(), "x"))
    assert "a=0.5" in told["so far"]
    assert "best" not in told


def test_one_reason_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(tmp_path)
    for number, problem in enumerate(["no luck", "no data", "no data"], start=1):
        ledger.write(job(number, f"a={number}", None, status="FAILED", problem=problem))
    ledger.write(job(4, "a=4", 0.5))
    ledger.write(job(5, "a=5", None))
    assert summary(ledger, "x") == 1
    out = capsys.readouterr().out
    assert "failed    a=1: no luck\nfailed    a=2, a=3: no data\n" in out
    assert "left      1 job; to go on: x\n" in out


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    """But for a search's trials, from which its study has learned."""
    ledger = Ledger(tmp_path)
    ledger.write(job(1, "a=1", None, status="FAILED", problem="no luck"))
    ledger.write(job(2, "a=2", None, status="FAILED", problem="no luck", trial=1))
    ledger.write(job(3, "a=3", 0.5))
    for number, status in ((4, "KILLED"), (5, "FAILED")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "run.json").write_text(f'{{"status": "{status}"}}')
        ledger.write(job(number, f"a={number}", None, status="FAILED", folder=str(folder)))
    ledger.forgive()
    assert [one.status for one in ledger.entries()] == [
        "WAITING", "FAILED", "FINISHED", "STOPPED", "WAITING",
    ]  # fmt: skip
    assert ledger.entries()[0].problem == ""
    assert started(ledger.entries()[0], ledger.entries(), 3, 1) == (
        "job 1 of 3: a=1  (about 0:00:00 left in all)"
    )


def test_seeds_alone_are_one_config() -> None:
    assert without_seed("seed=3") == "the same config"
    assert without_seed("dataset.fold=3 a=1 seed=0") == "a=1"
    assert without_seed("'dataset.root=a b' seed=3") == "'dataset.root=a b'"


def test_lines_while_it_runs() -> None:
    jobs = [job(1, "a=1", 0.5, seconds=60.0), job(2, "a=2", None), job(3, "a=3", None)]
    assert started(jobs[1], jobs, 5, 2) == "job 2 of 5: a=2  (about 0:02:00 left in all)"
    assert started(jobs[0], jobs[1:], 5, 1) == "job 1 of 5: a=1"
    # The first one's minute had what is done once.
    later = [jobs[0], job(2, "a=2", 0.5, seconds=10.0), jobs[2]]
    assert started(later[2], later, 5, 1) == "job 3 of 5: a=3  (about 0:00:30 left in all)"
    failed = job(2, "a=2", None, status="FAILED", problem="no luck")
    assert ended(failed, [jobs[0], failed], 5) == "   2 of 5 done  a=2  FAILED: no luck"
    same = job(4, "a=4", None, status="FAILED", problem="no luck")
    assert ended(same, [jobs[0], failed, same], 5) == "   3 of 5 done  a=4  FAILED: as a=2"
    pruned = job(2, "a=2", 0.4, status="PRUNED", seconds=3.2)
    assert ended(pruned, [jobs[0], pruned], 5) == (
        "   2 of 5 done  a=2  val/accuracy 0.4000  0:00:03  pruned: behind the others"
    )
