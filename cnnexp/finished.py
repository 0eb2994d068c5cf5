"""A finished run, from its folder alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from cnnexp.errors import InputError
from cnnexp.experiment import build_network
from cnnexp.runs import read_json
from cnnexp.tracking.store import find_run_folder
from cnnexp.training.fit import load_network


@dataclass(frozen=True)
class FinishedRun:
    """folder: of the run. config: as it ran, with what this command says about data and pictures.

    network: with the best checkpoint's weights, in eval mode.
    """

    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]
    classes: tuple[str, ...]
    network: nn.Sequential


def run_folder(run: str, tracking_uri: str | None) -> Path:
    """The folder that `run` names: itself, or that of the MLflow run with this id."""
    folder = Path(run).expanduser()
    if folder.is_dir():
        return folder.absolute()
    if tracking_uri is None:
        raise InputError(
            f"run={run}: no such folder; with tracking=none a run is named by its folder"
        )
    return find_run_folder(run, tracking_uri)


def load_run(config: Mapping[str, Any]) -> FinishedRun:
    """The run that `run=` names; what this command line says of data, pictures and
    the device wins over the run's own."""
    folder = run_folder(config["run"], config["tracking"].get("uri"))
    info = read_json(folder / "run.json")
    if "classes" not in info:
        raise InputError(f"run={folder}: the run ended before its network was built")
    try:
        own = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"run={folder}: config.yaml cannot be read ({error})") from None
    # What belongs to the machine and to this command comes from this command.
    merged = {**own, **{key: config[key] for key in ("paths", "tracking", "run", "input", "task")}}
    for line in config["overrides"]:
        key = line.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] in ("dataset", "visualization", "trainer"):
            _copy(config, merged, key.split("."))
    network = build_network(merged, len(info["classes"]))
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if not checkpoint.is_file():
        raise InputError(f"run={folder}: it has no checkpoint yet (checkpoints/best.ckpt)")
    try:
        load_network(network, checkpoint)
    except Exception as error:
        line = str(error).splitlines()[0]
        raise InputError(f"{checkpoint} cannot be loaded: {line}") from None
    network.to(memory_format=torch.channels_last)
    return FinishedRun(folder, merged, info, tuple(info["classes"]), network.eval())


def _copy(source: Mapping[str, Any], target: dict[str, Any], key: list[str]) -> None:
    """target[a][b] = source[a][b] for the key [a, b]."""
    for part in key[:-1]:
        source, target = source[part], target.setdefault(part, {})
    target[key[-1]] = source[key[-1]]
