"""What a sweep need not do again: jobs that it, or another sweep beside it, has done already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnexp.config.compose import compose, resolved
from cnnexp.config.rerun import check_command
from cnnexp.config.saved import record
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.own_code import changed_since
from cnnexp.sweeps.job import remembered
from cnnexp.sweeps.ledger import Entry, Ledger
from cnnexp.sweeps.words import jobs

Config = Mapping[str, Any]


def left(batch: Sequence[Entry], ledger: Ledger, config_dir: Path | None) -> list[Entry]:
    """The jobs that are still to do. Says how many are done, and what has changed since."""
    todo, taken, stale, gone = [], 0, 0, 0
    files: set[str] = set()
    now: dict[str, str] = {}
    for entry in batch:
        config = {} if entry.config_hash is None else config_of(entry, config_dir)
        if entry.config_hash is not None and remembered(entry, config):
            info = record(Path(entry.folder)) if entry.folder else {}
            gone += bool(entry.folder) and not Path(str(entry.folder)).is_dir()
            files |= {*changed_since(info)}
            stale += other_images(info, config, now)
        elif done_elsewhere(entry, ledger, config_dir, now):
            taken += 1
        else:
            todo.append(entry)
    if done := len(batch) - len(todo):
        by = f" ({taken} by another sweep in {shown_path(ledger.folder.parent)})" if taken else ""
        print(f"finished already: {done} of {jobs(len(batch))}{by}")
    anew = f"delete {shown_path(ledger.folder)} to do them anew"
    if gone:
        verb = "folder of a job is" if gone == 1 else f"folders of {gone} jobs are"
        print(f"{'note':<9} the {verb} not here any more; {anew}")
    if files:
        print(f"{'note':<9} since then {', '.join(sorted(files))} changed; {anew}")
    if stale:
        of = "files were added, removed or written anew"
        print(f"{'note':<9} since then the images of {jobs(stale)} changed ({of}); {anew}")
    return todo


def done_elsewhere(
    entry: Entry, ledger: Ledger, config_dir: Path | None, now: dict[str, str]
) -> bool:
    """Whether another sweep has done a job that nobody here has begun, one with fewer seeds, say;
    with today's code and images. Then it is this one's, too.
    """
    if entry.status != "WAITING" or entry.config_hash is not None or entry.trial is not None:
        return False
    for known in ledger.elsewhere(entry):
        info = record(Path(known.folder)) if known.folder else {}
        if known.status != "FINISHED" or known.trial is not None or not info:
            continue
        mine = replace(known, number=entry.number, label=entry.label, overrides=entry.overrides)
        config = config_of(mine, config_dir)
        same = not changed_since(info) and not other_images(info, config, now)
        if same and remembered(mine, config):
            ledger.write(mine)
            return True
    return False


def unclaimed(entries: Sequence[Entry], ledger: Ledger) -> list[Entry]:
    """Those that no other process is doing; of the others it says how many there are."""
    free = [entry for entry in entries if not ledger.busy(entry)]
    if others := len(entries) - len(free):
        print(f"under way already: {jobs(others)}, which another process does")
    return free


def config_of(entry: Entry, config_dir: Path | None) -> dict[str, Any]:
    """What its overrides compose now."""
    composed = compose(entry.overrides, config_dir)
    return check_command(resolved(composed.config), composed.overrides)


def other_images(info: Mapping[str, Any], config: Config, now: dict[str, str]) -> bool:
    """Whether a run's images, which lie where a person has put them, are others today. now: what
    was found already, by dataset.
    """
    from cnnexp.sources import find_images  # numpy

    known = (info.get("data") or {}).get("listing")
    if known is None or config["dataset"].get("root") is None:
        return False
    key = json.dumps(config["dataset"], sort_keys=True, default=str)
    if key not in now:
        try:
            now[key] = find_images(config, download=False).listing()
        except InputError:
            now[key] = known  # they are not here: nobody knows
    return now[key] != known
