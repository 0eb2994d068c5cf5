"""Logits of a whole split, in the order of its images."""

import torch
from torch import nn

from cnnexp.data.batches import Batches
from cnnexp.training.precision import autocast


@torch.inference_mode()
def predict_logits(
    network: nn.Sequential,
    batches: Batches,
    *,
    precision: str,
    device: torch.device,
    skip: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (N, K or 1) float32, labels (N,), indices (N,), on the CPU; each module's mode stays.

    skip: so many leading blocks, of whose outputs the batches are made.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval().to(device)
    rest, parts = network[skip:] if skip else network, []
    try:
        for images, labels, indices in batches:
            with autocast(precision, device):
                logits = rest(images.to(device)).float()
            parts.append((logits.cpu(), labels.cpu(), indices.cpu()))
    finally:
        for module, training in modes:  # one by one: a frozen part is in eval mode alone
            module.training = training
    logits, labels, indices = (torch.cat(part) for part in zip(*parts, strict=True))
    return logits, labels, indices
