"""A person's own Python files: as a run had them, what has changed since, where one failed."""

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cnnexp.config.own_folder import named_folder, own_modules
from cnnexp.config.source import module_path, split_target
from cnnexp.files import digest

PACKAGE = Path(__file__).resolve().parent
GROUPS = ("model", "dataset", "augmentation", "optimizer", "scheduler")


def own_code(config: Mapping[str, Any]) -> dict[str, str]:
    """Name -> `digest` of what a run is made of and a person edits: files of the folder that this
    command named (--config-dir) and that were imported, by their names in it; and the files of
    cnnexp's own that the config names, as `cnnexp/models/lenet5.py`.
    """
    folder = named_folder()
    found: dict[str, Path] = {}
    for name in own_modules() if folder else ():
        file = Path(str(sys.modules[name].__file__))
        if folder is not None and file.is_relative_to(folder):
            found[file.relative_to(folder).as_posix()] = file
    for group in GROUPS:
        ours = module_path(split_target(str(config[group].get("_target_")))[0])
        if ours is not None and ours.resolve().is_relative_to(PACKAGE):
            found[ours.resolve().relative_to(PACKAGE.parent).as_posix()] = ours
    return {name: digest(found[name]) for name in sorted(found)}


def changed_since(info: Mapping[str, Any]) -> list[str]:
    """Of a run's own files those that are others now.

    info: run.json's, perhaps a stranger's: nothing is looked at but in the folder that this command
    named, and in the package.
    """
    earlier = info.get("earlier_environments")
    environments = [*(earlier if isinstance(earlier, list) else []), info.get("environment")]
    known: dict[str, set[str]] = {}
    for one in environments:  # a run may have gone on after an edit
        files = one.get("own_code") if isinstance(one, Mapping) else None
        for name, content in (files if isinstance(files, Mapping) else {}).items():
            known.setdefault(str(name), set()).add(str(content))
    changed = []
    for name, contents in known.items():
        ours = name.startswith(f"{PACKAGE.name}/")
        folder = PACKAGE.parent if ours else named_folder()
        within = PACKAGE if ours else folder
        if folder is None or within is None or not name.isprintable():
            continue
        there = (folder / name).resolve().is_relative_to(within)
        if there and contents != {digest(folder / name)}:
            changed.append(name)
    return changed


def changed_note(info: Mapping[str, Any]) -> str:
    """A line where files of a run have changed since, else ""."""
    files = changed_since(info)
    if not files:
        return ""
    verb = "have" if len(files) > 1 else "has"
    return f"{', '.join(files)} {verb} changed since the run began: it may come out otherwise"


def own_line(error: BaseException) -> str:
    """`, dense.py line 12`: the last one of a person's own code that led to the error, else ""."""
    frames = [at for at in traceback.extract_tb(error.__traceback__) if in_own_folder(at.filename)]
    return f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""


def own_part(error: BaseException) -> TracebackType | None:
    """The traceback from where a person's own code was first reached: what called it is noise. None
    where it was not.
    """
    part = error.__traceback__
    while part is not None and not in_own_folder(part.tb_frame.f_code.co_filename):
        part = part.tb_next
    return part


def in_own_folder(filename: str) -> bool:
    folder = named_folder()
    return folder is not None and Path(filename).resolve().is_relative_to(folder)
