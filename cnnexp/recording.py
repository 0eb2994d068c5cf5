"""What a run is made of, kept: in its folder, and with the tracker."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import harmonic_mean
from typing import TYPE_CHECKING, Any

import yaml

from cnnexp.config.identity import config_hash
from cnnexp.config.instantiate import call
from cnnexp.data.image_set import ImageSet
from cnnexp.data.split import write_splits
from cnnexp.data.summary import write_left_out
from cnnexp.datasets.archive import list_files
from cnnexp.datasets.table_file import table_path
from cnnexp.files import digest, whole_file
from cnnexp.runs import write_json
from cnnexp.tracking.environment import as_tags, mask
from cnnexp.tracking.none import NullTracker
from cnnexp.tracking.store import UnreachableError, ensure_store

if TYPE_CHECKING:  # a command that only reads runs need not wait for torch
    from cnnexp.answers import Tested

# Files of a run's folder that MLflow gets, too, beside figures/: when it begins, and at its end.
BEGUN = ("config.yaml", "splits.csv", "left_out.csv")
ENDED = ("report.html", "anatomy.csv", "metrics.csv", "log.txt", "predictions.csv")
RUN = "run.json"

Records = dict[str, dict[str, Any]]  # phase -> what is known of it, as run.json has it


def check_store(config: Mapping[str, Any]) -> None:
    """Raises InputError, before anything of the run is written, where it could not be tracked."""
    node = config["tracking"]
    if node.get("uri") is None:
        return
    try:
        ensure_store(node["uri"])
    except UnreachableError:
        if node.get("if_unreachable") != "keep":
            raise


def open_tracker(config: Mapping[str, Any], folder: Path, info: Mapping[str, Any]) -> NullTracker:
    """The run in MLflow, or nowhere; found again by its name, seed, folder, config and code.

    info: run.json's; where it has an MLflow run id, the run goes on there.
    """
    job = config.get("job")  # of a sweep
    label = (job and job.label) or f"seed={config['seed']}"
    return call(
        config["tracking"],
        experiment=config["name"],
        run_name=f"{label} {folder.name[-6:]}",
        run_id=info.get("mlflow_run_id"),
        folder=folder,
        tags=tags_of(config, info) | dict(job.tags if job else {}),
    )


def tags_of(config: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """What runs are searched by."""
    own = {"seed": config["seed"], "config_hash": config_hash(config)}
    return as_tags(dict(info["environment"])) | own


def own_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is logged as parameters. What was typed is a tag: as a parameter it would differ between
    all runs. Keys of other tasks are null.
    """
    given = lasting(config).items()
    return {key: value for key, value in given if key != "overrides" and value is not None}


def log_data(
    tracker: NullTracker,
    config: Mapping[str, Any],
    info: Mapping[str, Any],
    counts: Mapping[str, int],
) -> None:
    """The images as inputs of the run. info: run.json's. counts: split -> its images."""
    size, data = config["dataset"]["image_size"], info["data"]
    shape = {"height": size, "width": size, "classes": len(info.get("classes", ()))}
    source = str(config["dataset"].get("root") or data["name"])
    tracker.log_dataset(data["name"], data["digest"], counts, shape, source)


def log_files(tracker: NullTracker, folder: Path, names: Sequence[str]) -> None:
    """Those that are there: a run that is not tested has no predictions."""
    for name in names:
        if (folder / name).is_file():
            tracker.log_file(folder / name)


def write_run_files(
    folder: Path, config: Mapping[str, Any], images: ImageSet, info: dict[str, Any]
) -> None:
    """What a run is made of, before it starts; its data is found again from any folder."""
    config = {**config, "dataset": {**config["dataset"], **places(config["dataset"])}}
    with whole_file(folder / "config.yaml") as file:
        file.write(mask(yaml.safe_dump(lasting(config), sort_keys=False)))
    write_data_files(folder, images)
    info["config_digest"] = digest(folder / "config.yaml")
    write_json(folder / RUN, info)  # last: with it the run has begun


def places(dataset: Mapping[str, Any]) -> dict[str, str]:
    """Where images, and a table of them, are, named so that they are found from any folder: the
    table from the images, where it lies there, so that both can be moved.
    """
    root, table = dataset.get("root"), dataset.get("table")
    if root is None:
        return {}
    place = Path(root).expanduser().absolute()
    found = {"root": str(place)}
    if isinstance(table, str):
        names = list_files(place, "").names if zipfile.is_zipfile(place) else ()
        path = table_path(place, names, table)
        if path is not None and path.is_file():
            path = path.absolute()
            found["table"] = str(path.relative_to(place) if path.is_relative_to(place) else path)
    return found


def write_data_files(folder: Path, images: ImageSet) -> None:
    """Which images are where. A run that goes on writes the same again, should they be gone."""
    write_splits(folder / "splits.csv", images)
    write_left_out(folder / "left_out.csv", images.left_out)


def lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    """All but what a sweep, or task=reproduce, has told this one process."""
    return {key: value for key, value in config.items() if key not in ("job", "reproduces")}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = value
    return values


def figures_of_merit(records: Records, tested: "Tested | None") -> dict[str, float]:
    """The run's figures: the test set's after each phase, those of the validation images in the
    epoch whose weights were kept, what it took.
    """
    test: dict[str, float] = {}
    if tested is not None:
        low, high = tested.interval
        test = {**tested.metrics, "test/accuracy_low": low, "test/accuracy_high": high}
    last = list(records.values())[-1]
    after = {
        f"{phase}/{name}": record["test"][name]
        for phase, record in records.items()
        for name in ("test/accuracy", "test/loss")
        if len(records) > 1 and "test" in record
    }
    kept = next(row for row in last["history"] if row["epoch"] == last["best_epoch"])
    return {
        **after,
        **test,
        **{f"best/{name}": value for name, value in kept.items() if name.startswith("val/")},
        "best/epoch": float(last["best_epoch"]),
        "train_s": sum(record["train_s"] for record in records.values()),
        # An epoch has as many images as another: of all of them together.
        "images_per_s": harmonic_mean(
            row["images_per_s"] for record in records.values() for row in record["history"]
        ),
    }
