"""A command about a finished run: the run's own config, and what is typed over it."""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.types import Override

from cnnexp.config.check import shown
from cnnexp.config.places import check_paths
from cnnexp.config.resume import AUTO, found_again, resumed
from cnnexp.config.saved import completed, made_with, saved_config, typed
from cnnexp.config.schema import COMPARES, NEEDS_RUN, Config
from cnnexp.config.several import check_comparison, check_runs, each_run, of_runs, task_name
from cnnexp.config.validate import validate
from cnnexp.errors import InputError, nearest

OF_THE_COMMAND = ("paths", "tracking", "run", "runs", "input", "format", "task")
TYPED = ("dataset", "visualization", "trainer")
RECIPES = ("experiment", "sweep", "suite", "debug")
# What a network has learned to see, and which images are whose: other data do not change these.
OF_THE_RUN = (
    "image_size",
    "resize",
    "batch_size",
    "per_class",
    "fold",
    "folds",
    "split",
    "split_seed",
    "duplicates",
    "group_by",
)


def check_command(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The composed config, found valid in itself and on this disk, with defaults filled in.

    For a task that takes run=, what is checked is the config that the task will work with; for one
    that takes runs=, that of each run.
    """
    lines = typed(overrides)
    check_comparison(config, {line.key_or_group: line.input_line or "" for line in lines})
    if task_name(config) in COMPARES:
        check_paths(validate(config, known=False))
        return dict(config)
    if config.get("runs") is not None:
        check_runs(config, [line.input_line or "" for line in lines])
        for one in each_run(config):
            with of_runs():
                check_command(one, overrides)
        return dict(config)
    checked = effective(config, overrides)
    check_paths(checked)
    check_epochs(checked, lines)
    check_per_class(checked, lines)
    return dict(config) if takes_run(config) else checked


def check_epochs(config: Mapping[str, Any], lines: Sequence[Override]) -> None:
    """trainer.max_epochs stands for all phases: one that is typed beside it would say nothing."""
    most = config["trainer"]["max_epochs"]
    for line in lines:
        if most is not None and re.fullmatch(r"phases\.[^.]+\.epochs", line.key_or_group):
            debug = next((f" (debug={one.value()})" for one in lines if is_debug(one)), "")
            raise InputError(
                f"{line.input_line}: trainer.max_epochs={most}{debug} stands for all phases; set "
                "that, or add trainer.max_epochs=null"
            )


def check_per_class(config: Mapping[str, Any], lines: Sequence[Override]) -> None:
    """More training images per class than the split has, which a debug config may have set."""
    wanted = config["dataset"].get("per_class")
    there = (config["dataset"].get("split") or {}).get("train")
    folds = config["dataset"].get("fold") is not None  # they have more
    if isinstance(wanted, int) and isinstance(there, int) and wanted > there and not folds:
        debug = next((f" (debug={one.value()})" for one in lines if is_debug(one)), "")
        raise InputError(
            f"dataset.per_class={wanted}: of each class dataset.split has {there} training "
            f"images{debug}; give at most {there}, or leave it out"
        )


def is_debug(line: Override) -> bool:
    """A debug config sets trainer.max_epochs, which the user may never have heard of."""
    return line.key_or_group == "debug" and line.value() is not None


def effective(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """What the task will work with, validated: with run=<folder> the run's config, see `rerun`.

    Where run= is an id, the run is not looked for yet: the composed config, checked as far as it
    is this command's.
    """
    if config.get("resume") == AUTO:
        return found_again(config, overrides)
    if config.get("resume") is not None:
        return resumed(config, overrides)
    if not takes_run(config):
        return validate(config)
    folder = Path(config["run"]).expanduser()
    if folder.is_dir():
        return rerun(saved_config(folder), config, overrides)
    check_typed(typed(overrides))
    own = dict(config)
    if isinstance(own.get("visualization"), Mapping):  # but for pictures that the run may have
        own["visualization"] = {
            name: node
            for name, node in own["visualization"].items()
            if not isinstance(node, Mapping) or "_target_" in node
        }
    validate(own, known=False)
    return dict(config)


def takes_run(config: Mapping[str, Any]) -> bool:
    """Whether the command is about a finished run and names one."""
    return task_name(config) in NEEDS_RUN and isinstance(config.get("run"), str)


def rerun(
    saved: Mapping[str, Any], config: Mapping[str, Any], overrides: Sequence[str]
) -> dict[str, Any]:
    """The run's config with this command's paths, tracking, task and typed keys; validated.

    saved: the run's config.yaml. config: composed from this command; overrides: what it typed, as
    Hydra was given it. Raises InputError for what a finished run cannot change, such as its model,
    and for a saved config that is not valid: it may be somebody else's.
    """
    lines = typed(overrides)
    check_typed(lines)
    merged = {key: value for key, value in completed(saved, config).items() if key != "overrides"}
    merged |= {key: copy.deepcopy(config[key]) for key in OF_THE_COMMAND if key in config}
    for line in lines:  # whole groups first: Hydra too lets keys count more, wherever they stand
        if line.key_or_group in TYPED and not line.is_delete():
            choose(merged, config, line.key_or_group)
    for line in lines:
        path = line.key_or_group.split(".")
        if path[0] in TYPED and line.is_delete():
            delete(merged, path)
        elif path[0] in TYPED and len(path) > 1:
            for leaf in leaves(path, line.value()):
                put(merged, config, leaf)
    check_size(merged, saved)
    try:
        checked = validate(merged)
    except InputError as error:
        group = re.match(r"\w*", str(error))
        known = {*OF_THE_COMMAND, *(line.key_or_group.partition(".")[0] for line in lines)}
        if group and group[0] in known:
            raise
        own = made_with(Path(config["run"]), error)
        raise InputError(f"run={config['run']}: its config.yaml: {error}{own}") from None
    return {**checked, "overrides": list(overrides)}


def check_typed(lines: Sequence[Override]) -> None:
    """Raises InputError for keys that a finished run has its own of."""
    for line in lines:
        group = line.key_or_group.partition(".")[0]
        if group in OF_THE_COMMAND + TYPED:
            continue
        word = str(line.input_line).lstrip("+")
        if group not in get_type_hints(Config) and group not in RECIPES:
            near = nearest(group, OF_THE_COMMAND + TYPED)
            raise InputError(
                f"{word}: unknown key{near or ';'} with run= there are "
                f"{', '.join(OF_THE_COMMAND + TYPED)}"
            )
        raise InputError(f"{word}: the run's own {group} is used; leave it out")


def choose(merged: dict[str, Any], config: Mapping[str, Any], group: str) -> None:
    """`group=option`: the option's node; other images are still cut to the run's size."""
    own = merged.get(group) if group == "dataset" else None
    kept = {key: own[key] for key in OF_THE_RUN if key in own} if isinstance(own, dict) else {}
    node = copy.deepcopy(config.get(group))
    merged[group] = {**node, **kept} if isinstance(node, dict) else node


def put(merged: dict[str, Any], config: Mapping[str, Any], path: list[str]) -> None:
    """merged[a][b] = config[a][b]; of a picture that the run has not, the whole node."""
    if path[0] == "visualization" and path[1] not in (merged.get(path[0]) or {}):
        path = path[:2]
    source: Any = config
    for part in path:
        if not isinstance(source, Mapping) or part not in source:
            return  # typed, and taken out again
        source = source[part]
    target = merged
    for part in path[:-1]:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[path[-1]] = copy.deepcopy(source)


def delete(merged: dict[str, Any], path: list[str]) -> None:
    target: Any = merged
    for part in path[:-1]:
        target = target.get(part) if isinstance(target, dict) else None
    if isinstance(target, dict):
        target.pop(path[-1], None)


def leaves(path: list[str], value: Any) -> Iterator[list[str]]:
    """`dataset.split={train: 9}` sets dataset.split.train alone, as Hydra has it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves([*path, str(key)], inner)
    else:
        yield path


def check_size(merged: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """The network has learned from images of one size, made in one way."""
    ours, theirs = merged.get("dataset"), saved.get("dataset")
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return  # validation says so
    for key in ("image_size", "resize"):
        if key in theirs and ours.get(key) != theirs[key]:
            raise InputError(
                f"dataset.{key}={shown(ours.get(key))}: the run was trained with "
                f"{shown(theirs[key])}; leave it out"
            )
