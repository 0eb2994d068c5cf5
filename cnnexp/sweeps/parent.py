"""A sweep in MLflow: one parent run per experiment name, and the jobs below it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cnnexp.config.instantiate import call
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.words import ranked
from cnnexp.tracking.none import Status

# The parent is no training: nothing of the machine, no network.
QUIET = {"system_metrics": False, "log_model": False}


def tags(ledger: Ledger, config: Mapping[str, Any]) -> dict[str, str]:
    """What a job's run is tagged with; makes its parent where there is none. {} without MLflow."""
    name, sweep = config["name"], ledger.folder.name
    with ledger.facts() as facts:
        parents = facts.setdefault("parents", {})
        if parents.get(name, {}).get("run_id") is None:  # none yet, or its store was away
            parent = call(
                config["tracking"],
                experiment=name,
                run_name=f"sweep {sweep.rpartition('_')[2]}",
                folder=ledger.folder,
                tags={"sweep": sweep, "command": facts.get("command", "")},
                **quiet(config["tracking"]),
            )
            parents[name] = {"run_id": parent.run_id, "tracking": dict(config["tracking"])}
        run_id = parents[name]["run_id"]
    return {"mlflow.parentRunId": run_id, "sweep": sweep} if run_id else {}


def end(ledger: Ledger, names: Collection[str] | None = None) -> None:
    """The parents have what was reached so far, and are over. names: of experiments; None: all."""
    known = ledger.entries()
    with ledger.facts() as facts:
        parents = dict(facts.get("parents", {}))
    for name, parent in parents.items():
        if parent["run_id"] is None or (names is not None and name not in names):
            continue
        entries = [entry for entry in known if entry.config.get("name") == name]
        tracking = parent["tracking"]
        tracker = call(
            tracking, experiment=name, run_id=parent["run_id"], folder=ledger.folder,
            **quiet(tracking),
        )  # fmt: skip
        best: dict[str, float] = {}
        if groups := ranked(entries):
            best[f"best/{groups[0].jobs[0].monitor}"] = groups[0].mean
            tracker.log_tags({"best": groups[0].label})
        done = sum(entry.status == "FINISHED" for entry in entries)
        # A step of its own for each state: what a run has of a step is not sent again.
        step = len(entries) + done
        tracker.log_metrics({**best, "jobs": len(entries), "jobs_finished": done}, step)
        tracker.log_folder(ledger.folder / "jobs", "jobs")
        tracker.finish(ending(entries))


def ending(entries: Sequence[Entry]) -> Status:
    found = {entry.status for entry in entries}
    return "FAILED" if "FAILED" in found else "KILLED" if "STOPPED" in found else "FINISHED"


def quiet(tracking: Mapping[str, Any]) -> dict[str, bool]:
    return {key: value for key, value in QUIET.items() if key in tracking}
