"""A person's own Python files: as a run had them, what has changed since, where one failed."""

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cnnexp.config.instantiate import named_folder, own_modules
from cnnexp.files import digest


def own_code() -> dict[str, str]:
    """Files of the folder that this command named (--config-dir) and that were imported: relative
    name -> `digest`.
    """
    folder = named_folder()
    if folder is None:
        return {}
    files = (Path(str(sys.modules[name].__file__)) for name in own_modules())
    return {
        file.relative_to(folder).as_posix(): digest(file)
        for file in sorted(files)
        if file.is_relative_to(folder)
    }


def changed_since(info: Mapping[str, Any]) -> list[str]:
    """Of a run's own files those that are others now, in the folder that this command named.

    info: run.json's, perhaps a stranger's: nothing outside that folder is looked at.
    """
    folder = named_folder()
    environment = info.get("environment")
    known = environment.get("own_code") if isinstance(environment, Mapping) else None
    if folder is None or not isinstance(known, Mapping):
        return []
    inside = [n for n in known if n.isprintable() and (folder / n).resolve().is_relative_to(folder)]
    return [name for name in inside if digest(folder / name) != known[name]]


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
