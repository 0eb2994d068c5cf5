"""What to type to see a store, or to fill it."""

import json
import shlex
from contextlib import suppress
from pathlib import Path

from cnnexp.files import our_command, shown_path
from cnnexp.tracking.environment import mask
from cnnexp.tracking.store import database


def hint(uri: str, experiment_id: str, run_id: str) -> str:
    """The command or the address that shows the run."""
    if database(uri) is None:
        return f"{mask(uri)}/#/experiments/{experiment_id}/runs/{run_id}"
    return shows(uri)


def shows(uri: str) -> str:
    """The command or the address that shows the store."""
    path = database(uri)
    if path is None:
        return mask(uri)
    # A bare `mlflow ui` opens ./mlflow.db, unless ./mlruns has runs from before MLflow 3.7.
    bare = path == Path("mlflow.db").absolute() and not any(Path("mlruns").glob("[0-9]*/meta.yaml"))
    return "mlflow ui" if bare else f"mlflow ui --backend-store-uri '{uri}'"


def sync_command(uri: str, folder: Path) -> str:
    """What brings the run into the store at `uri`, with the code that made it."""
    own_code = None
    with suppress(OSError, ValueError, AttributeError):
        own_code = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("config_dir")
    words = ["task=sync", f"runs=[{shown_path(folder)}]", f"tracking.uri={mask(uri)}"]
    return shlex.join([*our_command(own_code), *words])
