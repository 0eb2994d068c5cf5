"""What a command names on this disk: images, runs, weights, the folder for new runs."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.config.schema import NEEDS_RUN, TAKES_RUNS
from cnnexp.config.signature import target_signature
from cnnexp.config.weights import IMAGENET, weights_file
from cnnexp.errors import InputError, nearest
from cnnexp.files import files_named, nearest_there

DOES = {  # and takes no run
    "train": "starts a new run",
    "data": "looks at a data set",
    "doctor": "looks at this machine",
    "anatomy": "shows a config's network (a run's table is its anatomy.csv)",
    "lr_find": "tries rates on a new network",
    "suite": "starts new runs",
}
TAKES_INPUT = ("predict", "visualize")
LOADS = ("train", "data", "lr_find")  # the images of the config, not of a run
LOADS_NETWORK = ("evaluate", "predict", "visualize", "export")  # of a run
MAKES_FOLDERS = (*LOADS, "anatomy", "predict")  # in paths.outputs
# A whole id or its beginning, or a run's folder by its name.
RUN_ID = re.compile(r"(\d{8}-\d{6}_)?[0-9a-f]{4,32}")


def check_paths(config: Mapping[str, Any]) -> None:
    """What must be on the disk, and what the task needs to be told. Raises InputError."""
    task, run, given = config["task"].get("name"), config["run"], config["input"]
    if task in NEEDS_RUN and run is None:
        several = " or runs=[several of them]" if task in TAKES_RUNS else ""
        raise InputError(
            f"task={task}: needs run=<a run's folder or its MLflow id>{several}{newest(config)}"
        )
    if task in DOES and run is not None:
        raise InputError(
            f"run={run}: task={task} {DOES[task]}; with it use task={', '.join(NEEDS_RUN)}"
        )
    if task not in TAKES_INPUT and given is not None:
        both = " and ".join(f"task={name} run=<run>" for name in TAKES_INPUT)
        raise InputError(f"input={given}: only {both} take it")
    if task == "predict" and given is None:
        raise InputError("task=predict: needs input=<an image, a folder or a glob>")
    if run is not None and not Path(run).expanduser().is_dir() and not RUN_ID.fullmatch(run):
        raise InputError(
            f"run={run}: no such folder, and no MLflow id or its beginning (hexadecimal digits)"
            f"{newest(config, run)}"
        )
    weights = config["model"].get("weights")
    named = isinstance(weights, str) and weights != IMAGENET
    if named and task == "train" and config["resume"] is None:
        weights_file(weights)
    start = config["init_from"] if task == "train" and config["resume"] is None else None
    if start is not None and not Path(start).expanduser().is_dir() and not RUN_ID.fullmatch(start):
        if Path(start).expanduser().is_file():
            raise InputError(f"init_from={start}: is a file; name the folder of its run")
        raise InputError(
            f"init_from={start}: no such folder, and no MLflow id or its beginning "
            f"(hexadecimal digits){newest(config, start)}"
        )
    # task=visualize takes names of test images, too.
    files = given is not None and (task == "predict" or Path(given).expanduser().exists())
    if files and next(files_named(given), None) is None:
        raise InputError(f"input={given}: {nothing_in(given)}")
    # task=predict reads none of the run's images; they may be on another machine.
    root = config["dataset"].get("root") if task != "predict" else None
    if isinstance(root, str) and not Path(root).expanduser().exists():
        anew = "; where are the run's images now?" if task in NEEDS_RUN else ""
        anew += " the exported file is checked on them" if task == "export" else ""
        raise InputError(f"dataset.root={root}: no such file or folder{anew}")
    if root is None and task in LOADS and wants_root(config["dataset"]):
        raise InputError(
            "dataset.root is not set; give the folder or file (a zip, say) that holds your images"
        )
    if task in MAKES_FOLDERS and config["resume"] is None:
        check_outputs(Path(config["paths"]["outputs"]))


def nothing_in(given: str) -> str:
    """Why no image can be there."""
    place = Path(given).expanduser()
    if place.is_dir():
        return "the folder holds no images"
    if place.exists():
        return "is neither a file nor a folder"
    return "no file matches" if set(given) & set("*?[") else "no such file or folder"


def check_outputs(outputs: Path) -> None:
    """Whether a folder could be made there: it is made once the data has been found and read."""
    there = nearest_there(outputs.absolute())
    if not there.is_dir():
        what = "is a file" if there == outputs.absolute() else f"{there} is a file"
        raise InputError(f"paths.outputs={outputs}: {what}; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"paths.outputs={outputs}: {there} is not writable; choose one that you may write to"
        )


def wants_root(dataset: Mapping[str, Any]) -> bool:
    """Whether it has no images but those that a person has."""
    root = target_signature(dataset["_target_"], "dataset._target_").arguments.get("root")
    return root is not None and root.required


def newest(config: Mapping[str, Any], given: str | None = None) -> str:
    """Of the runs here, the one that is named like the given one, or the last one that started."""
    folders = sorted(
        Path(config["paths"]["outputs"]).glob("*/*/run.json"), key=lambda p: p.parent.name
    )
    here = [str(path) for run in folders for path in (run.parent, run.parent.parent)]
    if given is not None and (near := nearest(given.rstrip("/"), dict.fromkeys(here))):
        return near
    return f"; the newest here is {folders[-1].parent}" if folders else ""
