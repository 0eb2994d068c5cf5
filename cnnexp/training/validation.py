"""What an epoch reached on the validation images, from sums that several processes may add up."""

import torch

from cnnexp.logits import predicted
from cnnexp.training.loss import Loss


def sums_of(loss: Loss, logits: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(1 + 3 * classes,) float32 of images' logits (B, K) or (B, 1) and labels (B,): the loss, and
    of each class the images that were recognised, those that were said to be of it, those that are.
    """
    said = predicted(logits)
    counts = [
        torch.bincount(some, minlength=classes) for some in (labels[said == labels], said, labels)
    ]
    # Of several processes one may have no image: the mean over none is no number.
    whole = loss(logits, labels) * len(labels) if len(labels) else logits.new_zeros(())
    return torch.cat([whole[None], *counts])


def figures_of(sums: torch.Tensor) -> dict[str, torch.Tensor]:
    """val/loss, val/accuracy, and val/f1: the mean F1 of the classes that have images."""
    right, said, there = sums[1:].view(3, -1)
    f1 = 2 * right / (said + there).clamp(min=1)
    return {
        "val/loss": sums[0] / there.sum(),
        "val/accuracy": right.sum() / there.sum(),
        "val/f1": f1[there > 0].mean(),
    }
