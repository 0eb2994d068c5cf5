"""Losses: cross-entropy over K logits, binary cross-entropy over one, or a person's own."""

from typing import Any, Literal

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


class OwnLoss(nn.Module):
    """A loss that is not ours: (logits, targets) -> scalar, the mean over the batch.

    own: is called with logits (B, K) float32 and targets as `Loss` has them for cross_entropy, by
    which validation and test are measured all the same. key: what the config calls it. Raises
    InputError where `own` gives anything but one number.
    """

    name: LossName = "cross_entropy"

    def __init__(self, own: Any, key: str) -> None:
        super().__init__()
        if not callable(own):
            raise InputError(
                f"{key}: gives a {type(own).__name__}, which cannot be called with logits and "
                "targets; name a class with __call__ or forward, or a function that returns one"
            )
        if isinstance(own, nn.Module) and any(one.requires_grad for one in own.parameters()):
            raise InputError(
                f"{key}: has weights of its own, which would be neither trained nor saved; they "
                "belong into the model"
            )
        self.own, self.key = own, key

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        try:
            loss = self.own(logits.float(), targets)
        except Exception as error:
            shapes = f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
            error.add_note(f"raised by {self.key}, of {shapes}")
            raise
        if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.is_floating_point():
            kind = type(loss).__name__
            what = f"{loss.dtype} {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else kind
            raise InputError(f"{self.key}: gives {what}; it must give one number, the batch's mean")
        return loss

    def divisor(self, targets: torch.Tensor) -> torch.Tensor:
        """See `Loss.divisor`."""
        return torch.tensor(float(len(targets)), device=targets.device)


def share_of_class_1(targets: torch.Tensor) -> torch.Tensor:
    """(B,) classes 0 and 1, or (B, 2) probabilities -> (B,) float32."""
    return targets[:, 1] if targets.ndim == 2 else targets.float()


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(N,) -> (K,): n / (K * n_k), King and Zeng 2001; an empty class weighs nothing."""
    counts = torch.bincount(labels, minlength=classes).float()
    weights = labels.numel() / (classes * counts.clamp(min=1))
    return torch.where(counts > 0, weights, torch.zeros_like(weights))
