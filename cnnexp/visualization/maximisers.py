"""What excites a channel most: images made by gradient ascent, and those of the data set.

Erhan et al. 2009, "Visualizing higher-layer features of a deep network": the image that maximises
the response of one unit. How it is made to look like an image: fourier_image.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cnnexp.visualization.excitation import Excitation, seen_parts
from cnnexp.visualization.fourier_image import STRETCH, TURN, FourierImage, ascend
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Probe, Progress, silently
from cnnexp.visualization.responses import layer_responses
from cnnexp.visualization.window import window_of

BATCH = 32  # images made at a time: memory stays bounded
BEST = 4  # images of the data set for each channel
MOST_JITTER = 1 / 16  # of the image's size: 14 pixels of 224, where lucid's are 8 and 4
SEED = 0
LAYERS = "visualization.filters.layers"


@dataclass(frozen=True)
class Filters:
    """What excites n live channels of a layer, whose map is of size = (h, w), most.

    made: (n, 3, s, s) uint8, by gradient ascent. found: (n, m, 3, s, s), the m images of the data
    set that excite it most, paths: their names. Of both the part that the response sees. reached,
    best: n responses, the largest over the whole image that was made, and over any of the data set.
    dead: channels that are left out. total: channels of the layer.
    """

    layer: str
    size: tuple[int, int]
    channels: list[int]
    made: torch.Tensor
    found: torch.Tensor
    paths: list[list[str]]
    reached: list[float]
    best: list[float]
    dead: list[int]
    total: int

    @property
    def share(self) -> float:
        """Of the channels shown, those that no image of the data set excites as much."""
        higher = [made > best for made, best in zip(self.reached, self.best, strict=True)]
        return sum(higher) / len(higher) if higher else math.nan


def maximisers(
    network: nn.Sequential,
    layer: str,
    channels: Sequence[int],
    size: tuple[int, int],
    colours: tuple[torch.Tensor, torch.Tensor],
    *,
    steps: int,
    jitter: float,
    seed: int = SEED,
    progress: Progress = silently,
) -> torch.Tensor:
    """(n, 3, H, W) uint8: image i makes channels[i] respond, in the middle of the layer's map.

    One place of the map: before the activation, the sum over all places is largest, for a
    convolution, where the image is one flat colour. size: (H, W). colours: of `colour_basis`.
    jitter: pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    made = []
    with looking_at(network) as network:
        for start in range(0, len(channels), BATCH):
            some = list(channels[start : start + BATCH])

            def respond(images: torch.Tensor, some: list[int] = some) -> torch.Tensor:
                maps = layer_responses(network, [layer], images, LAYERS)[layer].before
                return maps[range(len(some)), some, maps.shape[2] // 2, maps.shape[3] // 2]

            image = FourierImage(len(some), size, *colours, generator)
            turns = progress(range(steps), f"filters of {layer}")
            made.append(ascend(image, respond, turns, jitter=jitter, generator=generator))
    return torch.cat(made)


def layer_filters(
    probe: Probe,
    layer: str,
    excitation: Excitation,
    searched: np.ndarray,
    channels: Sequence[int],
    colours: tuple[torch.Tensor, torch.Tensor],
    steps: int,
) -> Filters:
    """excitation: by the training images `searched`. channels: live ones."""
    height, width = probe.images.shape[-2:]
    dead = excitation.dead.nonzero().flatten().tolist()
    if not channels:
        none = torch.zeros(0, 1, 3, 1, 1)
        return Filters(
            layer, excitation.size, [], none[:, 0], none, [], [], [], dead, len(excitation.dead)
        )
    # A map moves by a place where the image moves by `stride`: less than that is no other place.
    stride = height / excitation.size[0]
    turned = STRETCH + math.radians(TURN)
    window = window_of(probe.network, layer, (height, width), excitation.size, turned, LAYERS)
    made = maximisers(
        probe.network,
        layer,
        channels,
        window.size,
        colours,
        steps=steps,
        jitter=min(stride / 2, MOST_JITTER * height),
        progress=probe.progress,
    )
    own = torch.tensor(channels)
    with looking_at(probe.network) as network, torch.no_grad():
        maps = torch.cat(
            [
                layer_responses(network, [layer], images, LAYERS)[layer].before[
                    range(len(some)), some.tolist()
                ]
                for images, some in zip(made.split(BATCH), own.split(BATCH), strict=True)
            ]
        )
    reached, places = maps.flatten(1).cpu().max(dim=1)
    top = [excitation.top(channel, BEST) for channel in channels]
    flat = [image for images in top for image in images]
    owners = own.repeat_interleave(len(top[0]))
    found, found_at = window.around(
        probe.train.take(searched[flat], probe.device), excitation.places[flat, owners]
    )
    corners, side = seen_parts(
        probe.network,
        layer,
        torch.cat([made, found]),
        torch.cat([own, owners]),
        torch.cat([places, found_at]),
        LAYERS,
    )
    parts = [
        image[:, y : y + side, x : x + side]
        for image, (y, x) in zip(torch.cat([made, found]).cpu(), corners.tolist(), strict=True)
    ]
    return Filters(
        layer,
        excitation.size,
        list(channels),
        torch.stack(parts[: len(made)]),
        torch.stack(parts[len(made) :]).unflatten(0, (len(made), len(top[0]))),
        [[probe.train.paths[searched[image]] for image in images] for images in top],
        reached.tolist(),
        excitation.highest.amax(dim=0)[own].tolist(),
        dead,
        len(excitation.dead),
    )
