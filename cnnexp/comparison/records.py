"""A finished run as a comparison sees it: its config and what run.json says, no more."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from cnnexp.config.groups import listed
from cnnexp.config.identity import PASSING
from cnnexp.config.saved import completed
from cnnexp.config.schema import DATASET_DEFAULTS
from cnnexp.errors import InputError, one_line
from cnnexp.files import shown_path
from cnnexp.recording import flat
from cnnexp.reporting.json_values import at, mapping, number
from cnnexp.runs import read_json

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was compiled
# Beside PASSING, what may differ between seeds of one experiment, or says where the images lie.
OF_A_SEED = ("seed", "run", "runs", "input", "format", "task", "visualization")
PLACES = ("dataset.root", "dataset.table", "dataset.download")
DEEPEST = 5  # runs that began from runs that began from runs …


@dataclass(frozen=True)
class Run:
    """config: as it ran; keys that came later have their defaults. info: of run.json.

    keys: flat, what makes it this experiment whatever its seed: `model.width` -> 16.
    """

    folder: Path
    config: dict[str, Any]
    info: dict[str, Any]
    keys: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.info.get("name") or self.config.get("name") or self.folder.parent.name)

    @property
    def seed(self) -> Any:
        """With the fold of a cross-validation, which is another draw of the same experiment."""
        seed, fold = self.config.get("seed"), at(self.config, "dataset", "fold")
        return seed if fold is None else f"{seed}, fold {fold}"

    @property
    def typed(self) -> set[str]:
        """Keys and config groups that its command line named."""
        lines = self.config.get("overrides") or []
        return {str(line).partition("=")[0].lstrip("+~") for line in lines}

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.info["classes"]]

    def metric(self, name: str) -> float | None:
        return number(at(self.info, "metrics", name))

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """A row per epoch of all phases."""
        phases = mapping(self.info.get("phases")).values()
        rows = [row for record in phases for row in (at(record, "history") or [])]
        return [mapping(row) for row in rows]

    @property
    def steps(self) -> int:
        """Of all phases; 0: run.json does not say."""
        phases = mapping(self.info.get("phases")).values()
        return int(sum(number(at(record, "steps")) or 0 for record in phases))

    @cached_property
    def best_validation(self) -> float | None:
        """Validation accuracy of the epoch whose weights were tested."""
        known = self.metric("best/val/accuracy")
        epoch = self.metric("best/epoch")
        rows = [
            number(row.get("val/accuracy")) for row in self.history if row.get("epoch") == epoch
        ]
        return known if known is not None else rows[-1] if rows else None


def read_run(folder: Path, config: Mapping[str, Any]) -> Run:
    """config: this command's, for keys that the run's is too old to have. Raises InputError."""
    info = read_json(folder / "run.json")
    saved = read_config(folder)
    if not isinstance(info, dict) or not isinstance(info.get("classes"), list):
        raise InputError(f"{folder / 'run.json'}: it names no classes; is this a run's folder?")
    return Run(folder, saved, info, identity(saved, info, config))


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    try:
        saved = yaml.load(path.read_text(encoding="utf-8"), LOADER)  # both are safe
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = one_line(error)
        raise InputError(f"{path} cannot be read ({problem}); is this a run's folder?") from None
    if not isinstance(saved, dict):
        raise InputError(f"{path} is not a config")
    return {str(key): value for key, value in saved.items()}


def identity(
    saved: Mapping[str, Any], info: Mapping[str, Any], config: Mapping[str, Any], depth: int = 0
) -> dict[str, Any]:
    """Flat config without what seeds of one experiment may differ in.

    The data counts by its content and not by its place; a run whose weights were the start counts
    by its own identity, for each seed may have begun from the same seed of another experiment.
    """
    whole = completed(saved, config)
    whole["dataset"] = {**DATASET_DEFAULTS, **mapping(whole.get("dataset"))}
    keys = flat({k: v for k, v in whole.items() if k not in (*PASSING, *OF_A_SEED)})
    keys = {key: value for key, value in keys.items() if key not in PLACES}
    if keys.get("trainer.max_epochs") is not None:  # it stands for those of all phases
        keys = {k: v for k, v in keys.items() if not re.fullmatch(r"phases\.[^.]+\.epochs", k)}
    # The digest holds the split: that of a fold is another one for each.
    kind = "digest" if keys.pop("dataset.fold", None) is None else "content"
    keys["data"] = str(at(info, "data", kind) or "")[:8]
    start = keys.get("init_from")
    if isinstance(start, str) and depth < DEEPEST:
        folder = Path(start).expanduser()
        try:
            own = identity(read_config(folder), read_json(folder / "run.json"), config, depth + 1)
        except InputError:
            return keys  # by its name, then
        keys |= {"init_from": own["name"]} | {f"init_from.{k}": v for k, v in own.items()}
    return keys


def check_classes(named: Mapping[Path, Sequence[str] | None]) -> None:
    """named: a run's folder -> its classes. Raises InputError where they are not the same."""
    first, known = next(iter(named.items()))
    for folder, own in named.items():
        if own is None or own != known:
            raise InputError(
                f"runs: the classes differ: {listed(own or ['none'])} in "
                f"{shown_path(folder)}; {listed(known or ['none'])} in {shown_path(first)}; give "
                "runs with the same"
            )


def digest_of(keys: Mapping[str, Any]) -> str:
    """Text that is the same for the same keys."""
    return json.dumps(keys, sort_keys=True, default=str)
