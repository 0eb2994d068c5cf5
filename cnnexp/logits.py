"""What a network's logits say: (B, K), or (B, 1) for the second of two classes."""

import torch


def to_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """(B, K) or (B, 1) logits -> (B, K) float32 probabilities, K = 2 for one logit."""
    logits = logits.float()
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return logits.softmax(dim=1)


def predicted(logits: torch.Tensor) -> torch.Tensor:
    """(B, K) or (B, 1) -> (B,) int64: the most probable class."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
