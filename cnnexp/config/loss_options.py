"""What the loss of training has, and those of validation and test have not."""

from collections.abc import Mapping
from typing import Any

SOFTENS = ("label_smoothing", "mixup", "cutmix")  # its targets: they are less than sure
KEYS = (*SOFTENS, "class_weights")


def loss_options(training: Mapping[str, Any]) -> list[str]:
    """Those that are on: `label_smoothing=0.1`."""
    return [f"{key}={training[key]}" for key in KEYS if training.get(key)]
