"""The configured loss, built and tried: what no training bears is said before it begins."""

from collections.abc import Mapping
from typing import Any

import torch

from cnnexp.config.instantiate import call
from cnnexp.errors import InputError, first_line
from cnnexp.training.loss import Loss, OwnLoss, balanced_weights


def build_loss(training: Mapping[str, Any], labels: torch.Tensor, classes: int) -> Loss | OwnLoss:
    """labels: (N,) int64, of the training images."""
    name = training["loss"]
    if isinstance(name, Mapping):
        return OwnLoss(call(name, "training.loss"), key_of(name))
    balanced = training["class_weights"] == "balanced"
    weights = balanced_weights(labels, classes) if balanced else None
    return Loss(name, training["label_smoothing"], weights)


def key_of(node: Mapping[str, Any]) -> str:
    return f"training.loss._target_={node['_target_']}"


def try_loss(training: Mapping[str, Any], classes: int) -> None:
    """Of a loss that is not cnnexp's. Raises InputError where it gives no number, or one that is
    not finite, or does not depend on the logits; and for torch's where it cannot take the targets.
    """
    node = training["loss"]
    if not isinstance(node, Mapping):
        return
    labels = torch.arange(classes + 1) % classes  # no square: what mistakes B for K is seen
    logits = torch.randn(classes + 1, classes, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    mixed = training["mixup"] or training["cutmix"]
    targets = torch.nn.functional.one_hot(labels, classes).float() if mixed else labels
    try:
        value = build_loss(training, labels, classes)(logits, targets)
        if value.requires_grad:
            value.backward()
    except (RuntimeError, TypeError, ValueError) as error:
        soft = "under training.mixup and training.cutmix targets are (B, K)" if mixed else ""
        if node["_target_"].startswith("torch."):
            why = "; ".join(filter(None, (first_line(error), soft)))
            raise InputError(f"{key_of(node)}: {why}") from error
        if soft:
            error.add_note(soft)
        raise
    if not torch.isfinite(value):
        raise InputError(
            f"{key_of(node)}: gives {value.item()} for logits of a normal distribution"
        )
    if logits.grad is None:
        raise InputError(
            f"{key_of(node)}: does not depend on the logits, and nothing would be learned"
        )
