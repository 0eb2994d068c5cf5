"""From a config node to an object: the one place where `_target_` is looked up and called.

A config may come with somebody's checkpoint: what it names is called only where it is on this list.
"""

import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from cnnexp.config.groups import listed
from cnnexp.config.own_folder import home, is_own, named_folder, named_so_far, note_imported
from cnnexp.errors import InputError, nearest, one_line
from cnnexp.files import shown_path

# What each group may name: a whole name, or with a dot at its end all that begins so.
ROLES: dict[str, tuple[str, ...]] = {
    "dataset": ("cnnexp.datasets.",),
    "augmentation": ("cnnexp.augmentations.",),
    "model": ("cnnexp.models.",),
    "loss": ("torch.nn.modules.loss.",),
    "optimizer": ("torch.optim.",),
    "scheduler": ("torch.optim.lr_scheduler.",),
    "trainer": ("pytorch_lightning.Trainer",),
    "tracking": ("cnnexp.tracking.",),
    "visualization": ("cnnexp.visualization.",),
    "task": ("cnnexp.tasks.",),
}
ALLOWED = tuple(dict.fromkeys(name for names in ROLES.values() for name in names))


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
    own = sorted(f"{path.stem}." for folder in named_so_far() for path in folder.glob("*.py"))
    if f"{top}." in own:
        raise InputError(
            f"{key}={target}: your {top}.py has the name of another module, which Python takes in "
            "its place; rename the file"
        )
    names = [*known, *own]
    near = (nearest(target, names) or nearest(f"{top}.", names)).replace(".'", "'")
    what = "not among what a config may call"
    if (folder := named_folder()) is not None and home(top) is None:
        what = f"there is no {top}.py in {shown_path(folder)}"
    allowed = [f"{name}*" if name.endswith(".") else name for name in names]
    raise InputError(
        f"{key}={target}: {what}{near or ';'} allowed: {listed(allowed, 20)}, "
        "and the Python files in the folder given by --config-dir"
    )


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
        note_imported()
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
