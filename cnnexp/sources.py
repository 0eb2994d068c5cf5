"""A run's images: where they are. Nothing here imports torch: what is missing is told at once."""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnexp.config.instantiate import call, resolve
from cnnexp.config.places import LOADS, LOADS_NETWORK
from cnnexp.config.schema import REFINED
from cnnexp.data.check_source import check_source
from cnnexp.datasets.source import Source
from cnnexp.errors import InputError
from cnnexp.folders import check_run, run_folder

Config = Mapping[str, Any]

_found: dict[str, Source] = {}  # by `look_ahead`, for the task that follows


def look_ahead(config: Config) -> None:
    """Before the seconds that imports take. Only where a place is named, which may be wrong; not in
    a person's own code, which may want those imports itself.
    """
    options, run = config["dataset"], config["run"]
    _found.clear()
    if run is not None and config["task"]["name"] in LOADS_NETWORK and Path(run).is_dir():
        check_run(run_folder(config))
    if options.get("root") is None or not options["_target_"].startswith("cnnexp."):
        return
    if config["task"]["name"] in LOADS and config["resume"] is None:
        _found[_key(config)] = find_images(config)


def _key(config: Config) -> str:
    return json.dumps([config["dataset"], config["paths"]], sort_keys=True, default=str)


def find_images(config: Config, download: bool = True) -> Source:
    """Where the images are; nothing is decoded yet. download: fetch them where that is needed."""
    known = _found.pop(_key(config), None)
    if known is not None:
        return known
    options = config["dataset"]
    accepted = inspect.signature(resolve(options["_target_"])).parameters
    any_key = any(kind.kind is inspect.Parameter.VAR_KEYWORD for kind in accepted.values())
    own = {
        key: value
        for key, value in options.items()
        if key in accepted or key == "_target_" or (any_key and key not in REFINED["dataset"])
    }
    injected: dict[str, Any] = {"cache": cache_of(config)} if "cache" in accepted else {}
    if "download" in accepted and not download:
        injected["download"] = False
    source = call(own, "dataset", **injected)
    if not isinstance(source, Source):
        raise InputError(
            f"dataset._target_={options['_target_']}: gives a {type(source).__name__}; it must "
            "give a cnnexp.datasets.source.Source"
        )
    check_source(source)
    check_apart(config, source.classes)
    return source


def check_apart(config: Config, classes: Sequence[str]) -> None:
    """The runs' folder must not become a class of its own: `dataset.root=.` the second time."""
    given, outputs = config["dataset"].get("root"), Path(config["paths"]["outputs"]).expanduser()
    if given is None or "table" in config["dataset"]:  # there rows are images, and not folders
        return
    root = Path(given).expanduser().resolve()
    below = outputs.resolve().is_relative_to(root)
    if below and any((root / name).is_dir() for name in classes):
        raise InputError(
            f"dataset.root={given}: the runs' folder (paths.outputs={outputs}) lies in it, where "
            "folders are classes; put the class folders into a folder of their own"
        )


def cache_of(config: Config) -> Path:
    return Path(config["paths"]["cache"]).expanduser().absolute()
