"""The folders of a person's own Python files, which configs may name: --config-dir, and
run(config_dir=…).
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from cnnexp.config.signature import target_signature
from cnnexp.config.source import forget

_folders: list[Path] = []  # that were named, the last one first
_added: list[str] = []  # those of them that were not on sys.path
_imported: dict[str, int] = {}  # own modules -> their files' times then
_named: Path | None = None  # by the command that runs; earlier ones in this process named others


def allow_folder(folder: Path | None) -> None:
    """Let configs name what the Python files of `folder` define; None: the command names none.

    Last on sys.path, before folders that were named earlier: it can hide no installed module.
    """
    global _named
    _named = folder = folder and folder.resolve()
    if folder is None:
        return
    another = _folders and _folders[0] != folder  # its files may be called as that one's
    _folders[:] = [folder, *(earlier for earlier in _folders if earlier != folder)]
    place = str(folder)
    if place in _added or place not in sys.path:
        _added[:] = [place, *(earlier for earlier in _added if earlier != place)]
    sys.path[:] = [*(place for place in sys.path if place not in _added), *_added]
    importlib.invalidate_caches()
    forget()
    target_signature.cache_clear()
    now = own_modules()
    if another or any(_imported.get(name, stamp) != stamp for name, stamp in now.items()):
        for name in now:  # all of them: one may have taken names from another
            del sys.modules[name]
        _imported.clear()


def own_modules() -> dict[str, int]:
    """Imported modules of a person's own folders -> when their files were changed, ns. What was
    edited in the middle of a notebook is imported anew.
    """
    found: dict[str, int] = {}
    if not _folders:
        return found
    begins = tuple(f"{folder}{os.sep}" for folder in _folders)
    for name, module in list(sys.modules.items()):
        # Not by getattr: at that, a module that is imported lazily (MLflow's are) is imported.
        file = getattr(module, "__dict__", {}).get("__file__") or ""
        own = file.startswith(begins) and not name.startswith("cnnexp.")
        if own and name != "__main__" and "site-packages" not in file and os.path.exists(file):
            found[name] = os.stat(file).st_mtime_ns
    return found


def note_imported() -> None:
    """To be called when a module was imported: from then on its edits are noticed."""
    for name, stamp in own_modules().items():
        _imported.setdefault(name, stamp)


def named_so_far() -> list[Path]:
    """All that were named in this process, the last one first."""
    return list(_folders)


def named_folder() -> Path | None:
    """The one that this command named."""
    return _named


def is_own(name: str) -> bool:
    """Whether a module, or what is in it, is in a person's own folder."""
    return home(name.partition(".")[0]) in _folders


def home(top: str) -> Path | None:
    """The folder in which Python would find a top-level module or package."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin else None
