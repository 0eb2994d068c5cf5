"""What a sweep tells a person: a line as a job begins and ends, and at its end who was best."""

import csv
import io
import math
import re
import shlex
import statistics
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from cnnexp.sweeps.ledger import DONE, Entry

LISTED = 15  # rows of the ranking


class Group(NamedTuple):
    """Jobs that differ in seed or fold alone. mean, spread: of the monitored value; spread is the
    standard deviation, None of one job.
    """

    label: str
    jobs: list[Entry]
    mean: float
    spread: float | None


def started(entry: Entry, entries: Sequence[Entry], total: int, at_once: int) -> str:
    """Which it is, and when all are done if they go on as fast as until now."""
    done = [one.seconds for one in entries if one.status in DONE]
    left = max(0, total - sum(one.status in (*DONE, "FAILED") for one in entries))
    each = statistics.fmean(done[1:] or done or [0])  # the first has what is done once
    seconds = left * each / min(at_once, max(left, 1))
    when = f"  (about {timedelta(seconds=round(seconds))} left in all)" if done else ""
    return f"job {entry.number} of {total}: {entry.label}{when}"


def ended(entry: Entry, entries: Sequence[Entry], total: int) -> str:
    """How it ended, and how far the sweep is."""
    done = sum(one.status in (*DONE, "FAILED") for one in entries)
    head = f"{done:>4} of {total} done  {entry.label}"
    if entry.status == "FAILED":
        alike = [one.label for one in entries if _same_failure(one, entry)]
        return f"{head}  FAILED: {f'as {alike[0]}' if alike else entry.problem}"
    if entry.value is None:
        return f"{head}  {entry.status.lower()}"
    text = f"{head}  {entry.monitor} {entry.value:.4f}  {timedelta(seconds=round(entry.seconds))}"
    if entry.status == "PRUNED":
        return f"{text}  pruned: behind the others"
    others = [e.value for e in entries if e.value is not None and e.overrides != entry.overrides]
    best = all(entry.sign * entry.value > entry.sign * value for value in others)
    return f"{text}  the best so far" if best and others else text


def _same_failure(one: Entry, entry: Entry) -> bool:
    return (one.status, one.problem) == ("FAILED", entry.problem) and one.number != entry.number


def jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def ranked(entries: Sequence[Entry]) -> list[Group]:
    """The best mean first; jobs that have no value are left out."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.status == "FINISHED" and entry.value is not None and math.isfinite(entry.value):
            groups.setdefault(without_seed(entry.label), []).append(entry)
    found = []
    for label, jobs in groups.items():
        values = [entry.value for entry in jobs if entry.value is not None]
        spread = statistics.stdev(values) if len(values) > 1 else None
        found.append(Group(label, jobs, statistics.fmean(values), spread))
    return sorted(found, key=lambda group: -group.jobs[0].sign * group.mean)


def equal(one: Group, other: Group) -> bool:
    return math.isclose(one.mean, other.mean, rel_tol=0, abs_tol=1e-9)


def without_seed(label: str) -> str:
    """`seed=1 dataset.fold=2 optimizer.lr=0.1` -> `optimizer.lr=0.1`."""
    again = re.compile(r"[+]*(seed|dataset\.fold)=")
    words = [word for word in shlex.split(label) if not again.match(word)]
    return shlex.join(words) or "the same config"


def as_csv(entries: Sequence[Entry]) -> str:
    """A row per job, for a figure of one's own: a column for each key that sets jobs apart, how it
    ended, the monitored value on the validation images, seconds, and the run's folder.
    """
    labels = [_words(entry.label) for entry in entries]
    keys = list(dict.fromkeys(key for words in labels for key in words))
    monitors = list(dict.fromkeys(entry.monitor for entry in entries))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["job", *keys, "status", *monitors, "seconds", "folder"])
    for entry, words in zip(entries, labels, strict=True):
        values = [entry.value if entry.monitor == name else None for name in monitors]
        seconds = round(entry.seconds, 1) or None
        own = [words.get(key) for key in keys]
        rows.writerow([entry.number, *own, entry.status, *values, seconds, entry.folder])
    return out.getvalue()


def _words(label: str) -> dict[str, str]:
    """`frozen seed=1` -> its keys; a suite's step has none."""
    parts = [word.partition("=") for word in shlex.split(label)]
    return {(key if sign else "step"): value if sign else key for key, sign, value in parts}


def table(groups: Sequence[Group]) -> list[str]:
    """The ranking, a line each."""
    if not groups:
        return []
    monitor, width = groups[0].jobs[0].monitor, max(len(group.label) for group in groups[:LISTED])
    several = any(group.spread is not None for group in groups)
    mean = ", mean ± standard deviation" if several else ""
    lines = [f"{'':>4}  {'':<{width}}  {monitor} (best epoch{mean})"]
    for group in groups[:LISTED]:
        rank = 1 + next(place for place, one in enumerate(groups) if equal(one, group))
        spread = "" if group.spread is None else f" ± {group.spread:.4f}"
        seeds = f"  {len(group.jobs)} runs" if len(group.jobs) > 1 else ""
        lines.append(f"{rank:>4}  {group.label:<{width}}  {group.mean:.4f}{spread}{seeds}")
    if len(groups) > LISTED:
        lines.append(f"      … and {len(groups) - LISTED} more")
    return lines
