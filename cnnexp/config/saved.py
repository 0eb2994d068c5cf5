"""What a run's folder says of it, and what a command has typed."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override

from cnnexp.config.explain import parsed
from cnnexp.config.own_folder import named_folder
from cnnexp.errors import InputError, one_line
from cnnexp.files import config_dir_argv, digest, shown_path


def record(folder: Path) -> dict[str, Any]:
    """A run's run.json; {} where it cannot be read: later steps say why."""
    try:
        known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def made_with(folder: Path, error: InputError) -> str:
    """`; the run was made with --config-dir mine`, where a target of the run's is not known and
    this command names another folder or none.
    """
    mine = record(folder).get("config_dir")
    if "_target_=" not in str(error) or not isinstance(mine, str) or Path(mine) == named_folder():
        return ""
    return f"; the run was made with {' '.join(config_dir_argv(mine))}"


def check_not_several(folder: Path, key: str) -> None:
    """Raises InputError for a folder of runs, outputs/<name>: the newest is named."""
    if (folder / "jobs").is_dir() and not (folder / "run.json").exists():
        typed = f"task=compare 'runs=[{shown_path(folder)}]'"
        raise InputError(
            f"{key}={shown_path(folder)}: is a sweep of several runs; name the folder of one, or "
            f"compare them: {typed}"
        )
    inside = sorted(folder.glob("*/run.json"))
    if inside and not (folder / "run.json").exists():
        newest = shown_path(inside[-1].parent)
        one = f"'runs=[{newest},…]'" if key.startswith("runs") else f"{key}={newest}"
        raise InputError(
            f"{key}={shown_path(folder)}: holds {len(inside)} run{'s' * (len(inside) > 1)}; name "
            f"one: {one}"
        )


def saved_config(folder: Path, key: str = "run") -> dict[str, Any]:
    """A run's config.yaml. Raises InputError where `folder` is not that of a run."""
    check_not_several(folder, key)
    try:
        saved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        json.dumps(saved, default=str)  # ValueError where it holds itself, by YAML's aliases
    except FileNotFoundError:
        raise InputError(f"{key}={folder}: is not a run's folder: it has no config.yaml") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problem = one_line(error)
        raise InputError(
            f"{key}={folder}: is not a run's folder: its config.yaml cannot be read ({problem})"
        ) from None
    if not isinstance(saved, dict):
        raise InputError(f"{key}={folder}: its config.yaml is not a config")
    return saved


def edited(folder: Path, info: Mapping[str, Any]) -> str:
    """A line where a run's config.yaml is not as the run wrote it, else "". info: run.json's."""
    known, path = info.get("config_digest"), folder / "config.yaml"
    if known is None or digest(path) == known:
        return ""
    return f"{shown_path(path)} is not what the run began with: it was edited"


def completed(saved: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a run's config; keys that came after it have their defaults."""
    whole = {**config, **saved}
    if isinstance(saved.get("training"), Mapping):
        whole["training"] = {**config["training"], **saved["training"]}
    return copy.deepcopy({str(key): value for key, value in whole.items() if key != "hydra"})


def typed(overrides: Sequence[str]) -> list[Override]:
    """All but Hydra's own; a group's package (`model@x`) is none of ours."""
    lines = parsed(overrides)
    return [line for line in lines if not re.match(r"hydra\b", line.key_or_group)]
