"""Jobs whose processes were killed, and could not say so themselves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cnnexp.config.saved import record
from cnnexp.runs import write_json
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.words import ended
from cnnexp.tracking.lookup import set_killed

REASON = "its process was killed"
TRIES = 2  # of a job whose process is killed


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


def is_dead_worker(problem: BaseException) -> bool:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(problem, BrokenProcessPool)


def tell_killed(
    ledger: Ledger, killed: Sequence[Entry], kills: Mapping[int, int], problem: str
) -> None:
    """With a process that dies joblib ends all others; whose fault it was shows when it is tried
    again. The second time a job has failed.

    kills: number -> how often. problem: joblib's words, with the signals in braces.
    """
    signal = re.search(r"\{(.*)\}", problem)
    how = f" by {signal[1]}" if signal else ""
    for entry in killed:
        if kills[entry.number] < TRIES:
            told = f"ended{how}, itself or one beside it; it goes on where it was"
            print(f"{'killed':<9} {entry.label}: {told}")
            continue
        entry.status = "FAILED"
        entry.problem = f"its process was ended{how} {TRIES} times; short of memory? n_jobs=1"
        ledger.write(entry)
        print(ended(entry, ledger.entries(), ledger.total()), flush=True)
