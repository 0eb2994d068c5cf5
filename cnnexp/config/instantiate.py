"""From a config node to an object: the one place where `_target_` is looked up and called.

A config may come with somebody's checkpoint: what it names is called only where it is on this list.
"""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from cnnexp.config.groups import listed
from cnnexp.config.signature import target_signature
from cnnexp.config.source import forget
from cnnexp.errors import InputError, nearest, one_line
from cnnexp.files import shown_path

# What each group may name: a whole name, or with a dot at its end all that begins so.
ROLES: dict[str, tuple[str, ...]] = {
    "dataset": ("cnnexp.datasets.",),
    "augmentation": ("cnnexp.augmentations.",),
    "model": ("cnnexp.models.",),
    "optimizer": ("torch.optim.",),
    "scheduler": ("torch.optim.lr_scheduler.",),
    "trainer": ("pytorch_lightning.Trainer",),
    "tracking": ("cnnexp.tracking.",),
    "visualization": ("cnnexp.visualization.",),
    "task": ("cnnexp.tasks.",),
}
ALLOWED = tuple(dict.fromkeys(name for names in ROLES.values() for name in names))

# Named on the command line by --config-dir, or in run(config_dir=…), the last one first.
_folders: list[Path] = []
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


def named_folder() -> Path | None:
    """The one that this command named."""
    return _named


def check_allowed(target: Any, key: str = "_target_", role: str | None = None) -> None:
    """Raises InputError unless `target` may be called. role: the config group; None: any."""
    known = ALLOWED if role is None else ROLES[role]
    if not isinstance(target, str):
        raise InputError(f"{key}={target}: must be text such as cnnexp.models.baseline.baseline")
    if any(part.startswith("_") for part in target.split(".")):
        raise InputError(f"{key}={target}: a name that begins with _ is private to its module")
    if any(target == name or (name.endswith(".") and target.startswith(name)) for name in known):
        return
    top = target.partition(".")[0]
    if is_own(target):
        return
    own = sorted(f"{path.stem}." for folder in _folders for path in folder.glob("*.py"))
    if f"{top}." in own:
        raise InputError(
            f"{key}={target}: your {top}.py has the name of another module, which Python takes in "
            "its place; rename the file"
        )
    names = [*known, *own]
    near = (nearest(target, names) or nearest(f"{top}.", names)).replace(".'", "'")
    what = "not among what a config may call"
    if _named is not None and home(top) is None:
        what = f"there is no {top}.py in {shown_path(_named)}"
    allowed = [f"{name}*" if name.endswith(".") else name for name in names]
    raise InputError(
        f"{key}={target}: {what}{near or ';'} allowed: {listed(allowed, 20)}, "
        "and the Python files in the folder given by --config-dir"
    )


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


def resolve(target: str, key: str = "_target_") -> Callable[..., Any]:
    """The class or function. Raises InputError: not allowed, missing or not importable."""
    check_allowed(target, key)
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                continue  # this part of the target is no module: perhaps a class
            raise InputError(f"{key}={target}: {one_line(error)}{importer(error)}") from error
        except ImportError as error:
            raise InputError(f"{key}={target}: {one_line(error)}{importer(error)}") from error
        except Exception as error:  # a person's own code, as it is read
            error.add_note(f"raised by {key}={target}, when it was imported")
            raise
        for own, stamp in own_modules().items():
            _imported.setdefault(own, stamp)
        for part in parts[length:]:
            if not hasattr(found, part):
                names = [entry for entry in dir(found) if not entry.startswith("_")]
                raise InputError(f"{key}={target}: '{name}' has no '{part}'{nearest(part, names)}")
            found = getattr(found, part)
        return callable_and_at_home(found, target, key)
    raise InputError(f"{key}={target}: there is no module '{parts[0]}'; is it installed?")


def importer(error: ImportError) -> str:
    """`, in mine/dense.py line 3`: the import that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [at for at in frames if Path(at.filename).is_file() and "importlib" not in at.filename]
    at = files[-1]
    return f", in {shown_path(Path(at.filename))} line {at.lineno}"


def callable_and_at_home(found: Any, target: str, key: str) -> Callable[..., Any]:
    """Refuses `torch.optim.adam.torch.hub.load`: on the list by its name, but from elsewhere. So it
    does with what a person's own file has imported, `data.rmtree`, for a stranger's config may name
    that, too.
    """
    origin = getattr(found, "__module__", None) or ""
    ours = is_own(target)
    if not callable(found):
        raise InputError(f"{key}={target}: is not a class or a function")
    if ours and is_own(origin):
        return found
    names = [name for name in ALLOWED if name.endswith(".")] if ours else ALLOWED
    fits = [name for name in names if ours or target.startswith(name)]
    roots = at_home([".".join(name.split(".")[:2]) for name in fits])
    if not any(f"{origin}.".startswith(f"{root.rstrip('.')}.") for root in roots):
        wrap = "; call it in a function, or derive a class from it, in your file" if ours else ""
        raise InputError(
            f"{key}={target}: is defined in '{origin}', which a config may not call{wrap}"
        )
    return found


def at_home(roots: list[str]) -> list[str]:
    """What is listed as a whole name is exported from the top of its package, defined below."""
    return [root.partition(".")[0] if root in ALLOWED else root for root in roots]


def call(node: Mapping[str, Any], key: str | None = None, /, **injected: Any) -> Any:
    """Call the node's `_target_` with the node's other keys and, before them, `injected`.

    Nested lists and mappings are handed over as they are. key: the node's in the config; what the
    target raises, a person's own code perhaps, names it below its traceback. Raises InputError for
    arguments that the target does not take.
    """
    target = node["_target_"]
    function = resolve(target, "_target_" if key is None else f"{key}._target_")
    if missing := ", ".join(sorted(getattr(function, "__abstractmethods__", ()))):
        raise InputError(f"_target_={target}: is an abstract class; it lacks {missing}")
    arguments = {key: value for key, value in node.items() if key != "_target_"} | injected
    try:
        takes = inspect.signature(function)
        takes.bind(**arguments)
    except TypeError as error:  # "missing a required argument: 'root'"
        raise InputError(f"{target}: {error}") from None
    except ValueError:  # built in: has no signature
        takes = inspect.Signature()
    for name in arguments.keys() & takes.parameters.keys():
        if isinstance(arguments[name], str) and wants_path(takes.parameters[name].annotation):
            arguments[name] = Path(arguments[name])
    try:
        return function(**arguments)
    except InputError:
        raise
    except Exception as error:
        if key is not None:
            error.add_note(f"raised by {key}._target_={target}")
        raise


def wants_path(annotation: Any) -> bool:
    """Path, or Path | None: what takes text as well gets the text."""
    if isinstance(annotation, str):  # from __future__ import annotations
        return re.fullmatch(r"(pathlib\.)?Path( \| None)?", annotation) is not None
    kinds = set(get_args(annotation)) or {annotation}
    return Path in kinds and str not in kinds
