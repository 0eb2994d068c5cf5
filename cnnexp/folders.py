"""Which folder a run is in. Imports no torch: a command that only reads runs answers at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.config.saved import check_not_several
from cnnexp.errors import InputError
from cnnexp.files import shown_path
from cnnexp.tracking.lookup import find_run_folder


def run_folder(config: Mapping[str, Any], key: str = "run") -> Path:
    """The folder that config[key] names: itself, the one of this name or whose name ends in this
    id, or that of the MLflow run with this id.
    """
    run, tracking_uri = config[key], config["tracking"].get("uri")
    folder = Path(run).expanduser()
    if folder.is_dir():
        check_not_several(folder, key)
        return folder.absolute()
    if folder.is_file():
        around = [one for one in folder.absolute().parents if (one / "run.json").exists()]
        whose = f": {key}={shown_path(around[0])}" if around else ""
        raise InputError(f"{key}={run}: is a file; name the folder of a run{whose}")
    outputs = Path(config["paths"]["outputs"])
    here = [*outputs.glob(f"*/{run}"), *outputs.glob(f"*/*_{run}")]
    if len(here) == 1:
        return here[0].absolute()
    if tracking_uri is None:
        raise InputError(
            f"{key}={run}: no such folder; with tracking=none a run is named by its folder"
        )
    return find_run_folder(run, tracking_uri, key)
