"""Folders that a run writes to, and the container around it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cnnexp.config.arguments import to_type
from cnnexp.config.saved import record
from cnnexp.doctor.finding import Finding, note, ok, problem
from cnnexp.files import nearest_there, shown_path
from cnnexp.runs import died

GB = 1e9
NEEDED, WISHED = 0.1 * GB, 2 * GB  # bytes: a small run; checkpoints and pictures of several


def folder(path: Path, key: str) -> Finding:
    """Whether a run could make and fill it; nothing is made. key: names another one."""
    path = path.expanduser().absolute()
    there = nearest_there(path)
    what = str(path) if there == path else f"{path}, made in {there}"
    elsewhere = f"{key}=<a folder that you may write to>"
    if not there.is_dir():
        return problem(f"{path}: {there} is a file", elsewhere)
    # Unlike a look at the mode bits this knows read-only file systems and, for root, that it may.
    if not os.access(there, os.W_OK | os.X_OK):
        return problem(f"{what}: not writable", elsewhere)
    free = shutil.disk_usage(there).free
    text = f"{what}: {free / GB:.1f} GB free"
    if free < NEEDED:
        return problem(text, f"make room, or {elsewhere}")
    return note(text, f"make room, or {elsewhere}") if free < WISHED else ok(text)


def runs(outputs: Path) -> Finding:
    """Whether one of the runs in there was killed, and nobody has gone on with it."""
    begun = sorted(path.parent for path in outputs.glob("*/*/run.json"))
    running = [folder for folder in begun if record(folder).get("status") == "RUNNING"]
    dead = [folder for folder in running if died(folder)]
    if not dead:
        return ok(f"{len(begun):,}, none of them killed" if begun else "none yet")
    shown = [shown_path(folder) for folder in dead]
    what = f"{shown[-1]} was" if len(dead) == 1 else f"{len(dead)} runs were, {shown[-1]} the last,"
    return note(
        f"{what} killed (kill -9, out of memory, or the machine went off)",
        f"go on: {to_type(f'resume={shown[-1]}')}; or let MLflow know: "
        f"{to_type('task=sync', 'runs=[' + ','.join(shown) + ']')}",
    )


def container(folders: Mapping[str, Path], environment: Mapping[str, str]) -> Finding:
    """folders: by key. Inside a container, those that are not on a mount end with it."""
    kind = container_kind(environment)
    if kind is None:
        return ok("none")
    inside = Path("/").stat().st_dev
    lost = [
        f"{place} ({key})"
        for key, place in ((key, path.expanduser().absolute()) for key, path in folders.items())
        if nearest_there(place).stat().st_dev == inside
    ]
    if not lost:
        return ok(f"{kind}; what a run writes is on mounts")
    return note(
        f"{kind}: {' and '.join(lost)} would end with the container",
        "bind folders there: docker run -v <folder>:<there>, apptainer run --bind <folder>:<there>",
    )


def container_kind(environment: Mapping[str, str], root: Path = Path("/")) -> str | None:
    if "APPTAINER_CONTAINER" in environment or "SINGULARITY_CONTAINER" in environment:
        return "Apptainer"
    if (root / ".singularity.d").is_dir():
        return "Apptainer"
    # Podman makes the file only where the image may be written; the variable it always sets.
    if environment.get("container") == "podman" or (root / "run" / ".containerenv").exists():
        return "Podman"
    return "Docker" if (root / ".dockerenv").exists() else None
