"""task=reproduce: run a finished run again, from its folder, and see whether the same comes out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.comparison.difference import code_section, data_section, environment_section
from cnnexp.comparison.records import read_run
from cnnexp.comparison.reproduction import compare_parts
from cnnexp.config.arguments import own_argv, to_type
from cnnexp.config.rerun import rerun
from cnnexp.config.saved import saved_config
from cnnexp.errors import InputError
from cnnexp.experiment import build_network, load_images, without_weights
from cnnexp.files import shown_path
from cnnexp.folders import run_folder
from cnnexp.processes import place, several, start
from cnnexp.reporting.journal import Journal
from cnnexp.runs import Result, read_json
from cnnexp.sources import find_images
from cnnexp.tasks.diff import section_lines
from cnnexp.tasks.train import train
from cnnexp.tracking.metrics_file import read_metrics
from cnnexp.training.checkpoints import network_state, start_from


def reproduce(config: Mapping[str, Any]) -> Result:
    """The new run is one like any other, in a folder of its own; its run.json names the one that it
    reproduces. Exit code 1 where it differs.
    """
    folder = run_folder(config)
    info, saved = read_json(folder / "run.json"), saved_config(folder)
    if info.get("status") != "FINISHED":
        raise InputError(
            f"run={folder}: it is not finished; go on with: "
            + to_type(f"resume={shown_path(folder)}")
        )
    read_metrics(folder)  # what is damaged is said before anything is trained
    merged = rerun(saved, config, config["overrides"])
    task = {"_target_": "cnnexp.tasks.train.train", "name": "train"}
    own = {"task": task, "run": None, "overrides": saved.get("overrides", [])}
    same = {**merged, **own, "reproduces": folder.name}
    check_can_be_same(folder, info, same)
    if several(same) and place(same) is None:
        return Result(exit_code=start(same, [*own_argv(), *config["overrides"]]))
    result = train(same)
    if result is None or result.folder is None:  # of several processes the first one compares
        return Result()
    before, again = (read_run(one, config) for one in (folder, result.folder))
    parts = compare_parts(folder, result.folder, list(info["phases"]), info["classes"])
    differing = [part for part in parts if part.apart]
    with Journal() as journal:
        journal.say()
        journal.topic("again", f"{shown_path(folder)}, in {shown_path(result.folder)}")
        for part in differing:
            journal.topic("differs", f"{part.name}: {part.apart}")
        if equal := [f"{part.count:,} {part.name}" for part in parts if not part.apart]:
            journal.topic("the same", f"{', '.join(equal)}, to the bit")
        if differing:
            for compare in (code_section, data_section, environment_section):
                for line in section_lines(compare(before, again)):
                    journal.say(line)
    metrics = {f"difference/{part.name}": part.difference for part in parts}
    return Result(metrics, result.folder, result.network, exit_code=1 if differing else 0)


def check_can_be_same(folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises InputError, before anything is trained, for other images or another network."""
    name = f"run={shown_path(folder)}"
    images = load_images(config, find_images(config))
    if info["data"]["digest"] != images.digest:
        raise InputError(
            f"{name}: the images are not those that it was trained on; point dataset.root at them"
        )
    for phase in info["phases"]:
        best = folder / "checkpoints" / phase / "best.ckpt"
        if not best.is_file():
            raise InputError(f"{name}: {shown_path(best)}, to compare with, is not there any more")
    network = build_network(without_weights(config), len(images.classes))
    if not start_from(network, network_state(best), name):
        raise InputError(f"{name}: its network is another one: the head is of another shape")
