"""task=train: train, test once with the best checkpoint, draw, log; read it from top to bottom."""

import hashlib
import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cnnexp.answers import (
    Tested,
    answer,
    check_pictures,
    draw,
    save_predictions,
    verdict,
)
from cnnexp.config.instantiate import call
from cnnexp.data.image_set import ImageSet
from cnnexp.data.split import write_splits
from cnnexp.data.summary import summary, write_left_out
from cnnexp.experiment import (
    build_network,
    device_of,
    find_images,
    fit_normalization,
    load_images,
    precision_of,
    train_network,
)
from cnnexp.files import whole_file
from cnnexp.models.anatomy import anatomy
from cnnexp.reporting.figures import learning_curves, save_figure
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, create_run_folder, write_json
from cnnexp.tasks.anatomy import write_anatomy
from cnnexp.tracking.environment import as_tags, capture, mask
from cnnexp.tracking.logger import RunLogger
from cnnexp.tracking.none import NullTracker, ending
from cnnexp.training.fit import Fitted, load_network


def train(config: Mapping[str, Any]) -> Result:
    """Whole or not at all: nothing is written before data, network and config are known to fit."""
    with Journal() as journal:
        journal.topic("run", f"{config['name']}, seed {config['seed']}")
        precision = precision_of(config)
        source = find_images(config)
        network = build_network(config, len(source.classes))
        images = load_images(config, source)
        fit_normalization(network, images)
        for number, line in enumerate(summary(images)):
            journal.topic("" if number else "data", line)
        check_pictures(config, network, images)

        folder = create_run_folder(Path(config["paths"]["outputs"]), config["name"])
        journal.open(folder)
        environment = capture()
        info: dict[str, Any] = {
            "name": config["name"],
            "status": "RUNNING",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "classes": images.classes,
            "data": {"name": images.name, "digest": images.digest},
            "precision": precision,
            "environment": environment,
        }
        write_run_files(folder, config, images, info)
        try:
            with open_tracker(config, folder, environment) as tracker:
                info["mlflow_run_id"] = tracker.run_id
                write_json(folder / "run.json", info)
                logger = RunLogger(folder, tracker)
                tracker.log_params(flat(config))
                tracker.log_dataset(images, str(config["dataset"].get("root") or images.name))
                log_files(tracker, folder, "config.yaml", "splits.csv", "left_out.csv")

                rows = anatomy(network, config["dataset"]["image_size"])
                write_anatomy(folder / "anatomy.csv", rows)
                parameters = sum(row.parameters for row in rows)
                products = sum(row.multiply_adds for row in rows)
                journal.topic(
                    "network",
                    f"{target(config['model'])}: {parameters:,} parameters, "
                    f"{products / 1e6:,.1f} million multiply-adds per image",
                )
                journal.topic("training", plan(config, precision))
                fitted = train_network(
                    config, network, images, folder=folder, logger=logger, journal=journal
                )

                load_network(network, fitted.best)
                tested = answer(config, network, images, precision=precision)
                save_predictions(folder / "predictions.csv", tested, images)
                metrics = figures_of_merit(fitted, tested, config["training"]["monitor"]) | {
                    "parameters": float(parameters),
                    "multiply_adds": float(products),
                }
                logger.log_metrics(metrics, step=len(fitted.history) * fitted.steps_per_epoch)
                logger.flush()
                info["metrics"] = metrics
                write_json(folder / "run.json", info)
                journal.topic("test", f"{verdict(tested)}, weights of epoch {fitted.best_epoch}")

                figures = folder / "figures"
                curves = learning_curves(fitted.history, monitor=config["training"]["monitor"])
                save_figure(curves, figures / "learning_curves.png")
                draw(
                    config, network, images, tested, figures, lambda s: journal.topic("picture", s)
                )
                network.cpu()
                pixels = images.images[images.split["test"][:2]]  # (2, S, S, 3)
                tracker.log_model(
                    network, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), images.classes
                )
                info["status"] = "FINISHED"
                write_json(folder / "run.json", info)
                for topic, text in last_words(folder, tracker):
                    journal.topic(topic, text)
                tracker.log_folder(figures, "figures")
                log_files(tracker, folder, "run.json", "anatomy.csv", "predictions.csv",
                          "metrics.csv", "log.txt")  # fmt: skip
        except BaseException as problem:
            info |= {"status": ending(problem), "problem": f"{type(problem).__name__}: {problem}"}
            write_json(folder / "run.json", info)
            raise
    return Result(metrics, folder, network)


def open_tracker(
    config: Mapping[str, Any], folder: Path, environment: Mapping[str, Any]
) -> NullTracker:
    """The run in MLflow, or nowhere; found again by its name, seed, folder, config and code."""
    own = {key: config[key] for key in config if key not in ("paths", "tracking", "overrides")}
    text = json.dumps(own, sort_keys=True, default=str)
    return call(
        config["tracking"],
        experiment=config["name"],
        run_name=f"{config['name']}-seed{config['seed']}-{folder.name[-6:]}",
        folder=folder,
        tags=as_tags(dict(environment))
        | {
            "seed": config["seed"],
            "config_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        },
    )


def log_files(tracker: NullTracker, folder: Path, *names: str) -> None:
    for name in names:
        tracker.log_file(folder / name)


def write_run_files(
    folder: Path, config: Mapping[str, Any], images: ImageSet, info: Mapping[str, Any]
) -> None:
    """What a run is made of, before it starts; its data is found again from any folder."""
    root = config["dataset"].get("root")
    if root is not None:
        place = str(Path(root).expanduser().absolute())
        config = {**config, "dataset": {**config["dataset"], "root": place}}
    with whole_file(folder / "config.yaml") as file:
        file.write(mask(yaml.safe_dump(dict(config), sort_keys=False)))
    write_json(folder / "run.json", info)
    write_splits(folder / "splits.csv", images)
    write_left_out(folder / "left_out.csv", images.left_out)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    values: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = value
    return values


def target(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rsplit(".", 1)[-1]


def plan(config: Mapping[str, Any], precision: str) -> str:
    options = config["trainer"]
    return (
        f"{options['max_epochs']} epochs, batches of {config['dataset']['batch_size']}, "
        f"{target(config['optimizer'])} at {config['optimizer']['lr']:g}, "
        f"{target(config['scheduler'])}, augmentation {target(config['augmentation'])}, "
        f"{precision} on {device_of(config)}"
    )


def figures_of_merit(fitted: Fitted, tested: Tested, monitor: str) -> dict[str, float]:
    """The run's figures: the test set's, the best validation's, and what training took."""
    best = fitted.history[fitted.best_epoch - 1]
    return {
        **tested.metrics,
        "test/accuracy_low": tested.interval[0],
        "test/accuracy_high": tested.interval[1],
        f"best/{monitor}": best[monitor],
        "best/epoch": float(fitted.best_epoch),
        "train_s": fitted.train_s,
        "images_per_s": fitted.images_per_s,
    }


def last_words(folder: Path, tracker: NullTracker) -> list[tuple[str, str]]:
    """Where everything is, and what to type next."""
    try:
        shown = folder.relative_to(Path.cwd())
    except ValueError:
        shown = folder
    run = shlex.quote(str(shown))
    lines = [("saved", f"{shown}  (figures/, predictions.csv, metrics.csv)")]
    if tracker.hint:
        lines.append(("compare", tracker.hint))
    return [
        *lines,
        ("next", f"python -m cnnexp task=predict run={run} input=<file, folder or glob>"),
    ]
