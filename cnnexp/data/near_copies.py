"""Images that look like one of another split: copies that no checksum finds.

Saved anew, at another size, in another brightness, mirrored: 3.3% of CIFAR-10's test images have
a twin in training (Barz and Denzler 2020, "Do We Train on Test Data? Purging CIFAR of Near-
Duplicates"). Here only those are found that agree place by place, not crops.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

SMALL, LARGE = 16, 64  # pixels a side: grey thumbnails are searched, colours are compared
ALIKE = 0.96  # correlation of colours; all 98 pairs of CIFAR-10's splits above it are one scene
# The nearest must stand out: its distance against that of the tenth. Digits of one kind, or
# X-rays, all look alike. Of 359 handwritten digits 3 are found so, with 0.25 many more.
APART, NEIGHBOURS = 0.15, 10
SAME = 0.995  # correlation from which a copy need not stand out: of one scene there may be many
MOST = 1_000_000_000  # pairs of thumbnails: ten seconds on two cores
AT_ONCE = 50_000_000  # values in memory


class NearCopy(NamedTuple):
    """image looks like `of`, both numbers of images. likeness: correlation of their colours."""

    image: int
    of: int
    likeness: float
    mirrored: bool


def near_copies(pixels: np.ndarray, images: np.ndarray, others: np.ndarray) -> list[NearCopy]:
    """Of `images` those that look like one of `others`, the most alike first. One that ten others
    resemble alike, as frames of a film do, is found where it is all but the same as the nearest.

    pixels: (N, S, S, 3) uint8. images, others: numbers of rows, at most `MOST` pairs of them.
    """
    if not len(images) or not len(others):
        return []
    thumbnails, known = _thumbnails(pixels, images), _normal(_thumbnails(pixels, others))
    rows = max(1, AT_ONCE // len(others))
    best: dict[int, NearCopy] = {}
    for mirrored in (False, True):
        looked_for = thumbnails.flip(-1) if mirrored else thumbnails
        for start in range(0, len(images), rows):
            likeness = _normal(looked_for[start : start + rows]) @ known.T  # (B, others)
            near = likeness.topk(min(NEIGHBOURS, len(others)), dim=1)
            first, last = near.values[:, 0], near.values[:, -1]
            apart = 1 - first < APART * (1 - last)
            for row in (apart | (first >= SAME)).nonzero().flatten().tolist():
                image, of = int(images[start + row]), int(others[near.indices[row, 0]])
                found = NearCopy(image, of, _likeness(pixels, image, of, mirrored), mirrored)
                least = ALIKE if apart[row] else SAME
                before = best[image].likeness + 1e-6 if image in best else 0.0
                if found.likeness >= max(least, before):
                    best[image] = found
    return sorted(best.values(), key=lambda pair: (-pair.likeness, pair.image))


def _thumbnails(pixels: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    """(n, side, side) float32, grey."""
    parts = []
    for start in range(0, len(rows), 1000):
        some = torch.from_numpy(pixels[rows[start : start + 1000]]).float().mean(dim=-1)
        parts.append(_shrunk(some[:, None], SMALL)[:, 0])
    return torch.cat(parts)


def _likeness(pixels: np.ndarray, image: int, of: int, mirrored: bool) -> float:
    """Of two images the correlation over places and colours, each colour around its own mean."""
    both = torch.from_numpy(pixels[[image, of]]).permute(0, 3, 1, 2).float()
    both = _shrunk(both, LARGE)
    one, other = both - both.mean(dim=(2, 3), keepdim=True)
    one = one.flip(-1) if mirrored else one
    return float(F.cosine_similarity(one.flatten(), other.flatten(), dim=0))


def _shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    return F.adaptive_avg_pool2d(images, min(side, images.shape[-1]))


def _normal(maps: torch.Tensor) -> torch.Tensor:
    """(n, H, W) -> (n, H * W): each map without its mean, of length 1; a flat one is all zero."""
    values = maps.flatten(1)
    return F.normalize(values - values.mean(dim=1, keepdim=True), dim=1)
