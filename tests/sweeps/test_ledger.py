"""The ledger: what it plans once, who may claim a job, and what it refuses to believe."""

import multiprocessing
from pathlib import Path

import pytest

from cnnexp.errors import InputError
from cnnexp.sweeps.ledger import Entry, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "sweep")


def test_a_job_is_planned_once(ledger: Ledger) -> None:
    first = ledger.plan(Entry(1, "seed=1", ["seed=1"]))
    first.status, first.value = "FINISHED", 0.5
    ledger.write(first)
    assert ledger.plan(Entry(1, "seed=1", ["seed=1"])) == first
    ledger.plan(Entry(3, "seed=3", ["seed=3"]))
    ledger.plan(Entry(2, "seed=2", ["seed=2"]))
    assert [entry.number for entry in ledger.entries()] == [1, 2, 3]
    assert ledger.read(["seed=4"]) is None


def test_the_order_of_overrides_makes_no_other_job(ledger: Ledger) -> None:
    entry = ledger.plan(Entry(1, "", ["b=1", "+a=1", "+a=2"]))
    assert ledger.read(["+a=1", "+a=2", "b=1"]) == entry
    assert ledger.read(["+a=2", "+a=1", "b=1"]) is None, "the last of a key counts"


def test_passwords_are_for_jobs_alone(ledger: Ledger) -> None:
    lines = ["seed=1", "tracking.uri=http://ann:secret@host:5000"]
    planned = ledger.plan(Entry(1, "seed=1", lines))
    assert planned.overrides == lines
    assert ledger.plan(Entry(1, "seed=1", lines)) == planned
    known = ledger.read(lines)
    assert known is not None
    assert known.overrides == ["seed=1", "tracking.uri=http://***@host:5000"]
    known.status = "FINISHED"
    ledger.write(known)
    again = ledger.plan(Entry(1, "seed=1", lines))
    assert (again.status, again.overrides) == ("FINISHED", lines)
    (path,) = (ledger.folder / "jobs").glob("*.json")
    assert "secret" not in path.read_text()


def test_what_is_changed_of_the_facts_is_kept(ledger: Ledger) -> None:
    with ledger.facts() as facts:
        facts["total"] = 3
    with ledger.facts() as facts:
        assert facts == {"total": 3}
    assert ledger.total() == 3


def claim(folder: Path, said: "multiprocessing.Queue[bool]", end: object) -> None:
    with Ledger(folder).claimed(Entry(1, "", ["seed=1"])) as mine:
        said.put(mine)
        end.wait()  # type: ignore[attr-defined]


def test_a_job_has_one_owner_and_a_dead_one_lets_go(ledger: Ledger) -> None:
    entry = ledger.plan(Entry(1, "", ["seed=1"]))
    context = multiprocessing.get_context("spawn")
    said, end = context.Queue(), context.Event()
    owner = context.Process(target=claim, args=(ledger.folder, said, end))
    owner.start()
    assert said.get(timeout=60) is True
    assert ledger.busy(entry)
    with ledger.claimed(entry) as mine:
        assert mine is False
    owner.kill()
    owner.join()
    assert not ledger.busy(entry)


@pytest.mark.parametrize("content", ["", "{", '{"number": 1}', "[]"])
def test_a_damaged_entry_is_said(ledger: Ledger, content: str) -> None:
    entry = ledger.plan(Entry(1, "", ["seed=1"]))
    ledger.path(entry.overrides).write_text(content)
    with pytest.raises(InputError, match="delete it"):
        ledger.entries()
