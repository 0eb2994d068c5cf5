"""runs=[…]: which runs a comparison is about, and why others are left out."""

import glob
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnexp.config.arguments import to_type
from cnnexp.config.groups import listed
from cnnexp.config.places import RUN_ID, newest
from cnnexp.errors import InputError, nearest
from cnnexp.files import shown_path
from cnnexp.folders import run_folder
from cnnexp.runs import died

NAMED = 3  # runs that a note names; of more it says how many


class Selection(NamedTuple):
    """folders: of tested runs, each once, in the order given. notes: what was left out, and why."""

    folders: list[Path]
    notes: list[str]


def select_runs(config: Mapping[str, Any]) -> Selection:
    """What config["runs"] names: runs (see `folders.run_folder`), folders that hold runs
    (outputs/<name> or <name>, a sweep's folder with jobs/*.json), globs.

    Raises InputError for what names nothing, and where fewer than two tested runs are left.
    """
    found: dict[Path, None] = {}
    notes: list[str] = []
    for entry in config["runs"]:
        folders, said = expanded(entry, config)
        found |= dict.fromkeys(folders)
        notes += said
    reasons = {folder: reason for folder in found if (reason := not_tested(folder))}
    notes += left_out(reasons)
    tested = [folder for folder in found if folder not in reasons]
    if len(tested) < 2:
        there = "one tested run is" if tested else "no tested run is"
        why = f"; {'; '.join(notes)}" if notes else ""
        if len(reasons) == 1 and "interrupted" in reasons.values():
            why += f"; to go on: {to_type(f'resume={shown_path(next(iter(reasons)))}')}"
        raise InputError(
            f"runs: {there} left, and two are needed for a comparison{why or newest(config)}"
        )
    return Selection(tested, notes)


def expanded(entry: str, config: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
    """The runs' folders that one item of runs=[…] stands for, and notes on a sweep's jobs."""
    place = Path(entry).expanduser()
    if entry and not place.is_dir():  # by its name alone, or its path below outputs
        named = Path(config["paths"]["outputs"]) / place
        place = named if named.is_dir() and held(named, config) else place
    if place.is_dir():
        inside = held(place.absolute(), config)
        if inside is None:
            below = sorted({path.parent.parent for path in place.glob("*/*/run.json")})
            if below:
                raise InputError(
                    f"runs: {entry} holds no runs itself; name folders in it: "
                    f"runs=[{listed([shown_path(path) for path in below], NAMED)}]"
                )
            raise InputError(
                f"runs: {entry} holds no runs; name a run, outputs/<name>, a sweep's folder or a "
                f"glob{newest(config)}"
            )
        return inside
    if set(entry) & set("*?["):
        matches = [Path(path).absolute() for path in sorted(glob.glob(str(place)))]
        several = [inside for path in matches if (inside := held(path, config)) is not None]
        folders, notes = [f for fs, _ in several for f in fs], [n for _, ns in several for n in ns]
        if not folders and not notes:
            raise InputError(f"runs: {entry} matches no folder with runs{newest(config)}")
        return folders, notes
    return [named_run(entry, config)], []


def named_run(entry: str, config: Mapping[str, Any], key: str = "runs") -> Path:
    """The folder of one run that is named, or its MLflow id given, under `key`. Raises InputError,
    with the nearest name there is.
    """
    outputs = Path(config["paths"]["outputs"])
    known = Path(entry).expanduser().is_dir() or RUN_ID.fullmatch(entry)
    if not known and not (
        entry and not Path(entry).is_absolute() and any(outputs.glob(f"*/{entry}"))
    ):
        here = [shown_path(p) for p in (*outputs.glob("*"), *outputs.glob("*/*")) if p.is_dir()]
        near = nearest(entry, [*here, *(Path(path).name for path in here)])
        glob_too = " or glob" if key == "runs" else ""
        raise InputError(
            f"{key}: {entry}: no such folder{glob_too}, and no MLflow id or its beginning "
            f"(hexadecimal digits){near or newest(config)}"
        )
    folder = run_folder({**config, key: entry}, key)
    if not (folder / "run.json").is_file():
        inside = held(folder, config)
        one = f"one of its runs: {key}={shown_path(inside[0][-1])}" if inside and inside[0] else ""
        raise InputError(
            f"{key}={entry}: is no run's folder; name {one or f'a run{newest(config)}'}"
        )
    return folder


def held(folder: Path, config: Mapping[str, Any]) -> tuple[list[Path], list[str]] | None:
    """The folder itself if it is a run's, those of a sweep's jobs, those in it; None: no runs."""
    if (folder / "run.json").is_file():
        return [folder], []
    jobs = sorted((folder / "jobs").glob("*.json"))
    if jobs:
        return of_jobs(folder, jobs, Path(config["paths"]["outputs"]))
    inside = sorted(path.parent for path in folder.glob("*/run.json"))
    return (inside, []) if inside else None


def of_jobs(sweep: Path, jobs: Sequence[Path], outputs: Path) -> tuple[list[Path], list[str]]:
    """The folders of a sweep's finished jobs; a note counts the others."""
    folders, others = [], Counter[str]()
    for path in jobs:
        job = read_job(path)
        status, folder = str(job.get("status") or "unknown"), job.get("folder")
        if status != "FINISHED" or not isinstance(folder, str):
            others[status.lower()] += 1
            continue
        place = next((p for p in places(folder, sweep, outputs) if p.is_dir()), None)
        if place is None:
            others["not here any more"] += 1
        else:
            folders.append(place.absolute())
    if not others:
        return folders, []
    counts = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
    said = f"{shown_path(sweep)}: {others.total()} of {len(jobs)} jobs are left out: {counts}"
    return folders, [said]


def places(folder: str, sweep: Path, outputs: Path) -> Iterator[Path]:
    """Where a job's run may be: outputs may have been moved to another machine as a whole."""
    path = Path(folder)
    yield path
    yield sweep / path
    yield outputs / path.parent.name / path.name
    yield sweep.parent.parent / path.parent.name / path.name


def read_job(path: Path) -> dict[str, Any]:
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"status": "unreadable"}
    return job if isinstance(job, dict) else {"status": "unreadable"}


def not_tested(folder: Path) -> str:
    """Why a run cannot be compared; "" where it can."""
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        status = str(info.get("status") or "unknown")
    except (OSError, ValueError, AttributeError):
        return "run.json cannot be read"
    if status == "RUNNING":
        return "killed" if died(folder) else "still running"
    if status != "FINISHED":
        return {"KILLED": "interrupted"}.get(status, status.lower())
    if not (folder / "predictions.csv").is_file():
        return "not tested (no predictions.csv)"
    return ""


def left_out(reasons: Mapping[Path, str]) -> list[str]:
    """A note per reason: `left out, not finished: a, b`."""
    notes = []
    for reason in dict.fromkeys(reasons.values()):
        folders = [shown_path(folder) for folder, own in reasons.items() if own == reason]
        named = ", ".join(folders) if len(folders) <= NAMED else f"{len(folders)} runs"
        notes.append(f"left out, {reason}: {named}")
    return notes
