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


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """(N, K) or (N, 1) -> (N, K) float64: of each class against all others. A sure network's
    probabilities are 1 in float32, and equal; these are ranked as its logits are.
    """
    wide = logits.double().clamp(-1e9, 1e9)  # of infinite ones no difference is known
    if wide.shape[1] == 1:
        return torch.cat([-wide, wide], dim=1)
    whole = wide.logsumexp(dim=1, keepdim=True)
    odds = wide - whole - torch.log1p(-(wide - whole).exp().clamp(max=0.9))
    top = wide.argmax(dim=1, keepdim=True)  # whose share may be next to 1
    rest = wide.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True)
    return odds.scatter(1, top, wide.gather(1, top) - rest)
