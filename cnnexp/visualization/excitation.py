"""Which images of the data set excite a channel most, and where in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Images, Progress
from cnnexp.visualization.responses import layer_responses

BATCH = 32  # images at a time: memory stays bounded
# Luo et al. 2016, "Understanding the effective receptive field": what lies within two standard
# deviations. Of the gradient's mass, that much lies in the part of an image that is shown.
MASS = 0.9545


@dataclass(frozen=True)
class Excitation:
    """How N images excite the C channels of a layer, whose maps are size = (h, w).

    highest: (N, C) float32, the largest response of each image before the activation. places:
    (N, C) int64, where in the map it is, row * w + column. dead: (C,) bool, after the activation
    the same value everywhere in all images. On the CPU.
    """

    highest: torch.Tensor
    places: torch.Tensor
    dead: torch.Tensor
    size: tuple[int, int]

    def top(self, channel: int, count: int) -> list[int]:
        """The images, of N, that excite a channel most, the most first."""
        order = self.highest[:, channel].sort(descending=True, stable=True).indices
        return order[:count].tolist()


def excitations(
    network: nn.Sequential,
    layers: Sequence[str],
    images: Images,
    chosen: np.ndarray,
    device: torch.device,
    progress: Progress,
    key: str,
) -> dict[str, Excitation]:
    """Layer -> its channels' responses to images[chosen], in one pass for all layers."""
    highest: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    places: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    bounds: dict[str, torch.Tensor] = {}
    sizes: dict[str, tuple[int, int]] = {}
    batches = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
    with looking_at(network) as network, torch.no_grad():
        for batch in progress(batches, "images that excite channels"):
            responses = layer_responses(network, layers, images.take(batch, device), key)
            for name, (before, after) in responses.items():
                values, where = before.flatten(2).max(dim=2)
                highest[name].append(values.cpu())
                places[name].append(where.cpu())
                seen = torch.stack([after.amin(dim=(0, 2, 3)), -after.amax(dim=(0, 2, 3))])
                bounds[name] = torch.minimum(seen, bounds.get(name, seen))  # lowest, -highest
                sizes[name] = (before.shape[2], before.shape[3])
    return {
        name: Excitation(
            torch.cat(highest[name]),
            torch.cat(places[name]),
            (bounds[name][0] == -bounds[name][1]).cpu(),
            sizes[name],
        )
        for name in layers
    }


def seen_parts(
    network: nn.Sequential,
    layer: str,
    images: torch.Tensor,
    channels: torch.Tensor,
    places: torch.Tensor,
    key: str,
) -> tuple[torch.Tensor, int]:
    """What each response sees of its image (B, 3, H, W): squares' corners (B, 2), and their side.

    Image i is looked at by channels[i] at places[i] (row * w + column). Measured by the gradient:
    along each axis, the middle MASS of its absolute values. The side is the same for all, that of
    the largest but for a tenth; squares are moved into the image: corner (top, left), on the CPU.
    """
    gradients = []
    with looking_at(network) as network:
        for some, own, where in zip(
            images.split(BATCH), channels.split(BATCH), places.split(BATCH), strict=True
        ):
            pixels = (some.float() / 255).requires_grad_()
            before = layer_responses(network, [layer], pixels, key)[layer].before.flatten(2)
            picked = before[torch.arange(len(some)), own, where].sum()
            (gradient,) = torch.autograd.grad(picked, pixels)
            gradients.append(gradient.abs().sum(dim=1).cpu())
    mass = torch.cat(gradients)  # (B, H, W)
    spans = [_span(mass.sum(dim=2)), _span(mass.sum(dim=1))]  # rows, columns
    first = torch.stack([span[0] for span in spans], dim=1)
    last = torch.stack([span[1] for span in spans], dim=1)
    sides = (last - first + 1).amax(dim=1).float()
    side = min(int(sides.quantile(0.9).ceil()), *images.shape[-2:])
    room = torch.tensor(images.shape[-2:]) - side
    corners = torch.minimum((first + last + 1 - side) // 2, room).clamp(min=0)
    return corners, side


def _span(mass: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, n) >= 0 -> first and last place (B,) of each row's middle MASS; of a zero row, all."""
    total = mass.cumsum(dim=1) / mass.sum(dim=1, keepdim=True).clamp(min=1e-30)
    edge = (1 - MASS) / 2
    first = (total <= edge).sum(dim=1)
    last = (total < 1 - edge).sum(dim=1)
    empty = mass.sum(dim=1) == 0
    end = mass.shape[1] - 1
    return first.masked_fill(empty, 0), last.clamp(max=end).masked_fill(empty, end)
