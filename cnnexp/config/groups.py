"""Config groups as folders of YAML files: where they are, their options, one line about each.

Read as text, so that --help and error messages need neither Hydra nor a YAML parser.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

Groups = dict[str, dict[str, str]]

# Settings as other programs call them, or in another group.
OFTEN_MEANT = {
    "epochs": "trainer.max_epochs",
    "max_epochs": "trainer.max_epochs",
    "batch": "dataset.batch_size",
    "batch_size": "dataset.batch_size",
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "data": "dataset.root",
    "device": "trainer.accelerator",
    "gpus": "trainer.devices",
    "default": "defaults",
    **{
        key: f"training.{key}"
        for key in ("early_stopping", "label_smoothing", "mixup", "cutmix", "ema", "class_weights")
    },
}


def config_folder() -> Path:
    """The product's own configs: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def read_groups(folders: Iterable[Path]) -> Groups:
    """group -> option -> its description; the first folder that has an option describes it."""
    groups: Groups = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            group = path.parent.relative_to(folder).as_posix()
            if group != ".":
                groups.setdefault(group, {}).setdefault(path.stem, description(path))
    return groups


def description(path: Path) -> str:
    """The first comment line that is no directive such as `# @package _global_`; "" without one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith("#"):
                return ""
            text = line.lstrip("# ").strip()
            if text and not text.startswith("@package"):
                return text
    return ""


def default_groups(folder: Path) -> tuple[str, ...]:
    """Groups that the primary config's defaults list names: the ones that need no `+`."""
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    lines = re.match(r"(?:#.*\n|\s*\n)*defaults:\n((?:[ \t-].*\n|\s*\n|#.*\n)*)", text)
    found = re.findall(r"^\s*- (?:optional )?/?([\w/]+)\s*:", lines[1] if lines else "", re.M)
    return tuple(found)


def listed(names: Sequence[str], most: int = 12) -> str:
    """ "a, b, c", abbreviated where there are more than `most`."""
    some = list(names)[:most]
    return ", ".join(some) + (f", … ({len(names)} in all)" if len(names) > most else "")
