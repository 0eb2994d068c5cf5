"""What a network knows of an image just before it decides: the input of its last dense layer."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from cnnexp.data.turns import turns
from cnnexp.visualization.layers import HEAD
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Images, Progress, silently

BATCH = 64  # images at a time: memory stays bounded


def last_features(
    network: nn.Sequential, batches: Iterable[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, D) features and (N, K or 1) logits, float32 in main memory, of batches (B, 3, H, W),
    or of what the first blocks of a network that is given without them make of those.

    A feature vector is the input of the head's nn.Linear that runs last, the classifier. A head
    that has none (SqueezeNet's is a convolution): the input of the head, a map (B, C, h, w)
    averaged over its places, anything else flattened. At least one batch.
    """
    features, logits = [], []
    kept: dict[str, torch.Tensor] = {}

    def keep_head(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        kept.clear()
        kept["head"] = given[0].clone()  # what is done in place later isn't seen in it

    def keep_dense(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        kept["dense"] = given[0].clone()

    with looking_at(network) as network, torch.no_grad():
        head = network.get_submodule(HEAD)
        head.register_forward_pre_hook(keep_head)
        for module in head.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(keep_dense)
        for images in batches:
            logits.append(network(images).cpu())
            values = kept.get("dense", kept["head"]).float()
            if values.dim() == 4:
                values = values.mean(dim=(2, 3))
            features.append(values.flatten(1).cpu())
    return torch.cat(features), torch.cat(logits)


def features_of(
    network: nn.Sequential,
    images: Images,
    places: Sequence[int] | np.ndarray,
    device: torch.device,
    *,
    progress: Progress = silently,
    title: str = "features",
) -> tuple[torch.Tensor, torch.Tensor]:
    """`last_features` of the images at `places` of a split, in that order. Blocks whose outputs
    are stored do not run.
    """
    parts = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
    if (stored := images.stored) is None:
        batches = (images.take(part, device) for part in progress(parts, title))
        return last_features(network, batches)
    rows = (np.asarray(part, dtype=np.int64) for part in parts)
    batches = (stored.outputs[row].to(device).float() for row in rows)  # they may be half as long
    return last_features(network[stored.blocks :], batches)


def stratified(labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Up to `count` of N places, in order, drawn so that each class keeps its share.

    labels: (N,). Of n_c images of a class the r-th drawn has rank (r + 1/2) / n_c; the lowest
    ranks of all classes are taken.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(labels))
    rank[order] = (turns(labels[order]) + 0.5) / counts[codes[order]]
    return np.sort(np.lexsort((order, rank))[:count])
