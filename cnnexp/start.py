"""Where a run starts: in a new folder or where it was; with new weights or another run's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cnnexp.ancestry import ancestors, check_unseen, write_before
from cnnexp.augmenting import try_augmentation
from cnnexp.config.identity import config_hash
from cnnexp.config.own_folder import named_folder
from cnnexp.config.resume import AUTO
from cnnexp.config.saved import edited, record
from cnnexp.data.image_set import ImageSet
from cnnexp.errors import InputError
from cnnexp.experiment import (
    build_network,
    device_of,
    fit_to_images,
    load_images,
    mark_fitted,
    precision_of,
    without_weights,
)
from cnnexp.files import shown_path
from cnnexp.folders import run_folder
from cnnexp.loss import try_loss
from cnnexp.own_code import changed_note, own_code
from cnnexp.plan import model_name, plan_phases
from cnnexp.processes import here_of
from cnnexp.recording import write_data_files, write_run_files
from cnnexp.rehearsal import check_learns
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, create_run_folder, now, read_json
from cnnexp.sources import find_images
from cnnexp.tracking.environment import capture
from cnnexp.tracking.metrics_file import check_metrics
from cnnexp.training.checkpoints import (
    best_checkpoint,
    load_network,
    logged_bytes,
    network_state,
    newest_checkpoint,
    start_from,
)
from cnnexp.training.phases import Phase

Config = Mapping[str, Any]
EACH_COMMAND = ("command", "folder", "usable_cores", "memory_gib")  # of an environment


@dataclass(frozen=True)
class Begun:
    """A run whose parts fit together, in its folder. info: run.json's; filled as the run goes."""

    network: nn.Sequential
    phases: list[Phase]
    images: ImageSet
    folder: Path
    info: dict[str, Any]


def title(config: Config) -> str:
    """Which run that is, and that it is a new one where an earlier one was looked for."""
    sought = any(line.lstrip("+") == f"resume={AUTO}" for line in config.get("overrides", ()))
    place = shown_path(Path(config["paths"]["outputs"]) / config["name"])
    anew = sought and config["resume"] is None
    none = f"; {place} holds no run of this very config: a new one begins" if anew else ""
    return f"{config['name']}, seed {config['seed']}{none}"


def begin(config: Config, journal: Journal) -> tuple[nn.Sequential, list[Phase], ImageSet]:
    """Network, plan and images, which are known to fit."""
    source = find_images(config)
    network = start_network(config, len(source.classes), journal)
    phases = plan_phases(config, network)
    images = load_images(config, source)
    fit_to_images(network, images)
    try_loss(config["training"], len(source.classes))
    for line in (check_unseen(config, images), try_augmentation(config, images)):
        if line:
            journal.topic("note", line)
    check_parts(config, len(images.split["train"]))
    return network, phases, images


def check_parts(config: Config, images: int) -> None:
    """Each process gets two images of every batch: batch norm cannot train on one."""
    size, processes = config["dataset"]["batch_size"], here_of(config).size
    smallest = images // -(-images // size)
    if processes > 1 and smallest < 2 * processes:
        raise InputError(
            f"dataset.batch_size={size}: {smallest} images, the smallest batch, are too few for "
            f"{processes} processes: it is parted among them, and each needs 2"
        )


def start_network(config: Config, classes: int, journal: Journal) -> nn.Sequential:
    """The network as it is before the first step that this command takes."""
    size = config["dataset"]["image_size"]
    phases = list(config["phases"])
    if config["resume"] is not None:
        checkpoint = newest_checkpoint(Path(config["resume"]), phases)
        if checkpoint is not None:
            network = build_network(without_weights(config), classes)
            load_network(network, checkpoint)
            mark_fitted(network)
            return network
    if config["init_from"] is None:
        network = build_network(config, classes)
        check_learns(network, size, precision_of(config), device_of(config).type)
        return network
    folder = run_folder(config, "init_from")
    checkpoint = best_checkpoint(folder, list(read_json(folder / "run.json").get("phases", {})))
    if checkpoint is None:
        raise InputError(f"init_from={folder}: it has no checkpoint yet")
    network = build_network(without_weights(config), classes)
    check_learns(network, size, precision_of(config), device_of(config).type)
    whole = start_from(network, network_state(checkpoint), f"init_from={config['init_from']}")
    mark_fitted(network)
    head = "" if whole else "; the head, for other classes, is new"
    journal.topic("weights", f"from {folder}{head}")
    return network


def drawing_seed(config: Config, info: Mapping[str, Any]) -> int:
    """Of the images' order and of what is drawn in a step.

    The run's own; where it goes on from weights of a run, another one: that run's draws again, and
    the network would meet the batches and dropout masks that it has fitted already.
    """
    seed, ancestors = config["seed"], info.get("ancestors", 0)
    return (
        seed
        if not ancestors
        else int(np.random.SeedSequence([seed, ancestors]).generate_state(1)[0])
    )


def own_folders() -> list[Path]:
    """Where a person's own models and datasets are."""
    folder = named_folder()
    return [folder] if folder else []


def new_run(config: Config, images: ImageSet) -> tuple[Path, dict[str, Any]]:
    """A folder of its own, or its job's, and what run.json says so far."""
    info: dict[str, Any] = {
        "name": config["name"],
        "status": "RUNNING",
        "started": now(),
        "classes": images.classes,
        "data": {
            "name": images.name,
            "digest": images.digest,
            "content": images.content,
            "listing": images.listing,
        },
        "model": model_name(config),
        "config_dir": str(named_folder() or "") or None,
        "precision": precision_of(config),
        "environment": capture(own_folders(), own_code(config)),
        "ancestors": ancestors(config),
        "config_hash": config_hash(config),
        "phases": {},
    }
    if "reproduces" in config:  # what task=reproduce repeats
        info["reproduces"] = config["reproduces"]

    def fill(folder: Path) -> None:
        write_before(folder, config, images)
        write_run_files(folder, config, images, info)

    if "job" in config:
        folder = config["job"].folder
        fill(folder)
    else:
        folder = create_run_folder(Path(config["paths"]["outputs"]), config["name"], fill)
    return folder, info


def finished_before(config: Mapping[str, Any]) -> Result | None:
    """What resume=auto has found, where nothing is left to do: a job may be queued once more."""
    info = {} if config["resume"] is None else record(Path(config["resume"]))
    if info.get("status") != "FINISHED":
        return None
    return Result(info["metrics"], Path(config["resume"]))


def interrupted_run(config: Config, images: ImageSet, journal: Journal) -> dict[str, Any]:
    """run.json of the run that `resume` names, which is this process's (`owned`): another may have
    ended it a moment ago. Raises InputError where it cannot go on.
    """
    folder = Path(config["resume"])
    info = read_json(folder / "run.json")
    if info.get("status") == "FINISHED":
        raise InputError(
            f"resume={config['resume']}: the run is finished; test it again with "
            f"task=evaluate run={config['resume']}"
        )
    if info["data"]["digest"] != images.digest:
        raise InputError(
            f"resume={config['resume']}: the images are not those that the run began with; "
            "point dataset.root at them"
        )
    for line in (edited(folder, info), changed_note(info)):
        if line:
            journal.topic("note", line)
    began, precision = info["precision"], precision_of(config)
    if precision != began:
        journal.topic(
            "note",
            f"it began in {began}, which this device has not: it goes on in {precision}",
        )
        info["precision"] = precision
    check_metrics(folder, logged_bytes(newest_checkpoint(folder, list(config["phases"]))))
    write_data_files(folder, images)  # the same as they were
    before, there = info.get("environment"), capture(own_folders(), own_code(config))
    if before and any(before.get(key) != there[key] for key in there if key not in EACH_COMMAND):
        info["earlier_environments"] = [*info.get("earlier_environments", []), before]
    return {**info, "status": "RUNNING", "environment": there}
