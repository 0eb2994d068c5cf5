"""A sweep's run in MLflow has what its jobs reached, however often it was ended before."""

from pathlib import Path

import pytest

from cnnexp.config.compose import compose, resolved
from cnnexp.sweeps import parent
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.tracking.store import connect


def test_the_last_end_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several processes each ends it, when there is nothing left for it to do. Jobs of another
    experiment have a run of their own.
    """
    monkeypatch.chdir(tmp_path)
    config = resolved(compose(["name=small"]).config)
    ledger = Ledger(tmp_path / "outputs" / "sweeps" / "small_1")
    entries = [ledger.plan(Entry(i, f"seed={i}", [f"seed={i}"])) for i in (1, 2)]
    other = ledger.plan(Entry(3, "better", ["name=other"]))
    other.status, other.value, other.config = "FINISHED", 0.9, {"name": "other"}
    ledger.write(other)
    run_id = parent.tags(ledger, config)["mlflow.parentRunId"]
    for entry, value, mean in zip(entries, (0.5, 0.7), (0.5, 0.6), strict=True):
        entry.status, entry.value, entry.config = "FINISHED", value, {"name": "small"}
        ledger.write(entry)
        parent.end(ledger)
        metrics = connect(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id).data.metrics
        assert metrics["best/val/accuracy"] == pytest.approx(mean)
        assert metrics["jobs_finished"] == entry.number
