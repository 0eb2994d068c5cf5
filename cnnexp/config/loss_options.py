"""What the loss of training has, and those of validation and test have not."""

from collections.abc import Mapping
from typing import Any

from cnnexp.errors import InputError

SOFTENS = ("label_smoothing", "mixup", "cutmix")  # its targets: they are less than sure
KEYS = (*SOFTENS, "class_weights")
OF_OURS = ("label_smoothing", "class_weights")  # a person's own loss has none of them


def loss_options(training: Mapping[str, Any]) -> list[str]:
    """Those that are on: `label_smoothing=0.1`; and a loss that is not ours, `loss=Focal`."""
    own = [f"loss={own_loss(training)}"] if own_loss(training) else []
    return [*own, *(f"{key}={training[key]}" for key in KEYS if training.get(key))]


def own_loss(training: Mapping[str, Any]) -> str:
    """`Focal`, of a loss that is not ours; else ""."""
    node = training.get("loss")
    target = node.get("_target_") if isinstance(node, Mapping) else ""
    return str(target or "").rpartition(".")[2]


def check_own_loss(training: Mapping[str, Any]) -> None:
    """Raises InputError for options that only our losses have."""
    for key in OF_OURS:
        if own_loss(training) and training.get(key):
            raise InputError(
                f"training.{key}={training[key]}: is of cross_entropy and bce; what "
                f"training.loss._target_={training['loss']['_target_']} wants, give it there"
            )
