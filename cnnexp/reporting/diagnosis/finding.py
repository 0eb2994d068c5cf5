"""Something that a diagnosis noticed, and what to try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from cnnexp.config.loss_options import OF_OURS, own_loss

# Keys that are off or on: who has one on needn't be told of it.
SWITCHES = (
    "augmentation",
    "training.mixup",
    "training.label_smoothing",
    "training.ema",
    "training.class_weights",
    "training.early_stopping",
)


@dataclass(frozen=True)
class Finding:
    """title: a few words. text: what was measured, and what it means. advice: what to do.

    overrides: what to put on the command line for that; keys of the config.
    """

    title: str
    text: str
    advice: str
    overrides: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """For a terminal."""
        return " ".join([f"{self.title}: {self.text} {self.advice}", *self.overrides])


def narrowed(finding: Finding, config: Mapping[str, Any]) -> Finding:
    """With the overrides that make sense for this config; where none is left, the words alone."""
    left = untried(finding.overrides, config)
    advice = finding.advice if left else finding.advice.rstrip(":.") + "."
    return replace(finding, overrides=left, advice=advice)


def untried(overrides: Sequence[str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Those whose key the config has, with another value, and has not switched on already; all
    without a config.
    """
    own = own_loss(config.get("training") or {})
    refuses = {f"training.{name}" for name in OF_OURS} if own else set()
    left = []
    for override in overrides:
        key = override.partition("=")[0]
        value: Any = config
        for part in key.split("."):
            value = value.get(part, KeyError) if isinstance(value, Mapping) else KeyError
        if isinstance(value, Mapping):  # a group: off is the option that does nothing
            value = str(value.get("_target_")).rpartition(".")[2]
        known = value is not KeyError or key == "debug"  # which a config does not keep
        on = key in SWITCHES and value not in (None, 0, "none")
        on = on or value == yaml.safe_load(override.partition("=")[2])
        if not config or (known and not on and key not in refuses):
            left.append(override)
    return tuple(left)
