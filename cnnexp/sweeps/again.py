"""What a sweep need not do again: jobs that it, or another sweep beside it, has done already."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnnexp.config.compose import compose, resolved
from cnnexp.config.rerun import check_command
from cnnexp.config.saved import record
from cnnexp.files import shown_path
from cnnexp.own_code import changed_since
from cnnexp.sweeps.job import remembered
from cnnexp.sweeps.ledger import Entry, Ledger


def done_elsewhere(entry: Entry, ledger: Ledger, config_dir: Path | None) -> Entry:
    """A job that nobody here has begun, as another sweep has done it: one with fewer seeds, say."""
    if entry.status != "WAITING" or entry.config_hash is not None or entry.trial is not None:
        return entry
    for known in ledger.elsewhere(entry):
        there = known.folder is not None and Path(known.folder).is_dir()
        if there and known.status == "FINISHED" and known.trial is None:
            mine = replace(known, number=entry.number, label=entry.label, overrides=entry.overrides)
            if finished(mine, config_dir):
                ledger.write(mine)
                return mine
    return entry


def finished(entry: Entry, config_dir: Path | None) -> bool:
    """Whether it was done before, with the config that its overrides compose now."""
    if entry.config_hash is None:
        return False
    composed = compose(entry.overrides, config_dir)
    return remembered(entry, check_command(resolved(composed.config), composed.overrides))


def say_what_changed(done: Sequence[Entry], ledger: Ledger) -> None:
    """A line where jobs that are not done again were trained with other code of one's own."""
    records = [record(Path(entry.folder)) for entry in done if entry.folder]
    files = sorted({file for known in records for file in changed_since(known)})
    if files:
        where = shown_path(ledger.folder)
        print(f"{'note':<9} since then {', '.join(files)} changed; delete {where} to do them anew")
