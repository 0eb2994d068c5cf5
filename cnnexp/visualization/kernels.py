"""The kernels of a network's first convolution, as the colours that they look for."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from cnnexp.config.types import PositiveInt
from cnnexp.errors import Inapplicable
from cnnexp.reporting.page import MARGIN, Page
from cnnexp.reporting.picture import Picture
from cnnexp.reporting.style import QUIET, house_style
from cnnexp.visualization.looking import looking_at
from cnnexp.visualization.probe import Probe

ACROSS, CELL, GAP = 8, 0.85, 0.24  # kernels per row; inches


@dataclass(frozen=True)
class Kernels:
    """weights: (C, 3, h, w) float32 of the layer of that name. norms: (C,), Euclidean."""

    layer: str
    weights: torch.Tensor
    norms: torch.Tensor


def first_kernels(network: nn.Sequential, images: torch.Tensor) -> Kernels:
    """Of the convolution that runs first on images (B, 3, H, W).

    Raises Inapplicable where there is none, or where it does not see three channels, the colours.
    """
    called: list[nn.Conv2d] = []

    def note(module: Any, given: Any) -> None:
        called.append(module)

    with looking_at(network) as network, torch.no_grad():
        names = {module: name for name, module in network.named_modules()}
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(note)
        network(images)
    if not called:
        raise Inapplicable("the network has no convolution")
    layer, weights = names[called[0]], called[0].weight.detach().float().cpu()
    if weights.shape[1] != 3:
        raise Inapplicable(
            f"the first convolution, {layer}, has kernels over {weights.shape[1]} channels, not "
            "over red, green and blue"
        )
    return Kernels(layer, weights, weights.flatten(1).norm(dim=1))


@house_style
def kernels(probe: Probe, *, count: PositiveInt = 64) -> dict[str, Picture]:
    """The strongest kernels, the strongest first."""
    found = first_kernels(probe.network, probe.images[:1])
    order = found.norms.sort(descending=True, stable=True).indices[:count].tolist()
    scale = float(found.weights.abs().max()) or 1.0
    total, _, height, width = found.weights.shape
    few = "" if len(order) == total else f" the {len(order)} strongest of"
    return {
        "kernels": Picture(
            _figure(found, order, scale),
            title=f"Kernels of {found.layer}",
            reading="Each square is a kernel, its weights for red, green and blue as a colour: "
            "mid-grey is zero, brighter is positive, darker negative, all on one scale. Edges and "
            "spots of colour are what trained networks have; noise means too little training or "
            "too large a rate. A weak kernel may still matter, where what follows enlarges it.",
            alt=f"Kernels of {height}x{width} pixels,{few} {total}, from the norm "
            f"{float(found.norms.max()):.2g} down to {float(found.norms[order[-1]]):.2g}.",
            numbers={
                "layer": found.layer,
                "shape": list(found.weights.shape),
                "scale": scale,
                "shown": order,
                "norms": [round(norm, 6) for norm in found.norms.tolist()],
            },
        )
    }


def _figure(found: Kernels, order: list[int], scale: float) -> Figure:
    total, _, height, width = found.weights.shape
    across = min(len(order), ACROSS)
    rows = math.ceil(len(order) / across)
    page = Page(
        max(2 * MARGIN + across * (CELL + GAP / 2), 7.5),
        rows * (CELL + GAP) + 0.1,
        f"Kernels of {found.layer}: {len(order)} of {total}, {height}x{width}",
        [
            "Weights for red, green and blue as a colour, the kernel of the largest norm first.",
            "One scale for all: of each colour mid-grey is 0, the brightest "
            f"+{scale:.3g}, the darkest \N{MINUS SIGN}{scale:.3g}.",
        ],
    )
    colours = (0.5 + found.weights / (2 * scale)).permute(0, 2, 3, 1).numpy()
    for place, kernel in enumerate(order):
        x = MARGIN + (place % across) * (CELL + GAP / 2)
        y = (place // across) * (CELL + GAP)
        page.text(x, y, f"#{kernel}", fontsize=7.5, color=QUIET)
        page.image(x, y + 0.15, CELL, CELL, colours[kernel])
    return page.figure
