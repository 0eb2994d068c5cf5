"""Losses: cross-entropy over K logits, or binary cross-entropy over one."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from cnnexp.errors import InputError

LossName = Literal["cross_entropy", "bce"]


class Diverged(InputError):
    """A loss that is infinite or no number; the message says where. first: before any step."""

    def __init__(self, message: str, *, first: bool = False) -> None:
        super().__init__(message)
        self.first = first


class Loss(nn.Module):
    """(logits, targets) -> scalar, the mean over the batch.

    cross_entropy: logits (B, K); targets (B,) int64, or (B, K) probabilities after mixup or CutMix.
    bce: logits (B, 1); class 1 where they are positive; targets (B,) or (B, 2) as above.
    class_weights: (K,), mean over the training images 1 where each class has some.
    """

    class_weights: torch.Tensor | None

    def __init__(
        self,
        name: LossName = "cross_entropy",
        label_smoothing: float = 0.0,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.name, self.label_smoothing = name, label_smoothing
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = logits.float()
        if self.name == "cross_entropy":
            return F.cross_entropy(
                logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        share = share_of_class_1(targets)
        weight = self._mixed_weights(share)
        smooth = share * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(
            logits.squeeze(1), smooth, weight=weight, reduction="none"
        )
        # As cross-entropy does: a weighted mean, so that rare classes do not change its scale.
        return losses.mean() if weight is None else losses.sum() / weight.sum()

    def divisor(self, targets: torch.Tensor) -> torch.Tensor:
        """Scalar: what the mean over a batch with these targets divides by."""
        if self.class_weights is None or (self.name == "cross_entropy" and targets.ndim == 2):
            return torch.tensor(float(len(targets)), device=targets.device)
        if self.name == "cross_entropy":
            return self.class_weights[targets].sum()
        weight = self._mixed_weights(share_of_class_1(targets))
        assert weight is not None
        return weight.sum()

    def _mixed_weights(self, share: torch.Tensor) -> torch.Tensor | None:
        """(B,) share of class 1 -> (B,), between the two classes' weights; None without weights."""
        if self.class_weights is None:
            return None
        return torch.lerp(self.class_weights[0], self.class_weights[1], share)


def share_of_class_1(targets: torch.Tensor) -> torch.Tensor:
    """(B,) classes 0 and 1, or (B, 2) probabilities -> (B,) float32."""
    return targets[:, 1] if targets.ndim == 2 else targets.float()


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(N,) -> (K,): n / (K * n_k), King and Zeng 2001; an empty class weighs nothing."""
    counts = torch.bincount(labels, minlength=classes).float()
    weights = labels.numel() / (classes * counts.clamp(min=1))
    return torch.where(counts > 0, weights, torch.zeros_like(weights))
