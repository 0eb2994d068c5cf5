"""Jobs whose processes were killed, and could not say so themselves."""

from dataclasses import replace
from pathlib import Path

from cnnexp.config.saved import record
from cnnexp.runs import write_json
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.tracking.lookup import set_killed

REASON = "its process was killed"


def note_killed(ledger: Ledger) -> list[Entry]:
    """The jobs that are said to run while no process holds them: from now on they are STOPPED, and
    their runs KILLED, in their folders and in MLflow.
    """
    found = [one for one in ledger.entries() if one.status == "RUNNING" and not ledger.busy(one)]
    with ledger.facts() as facts:
        parents = dict(facts.get("parents", {}))
    for entry in found:
        ledger.write(replace(entry, status="STOPPED"))
        known = record(Path(entry.folder)) if entry.folder else {}
        if entry.folder is None or known.get("status") != "RUNNING":
            continue
        told = {"status": "KILLED", "problem": REASON}
        write_json(Path(entry.folder) / "run.json", known | told)
        tracking = parents.get(entry.config.get("name"), {}).get("tracking", {})
        set_killed(tracking.get("uri"), known.get("mlflow_run_id"))
    return found
