"""Which folder a run is in. Imports no torch: a command that only reads runs answers at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.config.arguments import to_type
from cnnexp.config.saved import check_not_several
from cnnexp.errors import DIVERGED, InputError
from cnnexp.files import shown_path
from cnnexp.runs import read_json
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


def check_run(folder: Path) -> dict[str, Any]:
    """Its run.json. Raises InputError where the run has no trained network."""
    info, place, files = read_json(folder / "run.json"), shown_path(folder), "<phase>/best.ckpt"
    if "classes" not in info:
        raise InputError(f"run={place}: the run ended before its network was built")
    classes, kinds = info["classes"], {"precision": str, "data": dict, "phases": dict}
    odd = [name for name, kind in kinds.items() if not isinstance(info.get(name), kind)]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        odd = ["classes", *odd]
    if odd:
        raise InputError(f"run={place}: its run.json has no {odd[0]} as cnnexp writes them")
    if any((folder / "checkpoints").glob("*/best.ckpt")):
        return info
    if info.get("status") == "FINISHED":
        raise InputError(
            f"run={place}: its checkpoints are gone (checkpoints/{files}); put them back, or train "
            f"it anew, to the same figures: {to_type('task=reproduce', f'run={place}')}"
        )
    problem = str(info.get("problem") or "").partition(": ")[2]
    if info.get("status") == "FAILED" and DIVERGED in problem:  # it would again
        raise InputError(f"run={place}: it has no checkpoint: {problem}, and begin it anew")
    raise InputError(
        f"run={place}: it has no checkpoint yet (checkpoints/{files}); train it on with: "
        f"{to_type(f'resume={place}')}"
    )
