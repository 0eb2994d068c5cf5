"""task=sync: runs that could not reach the store, or not all the time, are brought into it."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cnnexp.comparison.selection import expanded
from cnnexp.comparison.test_images import count_splits
from cnnexp.config.arguments import to_type
from cnnexp.config.saved import saved_config
from cnnexp.data.lock import held
from cnnexp.errors import InputError, one_line
from cnnexp.files import shown_path
from cnnexp.finished import load_run
from cnnexp.recording import BEGUN, ENDED, RUN, flat, log_data, log_files, own_keys, tags_of
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, died, owned, read_json, write_json
from cnnexp.sweeps import parent
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.tracking import hints, store
from cnnexp.tracking.lookup import set_killed
from cnnexp.tracking.sync import Clock, find_run, logged, missing, times, whole
from cnnexp.tracking.tracker import Tracker

KILLED = {
    "status": "KILLED",
    "problem": "its process ended without a word: kill -9, out of memory, or the machine went off",
}
Jobs = dict[tuple[str, ...], tuple[Ledger, Entry]]  # by the last two parts of a run's folder


def sync(config: Mapping[str, Any]) -> Result:
    """Each of the runs that config["runs"] names; one that is there already is left as it is."""
    uri = config["tracking"].get("uri")
    if uri is None:
        raise InputError("tracking=none: task=sync needs a store: tracking.uri=http://server:5000")
    with Journal() as journal:
        found = [expanded(entry, config) for entry in config["runs"]]
        folders = list(dict.fromkeys(folder for inside, _ in found for folder in inside))
        uri = store.ensure_store(uri)
        jobs: Jobs = {}
        for outputs in {folder.parents[1] for folder in folders}:
            jobs |= jobs_in(outputs)
        parents: dict[Path, set[str]] = defaultdict(set)  # sweep's folder -> experiments
        counts = {"new": 0, "completed": 0, "there": 0, "running": 0, "failed": 0}
        for folder in folders:
            with held(folder / ".sync.lock", f"bringing {folder.name} in"):
                try:
                    done = bring_in(config, folder, uri, journal, jobs)
                except InputError as problem:  # the others are brought in all the same
                    journal.topic("failed", f"{shown_path(folder)}: {one_line(problem)}")
                    done = "failed"
            counts[done] += 1
            if done in ("new", "completed") and (job := jobs.get(folder.parts[-2:])):
                parents[job[0].folder].add(saved_config(folder)["name"])
        for sweep, names in parents.items():
            parent.end(Ledger(sweep), names)
        journal.topic(
            "sync",
            f"{counts['new']} brought in, {counts['completed']} completed, {counts['there']} were "
            f"there already"
            + (f", {counts['running']} not ended" if counts["running"] else "")
            + (f", {counts['failed']} failed" if counts["failed"] else ""),
        )
        journal.topic("compare", hints.shows(uri))
    metrics = {f"sync/{name}": float(count) for name, count in counts.items()}
    return Result(metrics, exit_code=1 if counts["failed"] else 0)


def jobs_in(outputs: Path) -> Jobs:
    """Of all sweeps; one whose files cannot be read has none."""
    found: Jobs = {}
    for path in outputs.glob("sweeps/*/jobs"):
        ledger = Ledger(path.parent)
        with suppress(InputError):
            entries = [entry for entry in ledger.entries() if entry.folder]
            found |= {Path(str(e.folder)).parts[-2:]: (ledger, e) for e in entries}
    return found


def parent_tags(
    ledger: Ledger, name: str, tracking: Mapping[str, Any], uri: str
) -> Mapping[str, str]:
    """Those of a sweep's run; its parent run is made where this store has none."""
    with ledger.facts() as facts:
        own = facts.get("parents", {}).get(name, {})
        known = own.get("run_id")
        if known is not None and find_run(store.connect(uri), ledger.folder, known) is None:
            own["run_id"] = None
    return parent.tags(ledger, {"name": name, "tracking": tracking})


def bring_in(
    config: Mapping[str, Any], folder: Path, uri: str, journal: Journal, jobs: Jobs
) -> str:
    """What was to be done: new, completed, there, running. One that died is KILLED from now on.

    Raises InputError.
    """
    if read_json(folder / "run.json").get("status") == "RUNNING" and not died(folder):
        journal.topic("running", shown_path(folder))
        return "running"
    with owned(folder):  # no command goes on with it meanwhile
        return bring_in_ended(config, folder, uri, journal, jobs)


def bring_in_ended(
    config: Mapping[str, Any], folder: Path, uri: str, journal: Journal, jobs: Jobs
) -> str:
    info, saved = read_json(folder / "run.json"), saved_config(folder)
    where = shown_path(folder)
    run = find_run(store.connect(uri), folder, info.get("mlflow_run_id"))
    there = run is not None and whole(run)
    if info.get("status") == "RUNNING":  # written first: whatever else is wrong with it
        info |= {"status": run.info.status} if run is not None and there else KILLED
        write_json(folder / "run.json", info)
        if not there:
            journal.topic("killed", f"{where}; to go on: {to_type(f'resume={where}')}")
            set_killed(uri, None if run is None else run.info.run_id)
    if there:
        return "there"
    # All that may be wrong with the run is found before the store has anything of it.
    values = logged(folder, info)
    try:
        counts = count_splits(folder)
    except (OSError, KeyError, pa.ArrowInvalid):  # the rest is brought in all the same
        counts = {}
    wanted = saved["tracking"].get("log_model", True) and info["status"] == "FINISHED"
    if run is not None and run.outputs and run.outputs.model_outputs:
        wanted = False  # it is there
    finished = load_run({**config, "run": str(folder), "runs": None}) if wanted else None
    began_s, ended_s = times(folder, info)
    clock, label, tags = Clock(began_s), f"seed={saved['seed']}", tags_of(saved, info)
    if job := jobs.get(folder.parts[-2:]):
        ledger, label = job[0], job[1].label
        tags |= parent_tags(ledger, saved["name"], config["tracking"], uri)
    tracker = Tracker(
        uri, system_metrics=False, experiment=saved["name"], folder=folder,
        run_name=f"{label} {folder.name[-6:]}", tags=tags,
        run_id=None if run is None else run.info.run_id, clock=clock,
    )  # fmt: skip
    write_json(folder / "run.json", info | {"mlflow_run_id": tracker.run_id})
    log_data(tracker, saved, info, counts)
    tracker.log_params(flat(own_keys(saved)))
    left = missing(tracker, values)
    for (name, step), (value, logged_s) in left.items():
        clock.now_s = logged_s
        tracker.log_metrics({name: value}, step)
    log_files(tracker, folder, (*BEGUN, *ENDED, RUN))
    tracker.log_folder(folder / "figures", "figures")
    if finished is not None:
        size = finished.config["dataset"]["image_size"]
        network = finished.network.cpu()
        tracker.log_model(network, np.zeros((2, 3, size, size), np.uint8), finished.classes)
    clock.now_s = ended_s
    tracker.finish(info["status"])
    what = "completed" if run is not None else "new"
    journal.topic(what, f"{shown_path(folder)}: {len(left):,} values")
    return what
