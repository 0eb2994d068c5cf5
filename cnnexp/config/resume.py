"""A command that goes on with an interrupted run."""

import copy
import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnexp.config.check import shown
from cnnexp.config.identity import config_hash
from cnnexp.config.saved import completed, edited, made_with, record, saved_config, typed
from cnnexp.config.validate import validate
from cnnexp.errors import InputError

AUTO = "auto"
WHERE = ("paths", "tracking")  # what may have changed meanwhile
IMAGES = ("dataset.root", "dataset.table")


def resumed(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The config of the run that `resume` names; only where things lie may have changed."""
    task, folder = config.get("task"), config["resume"]
    if isinstance(folder, str) and re.fullmatch(r"[\w-]+", folder):  # the end of a folder's name
        here = [*Path(config["paths"]["outputs"]).glob(f"*/*_{folder}")]
        if len(here) == 1:
            folder = str(here[0])
            config = {**config, "resume": folder}
    if not isinstance(task, Mapping) or task.get("name") != "train":
        raise InputError(f"resume={shown(folder)}: only task=train goes on with a run")
    if not isinstance(folder, str) or not Path(folder).expanduser().is_dir():
        raise InputError(f"resume={shown(folder)}: no such folder; name that of an interrupted run")
    if record(Path(folder).expanduser()).get("status") == "FINISHED":
        raise InputError(
            f"resume={folder}: the run is finished; test it again with task=evaluate run={folder}, "
            f"or train on from its weights in a new run: init_from={folder}"
        )
    return gone_on_with(config, overrides)


def gone_on_with(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    folder, lines = config["resume"], typed(overrides)
    for line in lines:
        group = line.key_or_group.partition(".")[0]
        if group not in (*WHERE, "resume", "task") and line.key_or_group not in IMAGES:
            raise InputError(
                f"{(line.input_line or '').lstrip('+')}: the run goes on with its own config; "
                "leave it out"
            )
    saved = completed(saved_config(Path(folder).expanduser(), "resume"), config)
    if edited(Path(folder).expanduser(), record(Path(folder).expanduser())):
        raise InputError(
            f"resume={folder}: its config.yaml was edited since the run began, and a run goes on "
            f"with the config that it began with; put it back, or begin a new run from its "
            f"weights: init_from={folder}"
        )
    merged = {**saved, **{key: copy.deepcopy(config[key]) for key in WHERE}}
    merged["resume"] = str(Path(folder).expanduser().absolute())
    for key in (line.key_or_group for line in lines if line.key_or_group in IMAGES):
        name = key.partition(".")[2]
        merged["dataset"] = {**merged["dataset"], name: config["dataset"][name]}
    own = {key: value for key, value in merged.items() if key != "overrides"}
    try:
        checked = validate(own)
    except InputError as error:
        theirs = made_with(Path(merged["resume"]), error)
        raise InputError(f"resume={folder}: its config.yaml: {error}{theirs}") from None
    return {**checked, "overrides": saved.get("overrides", [])}


def found_again(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """resume=auto: the run of this very config, finished or not; without one a new one begins."""
    new = validate({**config, "resume": None})
    own = config_hash(new)
    runs = Path(config["paths"]["outputs"]).glob(f"{glob.escape(config['name'])}/*/run.json")
    begun = [path.parent for path in sorted(runs) if path.with_name("config.yaml").is_file()]
    same = [folder for folder in begun if record(folder).get("config_hash") == own]
    if not same:
        return new
    where = [line for line in overrides if line.lstrip("+").partition("=")[0] in IMAGES]
    return gone_on_with({**config, "resume": str(same[-1])}, where)
